"""Flow runs that Prefect does not run again: a subflow that ended in an earlier attempt of the flow around it."""

from __future__ import annotations

import pytest

from lineage_flows.delivery import Spool
from tests.support.flows import run_script

pytestmark = pytest.mark.server

SCRIPT = """
from prefect import flow, task

attempts = []

@task
def make(n):
    return [n + 0.5, n + 1.5]

@flow(persist_result=True)
def child(n):
    return make(n)

@task
def use(values):
    return sum(values)

@flow(retries=1)
def parent(n):
    attempts.append(1)
    made = child(n)
    if len(attempts) == 1:
        raise ValueError("first time")
    return use(made)

if __name__ == "__main__":
    assert parent(3) == 8.0
    assert len(attempts) == 2
"""


@pytest.fixture(scope="module")
def ran(prefect_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reused")
    done = run_script(
        SCRIPT, folder / "project", folder / "home", PREFECT_API_URL=prefect_server, LINEAGE_FLOWS_STRICT="true"
    )
    assert done.code == 0, done.err
    return done


def test_a_subflow_that_is_not_run_again_starts_and_ends_once(ran):
    child = ran.flows()["child"]
    spool = Spool(ran.home / "spool.db")
    try:
        kinds = [item.event.kind for item in spool.pending("nobody", 1000) if item.event.run_id == child.run_id]
    finally:
        spool.close()
    assert kinds == ["START", "COMPLETE"]


def test_a_subflow_that_is_not_run_again_keeps_what_was_recorded_of_it(ran):
    child, made = ran.flows()["child"], ran.step("make")
    assert made.flow_run_id == child.run_id
    assert child.result is not None
    assert child.result.fingerprint == made.output.fingerprint
    assert child.ended is not None
    assert child.ended < ran.step("use").started


def test_what_it_gave_out_is_still_known_to_be_its(ran):
    child, use = ran.flows()["child"], ran.step("use")
    assert use.inputs[0].value.fingerprint == child.result.fingerprint
    assert {source.run_id for source in use.inputs[0].sources} & {child.run_id, ran.step("make").run_id}
    assert ran.flows()["parent"].attempts[0].error.message == "first time"
