"""Faults by order: what each does to a client, and to the graph."""

from __future__ import annotations

import itertools
import socket
from contextlib import suppress

import pytest
from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError

from lineage_flows.endpoint.faults import Dice, Faults
from lineage_flows.errors import SettingsError
from tests.endpoint.kit import client, create, refuses


def test_a_throttled_request_is_not_carried_out(start):
    endpoint = start(faults=Faults(throttle=1))
    with refuses("ThrottlingException", "Rate exceeded") as told:
        create(client(endpoint.url), "Context", "it")
    assert told.status == 400
    assert endpoint.calls == {"CreateContext": 1}
    assert endpoint.faults_made["throttle"] == 1
    assert client(start().url).list_contexts()["ContextSummaries"] == []


def test_a_client_that_tries_again_gets_through(start):
    endpoint = start(faults=Faults(throttle=0.4, server_error=0.2, seed=1))
    sagemaker = client(endpoint.url)
    left = [f"c{number}" for number in range(10)]
    while left:
        with suppress(sagemaker.exceptions.ClientError):
            create(sagemaker, "Context", left[-1])
            left.pop()
    assert len(client(start().url).list_contexts()["ContextSummaries"]) == 10
    assert endpoint.calls["CreateContext"] == 10 + endpoint.faults_made.total() > 10


def test_a_server_error_is_one_of_two_and_nothing_is_carried_out(start):
    sagemaker = client(start(faults=Faults(server_error=1, seed=3)).url)
    told = set()
    for number in range(12):
        try:
            create(sagemaker, "Context", f"c{number}")
        except sagemaker.exceptions.ClientError as error:
            told.add((error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]))
    assert told == {("InternalFailure", 500), ("ServiceUnavailable", 503)}
    assert client(start().url).list_contexts()["ContextSummaries"] == []


def test_a_conflict_is_met_by_updates_alone(start):
    sagemaker = client(start(faults=Faults(conflict=1)).url)
    arn = create(sagemaker, "Context", "it", Properties={"a": "1"})
    with refuses("ConflictException"):
        sagemaker.update_context(ContextName="it", Properties={})
    assert sagemaker.describe_context(ContextName=arn)["Properties"] == {"a": "1"}


def test_a_request_that_hangs_was_carried_out(start):
    sagemaker = client(start(faults=Faults(hang=1, hang_seconds=60)).url, read_timeout=0.3)
    with pytest.raises(ReadTimeoutError):
        create(sagemaker, "Context", "it")
    calm = client(start().url)
    while not calm.list_contexts()["ContextSummaries"]:  # the client may have lost patience before the write was done
        pass


def test_after_hanging_the_connection_ends_without_an_answer(start):
    sagemaker = client(start(faults=Faults(hang=1, hang_seconds=0)).url)
    with pytest.raises(ConnectionClosedError):
        create(sagemaker, "Context", "it")
    assert client(start().url).describe_context(ContextName="it")["ContextName"] == "it"


def test_a_reset_comes_before_or_after_the_request_is_carried_out(start):
    sagemaker = client(start(faults=Faults(reset=1, seed=5)).url)
    for number in range(12):
        with pytest.raises(HTTPClientError):
            create(sagemaker, "Context", f"c{number}")
    made = len(client(start().url).list_contexts(MaxResults=100)["ContextSummaries"])
    assert 0 < made < 12


def test_a_reset_is_one_of_tcp(start):
    host, port = start(faults=Faults(reset=1)).url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as made:
        head = (
            "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: SageMaker.ListContexts\r\nContent-Length: 2\r\n\r\n{}"
        )
        made.sendall(head.encode())
        with pytest.raises(ConnectionResetError):
            made.recv(100)


def test_closing_does_not_wait_for_what_hangs(start):
    endpoint = start(faults=Faults(hang=1, hang_seconds=600))
    with pytest.raises(ReadTimeoutError):
        create(client(endpoint.url, read_timeout=0.2), "Context", "it")
    endpoint.close()  # within the test's own time limit, which is half of that


def test_one_seed_makes_the_same_faults_whatever_others_are_on():
    def thrown(**rates):
        dice = Dice(Faults(throttle=0.3, seed=9, **rates))
        found = []
        for _ in range(200):
            dice.falls("reset")
            found.append(dice.falls("throttle"))
        return found

    assert thrown() == thrown(reset=0.7)
    assert 30 < sum(thrown()) < 90
    other = Dice(Faults(throttle=0.3, seed=10))
    assert [other.falls("throttle") for _ in range(200)] != thrown()


def test_a_fault_that_is_off_is_never_met():
    dice = Dice(Faults())
    assert not any(dice.falls(name) for name in ("throttle", "server_error", "conflict", "hang", "reset", "lag") * 50)
    assert dice.made.total() == 0


@pytest.mark.parametrize("wrong", [{"throttle": 1.1}, {"lag": -0.1}, {"hang_seconds": -1}, {"lag_seconds": 1e9}])
def test_a_rate_is_a_share(wrong):
    with pytest.raises(SettingsError, match=f"faults.{next(iter(wrong))}"):
        Faults(**wrong)


def test_a_client_that_adopts_what_exists_makes_everything_once_whatever_happens(start):
    """Create, and take "already exists" for success: what a courier does, through every fault at once."""
    faults = Faults(
        throttle=0.2, server_error=0.1, hang=0.1, hang_seconds=0, reset=0.15, lag=0.3, lag_seconds=0.05, seed=11
    )
    endpoint = start(faults=faults)
    sagemaker = client(endpoint.url)

    def insist(call):
        while True:
            try:
                return call()
            except sagemaker.exceptions.ClientError as error:
                code = error.response["Error"]["Code"]
                if "already exists" in str(error):
                    return None
                if code not in {"ThrottlingException", "InternalFailure", "ServiceUnavailable"}:
                    raise
            except HTTPClientError:
                pass

    for number in range(30):
        insist(lambda number=number: create(sagemaker, "Context", f"c{number}"))
    arns = [f"arn:aws:sagemaker:local:000000000000:context/c{number}" for number in range(30)]
    for source, destination in itertools.pairwise(arns):
        insist(
            lambda source=source, destination=destination: sagemaker.add_association(
                SourceArn=source, DestinationArn=destination
            )
        )
    calm = client(start().url)
    assert {item["ContextArn"] for item in calm.list_contexts(MaxResults=100)["ContextSummaries"]} == set(arns)
    edges = calm.list_associations(MaxResults=100)["AssociationSummaries"]
    assert sorted((edge["SourceArn"], edge["DestinationArn"]) for edge in edges) == sorted(itertools.pairwise(arns))
    assert all(endpoint.faults_made[name] for name in ("throttle", "server_error", "hang", "reset", "lag"))
