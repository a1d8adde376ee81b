"""What lineage must say of each shape of work, in names: which steps, in which states, and what went from where to where.

A step is ``TASK``, with the state it ended in if that is not Completed (``doomed:Failed``), and the number of its last attempt if
that is not the first (``flaky#2``). An edge is ``MAKER>TAKER``: a task, or a flow with brackets; of a taker, with the parameter
that took the value. ``another()`` is a run with a record of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

__all__ = ["DEPLOYED", "EVERYWHERE", "SHAPES", "Shape", "at"]


@dataclass(frozen=True)
class Shape:
    """What is expected of one root flow run, or of each where a shape makes several.

    ``steps`` and ``edges`` are all of them, each as often as it occurs. ``reads`` and ``writes`` are files of steps.
    ``perhaps`` are edges to another maker of an equal value, which is named too where Prefect does not say whose it was: that
    depends on which process took the value in. ``waits`` are edges of mere order, ``inside`` what was called by another step.
    """

    steps: tuple[str, ...]
    edges: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()
    state: str = "Completed"
    subflows: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    roots: int = 1
    flow: str | None = None
    elsewhere: dict[str, dict[str, object]] = field(default_factory=dict)
    """Where a place's own Prefect integration does it otherwise."""


SHAPES: dict[str, Shape] = {
    "chain": Shape(
        ("make", "total"),
        ("make>total.frame", "total>chain()"),
        reads=("total:factor.txt",),
        writes=("total:total.txt",),
    ),
    "mapped": Shape(("double", "double", "double", "gather"), (*["double>gather.values"] * 3, "gather>mapped()")),
    "quoted": Shape(
        ("plus", "plus", "takes"),
        ("plus>quoted()", "plus>quoted()", "takes>quoted()"),
    ),
    "waited": Shape(("double", "takes"), ("takes>waited()",), waits=("double>takes",)),
    "retried": Shape(("flaky#2",), ("flaky>retried()",)),
    "failing": Shape(
        ("doomed:Failed", "takes:NotReady"),
        waits=("doomed>takes",),
        # Prefect waits in the flow's process for what a process pool is given, and never submits what is not ready.
        elsewhere={"processes": {"steps": ("doomed:Failed",), "waits": ()}},
    ),
    "allowed": Shape(("doomed:Failed", "mends"), ("mends>allowed()",), waits=("doomed>mends",)),
    "cached": Shape(
        ("slow", "slow:Cached", "plus"),
        ("slow>slow.cache", "slow>plus.x", "slow>plus.y", "plus>cached()"),
        cached=("slow>slow",),
        # What comes back from another process is a copy, of which Prefect does not know whose it is: both gave it out.
        elsewhere={
            "remote": {
                "edges": (
                    "slow>slow.cache",
                    *["slow>plus.x"] * 2,
                    *["slow>plus.y"] * 2,
                    "plus>cached()",
                )
            }
        },
    ),
    "nested": Shape(("outer", "double"), ("outer>nested()",), inside=("double in outer",)),
    "parent": Shape(
        ("make", "total", "double"),
        (
            "make>child().frame",
            "make>total.frame",
            "child()>total.frame",
            "total>child()",
            "child()>double.x",
            "double>parent()",
        ),
        subflows=("child",),
        reads=("total:factor.txt",),
        writes=("total:total.txt",),
        elsewhere={"remote": {"perhaps": ("total>double.x",)}},
    ),
    "asynchronous": Shape(
        ("waits", "waits", "takes"),
        (
            "waits>achild().x",
            "waits>waits.x",
            "achild()>waits.x",
            "waits>achild()",
            "achild()>takes.x",
            "takes>asynchronous()",
        ),
        subflows=("achild",),
        elsewhere={"remote": {"perhaps": ("waits>takes.x",)}},
    ),
    "timed": Shape(("endless:TimedOut",), state="Failed", elsewhere={"submitted": {"state": "Completed"}}),
    "optioned": Shape(("renamed",), ("renamed>optioned()",), tags=("desk", "training")),
    "returning": Shape(("double", "double"), ("double>returning()", "double>returning()")),
    "stated": Shape(("double",), ("double>stated()",)),
    "generating": Shape(
        ("numbers", "takes", "takes"),
        ("numbers>takes.x", "numbers>takes.x", "takes>generating()", "takes>generating()"),
        writes=("numbers:number-0.txt", "numbers:number-1.txt"),
    ),
    "agenerating": Shape(
        ("later", "takes", "takes"),
        ("later>takes.x", "later>takes.x", "takes>agenerating()", "takes>agenerating()"),
    ),
    "submitting": Shape(
        ("numbers", "takes", "takes", "takes"),
        (*["numbers>takes.x"] * 3, *["takes>submitting()"] * 3),
        writes=tuple(f"numbers:number-{i}.txt" for i in range(3)),
    ),
    "rolled": Shape(("writes:RolledBack", "doomed:Failed"), ("writes>doomed.x",), writes=("writes:kept.txt",)),
    "method": Shape(("scaled",), ("method()>scaled.self", "method()>scaled.x", "scaled>method()")),
    "static": Shape(("double",), ("static()>double.x", "double>static()")),
    "twice": Shape(("double",), ("twice()>double.x", "double>twice()"), roots=2),
    "cancelling": Shape(("double",), state="Cancelled"),
    "crashing": Shape(("double",), state="Crashed"),
    "pausing": Shape(("double", "takes"), ("double>takes.x", "takes>pausing()")),
    "notebook": Shape(("in_a_cell",), ("notebook()>in_a_cell.x", "in_a_cell>notebook()")),
    "delaying": Shape(("double", "takes"), ("double>takes.x", "takes>delaying()")),
    "suspending": Shape(
        ("before", "before:Cached", "takes"),
        ("before>before.cache", "before>takes.x", "takes>suspending()"),
        cached=("before>before",),
    ),
    "ordering": Shape(("double", "takes"), ("another()>takes.x", "takes>ordering()")),
    "alone": Shape(("double", "double"), ("alone()>double.x", "double>double.x", "double>alone()")),
}

DEPLOYED = ("chain", "parent", "retried", "failing", "asynchronous", "returning", "alone")
"""Shapes that are run as deployments: served, and by a process worker."""

EVERYWHERE = (
    "chain",
    "mapped",
    "quoted",
    "waited",
    "retried",
    "failing",
    "cached",
    "nested",
    "parent",
    "asynchronous",
    "timed",
    "optioned",
    "returning",
    "submitting",
)
"""Shapes for every place that a task can be sent to."""


def at(shape: str, place: str) -> Shape:
    """What is expected of a shape in a place."""
    expected = SHAPES[shape]
    remote = place in {"processes", "dask", "external", "ray"}
    for where in ("submitted" if place != "script" else "", "remote" if remote else "", place):
        expected = replace(expected, **expected.elsewhere.get(where, {}))
    return expected
