from __future__ import annotations

from pathlib import Path

import pytest

from lineage_flows.compare import Change
from lineage_flows.errors import ReplayError
from lineage_flows.replay import ReplayReport
from tests.support.records import FLOW_ID, backtest_record, replay_record


def report(different: int | None = None, **more: object) -> ReplayReport:
    replay = replay_record(backtest_record(), different=different).flow.replay
    assert replay is not None
    assert replay.outcome is not None
    outcome = {name: getattr(replay.outcome, name) for name in ("verdict", "steps", "result", "first_divergence")}
    return ReplayReport(
        **{"run_id": FLOW_ID, "run_name": "brave-otter", "flow": "backtest", "replay_run_id": "r", **outcome, **more}
    )


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch):
    """Puts an outcome in place of a replay; replays themselves are tested where they are made. Gives what it was asked."""
    asked: dict[str, object] = {}

    def answer(outcome: ReplayReport | BaseException) -> dict[str, object]:
        def replay_run(reference: str, **options: object) -> ReplayReport:
            asked.update(reference=reference, **options)
            options["on_progress"]("fit", 0, 5)  # type: ignore[operator]
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr("lineage_flows.replay.run.replay_run", replay_run)
        return asked

    return answer


def test_an_identical_replay_is_exit_code_0(call, home, replayed) -> None:
    asked = replayed(report())
    said = call("replay", "brave-otter")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "5 of 5 steps identical"
    assert asked["reference"] == "brave-otter"
    assert (asked["code_path"], asked["keep"], asked["timeout"]) == (None, False, None)
    assert asked["environment"] == "auto"
    assert asked["settings"].home == home


def test_the_environment_is_passed_on_and_only_one_of_three(call, home, replayed) -> None:
    asked = replayed(report())
    assert call("replay", "x", "--env", "rebuild").code == 0
    assert asked["environment"] == "rebuild"
    assert call("replay", "x", "--env", "other").code == 2


def test_an_equivalent_replay_is_exit_code_0(call, home, replayed) -> None:
    replayed(report(verdict="equivalent"))
    assert call("replay", "x").code == 0


def test_a_different_replay_is_exit_code_1_and_names_the_cause(call, home, replayed) -> None:
    replayed(report(2, environment=(Change(what="environment", name="numpy", old="2.3", new="2.4"),), notes=("n",)))
    said = call("replay", "x")
    assert said.code == 1
    words = " ".join(said.out.split())
    assert "0 fit_model different code function fit_model changed" in words
    assert "numpy 2.3 2.4" in words
    assert said.out.splitlines()[-1].startswith("first divergence at step fit_model#0: different, because of code")


def test_the_document_is_what_a_script_needs(call, home, replayed) -> None:
    replayed(report(2))
    said = call("replay", "x", "--json")
    assert (said.code, said.err) == (1, "")
    document = said.document
    assert {"run_id", "replay_run_id", "verdict", "steps", "first_divergence"} <= set(document)
    assert (document["verdict"], document["first_divergence"]) == ("different", 2)
    assert document["steps"][2]["task"] == "fit_model"
    assert (document["steps"][2]["index"], document["steps"][2]["causes"]) == (0, ["code"])


def test_what_could_not_be_done_is_exit_code_2(call, home, replayed) -> None:
    replayed(ReplayError("run x cannot be replayed", why="its code was not kept", fix="run it again"))
    said = call("replay", "x", "--json")
    assert said.code == 2
    assert said.document["error"]["type"] == "ReplayError"
    assert said.err == "lineage-flows: run x cannot be replayed: its code was not kept. Run it again\n"


def test_options_reach_the_replay(call, home, replayed, tmp_path: Path) -> None:
    asked = replayed(report(workspace="/kept"))
    said = call("replay", "x", "--code", str(tmp_path), "--keep", "--timeout", "9.5")
    assert (asked["code_path"], asked["keep"], asked["timeout"]) == (tmp_path, True, 9.5)
    assert "/kept" in said.out


def test_ctrl_c_stops_a_replay(call, home, replayed) -> None:
    replayed(KeyboardInterrupt())
    assert call("replay", "x").code == 130


def test_what_of_it_is_asked_for_is_passed_on(call, home, replayed) -> None:
    asked = replayed(report())
    arguments = [
        "--from",
        "fit_model",
        "--set",
        "window=50",
        "--set",
        "path=data/x.csv",
        "--set",
        "on=2026-01-30",
        "--allow-live",
    ]
    assert call("replay", "x", *arguments).code == 0
    question = asked["asked"]
    assert question.from_step == "fit_model"
    assert question.parameters == {"window": 50, "path": "data/x.csv", "on": "2026-01-30"}
    assert question.allow_live is True
    assert call("replay", "x", "--only", "a", "--only", "b#2").code == 0
    assert asked["asked"].only == ("a", "b#2")


def test_a_parameter_without_a_name_is_an_error(call, home, replayed) -> None:
    replayed(report())
    said = call("replay", "x", "--set", "50")
    assert said.code == 2
    assert "NAME=VALUE" in said.err
