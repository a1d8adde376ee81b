"""Looks at a home after its runs: each root flow run's record, its events and its part of the graph, against what is expected."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

from lineage_flows.api import lineage
from lineage_flows.delivery import Spool
from lineage_flows.events import TERMINAL
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.model import Action
from lineage_flows.records import FlowRecord, RunRecord, StepRecord
from lineage_flows.settings import load_settings
from tests.matrix.expected import Shape
from tests.support.openlineage import check as check_events

ENDS = {"COMPLETED": "COMPLETE", "FAILED": "FAIL", "CRASHED": "ABORT", "CANCELLED": "ABORT", "PENDING": "ABORT"}
STATUS = {
    "COMPLETED": {"Completed"},
    "FAILED": {"Failed"},
    "CRASHED": {"Failed", "Stopped"},
    "CANCELLED": {"Stopped"},
    "PENDING": {"Stopped", "Failed"},
}


class Home:
    """A home whose runs have ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def events(self) -> dict[str, list[dict[str, Any]]]:
        """Run id -> its events as they were accepted."""
        found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        with closing(Spool(self.folder / "spool.db")) as spool:
            for item in spool.pending("nobody", 1_000_000):
                document = json.loads(item.event.payload)
                found[document["run"]["runId"]].append(document)
        return dict(found)

    def faults(self) -> list[str]:
        """What is wrong with the events by OpenLineage's schemas and by the project's own."""
        return check_events(json.dumps(event).encode() for events in self.events.values() for event in events)

    def record(self, run_id: str) -> RunRecord:
        """The run record that the graph names."""
        with lineage(load_settings(home=self.folder)) as graph:
            return graph.record(run_id)

    def latest(self, root: str) -> list[FlowRecord | StepRecord]:
        """The latest record of each run under a root; also where no run record could be written."""
        with closing(Spool(self.folder / "spool.db")) as spool:
            return spool.records(root)


def look(home: Home, run_id: str, expected: Shape) -> RunRecord:
    """Assert that a root flow run is what is expected, in its record, its events and the graph."""
    record = home.record(run_id)
    _record(record, run_id, expected)
    _events(home, record)
    _graph(home, record)
    return record


def _record(record: RunRecord, run_id: str, expected: Shape) -> None:
    flow = record.flow
    assert (flow.run_id, flow.state) == (run_id, expected.state)
    assert not flow.capture_errors
    assert not [error for step in record.steps for error in step.capture_errors]
    assert {one.root_run_id for one in (*record.steps, *record.subflows)} <= {run_id}
    assert Counter(map(_step, record.steps)) == Counter(expected.steps)
    assert Counter(one.flow_name for one in record.subflows) == Counter(expected.subflows)
    for step in record.steps:
        assert [one.attempt for one in step.attempts] == list(range(1, step.attempt)), "each attempt is there"
        assert all(one.error is not None for one in step.attempts)
        assert (step.error is not None) == (step.state_type in {"FAILED", "CRASHED"})
        if step.state_type == "COMPLETED":
            assert step.output is not None
            assert step.output.fingerprint is not None
    found = Counter(edges(record))
    assert not Counter(expected.edges) - found
    assert not found - Counter(expected.edges) - Counter(expected.perhaps)
    names = _names(record)
    order = Counter(f"{names[up]}>{step.task_name}" for step in record.steps for up in step.upstream)
    assert not Counter(expected.waits) - order
    inside = [f"{step.task_name} in {names[step.parent_step_id]}" for step in record.steps if step.parent_step_id]
    assert Counter(inside) == Counter(expected.inside)
    files = Counter(
        f"{step.task_name}:{_file(data.path)}:{data.direction}" for step in record.steps for data in step.datasets
    )
    assert files == Counter([*(f"{one}:read" for one in expected.reads), *(f"{one}:write" for one in expected.writes)])
    assert all(data.fingerprint or "number" in data.path or "kept" in data.path for data in _datasets(record))
    cached = [f"{names[s.cached_from.run_id]}>{s.task_name}" for s in record.steps if s.cached_from is not None]
    assert Counter(cached) == Counter(expected.cached)
    if expected.tags:
        assert all(set(expected.tags) <= set(step.tags) for step in record.steps)


def edges(record: RunRecord) -> list[str]:
    """Every edge from a run to a run along which a value went, as ``expected`` names them."""
    names = _names(record)
    found = []
    for step in record.steps:
        found += [
            f"{names.get(s.run_id, 'another()')}>{step.task_name}.{item.name}"
            for item in step.inputs
            for s in item.sources
        ]
        if step.cached_from is not None:
            found.append(f"{names.get(step.cached_from.run_id, '?')}>{step.task_name}.cache")
    for flow in (record.flow, *record.subflows):
        found += [f"{names[s.run_id]}>{flow.flow_name}().{i.name}" for i in flow.parameters for s in i.sources]
        found += [f"{names[source.run_id]}>{flow.flow_name}()" for source in flow.result_sources]
    return found


