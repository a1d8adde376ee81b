"""The keeper where it is used: by the settings' word, through spool and courier, over HTTP, with faults and with kills."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lineage_flows.api import lineage
from lineage_flows.content import open_store
from lineage_flows.delivery import Spool, deliver_once
from lineage_flows.endpoint.faults import Faults
from lineage_flows.endpoint.server import Endpoint
from lineage_flows.errors import SageMakerError
from lineage_flows.graph.opening import held_back, open_graph
from lineage_flows.graph.sagemaker.client import Client
from lineage_flows.records import BlobRef
from lineage_flows.replay.find import find_record
from lineage_flows.runtime import open_spool, receivers
from lineage_flows.settings import Settings, load_settings
from tests.graph.kit import events_of, flow_id, graph_of
from tests.graph.sagemaker.kit import deliver, plain
from tests.support.graphs import events_of as whole_run
from tests.support.records import FLOW_ID, backtest_record

forked = multiprocessing.get_context("fork")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINEAGE_FLOWS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LINEAGE_FLOWS_KEEPER", "sagemaker")
    monkeypatch.setenv("LINEAGE_FLOWS_NAMESPACE", "quant")
    return tmp_path / "home"


def test_by_its_setting_runs_go_to_sagemaker_and_are_asked_for_there(endpoint: Endpoint, home: Path) -> None:
    settings = load_settings(sagemaker_tags={"team": "quant"})
    spool = _spooled(settings, FLOW_ID)
    report = deliver_once(spool, receivers(settings), home)
    assert report.complete
    assert not (home / "graph.db").exists()
    with lineage(settings) as graph:
        (run,) = graph.runs()
        assert run.run_id == FLOW_ID
        assert [node.entity.label for node in graph.upstream(run.name).nodes if "prices" in node.entity.label]
        model = next(node.entity for node in graph.upstream(run.name).nodes if node.entity.type == "Model")
        assert graph.downstream(model.arn).nodes
    assert held_back(settings).parked == ()
    assert held_back(settings).undone == 0
    before = endpoint.calls.copy()
    assert deliver_once(spool, receivers(settings), home).complete
    assert endpoint.calls == before, "what is delivered costs no call"
    spool.close()


def test_a_replay_finds_its_record_there(endpoint: Endpoint, home: Path) -> None:
    settings = load_settings()
    record = backtest_record()
    store = open_store(settings.blobs_url)
    digest, size = store.put(record.model_dump_json().encode())
    spool = open_spool(settings)
    for event in whole_run(record, BlobRef(digest=digest, size=size, format="json")):
        spool.accept(event)
    deliver_once(spool, receivers(settings), home)
    spool.close()
    found, notes, _ = find_record(FLOW_ID, settings, store)
    assert found.flow.run_id == FLOW_ID
    assert notes == ()


@pytest.mark.slow
class TestOnABadDay:
    """Throttles, 5xx, resets, time-outs after the write and reads that lag, all of them."""

    @pytest.fixture
    def faults(self) -> Faults:
        return Faults(throttle=0.15, server_error=0.1, conflict=0.05, reset=0.05, lag=0.5, lag_seconds=0.3, seed=7)

    def test_the_graph_ends_the_same(self, endpoint: Endpoint, home: Path) -> None:
        events = [event for number in range(1) for event in events_of(backtest_record(flow_id(number)))]
        settings = load_settings()
        deadline = time.monotonic() + 120
        while True:
            keeper = open_graph(settings)
            try:
                deliver(keeper, events)
                break
            except Exception:
                if time.monotonic() > deadline:
                    raise
            finally:
                keeper.close()
        assert sum(endpoint.faults_made.values()) > 20
        assert held_back(settings).parked == ()
        keeper = open_graph(settings)
        _wait_for(lambda: plain(keeper) == plain(graph_of(events)))
        keeper.close()


class TestWhereAwsThrottles:
    @pytest.fixture
    def faults(self) -> Faults:
        return Faults(throttle=0.6, seed=3)

    def test_delivery_draws_none_of_the_flows_random_numbers(self, endpoint: Endpoint) -> None:
        """botocore's own retries would."""
        client = Client()
        state = random.getstate()
        for _ in range(6):
            with suppress(SageMakerError):
                client.call("ListActions", "*")
        assert endpoint.faults_made["throttle"] >= 3
        assert random.getstate() == state


@pytest.mark.slow
def test_killed_at_any_moment_the_next_one_goes_on(endpoint: Endpoint, home: Path) -> None:
    settings = load_settings()
    events = [event for number in range(4) for event in events_of(backtest_record(flow_id(number)))]
    chance = random.Random(4)
    killed = 0
    ended = 1
    while ended != 0:
        enough = sum(endpoint.calls.values()) + chance.randint(1, 40)
        child = forked.Process(target=_deliver_and_exit, args=(settings, events))
        child.start()
        while child.exitcode is None and sum(endpoint.calls.values()) < enough:
            child.join(0.002)
        if child.exitcode is None:
            killed += 1
            os.kill(child.pid or 0, signal.SIGKILL)
            child.join()
        ended = child.exitcode
    assert killed > 3
    keeper = open_graph(settings)
    deliver(keeper, events)
    assert plain(keeper) == plain(graph_of(events))
    keeper.close()


def test_two_processes_and_two_threads_on_one_home_write_each_thing_once(endpoint: Endpoint, home: Path) -> None:
    settings = load_settings()
    batches = [events_of(backtest_record(flow_id(number))) for number in range(4)]
    children = [forked.Process(target=_deliver_and_exit, args=(settings, batch)) for batch in batches[:2]]
    for child in children:
        child.start()
    keeper = open_graph(settings)
    threads = [threading.Thread(target=deliver, args=(keeper, batch)) for batch in batches[2:]]
    for worker in [*threads]:
        worker.start()
    for worker in [*threads, *children]:
        worker.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    whole = plain(graph_of([event for batch in batches for event in batch]))
    found = plain(keeper)
    assert found[0].keys() == whole[0].keys()
    assert {k: v for k, v in found[0].items() if v != whole[0][k]} == {}
    assert found[1] == whole[1]
    assert endpoint.calls["AddAssociation"] == len(whole[1]), "nobody wrote what another had written"
    keeper.close()


def _deliver_and_exit(settings: Settings, events: Any) -> None:
    code = 1
    try:
        keeper = open_graph(settings)
        deliver(keeper, events)
        code = 0
    finally:
        os._exit(code)


def _spooled(settings: Settings, flow_id: str) -> Spool:
    spool = open_spool(settings)
    for event in events_of(backtest_record(flow_id)):
        spool.accept(event)
    return spool


def _wait_for(condition: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        threading.Event().wait(0.1)
