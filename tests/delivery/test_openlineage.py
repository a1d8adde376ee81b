"""The user's own OpenLineage configuration, against a real HTTP server and real files."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from lineage_flows.delivery import OpenLineageReceiver, Spool, deliver_once, openlineage_receivers
from lineage_flows.delivery.openlineage_config import for_courier
from lineage_flows.errors import DeliveryError, EventError
from lineage_flows.events import Event, EventBuilder
from tests.support.openlineage import check
from tests.support.records import NAMESPACE, backtest_flow, backtest_record
from tests.support.stream import stream
from tests.support.web import Backend

LONG = 60.0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an empty HOME: no configuration but the test's."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        monkeypatch.delenv(name)
    return work


@pytest.fixture
def events() -> list[Event]:
    return stream(backtest_record(ended="2026-01-30T21:31:00Z", tags=("prod",)))


def configure(folder: Path, **content: Any) -> None:
    (folder / "openlineage.yml").write_text(json.dumps(content))  # JSON is YAML


def only(receivers: list[OpenLineageReceiver]) -> OpenLineageReceiver:
    (receiver,) = receivers
    return receiver


# ------------------------------------------------------------------------------------------------ where it is found


def test_without_a_configuration_there_is_no_receiver(folder: Path) -> None:
    assert openlineage_receivers() == []
    configure(folder, facets={"environment_variables": ["USER"]})
    assert openlineage_receivers() == [], "one that names no transport would print to the console"


def test_from_a_file_in_the_working_directory(folder: Path, events: list[Event]) -> None:
    with Backend() as backend:
        configure(folder, transport={"type": "http", "url": backend.url, "endpoint": "lineage"})
        receiver = only(openlineage_receivers())
        receiver.receive(events)
        receiver.close()
    assert receiver.name == "openlineage"
    assert [event["eventType"] for event in backend.got] == [event.kind for event in events]
    assert {path for path, _ in backend.requests} == {"/lineage"}
    assert check(backend.raw) == []


def test_from_a_file_that_a_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    with Backend() as backend:
        configure(tmp_path, transport={"type": "http", "url": backend.url, "compression": "gzip"})
        monkeypatch.setenv("OPENLINEAGE_CONFIG", str(tmp_path / "openlineage.yml"))
        only(openlineage_receivers()).receive(events[:1])
    assert backend.got[0]["run"]["runId"] == events[0].run_id


def test_from_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, events: list[Event]) -> None:
    configuration = tmp_path / "nobody" / ".openlineage"
    configuration.mkdir(parents=True)
    configure(configuration, transport={"type": "file", "log_file_path": str(tmp_path / "log"), "append": True})
    only(openlineage_receivers()).receive(events[:1])
    assert (tmp_path / "log").exists()


def test_from_the_short_variables(monkeypatch: pytest.MonkeyPatch, events: list[Event]) -> None:
    with Backend() as backend:
        monkeypatch.setenv("OPENLINEAGE_URL", backend.url)
        monkeypatch.setenv("OPENLINEAGE_ENDPOINT", "api/v9/lineage")
        monkeypatch.setenv("OPENLINEAGE_API_KEY", "sesame")
        before = dict(os.environ)
        only(openlineage_receivers()).receive(events)
        assert dict(os.environ) == before, "a flow's environment is its own"
    assert len(backend.got) == len(events)
    assert {path for path, _ in backend.requests} == {"/api/v9/lineage"}
    assert {headers["Authorization"] for _, headers in backend.requests} == {"Bearer sesame"}


def test_from_the_long_variables(monkeypatch: pytest.MonkeyPatch, events: list[Event]) -> None:
    with Backend() as backend:
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", backend.url)
        only(openlineage_receivers()).receive(events[:2])
    assert len(backend.got) == 2


def test_variables_fill_what_the_file_leaves_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    with Backend() as backend:
        configure(folder, transport={"type": "http", "url": backend.url})
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT__ENDPOINT", "from/variable")
        only(openlineage_receivers()).receive(events[:1])
    assert [path for path, _ in backend.requests] == ["/from/variable"]


@pytest.mark.parametrize("value", ["true", "True", " TRUE "])
def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("OPENLINEAGE_DISABLED", value)
    assert openlineage_receivers() == []


def test_looking_for_it_imports_no_client(folder: Path) -> None:
    import subprocess
    import sys

    configure(folder, transport={"type": "http", "url": "http://127.0.0.1:1"})
    source = (
        "import sys, os; sys.path.insert(0, os.environ['ROOT']); from lineage_flows.delivery import openlineage_receivers;"
        "print(len(openlineage_receivers()), any(m.startswith('openlineage') for m in sys.modules))"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, env={**os.environ, "ROOT": root}, check=True
    )
    assert done.stdout == "1 False\n"


# ------------------------------------------------------------------------------------------------------ what is sent


def test_to_a_file(folder: Path, events: list[Event], tmp_path: Path) -> None:
    log = tmp_path / "events.ndjson"
    configure(folder, transport={"type": "file", "log_file_path": str(log), "append": True})
    only(openlineage_receivers()).receive(events)
    assert check(log.read_bytes().splitlines()) == []
    sent = [json.loads(line) for line in log.read_text().splitlines()]
    for one, event in zip(sent, events, strict=True):
        own = json.loads(event.payload)
        for key in ("eventType", "eventTime", "producer", "schemaURL"):
            assert one[key] == own[key]
        assert (
            one["run"]["facets"].items()
            >= {key: facet for key, facet in own["run"]["facets"].items() if key.startswith("lineageFlows_")}.items()
        )
        assert [dataset["facets"] for dataset in one["outputs"]] == [
            {key: _filled(key, facet) for key, facet in dataset["facets"].items()} for dataset in own["outputs"]
        ]


def _filled(key: str, facet: dict[str, Any]) -> dict[str, Any]:
    """The client's classes add an empty list of nested fields to each column."""
    return facet | {"fields": [field | {"fields": []} for field in facet["fields"]]} if key == "schema" else facet


