"""An endpoint from its start to its end."""

from __future__ import annotations

import socket
import threading

import pytest

from lineage_flows.endpoint.server import Endpoint, serve
from lineage_flows.errors import KeeperUnavailableError, SettingsError
from lineage_flows.graph.embedded import open_embedded
from tests.endpoint.kit import client, create, refuses


def test_serve_gives_a_url_for_the_length_of_a_block(fast_home):
    with serve(fast_home) as url:
        arn = create(client(url), "Context", "it")
    host, port = url.removeprefix("http://").split(":")
    with pytest.raises(OSError):
        socket.create_connection((host, int(port)), timeout=5).close()
    keeper = open_embedded(fast_home / "graph.db", read_only=True)
    assert [found.arn for found in keeper.list_contexts()] == [arn]
    keeper.close()


def test_a_port_that_is_taken_is_said(endpoint, fast_home):
    port = int(endpoint.url.rpartition(":")[2])
    with pytest.raises(SettingsError, match="free"):
        Endpoint(fast_home, port=port)


def test_what_is_no_graph_is_left_alone(fast_home):
    fast_home.mkdir()
    (fast_home / "graph.db").write_text("something else")
    with pytest.raises(KeeperUnavailableError):
        Endpoint(fast_home)
    assert (fast_home / "graph.db").read_text() == "something else"


def test_requests_of_many_threads_are_all_carried_out(endpoint):
    wrong = []

    def work(number):
        sagemaker = client(endpoint.url)
        try:
            for each in range(10):
                create(sagemaker, "Action", f"a{number}-{each}")
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(client(endpoint.url).list_actions(MaxResults=100)["ActionSummaries"]) == 80
    assert endpoint.calls == {"CreateAction": 80, "ListActions": 1}


def test_of_many_that_make_the_same_thing_one_does(endpoint):
    told = []

    def work():
        try:
            told.append(create(client(endpoint.url), "Context", "one"))
        except Exception as error:
            told.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(text.startswith("arn:") for text in told) == 1
    assert sum("already exists" in text for text in told) == 7


def test_a_graph_that_is_moved_away_is_not_written_to(endpoint, sagemaker, fast_home):
    create(sagemaker, "Context", "old")
    for path in list(fast_home.glob("graph.db*")):
        path.rename(path.with_name(f"moved-{path.name}"))
    assert sagemaker.list_contexts()["ContextSummaries"] == []
    create(sagemaker, "Context", "new")
    with refuses("ResourceNotFound"):
        sagemaker.describe_context(ContextName="old")


def test_a_graph_that_cannot_be_read_is_an_answer_that_says_so(endpoint, sagemaker, fast_home):
    for path in list(fast_home.glob("graph.db*")):
        path.unlink()
    (fast_home / "graph.db").write_text("something else")
    with refuses("ServiceUnavailable", "no SQLite file") as told:
        sagemaker.list_contexts()
    assert told.status == 503


def test_ipv6(fast_home):
    try:
        with serve(fast_home, host="::1") as url:
            assert url.startswith("http://[::1]:")
            assert client(url).list_contexts()["ContextSummaries"] == []
    except SettingsError:
        pytest.skip("this machine has no IPv6 loopback")
