from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from lineage_flows.errors import UnknownReferenceError
from lineage_flows.events import EventBuilder
from lineage_flows.graph.identity import LOCAL, action_arn, artifact_arn
from lineage_flows.graph.keeper import Claim, Link
from lineage_flows.graph.model import Action, Artifact
from lineage_flows.graph.query import Walk, downstream, path, search, upstream
from lineage_flows.records import DatasetRef, InputRef, RunRecord, Source, StepRecord, ValueRef, value_uri
from tests.graph.kit import action_of, arns, events_of, graph_of, labels, new_graph, output_of, picture
from tests.graph.stories import stories
from tests.support.records import (
    NAMESPACE,
    at,
    backtest_flow,
    backtest_record,
    fingerprint,
    prices_file,
    replay_record,
    step,
    taken,
)

slow = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
RECORD = backtest_record()
LOAD, FEATURES, FIT, WALK, EVALUATE = RECORD.steps
CODE = {"SourceTree", "Environment", "SourceCode", "Image"}


def frame(text: str) -> ValueRef:
    return ValueRef(fingerprint=fingerprint(text), type="pandas.DataFrame", kind="DataSet")


def file(name: str, version: str, direction: Any) -> DatasetRef:
    path = f"/desk/{name}"
    return DatasetRef(
        namespace="file",
        name=path,
        uri=f"file://{path}",
        path=path,
        direction=direction,
        fingerprint=fingerprint(f"{name} {version}"),
        via=("open",),
    )


def record(*steps: StepRecord, **flow: Any) -> RunRecord:
    return RunRecord(flow=backtest_flow(steps[0].root_run_id, **{"ended": at(900), **flow}), steps=steps)


def flow_id(number: int) -> str:
    return f"01935c2e-7a10-7c3e-9d1a-5b6f0a4c{number:02x}00"


def data(walk: Walk) -> list[str]:
    return [label for label in labels(walk) if label.startswith("/desk")]


# The running example


def test_upstream_of_a_model_is_data_steps_code_and_environment_and_not_the_whole_run():
    keeper = graph_of(events_of(RECORD))
    walk = upstream(keeper, output_of(keeper, FIT).arn)
    assert [
        (node.depth, node.entity.type, node.entity.label) for node in walk.nodes if node.entity.type not in CODE
    ] == [
        (0, "Model", "backtest.fit_model/result"),
        (1, "Training", "fit_model"),
        (2, "TimeSeries", "backtest.make_features/result"),
        (3, "Preprocessing", "make_features"),
        (4, "TimeSeries", "backtest.load_prices/result"),
        (5, "Preprocessing", "load_prices"),
        (6, "DataSet", "/desk/data/prices.parquet"),
    ]
    assert {node.entity.type for node in walk.nodes if node.depth == 2} == CODE - {"Image"} | {"TimeSeries"}
    assert walk.complete


def test_code_and_environment_of_the_run_count_for_each_step_and_say_through_which_run():
    keeper = graph_of(events_of(RECORD))
    walk = upstream(keeper, output_of(keeper, FEATURES).arn)
    run = action_of(keeper, RECORD.flow.run_id)
    inherited = {(edge.source_arn, edge.destination_arn) for edge in walk.edges if edge.through == run.arn}
    code = {artifact.arn for artifact in keeper.list_artifacts(artifact_types=["SourceTree", "Environment"])}
    steps = {action_of(keeper, step.run_id).arn for step in (LOAD, FEATURES)}
    assert inherited == {(source, step) for source in code for step in steps}
    assert run.arn not in arns(walk)


def test_downstream_of_a_file_is_everything_made_from_it():
    keeper = graph_of(events_of(RECORD))
    (prices,) = keeper.list_artifacts(source_uri="file:///desk/data/prices.parquet")
    walk = downstream(keeper, prices.arn)
    assert arns(walk) == {prices.arn} | {action_of(keeper, step.run_id).arn for step in RECORD.steps} | {
        output_of(keeper, step).arn for step in RECORD.steps
    } | {keeper.list_artifacts(source_uri="file:///desk/out/equity.png")[0].arn}
    assert walk.nodes[0].entity == prices


