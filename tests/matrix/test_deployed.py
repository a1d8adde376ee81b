"""Shapes of work whose flow or task is run by another process than the one that asks for it: served, deployed, delayed, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lineage_flows.records import FlowRecord, StepRecord
from tests.conftest import free_port
from tests.matrix.check import Home, look
from tests.matrix.expected import DEPLOYED, SHAPES, at
from tests.matrix.places import Desk, end, external_cluster, wait_until

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Orders:
    """Orders runs of deployments from a server, and waits for them.

    A process that serves takes every run of its deployments, also of one that was since put into a work pool under the same
    name; so those of a pool are called otherwise.
    """

    def __init__(self, api: str, home: Home, deployment: str) -> None:
        self.api = api
        self.deployment = deployment
        self.home = home

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._asked("POST", path, body)

    def get(self, path: str) -> Any:
        return self._asked("GET", path, None)

    def _asked(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """The server's answer; it says 503 while its database is held, and is asked again then."""
        answers: list[httpx.Response] = []

        def answered() -> bool:
            answers.append(httpx.request(method, f"{self.api}/{path}", json=body, timeout=60))
            return answers[-1].status_code != 503

        wait_until(answered, f"the server does not answer {method} {path}")
        answers[-1].raise_for_status()
        return answers[-1].json()

    def known(self, flow: str) -> bool:
        return httpx.get(f"{self.api}/deployments/name/{flow}/matrix", timeout=60).status_code == 200

    def order(self, flow: str, **parameters: object) -> str:
        deployment = self.get(f"deployments/name/{flow}/{self.deployment}")["id"]
        body = {"parameters": parameters, "idempotency_key": str(uuid.uuid4())}
        return str(self.post(f"deployments/{deployment}/create_flow_run", body)["id"])

    def state(self, run_id: str) -> dict[str, Any]:
        state = self.get(f"flow_runs/{run_id}")["state"]
        assert isinstance(state, dict)
        return state

    def ended(self, run_id: str) -> None:
        wait_until(lambda: self.state(run_id)["type"] in FINAL, f"run {run_id} does not end", seconds=150)
        # The state is Prefect's; lineage's own last word follows it.
        state = self.state(run_id)
        what = f"run {run_id} ({state['name']}: {state['message']}) has no run record"
        wait_until(lambda: self._kept(run_id), what)

    def _kept(self, run_id: str) -> bool:
        try:
            return self.home.record(run_id) is not None
        except Exception:
            return False


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Iterator[tuple[Desk, Orders]]:
    """A process that serves the shapes."""
    desk = Desk(tmp_path_factory.mktemp("serving"), prefect_server)
    orders = Orders(prefect_server, desk.home, "matrix")
    process = desk.start("shapes.py", "serve", log="serve.log")
    try:
        wait_until(lambda: orders.known("hanging"), "nothing is served", process)
        yield desk, orders
    finally:
        end(process)


@pytest.fixture(scope="module")
def served(serving: tuple[Desk, Orders]) -> tuple[Desk, dict[str, str]]:
    """One run of each shape, all of them ordered at once."""
    desk, orders = serving
    runs = {shape: orders.order(shape) for shape in DEPLOYED}
    for run_id in runs.values():
        orders.ended(run_id)
    return desk, runs


@pytest.mark.parametrize("shape", DEPLOYED)
def test_served(served: tuple[Desk, dict[str, str]], shape: str) -> None:
    desk, runs = served
    record = look(Home(desk.home.folder), runs[shape], at(shape, "serve"))
    assert record.flow.deployment.name == "matrix"


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> tuple[Desk, dict[str, str]]:
    """One run of each shape by a process worker."""
    desk = Desk(tmp_path_factory.mktemp("worked"), prefect_server)
    orders = Orders(prefect_server, desk.home, "pool")
    for command in (
        ("-m", "prefect", "work-pool", "create", "pool", "--type", "process", "--overwrite"),
        ("shapes.py", "deploy", "pool"),
    ):
        subprocess.run([sys.executable, *command], cwd=desk.folder, env=desk.environment, check=True, timeout=200)
    runs = {shape: orders.order(shape) for shape in DEPLOYED}
    process = desk.start("-m", "prefect", "worker", "start", "--pool", "pool", log="worker.log")
    try:
        for run_id in runs.values():
            orders.ended(run_id)
    finally:
        end(process)
    return desk, runs


