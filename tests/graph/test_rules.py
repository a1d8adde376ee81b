from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.model import Action, Artifact
from lineage_flows.graph.query import downstream, upstream
from lineage_flows.records import FlowRecord, InputRef, RunRecord, Source, StepRecord, value_uri
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


def file(keeper: Keeper, name: str) -> Artifact:
    (found,) = keeper.list_artifacts(source_uri=f"file:///desk/{name}")
    return found


def test_a_file_a_flow_wrote_before_a_step_does_not_come_from_that_step():
    load = step(10, "load", output=frame("raw"), datasets=(desk_file("prices", "1", "read", at(10.5)),))
    keeper = graph_of(events_of(record_of(load, datasets=(desk_file("prices", "1", "write", at(5)),))))
    prices, made = file(keeper, "prices"), output_of(keeper, load)
    assert not arns(upstream(keeper, prices.arn)) & {made.arn, action_of(keeper, load.run_id).arn}
    assert prices.arn not in arns(downstream(keeper, made.arn))
    assert {made.arn, action_of(keeper, load.run_id).arn} <= arns(downstream(keeper, prices.arn))
    assert prices.arn in arns(upstream(keeper, made.arn))


def test_a_file_a_flow_wrote_between_its_steps_comes_from_those_before():
    early, late = step(0, "early", output=frame("early")), step(10, "late", output=frame("late"))
    for moment in (at(1), at(5), at(10.5)):  # from the very end of the one, until while the other runs
        keeper = graph_of(events_of(record_of(early, late, datasets=(desk_file("report", "1", "write", moment),))))
        assert output_of(keeper, early).arn in arns(upstream(keeper, file(keeper, "report").arn))
        assert output_of(keeper, late).arn not in arns(upstream(keeper, file(keeper, "report").arn))
        assert file(keeper, "report").arn in arns(downstream(keeper, output_of(keeper, early).arn))
        assert file(keeper, "report").arn not in arns(downstream(keeper, output_of(keeper, late).arn))


def test_a_file_a_flow_read_went_only_into_what_came_later():
    early = step(0, "early", inputs=(InputRef(name="x", value=frame("computed")),), output=frame("early"))
    late = step(10, "late", inputs=(InputRef(name="x", value=frame("computed too")),), output=frame("late"))
    touches = (
        desk_file("before", "1", "write", at(4)),
        desk_file("rates", "1", "read", at(5)),
        desk_file("after", "1", "write", at(6)),
    )
    flow = record_of(early, late, datasets=touches, result=frame("result"))
    keeper = graph_of(events_of(flow))
    rates = file(keeper, "rates").arn
    later = {output_of(keeper, late).arn, file(keeper, "after").arn, output_of(keeper, flow.flow).arn}
    before = {output_of(keeper, early).arn, file(keeper, "before").arn}
    assert later <= arns(downstream(keeper, rates))
    assert not before & arns(downstream(keeper, rates))
    assert all(rates in arns(upstream(keeper, arn)) for arn in later)
    assert not any(rates in arns(upstream(keeper, arn)) for arn in before)


def test_a_file_of_which_no_moment_is_known_was_read_first_and_written_last():
    one = step(0, "one", inputs=(InputRef(name="x", value=frame("computed")),), output=frame("one"))
    touches = (
        desk_file("old", "1", "read"),
        desk_file("report", "1", "write", at(900)),
        desk_file("new", "1", "write"),
    )
    keeper = graph_of(events_of(record_of(one, datasets=touches)))
    for name in ("report", "new"):
        assert data(upstream(keeper, file(keeper, name).arn)) == [f"/desk/{name}", "/desk/old"]
        assert output_of(keeper, one).arn in arns(upstream(keeper, file(keeper, name).arn))
    assert file(keeper, "old").arn in arns(upstream(keeper, output_of(keeper, one).arn))


Moments = dict[tuple[str, str | None], str]
"""URI and fingerprint, and the moment that counts; empty when it is not known."""