def test_upstream_of_a_run_is_of_all_it_gave_out():
    keeper = graph_of(events_of(RECORD))
    walk = upstream(keeper, action_of(keeper, RECORD.flow.run_id).arn)
    assert set(labels(walk, depth=0)) == {"brave-otter", "/desk/out/equity.png"} | {
        f"backtest.{step.task_name}/result" for step in RECORD.steps
    }
    assert {"/desk/data/prices.parquet", "load_prices", "evaluate"} <= set(labels(walk))
    assert not [node for node in walk.nodes if node.entity.type == "RunRecord"]


def test_upstream_of_a_run_has_what_a_step_read_that_gave_out_nothing():
    keeper = graph_of(events_of(record(step(0, "check", datasets=(prices_file(),)))))
    (run,) = keeper.list_actions(action_types=["FlowRun"])
    assert data(upstream(keeper, run.arn)) == ["/desk/data/prices.parquet"]


def test_a_walk_goes_no_deeper_than_asked_and_says_if_there_was_more():
    keeper = graph_of(events_of(RECORD))
    start = output_of(keeper, FIT).arn
    whole = upstream(keeper, start)
    for depth in range(8):
        walk = upstream(keeper, start, depth)
        assert [(node.entity.arn, node.depth) for node in walk.nodes] == [
            (node.entity.arn, node.depth) for node in whole.nodes if node.depth <= depth
        ]
        assert walk.complete == (depth >= 6)
    assert upstream(keeper, start, 0).edges == ()


def test_a_flow_stands_for_all_its_runs():
    keeper = graph_of([*events_of(RECORD), *events_of(backtest_record(flow_id(1)))])
    (flow,) = keeper.list_contexts()
    walk = upstream(keeper, flow.arn)
    assert sum(label == "fit_model" for label in labels(walk)) == 2 + 1  # two steps, one function


def test_what_tells_of_a_run_leads_to_it_and_is_met_from_nowhere():
    keeper = graph_of(events_of(RECORD))
    (told,) = keeper.list_artifacts(artifact_types=["RunRecord"])
    assert "/desk/data/prices.parquet" in labels(upstream(keeper, told.arn))
    assert told.arn not in arns(downstream(keeper, action_of(keeper, RECORD.flow.run_id).arn))
    (prices,) = keeper.list_artifacts(source_uri="file:///desk/data/prices.parquet")
    assert told.arn not in arns(downstream(keeper, prices.arn))


def test_an_unknown_start_is_an_error():
    keeper = graph_of(events_of(RECORD))
    for ask in (upstream, downstream):
        with pytest.raises(UnknownReferenceError):
            ask(keeper, f"{LOCAL}:artifact/00")
    with pytest.raises(UnknownReferenceError):
        path(keeper, f"{LOCAL}:artifact/00", output_of(keeper, FIT).arn)


# Replays


def test_a_replay_names_its_original_and_does_not_walk_into_it():
    replay = replay_record(RECORD)
    keeper = graph_of([*events_of(RECORD), *events_of(replay)])
    walk = upstream(keeper, action_of(keeper, replay.flow.run_id).arn)
    original = action_of(keeper, RECORD.flow.run_id)
    assert [node.depth for node in walk.nodes if node.entity == original] == [1]
    assert [edge.association_type for edge in walk.edges if edge.destination_arn == original.arn] == ["DerivedFrom"]
    assert not arns(walk) & {action_of(keeper, step.run_id).arn for step in RECORD.steps}


def test_a_replay_changes_nothing_of_what_its_original_was_made_from():
    alone = graph_of(events_of(RECORD))
    both = graph_of([*events_of(RECORD), *events_of(replay_record(RECORD))])
    for arn in (action_of(alone, RECORD.flow.run_id).arn, output_of(alone, EVALUATE).arn, output_of(alone, FIT).arn):
        before, after = upstream(alone, arn), upstream(both, arn)
        assert [(node.entity.arn, node.depth) for node in before.nodes] == [
            (node.entity.arn, node.depth) for node in after.nodes
        ]
        assert before.edges == after.edges


# Values belong to the step that made them


