from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.support.graphs import keep_run
from tests.support.records import FLOW_ID, backtest_record

LATER = "01935c4e-7a10-7c3e-9d1a-5b6f0a4c1e00"


class Server(BaseHTTPRequestHandler):
    """As much of Prefect's API as is asked: it takes events, and has one automation of each kind."""

    events: ClassVar[list[dict[str, Any]]] = []
    status: ClassVar[int] = 204

    def do_GET(self) -> None:
        """A server that knows no tokens against forged requests; nothing else is asked for."""
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer: Any = None
        status = 200
        if self.path == "/api/events":
            self.events.extend(body)
            status = self.status
        elif self.path == "/api/automations/filter":
            answer = [] if body["offset"] else AUTOMATIONS
        said = b"" if status == 204 else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


AUTOMATIONS = [
    {"name": "replay it", "enabled": True, "trigger": {"type": "event", "expect": ["desk.trading-loss"]}},
    {"name": "switched off", "enabled": False, "trigger": {"type": "event", "expect": ["desk.trading-loss"]}},
    {"name": "another", "enabled": True, "trigger": {"type": "event", "expect": ["prefect.flow-run.Failed"]}},
    {
        "name": "both",
        "enabled": True,
        "trigger": {"type": "compound", "triggers": [{"type": "event", "expect": ["desk.trading-loss"]}]},
    },
]


@pytest.fixture
def server() -> Iterator[type[Server]]:
    Server.events, Server.status = [], 204
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{listening.server_address[1]}/api"}):
        yield Server
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture
def two_runs(home):
    keep_run(home, backtest_record())
    day = {"started": "2026-01-31T10:00:00.000000Z", "ended": "2026-01-31T10:01:00.000000Z"}
    keep_run(home, backtest_record(LATER, run_name="calm-heron", window=60, **day))
    return home


def test_the_event_names_the_run_in_force_on_that_day(call, two_runs, server):
    said = call(
        "loss", "--strategy", "backtest", "--date", "2026-01-30", "--amount", "125000.50", "--currency", "USD", "--json"
    )
    assert said.code == 0, said.err
    (event,) = server.events
    assert event["event"] == "desk.trading-loss"
    assert event["payload"] == {
        "run": FLOW_ID,
        "strategy": "backtest",
        "date": "2026-01-30",
        "amount": "125000.50",
        "currency": "USD",
    }
    assert event["resource"]["prefect.resource.id"] == "desk.strategy.backtest"
    assert {"prefect.resource.id": f"prefect.flow-run.{FLOW_ID}", "prefect.resource.role": "flow-run"} in event[
        "related"
    ]
    assert said.document["event"] == event["id"]
    assert said.document["starts"] == ["replay it", "both"]
    assert said.document["run"]["run_id"] == FLOW_ID


def test_what_else_was_in_force_that_day_is_shown(call, two_runs, server):
    out = call("loss", "--strategy", "backtest", "--date", "2026-01-31").out
    assert "backtest / calm-heron" in out
    assert FLOW_ID in out
    assert "--at" in out
    at = call("loss", "--strategy", "backtest", "--at", "2026-01-31T05:00-05:00", "--json").document
    assert at["run"]["run_id"] == FLOW_ID, "10:00 in UTC, a minute before the later one completed"


def test_a_run_is_taken_as_it_is_named(call, two_runs, server):
    assert call("loss", "brave-otter", "--json").document["run"]["run_id"] == FLOW_ID
    (event,) = server.events
    assert event["payload"] == {"run": FLOW_ID}
    assert event["resource"]["prefect.resource.id"] == "desk.strategy.backtest"


def test_a_secret_in_the_note_stays_here(call, two_runs, server):
    assert call("loss", "brave-otter", "--note", "see https://desk:hunter2@wiki.example/42").code == 0
    (event,) = server.events
    assert "hunter2" not in str(event)
    assert "wiki.example/42" in event["payload"]["note"]


def test_a_dry_run_tells_nobody(call, two_runs, server):
    said = call("loss", "--strategy", "backtest", "--dry-run")
    assert said.code == 0
    assert f"lineage-flows replay {LATER}" in said.out
    assert server.events == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "a run, a strategy or a model is needed"),
        (("--strategy", "backtest", "--date", "yesterday"), "--date"),
        (("--strategy", "backtest", "--at", "2026-01-31T05:00"), "--at"),
        (("--strategy", "backtest", "--date", "2026-01-30", "--at", "2026-01-31T05:00Z"), "not both"),
        (("--strategy", "backtest", "--amount", "much"), "--amount"),
        (("--strategy", "backtest", "--amount", "nan"), "amount"),
        (("--strategy", "backtset"), "Did you mean backtest"),
        (("--strategy", "backtest", "--date", "2020-01-01"), "had completed by"),
        (("--model", "s3://desk/none.tar.gz"), "nothing in the graph"),
        (("no-such-run",), "nothing in the graph"),
    ],
)
def test_a_loss_that_cannot_be_told_tells_nobody(call, two_runs, server, arguments, why):
    said = call("loss", *arguments)
    assert (said.code, said.out) == (2, "")
    assert why in said.err
    assert len(said.err.splitlines()) == 1
    assert server.events == []


def test_a_server_that_refuses_is_an_error(call, two_runs, server):
    Server.status = 422
    said = call("loss", "brave-otter")
    assert said.code == 2
    assert "did not take it" in said.err


def test_without_a_server_nothing_is_started_in_its_place(call, two_runs):
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        said = call("loss", "brave-otter")
    assert said.code == 2
    assert "PREFECT_API_URL" in said.err
    assert "lineage-flows replay" in said.err
