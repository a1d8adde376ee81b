"""The protocol over HTTP: what is no request, who may ask, connections that stay open."""

from __future__ import annotations

import http.client
import json
import logging
import socket

import pytest

from lineage_flows.endpoint import service
from lineage_flows.endpoint.wire import LARGEST_REQUEST, is_loopback
from tests.endpoint.kit import client


@pytest.fixture
def connection(endpoint):
    host, port = endpoint.url.removeprefix("http://").split(":")
    made = http.client.HTTPConnection(host, int(port), timeout=20)
    yield made
    made.close()


def ask(connection, body=b"{}", *, target="SageMaker.ListContexts", method="POST", path="/", **headers):
    sent = {
        "Content-Type": "application/x-amz-json-1.1",
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    if target is not None:
        sent["X-Amz-Target"] = target
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    return answer, json.loads(answer.read() or b"null")


def test_an_answer_is_json_with_a_request_id(connection):
    answer, document = ask(connection)
    assert (answer.status, document) == (200, {"ContextSummaries": []})
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert len(answer.headers["x-amzn-RequestId"]) == 36


def test_one_connection_carries_many_requests_those_that_are_refused_too(connection):
    ask(connection)
    port = connection.sock.getsockname()
    assert ask(connection, b"no json")[1]["__type"] == "SerializationException"
    assert ask(connection, target="SageMaker.Nothing")[1]["__type"] == "UnknownOperationException"
    assert ask(connection, b"")[0].status == 200
    assert ask(connection, Host="evil.example")[0].status == 403
    assert ask(connection)[0].status == 200
    assert connection.sock.getsockname() == port


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("SageMaker.CreateTrainingJob", "that this endpoint does not have"),
        ("SageMaker.Create", "no operation of SageMaker"),
        ("DynamoDB.ListTables", "no operation of SageMaker"),
        ("ListContexts", "no operation of SageMaker"),
        ("", "No operation is named"),
        (None, "No operation is named"),
    ],
)
def test_an_operation_that_is_not_there(connection, target, words):
    answer, document = ask(connection, target=target)
    assert (answer.status, document["__type"]) == (400, "UnknownOperationException")
    assert answer.headers["x-amzn-ErrorType"] == "UnknownOperationException"
    assert words in document["message"]


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b"7", b'"x"', b"{", b'{"MaxResults": NaN}', b"\xff", b'{"a": "\xed\xa0\x80"}']
)
def test_a_body_that_is_no_request(connection, body):
    answer, document = ask(connection, body)
    assert (answer.status, document["__type"]) == (400, "SerializationException")


def test_another_path_or_method(connection):
    assert ask(connection, path="/other")[1]["__type"] == "UnknownOperationException"
    for method in ("GET", "PUT", "OPTIONS", "DELETE"):
        answer, document = ask(connection, None, method=method)
        assert (answer.status, document["__type"]) == (404, "UnknownOperationException")
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert ask(connection)[0].status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil", "0.0.0.0", "a b"]
)
def test_a_host_that_is_not_loopback_is_refused(connection, host):
    answer, document = ask(connection, b'{"MaxResults": 0}', Host=host)
    assert (answer.status, document["__type"]) == (403, "AccessDeniedException")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1:1", "localhost:99", "LOCALHOST", "[::1]:8", "::1", "api.localhost"]
)
def test_a_host_that_is_loopback_is_served(connection, host):
    if host == "::1":
        assert is_loopback(host)
    else:
        assert ask(connection, Host=host)[0].status == 200


def test_a_host_that_was_allowed_is_served(start):
    endpoint = start(allowed_hosts=["lineage.desk"])
    host, port = endpoint.url.removeprefix("http://").split(":")
    made = http.client.HTTPConnection(host, int(port), timeout=20)
    assert ask(made, Host="Lineage.Desk:4599")[0].status == 200
    assert ask(made, Host="other.desk")[0].status == 403
    made.close()


def raw(endpoint, text):
    host, port = endpoint.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as made:
        made.sendall(text)
        made.shutdown(socket.SHUT_WR)
        received = b""
        while piece := made.recv(65536):
            received += piece
    return received


HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: SageMaker.ListContexts\r\n"


def test_a_request_that_is_too_long_is_not_read(endpoint):
    answer = raw(endpoint, HEAD + b"Content-Length: %d\r\n\r\n" % (LARGEST_REQUEST + 1))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    "length", [b"", b"Content-Length: -1\r\n", b"Content-Length: x\r\n", b"Transfer-Encoding: chunked\r\n"]
)
def test_a_request_without_a_length_is_refused_and_the_connection_closed(endpoint, length):
    answer = raw(endpoint, HEAD + length + b"\r\n{}")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_request_that_breaks_off_is_not_carried_out(endpoint):
    body = b'{"ContextName": "it", "ContextType": "T", "Source": {"SourceUri": "u"}}'
    head = HEAD.replace(b"ListContexts", b"CreateContext") + b"Content-Length: %d\r\n\r\n" % (len(body) + 1)
    assert raw(endpoint, head + body) == b""
    assert client(endpoint.url).list_contexts()["ContextSummaries"] == []


def test_garbage_harms_nobody_else(endpoint):
    raw(endpoint, b"\x16\x03\x01 garbage\r\n\r\n")
    raw(endpoint, b"POST / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n")
    assert client(endpoint.url).list_contexts()["ContextSummaries"] == []


def test_a_failure_of_the_endpoint_itself_is_an_answer_and_is_logged(connection, monkeypatch, caplog):
    def fails(backend, request):
        raise RuntimeError("a bug")

    monkeypatch.setitem(service.OPERATIONS, "ListActions", fails)
    with caplog.at_level(logging.ERROR):
        answer, document = ask(connection, target="SageMaker.ListActions")
    assert (answer.status, document["__type"]) == (500, "InternalFailure")
    assert "a bug" in caplog.text
    assert ask(connection)[0].status == 200
