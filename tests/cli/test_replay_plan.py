from __future__ import annotations

from pathlib import Path

import pytest

from lineage_flows.errors import UnknownReferenceError
from lineage_flows.replay.planned import EnvironmentOutlook, Missing, ReplayPlan, StepOutlook
from tests.support.graphs import keep_run
from tests.support.records import FLOW_ID, backtest_record


def planned(**more: object) -> ReplayPlan:
    steps = (
        StepOutlook(
            task="fetch", index=0, flow="f", run_id="a", action="restored", expected="identical", reasons=("kept",)
        ),
        StepOutlook(
            task="draw", index=1, flow="f", run_id="b", action="executed", expected="may differ", reasons=("it draws",)
        ),
        StepOutlook(task="calm", index=0, flow="f", run_id="c", action="executed", expected="identical"),
    )
    environment = EnvironmentOutlook(
        asked="auto",
        chosen="rebuild",
        reason="here is another one",
        differences=("numpy 1 → 2",),
        packages=12,
        ready=False,
    )
    fields = {
        "run_id": "0193",
        "run_name": "brave-otter",
        "flow": "f",
        "expected": "may differ",
        "steps": steps,
        "environment": environment,
        "files": 2,
        "notes": ("a note",),
    }
    return ReplayPlan(**{**fields, **more})


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, object] = {}

    def answer(outcome: ReplayPlan | BaseException) -> dict[str, object]:
        def plan_replay(reference: str, **options: object) -> ReplayPlan:
            asked.update(reference=reference, **options)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr("lineage_flows.replay.outlook.plan_replay", plan_replay)
        monkeypatch.setattr("lineage_flows.replay.run.replay_run", lambda *_, **__: pytest.fail("it was executed"))
        return asked

    return answer


def test_a_plan_says_what_becomes_of_each_step_and_runs_nothing(call, home, plans, tmp_path: Path) -> None:
    asked = plans(planned())
    said = call("replay", "brave-otter", "--plan", "--env", "rebuild", "--code", str(tmp_path))
    assert said.code == 0
    words = " ".join(said.out.split())
    assert "0 fetch restored identical kept" in words
    assert "1 draw executed may differ it draws" in words
    assert "0 calm executed identical everything it used was captured" in words
    assert "the run's 12 packages, rebuilt first: here is another one" in words
    assert "numpy 1 → 2" in words
    last = said.out.splitlines()[-1]
    assert last.startswith("this run can be replayed: 2 of 3 steps are executed, 1 restored; 1 of them may come out")
    assert (asked["reference"], asked["environment"], asked["code_path"]) == ("brave-otter", "rebuild", tmp_path)


def test_what_is_missing_is_exit_code_2(call, home, plans) -> None:
    lost = Missing(what="the content of /d/in.csv", why="blob x is not in the store", fix="restore it")
    plans(planned(expected="impossible", missing=(lost,)))
    said = call("replay", "x", "--plan")
    assert said.code == 2
    words = " ".join(said.out.split())
    assert "missing because what to do possible without" in words
    assert said.out.splitlines()[-1] == "this run cannot be replayed: the content of /d/in.csv"
    document = call("replay", "x", "--plan", "--json").document
    assert (document["expected"], document["exit_code"]) == ("impossible", 2)
    assert document["missing"] == [{"what": lost.what, "why": lost.why, "fix": lost.fix, "fatal": True}]


def test_an_environment_that_cannot_be_had_is_said(call, home, plans) -> None:
    environment = EnvironmentOutlook(asked="auto", chosen="rebuild", reason="", problem="uv is not installed")
    plans(planned(environment=environment))
    assert "cannot be had: uv is not installed" in call("replay", "x", "--plan").out


def test_a_run_that_is_not_there_is_an_error(call, home, plans) -> None:
    plans(UnknownReferenceError("x"))
    said = call("replay", "x", "--plan", "--json")
    assert (said.code, said.document["error"]["type"]) == (2, "UnknownReferenceError")


def test_a_run_of_the_graph_whose_blobs_are_gone_is_planned_as_far_as_it_goes(call, filled) -> None:
    said = call("replay", FLOW_ID, "--plan", "--json")
    assert said.code == 2, said.err
    plan = said.document
    assert plan["expected"] == "impossible"
    assert {step["task"] for step in plan["steps"]} == {step.task_name for step in backtest_record().steps}
    assert [item for item in plan["missing"] if item["fatal"]]


def test_a_record_of_an_unknown_format_is_refused(call, home) -> None:
    keep_run(home, backtest_record().model_copy(update={"format": 2}))
    for more in ((), ("--plan",)):
        said = call("replay", FLOW_ID, *more)
        assert said.code == 2
        assert "the run record has format 2" in said.err
        assert "upgrade lineage-flows" in said.err.lower()
