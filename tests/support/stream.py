"""The events of a run record, in the order capture would send them."""

from __future__ import annotations

from lineage_flows.events import Event, EventBuilder
from lineage_flows.events.event import EventKind
from lineage_flows.records import BlobRef, FlowRecord, RunRecord, StepRecord
from tests.support.records import NAMESPACE, blob

ENDINGS: dict[str, EventKind] = {"COMPLETED": "COMPLETE", "FAILED": "FAIL", "CRASHED": "ABORT", "CANCELLED": "ABORT"}


def stream(run: RunRecord, builder: EventBuilder | None = None) -> list[Event]:
    """START of the flow, then each step's START and terminal event, subflows likewise, then the flow's terminal event."""
    builder = builder or EventBuilder(NAMESPACE)
    flows = {flow.run_id: flow for flow in (run.flow, *run.subflows)}
    events = [builder.flow_event("START", begun(run.flow))]
    events += [builder.flow_event("START", begun(one), parent_flow=flows[one.parent_run_id]) for one in run.subflows]
    for step in run.steps:
        flow = flows[step.flow_run_id]
        events.append(builder.step_event("START", begun_step(step), begun(flow)))
        events.append(builder.step_event(ENDINGS[step.state_type], step, flow))
    for one in run.subflows:
        events.append(builder.flow_event(ENDINGS[one.state_type], one, parent_flow=flows[one.parent_run_id]))
    record: BlobRef = blob("record", "json")
    return [*events, builder.flow_event(ENDINGS[run.flow.state_type], run.flow, run_record=record)]


def begun(flow: FlowRecord) -> FlowRecord:
    """A flow run as it is known at its start."""
    changes = {"ended": None, "state": "Running", "state_type": "RUNNING", "result": None, "code": None, "error": None}
    return flow.model_copy(update={**changes, "datasets": (), "attempts": ()})


def begun_step(step: StepRecord) -> StepRecord:
    """A step as it is known at its start."""
    changes = {"ended": None, "state": "", "state_type": "", "output": None, "error": None}
    return step.model_copy(update={**changes, "datasets": (), "attempts": (), "attempt": 1})
