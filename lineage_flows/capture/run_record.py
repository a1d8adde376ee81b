"""Puts the run record together: the one document of a root flow run, from the latest record of each run under it.

Knows records only. Steps are ordered by the moment of submission, which Prefect writes into their ids (UUIDs of version 7), and
within its millisecond, where those ids are random, by the moment they started.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lineage_flows.records import FlowRecord, RunRecord, StepRecord

__all__ = ["ROLLED_BACK", "assemble"]

ROLLED_BACK = "RolledBack"
"""Prefect's name for the state of a completed task run whose transaction failed later."""


def assemble(root: FlowRecord, records: Iterable[StepRecord | FlowRecord]) -> RunRecord:
    """The run record of a root flow run.

    Args:
        root: the root flow run as it ended.
        records: the latest record of each run under it; an older record of the root among them is ignored.

    Returns:
        The record, each step with its index among those of its flow run and task name.
    """
    counts: Counter[tuple[str, str]] = Counter()
    steps: list[StepRecord] = []
    subflows: list[FlowRecord] = []
    for record in sorted(records, key=_moment):
        if isinstance(record, FlowRecord):
            if record.run_id != root.run_id:
                subflows.append(record)
            continue
        key = (record.flow_run_id, record.task_name)
        steps.append(record.model_copy(update={"index": counts[key]}))
        counts[key] += 1
    undone = {run_id for flow in (root, *subflows) for run_id in flow.rolled_back}
    told = tuple(step.model_copy(update={"state": ROLLED_BACK}) if step.run_id in undone else step for step in steps)
    return RunRecord(flow=root, subflows=tuple(subflows), steps=told)


def _moment(record: StepRecord | FlowRecord) -> tuple[str, str, str]:
    """The 48 bits of a version 7 UUID that hold its millisecond are its first 13 characters (RFC 9562, section 5.7)."""
    return record.run_id[:13], record.started or "", record.run_id
