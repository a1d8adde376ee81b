from __future__ import annotations

import contextlib
import json
import random
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.errors import EventError
from lineage_flows.events import EventBuilder
from lineage_flows.graph.project import project
from lineage_flows.records import AttemptRef, ErrorRef, JobAbout, PolicyRef, RunOrigin, RunRecord
from tests.graph.kit import action_of, events_of, frame, graph_of, new_graph, output_of, picture, record_of, started
from tests.graph.stories import stories
from tests.support.records import (
    NAMESPACE,
    at,
    backtest_flow,
    backtest_record,
    blob,
    fingerprint,
    prices_file,
    replay_record,
    step,
)

slow = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
RECORD = backtest_record()
LOAD, FEATURES, FIT, WALK, EVALUATE = RECORD.steps


def edges(keeper) -> set[tuple[str, str, str]]:
    """Every association in words."""
    names = {entity.arn: f"{entity.type} {entity.label}" for entity in picture(keeper)[0]}
    return {(names[e.source_arn], e.association_type, names[e.destination_arn]) for e in keeper.associations()}


# The mapping


def test_a_run_becomes_what_the_design_says():
    keeper = graph_of(events_of(RECORD))
    found = edges(keeper)
    tree, environment = (
        next(f"{a.type} {a.label}" for a in keeper.list_artifacts(artifact_types=[kind]))
        for kind in ("SourceTree", "Environment")
    )
    assert {
        ("DataSet /desk/data/prices.parquet", "ContributedTo", "Preprocessing load_prices"),
        ("SourceCode load_prices", "ContributedTo", "Preprocessing load_prices"),
        ("Preprocessing load_prices", "Produced", "TimeSeries backtest.load_prices/result"),
        ("TimeSeries backtest.load_prices/result", "ContributedTo", "Preprocessing make_features"),
        ("TimeSeries backtest.make_features/result", "ContributedTo", "Training fit_model"),
        ("Training fit_model", "Produced", "Model backtest.fit_model/result"),
        ("Model backtest.fit_model/result", "ContributedTo", "Processing walk_forward"),
        ("Postprocessing evaluate", "Produced", "Metrics backtest.evaluate/result"),
        ("Postprocessing evaluate", "Produced", "DataSet /desk/out/equity.png"),
        ("Postprocessing evaluate", "AssociatedWith", "FlowRun brave-otter"),
        ("FlowRun brave-otter", "AssociatedWith", "Flow backtest"),
        (tree, "ContributedTo", "FlowRun brave-otter"),
        (environment, "ContributedTo", "FlowRun brave-otter"),
    } <= found
    assert sum(kind == "Produced" and end.startswith("RunRecord") for _, kind, end in found) == 1
    assert environment == "Environment Python 3.11.9 on Linux-6.1-x86_64"


def test_what_is_known_of_a_run_is_on_its_action():
    run = action_of(graph_of(events_of(RECORD)), RECORD.flow.run_id)
    assert run.name == f"backtest-{RECORD.flow.run_id}"
    assert (run.action_type, run.status) == ("FlowRun", "Completed")
    assert run.metadata.commit_id == "9f2c1ab07d3e5f6a7b8c9d0e1f2a3b4c5d6e7f80"
    assert run.metadata.repository == "https://git.example.com/desk/backtest.git"
    assert run.properties["dirty"] == "true"
    assert run.properties["runRecord"] == blob(RECORD.flow.run_id, "json").digest
    assert json.loads(run.properties["parameters"]) == {"window": "20", "path": "data/prices.parquet"}
    assert (run.created_at, run.modified_at) == (at(0), at(5.2))


