"""Finds the run record that a reference means: through the graph to the blob it names.

Knows the graph's references and the store; must not know what a replay makes of the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lineage_flows.errors import ReplayError
from lineage_flows.records import RunRecord, read_run_record

if TYPE_CHECKING:
    from lineage_flows.content import Store
    from lineage_flows.graph.runs import RunSummary
    from lineage_flows.settings import Settings

__all__ = ["FoundRecord", "find_record"]

_ENDED = frozenset({"Completed", "Failed", "Stopped"})
"""Statuses of an action after its end, in SageMaker's words."""


class FoundRecord(NamedTuple):
    """The record of the run to replay, what is to be said about the choice, and the hash by which the graph names the record."""

    record: RunRecord
    notes: tuple[str, ...]
    digest: str


def find_record(reference: str, settings: Settings, store: Store) -> FoundRecord:
    """The record of the run to replay.

    A replay names the run it repeats: that one is replayed again, since what a replay restored it did not capture anew.

    Args:
        reference: run id, unique prefix, run name, ARN, or ``commit:SHA`` with one run.
        settings: where the graph lies.
        store: where the record lies.

    Raises:
        UnknownReferenceError: nothing, or no flow run, is called so.
        AmbiguousReferenceError: more than one is.
        ReplayError: the run has no record: it is a subflow's, goes on, or was killed.
        RecordFormatError: the record is not one this version reads.
        ContentError: the record's blob is missing or altered.
    """
    from lineage_flows.graph.opening import open_graph
    from lineage_flows.graph.reference import resolve_run
    from lineage_flows.graph.runs import run_summary

    keeper = open_graph(settings, read_only=True)
    try:
        run = run_summary(resolve_run(keeper, reference))
        notes: tuple[str, ...] = ()
        if run.replay_of is not None:
            notes = (f"{run.run_id} ({run.name}) is itself a replay: the run it repeats was replayed again",)
            run = run_summary(resolve_run(keeper, run.replay_of))
    finally:
        keeper.close()
    if run.record_digest is None:
        raise _no_record(run)
    return FoundRecord(read_run_record(store.get(run.record_digest)), notes, run.record_digest)


def _no_record(run: RunSummary) -> ReplayError:
    what = f"run {run.run_id} ({run.name}) cannot be replayed"
    if run.parent_run_id is not None and run.root_run_id != run.run_id:
        return ReplayError(
            what,
            why="it is a subflow's run, and is recorded with the run that called it",
            fix=f"replay run {run.root_run_id}",
        )
    if run.status not in _ENDED:
        return ReplayError(
            what,
            why=f"its end is not recorded (it is {run.state}): it goes on, was killed, or its last events wait in the spool",
            fix="wait for its end, or hand on what waits with `lineage-flows deliver`",
        )
    return ReplayError(
        what,
        why="its run record was not kept, see its capture errors; level inputs or all is needed",
        fix="run the flow again with LINEAGE_FLOWS_LEVEL=inputs",
    )
