"""What comes back of what somebody deleted in AWS: what something new needs, and nothing that was deleted on purpose."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import suppress
from typing import Any

import pytest

from lineage_flows.graph.identity import artifact_arn
from lineage_flows.graph.keeper import PROPERTY, Claim, Link
from tests.graph.kit import events_of, flow_id, graph_of
from tests.graph.sagemaker.double import Double
from tests.graph.sagemaker.kit import deliver, keeper_over, new_cache, plain
from tests.support.records import FLOW_ID, backtest_record

TIME = "2026-11-20T00:00:00.000000Z"


def said(name: str, stamp: str = "1", **properties: str) -> Claim:
    facts = {"type": "DataSet", "name": name} | {f"{PROPERTY}{key}": value for key, value in properties.items()}
    return Claim("Artifact", arn_of(name), None, f"s3://b/{name}", (), None, stamp, TIME, facts)


def arn_of(name: str) -> str:
    return artifact_arn(f"s3://b/{name}", ())


def link(source: str, destination: str) -> Link:
    return Link(arn_of(source), arn_of(destination), "DerivedFrom", TIME)


def standing(double: Double) -> set[str]:
    return {item["Source"]["SourceUri"].rpartition("/")[2] for item in double.entities.values()}


def joined(double: Double) -> set[tuple[str, ...]]:
    return {
        tuple(double.entities[arn]["Source"]["SourceUri"].rpartition("/")[2] for arn in pair) for pair in double.edges
    }


def delete(double: Double, *names: str) -> None:
    for name in names:
        double.vanish(double.named(f"s3://b/{name}")["ArtifactArn"])


def of_first_run(double: Double) -> set[str]:
    return {arn for arn, item in double.entities.items() if FLOW_ID[:-2] in item["Source"]["SourceUri"]}


def test_a_deleted_run_does_not_come_back_with_the_things_that_the_next_one_shared_with_it() -> None:
    double = Double()
    keeper = keeper_over(double)
    deliver(keeper, events_of(backtest_record()))
    pruned, shared = of_first_run(double), set(double.entities) - of_first_run(double)
    kept, new = events_of(backtest_record(flow_id(98))), events_of(backtest_record(flow_id(99)))
    deliver(keeper, kept)
    assert pruned
    assert shared
    for arn in (*pruned, *shared):
        double.vanish(arn)
    deliver(keeper, new)
    assert pruned.isdisjoint(double.entities)
    entities, edges = plain(keeper)
    expected = plain(graph_of([*kept, *new]))
    assert entities.keys() == expected[0].keys()
    assert {edge for edge in edges if edge[1] != "SameAs"} == {edge for edge in expected[1] if edge[1] != "SameAs"}
    assert keeper.backlog() == (0, 0)
    double.calls.clear()
    keeper.deliver()
    assert not double.calls, "what stays away is not looked for again"


def test_what_was_deleted_comes_back_whole_once_something_new_is_said_of_it() -> None:
    double = Double()
    keeper = keeper_over(double)
    keeper.upsert([said("a"), said("b"), said("c")], [link("a", "b"), link("b", "c")])
    delete(double, "a", "b")
    keeper.upsert([said("b", "2", rows="7")])
    assert (standing(double), joined(double)) == ({"b", "c"}, {("b", "c")}), "nothing new speaks of a"
    keeper.upsert([said("a", "2", rows="7")])
    assert joined(double) == {("a", "b"), ("b", "c")}, "what was left out in between is restored"
    assert keeper.backlog() == (0, 0)


def test_a_chain_of_deleted_things_does_not_come_back_from_one_end() -> None:
    double = Double()
    keeper = keeper_over(double)
    names = [f"n{number}" for number in range(20)]
    keeper.upsert([said(name) for name in names], [link(*pair) for pair in itertools.pairwise(names)])
    delete(double, *names)
    keeper.upsert([said("new")], [link("n0", "new")])
    assert (standing(double), joined(double)) == ({"n0", "new"}, {("n0", "new")})
    assert keeper.backlog() == (0, 0)


def test_the_association_between_two_deleted_things_that_something_new_needs_is_restored() -> None:
    double = Double()
    keeper = keeper_over(double)
    keeper.upsert([said("a"), said("b")], [link("a", "b")])
    delete(double, "a", "b")
    keeper.upsert([said("new")], [link("a", "new"), link("b", "new")])
    assert joined(double) == {("a", "b"), ("a", "new"), ("b", "new")}
    delete(double, "a", "b")
    keeper.upsert([said("a", "2", rows="7"), said("b", "2", rows="7")])
    assert joined(double) == {("a", "b"), ("a", "new"), ("b", "new")}
    assert keeper.backlog() == (0, 0)


def test_what_is_made_anew_and_deleted_again_comes_back_with_what_it_still_hangs_on() -> None:
    double = Double()
    keeper = keeper_over(double)
    keeper.upsert([said("a"), said("b"), said("c")], [link("a", "b"), link("b", "c")])
    delete(double, "a", "b")
    for stamp in "234":
        keeper.upsert([said("b", stamp, rows=stamp)])
        assert joined(double) == {("b", "c")}
        delete(double, "b")


@pytest.mark.parametrize("calls", range(1, 120, 9))
def test_whenever_the_process_dies_the_next_one_restores_the_rest_and_nothing_else(calls: int) -> None:
    double = Double()
    path = new_cache()
    keeper = keeper_over(double, path)
    deliver(keeper, events_of(backtest_record()))
    pruned, shared = of_first_run(double), set(double.entities) - of_first_run(double)
    kept, new = events_of(backtest_record(flow_id(98))), events_of(backtest_record(flow_id(99)))
    deliver(keeper, kept)
    for arn in (*pruned, *shared):
        double.vanish(arn)
    left = [calls]

    def die(operation: str, given: dict[str, Any]) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    double.before = die
    for _ in range(2):
        with suppress(KeyboardInterrupt):
            deliver(keeper, new)
        keeper.close()
        keeper = keeper_over(double, path)
    assert pruned.isdisjoint(double.entities)
    expected = plain(graph_of([*kept, *new]))
    entities, edges = plain(keeper)
    assert entities.keys() == expected[0].keys()
    assert {edge for edge in edges if edge[1] != "SameAs"} == {edge for edge in expected[1] if edge[1] != "SameAs"}
    assert keeper.backlog() == (0, 0)


def test_a_cache_of_an_earlier_version_is_taken_on() -> None:
    double = Double()
    path = new_cache()
    keeper = keeper_over(double, path)
    keeper.upsert([said("a"), said("b")], [link("a", "b")])
    keeper.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER entity_is_wanted_again")
        for table in ("restored", "discarded", "unwanted"):
            connection.execute(f"DROP TABLE {table}")
    keeper = keeper_over(double, path)
    delete(double, "a")
    keeper.upsert([said("a", "2", rows="7")])
    assert joined(double) == {("a", "b")}
