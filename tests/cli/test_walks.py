from __future__ import annotations

from pathlib import Path

from lineage_flows.records import InputRef, RunRecord, Source, ValueRef, value_uri
from tests.support.graphs import keep_run
from tests.support.records import (
    FLOW_ID,
    backtest_flow,
    backtest_record,
    equity_figure,
    fingerprint,
    mapped_record,
    prices_file,
    step,
    taken,
)

PRICES = "file:///desk/data/prices.parquet"


def test_upstream_of_a_run_is_a_tree_of_all_it_gave_out(call, home) -> None:
    keep_run(home, backtest_record())
    assert call("upstream", "brave-otter").out == (
        """\
FlowRun backtest / brave-otter 01935c2e
├── DataSet /desk/out/equity.png 85e1303a  written by evaluate (Postprocessing)
│   └── TimeSeries Series 4928aef0  result of walk_forward (Processing)
│       ├── Model Ridge 622efe33  result of fit_model (Training)
│       │   └── TimeSeries DataFrame ecf30a56  result of make_features (Preprocessing)
│       │       └── TimeSeries DataFrame aa9a33a5  result of load_prices (Preprocessing)
│       │           └── DataSet /desk/data/prices.parquet f60edc42
│       └── TimeSeries DataFrame ecf30a56  result of make_features (Preprocessing)  (see above)
├── Metrics sharpe 0.8431, max_drawdown -0.… 636d0de7  result of evaluate (Postprocessing)
│   └── TimeSeries Series 4928aef0  result of walk_forward (Processing)  (see above)
└── ran on
    ├── Environment Python 3.11.9 on Linux-6.1-x86_64 ba528516
    ├── SourceTree commit 9f2c1ab07d dc9c5edb
    └── 5 functions: evaluate, fit_model, load_prices, make_features and walk_forward
"""
    )


def test_downstream_of_a_file_names_the_runs_when_there_are_several(call, filled) -> None:
    out = call("downstream", PRICES).out
    assert out.startswith("DataSet /desk/data/prices.parquet f60edc42\n")
    for run in ("01935c2e", "01935c3f", "01935c4e"):
        assert out.count(f"in run {run}") == 1, "where the tree goes into the run, and not on every line"
    assert out.count("Model Ridge") == 3
    assert max(map(len, out.splitlines())) <= 100


def test_upstream_of_a_replay_names_the_run_it_repeats(call, filled) -> None:
    assert "├── repeats FlowRun backtest / brave-otter 01935c2e\n" in call("upstream", "replay-brave-otter").out


def test_a_walk_that_is_cut_says_so(call, filled) -> None:
    said = call("upstream", FLOW_ID, "--depth", "1")
    assert "ask with a greater --depth" in said.out
    assert "ask with" not in call("upstream", FLOW_ID).out
    assert call("upstream", FLOW_ID, "-d", "1", "--json").document["complete"] is False


def test_the_document_has_every_node_and_edge(call, filled) -> None:
    document = call("upstream", FLOW_ID, "--json").document
    assert document["direction"] == "upstream"
    known = {node["arn"] for node in document["nodes"]}
    assert document["start"] in known
    assert all({edge["source_arn"], edge["destination_arn"]} <= known for edge in document["edges"])
    types = {node["type"] for node in document["nodes"]}
    assert {"FlowRun", "Model", "Metrics", "SourceTree", "Environment", "DataSet"} <= types
    assert any(node.get("source_uri") == PRICES for node in document["nodes"])


def test_a_path_of_this_folder_is_a_reference(call, home, tmp_path: Path, monkeypatch) -> None:
    record = backtest_record()
    file = tmp_path / "prices.parquet"
    moved = record.steps[0].datasets[0].model_copy(update={"uri": file.as_uri(), "path": str(file), "name": str(file)})
    steps = (record.steps[0].model_copy(update={"datasets": (moved,)}), *record.steps[1:])
    keep_run(home, record.model_copy(update={"steps": steps}))
    monkeypatch.chdir(tmp_path)
    assert "Model Ridge" in call("downstream", "prices.parquet").out