def _events(home: Home, record: RunRecord) -> None:
    root = record.flow
    parents = {flow.run_id: flow.parent_run_id for flow in (root, *record.subflows)}
    parents |= {step.run_id: step.flow_run_id for step in record.steps}
    for one in (root, *record.subflows, *record.steps):
        events = home.events[one.run_id]
        kinds = [event["eventType"] for event in events]
        assert kinds[0] == "START"
        news = len(one.attempts)
        assert kinds[1:] == ["RUNNING"] * news + [ENDS[one.state_type]]
        for event in events:
            parent = event["run"]["facets"].get("parent")
            expected = parents[one.run_id]
            assert (parent["run"]["runId"] if parent else None) == expected
            assert expected is None or parent["root"]["run"]["runId"] == root.run_id
        last = events[-1]
        outputs = [data["facets"]["lineageFlows_artifact"] for data in last["outputs"]]
        if isinstance(one, StepRecord):
            # After its end, no event can tell of a run any more: of a rollback, its flow run tells.
            rolled_back = one.state == "RolledBack"
            said = last["run"]["facets"]["lineageFlows_taskRun"]["state"]
            assert said == ("Completed" if rolled_back else one.state)
            told = home.events[one.flow_run_id][-1]["run"]["facets"]["lineageFlows_flowRun"].get("rolledBack", [])
            assert rolled_back == (one.run_id in told)
            taken = Counter(source.uri for item in one.inputs for source in item.sources)
            taken += Counter([one.cached_from.uri] if one.cached_from else [])
            given = Counter(data["facets"]["lineageFlows_artifact"]["sourceUri"] for data in last["inputs"])
            assert not taken - given
            if one.state_type == "COMPLETED":
                assert f"/task-run/{one.run_id}/result" in outputs[0]["sourceUri"]
    kept = home.events[root.run_id][-1]["run"]["facets"]["lineageFlows_flowRun"]["runRecord"]
    assert kept["digest"].startswith("sha256:"), "the root's end names the run record"
    assert len([e for events in home.events.values() for e in events if _record_of(e) == kept["digest"]]) == 1


def _graph(home: Home, record: RunRecord) -> None:
    root = record.flow
    runs = {one.run_id: one for one in (root, *record.subflows, *record.steps)}
    with closing(open_embedded(home.folder / "graph.db", read_only=True)) as keeper:
        actions = {
            action.source_id: action
            for action in keeper.list_actions()
            if root.run_id in {action.source_id, action.properties.get("rootRunId")}
        }
        assert set(actions) == set(runs), "one action a run, and no other"
        for run_id, one in runs.items():
            action = actions[run_id]
            assert action.status in STATUS[one.state_type]
            assert action.properties["stateType"] == one.state_type
            if isinstance(one, StepRecord):
                assert int(action.properties["attempt"]) == one.attempt
                assert action.properties["cached"] == str(one.cached).lower()
        arns = {action.arn: run_id for run_id, action in actions.items()}

        held = keeper.associations(sources=list(arns), types=["AssociatedWith"])
        found = {(arns[edge.source_arn], arns.get(edge.destination_arn)) for edge in held}
        for one in runs.values():
            parent = one.flow_run_id if isinstance(one, StepRecord) else one.parent_run_id
            assert parent is None or (one.run_id, parent) in found
            assert one.parent_step_id not in runs or (one.run_id, one.parent_step_id) in found

        for one in runs.values():
            arn = actions[one.run_id].arn
            made = {
                artifact.source_uri
                for edge in keeper.associations(sources=[arn], types=["Produced"])
                for artifact in keeper.list_artifacts()
                if artifact.arn == edge.destination_arn
            }
            taken = {
                artifact.source_uri
                for edge in keeper.associations(destinations=[arn], types=["ContributedTo"])
                for artifact in keeper.list_artifacts()
                if artifact.arn == edge.source_arn
            }
            output = one.output if isinstance(one, StepRecord) else one.result
            if output is not None and not output.type.endswith("NoneType"):
                kind = "task-run" if isinstance(one, StepRecord) else "flow-run"
                assert f"prefect://prefect/{kind}/{one.run_id}/result" in made
            inputs = one.inputs if isinstance(one, StepRecord) else one.parameters
            assert {source.uri for item in inputs for source in item.sources} <= taken
            for data in one.datasets:
                assert data.uri in (taken if data.direction == "read" else made)
        assert isinstance(actions[root.run_id], Action)
        rolled_back = [step.run_id for step in record.steps if step.state == "RolledBack"]
        assert json.loads(actions[root.run_id].properties.get("rolledBack", "[]")) == rolled_back


def _names(record: RunRecord) -> dict[str, str]:
    names = {step.run_id: step.task_name for step in record.steps}
    return names | {flow.run_id: f"{flow.flow_name}()" for flow in (record.flow, *record.subflows)}


def _step(step: StepRecord) -> str:
    state = "" if step.state == "Completed" else f":{step.state}"
    attempt = "" if step.attempt == 1 else f"#{step.attempt}"
    return f"{step.task_name}{attempt}{state}"


def _file(path: str) -> str:
    name = Path(path).name
    return "total.txt" if name.startswith("total-") else name


def _datasets(record: RunRecord) -> list[Any]:
    return [data for step in record.steps for data in step.datasets]


def _record_of(event: dict[str, Any]) -> str | None:
    facet = event["run"]["facets"].get("lineageFlows_flowRun", {}).get("runRecord")
    return facet["digest"] if facet and event["eventType"] in TERMINAL else None