def test_a_deployment_that_a_flow_runs_is_joined_to_it(serving: tuple[Desk, Orders]) -> None:
    desk, orders = serving
    run_id = orders.order("ordering", name="alone/matrix")
    orders.ended(run_id)
    home = Home(desk.home.folder)
    record = look(home, run_id, SHAPES["ordering"])
    (took,) = [step for step in record.steps if step.task_name == "takes"] or [None]
    assert took is not None
    (source,) = took.inputs[0].sources
    child = home.record(source.run_id)
    assert (child.flow.flow_name, child.flow.parent_run_id, child.flow.root_run_id) == ("alone", run_id, source.run_id)
    assert child.flow.result.fingerprint == took.inputs[0].value.fingerprint
    (given,) = child.flow.parameters
    (first,) = [step for step in record.steps if step.task_name == "double"]
    assert [(s.run_id, s.known_by) for s in given.sources] == [(first.run_id, ("content", "prefect"))]
    parent = home.events[child.flow.run_id][0]["run"]["facets"]["parent"]
    assert (parent["run"]["runId"], parent["job"]["name"]) == (run_id, "ordering")
    assert parent["root"]["run"]["runId"] == run_id


def test_a_delayed_task_is_a_step_of_the_flow_that_delayed_it(tmp_path: Path, prefect_server: str) -> None:
    desk = Desk(tmp_path, prefect_server)
    process = desk.start("shapes.py", "work", log="work.log")
    try:
        answers = desk.run("script", ["delaying"])
    finally:
        end(process)
    answer = answers["delaying"]
    assert answer.error is None, answer.error
    look(desk.home, answer.roots[0], SHAPES["delaying"])


def test_a_flow_that_is_suspended_and_resumed_makes_one_record(serving: tuple[Desk, Orders]) -> None:
    desk, orders = serving
    run_id = orders.order("suspending")
    wait_until(lambda: orders.state(run_id)["name"] == "Suspended", "it is not suspended")
    orders.post(f"flow_runs/{run_id}/resume", {})
    orders.ended(run_id)
    home = Home(desk.home.folder)
    record = look(home, run_id, SHAPES["suspending"])
    assert (record.flow.attempt, [(one.attempt, one.state) for one in record.flow.attempts]) == (
        2,
        [(1, "Interrupted")],
    )


def test_a_flow_that_is_cancelled_from_outside_leaves_what_was_captured(serving: tuple[Desk, Orders]) -> None:
    desk, orders = serving
    run_id = orders.order("hanging")
    wait_until(lambda: (desk.folder / "holding.txt").exists(), "it does not hang")
    orders.post(f"flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
    wait_until(lambda: orders.state(run_id)["type"] == "CANCELLED", "it is not cancelled")
    home = Home(desk.home.folder)
    steps = {record.task_name: record for record in home.latest(run_id) if isinstance(record, StepRecord)}
    assert steps["make"].state == "Completed"
    assert steps["make"].output.fingerprint is not None
    (flow,) = [record for record in home.latest(run_id) if isinstance(record, FlowRecord)]
    assert flow.flow_name == "hanging"


@pytest.mark.parametrize("shape", DEPLOYED)
def test_worked(worked: tuple[Desk, dict[str, str]], shape: str) -> None:
    desk, runs = worked
    record = look(Home(desk.home.folder), runs[shape], at(shape, "worker"))
    assert record.flow.deployment.work_pool == "pool"


def test_a_killed_worker_of_a_process_pool_leaves_its_step(tmp_path: Path, prefect_server: str) -> None:
    desk = Desk(tmp_path, prefect_server)
    answer = desk.run("processes", ["killed"])["killed"]
    assert answer.error is not None, "a pool whose process died is broken"
    record = desk.home.record(answer.roots[0])
    (step,) = record.steps
    assert (step.task_name, step.state, step.inputs[0].value.preview) == ("dies", "Running", 2.125)
    assert [event["eventType"] for event in desk.home.events[step.run_id]] == ["START"]
    assert record.flow.state_type in {"FAILED", "CRASHED"}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX only")
def test_dask_runs_the_step_of_a_killed_worker_again_and_both_attempts_are_told(
    tmp_path: Path, prefect_server: str
) -> None:
    desk = Desk(tmp_path, prefect_server)
    with external_cluster(tmp_path, free_port()) as address:
        answer = desk.run("external", ["killed"], MATRIX_SCHEDULER=address)["killed"]
    assert answer.error is None, answer.error
    record = desk.home.record(answer.roots[0])
    (step,) = record.steps
    assert (step.task_name, step.state, step.output.preview, step.attempt) == ("dies", "Completed", 2.25, 2)
    (lost,) = step.attempts
    assert (lost.attempt, lost.state) == (1, "Interrupted")
    kinds = [event["eventType"] for event in desk.home.events[step.run_id]]
    assert kinds == ["START", "RUNNING", "COMPLETE"]
    assert not desk.home.faults()
    assert os.path.exists(desk.folder / "died.txt")
