from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.errors import GraphError, UnknownReferenceError
from lineage_flows.graph.in_force import InForce, run_in_force
from lineage_flows.losses import day_of
from lineage_flows.records import DeploymentRef, RunRecord
from tests.graph.jobs import PLACE, thing
from tests.graph.kit import events_of, flow_id, graph_of, record_of
from tests.support.records import at, backtest_record, replay_record, step

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def ran(number: int, ended: datetime, **fields: Any) -> RunRecord:
    """A run that ended then; each number another run."""
    said = {"started": said_at(ended - timedelta(minutes=1)), "ended": said_at(ended)}
    return backtest_record(run_id(number), run_name=f"run-{number}", **{**said, **fields})


def run_id(number: int) -> str:
    return f"{number:08x}-7a10-7c3e-9d1a-5b6f0a4c1e00"


def said_at(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def asked(*records: RunRecord, **question: Any) -> InForce:
    with closing(graph_of(event for record in records for event in events_of(record))) as graph:
        return run_in_force(graph, **question)


def test_the_last_run_that_had_completed_by_then_is_in_force():
    runs = [ran(1, NOON), ran(2, NOON + timedelta(hours=1)), ran(3, NOON + timedelta(hours=2))]
    assert asked(*runs, strategy="backtest", until=NOON + timedelta(minutes=90)).run.run_id == run_id(2)
    assert asked(*runs, strategy="backtest", until=NOON).run.run_id == run_id(1), "in the very moment it completes"
    assert asked(*runs, strategy="backtest").run.run_id == run_id(3), "now, without a moment"


def test_a_run_that_failed_or_goes_on_or_is_a_replay_stands_behind_nothing():
    failed = ran(2, NOON + timedelta(hours=1), state="Failed", state_type="FAILED")
    replayed = replay_record(ran(1, NOON))
    later = replayed.model_copy(
        update={"flow": replayed.flow.model_copy(update={"ended": said_at(NOON + timedelta(hours=2))})}
    )
    assert asked(ran(1, NOON), failed, later, strategy="backtest").run.run_id == run_id(1)


def test_a_strategy_is_a_flow_or_a_deployment_or_a_tag():
    nightly = DeploymentRef(id="9b1d", name="nightly", work_pool="desk")
    runs = [
        ran(1, NOON, tags=("strategy:momentum",)),
        ran(2, NOON + timedelta(hours=1), deployment=nightly, tags=("carry",)),
        ran(3, NOON + timedelta(hours=2), flow_name="nightly-check"),
    ]
    for strategy, number in (
        ("backtest", 2),
        ("nightly", 2),
        ("backtest/nightly", 2),
        ("momentum", 1),
        ("strategy:momentum", 1),
        ("carry", 2),
        ("nightly-check", 3),
    ):
        assert asked(*runs, strategy=strategy).run.run_id == run_id(number), strategy


def test_a_strategy_nobody_knows_is_an_error_that_offers_what_is_called_alike():
    with pytest.raises(UnknownReferenceError, match="Did you mean backtest") as caught:
        asked(ran(1, NOON), strategy="backtset")
    assert caught.value.reference == "backtset"
    with pytest.raises(UnknownReferenceError, match="lineage-flows runs"):
        asked(ran(1, NOON), strategy="something else")


def test_before_the_first_run_it_is_said_when_that_was():
    with pytest.raises(GraphError, match=r"had completed by 2026-03-02T11.*first one completed at 2026-03-02T12:00"):
        asked(ran(1, NOON), strategy="backtest", until=NOON - timedelta(hours=1))
    with pytest.raises(GraphError, match="none has completed at all"):
        asked(ran(1, NOON, state="Failed", state_type="FAILED"), strategy="backtest")


def test_of_a_day_it_is_told_what_else_was_in_force():
    runs = [
        ran(1, NOON - timedelta(days=2)),
        ran(2, NOON - timedelta(days=1)),
        ran(3, NOON),
        ran(4, NOON + timedelta(hours=4)),
    ]
    begin, end = day_of(NOON.date())
    found = asked(*runs, strategy="backtest", since=begin, until=end)
    assert found.run.run_id == run_id(4)
    assert [run.run_id for run in found.others] == [run_id(3), run_id(2)], "that of the day before was, until noon"


@pytest.mark.parametrize("since", [None, NOON - timedelta(hours=1), NOON + timedelta(hours=1)])
def test_of_runs_that_completed_in_the_same_moment_none_is_hidden(since):
    runs = [ran(1, NOON), ran(2, NOON), ran(3, NOON - timedelta(hours=2))]
    found = asked(*runs, strategy="backtest", until=NOON + timedelta(hours=2), since=since)
    assert found.run.run_id == run_id(2)
    assert [run.run_id for run in found.others][:1] == [run_id(1)]


def test_of_a_registered_version_the_run_is_meant_that_made_the_model_and_not_the_one_that_registered_it():
    package = thing(f"{PLACE}:model-package/desk-ridge/3", "write", 7, kind="Model", runId=run_id(1))
    promoting = record_of(
        step(0, "promote", flow_id=flow_id(9), started=at(5), ended=at(9), output=None, datasets=(package,))
    )
    with closing(graph_of([*events_of(ran(1, NOON)), *events_of(promoting)])) as graph:
        assert run_in_force(graph, model="desk-ridge/3").run.run_id == run_id(1)
    with closing(graph_of(events_of(promoting))) as graph:  # the other run's lineage is not here
        assert run_in_force(graph, model="desk-ridge/3").run.run_id == flow_id(9)


def test_a_model_and_a_step_lead_to_the_run_they_belong_to():
    runs = [ran(1, NOON), ran(2, NOON + timedelta(hours=1), window=60)]
    with closing(graph_of(event for record in runs for event in events_of(record))) as graph:
        models = graph.list_artifacts(artifact_types=["Model"])
        assert {run_in_force(graph, model=model.arn).run.run_id for model in models} == {run_id(1), run_id(2)}
        for step in graph.list_actions(run_name="fit_model-002"):
            assert run_in_force(graph, model=step.arn).run.run_id == step.properties["rootRunId"]
        figure = "file:///desk/out/equity.png"
        assert run_in_force(graph, model=figure, strategy="backtest").run.run_id in {run_id(1), run_id(2)}
        with pytest.raises(GraphError, match="strategy 'carry'"):
            run_in_force(graph, model=figure, strategy="carry")
        with pytest.raises(GraphError, match="had completed by"):
            run_in_force(graph, model=models[0].arn, until=NOON - timedelta(hours=1))


def test_what_no_run_made_is_said_so():
    with closing(graph_of(events_of(ran(1, NOON)))) as graph:
        (prices,) = graph.list_artifacts(source_uri="file:///desk/data/prices.parquet")
        with pytest.raises(GraphError, match="no run that made"):
            run_in_force(graph, model=prices.arn)
        with pytest.raises(UnknownReferenceError):
            run_in_force(graph, model="s3://desk/none.tar.gz")


def test_neither_strategy_nor_model_is_a_mistake_of_the_caller():
    with closing(graph_of([])) as graph, pytest.raises(ValueError, match="needed"):
        run_in_force(graph)


@given(
    ends=st.lists(st.integers(0, 40), min_size=1, max_size=8, unique=True),
    until=st.integers(0, 40),
    length=st.integers(0, 40),
)
def test_the_run_in_force_is_the_last_of_those_by_then_and_the_others_lie_between(ends, until, length):
    records = [ran(number, NOON + timedelta(minutes=end)) for number, end in enumerate(ends, start=1)]
    question = {"until": NOON + timedelta(minutes=until), "since": NOON + timedelta(minutes=until - length)}
    by_then = sorted(end for end in ends if end <= until)
    if not by_then:
        with pytest.raises(GraphError):
            asked(*records, strategy="backtest", **question)
        return
    found = asked(*records, strategy="backtest", **question)
    number = {run_id(number): end for number, end in enumerate(ends, start=1)}
    assert number[found.run.run_id] == by_then[-1]
    first = max((end for end in by_then if end <= until - length), default=None)
    expected = {end for end in by_then if end > until - length} | ({first} if first is not None else set())
    assert {number[other.run_id] for other in found.others} == expected - {by_then[-1]}