def test_the_user_s_tags_variables_and_filters_hold(
    folder: Path, events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK", "equities")
    log = tmp_path / "events.ndjson"
    configure(
        folder,
        transport={"type": "file", "log_file_path": str(log), "append": True},
        tags={"run": {"prod": "overridden"}, "job": {"team": "quant"}},
        facets={"environment_variables": ["DESK"]},
        filters=[{"type": "exact", "match": "backtest.fit_model"}],
    )
    only(openlineage_receivers()).receive(events)
    sent = [json.loads(line) for line in log.read_text().splitlines()]
    assert "backtest.fit_model" not in {one["job"]["name"] for one in sent}
    assert len(sent) == len(events) - 2
    tags = {tag["key"]: tag["value"] for tag in sent[0]["run"]["facets"]["tags"]["tags"]}
    assert tags["prod"] == "overridden"
    assert sent[0]["job"]["facets"]["tags"]["tags"][0]["key"] == "team"
    assert sent[0]["run"]["facets"]["environmentVariables"]["environmentVariables"] == [
        {"name": "DESK", "value": "equities"}
    ]


def test_variables_of_ours_and_of_the_client_s_are_both_sent(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lineage_flows.records import Environment

    monkeypatch.setenv("DESK", "equities")
    log = tmp_path / "events.ndjson"
    configure(
        folder,
        transport={"type": "file", "log_file_path": str(log), "append": True},
        facets={"environment_variables": ["DESK"]},
    )
    environment = Environment(
        python="3", implementation="c", platform="p", machine="m", cpu="c", variables={"OMP_NUM_THREADS": "4"}
    )
    event = EventBuilder(NAMESPACE).flow_event("START", backtest_flow(), environment=environment)
    only(openlineage_receivers()).receive([event])
    sent = json.loads(log.read_text())
    listed = sent["run"]["facets"]["environmentVariables"]["environmentVariables"]
    assert {one["name"] for one in listed} == {"OMP_NUM_THREADS", "DESK"}


def test_an_event_that_is_sent_twice_is_the_same_twice(folder: Path, events: list[Event], tmp_path: Path) -> None:
    log = tmp_path / "events.ndjson"
    configure(folder, transport={"type": "file", "log_file_path": str(log), "append": True}, tags={"run": {"a": "b"}})
    receiver = only(openlineage_receivers())
    receiver.receive(events)
    receiver.receive(events)
    lines = log.read_text().splitlines()
    assert lines[: len(events)] == lines[len(events) :]


# ---------------------------------------------------------------------------------------------------------- several


def test_each_transport_of_a_composite_is_a_receiver_of_its_own(
    folder: Path, events: list[Event], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with Backend(lambda _: 503) as down:
        configure(
            folder,
            transport={
                "type": "composite",
                "transports": {
                    "marquez": {"type": "http", "url": down.url},
                    "archive": {"type": "file", "log_file_path": str(log), "append": True},
                },
            },
        )
        receivers = openlineage_receivers()
        assert [receiver.name for receiver in receivers] == ["openlineage:marquez", "openlineage:archive"]
        spool = Spool(tmp_path / "spool.db")
        for event in events:
            spool.accept(event)
        marquez, archive = deliver_once(spool, receivers, tmp_path, timeout=LONG).receivers
        assert (archive.left, marquez.left) == (0, len(events)), "the client's own composite would have lost these"
        down.answer = lambda _: 201
        assert deliver_once(spool, openlineage_receivers(), tmp_path, timeout=LONG).complete
        assert [one["eventTime"] for one in down.got] == [event.time for event in events]
        assert len(log.read_text().splitlines()) == len(events)
        spool.close()


def test_a_composite_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "composite")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TRANSPORTS__ONE__TYPE", "noop")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TRANSPORTS__TWO__TYPE", "noop")
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
    assert {receiver.name for receiver in openlineage_receivers()} == {
        "openlineage:one",
        "openlineage:two",
        "openlineage:default_http",
    }


def test_transports_in_a_list_are_told_apart(folder: Path) -> None:
    listed = [{"type": "noop"}, {"type": "noop"}, {"type": "noop", "name": "mine"}]
    configure(folder, transport={"type": "composite", "transports": listed})
    assert [receiver.name for receiver in openlineage_receivers()] == [
        "openlineage:noop",
        "openlineage:noop-2",
        "openlineage:mine",
    ]


def test_a_composite_of_stand_ins_stays_one(folder: Path, events: list[Event], tmp_path: Path) -> None:
    log = tmp_path / "log"
    transports = [
        {"type": "http", "url": "http://127.0.0.1:1"},
        {"type": "file", "log_file_path": str(log), "append": True},
    ]
    configure(folder, transport={"type": "composite", "continue_on_success": False, "transports": transports})
    receiver = only(openlineage_receivers())
    receiver.receive(events[:2])
    assert len(log.read_text().splitlines()) == 2


# ----------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("status", [400, 413, 422])
def test_an_event_that_is_refused_for_good_is_poison(folder: Path, events: list[Event], status: int) -> None:
    with Backend(lambda _: status) as backend:
        configure(folder, transport={"type": "http", "url": backend.url})
        with pytest.raises(EventError, match=str(status)):
            only(openlineage_receivers()).receive(events[:1])


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 503])
def test_what_can_be_mended_is_tried_again(folder: Path, events: list[Event], status: int) -> None:
    with Backend(lambda _: status) as backend:
        configure(folder, transport={"type": "http", "url": backend.url})
        receiver = only(openlineage_receivers())
        with pytest.raises(DeliveryError, match="stays in the spool"):
            receiver.receive(events[:1])
        assert len(backend.requests) == 1, "the courier tries again, so the client need not"
        backend.answer = lambda _: 201
        receiver.receive(events[:1])
    assert len(backend.got) == 1


