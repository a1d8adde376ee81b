"""Every operation with every member that it takes, and every error that botocore's model declares of it, over boto3.

The tables are held against the model first: a release of botocore that declares another fails here until it is driven. What comes
back is held against a plain evaluation of what was put in.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lineage_flows.endpoint.assumptions import DEFAULT_GROUP
from lineage_flows.endpoint.backend import Quotas
from lineage_flows.endpoint.faults import Faults
from lineage_flows.endpoint.server import Endpoint
from lineage_flows.endpoint.service import OPERATIONS
from lineage_flows.endpoint.shapes import input_shape
from tests.endpoint.account import NOWHERE, Account, Item, called, members
from tests.endpoint.kit import KINDS, client, refuses
from tests.endpoint.test_documents import job
from tests.endpoint.test_every_list import LISTS

SOURCE = {"SourceUri": "s3://desk/x"}
MISSING: dict[str, Item] = {
    "AddAssociation": {"SourceArn": NOWHERE, "DestinationArn": NOWHERE},
    "DeleteAssociation": {"SourceArn": NOWHERE, "DestinationArn": NOWHERE},
    "AssociateTrialComponent": {"TrialName": "none", "TrialComponentName": "none"},
    "DisassociateTrialComponent": {"TrialName": "none", "TrialComponentName": "none"},
    "CreateTrial": {"TrialName": "new", "ExperimentName": "none"},
    **{f"{verb}Artifact": {"ArtifactArn": NOWHERE} for verb in ("Describe", "Update", "Delete")},
    **{
        f"{verb}{kind}": {f"{kind}Name": "none"}
        for verb in ("Describe", "Update", "Delete")
        for kind in ("Action", "Context", "Experiment", "Trial", "TrialComponent")
    },
    "DescribeLineageGroup": {"LineageGroupName": "none"},
    "GetLineageGroupPolicy": {"LineageGroupName": "none"},
    "DescribeTrainingJob": {"TrainingJobName": "none"},
    "ListTrials": {"ExperimentName": "none"},
    "ListTrialComponents": {"TrialName": "none"},
    "QueryLineage": {"StartArns": [NOWHERE]},
}
FULL: dict[str, Item] = {
    **{f"Create{kind}": {f"{kind}Name": "x", f"{kind}Type": "T", "Source": SOURCE} for kind in KINDS},
    "AddAssociation": {},
}
CONFLICTS = sorted(operation for operation in OPERATIONS if operation.startswith("Update"))
NEVER = {
    **dict.fromkeys(
        [("ListActions", "ResourceNotFound"), ("ListArtifacts", "ResourceNotFound"), ("ListContexts", "ResourceNotFound"),
         ("ListAssociations", "ResourceNotFound")],
        "what they name is a condition, and what nobody meets is an empty list",
    ),
    **dict.fromkeys(
        [(operation, "ResourceLimitExceeded")
         for operation in ("CreateExperiment", "CreateTrial", "CreateTrialComponent", "AssociateTrialComponent")],
        "there is no quota of experiments, trials and components here",
    ),
}  # fmt: skip
"""Declared, and never answered here; and why. docs/endpoint.md says so too."""


def test_the_tables_have_every_error_that_the_model_declares(account: Account) -> None:
    model = account.sagemaker.meta.service_model
    declared = {
        (operation, shape.name) for operation in OPERATIONS for shape in model.operation_model(operation).error_shapes
    }
    driven = {
        *((operation, "ResourceNotFound") for operation in MISSING),
        *((operation, "ResourceLimitExceeded") for operation in FULL),
        *((operation, "ConflictException") for operation in CONFLICTS),
    }
    assert driven.isdisjoint(NEVER)
    assert driven | NEVER.keys() == declared


@pytest.mark.parametrize("operation", sorted(MISSING))
def test_what_is_not_there_is_not_found(account: Account, operation: str) -> None:
    with refuses("ResourceNotFound"):
        called(account.sagemaker, operation, MISSING[operation])


def test_what_is_one_too_many_is_refused(start: Callable[..., Endpoint]) -> None:
    open_account = client(start().url)
    ends = [
        open_account.create_artifact(ArtifactType="T", Source={"SourceUri": f"s3://{end}"})["ArtifactArn"]
        for end in "ab"
    ]
    full = client(start(quotas=Quotas(0, 0, 0, 0)).url)
    for operation, request in FULL.items():
        given = request or {"SourceArn": ends[0], "DestinationArn": ends[1]}
        with refuses("ResourceLimitExceeded"):
            called(full, operation, given)
        called(open_account, operation, given)


def test_a_conflict_is_answered_by_order_and_nothing_is_changed(start: Callable[..., Endpoint]) -> None:
    calm, busy = client(start().url), client(start(faults=Faults(conflict=1.0)).url)
    calm.create_experiment(ExperimentName="x")
    calm.create_trial(TrialName="x", ExperimentName="x")
    calm.create_trial_component(TrialComponentName="x")
    arns = {
        kind: called(calm, f"Create{kind}", {f"{kind}Name": "x", f"{kind}Type": "T", "Source": SOURCE})[f"{kind}Arn"]
        for kind in KINDS
    }
    for operation in CONFLICTS:
        kind = operation.removeprefix("Update")
        named = {"ArtifactArn": arns["Artifact"]} if kind == "Artifact" else {f"{kind}Name": "x"}
        before = without_moment(called(calm, f"Describe{kind}", named))
        change = {"Properties": {"a": "1"}} if kind in KINDS else {"DisplayName": "changed"}
        with refuses("ConflictException"):
            called(busy, operation, {**named, **change})
        assert without_moment(called(calm, f"Describe{kind}", named)) == before
        called(calm, operation, {**named, **change})
        assert without_moment(called(calm, f"Describe{kind}", named)) != before


def without_moment(answer: Item) -> Item:
    return {key: value for key, value in answer.items() if key not in {"ResponseMetadata", "LastModifiedTime"}}


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_operation_refuses_what_breaks_its_shape(account: Account, operation: str) -> None:
    """Not declared of any, and common to all: nothing given where something has to be; else a value out of its range."""
    shape = input_shape(operation)
    if shape.required_members:
        with refuses("ValidationException") as told:
            called(account.unchecked, operation, {})
        first = shape.required_members[0]
        assert f"{first[0].lower()}{first[1:]}" in told.message
    else:
        request = {"MaxResults": 0} if "MaxResults" in shape.members else {}
        with refuses("ValidationException"):
            called(account.unchecked, operation, request)


# Every other operation


@pytest.mark.parametrize("kind", [*KINDS, "Experiment", "Trial", "TrialComponent"])
def test_what_is_made_and_updated_with_every_member_is_described_with_each(sagemaker: Any, kind: str) -> None:
    if kind == "Trial":
        sagemaker.create_experiment(ExperimentName="exp")
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    source: Item = {"SourceUri": "s3://desk/x"}
    source |= (
        {"SourceTypes": [{"SourceIdType": "Custom", "Value": "1"}]}
        if kind == "Artifact"
        else {"SourceType": "T", "SourceId": "9"}
    )
    values: Item = {
        f"{kind}Name": "it", f"{kind}Type": "Thing", "Source": source, "Status": "InProgress", "Description": "said",
        "Properties": {"a": "1"}, "MetadataProperties": {"CommitId": "c", "Repository": "r", "GeneratedBy": "g", "ProjectId": "p"},
        "Tags": [{"Key": "k", "Value": "v"}], "DisplayName": "shown", "ExperimentName": "exp",
        "StartTime": moment, "EndTime": moment, "Parameters": {"n": {"NumberValue": 1.5}, "s": {"StringValue": "x"}},
        "InputArtifacts": {"in": {"MediaType": "text/plain", "Value": "s3://in"}},
        "OutputArtifacts": {"out": {"MediaType": "text/plain", "Value": "s3://out"}},
    }  # fmt: skip
    if kind == "Experiment":
        values["ExperimentName"] = "it"
    if kind == "TrialComponent":
        values["Status"] = {"PrimaryStatus": "InProgress", "Message": "running"}
    given = {member: values[member] for member in members(f"Create{kind}")}
    arn = called(sagemaker, f"Create{kind}", given)[f"{kind}Arn"]
    named = {"ArtifactArn": arn} if kind == "Artifact" else {f"{kind}Name": "it"}
    found = called(sagemaker, f"Describe{kind}", named)
    for member in given.keys() - {"Tags"}:
        assert found[member] == given[member], member
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == given["Tags"]

    later: Item = {
        **named, "ArtifactName": "other", "Status": "Completed", "Description": "more", "Properties": {"b": "2", "c": "3"},
        "PropertiesToRemove": ["c"], "DisplayName": "changed", "StartTime": moment + timedelta(1), "EndTime": moment + timedelta(2),
        "Parameters": {"n": {"NumberValue": 2.5}}, "ParametersToRemove": ["s"],
        "InputArtifacts": {"more": {"Value": "s3://more"}}, "InputArtifactsToRemove": ["in"],
        "OutputArtifacts": {"rest": {"Value": "s3://rest"}}, "OutputArtifactsToRemove": ["out"],
    }  # fmt: skip
    if kind == "TrialComponent":
        later["Status"] = {"PrimaryStatus": "Completed"}
    changes = {member: later[member] for member in members(f"Update{kind}")}
    called(sagemaker, f"Update{kind}", changes)
    found = called(sagemaker, f"Describe{kind}", named)
    for member in changes.keys() - named.keys():
        if not member.endswith("ToRemove"):
            expected = {"b": "2"} if member == "Properties" else changes[member]
            assert found[member] == expected, member
    called(sagemaker, f"Delete{kind}", named)
    with refuses("ResourceNotFound"):
        called(sagemaker, f"Describe{kind}", named)


ELSEWHERE = {
    "AddAssociation", "DeleteAssociation", "AssociateTrialComponent", "DisassociateTrialComponent", "AddTags", "DeleteTags",
    "DescribeLineageGroup", "GetLineageGroupPolicy", "DescribeTrainingJob", "DescribeModelPackage", "DescribeModelPackageGroup",
    "QueryLineage", "Search",
}  # fmt: skip
"""What is neither made, changed, described nor deleted by the test above, nor a list: see below, and the modules of their own."""


def test_no_operation_is_forgotten() -> None:
    kinds = [*KINDS, "Experiment", "Trial", "TrialComponent"]
    here = {f"{verb}{kind}" for verb in ("Create", "Describe", "Update", "Delete") for kind in kinds}
    assert here | set(LISTS) | ELSEWHERE == OPERATIONS.keys()


def test_the_operations_that_are_like_no_other(sagemaker: Any, endpoint: Endpoint) -> None:
    one, other = (
        sagemaker.create_artifact(ArtifactType="T", Source={"SourceUri": f"s3://{end}"})["ArtifactArn"] for end in "ab"
    )
    ends = {"SourceArn": one, "DestinationArn": other}
    answer = sagemaker.add_association(**ends, AssociationType="DerivedFrom")
    assert {key: answer[key] for key in ends} == ends
    (edge,) = sagemaker.list_associations()["AssociationSummaries"]
    assert (edge["SourceArn"], edge["DestinationArn"], edge["AssociationType"]) == (one, other, "DerivedFrom")
    answer = sagemaker.delete_association(**ends)
    assert {key: answer[key] for key in ends} == ends
    assert sagemaker.list_associations()["AssociationSummaries"] == []
    sagemaker.create_experiment(ExperimentName="e")
    trial = sagemaker.create_trial(TrialName="t", ExperimentName="e")["TrialArn"]
    component = sagemaker.create_trial_component(TrialComponentName="c")["TrialComponentArn"]
    pair = {"TrialName": "t", "TrialComponentName": "c"}
    for verb, left in (("associate", ["c"]), ("disassociate", [])):
        answer = getattr(sagemaker, f"{verb}_trial_component")(**pair)
        assert (answer["TrialArn"], answer["TrialComponentArn"]) == (trial, component)
        found = sagemaker.list_trial_components(TrialName="t")["TrialComponentSummaries"]
        assert [item["TrialComponentName"] for item in found] == left
    tags = [{"Key": key, "Value": "1"} for key in "ab"]
    assert sagemaker.add_tags(ResourceArn=one, Tags=tags)["Tags"] == tags
    sagemaker.delete_tags(ResourceArn=one, TagKeys=["a"])
    assert sagemaker.list_tags(ResourceArn=one)["Tags"] == tags[1:]
    group = sagemaker.describe_lineage_group(LineageGroupName=DEFAULT_GROUP)
    assert (
        group["LineageGroupArn"]
        == sagemaker.get_lineage_group_policy(LineageGroupName=DEFAULT_GROUP)["LineageGroupArn"]
    )
    assert [item["LineageGroupName"] for item in sagemaker.list_lineage_groups()["LineageGroupSummaries"]] == [
        DEFAULT_GROUP
    ]
    endpoint.keep("TrainingJob", [job()])
    assert sagemaker.describe_training_job(TrainingJobName="fit-1")["HyperParameters"]["depth"] == "6"
    assert sagemaker.query_lineage(StartArns=[one])["Vertices"] == []
    assert sagemaker.search(Resource="Experiment")["TotalHits"]["Value"] == 1
