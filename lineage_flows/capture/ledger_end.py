"""Makes the ledger of a run whole at its end: what its files, random numbers, code and process say joins what was observed.

Knows the log of a run and what each kind of gap means for a replay; must not know Prefect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lineage_flows.capture import seams, variables
from lineage_flows.capture.code_facts import CodeFacts, code_facts
from lineage_flows.capture.paths import printable
from lineage_flows.ledger import AGAIN, KEPT
from lineage_flows.record_base import REGISTRATION
from lineage_flows.record_gaps import GapKind, Ledger

if TYPE_CHECKING:
    from lineage_flows.capture.files import FileLog
    from lineage_flows.records import DatasetRef

__all__ = ["settle"]

_NOTHING = Ledger()
_LOST: dict[GapKind, str] = {
    "connection": "what passed over it is not recorded",
    "process": "what it read and wrote is not recorded",
    "request": "what it answered is not recorded",
}
"""What is lost of what a run does past every adapter."""

UNKNOWN = "named, but its content is not known"
CLOCK = "differs on each run that comes there"


def settle(
    log: FileLog | None,
    fn: Callable[..., Any] | None,
    datasets: Sequence[DatasetRef],
    *,
    drawn: int,
    restored: bool,
    is_flow: bool = False,
) -> Ledger | None:
    """The ledger of an attempt of a step, or of a flow run, whose log is closed; None when nothing was watched.

    Args:
        log: what was watched.
        fn: the function of the task or flow.
        datasets: what the log says was touched.
        drawn: how many times numpy drew entropy that is recorded and fed back.
        restored: whether a replay puts the result in place, since it cannot serve what was read.
        is_flow: of a flow run, whose ledger speaks for the process too.
    """
    if log is None:
        return None
    ledger = log.ledger
    facts = CodeFacts() if fn is None else code_facts(fn)
    unwatched = seams.missing()
    if not (ledger or datasets or drawn or facts.clocks or unwatched):
        return _NOTHING
    for dataset in datasets:
        kind: GapKind = "file" if dataset.namespace == "file" else "object"
        etag = dataset.facts.etag if dataset.facts else None
        known = dataset.fingerprint is not None or etag is not None or dataset.note == "deleted"
        # Of a version in the model registry the content is the model's, which its properties name.
        if known or (dataset.via == (REGISTRATION,) and dataset.uri.startswith("arn:")):
            ledger.observed(kind, covered=True)
        else:
            ledger.gap(kind, f"{dataset.direction}s {dataset.path}", dataset.note or UNKNOWN)
    if drawn:
        ledger.observed("entropy", covered=True, times=drawn)
    for place in facts.clocks:
        ledger.gap("clock", f"has code that reads the clock: {place}", CLOCK)
    for (name, is_set), times in list(ledger.variables.items()):
        said = variables.judge(name)
        if said is None:
            ledger.observed("variable", covered=True, times=times)
            continue
        what = "all environment variables" if name == variables.ALL_VARIABLES else printable(name)
        ledger.gap("variable", f"reads {what}" if is_set else f"asks for {what}, which is not set", said, times=times)
    for missing in unwatched:
        if not facts.packages.isdisjoint(missing.packages):
            ledger.gap("library", f"has code that uses {missing.packages[0]}: {missing.adapter}", _unwatched(missing))
        elif is_flow or ledger.has_open_connection:
            ledger.gap("library", f"may have used {missing.adapter}", _unwatched(missing))

    def consequences(kind: GapKind) -> str:
        lost = _LOST.get(kind, "not recorded")
        return f"{lost}; {KEPT if restored else AGAIN}"

    return ledger.close(consequences) or _NOTHING


def _unwatched(missing: seams.Unwatched) -> str:
    return f"what passed through it is not recorded: {missing.why}"
