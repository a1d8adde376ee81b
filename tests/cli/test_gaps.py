from __future__ import annotations

from lineage_flows import gaps
from lineage_flows.records import Gap, Ledger, RunRecord, Tally
from tests.support.graphs import keep_run
from tests.support.records import FLOW_ID, backtest_flow, backtest_record, step, step_id

LEDGER = Ledger(
    tallies=(Tally(kind="connection", observed=3, covered=1), Tally(kind="entropy", observed=1, covered=0)),
    gaps=(
        Gap(kind="connection", what="connects to db.example:5432", consequence="result kept, not repeatable", count=2),
        Gap(kind="entropy", what="draws from os.urandom [red]", consequence="differs on each run"),
    ),
    left_out=4,
)


def record() -> RunRecord:
    steps = (
        step(0, "load", ledger=LEDGER, unrestorable=("GET https://h/x",)),
        step(1, "fit", ledger=Ledger()),
        step(2, "again", cached=True),
    )
    return RunRecord(flow=backtest_flow(ledger=Ledger()), steps=steps)


def test_gaps_are_a_table_by_step(call, home) -> None:
    keep_run(home, record())
    said = call("show", "brave-otter", "--gaps")
    assert said.code == 0
    words = " ".join(said.out.split())
    for needle in (
        "load 3 connections, 1 draw of entropy 1 of 4 3",
        "fit nothing - 0",
        "3 gaps",
        "db.example:5432",
        "result kept, not repeatable",
        "draws from os.urandom [red]",
        "asks GET https://h/x",
        "load: observed 4 more times, not named one by one.",
        "Not watched: again (not called: Prefect had its result cached).",
        "Watched: files,",
        "Cannot be seen: what native code opens",
    ):
        assert needle in words, needle
    assert "Nothing was missed" not in words
    assert max(map(len, said.out.splitlines())) <= 100


def test_a_run_without_gaps_says_what_was_watched(call, home) -> None:
    keep_run(home, RunRecord(flow=backtest_flow(ledger=Ledger()), steps=(step(0, "fit", ledger=Ledger()),)))
    said = call("show", "brave-otter", "--gaps")
    words = " ".join(said.out.split())
    assert said.code == 0
    assert "Nothing was missed at the levels watched. Watched: files" in words


def test_a_run_that_was_not_watched_does_not_say_that_nothing_was_missed(call, home) -> None:
    keep_run(home, backtest_record())
    words = " ".join(call("show", "brave-otter", "--gaps").out.split())
    assert "Nothing was missed" not in words
    assert "Not watched: flow backtest (no ledger was recorded)" in words


def test_the_document_is_whole_and_typed(call, home) -> None:
    keep_run(home, record())
    document = call("show", FLOW_ID, "--gaps", "--json").document
    assert document["gaps"] == 3
    flow, load, fit, again = document["ledgers"]
    assert (flow["name"], flow["is_step"], flow["gaps"]) == ("backtest", False, [])
    assert load["gaps"][0] == {
        "kind": "connection",
        "what": "connects to db.example:5432",
        "consequence": "result kept, not repeatable",
        "count": 2,
        "unrestorable": "",
    }
    assert load["tallies"][0] == {"kind": "connection", "observed": 3, "covered": 1}
    assert (fit["watched"], again["watched"], again["why"]) == (
        True,
        False,
        "not called: Prefect had its result cached",
    )
    assert [item.model_dump(mode="json") for item in gaps(FLOW_ID)] == document["ledgers"]


def test_a_step_is_asked_about_by_its_own_id(call, home) -> None:
    keep_run(home, record())
    document = call("show", step_id(0), "--gaps", "--json").document
    assert [item["name"] for item in document["ledgers"]] == ["load"]
    assert [item.name for item in gaps(step_id(1))] == ["fit"]


def test_what_has_no_record_is_an_error(call, home) -> None:
    keep_run(home, backtest_record(), finished=False)
    said = call("show", "brave-otter", "--gaps")
    assert said.code == 2
    assert "has no run record" in said.err
    assert call("show", "nobody", "--gaps").code == 2
