from __future__ import annotations

import pytest

from lineage_flows.records import RunRecord, SourceTree
from lineage_flows.ui.summary import capture_errors, code_text, given_out, metrics, replay_sentence, run_sentence
from tests.support.records import backtest_flow, backtest_record, replay_record, step


def test_a_run_in_one_sentence() -> None:
    assert run_sentence(backtest_record()) == (
        "5 steps in 5.2 s; read 1 file; wrote 1 file; gave out 1 model, 1 set of metrics and 3 time series."
    )
    assert run_sentence(RunRecord(flow=backtest_flow(ended=None))) == "0 steps."


def test_a_replay_in_one_sentence() -> None:
    original = backtest_record()
    assert replay_sentence(original) == ""
    assert (
        replay_sentence(replay_record(original))
        == f"Identical: 5 of 5 steps identical. Replay of {original.flow.run_id}."
    )
    assert replay_sentence(replay_record(original, different=2)).startswith(
        "Different: 2 of 5 steps identical; first different: fit_model (by code). Replay of "
    )


def test_metrics_that_are_only_passed_on_are_told_once() -> None:
    record = backtest_record()
    passed_on = step(5, "report", output=record.steps[-1].output)
    again = record.model_copy(update={"steps": (*record.steps, passed_on)})
    assert metrics(again) == metrics(record)
    assert metrics(record)[0] == ("evaluate", "sharpe", 0.8431)


def test_metrics_of_a_task_that_ran_more_than_once_are_told_apart() -> None:
    value = backtest_record().steps[-1].output
    assert value is not None
    other = value.model_copy(update={"fingerprint": "lf1:other", "preview": {"sharpe": 1.5, "ok": True, "note": "x"}})
    steps = (step(0, "evaluate", output=value), step(1, "evaluate", index=1, output=other))
    found = metrics(RunRecord(flow=backtest_flow(), steps=steps))
    assert found[0] == ("evaluate #0", "sharpe", 0.8431)
    assert found[-1] == ("evaluate #1", "sharpe", 1.5), "truth values and texts are no metrics"


def test_none_is_not_given_out() -> None:
    nothing = step(0, "log", output=backtest_record().steps[0].output.model_copy(update={"type": "NoneType"}))
    assert given_out(RunRecord(flow=backtest_flow(), steps=(nothing,))) == []


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (None, "not recorded"),
        (
            SourceTree(digest="sha256:0123456789abcdef", format="files", root="/d", note="too large"),
            "tree 0123456789; not kept: too large",
        ),
    ],
)
def test_code_that_is_not_there_says_so(tree: SourceTree | None, said: str) -> None:
    assert code_text(backtest_flow(code=tree)) == said


def test_capture_errors_name_where_they_arose() -> None:
    failing = step(0, "fit", capture_errors=("b",))
    record = RunRecord(flow=backtest_flow(capture_errors=("a",)), steps=(failing,))
    assert capture_errors(record) == [("backtest", "a"), ("fit", "b")]
