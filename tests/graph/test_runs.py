from __future__ import annotations

from typing import Any

from lineage_flows.events import EventBuilder
from lineage_flows.graph.runs import runs
from lineage_flows.records import DeploymentRef, ErrorRef
from tests.graph.kit import events_of, graph_of, new_graph, started
from tests.support.records import NAMESPACE, at, backtest_flow, backtest_record, blob, replay_record

RECORD = backtest_record()
REPLAY = replay_record(RECORD, different=2)


def flow_id(number: int) -> str:
    return f"01935c2e-7a10-7c3e-9d1a-5b6f0a4c{number:02x}00"


def test_all_that_is_known_of_a_run_is_in_its_summary():
    deployment = DeploymentRef(id="d", name="backtest/daily", work_pool="pool")
    record = backtest_record(
        deployment=deployment, nominal_start=at(-60), created_by="desk", tags=("b", "a"), capture_errors=("x",)
    )
    (run,) = runs(graph_of(events_of(record)))
    assert run.model_dump() == {
        "run_id": record.flow.run_id,
        "root_run_id": record.flow.run_id,
        "parent_run_id": None,
        "flow": "backtest",
        "name": "brave-otter",
        "kind": "run",
        "state": "Completed",
        "status": "Completed",
        "started": at(0),
        "ended": at(5.2),
        "replay_of": None,
        "verdict": None,
        "first_divergence": None,
        "report_digest": None,
        "deployment": "backtest/daily",
        "deployment_id": "d",
        "work_pool": "pool",
        "nominal_start": at(-60),
        "created_by": "desk",
        "attempt": 1,
        "level": "inputs",
        "tags": ("a", "b"),
        "commit": "9f2c1ab07d3e5f6a7b8c9d0e1f2a3b4c5d6e7f80",
        "repository": "https://git.example.com/desk/backtest.git",
        "branch": "main",
        "dirty": True,
        "capture_errors": 1,
        "error": None,
        "record_digest": blob(record.flow.run_id, "json").digest,
        "record_size": 36,
        "arn": run.arn,
    }


def test_a_run_that_only_began_is_running():
    (run,) = runs(graph_of([EventBuilder(NAMESPACE).flow_event("START", started(RECORD.flow))]))
    assert (run.state, run.status, run.ended, run.record_digest) == ("Running", "InProgress", None, None)


def test_a_run_that_is_only_named_by_others_is_not_listed():
    keeper = graph_of([EventBuilder(NAMESPACE).step_event("COMPLETE", RECORD.steps[0], RECORD.flow)])
    assert runs(keeper) == []


def test_a_replay_says_what_it_repeats_and_what_it_found():
    keeper = graph_of([*events_of(RECORD), *events_of(REPLAY)])
    (replay,) = runs(keeper, kind="replay")
    assert (replay.kind, replay.replay_of, replay.verdict, replay.first_divergence) == (
        "replay",
        RECORD.flow.run_id,
        "different",
        2,
    )
    assert [run.run_id for run in runs(keeper, kind="run")] == [RECORD.flow.run_id]


def test_runs_come_newest_first_by_their_start_and_no_more_than_asked_for():
    def of(number: int, start: float) -> Any:
        return events_of(backtest_record(flow_id(number), started=at(start), ended=at(start + 5000)))

    keeper = graph_of(event for number, start in enumerate((30, 10, 20, 20)) for event in of(number, start))
    listed = [run.run_id for run in runs(keeper)]
    assert listed == [flow_id(0), flow_id(2), flow_id(3), flow_id(1)]
    assert [run.run_id for run in runs(keeper, limit=2)] == listed[:2]


def test_runs_are_of_the_flow_asked_for_and_subflows_only_on_demand():
    sub = backtest_flow(flow_id(9), flow_name="sub", root_run_id=RECORD.flow.run_id, parent_run_id=RECORD.flow.run_id)
    keeper = graph_of(events_of(RECORD.model_copy(update={"subflows": (sub,)})))
    assert [run.flow for run in runs(keeper)] == ["backtest"]
    assert {run.flow for run in runs(keeper, subflows=True)} == {"backtest", "sub"}
    (only,) = runs(keeper, subflows=True, flow="sub")
    assert (only.parent_run_id, only.root_run_id) == (RECORD.flow.run_id, RECORD.flow.run_id)
    assert runs(keeper, flow="absent") == []


def test_a_failed_run_says_why_in_one_line():
    error = ErrorRef(type="ValueError", message="no\nprices")
    flow = backtest_flow(state="Failed", state_type="FAILED", error=error)
    (run,) = runs(graph_of([EventBuilder(NAMESPACE).flow_event("FAIL", flow)]))
    assert (run.state, run.error) == ("Failed", "ValueError: no prices")


def test_more_tags_than_fit_are_cut_and_the_rest_stays_readable():
    (run,) = runs(graph_of(events_of(backtest_record(tags=tuple(f"tag-{number:04}" for number in range(500))))))
    assert 100 < len(run.tags) < 500
    assert run.tags[0] == "tag-0000"


def test_an_empty_graph_has_no_runs():
    assert runs(new_graph()) == []
