"""Experiments, trials and trial components over boto3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.query import upstream
from tests.endpoint.kit import refuses
from tests.graph.kit import labels, picture

WORDS = st.sampled_from(["a", "b", "c"])


def pages(call: Any, member: str, **request: Any) -> list[Any]:
    """All items of a list, a page after the other."""
    items: list[Any] = []
    while True:
        answer = call(**request)
        items += answer[member]
        if "NextToken" not in answer:
            return items
        request["NextToken"] = answer["NextToken"]


def test_an_experiment_from_creation_to_deletion(sagemaker):
    arn = sagemaker.create_experiment(
        ExperimentName="Alpha-1", Description="first", Tags=[{"Key": "team", "Value": "risk"}]
    )["ExperimentArn"]
    assert arn == "arn:aws:sagemaker:local:000000000000:experiment/alpha-1"
    found = sagemaker.describe_experiment(ExperimentName="alpha-1")
    assert (found["ExperimentName"], found["DisplayName"], found["Description"]) == ("Alpha-1", "Alpha-1", "first")
    assert found["CreationTime"] == found["LastModifiedTime"]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "risk"}]
    with refuses("ValidationException", "already exists"):
        sagemaker.create_experiment(ExperimentName="ALPHA-1")
    assert sagemaker.update_experiment(ExperimentName="Alpha-1", DisplayName="shown")["ExperimentArn"] == arn
    found = sagemaker.describe_experiment(ExperimentName="Alpha-1")
    assert (found["DisplayName"], found["Description"]) == ("shown", "first")
    assert found["LastModifiedTime"] > found["CreationTime"]
    sagemaker.create_trial(TrialName="trial", ExperimentName="Alpha-1")
    with refuses("ValidationException", "it has trials"):
        sagemaker.delete_experiment(ExperimentName="Alpha-1")
    sagemaker.delete_trial(TrialName="trial")
    assert sagemaker.delete_experiment(ExperimentName="Alpha-1")["ExperimentArn"] == arn
    with refuses("ResourceNotFound"):
        sagemaker.describe_experiment(ExperimentName="Alpha-1")
    with refuses("ResourceNotFound"):
        sagemaker.list_tags(ResourceArn=arn)


def test_a_trial_is_part_of_an_experiment(sagemaker):
    with refuses("ResourceNotFound"):
        sagemaker.create_trial(TrialName="t", ExperimentName="none")
    sagemaker.create_experiment(ExperimentName="Exp")
    arn = sagemaker.create_trial(
        TrialName="t", ExperimentName="exp", DisplayName="shown", MetadataProperties={"CommitId": "9f2c"}
    )["TrialArn"]
    assert arn == "arn:aws:sagemaker:local:000000000000:experiment-trial/t"
    found = sagemaker.describe_trial(TrialName="t")
    assert (found["ExperimentName"], found["DisplayName"]) == ("Exp", "shown")
    assert found["MetadataProperties"] == {"CommitId": "9f2c"}
    sagemaker.update_trial(TrialName="t", DisplayName="other")
    assert sagemaker.describe_trial(TrialName="t")["DisplayName"] == "other"
    assert sagemaker.describe_trial(TrialName="t")["ExperimentName"] == "Exp"


def test_a_trial_component_from_creation_to_deletion(sagemaker):
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    arn = sagemaker.create_trial_component(
        TrialComponentName="fit",
        Status={"PrimaryStatus": "InProgress", "Message": "going"},
        StartTime=started,
        Parameters={"depth": {"NumberValue": 3.5}, "loss": {"StringValue": "mse"}},
        InputArtifacts={"train": {"Value": "s3://b/train", "MediaType": "text/csv"}},
        MetadataProperties={"GeneratedBy": "hand"},
    )["TrialComponentArn"]
    found = sagemaker.describe_trial_component(TrialComponentName=arn)
    assert found["TrialComponentName"] == "fit"
    assert found["StartTime"] == started
    assert found["Status"] == {"PrimaryStatus": "InProgress", "Message": "going"}
    assert found["Parameters"] == {"depth": {"NumberValue": 3.5}, "loss": {"StringValue": "mse"}}
    assert found["InputArtifacts"] == {"train": {"Value": "s3://b/train", "MediaType": "text/csv"}}
    assert found["OutputArtifacts"] == {}
    assert "Source" not in found
    sagemaker.update_trial_component(
        TrialComponentName="fit",
        Status={"PrimaryStatus": "Completed"},
        Parameters={"depth": {"NumberValue": 4.0}, "rate": {"NumberValue": 0.1}},
        ParametersToRemove=["loss", "absent"],
        OutputArtifacts={"model": {"Value": "s3://b/model"}},
        InputArtifactsToRemove=["train"],
    )
    found = sagemaker.describe_trial_component(TrialComponentName="fit")
    assert found["Parameters"] == {"depth": {"NumberValue": 4.0}, "rate": {"NumberValue": 0.1}}
    assert (found["InputArtifacts"], found["OutputArtifacts"]) == ({}, {"model": {"Value": "s3://b/model"}})
    assert (found["Status"], found["StartTime"]) == ({"PrimaryStatus": "Completed"}, started)
    sagemaker.delete_trial_component(TrialComponentName="fit")
    for call in ("describe_trial_component", "update_trial_component", "delete_trial_component"):
        with refuses("ResourceNotFound"):
            getattr(sagemaker, call)(TrialComponentName="fit")


@pytest.mark.parametrize("value", [{}, {"NumberValue": 1.0, "StringValue": "1"}])
def test_a_parameter_is_a_text_or_a_number(sagemaker, value):
    with refuses("ValidationException", "either a StringValue or a NumberValue"):
        sagemaker.create_trial_component(TrialComponentName="fit", Parameters={"p": value})


def test_updates_may_not_add_up_to_more_than_a_component_holds(sagemaker):
    many = {f"p{number}": {"NumberValue": 1.0} for number in range(300)}
    sagemaker.create_trial_component(TrialComponentName="fit", Parameters=many)
    with refuses("ValidationException", "at most 300"):
        sagemaker.update_trial_component(TrialComponentName="fit", Parameters={"one": {"NumberValue": 1.0}})
    sagemaker.update_trial_component(
        TrialComponentName="fit", Parameters={"one": {"NumberValue": 1.0}}, ParametersToRemove=["p0"]
    )
    assert len(sagemaker.describe_trial_component(TrialComponentName="fit")["Parameters"]) == 300


@pytest.mark.parametrize("kind", ["training", "processing", "transform"])
def test_a_component_called_like_that_of_a_job_has_the_job_as_its_source(sagemaker, kind):
    name = f"Fit-1-aws-{kind}-job"
    sagemaker.create_trial_component(TrialComponentName=name)
    source = {
        "SourceArn": f"arn:aws:sagemaker:local:000000000000:{kind}-job/fit-1",
        "SourceType": f"SageMaker{kind.capitalize()}Job",
    }
    found = sagemaker.describe_trial_component(TrialComponentName=name)
    assert (found["Source"], found["Sources"]) == (source, [source])
    listed = sagemaker.list_trial_components(SourceArn=source["SourceArn"])["TrialComponentSummaries"]
    assert [(item["TrialComponentName"], item["TrialComponentSource"]) for item in listed] == [(name, source)]


def test_components_belong_to_several_trials(sagemaker):
    sagemaker.create_experiment(ExperimentName="e1")
    sagemaker.create_experiment(ExperimentName="e2")
    for trial, experiment in (("t1", "e1"), ("t2", "e1"), ("t3", "e2")):
        sagemaker.create_trial(TrialName=trial, ExperimentName=experiment)
    for component in ("c1", "c2"):
        sagemaker.create_trial_component(TrialComponentName=component)
    for component, trial in (("c1", "t1"), ("c1", "t3"), ("c2", "t2"), ("c1", "t1")):
        answer = sagemaker.associate_trial_component(TrialComponentName=component, TrialName=trial)
        assert answer["TrialArn"].endswith(f"/{trial}")
        assert answer["TrialComponentArn"].endswith(f"/{component}")

    def trials(**request: Any) -> list[str]:
        return sorted(item["TrialName"] for item in sagemaker.list_trials(**request)["TrialSummaries"])

    def components(**request: Any) -> list[str]:
        listed = sagemaker.list_trial_components(**request)["TrialComponentSummaries"]
        return sorted(item["TrialComponentName"] for item in listed)

    assert trials(ExperimentName="e1") == ["t1", "t2"]
    assert trials(TrialComponentName="c1") == ["t1", "t3"]
    assert trials(TrialComponentName="c1", ExperimentName="e1") == ["t1"]
    assert components(TrialName="t1") == ["c1"]
    assert components(ExperimentName="e1") == ["c1", "c2"]
    assert components(ExperimentName="e2") == ["c1"]
    for list_, request in (
        (sagemaker.list_trials, {"ExperimentName": "none"}),
        (sagemaker.list_trials, {"TrialComponentName": "none"}),
        (sagemaker.list_trial_components, {"TrialName": "none"}),
        (sagemaker.list_trial_components, {"ExperimentName": "none"}),
    ):
        with refuses("ResourceNotFound"):
            list_(**request)
    with refuses("ValidationException", "Only one of"):
        sagemaker.list_trial_components(ExperimentName="e1", TrialName="t1")

    with refuses("ValidationException", "it has trial components"):
        sagemaker.delete_trial(TrialName="t1")
    with refuses("ValidationException", "associated with trials"):
        sagemaker.delete_trial_component(TrialComponentName="c1")
    for request in (
        {"TrialComponentName": "none", "TrialName": "t1"},
        {"TrialComponentName": "c1", "TrialName": "none"},
    ):
        with refuses("ResourceNotFound"):
            sagemaker.associate_trial_component(**request)
        with refuses("ResourceNotFound"):
            sagemaker.disassociate_trial_component(**request)
    sagemaker.disassociate_trial_component(TrialComponentName="c1", TrialName="t1")
    with refuses("ResourceNotFound", "not associated"):
        sagemaker.disassociate_trial_component(TrialComponentName="c1", TrialName="t1")
    sagemaker.delete_trial(TrialName="t1")
    assert trials(TrialComponentName="c1") == ["t3"]


def test_lists_are_newest_first_and_in_pages(sagemaker):
    names = [f"c{number}" for number in range(13)]
    for name in names:
        sagemaker.create_trial_component(TrialComponentName=name, DisplayName=f"shown-{name}")

    def listed(**request: Any) -> list[str]:
        found = pages(sagemaker.list_trial_components, "TrialComponentSummaries", **request)
        assert all(item["DisplayName"] == f"shown-{item['TrialComponentName']}" for item in found)
        return [item["TrialComponentName"] for item in found]

    assert len(sagemaker.list_trial_components()["TrialComponentSummaries"]) == 10
    assert listed() == names[::-1]
    assert listed(MaxResults=4, SortOrder="Ascending") == names
    assert listed(MaxResults=5, SortBy="Name") == sorted(names, reverse=True)
    now = datetime.now(UTC)
    assert listed(CreatedAfter=now - timedelta(hours=1), CreatedBefore=now + timedelta(hours=1)) == names[::-1]
    assert listed(CreatedAfter=now + timedelta(hours=1)) == []
    assert listed(CreatedBefore=now - timedelta(hours=1)) == []
    token = sagemaker.list_trial_components(MaxResults=3)["NextToken"]
    for request in ({"SortBy": "Name"}, {"CreatedBefore": now}):
        with refuses("ValidationException", "NextToken"):
            sagemaker.list_trial_components(NextToken=token, **request)
    with refuses("ValidationException", "NextToken"):
        sagemaker.list_trials(NextToken=token)


def test_a_component_and_an_experiment_are_ends_of_associations(sagemaker):
    component = sagemaker.create_trial_component(TrialComponentName="Fit-aws-training-job")["TrialComponentArn"]
    own = sagemaker.create_trial_component(TrialComponentName="own")["TrialComponentArn"]
    experiment = sagemaker.create_experiment(ExperimentName="exp")["ExperimentArn"]
    data = sagemaker.create_artifact(Source={"SourceUri": "s3://b/d"}, ArtifactType="DataSet")["ArtifactArn"]
    sagemaker.add_association(SourceArn=data, DestinationArn=component, AssociationType="ContributedTo")
    sagemaker.add_association(SourceArn=own, DestinationArn=experiment, AssociationType="AssociatedWith")
    with refuses("ValidationException", "already exists"):
        sagemaker.add_association(SourceArn=data, DestinationArn=component)
    listed = sagemaker.list_associations(DestinationType="SageMakerTrainingJob")["AssociationSummaries"]
    assert [(item["SourceArn"], item["SourceType"], item["DestinationName"]) for item in listed] == [
        (data, "DataSet", "Fit-aws-training-job")
    ]
    (other,) = sagemaker.list_associations(SourceArn=own)["AssociationSummaries"]
    assert (other["SourceType"], other["DestinationType"]) == ("SageMakerExperimentTrialComponent", "Experiment")
    with refuses("ValidationException", "associations"):
        sagemaker.delete_trial_component(TrialComponentName="own")
    with refuses("ValidationException", "associations"):
        sagemaker.delete_experiment(ExperimentName="exp")
    with refuses("ValidationException", "associations"):
        sagemaker.delete_artifact(ArtifactArn=data)
    sagemaker.delete_association(SourceArn=own, DestinationArn=experiment)
    sagemaker.delete_trial_component(TrialComponentName="own")
    sagemaker.delete_experiment(ExperimentName="exp")


def test_the_embedded_graph_passes_them_over(sagemaker, endpoint, fast_home):
    component = sagemaker.create_trial_component(TrialComponentName="fit-aws-training-job")["TrialComponentArn"]
    ends = {
        kind: sagemaker.create_artifact(Source={"SourceUri": f"s3://desk/{kind}"}, ArtifactType=kind)["ArtifactArn"]
        for kind in ("DataSet", "Model")
    }
    keeper = open_embedded(fast_home / "graph.db", read_only=True)
    before = picture(keeper)
    sagemaker.add_association(SourceArn=ends["DataSet"], DestinationArn=component, AssociationType="ContributedTo")
    sagemaker.add_association(SourceArn=component, DestinationArn=ends["Model"], AssociationType="Produced")
    assert picture(keeper) == before
    assert labels(upstream(keeper, ends["Model"])) == ["s3://desk/Model"]
    assert keeper.search("fit-aws-training-job") == []
    answer = sagemaker.query_lineage(StartArns=[ends["Model"]], Direction="Ascendants")
    assert [vertex["Arn"] for vertex in answer["Vertices"]] == [component, ends["DataSet"]]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(["trial", "part", "join", "leave", "untrial", "unpart"]), WORDS, WORDS))
)
def test_any_sequence_leaves_what_a_plain_model_says(sagemaker, steps):
    """Trials, components, and who is part of whom."""
    for item in sagemaker.list_trial_components(MaxResults=100)["TrialComponentSummaries"]:
        name = item["TrialComponentName"]
        for trial in sagemaker.list_trials(TrialComponentName=name)["TrialSummaries"]:
            sagemaker.disassociate_trial_component(TrialComponentName=name, TrialName=trial["TrialName"])
        sagemaker.delete_trial_component(TrialComponentName=name)
    for item in sagemaker.list_trials(MaxResults=100)["TrialSummaries"]:
        sagemaker.delete_trial(TrialName=item["TrialName"])
    if not sagemaker.list_experiments()["ExperimentSummaries"]:
        sagemaker.create_experiment(ExperimentName="exp")
    trials: set[str] = set()
    parts: set[str] = set()
    members: set[tuple[str, str]] = set()
    for step, one, other in steps:
        if step == "trial":
            allowed = one not in trials
            trials.add(one)
            call, request = sagemaker.create_trial, {"TrialName": one, "ExperimentName": "exp"}
        elif step == "part":
            allowed = one not in parts
            parts.add(one)
            call, request = sagemaker.create_trial_component, {"TrialComponentName": one}
        elif step == "join":
            allowed = one in trials and other in parts
            members |= {(one, other)} if allowed else set()
            call, request = sagemaker.associate_trial_component, {"TrialName": one, "TrialComponentName": other}
        elif step == "leave":
            allowed = (one, other) in members
            members.discard((one, other))
            call, request = sagemaker.disassociate_trial_component, {"TrialName": one, "TrialComponentName": other}
        elif step == "untrial":
            allowed = one in trials and not any(trial == one for trial, _ in members)
            trials -= {one} if allowed else set()
            call, request = sagemaker.delete_trial, {"TrialName": one}
        else:
            allowed = one in parts and not any(part == one for _, part in members)
            parts -= {one} if allowed else set()
            call, request = sagemaker.delete_trial_component, {"TrialComponentName": one}
        if allowed:
            call(**request)
        else:
            with pytest.raises(ClientError, match="ValidationException|ResourceNotFound"):
                call(**request)
    assert {item["TrialName"] for item in sagemaker.list_trials()["TrialSummaries"]} == trials
    listed = sagemaker.list_trial_components()["TrialComponentSummaries"]
    assert {item["TrialComponentName"] for item in listed} == parts
    for trial in trials:
        listed = sagemaker.list_trial_components(TrialName=trial)["TrialComponentSummaries"]
        assert {(trial, item["TrialComponentName"]) for item in listed} == {
            pair for pair in members if pair[0] == trial
        }
