from __future__ import annotations

from lineage_flows.records import FlowRecord, InputRef, RunRecord, Source, ValueRef, value_uri
from lineage_flows.ui.picture import Picture, draw, producers
from tests.support.records import (
    backtest_flow,
    backtest_record,
    fingerprint,
    mapped_record,
    prices_file,
    replay_record,
    step,
    taken,
)


def named(picture: Picture) -> set[tuple[str, str]]:
    """The arrows, by the first lines of the nodes they join."""
    first = {key: node.lines[0] for key, node in picture.nodes.items()}
    return {(first[start], first[end]) for start, end in picture.arrows}


def test_a_backtest_is_drawn_from_its_file_to_its_metrics() -> None:
    picture = draw(backtest_record())
    assert picture.detail == "steps"
    assert named(picture) == {
        ("prices.parquet", "load_prices"),
        ("load_prices", "make_features"),
        ("make_features", "fit_model"),
        ("make_features", "walk_forward"),
        ("fit_model", "Ridge"),
        ("Ridge", "walk_forward"),
        ("walk_forward", "evaluate"),
        ("evaluate", "equity.png"),
        ("evaluate", "sharpe 0.8431"),
    }
    assert all(picture.arrows.values()), "every arrow carries data"


def test_mere_order_is_told_from_data() -> None:
    first, second = step(0, "first"), step(1, "second")
    waiting = second.model_copy(update={"upstream": (first.run_id,)})
    picture = draw(RunRecord(flow=backtest_flow(), steps=(first, waiting)))
    assert list(picture.arrows.values()) == [False]


def test_runs_of_one_task_are_one_node_when_there_are_many() -> None:
    picture = draw(mapped_record(200))
    assert picture.detail == "tasks"
    assert next(node.lines for node in picture.nodes.values() if node.kind == "step") == ("load", "× 200")
    assert named(picture) == {("200 files", "load"), ("load", "fit_model"), ("fit_model", "LGBMRegressor")}


def test_only_kinds_are_left_when_there_are_many_tasks() -> None:
    picture = draw(mapped_record(200, tasks=50))
    assert picture.detail == "kinds"
    assert len(picture.nodes) < 12
    assert ("preprocessing", "training") in named(picture)


def test_two_versions_of_a_file_are_two_nodes_and_one_version_is_one() -> None:
    steps = (
        step(0, "read", datasets=(prices_file("1"),)),
        step(1, "read again", datasets=(prices_file("1"),)),
        step(2, "read late", datasets=(prices_file("2"),)),
    )
    picture = draw(RunRecord(flow=backtest_flow(), steps=steps))
    assert sum(node.kind == "file" for node in picture.nodes.values()) == 2


def test_what_the_flow_itself_reads_is_drawn() -> None:
    picture = draw(RunRecord(flow=backtest_flow(datasets=(prices_file(),)), steps=()))
    assert named(picture) == {("prices.parquet", "backtest")}


def test_what_a_step_only_passes_on_is_drawn_where_it_was_made() -> None:
    record = backtest_record()
    evaluate = record.steps[-1]
    assert evaluate.output is not None
    report = step(5, "report", inputs=(taken("metrics", evaluate.output, evaluate),), output=evaluate.output)
    picture = draw(record.model_copy(update={"steps": (*record.steps, report)}))
    assert [node.kind for node in picture.nodes.values()].count("Metrics") == 1
    assert ("sharpe 0.8431", "report") in named(picture)


def test_a_failed_and_a_different_step_stand_out() -> None:
    failed = step(0, "fit", state="Failed", state_type="FAILED", output=None)
    (node,) = draw(RunRecord(flow=backtest_flow(), steps=(failed,))).nodes.values()
    assert node.trouble
    assert "Failed" in node.lines
    replayed = draw(replay_record(backtest_record(), different=2))
    assert [node.lines[0] for node in replayed.nodes.values() if node.trouble] == [
        "fit_model",
        "walk_forward",
        "evaluate",
    ]


def subflow_record() -> RunRecord:
    """A step's result goes into a subflow as its parameter, and the subflow's result into another step."""
    outer = backtest_flow()
    value = ValueRef(fingerprint=fingerprint("v"), type="pandas.DataFrame", kind="DataSet")
    before = step(0, "before", output=value)
    sub_id = "01935c2e-7a10-7c3e-9d1a-5b6f0a4c2f00"
    inside = step(0, "inside", flow_id=sub_id, root_run_id=outer.run_id, flow_name="sub", output=value).model_copy(
        update={
            "inputs": (
                InputRef(
                    name="x",
                    value=value,
                    sources=(
                        Source(
                            run_id=sub_id,
                            uri=value_uri("prefect", "flow-run", sub_id, "parameter/x"),
                            fingerprint=value.fingerprint,
                        ),
                    ),
                ),
            )
        }
    )
    sub = FlowRecord(
        **{
            **backtest_flow(sub_id).model_dump(),
            "flow_name": "sub",
            "root_run_id": outer.run_id,
            "parent_run_id": outer.run_id,
            "parameters": (taken("x", value, before),),
            "result": value,
            "result_sources": taken("", value, inside).sources,
        }
    )
    result = Source(
        run_id=sub_id, uri=value_uri("prefect", "flow-run", sub_id, "result"), fingerprint=value.fingerprint
    )
    after = step(1, "after", inputs=(InputRef(name="y", value=value, sources=(result,)),))
    return RunRecord(flow=outer, subflows=(sub,), steps=(before, inside, after))


def test_lineage_is_followed_through_a_subflow() -> None:
    assert {("before", "inside"), ("inside", "after")} <= named(draw(subflow_record()))


def test_sources_that_name_themselves_end() -> None:
    uri = value_uri("prefect", "flow-run", backtest_flow().run_id, "result")
    loop = Source(run_id=backtest_flow().run_id, uri=uri, fingerprint=None)
    record = RunRecord(flow=backtest_flow(result_sources=(loop,)), steps=())
    assert producers(record)([loop]) == ()
