"""A SageMaker that takes connections and never answers: the end of a flow hardly waits for it, and nothing is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lineage_flows.delivery import Courier, deliver_once
from lineage_flows.delivery import courier as courier_module
from lineage_flows.endpoint.server import Endpoint
from lineage_flows.graph.opening import open_graph
from lineage_flows.graph.sagemaker import client as client_module
from lineage_flows.graph.sagemaker.client import Client
from lineage_flows.graph.sagemaker.silence import Silence
from lineage_flows.runtime import open_spool, receivers
from lineage_flows.settings import load_settings
from tests.graph.kit import events_of, graph_of
from tests.graph.sagemaker.double import Double, refusal
from tests.graph.sagemaker.kit import plain
from tests.support.records import backtest_record


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield server


def test_a_silence_lasts_from_the_first_question_until_any_answer() -> None:
    silence = Silence()
    assert silence.seconds == 0
    with silence.asking():
        assert silence.seconds > 0
        with pytest.raises(TimeoutError), silence.asking():
            raise TimeoutError
        before = silence.seconds
        with silence.asking():
            pass
        assert 0 < silence.seconds < before + 1
    assert silence.seconds == 0
    with pytest.raises(TimeoutError), silence.asking():
        raise TimeoutError
    assert silence.seconds > 0, "nothing was heard"
    error = refusal("ThrottlingException")
    with pytest.raises(type(error)), silence.asking():
        raise error
    assert silence.seconds == 0, "a refusal is an answer"


def test_a_client_says_how_long_it_was_not_answered() -> None:
    double = Double()
    client = Client(lambda: double)
    assert client.silent_seconds == 0
    asked, answers = threading.Event(), threading.Event()

    def wait(operation: str, given: object) -> None:
        asked.set()
        assert answers.wait(60)

    double.before = wait
    thread = threading.Thread(target=client.call, args=("ListContexts", "*"))
    thread.start()
    assert asked.wait(60)
    assert client.silent_seconds > 0
    answers.set()
    thread.join()
    assert client.silent_seconds == 0


def test_the_first_flush_of_a_process_does_not_wait_as_long_as_it_may(
    silent: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINEAGE_FLOWS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LINEAGE_FLOWS_KEEPER", "sagemaker")
    monkeypatch.setattr(client_module, "_ATTEMPTS", 1)
    monkeypatch.setattr(courier_module, "QUIET", 0.1)
    port = silent.getsockname()[1]
    settings = load_settings()
    spool = open_spool(settings)
    events = events_of(backtest_record())
    for event in events:
        spool.accept(event)
    courier = Courier(spool, receivers(settings), settings.home)
    assert not courier.flush(1e6)
    assert (settings.home / "courier-graph.silent").exists()
    assert spool.backlog("graph") == len(events), "nothing is said to be delivered that does not stand there"
    silent.close()  # which ends the connections that it never took up
    assert courier.stop(60)
    with Endpoint(tmp_path / "there", port=port):
        assert deliver_once(spool, receivers(settings), settings.home).complete
        with closing(open_graph(settings)) as keeper:
            assert plain(keeper) == plain(graph_of(events))
    assert not (settings.home / "courier-graph.silent").exists()
    spool.close()
