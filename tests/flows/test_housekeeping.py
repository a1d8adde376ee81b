"""The housekeeping flow delivers what is left in the spool, and fails when a receiver takes nothing."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Iterator

import pytest
from prefect.logging import disable_run_logger

from flows.housekeeping import housekeeping
from lineage_flows.delivery import GRAPH
from lineage_flows.errors import DeliveryError
from lineage_flows.events import Event
from lineage_flows.runtime import open_spool
from lineage_flows.settings import load_settings


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """openlineage-python writes what it read from OPENLINEAGE_URL into other variables; they must not outlive a test."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


def leave_events() -> None:
    """What a process that was killed leaves behind: accepted events, and nobody to deliver them."""
    run_id = str(uuid.uuid4())
    spool = open_spool(load_settings())
    for kind, time in (("START", "2026-01-30T21:30:00.000000Z"), ("COMPLETE", "2026-01-30T21:31:00.000000Z")):
        payload = {
            "eventType": kind,
            "eventTime": time,
            "producer": "https://example.com/killed",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": run_id, "facets": {}},
            "job": {"namespace": "desk", "name": "killed", "facets": {}},
            "inputs": [],
            "outputs": [],
        }
        spool.accept(Event(run_id, run_id, kind, time, json.dumps(payload).encode()))
    spool.close()


def backlog(receiver: str) -> int:
    spool = open_spool(load_settings())
    try:
        return spool.backlog(receiver)
    finally:
        spool.close()


def test_it_delivers_what_was_left_and_nothing_twice(home):
    leave_events()
    with disable_run_logger():
        assert housekeeping.fn() == {GRAPH: 2}
        assert housekeeping.fn() == {GRAPH: 0}
    assert backlog(GRAPH) == 0


def test_it_fails_when_a_receiver_takes_nothing_and_leaves_the_others_theirs(home, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        leave_events()
        with disable_run_logger(), pytest.raises(DeliveryError, match="2 left"):
            housekeeping.fn(timeout=0.1)
    assert backlog(GRAPH) == 0, "a receiver that is away holds back no other"


def test_an_empty_home_is_no_failure(home):
    with disable_run_logger():
        assert housekeeping.fn() == {GRAPH: 0}