@slow
@given(stories(run=1, files=("/one/a",), code="one"), stories(run=2, files=("/two/a",), code="two"))
def test_runs_that_share_nothing_outside_them_share_no_lineage(a, b):
    keeper = graph_of([*events_of(a), *events_of(b)])
    ours, theirs = (
        {entity.arn for entity in picture(graph_of(events_of(record)))[0] if entity.type != "Flow"} for record in (a, b)
    )
    for entity in picture(keeper)[0]:
        for ask in (upstream, downstream):
            met = arns(ask(keeper, entity.arn))
            if entity.arn in ours:
                assert not met & theirs
            elif entity.arn in theirs:
                assert not met & ours


@slow
@given(stories(run=1), stories(run=2))
def test_what_is_upstream_of_a_thing_has_it_downstream(a, b):
    keeper = graph_of([*events_of(a), *events_of(b)])
    things = {
        entity.arn
        for entity in picture(keeper)[0]
        if (isinstance(entity, Artifact) and entity.type != "RunRecord")
        or (isinstance(entity, Action) and entity.type != "FlowRun")
    }
    above = {arn: arns(upstream(keeper, arn)) for arn in things}
    below = {arn: arns(downstream(keeper, arn)) for arn in things}
    for one in things:
        for other in things:
            assert (one in above[other]) == (other in below[one])


@slow
@given(stories(run=1), stories(run=2))
def test_upstream_of_a_run_has_everything_its_steps_took_in_and_gave_out(a, b):
    keeper = graph_of([*events_of(a), *events_of(b)])
    met = arns(upstream(keeper, action_of(keeper, a.flow.run_id).arn))
    for part in (*a.steps, *a.subflows, a.flow):
        action = action_of(keeper, part.run_id)
        assert action.arn in met
        for edge in keeper.associations(sources=[action.arn], types=["Produced"]):
            assert (
                edge.destination_arn in met
                or "RunRecord" in keeper.get([edge.destination_arn])[edge.destination_arn].type
            )
        for edge in keeper.associations(destinations=[action.arn], types=["ContributedTo"]):
            assert edge.source_arn in met


@settings(slow, max_examples=12)
@given(stories(run=1), stories(run=2))
def test_walks_are_the_same_at_any_depth_and_however_the_graph_came_about(a, b):
    events = [*events_of(a), *events_of(b)]
    one, other = graph_of(events), graph_of(events[::-1], batch=3)
    for entity in picture(one)[0]:
        for ask in (upstream, downstream):
            walk = ask(one, entity.arn)
            assert walk == ask(other, entity.arn)
            assert walk == ask(one, entity.arn, 100)
            assert {end for edge in walk.edges for end in (edge.source_arn, edge.destination_arn)} <= arns(walk)


# What passes through a flow's own code


def test_a_value_made_between_steps_comes_from_what_the_flow_had_by_then():
    load = step(0, "load", output=frame("raw"), datasets=(prices_file(),))
    fit = step(10, "fit", inputs=(InputRef(name="x", value=frame("raw * 2")),), output=frame("model"))
    late = step(20, "late", output=frame("late"), datasets=(file("late", "1", "read"),))
    keeper = graph_of(events_of(record(load, fit, late)))
    walk = upstream(keeper, output_of(keeper, fit).arn)
    assert data(walk) == ["/desk/data/prices.parquet"]
    assert "late" not in labels(walk)
    run = action_of(keeper, load.flow_run_id)
    assert {edge.through for edge in walk.edges if run.arn in {edge.source_arn, edge.destination_arn}} == {
        None,
        run.arn,
    }
    assert output_of(keeper, fit).arn in arns(downstream(keeper, output_of(keeper, load).arn))
    assert output_of(keeper, late).arn not in arns(downstream(keeper, output_of(keeper, load).arn))


def test_a_file_a_flow_writes_itself_comes_from_all_its_steps():
    load = step(0, "load", output=frame("raw"), datasets=(prices_file(),))
    keeper = graph_of(events_of(record(load, datasets=(file("report", "1", "write"),))))
    (report,) = keeper.list_artifacts(source_uri="file:///desk/report")
    assert data(upstream(keeper, report.arn)) == ["/desk/report", "/desk/data/prices.parquet"]


