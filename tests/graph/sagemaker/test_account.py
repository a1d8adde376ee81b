"""Credentials of another account: nothing of this home is written there, and nothing of it forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineage_flows.endpoint.server import Endpoint
from lineage_flows.errors import GraphError, KeeperUnavailableError
from lineage_flows.graph.sagemaker import open_sagemaker
from lineage_flows.graph.sagemaker.client import Client
from tests.graph.kit import events_of, flow_id, graph_of
from tests.graph.sagemaker.double import Double, refusal
from tests.graph.sagemaker.kit import deliver, keeper_over, new_cache, plain
from tests.graph.sagemaker.test_deleted import delete, joined, link, said, standing
from tests.support.records import backtest_record, replay_record

WRITES = ("Create", "Update", "Add")


@pytest.fixture
def path() -> Path:
    return new_cache()


@pytest.fixture
def ours(path: Path) -> Double:
    """An account in which a run of this home stands."""
    double = Double()
    deliver_with(double, path, backtest_record())
    double.calls.clear()
    return double


@pytest.fixture
def other() -> Double:
    """Another account, in which somebody else's things stand."""
    double = Double(account="999999999999")
    for number in range(3):
        double.create_action(ActionName=f"a{number}", Source={"SourceUri": f"x:{number}"}, ActionType="Other")
    double.calls.clear()
    return double


def deliver_with(double: Double, path: Path, record: Any) -> None:
    keeper = keeper_over(double, path)
    try:
        deliver(keeper, events_of(record))
    finally:
        keeper.close()


def written(double: Double) -> int:
    return sum(count for name, count in double.calls.items() if name.startswith(WRITES))


def test_of_what_is_new_one_thing_at_most_reaches_another_account(path: Path, ours: Double, other: Double) -> None:
    first, second = backtest_record(), backtest_record(flow_id(99))
    before = set(other.entities)
    for _ in range(3):
        with pytest.raises(KeeperUnavailableError, match="another account"):
            deliver_with(other, path, second)
    assert len(other.entities) == len(before) + 1
    assert not [name for name in other.calls if name.startswith(("Update", "Add"))]
    deliver_with(ours, path, second)
    whole = plain(graph_of([*events_of(first), *events_of(second)]))
    assert plain(keeper_over(ours)) == whole


def test_a_new_process_in_the_right_account_makes_no_call_more_for_it(path: Path, ours: Double) -> None:
    before = plain(graph_of(events_of(backtest_record())))
    deliver_with(ours, path, backtest_record(flow_id(99)))
    after = plain(keeper_over(ours))
    created = sum(count for name, count in ours.calls.items() if name.startswith("Create"))
    assert created == len(after[0]) - len(before[0])
    assert ours.calls["AddAssociation"] == len(after[1]) - len(before[1])
    assert not ours.calls["UpdateAction"]


def test_where_a_known_thing_is_to_be_changed_it_is_found_out_before_anything_is_written(other: Double) -> None:
    ours, path = Double(), new_cache()
    keeper_over(ours, path).upsert([said("a"), said("b")], [link("a", "b")])
    with pytest.raises(KeeperUnavailableError, match="another account"):
        keeper_over(other, path).upsert([said("a", "2", rows="7"), said("new")], [link("a", "new")])
    assert written(other) == 0
    keeper = keeper_over(ours, path)
    keeper.deliver()
    assert standing(ours) == {"a", "b", "new"}
    assert joined(ours) == {("a", "b"), ("a", "new")}
    assert ours.named("s3://b/a")["Properties"] == {"rows": "7"}
    assert ours.calls["CreateArtifact"] == 3, "nothing was forgotten, and so nothing made twice"


@pytest.mark.parametrize("answer", ["ResourceNotFound", "AccessDeniedException", "ValidationException"])
def test_what_another_account_answers_of_our_arns_is_held_against_nothing(answer: str, other: Double) -> None:
    """By which code AWS refuses an ARN of another account is not documented."""
    ours, path = Double(), new_cache()
    keeper_over(ours, path).upsert([said("a"), said("b")])

    def refuse(operation: str, given: dict[str, Any]) -> None:
        if any(str(value).startswith(ours.account) for value in given.values()):
            raise refusal(answer, "not authorized to perform it on that ARN")

    other.before = refuse
    for _ in range(12):
        keeper = keeper_over(other, path)
        with pytest.raises(KeeperUnavailableError, match="another account"):
            keeper.upsert([said("a", "2", rows="7")], [link("a", "b")])
        assert keeper.parked() == []
        keeper.close()
    keeper = keeper_over(ours, path)
    keeper.deliver()
    assert (joined(ours), keeper.parked(), keeper.backlog()) == ({("a", "b")}, [], (0, 0))
    assert ours.calls["CreateArtifact"] == 2


