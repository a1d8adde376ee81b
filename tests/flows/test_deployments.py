"""``prefect deploy --all`` and a process worker, against a real server: each deployment runs, is captured, and replays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from skfolio.datasets import load_sp500_dataset

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE = 120.0
"""Seconds within which the scheduler, which looks once a minute, makes runs of a new schedule."""
SOON = 60


class Desk:
    """Prefect's and our own command line as a desk uses them, in the project's folder, with a home of the test's own."""

    def __init__(self, api: str, home: Path) -> None:
        self.api = api
        # The project's pyproject.toml is what switches capture on here; the tests' own environment switches it off.
        inherited = {name: value for name, value in os.environ.items() if name != "PREFECT_PLUGINS_ENABLED"}
        self.environment = {**inherited, "PREFECT_API_URL": api, "LINEAGE_FLOWS_HOME": str(home), "COLUMNS": "400"}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def prefect(self, *arguments: str) -> str:
        done = self.run(sys.executable, "-m", "prefect", *arguments)
        assert done.returncode == 0, f"prefect {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def worker(self, *arguments: str) -> str:
        """Let a process worker run what is due, once."""
        return self.prefect("worker", "start", "--pool", "local", "--run-once", *arguments)

    def lineage(self, *arguments: str) -> Any:
        done = self.run(str(Path(sys.executable).with_name("lineage-flows")), *arguments, "--json")
        assert done.returncode == 0, f"lineage-flows {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def post(self, path: str, body: Any) -> Any:
        answer = httpx.post(f"{self.api}/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.api}/{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def deployment(self, name: str) -> dict[str, Any]:
        found = self.get(f"deployments/name/{name}/{name}")
        assert isinstance(found, dict)
        return found

    def order(self, name: str, **parameters: object) -> str:
        """Ask for a run of a deployment now; its id."""
        created = self.post(f"deployments/{self.deployment(name)['id']}/create_flow_run", {"parameters": parameters})
        return str(created["id"])

    def state(self, run_id: str) -> str:
        return str(self.get(f"flow_runs/{run_id}")["state"]["name"])

    def why(self, run_id: str) -> str:
        """A run's state with its message, and its log."""
        state = self.get(f"flow_runs/{run_id}")["state"]
        logs = self.post("logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}})
        return "\n".join([f"{state['name']}: {state['message']}", *(entry["message"] for entry in logs)])


@pytest.fixture(scope="module")
def desk(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(prefect_server, tmp_path_factory.mktemp("deployments") / "home")
    desk.prefect("work-pool", "create", "local", "--type", "process", "--overwrite")
    desk.prefect("deploy", "--all")
    # Its schedule may fall due at any minute; here it runs only when it is ordered.
    paused = httpx.patch(f"{prefect_server}/deployments/{desk.deployment('housekeeping')['id']}", json={"paused": True})
    paused.raise_for_status()
    return desk


def test_all_three_are_deployed_on_their_schedules(desk):
    schedules = {}
    for name in ("backtest", "replay", "housekeeping"):
        found = desk.deployment(name)
        assert found["work_pool_name"] == "local"
        assert found["pull_steps"] == [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}], (
            "workers run the code where it lies"
        )
        schedules[name] = [entry["schedule"] for entry in found["schedules"]]
    (weekdays,) = schedules["backtest"]
    assert (weekdays["cron"], weekdays["timezone"]) == ("30 16 * * 1-5", "America/New_York")
    assert schedules["replay"] == []
    (quarters,) = schedules["housekeeping"]
    assert quarters["interval"] == 900


def test_a_worker_runs_each_and_the_replay_is_identical(desk, tmp_path):
    prices, figure = tmp_path / "prices.parquet", tmp_path / "equity.png"
    # Not the sample that the flow writes when it finds none: a replay that made its prices afresh would come out different.
    load_sp500_dataset().loc[:"2021"].to_parquet(prices)
    original = desk.order("backtest", prices=str(prices), figure=str(figure), lookback=126)
    desk.worker()
    assert desk.state(original) == "Completed"
    steps = desk.lineage("show", original)["record"]["steps"]
    reads = {data["path"]: data["blob"] for step in steps for data in step["datasets"] if data["direction"] == "read"}
    assert reads[str(prices)] is not None, "a replay needs the content of what was read"
    prices.unlink()
    figure.unlink()

    (run,) = [run for run in desk.lineage("runs") if run["run_id"] == original]
    assert (run["flow"], run["state"], run["kind"]) == ("backtest", "Completed", "run")

    replay, housekeeping = desk.order("replay", run=original), desk.order("housekeeping")
    said = desk.worker()
    for run in (replay, housekeeping):
        assert desk.state(run) == "Completed", f"{desk.why(run)}\n{said}"
    (replayed,) = [run for run in desk.lineage("runs") if run["replay_of"] == original]
    assert (replayed["kind"], replayed["verdict"]) == ("replay", "identical")
    assert not prices.exists(), "a replay writes nothing where the original did"


def test_a_trading_loss_starts_the_replay_of_the_run_behind_it(desk, tmp_path):
    files = {"prices": str(tmp_path / "prices.parquet"), "figure": str(tmp_path / "equity.png")}
    original = desk.order("backtest", **files)
    desk.worker()
    assert desk.state(original) == "Completed", desk.why(original)

    told = desk.lineage("loss", "--strategy", "backtest", "--amount", "125000", "--currency", "USD")
    assert told["run"]["run_id"] == original
    assert told["starts"] == ["replay what stood behind a trading loss"]
    # As a risk system would that knows of no lineage: the replay finds the run itself.
    today = told["run"]["ended"][:10]
    foreign = {
        "occurred": datetime.now(UTC).isoformat(),
        "event": "desk.trading-loss",
        "resource": {"prefect.resource.id": "desk.strategy.backtest"},
        "payload": {"strategy": "backtest", "date": today},
        "id": str(uuid.uuid4()),
    }
    answer = httpx.post(f"{desk.api}/events", json=[foreign], timeout=30)
    answer.raise_for_status()

    ordered = _started_by_automation(desk, {"run": original}, {"run": None, "date": today})
    desk.worker()
    for run in ordered:
        assert desk.state(run["id"]) == "Completed", desk.why(run["id"])
    names = {desk.get(f"flow_runs/{run['id']}")["name"] for run in ordered}
    assert names == {f"replay {original}", f"replay backtest {today}"}
    replays = [run for run in desk.lineage("runs") if run["replay_of"] == original]
    assert [run["verdict"] for run in replays] == ["identical", "identical"]


def _started_by_automation(desk: Desk, *given: dict[str, str | None]) -> list[dict[str, Any]]:
    """Runs of the replay deployment that nobody ordered, one with each of these parameters; waits until they are there."""
    deadline = time.monotonic() + DEADLINE
    wanted = {"deployment_id": {"any_": [desk.deployment("replay")["id"]]}}
    while True:
        runs = desk.post("flow_runs/filter", {"flow_runs": wanted})
        runs = [run for run in runs if (run["created_by"] or {}).get("type") == "AUTOMATION"]
        found = [run for some in given for run in runs if some.items() <= run["parameters"].items()]
        if len(found) >= len(given):
            return found
        assert time.monotonic() < deadline, f"of {given} the automation started {[run['parameters'] for run in runs]}"
        time.sleep(0.5)


def test_a_scheduled_run_is_captured_with_its_deployment_and_nominal_time_and_replays(desk, tmp_path):
    deployment = desk.deployment("backtest")
    files = {"prices": str(tmp_path / "prices.parquet"), "figure": str(tmp_path / "equity.png")}
    schedule = {"schedule": {"interval": 20}, "active": True, "parameters": files}
    (made,) = desk.post(f"deployments/{deployment['id']}/schedules", [schedule])
    try:
        assert _scheduled(desk, deployment["id"], "SCHEDULED", wait=DEADLINE), "the scheduler made no run that is due"
        said = desk.worker("--limit", "1", "--prefetch-seconds", str(SOON))
    finally:
        httpx.delete(f"{desk.api}/deployments/{deployment['id']}/schedules/{made['id']}", timeout=30)
    # Of all that are due, the worker chose which.
    completed = _scheduled(desk, deployment["id"], "COMPLETED")
    assert len(completed) == 1, said
    (due,) = completed

    flow = desk.lineage("show", due["id"])["record"]["flow"]
    assert flow["deployment"]["id"] == deployment["id"]
    assert flow["nominal_start"][:19] == due["expected_start_time"][:19]

    for file in files.values():
        Path(file).unlink()
    assert desk.lineage("replay", due["id"])["verdict"] == "identical"


def _scheduled(desk: Desk, deployment_id: str, state: str, *, wait: float = 0.0) -> list[dict[str, Any]]:
    """Runs in a state that the scheduler made, not a person, and that are due soon; waits for one at most so many seconds.

    Those of the deployment's own schedule come first, and are hours away.
    """
    deadline = time.monotonic() + wait
    while True:
        soon = (datetime.now(UTC) + timedelta(seconds=SOON)).isoformat()
        wanted = {
            "deployment_id": {"any_": [deployment_id]},
            "state": {"type": {"any_": [state]}},
            "expected_start_time": {"before_": soon},
        }
        found = [run for run in desk.post("flow_runs/filter", {"flow_runs": wanted}) if run["auto_scheduled"]]
        if found or time.monotonic() >= deadline:
            return found
        time.sleep(0.5)