def test_a_result_that_is_a_steps_value_comes_from_that_step_alone():
    one = step(0, "one", output=frame("one"), datasets=(file("one", "1", "read"),))
    two = step(1, "two", output=frame("two"), datasets=(file("two", "1", "read"),))
    (source,) = taken("result", frame("one"), one).sources
    exact = record(one, two, result=frame("one"), result_sources=(source,))
    mixed = record(one, two, result=frame("both"), result_sources=(source,))
    keeper = graph_of(events_of(exact))
    assert data(upstream(keeper, output_of(keeper, exact.flow).arn)) == ["/desk/one"]
    assert output_of(keeper, exact.flow).arn not in arns(downstream(keeper, output_of(keeper, two).arn))
    keeper = graph_of(events_of(mixed))
    assert set(data(upstream(keeper, output_of(keeper, mixed.flow).arn))) == {"/desk/one", "/desk/two"}


def test_what_is_passed_into_a_subflow_goes_on_in_it_and_comes_out_of_it():
    sub_id = flow_id(0xEE)
    load = step(0, "load", output=frame("raw"), datasets=(prices_file(),))
    other = step(1, "other", output=frame("other"), datasets=(file("other", "1", "read"),))
    passed = taken("prices", frame("raw"), load)
    parameter = Source(
        run_id=sub_id, uri=value_uri(NAMESPACE, "flow-run", sub_id, "parameter/prices"), fingerprint=fingerprint("raw")
    )
    inner = step(
        5,
        "inner",
        flow_run_id=sub_id,
        inputs=(InputRef(name="p", value=frame("raw"), sources=(parameter,)),),
        output=frame("fitted"),
    )
    result = Source(
        run_id=inner.run_id,
        uri=value_uri(NAMESPACE, "task-run", inner.run_id, "result"),
        fingerprint=fingerprint("fitted"),
    )
    sub = backtest_flow(
        sub_id,
        flow_name="sub",
        root_run_id=load.flow_run_id,
        parent_run_id=load.flow_run_id,
        parameters=(passed,),
        started=at(4),
        ended=at(8),
        result=frame("fitted"),
        result_sources=(result,),
        code=None,
        environment=None,
    )
    out = Source(
        run_id=sub_id, uri=value_uri(NAMESPACE, "flow-run", sub_id, "result"), fingerprint=fingerprint("fitted")
    )
    use = step(10, "use", inputs=(InputRef(name="m", value=frame("fitted"), sources=(out,)),), output=frame("used"))
    keeper = graph_of(events_of(record(load, other, inner, use).model_copy(update={"subflows": (sub,)})))
    walk = upstream(keeper, output_of(keeper, use).arn)
    assert data(walk) == ["/desk/data/prices.parquet"]
    assert {"load", "inner", "use"} <= set(labels(walk))
    assert "other" not in labels(walk)
    assert {node.entity.type for node in walk.nodes} >= {"SourceTree", "Environment"}
    assert output_of(keeper, use).arn in arns(downstream(keeper, output_of(keeper, load).arn))


def test_what_a_step_called_inside_it_went_into_what_it_gave_out():
    outer = step(0, "outer", seconds=100, output=frame("sum"))
    inner = step(1, "inner", parent_step_id=outer.run_id, output=frame("part"), datasets=(prices_file(),))
    keeper = graph_of(events_of(record(outer, inner)))
    assert data(upstream(keeper, output_of(keeper, outer).arn)) == ["/desk/data/prices.parquet"]


# Who wrote what was read


def writer(number: int, day: int, name: str = "state", **fields: Any) -> RunRecord:
    wrote = step(
        0,
        f"write_{number}",
        flow_id=flow_id(number),
        started=at(day * 1000 + 1),
        ended=at(day * 1000 + 2),
        datasets=(file(f"only_{number}", "1", "read"), file(name, "same", "write")),
    )
    return record(wrote, run_name=f"writer-{number}", started=at(day * 1000), ended=at(day * 1000 + 9), **fields)