def test_what_a_job_is_declared_to_be_and_what_was_left_out_are_on_the_action():
    about = JobAbout(
        documentation="Loads.\nAll of it.", owners=("team:a",), retries=2, timeout=1.5, cache_policy="Inputs"
    )
    policy = PolicyRef(rules=("x rules[1]",), datasets=2, parameters=("p",), output=True)
    origin = RunOrigin(type="AUTOMATION", id="7", name="nightly", worker="w", work_queue="q", run_url="http://h/runs/1")
    replay = replay_record(RECORD).flow.replay
    flow = RECORD.flow.model_copy(update={"about": about, "origin": origin, "policy": policy, "replay": replay})
    steps = (LOAD.model_copy(update={"about": about, "policy": policy, "url": "http://h/runs/2"}), *RECORD.steps[1:])
    keeper = graph_of(events_of(RECORD.model_copy(update={"flow": flow, "steps": steps})))
    run, step_ = action_of(keeper, RECORD.flow.run_id), action_of(keeper, LOAD.run_id)
    declared = {"owners": ["team:a"], "retries": 2, "timeout": 1.5, "cachePolicy": "Inputs"}
    told = json.loads(run.properties["about"])
    assert {key: told[key] for key in declared} == declared
    assert (told["createdByType"], told["createdBy"], told["worker"]) == ("AUTOMATION", "nightly", "w")
    assert (told["runUrl"], told["autoScheduled"]) == ("http://h/runs/1", False)
    of_step = json.loads(step_.properties["about"])
    assert of_step.pop("leftOut")["datasetsLeftOut"] == 2
    assert of_step == {**declared, "runUrl": "http://h/runs/2"}
    assert run.description == "Loads. All of it."
    assert len(run.properties) <= 30


def test_an_input_says_how_it_went_in_and_how_that_is_known():
    keeper = graph_of(events_of(RECORD))
    (edge,) = keeper.associations(
        sources=[output_of(keeper, LOAD).arn], destinations=[action_of(keeper, FEATURES.run_id).arn]
    )
    assert [(use.name, use.part, use.known_by) for use in edge.uses] == [("prices", "", ("content", "prefect"))]
    (prices,) = keeper.list_artifacts(source_uri="file:///desk/data/prices.parquet")
    (read,) = keeper.associations(sources=[prices.arn])
    assert [(use.name, use.known_by) for use in read.uses] == [("", ("pandas.read_parquet",))]


def test_an_edge_of_a_file_says_when_it_was_first_read_or_last_written():
    touches = [
        prices_file(direction=direction).model_copy(update={"touched": moment})
        for direction in ("read", "write")
        for moment in (at(2), None, at(1), at(3))
    ]
    keeper = graph_of(events_of(record_of(step(0, "rewrite", datasets=tuple(touches)))))
    (prices,) = keeper.list_artifacts(source_uri="file:///desk/data/prices.parquet")
    (read,) = keeper.associations(sources=[prices.arn])
    (written,) = keeper.associations(destinations=[prices.arn])
    assert (read.moment, written.moment) == (at(1), at(3))
    assert [use.known_by for use in read.uses] == [("pandas.read_parquet",)]
    (old,) = graph_of(events_of(RECORD)).associations(sources=[prices.arn])
    assert old.moment == ""


def test_an_artifact_is_what_its_maker_says_even_if_a_part_of_it_went_on():
    keeper = graph_of(events_of(RECORD))
    whole = output_of(keeper, LOAD)
    (taken,) = FEATURES.inputs[0].sources
    part = step(
        9,
        "part",
        inputs=(FEATURES.inputs[0].model_copy(update={"sources": (taken.model_copy(update={"part": "/train"}),)}),),
    )
    builder = EventBuilder(NAMESPACE)
    for event in (builder.step_event("COMPLETE", part, RECORD.flow), *events_of(RECORD)):
        project([event], keeper)
    assert output_of(keeper, LOAD) == whole
    (edge,) = keeper.associations(sources=[whole.arn], destinations=[action_of(keeper, part.run_id).arn])
    assert [use.part for use in edge.uses] == ["/train"]


def test_where_a_value_is_kept_is_what_its_maker_says():
    low, high = sorted((blob("one", "arrow"), blob("other", "pickle")), key=lambda kept: kept.digest)
    kept = LOAD.model_copy(update={"output": LOAD.output.model_copy(update={"blob": low})})  # type: ignore[union-attr]
    (given_in,) = [item for item in FEATURES.inputs if item.sources]
    seen = given_in.model_copy(update={"value": given_in.value.model_copy(update={"blob": high})})
    keeper = graph_of(
        events_of(RECORD.model_copy(update={"steps": (kept, FEATURES.model_copy(update={"inputs": (seen,)}))}))
    )
    assert output_of(keeper, LOAD).properties["blob"] == low.digest


