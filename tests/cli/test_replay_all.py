from __future__ import annotations

from pathlib import Path

import pytest

from lineage_flows.errors import ReplayError
from lineage_flows.replay import ReplayReport
from tests.cli.test_replay import report
from tests.support.graphs import keep_run
from tests.support.records import backtest_record


@pytest.fixture
def quarter(home: Path) -> Path:
    """A home with a run on each of five days, the fourth of which has not ended."""
    for day in range(1, 6):
        times = {"started": f"2026-02-0{day}T23:59:59.000000Z", "ended": f"2026-02-0{day}T23:59:59.900000Z"}
        record = backtest_record(f"0193{day}c2e-7a10-7c3e-9d1a-5b6f0a4c1e00", run_name=f"day-{day}", **times)
        keep_run(home, record, finished=day != 4)
    return home


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch):
    """Puts outcomes in place of replays, by run id's fifth character (the day); gives what was asked."""
    asked: list[tuple[str, dict[str, object]]] = []

    def answer(by_day: dict[str, ReplayReport | Exception]) -> list[tuple[str, dict[str, object]]]:
        def replay_run(reference: str, **options: object) -> ReplayReport:
            asked.append((reference, options))
            outcome = by_day.get(reference[4], report())
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr("lineage_flows.replay.many.replay_run", replay_run)
        return asked

    return answer


def days(asked: list[tuple[str, dict[str, object]]]) -> str:
    return "".join(reference[4] for reference, _ in asked)


def test_all_that_ended_are_replayed_the_oldest_first(call, quarter, outcomes) -> None:
    asked = outcomes({})
    said = call("replay-all", "backtest", "--json")
    assert said.code == 0, said.err
    assert days(asked) == "1235"
    assert [run["name"] for run in said.document["runs"]] == ["day-1", "day-2", "day-3", "day-5"]
    assert {run["verdict"] for run in said.document["runs"]} == {"identical"}


def test_days_are_both_within(call, quarter, outcomes) -> None:
    asked = outcomes({})
    assert call("replay-all", "backtest", "--since", "2026-02-02", "--until", "2026-02-03").code == 0
    assert days(asked) == "23"
    assert (
        call("replay-all", "backtest", "-n", "1", "--env", "current", "--clock", "captured", "--timeout", "9").code == 0
    )
    reference, options = asked[-1]
    assert reference[4] == "5", "the newest"
    assert (options["environment"], options["clock"], options["timeout"]) == ("current", "captured", 9.0)


def test_one_that_cannot_be_done_holds_up_no_other_and_one_that_differs_decides(call, quarter, outcomes) -> None:
    asked = outcomes({"2": ReplayError("run x cannot be replayed", why="its code was not kept")})
    said = call("replay-all", "backtest")
    assert said.code == 2
    assert days(asked) == "1235"
    assert "its code was not kept" in " ".join(said.out.split())
    assert said.out.splitlines()[-1] == "4 runs: 3 identical, 1 not done"
    outcomes({"2": OSError("no space left on device"), "3": report(2)})
    said = call("replay-all", "backtest", "--json")
    assert said.code == 1
    assert said.document["runs"][1]["summary"] == "OSError: no space left on device"
    third = said.document["runs"][2]
    assert (third["verdict"], third["first_divergence"], third["causes"]) == ("different", "fit_model#0", ["code"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nobody",), "nobody"),
        (("backtest", "--since", "2027-01-01"), "within these days"),
        (("backtest", "--since", "soon"), "--since"),
    ],
)
def test_nothing_to_replay_is_an_error(call, quarter, outcomes, arguments, why) -> None:
    asked = outcomes({})
    said = call("replay-all", *arguments)
    assert said.code == 2
    assert why in said.err
    assert asked == []
