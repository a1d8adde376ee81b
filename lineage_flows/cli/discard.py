"""``deliver --discard``: a person gives up what was put aside, or what waits of a run, and is said what that is.

Knows what may be discarded and how it is confirmed; must not know how it is kept.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lineage_flows.cli.answer import Answer, console
from lineage_flows.errors import LineageError, UnknownReferenceError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lineage_flows.delivery.discards import Discardable, DiscardedEvent
    from lineage_flows.graph.sagemaker.discarding import DiscardableThing, DiscardedThing
    from lineage_flows.settings import Settings

__all__ = ["as_documents", "discard_from", "shown_discarded"]

_SHOWN = 20
_Item = TypeVar("_Item", "Discardable", "DiscardableThing")


@dataclass(slots=True)
class _Choice:
    """What is to be discarded: events of the spool, and things of SageMaker's cache."""

    events: list[Discardable] = field(default_factory=list)
    things: list[DiscardableThing] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.events or self.things)

    def rows(self) -> list[tuple[str, str, str]]:
        """Id, what it is, and why it is left."""
        waits = "waits to be delivered"
        return [
            *((item.id, f"{item.kind} event of run {item.run_id}", item.reason or waits) for item in self.events),
            *((item.id, item.what, item.reason or waits) for item in self.things),
        ]


def discard_from(settings: Settings, named: Sequence[str], *, sure: bool, as_json: bool) -> Answer:
    """Discard what is named, or all that was put aside.

    Args:
        settings: of the home.
        named: run ids, and ids as ``--parked`` shows them; with none, all that was put aside.
        sure: do not ask.
        as_json: whether the document is wanted.

    Raises:
        LineageError: something is named that is not there or was not put aside, or nobody confirmed it; nothing was discarded.
    """
    from lineage_flows.graph.opening import open_cache
    from lineage_flows.graph.sagemaker import discarding
    from lineage_flows.runtime import open_spool, receivers

    with ExitStack() as stack:
        spool = stack.enter_context(closing(open_spool(settings)))
        cache = open_cache(settings)
        if cache is not None:
            stack.enter_context(closing(cache))
        names = list(
            dict.fromkeys([item.name for item in receivers(settings)] + [one.receiver for one in spool.parked()])
        )

        def left(run_id: str | None) -> _Choice:
            things = [] if cache is None else discarding.left(cache, run_id)
            return _Choice(spool.discards.left(names, run_id), things)

        choice = _chosen(named, left)
        if choice and not sure:
            _confirm(choice, as_json)
        who = _user()
        events = spool.discards.discard(choice.events, who)
        things = [] if cache is None else discarding.discard(cache, choice.things, who)
    document = {"discarded": as_documents(events, things)}
    return Answer(document, lambda: shown_discarded(events, things, "discarded"), as_json)


def as_documents(events: Sequence[DiscardedEvent], things: Sequence[DiscardedThing]) -> list[dict[str, object]]:
    """What was discarded, as JSON."""
    return [
        {"what": what, "reason": item.reason, "time": item.time, "who": item.who}
        for what, item in _in_words(events, things)
    ]


def shown_discarded(
    events: Sequence[DiscardedEvent], things: Sequence[DiscardedThing], verb: str
) -> Iterator[RenderableType]:
    """What was discarded, for a person."""
    from lineage_flows.cli.tables import cell, grid, heading
    from lineage_flows.ui.text import clip, count

    both = _in_words(events, things)
    if not both:
        yield cell("Nothing was put aside.")
        return
    yield heading(f"{count(len(events), 'event')} and {count(len(things), 'thing')} {verb}")
    rows = [
        row
        for what, item in both[-_SHOWN:]
        for row in ((f"{item.time} {item.who}", clip(what, 200)), ("", clip(item.reason, 200)))
    ]
    yield grid(("when and by whom", "what, and why it was left"), rows, whole=("when and by whom",))


def _in_words(
    events: Sequence[DiscardedEvent], things: Sequence[DiscardedThing]
) -> list[tuple[str, DiscardedEvent | DiscardedThing]]:
    return [
        *((f"{item.kind} event of run {item.run_id} for {item.receiver}", item) for item in events),
        *((item.what, item) for item in things),
    ]


def _chosen(named: Sequence[str], left: Callable[[str | None], _Choice]) -> _Choice:
    every = left(None)
    if not named:
        return _Choice(
            [item for item in every.events if item.reason is not None],
            [item for item in every.things if item.reason is not None],
        )
    chosen = _Choice()
    for name in dict.fromkeys(named):
        events, things = _of_id(every.events, name), _of_id(every.things, name)
        if not events and not things:
            of_run = left(name)  # what of it merely waits is meant, too: its run was named
            events, things = of_run.events, of_run.things
        if not events and not things:
            raise UnknownReferenceError(
                name, fix="name a whole run id, or an id as `lineage-flows deliver --parked` shows it"
            )
        chosen.events += [item for item in events if item not in chosen.events]
        chosen.things += [item for item in things if item not in chosen.things]
    return chosen


def _of_id(items: Sequence[_Item], name: str) -> list[_Item]:
    """What has an id.

    Raises:
        LineageError: it was not put aside.
    """
    found = [item for item in items if item.id == name]
    if any(item.reason is None for item in found):
        raise LineageError(
            f"{name} was not discarded",
            why="it was not put aside: it waits, and will be delivered",
            fix="run `lineage-flows deliver`; to give up all that is left of a run, name its run id",
        )
    return found


def _confirm(choice: _Choice, as_json: bool) -> None:
    """Ask whether it is meant.

    Raises:
        LineageError: nobody is there to ask, or the answer was no.
    """
    import typer

    from lineage_flows.cli.tables import grid, note
    from lineage_flows.ui.text import clip, count

    if as_json or not sys.stdin.isatty():
        raise LineageError("nothing was discarded", why="nobody is there to confirm it", fix="say --yes if it is meant")
    shown, rows = console(sys.stderr), choice.rows()
    shown.print(grid(("id", "what", "why it is left"), [(a, clip(b, 120), clip(c, 200)) for a, b, c in rows[:_SHOWN]]))
    if len(rows) > _SHOWN:
        shown.print(note(f"and {len(rows) - _SHOWN} more"))
    question = f"Give up {count(len(choice.events), 'event')} and {count(len(choice.things), 'thing')} for good?"
    if not typer.confirm(question, err=True):
        raise LineageError("nothing was discarded", why="it was not confirmed")


def _user() -> str:
    """Who runs this, as the operating system has it, whatever the environment says."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
