"""What somebody deleted over the endpoint stays deleted, whatever is delivered again, until something new is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.events import Event
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.model import Artifact
from lineage_flows.graph.project import project
from tests.endpoint.kit import Direct, refuses
from tests.graph.jobs import preparing, scoring, training
from tests.graph.kit import action_of, events_of, flow_id, graph_of, picture
from tests.graph.sagemaker.kit import identity, plain
from tests.support.records import FLOW_ID, backtest_record, replay_record

RECORD = backtest_record()
EVENTS = events_of(RECORD)
REPLAY = events_of(replay_record(RECORD))
LATER = events_of(backtest_record(flow_id(1)))
"""A later run that reads the same prices."""


@pytest.fixture
def call() -> Direct:
    return Direct()


def graph_behind(call: Direct, events: list[Event]) -> Keeper:
    keeper = open_embedded(call.store.path)
    project(events, keeper)
    return keeper


def delete(call: Direct, arn: str) -> None:
    """As a person does it: what it is associated with first."""
    for member in ("SourceArn", "DestinationArn"):
        while edges := call("ListAssociations", **{member: arn, "MaxResults": 100})["AssociationSummaries"]:
            for edge in edges:
                call("DeleteAssociation", SourceArn=edge["SourceArn"], DestinationArn=edge["DestinationArn"])
    kind = {"artifact": "Artifact", "action": "Action", "context": "Context"}[arn.split(":")[5].partition("/")[0]]
    if kind == "Artifact":
        call("DeleteArtifact", ArtifactArn=arn)
    else:
        call(f"Delete{kind}", **{f"{kind}Name": arn.rpartition("/")[2]})


def prices_of(keeper: Keeper) -> Artifact:
    (found,) = [one for one in keeper.list_artifacts(artifact_types=["DataSet"]) if "prices" in one.source_uri]
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_repetition_in_any_order_brings_back_what_was_deleted(data: Any) -> None:
    call = Direct()
    keeper = graph_behind(call, [*EVENTS, *REPLAY])
    whole = [entity.arn for entity in picture(keeper)[0]]
    for arn in data.draw(st.lists(st.sampled_from(whole), min_size=1, max_size=3, unique=True)):
        delete(call, arn)
    for edge in data.draw(st.lists(st.sampled_from(keeper.associations() or [None]), max_size=3)):
        if edge is not None and edge in keeper.associations():
            call("DeleteAssociation", SourceArn=edge.source_arn, DestinationArn=edge.destination_arn)
    left = plain(keeper)
    again = data.draw(st.lists(st.sampled_from([*EVENTS, *REPLAY]), max_size=12))
    for event in again:
        project([event], keeper)
    project([*again, *EVENTS, *REPLAY], keeper)
    assert plain(keeper) == left
    keeper.close()
    call.store.close()


def test_a_later_run_that_reads_it_makes_it_again_as_it_was_and_without_what_was_deleted(call: Direct) -> None:
    keeper = graph_behind(call, EVENTS)
    prices = prices_of(keeper)
    delete(call, prices.arn)
    assert keeper.get([prices.arn]) == {}
    project([*LATER, *EVENTS], keeper)
    assert prices_of(keeper) == prices
    both = plain(graph_of([*EVENTS, *LATER]))
    entities, edges = plain(keeper)
    assert entities == both[0]
    first = {action_of(keeper, step.run_id).name for step in RECORD.steps}
    missing = both[1] - edges
    assert missing, "what was deleted"
    assert {(kind, other[1] in first) for one, kind, other in missing} == {("ContributedTo", True)}
    assert {one for one, _, _ in missing} == {identity(prices)}
    assert edges <= both[1]


def test_what_comes_after_it_in_its_own_run_makes_an_action_again(call: Direct) -> None:
    first = [event for event in EVENTS if event.kind == "START"]
    keeper = graph_behind(call, first)
    run = action_of(keeper, FLOW_ID)
    delete(call, run.arn)
    project(first, keeper)
    assert keeper.list_actions(run_id=FLOW_ID) == []
    project(EVENTS, keeper)
    assert action_of(keeper, FLOW_ID).status == "Completed"
    assert action_of(keeper, FLOW_ID).properties == action_of(graph_of(EVENTS), FLOW_ID).properties


def test_a_run_that_a_later_one_names_is_there_again(call: Direct) -> None:
    """A replay, delivered after the run that it repeats was deleted, is associated with it."""
    keeper = graph_behind(call, EVENTS)
    run = action_of(keeper, FLOW_ID)
    delete(call, run.arn)
    project(REPLAY, keeper)
    project(EVENTS, keeper)
    assert action_of(keeper, FLOW_ID) == run
    assert [edge.association_type for edge in keeper.associations(destinations=[run.arn])] == ["DerivedFrom"]


def test_who_makes_it_again_by_hand_makes_another(call: Direct) -> None:
    keeper = graph_behind(call, EVENTS)
    before = prices_of(keeper)
    arn = before.arn
    delete(call, arn)
    with refuses("ResourceNotFound"):
        call("DescribeArtifact", ArtifactArn=arn)
    types = [{"SourceIdType": item.type, "Value": item.value} for item in before.source_types]
    source = {"SourceUri": before.source_uri, "SourceTypes": types}
    made = call("CreateArtifact", Source=source, ArtifactType="Mine", Properties={"mine": "1"})["ArtifactArn"]
    assert made == arn
    assert call("DescribeArtifact", ArtifactArn=arn)["Properties"] == {"mine": "1"}
    project(EVENTS, keeper)
    assert keeper.get([arn])[arn].properties == before.properties | {"mine": "1"}
    assert [edge for edge in keeper.associations() if arn in (edge.source_arn, edge.destination_arn)] == []


def test_a_join_with_what_a_job_reads_or_writes_that_was_deleted_stays_so(call: Direct) -> None:
    events = [event for record in (preparing(1), training(1), scoring(1, 1)) for event in events_of(record)]
    keeper = graph_behind(call, events)
    artifacts = {item.arn for item in keeper.list_artifacts()}
    joins = [edge for edge in keeper.associations() if {edge.source_arn, edge.destination_arn} <= artifacts]
    assert len(joins) == 2
    for edge in joins:
        call("DeleteAssociation", SourceArn=edge.source_arn, DestinationArn=edge.destination_arn)
    left = plain(keeper)
    project(events, keeper)
    assert plain(keeper) == left


def test_an_association_that_is_added_again_by_hand_is_there(call: Direct) -> None:
    keeper = graph_behind(call, EVENTS)
    edge = keeper.associations()[0]
    ends = {"SourceArn": edge.source_arn, "DestinationArn": edge.destination_arn}
    call("DeleteAssociation", **ends)
    project(EVENTS, keeper)
    assert keeper.associations(sources=[edge.source_arn], destinations=[edge.destination_arn]) == []
    call("AddAssociation", **ends, AssociationType=edge.association_type)
    project(EVENTS, keeper)
    (found,) = keeper.associations(sources=[edge.source_arn], destinations=[edge.destination_arn])
    assert found.association_type == edge.association_type


def test_what_only_a_person_had_said_an_event_may_say_for_the_first_time(call: Direct) -> None:
    prices, run = prices_of(graph_of(EVENTS)), action_of(graph_of(EVENTS), FLOW_ID)
    types = [{"SourceIdType": item.type, "Value": item.value} for item in prices.source_types]
    call("CreateArtifact", Source={"SourceUri": prices.source_uri, "SourceTypes": types}, ArtifactType="Mine",
         Properties={"mine": "1"})  # fmt: skip
    call("CreateAction", ActionName=run.name, Source={"SourceUri": run.source_uri}, ActionType="Mine")
    call("AddAssociation", SourceArn=prices.arn, DestinationArn=run.arn, AssociationType="ContributedTo")
    delete(call, prices.arn)
    delete(call, run.arn)
    keeper = graph_behind(call, EVENTS)
    assert plain(keeper) == plain(graph_of(EVENTS))


def test_a_graph_in_which_nothing_was_deleted_has_no_table_of_it(call: Direct) -> None:
    keeper = graph_behind(call, EVENTS)
    with call.store.reading() as snapshot:
        tables = {name for (name,) in snapshot.connection.execute("SELECT name FROM sqlite_schema")}
    assert "deletion" not in tables
    keeper.close()