def test_one_version_of_a_file_is_one_artifact_for_all_runs_and_another_version_another():
    again = backtest_record("01935c2e-7a10-7c3e-9d1a-5b6f0a4c2e00")
    changed = step(7, "load_prices", flow_id="01935c2e-7a10-7c3e-9d1a-5b6f0a4c3e00", datasets=(prices_file("2"),))
    third = RunRecord(flow=backtest_flow("01935c2e-7a10-7c3e-9d1a-5b6f0a4c3e00"), steps=(changed,))
    keeper = graph_of([event for record in (RECORD, again, third) for event in events_of(record)])
    versions = keeper.list_artifacts(source_uri="file:///desk/data/prices.parquet")
    assert {version.fingerprint for version in versions} == {fingerprint("prices 1"), fingerprint("prices 2")}
    assert len(keeper.list_artifacts(artifact_types=["SourceTree"])) == 1
    assert len(keeper.list_artifacts(artifact_types=["Model"])) == 2  # equal models of two runs stay two


def test_a_replay_is_derived_from_its_run_and_its_equal_values_are_the_same():
    keeper = graph_of([*events_of(RECORD), *events_of(replay := replay_record(RECORD, different=2))])
    action = action_of(keeper, replay.flow.run_id)
    assert (action.action_type, action.properties["verdict"]) == ("Replay", "different")
    (derived,) = keeper.associations(types=["DerivedFrom"])
    assert (derived.source_arn, derived.destination_arn) == (action.arn, action_of(keeper, RECORD.flow.run_id).arn)
    same = {(edge.source_arn, edge.destination_arn) for edge in keeper.associations(types=["SameAs"])}
    assert same == {
        (output_of(keeper, after).arn, output_of(keeper, before).arn)
        for after, before in zip(replay.steps[:2], RECORD.steps[:2], strict=True)
    }


def test_a_replay_under_another_namespace_finds_its_original():
    replay = replay_record(RECORD)
    keeper = graph_of([*events_of(replay, namespace="elsewhere"), *events_of(RECORD)])
    uri = f"prefect://elsewhere/task-run/{replay.steps[2].run_id}/result"
    (model,) = keeper.list_artifacts(source_uri=uri)
    (same,) = keeper.associations(sources=[model.arn], types=["SameAs"])
    assert same.destination_arn == output_of(keeper, FIT).arn
    assert len(keeper.associations(types=["DerivedFrom"])) == 1


def test_values_of_other_content_are_not_the_same_whatever_was_said():
    replay = replay_record(RECORD)
    load = replay.steps[0].model_copy(update={"output": frame("something else")})
    keeper = graph_of([*events_of(RECORD), *events_of(replay.model_copy(update={"steps": (load, *replay.steps[1:])}))])
    uri = f"prefect://{NAMESPACE}/task-run/{load.run_id}/result"
    (other,) = [
        value for value in keeper.list_artifacts(source_uri=uri) if value.fingerprint == fingerprint("something else")
    ]
    assert keeper.associations(sources=[other.arn], types=["SameAs"]) == []
    assert len(keeper.associations(types=["SameAs"])) >= 4


def test_a_subflow_is_part_of_its_parent_and_of_its_own_flow():
    sub_id = "01935c2e-7a10-7c3e-9d1a-5b6f0a4cee00"
    sub = backtest_flow(sub_id, flow_name="sub", parent_run_id=RECORD.flow.run_id, root_run_id=RECORD.flow.run_id)
    keeper = graph_of(events_of(RECORD.model_copy(update={"subflows": (sub,)})))
    ends = keeper.associations(sources=[action_of(keeper, sub_id).arn], types=["AssociatedWith"])
    labels = {keeper.get([edge.destination_arn])[edge.destination_arn].label for edge in ends}
    assert labels == {"brave-otter", "sub"}


