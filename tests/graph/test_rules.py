from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from lineage_flows.graph.model import Action, Artifact
from lineage_flows.graph.query import downstream, upstream
from lineage_flows.records import InputRef, Source, value_uri
from tests.graph.kit import (
    action_of,
    arns,
    data,
    desk_file,
    events_of,
    flow_id,
    frame,
    graph_of,
    labels,
    output_of,
    picture,
    record_of,
)
from tests.graph.stories import stories
from tests.support.records import (
    NAMESPACE,
    at,
    backtest_flow,
    fingerprint,
    prices_file,
    step,
    taken,
)

slow = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def test_a_value_made_between_steps_comes_from_what_the_flow_had_by_then():
    load = step(0, "load", output=frame("raw"), datasets=(prices_file(),))
    fit = step(10, "fit", inputs=(InputRef(name="x", value=frame("raw * 2")),), output=frame("model"))
    late = step(20, "late", output=frame("late"), datasets=(desk_file("late", "1", "read"),))
    keeper = graph_of(events_of(record_of(load, fit, late)))
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
    keeper = graph_of(events_of(record_of(load, datasets=(desk_file("report", "1", "write"),))))
    (report,) = keeper.list_artifacts(source_uri="file:///desk/report")
    assert data(upstream(keeper, report.arn)) == ["/desk/report", "/desk/data/prices.parquet"]


def test_a_result_that_is_a_steps_value_comes_from_that_step_alone():
    one = step(0, "one", output=frame("one"), datasets=(desk_file("one", "1", "read"),))
    two = step(1, "two", output=frame("two"), datasets=(desk_file("two", "1", "read"),))
    (source,) = taken("result", frame("one"), one).sources
    exact = record_of(one, two, result=frame("one"), result_sources=(source,))
    mixed = record_of(one, two, result=frame("both"), result_sources=(source,))
    keeper = graph_of(events_of(exact))
    assert data(upstream(keeper, output_of(keeper, exact.flow).arn)) == ["/desk/one"]
    assert output_of(keeper, exact.flow).arn not in arns(downstream(keeper, output_of(keeper, two).arn))
    keeper = graph_of(events_of(mixed))
    assert set(data(upstream(keeper, output_of(keeper, mixed.flow).arn))) == {"/desk/one", "/desk/two"}


def test_what_is_passed_into_a_subflow_goes_on_in_it_and_comes_out_of_it():
    sub_id = flow_id(0xEE)
    load = step(0, "load", output=frame("raw"), datasets=(prices_file(),))
    other = step(1, "other", output=frame("other"), datasets=(desk_file("other", "1", "read"),))
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
    keeper = graph_of(events_of(record_of(load, other, inner, use).model_copy(update={"subflows": (sub,)})))
    walk = upstream(keeper, output_of(keeper, use).arn)
    assert data(walk) == ["/desk/data/prices.parquet"]
    assert {"load", "inner", "use"} <= set(labels(walk))
    assert "other" not in labels(walk)
    assert {node.entity.type for node in walk.nodes} >= {"SourceTree", "Environment"}
    assert output_of(keeper, use).arn in arns(downstream(keeper, output_of(keeper, load).arn))


def test_what_a_step_called_inside_it_went_into_what_it_gave_out():
    outer = step(0, "outer", seconds=100, output=frame("sum"))
    inner = step(1, "inner", parent_step_id=outer.run_id, output=frame("part"), datasets=(prices_file(),))
    keeper = graph_of(events_of(record_of(outer, inner)))
    assert data(upstream(keeper, output_of(keeper, outer).arn)) == ["/desk/data/prices.parquet"]


def test_what_a_step_called_inside_it_is_seen_by_that_step_alone():
    outer = step(0, "outer", seconds=5)
    inner = step(1, "inner", parent_step_id=outer.run_id, output=frame("part"), datasets=(prices_file(),))
    later = step(20, "later", inputs=(InputRef(name="x", value=frame("unknown")),), output=frame("late"))
    keeper = graph_of(events_of(record_of(outer, inner, later)))
    assert data(upstream(keeper, output_of(keeper, later).arn)) == []
    assert action_of(keeper, outer.run_id).arn in arns(downstream(keeper, output_of(keeper, inner).arn))


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
