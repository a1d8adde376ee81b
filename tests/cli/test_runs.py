from __future__ import annotations

from lineage_flows.cli.runs import _distinct
from tests.support.graphs import keep_run
from tests.support.records import FLOW_ID, backtest_record


def test_runs_are_a_list_with_what_a_script_needs(call, filled) -> None:
    runs = call("runs", "--json").document
    assert {run["name"] for run in runs} == {"brave-otter", "replay-brave-otter", "calm-heron"}
    replay = next(run for run in runs if run["kind"] == "replay")
    assert replay["replay_of"] == FLOW_ID
    assert {"run_id", "flow", "name", "state", "started", "kind", "replay_of"} <= set(replay)


def test_no_run_is_an_empty_list_and_a_hint(call) -> None:
    assert call("runs", "--json").document == []
    assert "lineage-flows init" in call("runs").out


def test_the_newest_come_first_and_as_many_as_asked_for(call, home) -> None:
    for day in range(1, 4):
        times = {"started": f"2026-02-0{day}T21:30:00.000000Z", "ended": f"2026-02-0{day}T21:31:00.000000Z"}
        record = backtest_record(f"0193{day}c2e-7a10-7c3e-9d1a-5b6f0a4c1e00", run_name=f"day-{day}", **times)
        keep_run(home, record)
    assert [run["name"] for run in call("runs", "--json").document] == ["day-3", "day-2", "day-1"]
    assert [run["name"] for run in call("runs", "-n", "1", "--json").document] == ["day-3"]
    assert "the newest 1" in call("runs", "-n", "1").out


def test_a_table_fits_a_hundred_columns(call, filled) -> None:
    out = call("runs").out
    assert max(map(len, out.splitlines())) <= 100
    assert "01935c2e  backtest  brave-otter" in out
    assert "of 01935c2e:" in out


def test_runs_are_filtered(call, filled) -> None:
    assert [run["name"] for run in call("runs", "--kind", "replay", "--json").document] == ["replay-brave-otter"]
    assert call("runs", "--flow", "other", "--json").document == []


def test_ids_are_shortened_until_each_is_told_from_all_others() -> None:
    ids = ["01935c2e-7a10-7c3e", "01935c2e-7a10-7c3f", "01935c2e-7b", "99999999-0000", "01935c2e-7a10-7c3e"]
    short = _distinct(ids)
    assert short["99999999-0000"] == "99999999"
    assert short["01935c2e-7b"] == "01935c2e-7b"
    assert len(set(short.values())) == 4
    assert all(run_id.startswith(start) for run_id, start in short.items())


def test_what_still_waits_in_the_spool_is_said(call, spooled) -> None:
    out = call("runs").out
    assert "events not in the graph yet" in out
    assert "lineage-flows deliver" in out
    assert "init" not in out
    assert call("runs", "--json").document == []


def test_a_home_that_is_no_folder(call, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    for verb in ("runs", "deliver"):
        said = call("--home", str(tmp_path / "file"), verb)
        assert (said.code, said.out) == (2, "")
        assert "is no folder" in said.err
