"""The seams: checked before anything is wrapped, put back whole, and a fall-back when Prefect's engine is another one."""

from __future__ import annotations

import pytest

from lineage_flows.capture import engine
from tests.support.flows import run_script


def test_the_installed_prefect_is_the_one_we_know():
    assert engine.check_seams() == []


def test_a_changed_signature_is_found(monkeypatch):
    from prefect.task_engine import SyncTaskRunEngine

    monkeypatch.setattr(SyncTaskRunEngine, "call_task_fn", lambda self, transaction, attempt: None)
    monkeypatch.delattr("prefect.flow_engine.FlowRunEngine.handle_success")
    problems = engine.check_seams()
    assert len(problems) == 2
    assert "SyncTaskRunEngine.call_task_fn takes ('self', 'transaction', 'attempt')" in problems[0]
    assert "FlowRunEngine.handle_success does not exist" in problems[1]


def test_a_seam_that_became_a_coroutine_is_found(monkeypatch):
    from prefect.flow_engine import FlowRunEngine

    async def set_state(self, state, force=False): ...

    monkeypatch.setattr(FlowRunEngine, "set_state", set_state)
    assert engine.check_seams() == ["prefect.flow_engine.FlowRunEngine.set_state is a coroutine function"]


OTHER_ENGINE = """
import prefect.flow_engine, prefect.task_engine
from prefect.task_engine import SyncTaskRunEngine

known = SyncTaskRunEngine.call_task_fn
SyncTaskRunEngine.call_task_fn = lambda self, transaction, attempt=1: known(self, transaction)

import lineage_flows
from prefect import flow, task

@task
def add(a, b):
    return a + b

@task
def fail():
    raise ValueError("no")

@flow
def work():
    total = add(1000, 2000)
    try:
        fail()
    except ValueError:
        pass
    return add(total, 5)

if __name__ == "__main__":
    print("result", work())
"""


@pytest.mark.server
def test_with_another_engine_state_hooks_capture_less_and_say_so(tmp_path, prefect_server):
    ran = run_script(OTHER_ENGINE, tmp_path / "project", tmp_path / "home", switch="", PREFECT_API_URL=prefect_server)
    assert ran.code == 0, ran.err
    assert "result 3005" in ran.out
    assert "capturing less" in ran.err
    flow = ran.flows()["work"]
    assert (flow.state, flow.level) == ("Completed", "metadata")
    assert "state hooks" in flow.capture_errors[0]
    first, second = ran.steps("add")
    assert [first.output.preview, second.output.preview] == [3000, 3005]
    assert first.run_id in second.upstream
    assert ran.step("fail").error.message == "no"


@pytest.mark.server
def test_with_another_engine_strict_stops(tmp_path, prefect_server):
    ran = run_script(
        OTHER_ENGINE,
        tmp_path / "project",
        tmp_path / "home",
        switch="",
        PREFECT_API_URL=prefect_server,
        LINEAGE_FLOWS_STRICT="1",
    )
    assert ran.code != 0
    assert "UnsupportedPrefectError" in ran.err