def touches_of(body: FlowRecord, direction: str) -> Moments:
    """What a flow's body read first, or wrote last, when."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for item in body.datasets:
        if item.direction == direction:
            found.setdefault((item.uri, item.fingerprint), []).extend([item.touched] if item.touched else [])
    counts = min if direction == "read" else max
    return {name: counts(moments, default="") for name, moments in found.items()}


def members_of(body: FlowRecord, story: RunRecord) -> list[StepRecord | FlowRecord]:
    """What a flow's body called itself."""
    steps = [one for one in story.steps if one.flow_run_id == body.run_id and one.parent_step_id is None]
    return [*steps, *(sub for sub in story.subflows if sub.parent_run_id == body.run_id)]


def given_to(body: FlowRecord, story: RunRecord) -> Moments:
    """What a flow's body got from what it called, when."""
    made = ((one, one.output if isinstance(one, StepRecord) else one.result) for one in members_of(body, story))
    return {
        (f"prefect://{NAMESPACE}/{what(one)}/{one.run_id}/result", value.fingerprint): one.ended or ""
        for one, value in made
        if value is not None
    }


def passed_by(body: FlowRecord, story: RunRecord) -> Moments:
    """What a flow's body gave to what it called, and nobody else had made, when."""
    found: Moments = {}
    for one in members_of(body, story):
        part = "input" if isinstance(one, StepRecord) else "parameter"
        for item in one.inputs if isinstance(one, StepRecord) else one.parameters:
            if not item.sources:
                uri = f"prefect://{NAMESPACE}/{what(one)}/{one.run_id}/{part}/{item.name}"
                found[uri, item.value.fingerprint] = one.started or ""
    return found


def what(one: StepRecord | FlowRecord) -> str:
    return "task-run" if isinstance(one, StepRecord) else "flow-run"


def in_time(earlier: str, later: str) -> bool:
    return not earlier or not later or earlier <= later


@slow
@given(stories())
def test_what_passes_through_a_body_goes_forward_in_time(story):
    """By the record alone: of what a body had and gave, a file is joined to all that its moment allows, and to nothing else."""
    keeper = graph_of(events_of(story))
    names = {artifact.arn: (artifact.source_uri, artifact.fingerprint) for artifact in keeper.list_artifacts()}
    arn_of = {name: arn for arn, name in names.items()}
    for body in (story.flow, *story.subflows):
        arn = action_of(keeper, body.run_id).arn
        had = touches_of(body, "read") | given_to(body, story)
        gave = touches_of(body, "write") | passed_by(body, story)
        for file_name, moment in touches_of(body, "write").items():
            edges = upstream(keeper, arn_of[file_name], 2).edges
            met = {names[edge.source_arn] for edge in edges if edge.destination_arn == arn}
            assert met & had.keys() == {name for name, since in had.items() if in_time(since, moment)}
        for file_name, moment in touches_of(body, "read").items():
            edges = downstream(keeper, arn_of[file_name], 2).edges
            met = {names[edge.destination_arn] for edge in edges if edge.source_arn == arn}
            assert met & gave.keys() == {name for name, until in gave.items() if in_time(moment, until)}


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


def test_a_subflow_s_parameter_of_the_name_result_is_not_its_result():
    sub_id = flow_id(0xEE)
    made = step(5, "made", flow_run_id=sub_id, output=frame("made"))
    sub = backtest_flow(
        sub_id,
        flow_name="sub",
        root_run_id=made.root_run_id,
        parent_run_id=made.root_run_id,
        parameters=(InputRef(name="result", value=frame("computed")),),
        started=at(4),
        ended=at(8),
        result=frame("made"),
        result_sources=taken("x", frame("made"), made).sources,
        code=None,
        environment=None,
    )
    whole = record_of(made, datasets=(desk_file("rates", "1", "read", at(1)),)).model_copy(update={"subflows": (sub,)})
    keeper = graph_of(events_of(whole))
    parameter = value_uri(NAMESPACE, "flow-run", sub_id, "parameter/result")
    (given,) = keeper.list_artifacts(source_uri=parameter)
    assert given.arn in arns(downstream(keeper, file(keeper, "rates").arn))
    assert output_of(keeper, made).arn not in arns(upstream(keeper, given.arn))


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