def reader(number: int, day: int) -> RunRecord:
    read = step(
        0,
        "read",
        flow_id=flow_id(number),
        started=at(day * 1000 + 1),
        ended=at(day * 1000 + 2),
        datasets=(file("state", "same", "read"),),
        output=frame("read"),
    )
    return record(read, run_name=f"reader-{number}", started=at(day * 1000), ended=at(day * 1000 + 9))


def test_a_reader_got_what_was_written_last_before_it_and_not_what_others_wrote_alike():
    records = [writer(1, 1), writer(2, 2), reader(3, 3), writer(4, 4), reader(5, 5)]
    keeper = graph_of(event for record in records for event in events_of(record))
    assert data(upstream(keeper, output_of(keeper, records[2].steps[0]).arn)) == ["/desk/state", "/desk/only_2"]
    assert data(upstream(keeper, output_of(keeper, records[4].steps[0]).arn)) == ["/desk/state", "/desk/only_4"]
    (first,) = keeper.list_artifacts(source_uri="file:///desk/only_1")
    assert not [label for label in labels(downstream(keeper, first.arn)) if label == "backtest.read/result"]
    (fourth,) = keeper.list_artifacts(source_uri="file:///desk/only_4")
    readers = [
        node.entity for node in downstream(keeper, fourth.arn).nodes if node.entity.label == "backtest.read/result"
    ]
    assert readers == [output_of(keeper, records[4].steps[0])]


def test_a_run_does_not_descend_from_others_that_wrote_the_same_file():
    records = [writer(1, 1), writer(2, 2)]
    keeper = graph_of(event for record in records for event in events_of(record))
    walk = upstream(keeper, action_of(keeper, flow_id(1)).arn)
    assert data(walk) == ["/desk/state", "/desk/only_1"]
    assert path(keeper, action_of(keeper, flow_id(1)).arn, action_of(keeper, flow_id(2)).arn).entities == ()


def test_every_writer_of_a_version_is_upstream_of_the_version():
    records = [writer(1, 1), writer(2, 2)]
    keeper = graph_of(event for record in records for event in events_of(record))
    (version,) = keeper.list_artifacts(source_uri="file:///desk/state")
    assert set(data(upstream(keeper, version.arn))) == {"/desk/state", "/desk/only_1", "/desk/only_2"}


def test_a_file_written_and_read_in_one_run_comes_from_that_run():
    own = writer(7, 7)
    read = step(
        1,
        "read",
        flow_id=flow_id(7),
        started=at(7005),
        ended=at(7006),
        datasets=(file("state", "same", "read"),),
        output=frame("r"),
    )
    records = [writer(1, 1), own.model_copy(update={"steps": (*own.steps, read)})]
    keeper = graph_of(event for record in records for event in events_of(record))
    assert data(upstream(keeper, output_of(keeper, read).arn)) == ["/desk/state", "/desk/only_7"]


# Paths


def test_the_shortest_path_is_in_the_order_data_flowed_whichever_end_is_named_first():
    keeper = graph_of(events_of(RECORD))
    (prices,) = keeper.list_artifacts(source_uri="file:///desk/data/prices.parquet")
    (figure,) = keeper.list_artifacts(source_uri="file:///desk/out/equity.png")
    found = path(keeper, prices.arn, figure.arn)
    assert [entity.label for entity in found.entities if isinstance(entity, Action)] == [
        "load_prices",
        "make_features",
        "walk_forward",
        "evaluate",
    ]
    assert [(edge.source_arn, edge.destination_arn) for edge in found.edges] == [
        (one.arn, other.arn) for one, other in zip(found.entities, found.entities[1:], strict=False)
    ]
    assert path(keeper, figure.arn, prices.arn) == found
    assert path(keeper, prices.arn, prices.arn).entities == (prices,)


def test_there_is_no_path_between_what_shares_only_its_code():
    keeper = graph_of([*events_of(RECORD), *events_of(backtest_record(flow_id(1)))])
    assert path(keeper, output_of(keeper, FIT).arn, action_of(keeper, flow_id(1)).arn).entities == ()


