"""The graph as a receiver, and as a transport of other producers, with the real embedded keeper."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState

from lineage_flows.delivery import GraphReceiver, Spool, deliver_once
from lineage_flows.delivery import receivers as receivers_module
from lineage_flows.delivery.transport import GraphConfig, GraphTransport
from lineage_flows.errors import DeliveryError, EventError, KeeperUnavailableError
from lineage_flows.events import Event
from lineage_flows.graph.embedded import EmbeddedKeeper, open_embedded
from tests.support.records import FLOW_ID, backtest_record
from tests.support.stream import stream


def contents(path: Path) -> tuple[list[str], list[str]]:
    """Every entity and association of a graph, in an order that does not tell how they came."""
    keeper = open_embedded(path, read_only=True)
    try:
        entities = [*keeper.list_actions(), *keeper.list_artifacts(), *keeper.list_contexts()]
        found = (
            sorted(entity.model_dump_json() for entity in entities),
            sorted(edge.model_dump_json() for edge in keeper.associations()),
        )
    finally:
        keeper.close()
    assert found[0]
    assert found[1]
    return found


@pytest.fixture
def events() -> list[Event]:
    return stream(backtest_record())


def test_events_become_a_graph_and_again_change_nothing(tmp_path: Path, events: list[Event]) -> None:
    receiver = GraphReceiver(lambda: open_embedded(tmp_path / "graph.db"))
    receiver.receive(events)
    once = contents(tmp_path / "graph.db")
    receiver.receive(events)
    receiver.receive(events[:3])
    receiver.close()
    assert contents(tmp_path / "graph.db") == once
    keeper = open_embedded(tmp_path / "graph.db")
    assert len(keeper.list_actions()) == 6
    keeper.close()


def test_delivered_in_pieces_with_kills_in_between_it_is_the_same_graph(tmp_path: Path, events: list[Event]) -> None:
    whole, pieces = tmp_path / "whole.db", tmp_path / "pieces.db"
    GraphReceiver(lambda: open_embedded(whole)).receive(events)
    for start in range(len(events)):
        receiver = GraphReceiver(lambda: open_embedded(pieces))
        receiver.receive(events[max(start - 3, 0) : start + 1])
    assert contents(pieces) == contents(whole)


def test_a_malformed_event_is_parked_and_the_others_are_in_the_graph(tmp_path: Path, events: list[Event]) -> None:
    spool = Spool(tmp_path / "spool.db")
    spool.accept(Event(FLOW_ID, FLOW_ID, "START", "t", b'{"eventType": "START"}'))
    for event in events:
        spool.accept(event)
    receiver = GraphReceiver(lambda: open_embedded(tmp_path / "graph.db"))
    (report,) = deliver_once(spool, [receiver], tmp_path, timeout=60).receivers
    assert (report.delivered, report.parked, report.left) == (len(events), 1, 0)
    assert "not an OpenLineage event" in spool.parked("graph")[0].reason
    spool.close()


def test_a_graph_that_cannot_be_opened_now_is_opened_later(tmp_path: Path, events: list[Event]) -> None:
    opened: list[int] = []

    def open_keeper() -> EmbeddedKeeper:
        opened.append(1)
        if len(opened) == 1:
            raise KeeperUnavailableError("the keeper is away")
        return open_embedded(tmp_path / "graph.db")

    receiver = GraphReceiver(open_keeper)
    with pytest.raises(DeliveryError, match="the keeper is away"):
        receiver.receive(events)
    receiver.receive(events[:2])
    receiver.receive(events[2:])
    assert len(opened) == 2, "opened once for many batches"
    receiver.close()
    receiver.receive(events[:1])
    assert len(opened) == 3
    receiver.close()


def test_a_mistake_of_ours_about_an_event_is_of_that_event(
    tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    import lineage_flows.graph.project

    def project(_: object, __: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(lineage_flows.graph.project, "project", project)
    receiver = GraphReceiver(lambda: open_embedded(tmp_path / "graph.db"))
    with pytest.raises(EventError, match="surprise"):
        receiver.receive(events)


def test_a_fork_while_the_graph_is_open(tmp_path: Path, events: list[Event]) -> None:
    path = tmp_path / "graph.db"
    receiver = GraphReceiver(lambda: open_embedded(path))
    receiver.receive(events[:4])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            receiver.receive(events[4:8])
            code = 0
        finally:
            os._exit(code)
    receiver.receive(events[8:])
    receiver.close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    whole = tmp_path / "whole.db"
    GraphReceiver(lambda: open_embedded(whole)).receive(events)
    assert contents(path) == contents(whole)


def test_a_fork_waits_for_no_graph_that_is_elsewhere(
    events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call to AWS may take minutes, and a flow forks whenever it likes; the child opens a graph of its own."""
    calling, answered = threading.Event(), threading.Event()

    class Elsewhere(EmbeddedKeeper):
        def upsert(self, claims: Any, links: Any = ()) -> None:
            calling.set()
            assert answered.wait(60)
            super().upsert(claims, links)

        def deliver(self) -> None:
            raise AssertionError("nobody asked for it")

    waited: list[float] = []
    receiver = GraphReceiver(lambda: Elsewhere(tmp_path / "graph.db"))
    lock = receiver._lock
    monkeypatch.setattr(receiver, "_lock", SimpleNamespace(acquire=lambda timeout: waited.append(timeout)))
    receiver._keeper = Elsewhere(tmp_path / "graph.db")
    receiver.before_fork()
    assert waited == [0.0]
    receiver.after_fork_in_parent()  # it holds nothing to give back
    monkeypatch.setattr(receiver, "_lock", lock)

    worker = threading.Thread(target=receiver.receive, args=(events[:2],))
    worker.start()
    assert calling.wait(60)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            answered.set()
            receiver.receive(events[2:4])
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    answered.set()
    worker.join(60)
    assert not worker.is_alive()