def test_poison_among_events_is_parked_and_the_rest_arrives(folder: Path, events: list[Event], tmp_path: Path) -> None:
    def answer(event: dict[str, Any]) -> int:
        return 422 if event["job"]["name"] == "backtest.fit_model" else 201

    with Backend(answer) as backend:
        configure(folder, transport={"type": "http", "url": backend.url})
        spool = Spool(tmp_path / "spool.db")
        for event in events:
            spool.accept(event)
        (report,) = deliver_once(spool, openlineage_receivers(), tmp_path, timeout=LONG).receivers
        spool.close()
    assert (report.delivered, report.parked, report.left) == (len(events) - 2, 2, 0)
    assert len(backend.got) == len(events) - 2


def test_nothing_listens(folder: Path, events: list[Event], caplog: pytest.LogCaptureFixture) -> None:
    configure(folder, transport={"type": "http", "url": "http://127.0.0.1:1"})
    with caplog.at_level(logging.WARNING), pytest.raises(DeliveryError, match="refused"):
        only(openlineage_receivers()).receive(events[:1])
    assert caplog.records == [], "no line for each try"


def test_a_transport_that_sends_in_the_background_has_sent_when_it_says_so(folder: Path, events: list[Event]) -> None:
    with Backend() as backend:
        configure(folder, transport={"type": "async_http", "url": backend.url})
        only(openlineage_receivers()).receive(events)
        assert len(backend.got) == len(events)
        assert [one["eventTime"] for one in backend.got] == [event.time for event in events]


