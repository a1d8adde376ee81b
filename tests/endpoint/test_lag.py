"""Reads that lag behind writes."""

from __future__ import annotations

import threading

import pytest

from lineage_flows.endpoint.faults import Faults
from lineage_flows.endpoint.lag import Lag
from lineage_flows.endpoint.store import Store
from tests.endpoint.kit import client, create


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(fast_home, clock):
    """Makes a store of which the writes lag two seconds that ``lagging`` says; and writes a context into it."""
    stores = []

    def made(lagging):
        chosen = iter(lagging)
        store = Store(fast_home / "graph.db", lag=Lag(2.0, lambda: next(chosen), clock=clock))
        stores.append(store)

        def write(name):
            with store.writing() as change:
                change.create(
                    "Context",
                    name=name,
                    source_uri="u",
                    sources=(),
                    facts={"type": "T"},
                    now="2026-01-01T00:00:00.000000Z",
                )

        def seen(*, lagging=True):
            with store.reading(lagging=lagging) as snapshot:
                found = snapshot.page("Context", [], "e.name", 1000)
            return [stored.entity.name for stored in found]

        return write, seen

    yield made
    for store in stores:
        store.close()


def test_a_write_shows_when_its_time_has_come(make, clock):
    write, seen = make([False, True, True])
    write("a")
    assert seen() == ["a"]
    write("b")
    clock.now = 1.0
    write("c")
    assert seen() == ["a"]
    assert seen(lagging=False) == ["a", "b", "c"]
    clock.now = 2.0
    assert seen() == ["a", "b"]
    clock.now = 3.0
    assert seen() == ["a", "b", "c"]


def test_what_comes_after_a_write_shows_no_sooner(make, clock):
    write, seen = make([True, False])
    write("a")
    write("b")
    assert seen() == []
    clock.now = 2.0
    assert seen() == ["a", "b"]


def test_more_writes_than_there_are_snapshots_for_show_in_the_end(make, clock):
    write, seen = make([True] * 200)
    for number in range(200):
        clock.now = number / 1000
        write(f"n{number:03d}")
    clock.now = 2.01
    assert seen() == [f"n{number:03d}" for number in range(11)]
    clock.now = 5.0
    assert len(seen()) == 200


def test_a_snapshot_that_is_in_use_outlives_its_time(make, fast_home, clock):
    store = Store(fast_home / "graph.db", lag=Lag(2.0, lambda: True, clock=clock))

    def write(name):
        with store.writing() as change:
            facts = {"type": "T"}
            now = "2026-01-01T00:00:00.000000Z"
            change.create("Context", name=name, source_uri="u", sources=(), facts=facts, now=now)

    write("a")
    with store.reading(lagging=True) as old:
        clock.now = 10.0
        with store.reading(lagging=True) as new:
            assert new.end("arn:aws:sagemaker:local:000000000000:context/a") is not None
        assert old.end("arn:aws:sagemaker:local:000000000000:context/a") is None
    store.close()


def test_lists_lag_over_boto3_and_descriptions_do_not(start):
    sagemaker = client(start(faults=Faults(lag=1, lag_seconds=600)).url)
    source, destination = create(sagemaker, "Context", "a"), create(sagemaker, "Artifact", "b")
    sagemaker.add_association(SourceArn=source, DestinationArn=destination)
    assert sagemaker.list_contexts()["ContextSummaries"] == []
    assert sagemaker.list_artifacts()["ArtifactSummaries"] == []
    assert sagemaker.list_associations()["AssociationSummaries"] == []
    assert sagemaker.describe_context(ContextName="a")["ContextArn"] == source
    assert len(client(start().url).list_associations()["AssociationSummaries"]) == 1


def test_many_threads_may_read_what_lags(start):
    endpoint = start(faults=Faults(lag=0.5, lag_seconds=0.01, seed=2))
    sagemaker = client(endpoint.url)
    wrong = []

    def read():
        reader = client(endpoint.url)
        before = 0
        for _ in range(30):
            found = len(reader.list_contexts(MaxResults=100)["ContextSummaries"])
            if found < before:
                wrong.append((before, found))
            before = found

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(30):
        create(sagemaker, "Context", f"c{number}")
    for thread in threads:
        thread.join()
    assert wrong == []
