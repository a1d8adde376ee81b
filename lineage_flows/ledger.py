"""The completeness ledger of a whole run, as readers see it: what was observed of the flow and of each step, and every gap once.

Knows the records; must not know where they come from. Records made before there was a ledger are read too: what they say cannot be
restored is a gap.
"""

from __future__ import annotations

import re

from lineage_flows.record_base import Frozen
from lineage_flows.records import FlowRecord, Gap, GapKind, RunRecord, StepRecord, Tally

__all__ = ["AGAIN", "KEPT", "NOT_WATCHED", "WATCHED", "RunGaps", "gaps_of", "said"]

KEPT = "a replay puts the step's result in place"
AGAIN = "a replay does it again"
WATCHED = (
    "files, connections, programs, AWS calls, unseeded entropy and environment variables as Python's own code reaches them, "
    "and where the code reads the clock"
)
NOT_WATCHED = (
    "what native code opens or draws by itself, what child processes do, connections that were open before the step, "
    "variables that libraries read"
)
"""Said wherever nothing was found: a ledger without gaps is worth as much as what it can see."""

_REQUEST = re.compile(r"[A-Z]+ https?://")
_READS = re.compile(r"GET https?://")


_OLD: tuple[tuple[str, GapKind, str], ...] = (
    ("network ", "connection", "connects to"),
    ("socket ", "connection", "connects to socket"),
    ("program ", "process", "starts"),
)
"""How entries begin that new records tell of as gaps of their own."""


class RunGaps(Frozen):
    """The ledger of one flow run or step.

    ``watched`` is whether there is one: not of a step that was cached, restored or never called, and not of a record made before
    there were ledgers or on an engine that is not known; ``why`` then says which. ``gaps`` are all there are, those of
    ``unrestorable`` among them; ``left_out`` counts what was observed beyond them.
    """

    run_id: str
    name: str
    index: int = 0
    is_step: bool
    state: str
    watched: bool
    why: str = ""
    tallies: tuple[Tally, ...] = ()
    gaps: tuple[Gap, ...] = ()
    left_out: int = 0


def gaps_of(record: RunRecord) -> tuple[RunGaps, ...]:
    """The ledgers of a run: the flow's own code, that of its subflows, then every step in order."""
    return (
        *(_of_flow(flow) for flow in (record.flow, *record.subflows)),
        *(_of_step(step) for step in record.steps),
    )


def said(gap: Gap) -> str:
    """A gap in one line: what, how many times, and what that means."""
    times = f" ({gap.count} times)" if gap.count > 1 else ""
    return f"{gap.what}{times}: {gap.consequence}"


def _of_flow(flow: FlowRecord) -> RunGaps:
    why = "" if flow.ledger is not None else "no ledger was recorded"
    return _whole(flow, flow.flow_name, why, AGAIN)


def _of_step(step: StepRecord) -> RunGaps:
    why = "" if step.ledger is not None else _why(step)
    replay = KEPT if step.level in {"inputs", "all"} else f"nothing is kept at level {step.level}: {AGAIN}"
    return _whole(step, step.task_name, why, replay)


def _whole(run: FlowRecord | StepRecord, name: str, why: str, replay: str) -> RunGaps:
    ledger = run.ledger
    known = ledger.gaps if ledger else ()
    told = {gap.unrestorable for gap in known}
    return RunGaps(
        run_id=run.run_id,
        name=name,
        index=run.index if isinstance(run, StepRecord) else 0,
        is_step=isinstance(run, StepRecord),
        state=run.state,
        watched=ledger is not None,
        why=why,
        tallies=ledger.tallies if ledger else (),
        gaps=(*known, *(_unrestorable(item, replay) for item in run.unrestorable if item not in told)),
        left_out=ledger.left_out if ledger else 0,
    )


def _why(step: StepRecord) -> str:
    if step.cached:
        return "not called: Prefect had its result cached"
    if step.restored:
        return "not called: the replay put its result in place"
    return "not called" if step.state == "NotReady" else "no ledger was recorded"


def _unrestorable(item: str, replay: str) -> Gap:
    """What a run says it read that a replay cannot serve, as a gap."""
    kind, what, lost = _read(item)
    return Gap(kind=kind, what=what, consequence=f"{lost}; {replay}", unrestorable=item)


def _read(item: str) -> tuple[GapKind, str, str]:
    for start, kind, verb in _OLD:
        if item.startswith(start):
            return kind, f"{verb} {item.removeprefix(start)}", "what passed is not recorded"
    if item.startswith("object "):
        return "object", f"reaches {item.removeprefix('object ')}", "not served again"
    if _READS.match(item):
        return "request", f"asks {item}", "not asked again"
    if _REQUEST.match(item):
        return "request", f"sends {item}", "what it did there is not recorded"
    return "file", f"reads {item}", "not served again"
