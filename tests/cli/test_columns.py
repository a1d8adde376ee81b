from __future__ import annotations

from lineage_flows.records import RunRecord, value_uri
from tests.graph.test_columns import chain
from tests.support.graphs import keep_run
from tests.support.records import NAMESPACE, backtest_flow, prices_file


def result(number: int) -> str:
    return value_uri(NAMESPACE, "task-run", chain()[number].run_id, "result")


def test_a_column_s_origin_is_a_tree_down_to_the_file(call, home) -> None:
    keep_run(home, RunRecord(flow=backtest_flow(), steps=chain()))
    lines = call("upstream", result(3), "--column", "left").out.splitlines()
    assert lines[0] == "left of backtest.rename/result"
    assert "close_a of backtest.merge/result (identity)" in lines[1]
    assert "close of backtest.load/result (identity)" in lines[2]
    assert "price of /desk/data/prices.parquet (transformation)" in lines[3]
    document = call("upstream", result(3), "--column", "left", "--json").document
    assert [link["source_column"] for link in document["links"]] == ["close_a", "close", "price"]


def test_a_column_of_which_nothing_is_certain_says_so(call, home) -> None:
    keep_run(home, RunRecord(flow=backtest_flow(), steps=chain()))
    assert "Nothing is certain" in call("upstream", result(1), "--column", "close").out
    assert call("upstream", "nobody", "--column", "close").code == 2


def test_show_of_a_dataset_lists_its_columns_and_what_they_were_made_from(call, home) -> None:
    keep_run(home, RunRecord(flow=backtest_flow(), steps=chain()))
    out = call("show", result(2)).out
    assert "close_a" in out
    assert "close of backtest.load/result (identity)" in out
    assert "float64" in out
    document = call("show", result(2), "--json").document
    assert {link["column"] for link in document["column_lineage"]} == {"close_a", "close_b"}
    assert "DataSet" in call("show", prices_file().uri).out


def test_show_of_a_run_is_as_before(call, filled) -> None:
    assert "replay it" in call("show", "brave-otter").out
    assert call("show", "nobody").code == 2