def test_a_path_may_begin_and_end_at_runs():
    records = [writer(1, 1), reader(3, 3)]
    keeper = graph_of(event for record in records for event in events_of(record))
    found = path(keeper, action_of(keeper, flow_id(1)).arn, action_of(keeper, flow_id(3)).arn)
    assert (found.entities[0].label, found.entities[-1].label) == ("writer-1", "reader-3")
    assert "/desk/state" in [entity.label for entity in found.entities]


def test_a_search_is_the_keepers():
    keeper = graph_of(events_of(RECORD))
    assert search(keeper, "otter brave", limit=1)[0].label == "brave-otter"


# Cycles and size


def artifact(name: str) -> Claim:
    uri = f"file:///{name}"
    return Claim("Artifact", artifact_arn(uri, ()), None, uri, (), None, "2", at(0), {"type": "DataSet"})


def action(number: int) -> Claim:
    run_id = f"{number:08x}-0000-7000-8000-000000000000"
    name = f"run-{run_id}"
    sources = (("T", run_id),)
    return Claim("Action", action_arn(name), name, "u", sources, f"run:{run_id}", "1", at(0), {"type": "Processing"})


def test_a_cycle_is_walked_once():
    data_, step_ = artifact("a"), action(1)
    keeper = new_graph()
    keeper.upsert(
        [data_, step_],
        [
            Link(data_.arn, str(step_.handle), "ContributedTo", at(0)),
            Link(str(step_.handle), data_.arn, "Produced", at(0)),
            Link(str(step_.handle), str(step_.handle), "AssociatedWith", at(0)),
        ],
    )
    for ask in (upstream, downstream):
        walk = ask(keeper, data_.arn)
        assert [(node.entity.arn, node.depth) for node in walk.nodes] == [(data_.arn, 0), (step_.arn, 1)]
        assert len(walk.edges) == 2
        assert len(ask(keeper, step_.arn).nodes) == 2


def chain(length: int) -> tuple[list[Claim], list[Link]]:
    """One thing made from another, over and over."""
    things = [artifact(str(number)) for number in range(length + 1)]
    steps = [action(number) for number in range(length)]
    links = []
    for number, made in enumerate(steps):
        links.append(Link(things[number].arn, str(made.handle), "ContributedTo", at(0)))
        links.append(Link(str(made.handle), things[number + 1].arn, "Produced", at(0)))
    return [*things, *steps], links


def test_a_walk_along_ten_thousand_edges_takes_few_queries():
    length, most = 5_000, 60
    keeper = new_graph()
    keeper.upsert(*chain(length))
    statements: list[str] = []
    connection: Any = keeper._connected()
    connection.set_trace_callback(statements.append)
    walk = upstream(keeper, artifact(str(length)).arn)
    assert len(walk.nodes) == 2 * length + 1
    assert walk.nodes[-1].depth == 2 * length
    assert len(statements) < most
    statements.clear()
    assert len(downstream(keeper, artifact("0").arn).nodes) == 2 * length + 1
    assert len(statements) < most


def test_a_walk_through_many_files_written_between_steps_takes_few_queries():
    days = 80
    events = []
    for day in range(days):
        load = step(
            0, "load", flow_id=flow_id(day), started=at(day * 1000 + 1), ended=at(day * 1000 + 2), output=frame("x")
        )
        load = load.model_copy(update={"datasets": (file(f"state-{day}", "1", "read"),)})
        wrote = (file(f"state-{day + 1}", "1", "write"),)
        events += events_of(record(load, datasets=wrote, started=at(day * 1000), ended=at(day * 1000 + 9)))
    keeper = graph_of(events)
    statements: list[str] = []
    connection: Any = keeper._connected()
    (last,) = keeper.list_artifacts(source_uri=f"file:///desk/state-{days}")
    connection.set_trace_callback(statements.append)
    walk = upstream(keeper, last.arn)
    assert len(data(walk)) == days + 1
    assert len(statements) < 700


def test_a_step_event_alone_is_walked():
    keeper = graph_of([EventBuilder(NAMESPACE).step_event("COMPLETE", FIT, RECORD.flow)])
    assert labels(upstream(keeper, output_of(keeper, FIT).arn))[:2] == [
        "backtest.fit_model/result",
        "fit_model",
    ]
