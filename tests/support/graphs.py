"""A real home with a real graph: records said as events, projected, their run records in the store."""

from __future__ import annotations

from pathlib import Path

from lineage_flows.content import open_store
from lineage_flows.events.build import EventBuilder
from lineage_flows.events.event import Event
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.project import project
from lineage_flows.records import BlobRef, RunRecord

_ENDS = {"COMPLETED": "COMPLETE", "FAILED": "FAIL"}


def events_of(record: RunRecord, run_record: BlobRef | None = None) -> list[Event]:
    """Every event of a run, in the order in which they happen."""
    builder = EventBuilder("prefect")
    flows = {flow.run_id: flow for flow in (record.flow, *record.subflows)}
    events = [builder.flow_event("START", record.flow)]
    for flow in record.subflows:
        events.append(builder.flow_event("START", flow, parent_flow=record.flow))
    for step in record.steps:
        flow = flows[step.flow_run_id]
        events += [builder.step_event("START", step, flow), builder.step_event(_end(step.state_type), step, flow)]
    for flow in record.subflows:
        events.append(builder.flow_event(_end(flow.state_type), flow, parent_flow=record.flow))
    events.append(builder.flow_event(_end(record.flow.state_type), record.flow, run_record=run_record))
    return events


def keep_run(home: Path, record: RunRecord, *, finished: bool = True) -> None:
    """Put a run into the home, as if it had been captured and delivered.

    Args:
        home: the lineage home.
        record: the run.
        finished: without it the run has not ended yet, and has no run record.
    """
    home.mkdir(parents=True, exist_ok=True)
    blob = None
    if finished:
        data = record.model_dump_json().encode()
        digest, size = open_store(str(home / "blobs")).put(data)
        blob = BlobRef(digest=digest, size=size, format="json")
    events = events_of(record, blob)
    keeper = open_embedded(home / "graph.db")
    try:
        project(events if finished else events[:-1], keeper)
    finally:
        keeper.close()


def _end(state_type: str) -> str:
    return _ENDS.get(state_type, "ABORT")
