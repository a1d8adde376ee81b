from __future__ import annotations

import json

import pytest

from lineage_flows.compare import compare_values
from lineage_flows.errors import BlobMissingError, ContentError, ReplayError
from lineage_flows.records import StepComparison, ValueDifference
from lineage_flows.replay.report import Failure, ReplayReport
from lineage_flows.replay.run import _raised

CODE = ("code of step b (flow.py, lines 3)",)


def step(task: str, verdict: str = "identical", *causes: str, details: tuple[str, ...] = ()) -> StepComparison:
    return StepComparison(task=task, index=0, verdict=verdict, causes=causes, details=details)


def report(*steps: StepComparison, verdict: str = "identical", first: int | None = None, **more) -> ReplayReport:
    fields = {"run_id": "a", "run_name": "calm-otter", "flow": "f", "replay_run_id": "b", "result": "identical", **more}
    return ReplayReport(verdict=verdict, steps=steps, first_divergence=first, **fields)


@pytest.mark.parametrize(("verdict", "code"), [("identical", 0), ("equivalent", 0), ("different", 1)])
def test_the_exit_code_follows_the_verdict_and_is_in_the_json(verdict, code):
    made = report(step("load"), verdict=verdict)
    assert made.exit_code == code
    document = json.loads(made.model_dump_json())
    assert {"run_id", "replay_run_id", "verdict", "steps", "first_divergence", "exit_code"} <= document.keys()
    assert document["steps"][0]["task"] == "load"
    assert document["exit_code"] == code


@pytest.mark.parametrize(
    ("made", "summary"),
    [
        (report(step("a"), step("b")), "2 of 2 steps identical"),
        (report(step("a"), step("b", "restored")), "1 of 2 steps identical, 1 restored"),
        (
            report(
                step("a"),
                step("b", "different", "code", details=CODE),
                verdict="different",
                first=1,
            ),
            f"first divergence at step b#0: different, because of code ({CODE[0]})",
        ),
        (
            report(step("a"), verdict="different", result="different"),
            "all steps the same, and the flow's own result differs",
        ),
        (report(step("a", "equivalent", "environment"), verdict="equivalent", first=0), "1 of 1 steps equivalent"),
        (
            report(step("a"), step("b", "equivalent"), verdict="equivalent", first=1),
            "1 of 2 steps identical, 1 equivalent",
        ),
        (report(), "no steps, and the flow's own result is identical"),
    ],
)
def test_one_line_says_it(made, summary):
    assert made.summary == summary


def test_an_error_of_the_child_is_raised_as_what_it_was_where_that_can_be():
    error = _raised(Failure(kind="ContentError", what="no", why="because", fix="do"))
    assert type(error) is ContentError
    assert str(error) == "no: because. Do"
    assert type(_raised(Failure(kind="BlobMissingError", what="blob x is missing"))) is ReplayError
    assert type(_raised(Failure(kind="os", what="x"))) is ReplayError
    assert issubclass(BlobMissingError, ContentError)


def valued(verdict: str, a: object, b: object) -> ValueDifference:
    found = compare_values(a, b).found
    assert found is not None
    assert found.verdict == verdict
    return found


def test_the_line_says_how_far_numbers_lie_apart():
    inexact = step("b", "equivalent").model_copy(update={"values": (valued("equivalent", 1.0, 1.0 + 2**-52),)})
    made = report(step("a"), inexact, verdict="equivalent")
    assert made.summary == "1 of 2 steps identical, 1 equivalent; numbers lie apart by at most rel 2.2e-16, 1 ulp"
    wrong = step("b", "different", "inputs", details=("input `x` comes from step a#0, which differs",))
    wrong = wrong.model_copy(update={"values": (valued("different", {"sharpe": 1.2345}, {"sharpe": 1.2346}),)})
    made = report(step("a"), wrong, verdict="different", first=1)
    assert made.summary.startswith("first divergence at step b#0: different, because of inputs (input `x` comes")
    assert made.summary.endswith("; output differs: sharpe 1.2345 → 1.2346 (rel 8.1e-05)")


def test_what_nobody_could_compare_is_neither_equal_nor_different():
    made = report(step("a", "not compared"), verdict="not compared")
    assert (made.exit_code, made.summary) == (2, "1 of 1 steps not compared")
