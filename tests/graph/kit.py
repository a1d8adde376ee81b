"""Events of run records, in the order a run sends them, and pictures of whole graphs to compare."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lineage_flows.events import Event, EventBuilder
from lineage_flows.graph.embedded import EmbeddedKeeper, open_embedded
from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.model import Action, Artifact, Association, Entity
from lineage_flows.graph.project import project
from lineage_flows.graph.query import Walk
from lineage_flows.records import DatasetRef, FlowRecord, RunRecord, StepRecord, ValueRef
from tests.support.records import NAMESPACE, at, backtest_flow, blob, fingerprint

ENDS = {"COMPLETED": "COMPLETE", "FAILED": "FAIL", "CRASHED": "ABORT", "CANCELLED": "ABORT"}


def events_of(record: RunRecord, *, namespace: str = NAMESPACE) -> list[Event]:
    """What a run sends: its START, then every step's events and every subflow's, and its end."""
    builder = EventBuilder(namespace)
    flows = {flow.run_id: flow for flow in (record.flow, *record.subflows)}
    parts: list[tuple[str, Event]] = []
    for flow in flows.values():
        parent = flows.get(flow.parent_run_id or "")
        end: Any = ENDS[flow.state_type]
        kept = blob(flow.run_id, "json") if flow is record.flow else None
        parts.append((flow.started or "", builder.flow_event("START", started(flow), parent_flow=parent)))
        parts.append((flow.ended or "", builder.flow_event(end, flow, parent_flow=parent, run_record=kept)))
    for step in record.steps:
        flow = flows[step.flow_run_id]
        begun = step.model_copy(
            update={"output": None, "datasets": (), "state": "Running", "state_type": "RUNNING", "ended": None}
        )
        last: Any = ENDS[step.state_type]
        parts.append((step.started or "", builder.step_event("START", begun, flow)))
        parts.append((step.ended or "", builder.step_event(last, step, flow)))
    return [event for _, event in sorted(parts, key=lambda part: part[0])]


def started(flow: FlowRecord) -> FlowRecord:
    """The record of a flow run as it is when it starts."""
    return flow.model_copy(
        update={
            "result": None,
            "datasets": (),
            "code": None,
            "environment": None,
            "state": "Running",
            "state_type": "RUNNING",
            "ended": None,
            "result_sources": (),
        }
    )


def graph_of(events: Iterable[Event | dict[str, Any]], *, batch: int | None = None) -> EmbeddedKeeper:
    """A new graph with these events in it, projected at once or in batches of so many."""
    keeper = new_graph()
    listed = list(events)
    for begin in range(0, len(listed), batch or max(len(listed), 1)):
        project(listed[begin : begin + batch] if batch else listed, keeper)
    return keeper


def new_graph() -> EmbeddedKeeper:
    """An empty graph in a folder of its own, which goes when the tests end."""
    return open_embedded(Path(_folder.name, f"{next(_numbers)}.db"))


# In memory where there is such a folder: a graph waits for the disk at each batch, and tests make thousands.
_folder = TemporaryDirectory(prefix="graph-tests-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
_numbers = itertools.count()


def picture(keeper: Keeper) -> tuple[list[Entity], list[Association]]:
    """The whole graph, for comparison."""
    return [*keeper.list_artifacts(), *keeper.list_actions(), *keeper.list_contexts()], keeper.associations()


def action_of(keeper: Keeper, run_id: str) -> Action:
    """The action of a run."""
    (found,) = keeper.list_actions(run_id=run_id)
    return found


def output_of(keeper: Keeper, step: StepRecord | FlowRecord) -> Artifact:
    """What a step gave out."""
    what = "task-run" if isinstance(step, StepRecord) else "flow-run"
    (found,) = keeper.list_artifacts(source_uri=f"prefect://{NAMESPACE}/{what}/{step.run_id}/result")
    return found


def arns(walk: Walk) -> set[str]:
    """What a walk met."""
    return {node.entity.arn for node in walk.nodes}


def labels(walk: Walk, *, depth: int | None = None) -> Sequence[str]:
    """What a walk met, in words, in its order."""
    return [node.entity.label for node in walk.nodes if depth is None or node.depth == depth]


def frame(text: str) -> ValueRef:
    """A frame whose content is a text."""
    return ValueRef(fingerprint=fingerprint(text), type="pandas.DataFrame", kind="DataSet")


def desk_file(name: str, version: str, direction: Any, touched: str | None = None) -> DatasetRef:
    """A file on the desk, in a version; ``touched`` at a moment, if that is known."""
    path = f"/desk/{name}"
    return DatasetRef(
        namespace="file",
        name=path,
        uri=f"file://{path}",
        path=path,
        direction=direction,
        fingerprint=fingerprint(f"{name} {version}"),
        via=("open",),
        touched=touched,
    )


def record_of(*steps: StepRecord, **flow: Any) -> RunRecord:
    """A run with these steps."""
    return RunRecord(flow=backtest_flow(steps[0].root_run_id, **{"ended": at(900), **flow}), steps=steps)


def flow_id(number: int) -> str:
    """Id of the n-th run."""
    return f"01935c2e-7a10-7c3e-9d1a-5b6f0a4c{number:02x}00"


def data(walk: Walk) -> list[str]:
    """The files a walk met, in its order."""
    return [label for label in labels(walk) if label.startswith("/desk")]
