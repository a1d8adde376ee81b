from __future__ import annotations

import io
import os
import pwd

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
            "awaited": 0,
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


def test_what_was_put_aside_can_be_discarded_and_leaves_a_trace(call, spooled) -> None:
    spool = Spool(spooled / "spool.db")
    for _ in range(2):
        spool.accept(refused_event())
    spool.close()
    (first, second) = [item["id"] for item in call("deliver", "--json").document["refused"]]

    said = call("deliver", "--discard", first)
    assert (said.code, "--yes" in said.err) == (2, True), "nobody is asked, so nothing is discarded"
    assert len(call("deliver", "--parked", "--json").document["refused"]) == 2

    (gone,) = call("deliver", "--discard", first, "--yes", "--json").document["discarded"]
    assert gone["what"] == f"RUNNING event of run {FLOW_ID} for graph"
    assert gone["who"] == pwd.getpwuid(os.getuid()).pw_name
    assert gone["reason"]
    assert gone["time"].endswith("Z")
    left = call("deliver", "--parked", "--json")
    assert ([item["id"] for item in left.document["refused"]], left.document["discarded"]) == ([second], [gone])
    assert left.code == 2

    said = call("deliver", "--discard", "--yes")
    assert (said.code, "1 event and 0 things discarded" in said.out) == (0, True)
    after = call("deliver", "--parked")
    assert (after.code, "2 events and 0 things discarded by hand" in after.out) == (0, True)
    assert call("deliver", "--json").document["refused"] == []
    (found,) = [item for item in call("doctor", "--json").document["checks"] if item["name"] == "delivery"]
    assert found["outcome"] == "ok"
    assert "2 events and 0 things discarded by hand" in found["found"]
    assert gone["who"] in found["found"]
    assert "Nothing was put aside" in call("deliver", "--discard", "--yes").out


def test_what_only_waits_is_discarded_by_its_run_alone(call, spooled) -> None:
    said = call("deliver", "--discard", "--yes")
    assert (said.code, "Nothing was put aside" in said.out) == (0, True)
    said = call("deliver", "--discard", "graph/1", "--yes", "--json")
    assert said.code == 2
    assert "run id" in said.document["error"]["fix"]
    assert call("deliver", "--discard", FLOW_ID[:8], "--yes").code == 2, "a run is named in full"
    assert call("deliver", "--discard", "graph/99", "--yes").code == 2
    assert call("deliver", FLOW_ID).code == 2
    assert call("deliver", "--discard", "--parked").code == 2
    spool = Spool(spooled / "spool.db")
    assert spool.backlog("graph") == 12
    spool.close()
    gone = call("deliver", "--discard", FLOW_ID, "--yes", "--json").document["discarded"]
    assert len(gone) == 12
    assert call("deliver", "--json").document["receivers"][0]["delivered"] == 0
    assert call("runs", "--json").document == []


def test_who_discards_is_shown_what_and_asked(call, spooled, monkeypatch) -> None:
    answers = iter("ny")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def readline(self, *_: int) -> str:
            return next(answers) + "\n"

    monkeypatch.setattr("sys.stdin", Terminal())
    said = call("deliver", "--discard", FLOW_ID)
    assert (said.code, "was not confirmed" in said.err) == (2, True)
    assert "graph/1" in said.err
    assert "Give up 12 events and 0 things for good?" in said.err
    said = call("deliver", "--discard", FLOW_ID)
    assert (said.code, "12 events and 0 things discarded" in said.out) == (0, True)


def test_an_empty_home_has_nothing_to_discard(call, home) -> None:
    assert call("deliver", "--discard", "--yes").code == 0
    assert not home.exists()
