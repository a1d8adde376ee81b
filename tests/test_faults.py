"""Whatever is wrong with lineage, a flow gives its own result, and one line says what is wrong; ``strict`` stops instead."""

from __future__ import annotations

import pytest

from tests.support.flows import run_script

pytestmark = pytest.mark.server

FLOW = """
from prefect import flow, task

class Odd:
    def __reduce_ex__(self, protocol):
        raise RuntimeError("I will not be pickled")
    def __eq__(self, other):
        raise RuntimeError("nor compared")

@task
def double(x, odd):
    return x * 2

@flow(name="steady")
def steady(odd=None):
    return double(21, Odd())

if __name__ == "__main__":
    print("result", steady())
"""


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if "lineage" in line]


def test_a_home_that_cannot_be_made(tmp_path, prefect_server):
    (tmp_path / "file").write_text("no folder")
    ran = run_script(FLOW, tmp_path / "project", tmp_path / "file" / "home", PREFECT_API_URL=prefect_server)
    assert (ran.code, ran.out) == (0, "result 42\n")
    (line,) = lines(ran.err)
    assert "capture is off" in line
    assert "LINEAGE_FLOWS_HOME" in line


def test_a_home_that_cannot_be_made_under_strict(tmp_path, prefect_server):
    (tmp_path / "file").write_text("no folder")
    ran = run_script(
        FLOW,
        tmp_path / "project",
        tmp_path / "file" / "home",
        PREFECT_API_URL=prefect_server,
        LINEAGE_FLOWS_STRICT="true",
    )
    assert ran.code != 0
    assert "HomeError" in ran.err


def test_a_wrong_setting(tmp_path, prefect_server):
    ran = run_script(
        FLOW, tmp_path / "project", tmp_path / "home", PREFECT_API_URL=prefect_server, LINEAGE_FLOWS_LEVEL="most"
    )
    assert (ran.code, ran.out) == (0, "result 42\n")
    (line,) = lines(ran.err)
    assert "'most'" in line
    assert "off, metadata, inputs or all" in line


def test_a_store_that_fails_leaves_a_record_that_says_so(tmp_path, prefect_server):
    (tmp_path / "blobs").write_text("no folder")
    ran = run_script(
        FLOW,
        tmp_path / "project",
        tmp_path / "home",
        PREFECT_API_URL=prefect_server,
        LINEAGE_FLOWS_STORE_URL=str(tmp_path / "blobs"),
    )
    assert (ran.code, ran.out) == (0, "result 42\n")
    assert lines(ran.err), "it is said"
    assert ran.flows()["steady"].state == "Completed"
    assert ran.flows()["steady"].capture_errors


def test_a_value_that_cannot_be_looked_at(tmp_path, prefect_server):
    ran = run_script(
        FLOW, tmp_path / "project", tmp_path / "home", PREFECT_API_URL=prefect_server, LINEAGE_FLOWS_STRICT="1"
    )
    assert (ran.code, ran.out) == (0, "result 42\n")
    odd = ran.step("double").inputs[1].value
    assert odd.fingerprint is None
    assert odd.note
    assert ran.step("double").output.preview == 42


def test_off_means_off(tmp_path, prefect_server):
    ran = run_script(
        FLOW, tmp_path / "project", tmp_path / "home", PREFECT_API_URL=prefect_server, LINEAGE_FLOWS_LEVEL="off"
    )
    assert (ran.code, ran.out, lines(ran.err)) == (0, "result 42\n", [])
    assert not (tmp_path / "home").exists()
