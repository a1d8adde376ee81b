from __future__ import annotations

import importlib
import re
import socket
import subprocess
import sys
import uuid
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from lineage_flows.errors import DeliveryError
from lineage_flows.ui import publish
from tests.conftest import free_port
from tests.support.records import backtest_record

module = importlib.import_module("lineage_flows.ui.publish")


def artifacts(run_id: str) -> list[dict[str, str]]:
    with get_client(sync_client=True) as client:
        wanted = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        return client.request("POST", "/artifacts/filter", json=wanted).json()


@pytest.mark.server
def test_the_page_is_an_artifact_of_the_flow_run(prefect_server: str) -> None:
    record = backtest_record(str(uuid.uuid4())[:-4] + "0000")
    errors: list[BaseException] = []
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        publish(record, on_error=errors.append).join()
        (artifact,) = artifacts(record.flow.run_id)
    assert errors == []
    assert (artifact["key"], artifact["type"]) == ("lineage-backtest", "markdown")
    assert artifact["description"].startswith("5 steps in 5.2 s")
    assert artifact["data"].startswith("## Completed · backtest / brave-otter")
    assert f"`lineage-flows replay {record.flow.run_id}`" in artifact["data"]


@pytest.mark.server
def test_a_process_that_ends_at_once_still_leaves_its_page(prefect_server: str) -> None:
    run_id = str(uuid.uuid4())[:-4] + "0000"
    script = dedent(
        f"""
        from prefect.settings import PREFECT_API_URL, temporary_settings
        from tests.support.records import backtest_record
        from lineage_flows.ui import publish
        with temporary_settings({{PREFECT_API_URL: {prefect_server!r}}}):
            publish(backtest_record({run_id!r}), on_error=print)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        assert len(artifacts(run_id)) == 1


def test_a_server_that_is_not_there_is_reported_once_and_nothing_is_raised() -> None:
    errors: list[BaseException] = []
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        publish(backtest_record(), on_error=errors.append).join()
    assert len(errors) == 1


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    errors: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            waiting = publish(backtest_record(), on_error=errors.append)
        assert not waiting.daemon
        waiting.join()
        assert [type(error) for error in errors] == [DeliveryError]


def test_a_record_that_cannot_be_rendered_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> str:
        raise RecursionError("deep")

    monkeypatch.setattr(module, "render_run", explode)
    errors: list[BaseException] = []
    publish(backtest_record(), on_error=errors.append).join()
    assert [type(error) for error in errors] == [RecursionError]


@given(st.text(st.characters(codec=None)))
def test_every_flow_has_a_key_that_prefect_accepts(name: str) -> None:
    key = module.artifact_key(name)
    assert ArtifactCreate(key=key).key == key
    assert re.fullmatch(r"lineage(-[a-z0-9]+)+", key)
    assert len(key) < 110


@pytest.mark.parametrize(
    ("name", "key"), [("backtest", "lineage-backtest"), ("My_Flow  v2", "lineage-my-flow-v2"), ("a-b", "lineage-a-b")]
)
def test_an_ordinary_name_reads_the_same_in_its_key(name: str, key: str) -> None:
    assert module.artifact_key(name) == key


def test_names_that_lose_letters_do_not_share_a_key() -> None:
    names = ["Überblick", "Uberblick", "概要", "概览", "!!", "x" * 200, "x" * 201]
    assert len({module.artifact_key(name) for name in names}) == len(names)