def test_an_account_that_is_empty_does_not_make_anything_forgotten() -> None:
    """Whether all of it was deleted or it is another account, an empty one does not say; what is new tells."""
    ours, path = Double(), new_cache()
    keeper_over(ours, path).upsert([said("a"), said("b")], [link("a", "b")])
    empty = Double(account="999999999999")
    for _ in range(3):
        with pytest.raises(GraphError, match="AWS_PROFILE"):
            keeper_over(empty, path).upsert([said("a", "2", rows="7")])
    assert written(empty) == 0
    with pytest.raises(KeeperUnavailableError, match="another account"):
        keeper_over(empty, path).upsert([said("a", "2", rows="7"), said("new")])
    assert written(empty) == 1
    keeper = keeper_over(ours, path)
    keeper.deliver()
    assert ours.calls["CreateArtifact"] == 3
    assert (standing(ours), keeper.backlog()) == ({"a", "b", "new"}, (0, 0))


def test_where_all_was_deleted_a_new_thing_tells_that_it_is_our_account_and_the_rest_is_made_anew() -> None:
    ours, path = Double(), new_cache()
    keeper_over(ours, path).upsert([said("a"), said("b")], [link("a", "b")])
    delete(ours, "a", "b")
    keeper = keeper_over(ours, path)
    keeper.upsert([said("a", "2", rows="7"), said("new")], [link("b", "new")])
    assert (standing(ours), joined(ours)) == ({"a", "b", "new"}, {("a", "b"), ("b", "new")})
    assert keeper.backlog() == (0, 0)


def test_a_run_that_stands_in_another_account_is_not_taken_for_the_one_that_is_waited_for(other: Double) -> None:
    ours, path = Double(), new_cache()
    original = backtest_record()
    keeper = keeper_over(ours, path)
    deliver(keeper, events_of(replay_record(original)))
    assert keeper.backlog()[1] > 0
    keeper.close()
    deliver(keeper_over(other), events_of(original))
    with pytest.raises(KeeperUnavailableError, match="another account"):
        keeper_over(other, path).deliver()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT arn FROM there WHERE arn LIKE '%:999999999999:%'").fetchall() == []
    deliver(keeper_over(ours), events_of(original))
    keeper = keeper_over(ours, path)
    keeper.deliver()
    assert keeper.backlog() == (0, 0)
    assert not [arn for pair in ours.edges for arn in pair if not arn.startswith(ours.account)]


def test_credentials_that_name_their_account_are_refused_before_any_call(path: Path, other: Double) -> None:
    keeper_over(Double(), path).upsert([said("a")])

    def opened(number: Callable[[], str | None]) -> Any:
        return open_sagemaker(path, client=Client(lambda: other, account=number))

    with pytest.raises(KeeperUnavailableError, match="999999999999"):
        opened(lambda: "999999999999").upsert([said("b")])
    assert not other.calls
    ours = Double()
    keeper = open_sagemaker(path, client=Client(lambda: ours, account=lambda: "123456789012"))
    keeper.upsert([said("c"), said("d")])
    assert standing(ours) == {"b", "c", "d"}, "what was refused waited"
    with pytest.raises(KeeperUnavailableError, match="another account"):
        opened(lambda: None).upsert([said("e")])
    assert written(other) == 1


def test_boto3_says_the_account_of_credentials_that_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Client().account_number is None
    monkeypatch.setenv("AWS_ACCOUNT_ID", "123456789012")
    assert Client().account_number == "123456789012"


def test_of_a_stand_in_for_aws_the_account_of_the_credentials_says_nothing(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCOUNT_ID", "123456789012")
    assert Client().account_number is None
    keeper = open_sagemaker(new_cache())
    for name in "abc":
        keeper.upsert([said(name)])
    assert endpoint.calls["CreateArtifact"] == 3