@pytest.mark.parametrize(
    "content",
    [
        "transport: {type: http",
        "transport: {type: http}",
        "transport: {type: no.such.Transport}",
        "transport: {type: json.JSONDecoder}",
        "transport: {type: http, url: 'not a url'}",
        "transport: {type: http, url: 'http://x', compression: zip}",
        "transport: {type: composite, transports: []}",
        "transport: {type: composite, transports: 3}",
        "transport: {type: file}",
        "{transport: {type: http, url: 'http://x'}, filters: [3]}",
        "\x00",
    ],
)
def test_a_broken_configuration_is_said_and_nothing_is_lost(folder: Path, events: list[Event], content: str) -> None:
    (folder / "openlineage.yml").write_text(content)
    receiver = only(openlineage_receivers())
    with pytest.raises(DeliveryError, match="OpenLineage configuration"):
        receiver.receive(events[:1])


def test_a_configuration_that_is_named_and_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    monkeypatch.setenv("OPENLINEAGE_CONFIG", "/no/such/openlineage.yml")
    with pytest.raises(DeliveryError, match=r"/no/such/openlineage\.yml"):
        only(openlineage_receivers()).receive(events[:1])


def test_a_configuration_that_is_mended_is_taken_up(folder: Path, events: list[Event], tmp_path: Path) -> None:
    (folder / "openlineage.yml").write_text("transport: {type: http")
    receiver = only(openlineage_receivers())
    with pytest.raises(DeliveryError):
        receiver.receive(events[:1])
    configure(folder, transport={"type": "file", "log_file_path": str(tmp_path / "log"), "append": True})
    receiver.receive(events[:1])
    assert (tmp_path / "log").exists()


def test_something_that_is_no_run_event_is_poison(folder: Path, tmp_path: Path) -> None:
    configure(folder, transport={"type": "file", "log_file_path": str(tmp_path / "log")})
    with pytest.raises(EventError, match="not a run event"):
        only(openlineage_receivers()).receive([Event("r", "r", "START", "t", b'{"run": {"runId": "x"}}')])


def test_what_a_courier_replaces_in_a_configuration() -> None:
    given = {
        "type": "transform",
        "transport": {"type": "async_http", "url": "u", "retry": {"total": 9}, "max_queue_size": 3},
        "transports": [{"type": "kafka", "topic": "t"}, "x"],
    }
    before = json.dumps(given)
    fitted = for_courier(given)
    assert fitted["transport"]["type"] == "http"
    assert fitted["transport"]["retry"]["total"] == 0
    assert fitted["transport"]["url"] == "u"
    assert fitted["transports"] == [{"type": "kafka", "topic": "t", "flush": False}, "x"]
    assert json.dumps(given) == before
