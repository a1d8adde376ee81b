from __future__ import annotations

import socket
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_PLUGINS_ENABLED, temporary_settings

from lineage_flows.cli import checks
from lineage_flows.delivery import Spool
from lineage_flows.settings import load_settings
from tests.conftest import free_port
from tests.support.graphs import events_of, keep_run
from tests.support.records import FLOW_ID, backtest_record


@pytest.fixture
def found(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What doctor finds, by the name of the check; the exit code as ``exit``."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def examine() -> dict[str, dict[str, str]]:
        said = call("doctor", "--json")
        listed = {check["name"]: check for check in said.document["checks"]}
        return {**listed, "exit": said.code, "outcome": said.document["outcome"]}

    return examine


def test_a_sound_home_has_no_failed_check(found, filled) -> None:
    seen = found()
    assert seen["exit"] == 0
    assert [name for name in seen if isinstance(seen[name], dict) and seen[name]["outcome"] == "failed"] == []
    for name in ("plugin installed", "Prefect supported", "store", "graph", "delivery", "capture errors"):
        assert seen[name]["outcome"] == "ok", seen[name]


def test_every_finding_that_is_not_well_says_what_to_do(found, home, monkeypatch) -> None:
    home.write_text("")
    seen = found()
    for check in seen.values():
        if isinstance(check, dict) and check["outcome"] != "ok":
            assert check["fix"], check


def test_a_home_that_is_a_file_fails(found, home) -> None:
    home.write_text("")
    seen = found()
    assert (seen["exit"], seen["outcome"]) == (2, "failed")
    assert "is not a folder" in seen["home"]["found"]
    assert "LINEAGE_FLOWS_HOME" in seen["home"]["fix"]


def test_plugins_that_are_off_are_a_warning_until_init(call, found, home, monkeypatch) -> None:
    assert found()["capture switched on"]["outcome"] == "warning"
    assert "lineage-flows init" in found()["capture switched on"]["fix"]
    monkeypatch.setenv("PREFECT_PLUGINS_ENABLED", "true")
    with temporary_settings({PREFECT_PLUGINS_ENABLED: True}):
        seen = found()["capture switched on"]
    assert seen["outcome"] == "ok"
    assert "PREFECT_PLUGINS_ENABLED" in seen["found"]


def test_capture_that_is_off_is_a_warning(found, home, monkeypatch) -> None:
    monkeypatch.setenv("LINEAGE_FLOWS_LEVEL", "off")
    assert "level is off" in found()["capture switched on"]["found"]


def test_no_configured_server_is_fine(found, home) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert found()["Prefect server"]["outcome"] == "ok"


def test_a_server_that_is_not_there_fails(found, home) -> None:
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        seen = found()
    assert seen["Prefect server"]["outcome"] == "failed"
    assert "prefect server start" in seen["Prefect server"]["fix"]
    assert seen["exit"] == 2


def test_a_server_that_is_silent_is_given_up(found, home, monkeypatch) -> None:
    monkeypatch.setattr(checks, "_SERVER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            seen = found()["Prefect server"]
    assert seen["outcome"] == "failed"
    assert "no answer" in seen["found"]


@pytest.mark.server
def test_a_server_that_answers_is_fine(found, home, prefect_server) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        assert found()["Prefect server"]["outcome"] == "ok"


def test_events_that_wait_are_a_warning_and_then_delivered(call, found, home) -> None:
    home.mkdir()
    spool = Spool(home / "spool.db")
    for event in events_of(backtest_record()):
        spool.accept(event)
    spool.close()
    seen = found()["delivery"]
    assert seen["outcome"] == "warning"
    assert "12 events waiting for graph" in seen["found"]
    assert call("deliver").code == 0
    assert found()["delivery"]["outcome"] == "ok"


def test_capture_errors_of_recent_runs_are_shown(found, home) -> None:
    keep_run(home, backtest_record(capture_errors=("the store is full",)))
    seen = found()["capture errors"]
    assert seen["outcome"] == "warning"
    assert "1 in 1 of the last 1 run: the store is full" in seen["found"]
    assert FLOW_ID in seen["fix"]


def test_a_damaged_graph_fails_and_the_other_checks_are_still_made(found, home) -> None:
    home.mkdir()
    (home / "graph.db").write_bytes(b"not a database" * 1000)
    seen = found()
    assert seen["graph"]["outcome"] == "failed"
    assert seen["store"]["outcome"] == "ok"
    assert seen["exit"] == 2


def test_a_store_that_alters_bytes_fails(found, home, monkeypatch) -> None:
    class Lying:
        url = "lying://"

        def check(self) -> None:
            pass

        def put(self, data: bytes) -> tuple[str, int]:
            return "sha256:0", len(data)

        def get(self, digest: str) -> bytes:
            return b"else"

    monkeypatch.setattr("lineage_flows.content.open_store", lambda url: Lying())
    assert found()["store"]["outcome"] == "failed"


def test_a_disk_that_is_nearly_full_fails(found, home, monkeypatch) -> None:
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    assert "free some space" in found()["home"]["fix"]
    assert found()["exit"] == 2


def test_findings_fit_a_hundred_columns(call, filled) -> None:
    out = call("doctor").out
    assert max(map(len, out.splitlines())) <= 100
    for name in checks._CHECKS:
        assert name in out


def test_a_check_that_itself_fails_is_a_finding(home, monkeypatch) -> None:
    def missing(settings: object) -> object:
        raise ImportError("no module named prefect")

    monkeypatch.setitem(checks._CHECKS, "store", missing)
    found = {check.name: check for check in checks.examine(load_settings())}
    assert found["store"].outcome == "failed"
    assert "reinstall" in found["store"].fix


def test_yields_that_cannot_be_seen_are_a_warning(found, home, monkeypatch) -> None:
    import prefect.task_engine

    monkeypatch.delattr(prefect.task_engine, "link_state_to_task_run_result")
    seen = found()["Prefect supported"]
    assert seen["outcome"] == "warning"
    assert "what generator tasks yield is not recorded" in seen["found"]
    assert seen["fix"]
