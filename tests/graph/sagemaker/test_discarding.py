"""What a person gave up is not written, with what hung on it, until something new is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lineage_flows.errors import GraphError
from lineage_flows.graph.sagemaker.cache import Cache
from lineage_flows.graph.sagemaker.discarding import DiscardedThing, discard, discarded, left, parked
from tests.graph.kit import events_of, flow_id, graph_of
from tests.graph.sagemaker.double import Double, refusal
from tests.graph.sagemaker.kit import deliver, keeper_over, new_cache, plain
from tests.graph.sagemaker.test_deleted import joined, link, said, standing
from tests.support.records import FLOW_ID, backtest_record


@pytest.fixture
def path() -> Path:
    return new_cache()


def refusing(*names: str) -> Double:
    """Takes no artifact of these names."""
    double = Double()

    def refuse(operation: str, given: dict[str, Any]) -> None:
        if operation == "CreateArtifact" and given["Source"]["SourceUri"].rpartition("/")[2] in names:
            raise refusal("ValidationException", "never on Mondays")

    double.before = refuse
    return double


def give_up(path: Path, *what: str, run_id: str | None = None) -> list[DiscardedThing]:
    cache = Cache(path)
    try:
        return discard(cache, [item for item in left(cache, run_id) if not what or item.what in what], "ana")
    finally:
        cache.close()


def test_what_is_given_up_goes_with_what_hung_on_it_and_nothing_new_that_hangs_on_it_brings_it_back(path: Path) -> None:
    double = refusing("bad")
    keeper = keeper_over(double, path)
    keeper.upsert([said("bad"), said("a")], [link("a", "bad")])
    (refused,) = keeper.parked()
    assert refused.what == "Artifact s3://b/bad"
    done = give_up(path, refused.what)
    assert [(item.what, item.who) for item in done] == [
        ("Artifact s3://b/bad", "ana"),
        ("s3://b/a DerivedFrom s3://b/bad", "ana"),
    ]
    assert "never on Mondays" in done[0].reason
    assert (keeper.parked(), keeper.backlog()) == ([], (0, 0))
    double.before = lambda operation, given: None
    double.calls.clear()
    keeper.deliver()
    keeper.upsert([said("b")], [link("b", "bad"), link("b", "a")])
    assert (standing(double), joined(double)) == ({"a", "b"}, {("b", "a")})
    assert keeper.backlog() == (0, 0)
    keeper.upsert([said("bad")], [link("a", "bad")])
    assert standing(double) == {"a", "b"}, "an event that is delivered again is nothing new"
    keeper.upsert([said("bad", "2", rows="7"), said("c")], [link("c", "bad")])
    assert standing(double) == {"a", "b", "c", "bad"}
    assert joined(double) == {("b", "a"), ("c", "bad"), ("a", "bad"), ("b", "bad")}, "what hung on it does again"
    keeper.upsert([said("d")], [link("d", "bad")])
    assert ("d", "bad") in joined(double)
    cache = Cache(path)
    assert discarded(cache) == done
    cache.close()


def test_an_update_that_is_given_up_leaves_what_stands_and_what_is_associated_with_it(path: Path) -> None:
    double = Double()
    keeper = keeper_over(double, path)
    keeper.upsert([said("a"), said("b")])

    def refuse(operation: str, given: dict[str, Any]) -> None:
        if operation == "UpdateArtifact":
            raise refusal("ValidationException", "never")

    double.before = refuse
    keeper.upsert([said("a", "2", rows="7")])
    assert len(keeper.parked()) == 1
    assert [item.what for item in give_up(path)] == ["Artifact s3://b/a"]
    keeper.upsert([], [link("a", "b")])
    assert joined(double) == {("a", "b")}
    double.before = lambda operation, given: None
    keeper.upsert([said("a", "3", rows="8")])
    assert double.named("s3://b/a")["Properties"] == {"rows": "8"}


def test_an_association_that_was_put_aside_is_given_up_alone(path: Path) -> None:
    double = Double()

    def refuse(operation: str, given: dict[str, Any]) -> None:
        if operation == "AddAssociation":
            raise refusal("ValidationException", "never")

    double.before = refuse
    keeper = keeper_over(double, path)
    keeper.upsert([said("a"), said("b")], [link("a", "b")])
    (refused,) = keeper.parked()
    cache = Cache(path)
    (item,) = left(cache)
    assert (item.id, item.reason) == (refused.id, refused.reason)
    assert item.id == "association/{}-{}".format(*item.rows)
    assert [one.what for one in discard(cache, [item], "ana")] == ["s3://b/a DerivedFrom s3://b/b"]
    assert discard(cache, [item], "ana") == [], "it is given up already"
    cache.close()
    double.before = lambda operation, given: None
    keeper.deliver()
    assert (standing(double), joined(double)) == ({"a", "b"}, set())


def test_of_a_run_that_waits_its_own_is_given_up_and_other_runs_are_written(path: Path) -> None:
    double = Double()

    def away(operation: str, given: dict[str, Any]) -> None:
        raise refusal("ThrottlingException", "Rate exceeded")

    double.before = away
    keeper = keeper_over(double, path)
    first, second = events_of(backtest_record()), events_of(backtest_record(flow_id(99)))
    for events in (first, second):
        with pytest.raises(GraphError):
            deliver(keeper, events)
    cache = Cache(path)
    assert parked(cache) == []
    assert all(item.reason is None for item in left(cache, FLOW_ID))
    assert left(cache, flow_id(1)) == []
    cache.close()
    done = give_up(path, run_id=FLOW_ID)
    assert len(done) > 20
    double.before = lambda operation, given: None
    keeper.deliver()
    found, expected = plain(keeper), plain(graph_of(second))
    assert not [key for key in found[0] if FLOW_ID[:-2] in str(key)]
    assert {key for key in found[0] if key in expected[0]} == expected[0].keys()
    assert {edge for edge in found[1] if edge[1] != "SameAs"} == {edge for edge in expected[1] if edge[1] != "SameAs"}
    assert keeper.backlog() == (0, 0)
    deliver(keeper, first)
    assert plain(keeper) == found


def test_of_a_run_that_goes_on_after_it_was_given_up_nothing_stands_unjoined(path: Path) -> None:
    double = Double()

    def away(operation: str, given: dict[str, Any]) -> None:
        raise refusal("ThrottlingException", "Rate exceeded")

    double.before = away
    keeper = keeper_over(double, path)
    events = events_of(backtest_record())
    with pytest.raises(GraphError):
        deliver(keeper, events[:5])
    give_up(path, run_id=FLOW_ID)
    double.before = lambda operation, given: None
    deliver(keeper, events[5:])
    found, expected = plain(keeper), plain(graph_of(events))
    assert len(found[0]) > 10
    assert found[1] == {edge for edge in expected[1] if edge[0] in found[0] and edge[2] in found[0]}
    assert keeper.backlog() == (0, 0)


def test_a_reason_that_is_empty_is_one(path: Path) -> None:
    keeper = keeper_over(Double(), path)
    cache = Cache(path)
    cache.merge([said("a"), said("b")], [link("a", "b")])
    (first, _) = cache.due_entities(9)
    cache.failed(first, parked="")
    cache.close()
    keeper.upsert([said("c")])
    assert [item.reason for item in keeper.parked()] == [""]
    assert keeper.backlog() == (0, 1), "what hangs on it waits, and is not tried for ever"
