"""What is called, in which order, and what becomes of it when calls fail."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.errors import GraphError, KeeperUnavailableError, SageMakerError
from lineage_flows.graph.identity import artifact_arn, fit_text
from lineage_flows.graph.keeper import PROPERTY, Claim
from lineage_flows.graph.project import project
from lineage_flows.graph.sagemaker import quotas, writing
from lineage_flows.graph.sagemaker.client import WORKERS
from tests.graph.kit import events_of, flow_id, graph_of
from tests.graph.sagemaker.double import Double, refusal
from tests.graph.sagemaker.kit import deliver, keeper_over, new_cache, plain
from tests.graph.stories import stories
from tests.support.records import FLOW_ID, backtest_record, replay_record


@given(record=stories(), size=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_the_same_graph_as_the_embedded_one(record: Any, size: int) -> None:
    double = Double()
    keeper = keeper_over(double)
    deliver(keeper, events_of(record), size)
    assert plain(keeper) == plain(graph_of(events_of(record)))
    assert keeper.backlog() == (0, 0)
    assert keeper.parked() == []


def test_a_run_costs_its_new_things_and_nothing_known_is_asked_for() -> None:
    double = Double()
    keeper = keeper_over(double)
    record = backtest_record()
    for event in events_of(record):
        deliver(keeper, [event])
    entities, edges = plain(graph_of(events_of(record)))
    assert double.calls["AddAssociation"] == len(edges)
    assert sum(double.calls[f"Create{kind}"] for kind in ("Artifact", "Action", "Context")) == len(entities)
    actions = sum(identity[0] == "Action" for identity in entities)
    assert double.calls["UpdateAction"] <= actions
    assert not [name for name in double.calls if name.startswith(("List", "Describe"))]

    double.calls.clear()
    second = backtest_record(flow_id(99))
    deliver(keeper, events_of(second))
    both = plain(graph_of([*events_of(record), *events_of(second)]))
    assert double.calls == {
        "CreateAction": _new(both[0], entities, "Action"),
        "CreateArtifact": _new(both[0], entities, "Artifact"),
        "AddAssociation": len(both[1]) - len(edges),
    }, "a run of one batch has its end already when it is created, and its flow, code and data are there"

    double.calls.clear()
    deliver(keeper, [*events_of(record), *events_of(second)])
    assert not double.calls


def test_nothing_is_said_of_a_thing_before_it_stands_and_all_of_it_is_tagged() -> None:
    double = Double()
    keeper = keeper_over(double, tags={"managed-by": "lineage-flows", "team": "quant"})
    deliver(keeper, events_of(backtest_record()))
    wanted = [{"Key": "managed-by", "Value": "lineage-flows"}, {"Key": "team", "Value": "quant"}]
    assert all(tags == wanted for tags in double.tags.values())
    assert set(double.tags) == set(double.entities)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("error", ["timeout", "killed"])
def test_whatever_call_fails_before_or_after_it_was_done_the_graph_ends_the_same(place: str, error: str) -> None:
    """Each call fails once: with a time-out, or with the process, so that the next one begins with what is on disk."""
    double = Double()
    path = new_cache()
    keeper = keeper_over(double, path)
    events = events_of(backtest_record())
    failed: set[str] = set()

    def once(operation: str, given_: dict[str, Any]) -> None:
        key = f"{operation} {given_}"
        if key not in failed and not operation.startswith(("List", "Describe")):
            failed.add(key)
            if error == "timeout":
                raise refusal("InternalFailure", status=500)
            raise KeyboardInterrupt

    setattr(double, place, once)
    for _ in range(2000):
        try:
            deliver(keeper, events)
        except GraphError:
            continue
        except KeyboardInterrupt:
            keeper.close()
            keeper = keeper_over(double, path)
            continue
        break
    assert failed
    assert plain(keeper) == plain(graph_of(events))
    assert keeper.backlog() == (0, 0)


@given(seed=st.integers(0, 10_000), record=stories())
@settings(max_examples=15, deadline=None)
def test_under_any_faults_nothing_is_lost_or_doubled(seed: int, record: Any) -> None:
    double = Double()
    chance = random.Random(seed)
    path = new_cache()
    faults = [
        refusal("ThrottlingException", "Rate exceeded"),
        refusal("InternalFailure", status=500),
        refusal("ServiceUnavailable", status=503),
        refusal("ConflictException", "being modified"),
    ]

    def before(operation: str, given_: dict[str, Any]) -> None:
        if chance.random() < 0.15 and not (operation.startswith(("List", "Describe", "Create"))):
            raise chance.choice(faults)
        if chance.random() < 0.15:
            raise chance.choice(faults[:3])

    def after(operation: str, given_: dict[str, Any]) -> None:
        if chance.random() < 0.1:
            raise faults[1]

    double.before, double.after = before, after
    events = events_of(record)
    size = chance.randint(1, len(events))
    for begin in range(0, len(events), size):
        batch = events[begin : begin + size]
        for _ in range(1000):
            keeper = keeper_over(double, path)
            try:
                deliver(keeper, batch)
                break
            except GraphError:
                continue
            finally:
                keeper.close()
    double.before = double.after = lambda operation, given_: None
    keeper = keeper_over(double, path)
    keeper.deliver()
    assert plain(keeper) == plain(graph_of(events))
    assert keeper.parked() == []


def test_what_exists_already_is_adopted_by_its_exact_source_and_brought_up_to_date() -> None:
    double = Double()
    events = events_of(backtest_record())
    deliver(keeper_over(double), events)
    prices = next(item for item in double.entities.values() if item["Source"]["SourceUri"].endswith("prices.parquet"))
    prices["Properties"] = {"note": "by hand"}
    other = {**prices["Source"], "SourceTypes": [{"SourceIdType": "Custom", "Value": "another version"}]}
    double.create_artifact(Source=other, ArtifactType="DataSet")
    double.calls.clear()
    another_home = keeper_over(double)
    deliver(another_home, events)
    assert another_home.backlog() == (0, 0)
    assert prices["Properties"]["note"] == "by hand", "what somebody else said of data stays"
    assert set(prices["Properties"]) > {"note", "name"}
    assert double.calls["UpdateArtifact"] == 1, "what stands as it should is not written again"
    assert double.calls["UpdateAction"] == 0


def test_what_somebody_else_made_and_we_may_not_change_is_associated_with_all_the_same() -> None:
    double = Double()
    record = backtest_record()
    whole = plain(graph_of(events_of(record)))
    deliver(keeper_over(double), events_of(record))
    theirs = [arn for arn, item in double.entities.items() if item["kind"] == "Artifact"]
    for arn in list(double.entities):
        double.entities[arn]["Properties"] = {"note": "theirs"}
        if arn not in theirs:
            double.vanish(arn)

    def before(operation: str, given_: dict[str, Any]) -> None:
        if operation == "UpdateArtifact":
            raise refusal("AccessDeniedException", "not authorized to perform: sagemaker:UpdateArtifact")

    double.before = before
    keeper = keeper_over(double)
    for event in events_of(record):
        deliver(keeper, [event])
    assert plain(keeper)[1] == whole[1]
    assert len(keeper.parked()) == len(theirs)
    assert "role `writer`" in keeper.parked()[0].reason
    double.before = lambda operation, given_: None
    keeper.deliver()
    assert keeper.parked() == []
    found = plain(keeper)[0]
    for key, entity in whole[0].items():
        assert entity["properties"].items() <= found[key]["properties"].items()


def test_an_adoption_is_patient_with_lists_that_lag_and_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_LAGS", (0.0, 0.0))
    double = Double()
    events = events_of(backtest_record())
    deliver(keeper_over(double), events)
    double.hidden = {arn for arn, item in double.entities.items() if item["kind"] == "Artifact"}
    keeper = keeper_over(double)
    with pytest.raises(SageMakerError, match="is not found"):
        deliver(keeper, events)
    assert keeper.parked() == []
    double.hidden = set()
    deliver(keeper, events)
    assert keeper.backlog() == (0, 0)
    assert plain(keeper) == plain(graph_of(events))


def test_what_was_deleted_there_is_made_anew_with_all_that_hung_on_it() -> None:
    double = Double()
    keeper = keeper_over(double)
    first, second = backtest_record(), backtest_record(flow_id(99))
    deliver(keeper, events_of(first))
    shared = [
        arn
        for arn, item in double.entities.items()
        if item["kind"] == "Context" or "prices.parquet" in str(item["Source"])
    ]
    for arn in shared:
        double.vanish(arn)
    deliver(keeper, events_of(second))
    assert plain(keeper) == plain(graph_of([*events_of(first), *events_of(second)]))


def test_poison_is_put_aside_with_its_reason_and_holds_back_nothing_else() -> None:
    double = Double()

    def before(operation: str, given_: dict[str, Any]) -> None:
        if operation == "CreateArtifact" and given_["ArtifactType"] == "Model":
            raise refusal("ValidationException", "1 validation error detected: no models on Mondays")

    double.before = before
    keeper = keeper_over(double)
    record = backtest_record()
    deliver(keeper, events_of(record))
    (parked,) = keeper.parked()
    assert "no models on Mondays" in parked.reason
    entities, _ = plain(keeper)
    whole = plain(graph_of(events_of(record)))
    assert len(whole[0]) - len(entities) == 1
    assert keeper.backlog()[0] == 0
    double.calls.clear()
    deliver(keeper, events_of(record))
    assert not double.calls, "what was put aside is not tried again by every delivery"
    double.before = lambda operation, given_: None
    keeper.deliver()
    assert plain(keeper) == whole
    assert keeper.parked() == []


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("AccessDeniedException", "role `writer`"),
        ("ExpiredTokenException", "renew"),
        ("UnknownOperationException", "AWS_ENDPOINT_URL_SAGEMAKER"),
        ("ThrottlingException", "later"),
    ],
)
def test_an_outage_keeps_everything_and_costs_few_calls(code: str, says: str) -> None:
    double = Double()

    def before(operation: str, given_: dict[str, Any]) -> None:
        raise refusal(code, "no")

    double.before = before
    keeper = keeper_over(double)
    events = events_of(backtest_record())
    for _ in range(12):
        with pytest.raises(SageMakerError, match=says):
            deliver(keeper, events)
    assert keeper.parked() == []
    tries = 5 if says == "later" else 1  # of one call, where the next may pass
    assert sum(double.calls.values()) <= 12 * 16 * tries
    double.before = lambda operation, given_: None
    deliver(keeper, events)
    assert plain(keeper) == plain(graph_of(events))


def test_a_full_kind_holds_back_no_other(caplog: pytest.LogCaptureFixture) -> None:
    double = Double()

    def before(operation: str, given_: dict[str, Any]) -> None:
        if operation == "CreateArtifact":
            raise refusal("ResourceLimitExceeded", "6000")

    double.before = before
    keeper = keeper_over(double)
    events = events_of(backtest_record())
    with caplog.at_level("WARNING"):
        deliver(
            keeper, events
        )  # what is merged is due, on disk: the events are taken, and those of other runs after them
    assert "SAGEMAKER_DETAIL" in caplog.text
    assert {item["kind"] for item in double.entities.values()} == {"Action", "Context"}
    assert double.edges
    assert keeper.backlog()[0] > 0
    assert keeper.parked() == []
    double.before = lambda operation, given_: None
    keeper.deliver()  # as a person does who has had the quota raised
    assert plain(keeper) == plain(graph_of(events))


@pytest.mark.parametrize("full", ["AddAssociation", "CreateAction"])
def test_a_quota_that_was_reached_is_left_in_peace_for_a_while(
    full: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = Double()
    refused = []

    def before(operation: str, given_: dict[str, Any]) -> None:
        if operation == full:
            refused.append(operation)
            raise refusal("ResourceLimitExceeded", "The account-level service limit is reached")

    double.before = before
    keeper = keeper_over(double)
    runs = [events_of(backtest_record(f"{number:08x}-7a10-7c3e-9d1a-5b6f0a4c0000")) for number in range(1, 6)]
    with caplog.at_level("WARNING"):
        for events in runs:
            for event in events:
                project([event], keeper)
    assert 1 <= len(refused) <= WORKERS, "not once more for each event that comes"
    assert len(caplog.records) == 1
    undone, _ = keeper.backlog()
    assert undone > 0
    later = time.time() + 3600
    monkeypatch.setattr("lineage_flows.graph.sagemaker.push.time.time", lambda: later)
    project(events_of(backtest_record("000000ff-7a10-7c3e-9d1a-5b6f0a4c0000")), keeper)
    assert len(refused) <= 2 * WORKERS, "it is looked at again, and is full still"
    double.before = lambda operation, given_: None
    keeper.deliver()
    assert keeper.backlog() == (0, 0)
    every = [event for events in runs for event in events]
    assert plain(keeper) == plain(
        graph_of([*every, *events_of(backtest_record("000000ff-7a10-7c3e-9d1a-5b6f0a4c0000"))])
    )


def test_what_a_firewall_refuses_holds_back_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    double = Double()

    def before(operation: str, given_: dict[str, Any]) -> None:
        if operation == "CreateArtifact" and given_["ArtifactType"] == "Model":
            raise refusal("403", "<html>Forbidden by policy</html>", status=403)

    double.before = before
    keeper = keeper_over(double)
    first, second = events_of(backtest_record()), events_of(backtest_record(flow_id(99)))
    with caplog.at_level("WARNING"):
        deliver(keeper, first)
        deliver(keeper, second)
    assert "proxy" in caplog.text
    entities, _ = plain(keeper)
    assert len(plain(graph_of([*first, *second]))[0]) - len(entities) == 2  # the two models
    assert keeper.backlog()[0] >= 2 - len(keeper.parked())
    double.before = lambda operation, given_: None
    keeper.deliver()
    assert plain(keeper) == plain(graph_of([*first, *second]))


def test_a_way_that_is_closed_parks_nothing() -> None:
    double = Double()

    def before(operation: str, given_: dict[str, Any]) -> None:
        raise refusal("403", "<html>Forbidden</html>", status=403)

    double.before = before
    keeper = keeper_over(double)
    for _ in range(12):
        with pytest.raises(SageMakerError):
            deliver(keeper, events_of(backtest_record()))
    assert keeper.parked() == []


def test_several_associations_with_one_thing_that_was_deleted_there_make_it_anew_at_once() -> None:
    double = Double()
    keeper = keeper_over(double)
    deliver(keeper, events_of(backtest_record()))
    (prices,) = [arn for arn, item in double.entities.items() if "prices.parquet" in str(item["Source"])]
    double.vanish(prices)
    later = [event for number in (98, 99) for event in events_of(backtest_record(flow_id(number)))]
    deliver(keeper, later)  # does not raise
    assert plain(keeper) == plain(graph_of([*events_of(backtest_record()), *later]))


def test_an_association_with_a_run_of_another_machine_waits_for_it_and_costs_little() -> None:
    double = Double()
    here, there = keeper_over(double), keeper_over(double)
    original = backtest_record()
    replay = replay_record(original)
    deliver(here, events_of(replay))
    assert here.backlog()[1] > 0
    lists = double.calls["ListActions"]
    deliver(here, events_of(replay))
    assert double.calls["ListActions"] == lists, "it is not looked for again by every delivery"
    deliver(there, events_of(original))
    here.deliver()
    derived = {(source, destination) for (source, destination), kind in double.edges.items() if kind == "DerivedFrom"}
    assert len(derived) == 1
    assert here.backlog() == (0, 0)


def test_at_the_detail_runs_what_steps_touched_outside_is_the_runs_own() -> None:
    double = Double()
    keeper = keeper_over(double, detail="runs")
    record = backtest_record()
    deliver(keeper, events_of(record))
    entities, edges = plain(keeper)
    assert {key[0] for key in entities} == {"Artifact", "Action", "Context"}
    assert [key for key in entities if key[0] == "Action"] == [key for key in entities if FLOW_ID in key[-1]]
    assert all(FLOW_ID in str(edge) for edge in edges)
    prices = [edge for edge in edges if "prices.parquet" in str(edge[0])]
    assert [edge[1] for edge in prices] == ["ContributedTo"]
    assert {entity["artifact_type"] for key, entity in entities.items() if key[0] == "Artifact"} >= {
        "Model",
        "SourceTree",
    }
    assert keeper.backlog() == (0, 0)
    calls = sum(double.calls.values())
    deliver(keeper, events_of(record))
    assert sum(double.calls.values()) == calls


def test_near_a_quota_it_warns_and_falls_back_to_runs_when_set(caplog: pytest.LogCaptureFixture) -> None:
    quotas._warned.clear()
    double = Double()
    keeper = keeper_over(double, fall_back=True, quotas={"actions": 6})
    deliver(keeper, events_of(backtest_record()))
    before = len([item for item in double.entities.values() if item["kind"] == "Action"])
    deliver(keeper, events_of(backtest_record(flow_id(99))))
    assert "quota of the account is 6" in caplog.text
    assert len([item for item in double.entities.values() if item["kind"] == "Action"]) == before + 1


def test_the_cache_of_another_region_or_account_is_not_used() -> None:
    path = new_cache()
    keeper = keeper_over(Double(), path)
    deliver(keeper, events_of(backtest_record()))
    keeper.close()
    with pytest.raises(KeeperUnavailableError, match="another region"):
        keeper_over(Double("us-east-1"), path)


def _new(whole: Any, before: Any, kind: str) -> int:
    return sum(key[0] == kind for key in whole) - sum(key[0] == kind for key in before)


def test_two_homes_that_say_different_things_of_one_data_set_keep_both() -> None:
    double = Double()
    here, there = keeper_over(double), keeper_over(double)
    time = "2026-11-20T00:00:00.000000Z"

    def said(stamp: str, **properties: str) -> Claim:
        facts = {"type": "DataSet", "name": "a-1"} | {f"{PROPERTY}{name}": value for name, value in properties.items()}
        return Claim("Artifact", artifact_arn("s3://b/x", ()), None, "s3://b/x", (), None, stamp, time, facts)

    here.upsert([said("1", a="1", gone="1")])
    there.upsert([said("1", b="2")])
    here.upsert([said("2", a="1", c="3"), Claim(**{**vars_of(said("2")), "facts": {f"{PROPERTY}gone": None}})])
    (artifact,) = here.list_artifacts()
    assert artifact.properties == {"a": "1", "b": "2", "c": "3"}


def test_of_two_homes_whose_values_were_cut_short_each_says_where_the_rest_of_its_own_is() -> None:
    double = Double()
    here, there = keeper_over(double), keeper_over(double)
    time = "2026-11-20T00:00:00.000000Z"

    def said(stamp: str, name: str) -> Claim:
        facts = {"type": "DataSet", f"{PROPERTY}{name}": fit_text(f"{stamp} " * 5000)}
        return Claim("Artifact", artifact_arn("s3://b/x", ()), None, "s3://b/x", (), None, stamp, time, facts)

    here.upsert([said("1", "mine")])
    there.upsert([said("1", "theirs")])
    for stamp in "23":
        here.upsert([said(stamp, "mine")])
        there.upsert([said(stamp, "theirs")])
    properties = double.named("s3://b/x")["Properties"]
    assert {"mine", "theirs"} < properties.keys()
    for name in ("mine", "theirs"):
        assert properties["lineage-flows.whole"].count(f"leaves out of {name} stands in") == 1


def vars_of(claim: Claim) -> dict[str, Any]:
    return {name: getattr(claim, name) for name in Claim.__slots__}
