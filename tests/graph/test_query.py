from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from lineage_flows.errors import UnknownReferenceError
from lineage_flows.events import EventBuilder
from lineage_flows.graph.identity import LOCAL
from lineage_flows.graph.model import Action
from lineage_flows.graph.query import downstream, path, search, upstream
from tests.graph.kit import (
    action_of,
    arns,
    data,
    events_of,
    flow_id,
    graph_of,
    labels,
    output_of,
    picture,
    record_of,
)
from tests.graph.stories import stories
from tests.support.records import (
    NAMESPACE,
    backtest_record,
    prices_file,
    replay_record,
    step,
)

slow = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
RECORD = backtest_record()
LOAD, FEATURES, FIT, WALK, EVALUATE = RECORD.steps
CODE = {"SourceTree", "Environment", "SourceCode", "Image"}


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
    keeper = graph_of(events_of(record_of(step(0, "check", datasets=(prices_file(),)))))
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


def test_a_search_is_the_keepers():
    keeper = graph_of(events_of(RECORD))
    assert search(keeper, "otter brave", limit=1)[0].label == "brave-otter"


def test_a_step_event_alone_is_walked():
    keeper = graph_of([EventBuilder(NAMESPACE).step_event("COMPLETE", FIT, RECORD.flow)])
    assert labels(upstream(keeper, output_of(keeper, FIT).arn))[:2] == [
        "backtest.fit_model/result",
        "fit_model",
    ]