def test_what_counts_as_a_mistake_is_no_fault_of_disk_or_network() -> None:
    for fault in (OSError, MemoryError, sqlite3.OperationalError, TimeoutError, ConnectionError):
        assert not issubclass(fault, receivers_module._MISTAKES)


# ----------------------------------------------------------------------------------------------- other producers' runs


def dbt_event(kind: RunState = RunState.COMPLETE) -> RunEvent:
    return RunEvent(
        eventType=kind,
        eventTime=datetime(2026, 1, 30, 22, tzinfo=UTC).isoformat(),
        run=Run(runId="01935c2e-7a10-7c3e-9d1a-5b6f0a4cdddd"),
        job=Job(namespace="dbt", name="prices.model"),
        inputs=[InputDataset(namespace="file", name="/desk/data/prices.parquet")],
        outputs=[OutputDataset(namespace="postgres://db:5432", name="desk.public.prices")],
        producer="https://github.com/OpenLineage/OpenLineage/tree/1.54.0/integration/dbt",
    )


def actions(home: Path) -> list[Any]:
    keeper = open_embedded(home / "graph.db")
    try:
        return list(keeper.list_actions())
    finally:
        keeper.close()


def test_any_producer_writes_into_the_graph_by_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    content = {"transport": {"type": "lineage_flows.delivery.transport.GraphTransport", "home": str(home)}}
    (tmp_path / "openlineage.yml").write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    client = OpenLineageClient()
    client.emit(dbt_event(RunState.START))
    client.emit(dbt_event())
    client.emit(dbt_event())
    (action,) = actions(home)
    assert action.status == "Completed"
    assert client.close(timeout=1)
    client.emit(dbt_event())
    assert client.close()


def test_without_a_home_it_is_that_of_the_settings(home: Path) -> None:
    transport = GraphTransport(GraphConfig.from_dict({}))
    transport.emit(dbt_event())
    transport.close()
    assert len(actions(home)) == 1


def test_a_home_that_is_no_path_is_refused() -> None:
    with pytest.raises(ValueError, match="home"):
        GraphConfig.from_dict({"home": 3})


def test_it_goes_over_a_fork(tmp_path: Path) -> None:
    transport = GraphTransport(GraphConfig(home=str(tmp_path)))
    transport.emit(dbt_event(RunState.START))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            transport.emit(dbt_event())
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    transport.emit(dbt_event(RunState.START))
    transport.close()
    (action,) = actions(tmp_path)
    assert action.status == "Completed"