def test_a_commit_stands_for_its_runs(call, filled) -> None:
    out = call("upstream", "commit:9f2c1ab").out
    assert out.count("FlowRun backtest") == 3, "two runs, and the one that the replay repeats"
    assert out.count("Replay backtest") == 1
    assert len(call("upstream", "commit:9f2c1ab", "--json").document) == 3


def test_the_shortest_path_joins_two_things(call, filled) -> None:
    assert call("path", PRICES, FLOW_ID).out.splitlines()[0] == "DataSet /desk/data/prices.parquet f60edc42"
    document = call("path", FLOW_ID, PRICES, "--json").document
    assert document["entities"][0]["source_uri"] == PRICES
    assert len(document["edges"]) == len(document["entities"]) - 1
    assert call("path", FLOW_ID, "calm-heron", "--json").document == {"entities": [], "edges": []}
    assert "No data went" in call("path", FLOW_ID, "calm-heron").out


def test_what_nothing_is_known_of_says_so(call, home) -> None:
    keep_run(home, backtest_record())
    assert "nothing is known upstream of it" in call("upstream", PRICES).out


def test_hundreds_of_things_are_cut_and_counted(call, home) -> None:
    keep_run(home, mapped_record(200))
    out = call("upstream", FLOW_ID).out
    assert "… and 175 more" in out
    assert len(call("upstream", FLOW_ID, "--json").document["nodes"]) > 400


def test_a_chain_deeper_than_the_stack_is_cut_at_the_edge(call, home) -> None:
    steps = []
    for number in range(1200):
        value = ValueRef(fingerprint=fingerprint(str(number)), type="float", preview=float(number))
        before = (taken("x", steps[-1].output, steps[-1]),) if steps else ()
        steps.append(step(number, f"task_{number}", inputs=before, output=value))
    keep_run(home, RunRecord(flow=backtest_flow(), steps=tuple(steps)))
    out = call("upstream", steps[-1].run_id).out
    assert "there is more behind what ends in …" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 100
    assert len(out.splitlines()) < 60


def body_record() -> RunRecord:
    """A run whose own code, between its steps, reads a file, hands on a parameter, and writes a file from what a step made."""
    day = ValueRef(fingerprint=fingerprint("day"), type="datetime.date", preview="2004-12-31")
    parameter = value_uri("prefect", "flow-run", FLOW_ID, "parameter/until")
    source = Source(run_id=FLOW_ID, uri=parameter, fingerprint=day.fingerprint, known_by=("content",))
    model = ValueRef(fingerprint=fingerprint("model"), type="sklearn.Ridge", kind="Model")
    fit = step(0, "fit", inputs=(InputRef(name="until", value=day, sources=(source,)),), output=model)
    result = model.model_copy(update={"fingerprint": fingerprint("other"), "type": "Wrapped"})
    flow = backtest_flow(
        parameters=(InputRef(name="until", value=day),),
        datasets=(prices_file(), equity_figure()),
        result=result,
    )
    return RunRecord(flow=flow, steps=(fit,))


def test_what_code_between_the_steps_passed_on_is_told_from_what_is_known(call, home) -> None:
    keep_run(home, body_record())
    lines = call("upstream", FLOW_ID).out.splitlines()
    figure = next(line for line in lines if "equity.png" in line)
    assert "written by backtest / brave-otter" in figure
    below = lines[lines.index(figure) + 1 :]
    assert "perhaps" in " ".join(below), "a step's result may have gone into it, and nothing says that it did"
    assert any("Value until = " in line and "perhaps" not in line for line in lines), "the parameter of a step is known"
    assert sum("Model Ridge" in line and "(see above)" not in line for line in lines) == 1


def test_a_result_that_a_step_made_has_that_step_alone_behind_it(call, home) -> None:
    record = backtest_record()
    evaluate = record.steps[-1]
    assert evaluate.output is not None
    uri = value_uri("prefect", "task-run", evaluate.run_id, "result")
    made = Source(run_id=evaluate.run_id, uri=uri, fingerprint=evaluate.output.fingerprint)
    flow = record.flow.model_copy(update={"result": evaluate.output, "result_sources": (made,)})
    keep_run(home, record.model_copy(update={"flow": flow}))
    out = call("upstream", FLOW_ID).out
    assert "perhaps" not in out
    assert out.count("Model Ridge") == 1
