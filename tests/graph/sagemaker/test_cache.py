"""What is due is noted by the transaction that makes it so, and goes when it is done, whoever did it."""

from __future__ import annotations

import pytest

from lineage_flows.errors import EventError, KeeperUnavailableError
from lineage_flows.graph.keeper import Claim, Link
from lineage_flows.graph.sagemaker.cache import Cache
from lineage_flows.graph.sagemaker.discarding import parked as parked_of
from lineage_flows.graph.sagemaker.entries import There
from lineage_flows.graph.sagemaker.wire import Fixed
from tests.graph.sagemaker.kit import new_cache

LOCAL = "arn:aws:sagemaker:local:000000000000"
THERE = There("arn:aws:sagemaker:eu-central-1:123456789012:artifact/0", "digest", Fixed("DataSet"), {}, ())


def artifact(name: str, stamp: str = "1", **facts: str) -> Claim:
    said = {"type": "DataSet", **{f"p.{key}": value for key, value in facts.items()}}
    return Claim("Artifact", f"{LOCAL}:artifact/{name}", None, f"file:///{name}", (), None, stamp, "2026-11-20", said)


def action(run: str) -> Claim:
    arn = f"{LOCAL}:action/{run}"
    return Claim(
        "Action", arn, run, f"prefect://q/flow-run/{run}", (("R", run),), f"run:{run}", "1", "t", {"type": "FlowRun"}
    )


@pytest.fixture
def cache() -> Cache:
    return Cache(new_cache())


def test_what_a_batch_changes_is_due_until_it_stands(cache: Cache) -> None:
    cache.merge([artifact("a"), action("r")], [Link(f"{LOCAL}:artifact/a", "run:r", "ContributedTo", "t")])
    (first, second) = cache.due_entities(9)
    (edge,) = cache.due_edges(9, 0)
    assert (edge.source, edge.destination, edge.type) == (first.id, second.id, "ContributedTo")
    cache.stands(first.id, THERE, first.mark)
    assert [item.id for item in cache.due_entities(9)] == [second.id]
    cache.joined([(edge, (edge.source, edge.destination))])
    assert cache.due_edges(9, 0) == []
    cache.merge([artifact("a"), action("r")], [Link(f"{LOCAL}:artifact/a", "run:r", "ContributedTo", "earlier")])
    assert [item.id for item in cache.due_entities(9)] == [second.id]
    assert cache.due_edges(9, 0) == []


def test_what_changes_while_it_is_written_stays_due(cache: Cache) -> None:
    cache.merge([artifact("a")], [])
    (seen,) = cache.due_entities(9)
    cache.merge([artifact("a", "2", rows="7")], [])
    cache.stands(seen.id, THERE, seen.mark)
    (again,) = cache.due_entities(9)
    assert (again.mark, again.there, again.entity.properties) == (seen.mark + 1, THERE, {"rows": "7"})


def test_a_batch_that_is_refused_makes_nothing_due(cache: Cache) -> None:
    with pytest.raises(EventError):
        cache.merge([artifact("a"), artifact("b", note="v" * 5000)], [])
    assert cache.due_entities(9) == []


def test_what_is_put_aside_is_tried_again_when_it_changes_or_when_asked_for(cache: Cache) -> None:
    cache.merge([artifact("a")], [])
    (item,) = cache.due_entities(9)
    cache.failed(item, parked="never on Mondays")
    assert cache.due_entities(9) == []
    assert [(parked.what, parked.reason) for parked in parked_of(cache)] == [("Artifact file:///a", "never on Mondays")]
    cache.merge([artifact("a", "2", rows="7")], [])
    (item,) = cache.due_entities(9)
    cache.failed(item, parked="still not")
    cache.retry()
    assert [item.id for item in cache.due_entities(9)] == [item.id]


def test_an_association_waits_for_a_run_and_is_due_as_soon_as_that_is_known(cache: Cache) -> None:
    cache.merge([artifact("a")], [Link(f"{LOCAL}:artifact/a", "run:r", "ContributedTo", "t")])
    (edge,) = cache.due_edges(9, 0)
    assert cache.ends([edge.destination])[edge.destination].entity is None
    cache.failed(edge, after=1000.0)
    assert cache.due_edges(9, 999.0) == []
    assert cache.backlog(999.0) == (1, 1)
    cache.merge([action("r")], [])
    assert [found.destination for found in cache.due_edges(9, 999.0)] == [edge.destination]


def test_what_is_forgotten_is_due_with_all_that_hung_on_it(cache: Cache) -> None:
    cache.merge([artifact("a"), action("r")], [Link(f"{LOCAL}:artifact/a", "run:r", "ContributedTo", "t")])
    for item in cache.due_entities(9):
        cache.stands(item.id, THERE, item.mark)
    (edge,) = cache.due_edges(9, 0)
    pair = (edge.source, edge.destination)
    cache.joined([(edge, pair)])
    assert cache.standing([pair]) == {pair}
    assert cache.counts() == {"Artifact": 1, "Action": 1, "Association": 1}
    cache.forget(edge.source)
    assert [item.id for item in cache.due_entities(9)] == [edge.source]
    assert len(cache.due_edges(9, 0)) == 1
    assert cache.standing([pair]) == set()


def test_a_cache_is_of_one_place(cache: Cache) -> None:
    cache.bind("place", "eu-central-1")
    cache.bind("place", "eu-central-1")
    with pytest.raises(
        KeeperUnavailableError, match="it is eu-central-1, and the present configuration means us-east-1"
    ):
        cache.bind("place", "us-east-1")


def test_a_cache_that_was_moved_away_begins_anew(cache: Cache) -> None:
    cache.merge([artifact("a")], [])
    for path in cache.path.parent.glob(f"{cache.path.name}*"):
        path.rename(path.with_name(f"old-{path.name}"))
    cache.merge([artifact("b")], [])
    assert [item.entity.source_uri for item in cache.due_entities(9)] == ["file:///b"]


def test_a_kind_is_full_for_a_while_and_not_for_as_long_as_a_clock_was_ahead(cache: Cache) -> None:
    cache.note_full("Action", 1_300.0)
    assert [cache.full(now, 300.0) for now in (1_000.0, 1_299.0, 1_300.0, 900.0)] == [
        {"Action"},
        {"Action"},
        set(),
        set(),
    ]
