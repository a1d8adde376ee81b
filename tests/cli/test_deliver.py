from __future__ import annotations

import os

from lineage_flows.delivery import Spool
from lineage_flows.events.event import Event
from tests.conftest import free_port
from tests.support.records import FLOW_ID


def refused_event() -> Event:
    return Event(FLOW_ID, FLOW_ID, "RUNNING", "2026-01-30T21:30:01.000000Z", b'{"eventType": 1}')


def test_what_was_left_reaches_the_graph(call, spooled) -> None:
    assert call("runs", "--json").document == []
    said = call("deliver", "--json")
    assert said.code == 0
    assert said.document["complete"] is True
    (graph,) = said.document["receivers"]
    assert (graph["name"], graph["delivered"], graph["left"]) == ("graph", 12, 0)
    assert [run["name"] for run in call("runs", "--json").document] == ["brave-otter"]
    again = call("deliver", "--json")
    assert again.document["receivers"][0]["delivered"] == 0


def test_an_empty_home_has_nothing_to_deliver_and_is_not_made(call, home) -> None:
    said = call("deliver", "--json")
    assert (said.code, said.document) == (
        0,
        {
            "complete": True,
            "receivers": [],
            "refused": [],
            "pruned": 0,
            "parked": [],
            "undone": 0,
            "waiting": 0,
        },
    )
    assert not home.exists()


def test_a_receiver_that_does_not_answer_leaves_the_rest_and_exit_code_2(call, spooled, monkeypatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{free_port()}")
    said = call("deliver", "--timeout", "0.5")
    assert said.code == 2
    assert "graph" in said.out
    document = call("deliver", "--timeout", "0.5", "--json").document
    assert document["complete"] is False
    left = {receiver["name"]: receiver["left"] for receiver in document["receivers"]}
    assert left["graph"] == 0
    assert sum(left.values()) > 0
    assert len(call("runs", "--json").document) == 1, "one receiver does not hold back another"


def test_what_the_graph_refuses_is_kept_aside_and_named(call, spooled) -> None:
    spool = Spool(spooled / "spool.db")
    spool.accept(refused_event())
    spool.close()
    said = call("deliver", "--json")
    assert said.code == 0
    (refused,) = said.document["refused"]
    assert (refused["receiver"], refused["run_id"], refused["kind"]) == ("graph", FLOW_ID, "RUNNING")
    assert refused["reason"]
    assert "1 event refused for good" in call("deliver").out


def test_for_a_sagemaker_that_cannot_be_called_events_wait(call, spooled, monkeypatch) -> None:
    monkeypatch.setenv("LINEAGE_FLOWS_KEEPER", "sagemaker")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    said = call("deliver", "--timeout", "5", "--json")
    assert said.code == 2
    assert "AWS_REGION" in said.document["receivers"][0]["error"]
    assert said.document["receivers"][0]["left"] == 12
    assert call("runs", "--json").document["error"]["type"] == "KeeperUnavailableError"
    monkeypatch.delenv("LINEAGE_FLOWS_KEEPER")
    assert call("deliver", "--json").document["receivers"][0]["delivered"] == 12