def test_a_step_called_by_a_step_is_part_of_both_its_caller_and_its_flow_run():
    inner = step(8, "inner", parent_step_id=FIT.run_id)
    keeper = graph_of(events_of(RECORD.model_copy(update={"steps": (*RECORD.steps, inner)})))
    ends = {edge.destination_arn for edge in keeper.associations(sources=[action_of(keeper, inner.run_id).arn])}
    assert {action_of(keeper, FIT.run_id).arn, action_of(keeper, RECORD.flow.run_id).arn} <= ends


def test_a_value_hangs_on_the_run_its_uri_names_even_if_that_run_never_reported():
    keeper = graph_of(EventBuilder(NAMESPACE).step_event(kind, FEATURES, RECORD.flow) for kind in ("START", "COMPLETE"))
    assert keeper.list_actions(run_id=LOAD.run_id) == []
    project([event for event in events_of(RECORD) if event.run_id == LOAD.run_id][:1], keeper)
    (made,) = keeper.associations(sources=[action_of(keeper, LOAD.run_id).arn], types=["Produced"])
    assert made.destination_arn == output_of(keeper, LOAD).arn


# States


def of_state(kind: Any, **fields: Any) -> Any:
    return EventBuilder(NAMESPACE).flow_event(kind, backtest_flow(**fields), time=fields.get("ended"))


def test_a_run_of_which_only_the_start_is_known_is_running():
    run = action_of(graph_of([EventBuilder(NAMESPACE).flow_event("START", started(RECORD.flow))]), RECORD.flow.run_id)
    assert (run.status, run.properties["state"]) == ("InProgress", "Running")
    assert "ended" not in run.properties


def test_a_run_whose_start_was_seen_while_it_was_pending_is_running():
    assert (
        action_of(graph_of([of_state("START", state="Pending")]), RECORD.flow.run_id).properties["state"] == "Running"
    )


@pytest.mark.parametrize(
    ("kind", "state", "status"),
    [("FAIL", "Failed", "Failed"), ("ABORT", "Crashed", "Stopped"), ("ABORT", "Cancelled", "Stopped")],
)
def test_how_a_run_ended_is_said_in_both_vocabularies(kind, state, status):
    error = ErrorRef(type="ValueError", message="no prices\nfor today", stack="Traceback …")
    run = action_of(graph_of([of_state(kind, state=state, error=error)]), RECORD.flow.run_id)
    assert (run.status, run.properties["state"]) == (status, state)
    assert run.properties["error"] == "ValueError: no prices for today"


def test_a_run_that_failed_and_was_begun_again_is_running_and_its_error_is_gone():
    failed = of_state("FAIL", state="Failed", error=ErrorRef(type="E", message="m"), ended=at(5))
    again = of_state("START", attempt=2, state="Running", started=at(60), ended=None)
    done = of_state("COMPLETE", attempt=2, started=at(60), ended=at(65))
    for order in ((failed, again), (again, failed)):
        run = action_of(graph_of(order), RECORD.flow.run_id)
        assert run.status == "InProgress"
        assert not run.properties.keys() & {"error", "ended"}
    run = action_of(graph_of([done, failed, again]), RECORD.flow.run_id)
    assert (run.status, run.properties["ended"]) == ("Completed", at(65))


def test_attempts_that_failed_before_the_last_are_kept():
    attempts = (AttemptRef(attempt=1, state="AwaitingRetry", error=ErrorRef(type="E", message="x" * 5000)),)
    builder = EventBuilder(NAMESPACE)
    retried = FIT.model_copy(update={"attempt": 2, "attempts": attempts})
    keeper = graph_of(
        [builder.step_event("COMPLETE", retried, RECORD.flow), builder.step_event("RUNNING", FIT, RECORD.flow)]
    )
    action = action_of(keeper, FIT.run_id)
    assert action.status == "Completed"
    assert json.loads(action.properties["attempts"])[0]["state"] == "AwaitingRetry"


