"""What flows recorded over the API, and what was written over the API beside what flows record: nothing of either is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.cli import main
from lineage_flows.endpoint.backend import Quotas
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.keeper import PROPERTY, Claim, Link, run_handle
from lineage_flows.graph.project import project
from lineage_flows.graph.query import downstream, upstream
from lineage_flows.graph.reference import resolve
from tests.endpoint.kit import Direct, client, create, describe, pages, refuses
from tests.graph.kit import events_of
from tests.support.records import backtest_record

RECORD = backtest_record()
EVENTS = events_of(RECORD)


@pytest.fixture
def graph(fast_home):
    """The graph the endpoint serves, as a courier writes it."""
    keeper = open_embedded(fast_home / "graph.db")
    yield keeper
    keeper.close()


@pytest.fixture
def recorded(graph):
    """The same with a run in it."""
    project(EVENTS, graph)
    return graph


def everything(sagemaker, kind):
    return [
        item for page in pages(sagemaker, f"list_{kind.lower()}s", MaxResults=100) for item in page[f"{kind}Summaries"]
    ]


def test_what_flows_recorded_is_there_with_its_arns(recorded, sagemaker):
    for kind, entities in (
        ("Artifact", recorded.list_artifacts()),
        ("Action", recorded.list_actions()),
        ("Context", recorded.list_contexts()),
    ):
        assert [item[f"{kind}Arn"] for item in everything(sagemaker, kind)] == sorted(
            (entity.arn for entity in entities),
            key={entity.arn: (entity.created_at, entity.arn) for entity in entities}.__getitem__,
            reverse=True,
        )
        for entity in entities:
            found = describe(sagemaker, kind, entity.arn)
            assert found["Properties"] == entity.properties
            assert found[f"{kind}Type"] == entity.type
            assert found["Source"]["SourceUri"] == entity.source_uri
    edges = [
        (edge["SourceArn"], edge["DestinationArn"], edge["AssociationType"])
        for page in pages(sagemaker, "list_associations", MaxResults=100)
        for edge in page["AssociationSummaries"]
    ]
    assert sorted(edges) == [
        (edge.source_arn, edge.destination_arn, edge.association_type) for edge in recorded.associations()
    ]
    assert len(edges) > 10


def test_what_is_recorded_while_the_endpoint_runs_shows_at_once(graph, sagemaker):
    assert everything(sagemaker, "Action") == []
    project(EVENTS, graph)
    assert len(everything(sagemaker, "Action")) == 1 + len(RECORD.steps)


def test_what_the_api_makes_is_walked_and_found_like_what_flows_recorded(recorded, sagemaker):
    (figure, *_) = [item for item in recorded.list_artifacts() if item.type in {"Figure", "Metrics", "Model"}]
    report = create(sagemaker, "Artifact", "report", ArtifactType="Report", Properties={"name": "the quarterly"})
    approval = create(sagemaker, "Action", "approval", ActionType="Approval")
    sagemaker.add_association(SourceArn=figure.arn, DestinationArn=approval, AssociationType="ContributedTo")
    sagemaker.add_association(SourceArn=approval, DestinationArn=report, AssociationType="Produced")
    met = {node.entity.arn for node in upstream(recorded, report).nodes}
    assert {approval, figure.arn} <= met
    assert {node.entity.arn for node in upstream(recorded, figure.arn).nodes} <= met
    assert [found.arn for found in recorded.search("quarterly")] == [report]
    assert [found.arn for found in resolve(recorded, "s3://desk/report")] == [report]


def test_what_leads_to_itself_ends_a_walk(recorded, sagemaker):
    loop = create(sagemaker, "Artifact", "loop")
    job = create(sagemaker, "Action", "job")
    sagemaker.add_association(SourceArn=loop, DestinationArn=loop, AssociationType="ContributedTo")
    sagemaker.add_association(SourceArn=job, DestinationArn=job)
    sagemaker.add_association(SourceArn=job, DestinationArn=loop, AssociationType="Produced")
    assert {node.entity.arn for node in upstream(recorded, loop).nodes} >= {job}


def test_the_command_line_sees_it(recorded, sagemaker, fast_home, capfd):
    source, made = create(sagemaker, "Artifact", "source"), create(sagemaker, "Artifact", "made")
    job = create(sagemaker, "Action", "job")
    sagemaker.add_association(SourceArn=source, DestinationArn=job, AssociationType="ContributedTo")
    sagemaker.add_association(SourceArn=job, DestinationArn=made, AssociationType="Produced")
    assert main(["--home", str(fast_home), "upstream", made, "--json"]) == 0
    out = capfd.readouterr().out
    json.loads(out)
    assert source in out
    assert job in out


def test_an_update_of_what_was_recorded_holds_against_events_that_are_delivered_again(recorded, sagemaker):
    (run,) = recorded.list_actions(run_id=RECORD.flow.run_id)
    (model,) = [item for item in recorded.list_artifacts() if item.type == "Model"][:1]
    sagemaker.update_action(
        ActionName=run.name, Status="Failed", Description="withdrawn", Properties={"reason": "wrong prices"}
    )
    sagemaker.update_artifact(ArtifactArn=model.arn, ArtifactName="withdrawn", PropertiesToRemove=["blob"])
    before = describe(sagemaker, "Action", run.arn), describe(sagemaker, "Artifact", model.arn)
    assert before[0]["Properties"] == {"reason": "wrong prices"}
    assert "blob" not in before[1]["Properties"]
    for event in EVENTS:
        project([event], recorded)
    project(EVENTS, recorded)
    after = describe(sagemaker, "Action", run.arn), describe(sagemaker, "Artifact", model.arn)
    for key in ("Status", "Description", "Properties", "CreationTime"):
        assert after[0][key] == before[0][key]
    assert after[1]["ArtifactName"] == "withdrawn"
    assert after[1]["Properties"] == before[1]["Properties"]
    assert after[1]["LastModifiedTime"] == before[1]["LastModifiedTime"]


def test_events_that_come_later_are_not_lost_to_an_update(graph, sagemaker):
    first = [event for event in EVENTS if event.kind == "START"]
    project(first, graph)
    (run,) = graph.list_actions(run_id=RECORD.flow.run_id)
    sagemaker.update_action(ActionName=run.name, Status="Stopping", Properties={"mine": "1"})
    assert describe(sagemaker, "Action", run.arn)["Status"] == "Stopping"
    project(EVENTS, graph)
    found = describe(sagemaker, "Action", run.arn)
    assert found["Status"] == "Completed"
    assert found["Properties"]["state"] == "Completed"
    assert found["Properties"]["mine"] == "1"


@pytest.mark.parametrize("first", ["api", "events"])
def test_an_action_of_a_run_is_one_action_whoever_comes_first(graph, sagemaker, first):
    """As the SageMaker keeper makes it: called after the run."""
    scratch = Direct()
    project(EVENTS, keeper := open_embedded(scratch.store.path))
    (run,) = keeper.list_actions(run_id=RECORD.flow.run_id)
    if first == "events":
        project(EVENTS, graph)
        with refuses("ValidationException", "already exists"):
            create(sagemaker, "Action", run.name)
    else:
        assert create(sagemaker, "Action", run.name, Properties={"mine": "1"}) == run.arn
        assert [found.arn for found in graph.list_actions(run_id=RECORD.flow.run_id)] == [run.arn]
        project(EVENTS, graph)
        assert describe(sagemaker, "Action", run.arn)["Properties"]["mine"] == "1"
    (found,) = graph.list_actions(run_id=RECORD.flow.run_id)
    assert (found.arn, found.status, found.type) == (run.arn, run.status, run.type)
    keeper.close()
    scratch.store.close()


def test_an_artifact_is_one_artifact_whoever_comes_first(graph, sagemaker):
    scratch = Direct()
    project(EVENTS, keeper := open_embedded(scratch.store.path))
    for artifact in keeper.list_artifacts():
        types = [{"SourceIdType": item.type, "Value": item.value} for item in artifact.source_types]
        source = {"SourceUri": artifact.source_uri, **({"SourceTypes": types} if types else {})}
        made = sagemaker.create_artifact(Source=source, ArtifactType="Thing", Properties={"mine": "1"})
        assert made["ArtifactArn"] == artifact.arn
    project(EVENTS, graph)
    for artifact in keeper.list_artifacts():
        found = describe(sagemaker, "Artifact", artifact.arn)
        assert found["ArtifactType"] == artifact.type
        assert found["Properties"] == artifact.properties | {"mine": "1"}
    assert len(graph.list_artifacts()) == len(keeper.list_artifacts())
    assert graph.associations() == keeper.associations()
    keeper.close()
    scratch.store.close()


def test_an_action_with_a_name_that_ends_like_a_run_that_another_stands_for(recorded, sagemaker):
    other = create(sagemaker, "Action", f"other-{RECORD.flow.run_id}")
    sagemaker.update_action(ActionName=f"other-{RECORD.flow.run_id}", Properties={"a": "1"})
    project(EVENTS, recorded)
    (run,) = recorded.list_actions(run_id=RECORD.flow.run_id)
    assert run.arn != other
    assert describe(sagemaker, "Action", other)["Properties"] == {"a": "1"}


def test_events_find_the_action_of_their_run_after_another_of_it_was_deleted(graph, sagemaker):
    """There is one action for a run. Were the one that is left not it, events could make no other of its name, nor be delivered."""
    run_id, named = RECORD.flow.run_id, RECORD.flow.flow_name
    first, second = create(sagemaker, "Action", f"first-{run_id}"), create(sagemaker, "Action", f"{named}-{run_id}")
    sagemaker.delete_action(ActionName=f"first-{run_id}")
    project(EVENTS, graph)
    assert [found.arn for found in graph.list_actions(run_id=run_id)] == [second]
    assert describe(sagemaker, "Action", second)["Status"] == "Completed"
    with refuses("ResourceNotFound"):
        describe(sagemaker, "Action", first)


def test_an_action_that_a_flow_waits_for_is_the_one_that_is_made(graph, sagemaker):
    """An event may link to a run that nobody knows yet."""
    run_id = str(uuid.UUID(int=7))
    project(EVENTS, graph)
    (known,) = graph.list_actions(run_id=RECORD.flow.run_id)
    graph.upsert([], [Link(run_handle(RECORD.flow.run_id), run_handle(run_id), "AssociatedWith", known.created_at)])
    before = len(graph.associations())
    made = create(sagemaker, "Action", f"parent-{run_id}")
    assert len(graph.associations()) == before + 1
    with refuses("ValidationException", "associations"):
        sagemaker.delete_action(ActionName=f"parent-{run_id}")
    sagemaker.delete_association(SourceArn=known.arn, DestinationArn=made)
    sagemaker.delete_action(ActionName=f"parent-{run_id}")


def test_edges_that_do_not_show_yet_go_with_a_deletion_and_to_nobody_else(graph, sagemaker):
    lonely, parent = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
    create(sagemaker, "Action", f"lonely-{lonely}")
    graph.upsert([], [Link(run_handle(lonely), run_handle(parent), "AssociatedWith", "2026-01-01T00:00:00.000000Z")])
    sagemaker.delete_action(ActionName=f"lonely-{lonely}")
    create(sagemaker, "Action", "newcomer")
    create(sagemaker, "Action", f"parent-{parent}")
    assert sagemaker.list_associations()["AssociationSummaries"] == []


def test_what_flows_recorded_does_not_count_unless_told(fast_home, recorded, start):
    actions = len(recorded.list_actions())
    sagemaker = client(start(quotas=Quotas(actions=1)).url)
    create(sagemaker, "Action", "a")
    with refuses("ResourceLimitExceeded"):
        create(sagemaker, "Action", "b")
    whole = client(start(quotas=Quotas(actions=actions + 2, count_recorded=True)).url)
    create(whole, "Action", "b")
    with refuses("ResourceLimitExceeded"):
        create(whole, "Action", "c")


def test_events_are_not_refused_because_somebody_filled_an_entity_up(graph, sagemaker):
    project([event for event in EVENTS if event.kind == "START"], graph)
    (run,) = graph.list_actions(run_id=RECORD.flow.run_id)
    mine = {f"mine{number:02d}": "x" for number in range(30)}
    sagemaker.update_action(ActionName=run.name, Properties=mine)
    project(EVENTS, graph)
    found = describe(sagemaker, "Action", run.arn)
    assert len(found["Properties"]) == 30
    assert found["Properties"]["state"] == "Completed"
    assert found["Status"] == "Completed"
    shown = {key for key in found["Properties"] if key in mine}
    assert shown == set(sorted(mine)[: len(shown)])
    assert shown


RUN = str(uuid.UUID(int=42))
stamps = st.tuples(st.integers(1, 2), st.sampled_from([1, 2, 3]), st.integers(0, 3))
facts = st.dictionaries(st.sampled_from(["status", f"{PROPERTY}a", f"{PROPERTY}b"]), st.sampled_from(["1", "2"]))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    claims=st.lists(st.tuples(stamps, facts), min_size=1, max_size=5),
    update=st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["api", "other"])),
    at=st.integers(0, 5),
    again=st.lists(st.integers(0, 4), max_size=6),
)
def test_an_update_ranks_above_all_that_was_seen_and_below_all_that_is_later(claims, update, at, again):
    call = Direct()
    keeper = open_embedded(call.store.path)
    name = f"run-{RUN}"
    arn = f"arn:aws:sagemaker:local:000000000000:action/{name}"

    def deliver(which):
        (attempt, phase, second), said = claims[which]
        moment = f"2026-01-01T00:00:0{second}.000000Z"
        stamp = f"{attempt:04d}.{phase}.{moment}"
        whole = {"type": "FlowRun", **{key: {"1": "Failed", "2": "Stopped"}[value] if key == "status" else value
                                       for key, value in said.items()}}  # fmt: skip
        keeper.upsert([Claim("Action", arn, name, "u", (), run_handle(RUN), stamp, moment, whole)])
        return stamp

    create_first = call("CreateAction", ActionName=name, ActionType="T", Source={"SourceUri": "u"})["ActionArn"]
    assert create_first == arn
    seen = {which: deliver(which) for which in range(min(at, len(claims)))}
    held = call("DescribeAction", ActionName=name)["Properties"]
    call("UpdateAction", ActionName=name, Properties=update)
    assert call("DescribeAction", ActionName=name)["Properties"] == update
    for which in again:  # in any order, again and again: what was seen changes nothing
        if which in seen:
            deliver(which)
            assert call("DescribeAction", ActionName=name)["Properties"] == update, (held, update)
    newest = max(seen.values(), default="")
    for which in range(at, len(claims)):
        stamp = deliver(which)
        if stamp > newest:
            found = call("DescribeAction", ActionName=name)["Properties"]
            later = {
                key.removeprefix(PROPERTY): value for key, value in claims[which][1].items() if key.startswith(PROPERTY)
            }
            assert found.items() >= later.items() or any(
                f"{claims[other][0]}" > f"{claims[which][0]}" or claims[other][0] == claims[which][0]
                for other in range(len(claims))
                if other != which
            )
    keeper.close()
    call.store.close()


def test_many_processes_may_write_at_once(fast_home, start):
    """Couriers and endpoints over one file."""
    first, second = client(start().url), client(start().url)
    script = (
        "import sys\n"
        "from lineage_flows.graph.embedded import open_embedded\n"
        "from lineage_flows.graph.project import project\n"
        "from tests.graph.kit import events_of\n"
        "from tests.support.records import backtest_record\n"
        "keeper = open_embedded(sys.argv[1])\n"
        "for number in range(8):\n"
        "    for event in events_of(backtest_record(f'01935c4e-7a10-7c3e-9d1a-5b6f0a4c1e{number}0')):\n"
        "        project([event], keeper)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(fast_home / "graph.db")]) as courier:
        made = []
        for number in range(200):
            made.append(create((first, second)[number % 2], "Context", f"c{number}"))
            sagemaker = (second, first)[number % 2]
            sagemaker.update_context(ContextName=f"c{number}", Properties={"n": str(number)})
    assert courier.returncode == 0
    assert {item["ContextArn"] for item in everything(first, "Context")} >= set(made)
    for number, arn in enumerate(made):
        assert describe(second, "Context", arn)["Properties"] == {"n": str(number)}
    assert len([item for item in everything(first, "Action") if item["ActionType"] == "FlowRun"]) == 8


def test_artifacts_that_are_joined_directly_are_walked_both_ways(recorded, sagemaker):
    """SageMaker restricts nothing: an association may lead from one artifact to another."""
    (model,) = [item for item in recorded.list_artifacts() if item.type == "Model"][:1]
    report, copy = create(sagemaker, "Artifact", "report"), create(sagemaker, "Artifact", "copy")
    for source, destination in ((model.arn, report), (report, copy)):
        sagemaker.add_association(SourceArn=source, DestinationArn=destination, AssociationType="ContributedTo")
    above = {node.entity.arn for node in upstream(recorded, copy).nodes}
    assert above == {node.entity.arn for node in upstream(recorded, model.arn).nodes} | {report, copy}
    for arn in above:
        assert copy in {node.entity.arn for node in downstream(recorded, arn).nodes}, arn
