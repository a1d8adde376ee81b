from __future__ import annotations

from lineage_flows.records import DeploymentRef, ErrorRef, RunRecord
from tests.support.graphs import keep_run
from tests.support.records import FLOW_ID, backtest_record, mapped_record, step


def test_a_run_is_shown_whole(call, filled) -> None:
    out = call("show", "brave-otter").out
    for needle in (
        "backtest / brave-otter  Completed",
        FLOW_ID,
        "2026-01-30 21:30:00 UTC, took 5.2 s",
        "window = 20",
        "commit 9f2c1ab07d on main, with changes that were not committed (12 files)",
        "Python 3.11.9 on Linux-6.1-x86_64, Prefect 3.8.8",
        "postprocessing",
        "Ridge 622efe33",
        "/desk/data/prices.parquet  read",
        "max_drawdown   -0.3127  evaluate",
        f"replay it: lineage-flows replay {FLOW_ID}",
    ):
        assert needle in out
    assert max(map(len, out.splitlines())) <= 100


def test_inputs_name_the_steps_they_came_from(call, filled) -> None:
    words = " ".join(call("show", "brave-otter").out.split())
    assert "model ← fit_model," in words


def test_the_document_holds_the_whole_record(call, filled) -> None:
    document = call("show", FLOW_ID[:10], "--json").document
    assert document["run"]["run_id"] == FLOW_ID
    assert RunRecord.model_validate(document["record"]) == backtest_record()
    assert document["replay_command"] == f"lineage-flows replay {FLOW_ID}"


def test_a_run_that_has_not_ended_is_shown_as_far_as_it_is_known(call, home) -> None:
    keep_run(home, backtest_record(), finished=False)
    said = call("show", "brave-otter")
    assert said.code == 0
    assert "There is no run record" in said.out
    assert call("show", "brave-otter", "--json").document["record"] is None


def test_failures_deployment_and_capture_errors_are_shown(call, home) -> None:
    error = ErrorRef(type="builtins.ValueError", message="no prices [red]today[/red]")
    deployment = DeploymentRef(id="d", name="weekday-close", work_pool="desk")
    failed = backtest_record(
        state="Failed", state_type="FAILED", error=error, deployment=deployment, capture_errors=("the store is full",)
    )
    keep_run(home, failed)
    out = call("show", "brave-otter").out
    assert "Failed" in out
    assert "ValueError: no prices [red]today[/red]" in out
    assert "weekday-close, work pool desk" in out
    assert "1 capture error: this lineage is not whole" in out
    assert "the store is full" in out


def test_names_cannot_reach_the_terminal(call, home) -> None:
    record = backtest_record(run_name="\x1b[2J\x1b[31mgone\r\n", flow_name="[bold]x[/bold] :bomb:")
    steps = (step(0, "\x1b]0;title\x07", flow_name=record.flow.flow_name),)
    keep_run(home, record.model_copy(update={"steps": steps}))
    for verb in ("show", "upstream"):
        out = call(verb, FLOW_ID).out
        assert not {"\x1b", "\x07", "\r"} & set(out)
        assert "[bold]x[/bold] :bomb:" in out


def test_hundreds_of_steps_are_shown_in_a_hundred_columns(call, home) -> None:
    keep_run(home, mapped_record(300))
    out = call("show", FLOW_ID).out
    assert "301 steps" in out
    assert "and 294 more" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 100