# Order and repetition


@slow
@given(stories(run=1), stories(run=2), st.randoms(use_true_random=False), st.integers(1, 40))
def test_the_graph_is_a_function_of_the_set_of_events(a, b, chance: random.Random, batch):
    events = [*events_of(a), *events_of(b)]
    delivered = events + chance.choices(events, k=len(events) // 2)
    chance.shuffle(delivered)
    assert picture(graph_of(delivered, batch=batch)) == picture(graph_of(events))


@slow
@given(stories(run=1), st.data())
def test_a_prefix_that_is_delivered_again_changes_nothing(story, data):
    events = events_of(story)
    keeper = graph_of(events)
    whole = picture(keeper)
    project(events[: data.draw(st.integers(0, len(events)))], keeper)
    assert picture(keeper) == whole


def test_a_replay_told_of_before_its_original_gives_the_same_graph():
    events = [*events_of(RECORD), *events_of(replay_record(RECORD))]
    assert picture(graph_of(events[::-1], batch=1)) == picture(graph_of(events))


@slow
@given(stories(run=1))
def test_there_is_one_edge_between_two_things(story):
    """SageMaker's DeleteAssociation takes no type, so two edges between the same ends could not be told apart."""
    found = graph_of(events_of(story)).associations()
    assert len({(edge.source_arn, edge.destination_arn) for edge in found}) == len(found)


@slow
@given(stories(run=1))
def test_everything_in_a_graph_keeps_sagemakers_limits(story):
    for entity in picture(graph_of(events_of(story)))[0]:
        type(entity).model_validate(entity.model_dump())


def test_what_does_not_fit_is_cut_and_stays_what_it_is():
    name = "价格 " * 200
    record = RecordOf(name)
    keeper = graph_of(events_of(record))
    (run,) = keeper.list_actions(action_types=["FlowRun"])
    assert len(run.name) <= 120
    assert len(json.loads(run.properties["parameters"])) < 400
    for entity in picture(keeper)[0]:
        type(entity).model_validate(entity.model_dump())
    paths = {artifact.source_uri for artifact in keeper.list_artifacts(artifact_types=["DataSet"])}
    assert len(paths) == 2


def RecordOf(name: str) -> RunRecord:  # noqa: N802 - reads as a constructor
    """A run with everything too long."""
    from tests.support.records import literal

    long = [prices_file().model_copy(update={"uri": f"file:///{'x' * 4000}{end}"}) for end in "ab"]
    return RunRecord(
        flow=backtest_flow(
            flow_name=name,
            run_name=name,
            tags=tuple(f"tag {number} {name}" for number in range(200)),
            parameters=tuple(literal(f"p{number}", "v\n" * 500) for number in range(400)),
        ),
        steps=(step(0, name, datasets=tuple(long)),),
    )


# Other producers


def foreign(kind: str, run: int, *, inputs: Any = (), outputs: Any = (), facets: Any = None, job: str = "etl") -> Any:
    return {
        "eventType": kind,
        "eventTime": f"2026-01-30T0{run}:0{0 if kind == 'START' else 5}:00+01:00",
        "producer": "https://github.com/OpenLineage/OpenLineage/tree/1.30.0/integration/spark",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": f"{run:08d}-0000-7000-8000-000000000000", "facets": facets or {}},
        "job": {"namespace": "spark", "name": job},
        "inputs": list(inputs),
        "outputs": list(outputs),
    }


TABLE = {"namespace": "postgres://host:5432", "name": "db.public.prices"}


def test_any_producers_run_is_an_action_and_its_datasets_artifacts():
    versioned = {"namespace": "s3://bucket", "name": "key", "facets": {"version": {"datasetVersion": "v7"}}}
    keeper = graph_of(
        [
            foreign("START", 1, inputs=[TABLE]),
            foreign(
                "COMPLETE", 1, inputs=[TABLE], outputs=[versioned], facets={"spark_properties": {"x": 1}, "odd": 7}
            ),
        ]
    )
    run = action_of(keeper, "00000001-0000-7000-8000-000000000000")
    assert (run.status, run.properties["state"], run.properties["name"]) == ("Completed", "Completed", "etl")
    assert (run.properties["started"], run.properties["ended"]) == (
        "2026-01-30T00:00:00.000000Z",
        "2026-01-30T00:05:00.000000Z",
    )
    assert edges(keeper) == {
        ("DataSet db.public.prices", "ContributedTo", "Processing etl"),
        ("Processing etl", "Produced", "DataSet key"),
        ("Processing etl", "AssociatedWith", "Flow etl"),
    }
    (output,) = keeper.list_artifacts(source_uri="s3://bucket/key")
    assert output.fingerprint == "v7"


def test_another_producers_child_run_is_part_of_its_parent_whichever_comes_first():
    parent = {
        "parent": {"run": {"runId": "00000002-0000-7000-8000-000000000000"}, "job": {"namespace": "a", "name": "dag"}}
    }
    events = [foreign("COMPLETE", 3, facets=parent, job="dag.task"), foreign("COMPLETE", 2, job="dag")]
    keeper = graph_of(events)
    assert ("Processing dag.task", "AssociatedWith", "Processing dag") in edges(keeper)
    assert picture(graph_of(events[::-1])) == picture(keeper)


def test_memory_is_shared_by_no_two_runs_of_any_producer():
    value = {"namespace": "inmemory://", "name": "frame"}
    keeper = graph_of([foreign("COMPLETE", 1, outputs=[value]), foreign("COMPLETE", 2, inputs=[value])])
    assert len(keeper.list_artifacts(artifact_types=["DataSet"])) == 2


def test_odd_facets_of_another_producer_cost_nothing_else():
    odd = {
        "parent": {"run": {"runId": "no uuid"}},
        "nominalTime": [],
        "errorMessage": "x",
        "executionParameters": {"parameters": 3},
    }
    keeper = graph_of(
        [foreign("FAIL", 1, inputs=[{**TABLE, "facets": {"version": 3, "schema": {"fields": [1]}}}], facets=odd)]
    )
    assert ("DataSet db.public.prices", "ContributedTo", "Processing etl") in edges(keeper)


def test_an_event_about_a_dataset_alone_makes_it_known():
    base = {key: foreign("START", 1)[key] for key in ("eventTime", "producer", "schemaURL")}
    keeper = graph_of([{**base, "dataset": TABLE}])
    assert [artifact.label for artifact in keeper.list_artifacts()] == ["db.public.prices"]
    assert keeper.list_actions() == []


# Bad input


def test_one_malformed_event_keeps_its_whole_batch_out_and_is_named():
    keeper = new_graph()
    with pytest.raises(EventError, match="event 2 of the batch") as caught:
        project([*events_of(RECORD)[:2], {"eventType": "START"}], keeper)
    assert caught.value.fix
    assert picture(keeper) == ([], [])


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Any:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_an_event_broken_anywhere_is_projected_or_refused_and_nothing_else(data):
    event = orjson.loads(data.draw(st.sampled_from(BREAKABLE)).payload)
    path = data.draw(st.sampled_from([path for path in _paths(event) if path]))
    inner = event
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = data.draw(
        st.none() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({}) | st.just([[]])
    )
    with contextlib.suppress(EventError):
        project([event], SHARED)


BREAKABLE = [*events_of(RECORD), *events_of(replay_record(RECORD, different=1))]
SHARED = new_graph()


def test_a_flow_run_of_which_everything_is_said_has_no_more_properties_than_an_action_may() -> None:
    from lineage_flows.graph import actions, properties

    said = set(properties.FLOW_PROPERTIES)
    written = Path(actions.__file__).read_text()
    for method in ("state", "code", "replay", "run_record", "gaps"):
        body = written.partition(f"    def {method}(self")[2].partition("\n    def ")[0].rpartition("return ")
        said |= set(re.findall(r'PROPERTY\}(\w+)"', body[2] if method != "state" else body[0]))
    assert {"state", "branch", "verdict", "runRecord", "gaps"} <= said
    assert len(said | {"about"}) <= 30
