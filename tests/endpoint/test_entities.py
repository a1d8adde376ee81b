"""Artifacts, actions and contexts over boto3: made, described, changed, deleted, and refused as SageMaker does."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lineage_flows.endpoint.backend import Quotas
from tests.endpoint.kit import KINDS, Direct, client, create, describe, refuses

SOURCE = {"SourceUri": "s3://desk/prices.parquet", "SourceTypes": [{"SourceIdType": "S3ETag", "Value": "abc"}]}


def update(sagemaker, kind, arn, name, **members):
    key = {"ArtifactArn": arn} if kind == "Artifact" else {f"{kind}Name": name}
    return getattr(sagemaker, f"update_{kind.lower()}")(**key, **members)


def delete(sagemaker, kind, arn, name):
    key = {"ArtifactArn": arn} if kind == "Artifact" else {f"{kind}Name": name}
    return getattr(sagemaker, f"delete_{kind.lower()}")(**key)


def test_a_created_artifact_is_described(sagemaker):
    made = sagemaker.create_artifact(
        ArtifactName="prices",
        Source=SOURCE,
        ArtifactType="DataSet",
        Properties={"rows": "252"},
        MetadataProperties={"CommitId": "9f2c1ab", "Repository": "r", "GeneratedBy": "g", "ProjectId": "p"},
    )
    found = sagemaker.describe_artifact(ArtifactArn=made["ArtifactArn"])
    assert found["ArtifactName"] == "prices"
    assert found["Source"] == SOURCE
    assert found["ArtifactType"] == "DataSet"
    assert found["Properties"] == {"rows": "252"}
    assert found["MetadataProperties"] == {
        "CommitId": "9f2c1ab",
        "Repository": "r",
        "GeneratedBy": "g",
        "ProjectId": "p",
    }
    assert found["CreationTime"] == found["LastModifiedTime"]
    assert found["LineageGroupArn"].endswith(":lineage-group/sagemaker-default-lineage-group")


def test_a_created_action_is_described_by_name_and_by_arn(sagemaker):
    arn = create(
        sagemaker,
        "Action",
        "deploy-7",
        Source={"SourceUri": "s3://x", "SourceType": "Job", "SourceId": "7"},
        Description="first of them",
        Status="InProgress",
        Properties={"a": ""},
    )
    for given_name in ("deploy-7", arn):
        found = sagemaker.describe_action(ActionName=given_name)
        assert (found["ActionArn"], found["ActionName"]) == (arn, "deploy-7")
        assert found["Source"] == {"SourceUri": "s3://x", "SourceType": "Job", "SourceId": "7"}
        assert (found["Description"], found["Status"], found["Properties"]) == (
            "first of them",
            "InProgress",
            {"a": ""},
        )
    assert describe(sagemaker, "Action", create(sagemaker, "Action", "plain"))["Status"] == "Unknown"


@pytest.mark.parametrize("source", [{"SourceType": "Job"}, {"SourceId": "7"}, {"SourceType": "", "SourceId": ""}])
@pytest.mark.parametrize("kind", ["Action", "Context"])
def test_either_half_of_a_source_may_be_missing(sagemaker, kind, source):
    arn = create(sagemaker, kind, "it", Source={"SourceUri": "s3://x", **source})
    assert describe(sagemaker, kind, arn)["Source"] == {"SourceUri": "s3://x", **source}


def test_a_created_context_is_described_by_name_and_by_arn(sagemaker):
    arn = create(sagemaker, "Context", "desk_flows-1", Description="d", Properties={"k": "v"})
    for given_name in ("desk_flows-1", arn):
        found = sagemaker.describe_context(ContextName=given_name)
        assert (found["ContextArn"], found["Description"], found["Properties"]) == (arn, "d", {"k": "v"})


def test_source_types_are_part_of_an_artifacts_identity_and_its_name_is_not(sagemaker):
    plain = {"SourceUri": SOURCE["SourceUri"]}
    first = sagemaker.create_artifact(Source=SOURCE, ArtifactType="DataSet")["ArtifactArn"]
    other = sagemaker.create_artifact(Source=plain, ArtifactType="DataSet")["ArtifactArn"]
    assert first != other
    assert sagemaker.describe_artifact(ArtifactArn=other)["Source"] == plain
    with refuses("ValidationException", "already exists"):
        sagemaker.create_artifact(Source=SOURCE, ArtifactType="Model", ArtifactName="another")
    both = [{"SourceIdType": "S3Version", "Value": "1"}, *SOURCE["SourceTypes"]]
    sagemaker.create_artifact(Source={**plain, "SourceTypes": both}, ArtifactType="DataSet")
    with refuses("ValidationException", "already exists"):
        sagemaker.create_artifact(Source={**plain, "SourceTypes": both[::-1]}, ArtifactType="DataSet")


@pytest.mark.parametrize("kind", ["Action", "Context"])
def test_the_name_is_the_identity(sagemaker, kind):
    create(sagemaker, kind, "one")
    with refuses("ValidationException", "already exists"):
        create(sagemaker, kind, "one", Source={"SourceUri": "s3://elsewhere"})
    create(sagemaker, kind, "two", Source={"SourceUri": "s3://desk/one"})


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_replaces_all_properties_and_leaves_what_it_does_not_name(sagemaker, kind):
    arn = create(sagemaker, kind, "it", Properties={"a": "1", "b": "2", "c": "3"})
    before = describe(sagemaker, kind, arn)
    assert update(sagemaker, kind, arn, "it", Properties={"b": "20", "d": "4"})[f"{kind}Arn"] == arn
    found = describe(sagemaker, kind, arn)
    assert found["Properties"] == {"b": "20", "d": "4"}
    assert found["CreationTime"] == before["CreationTime"]
    assert found["LastModifiedTime"] > before["LastModifiedTime"]
    update(sagemaker, kind, arn, "it", PropertiesToRemove=["b", "unknown"])
    assert describe(sagemaker, kind, arn)["Properties"] == {"d": "4"}
    update(sagemaker, kind, arn, "it", Properties={"a": "1", "x": "2"}, PropertiesToRemove=["a", "d"])
    assert describe(sagemaker, kind, arn)["Properties"] == {"x": "2"}
    update(sagemaker, kind, arn, "it")
    assert describe(sagemaker, kind, arn)["Properties"] == {"x": "2"}
    update(sagemaker, kind, arn, "it", Properties={})
    assert describe(sagemaker, kind, arn)["Properties"] == {}


def test_an_update_changes_description_status_and_name(sagemaker):
    action, artifact = create(sagemaker, "Action", "it", Description="old"), create(sagemaker, "Artifact", "it")
    sagemaker.update_action(ActionName="it", Status="Failed")
    assert (found := describe(sagemaker, "Action", action))["Status"] == "Failed"
    assert found["Description"] == "old"
    sagemaker.update_action(ActionName="it", Description="new")
    assert (found := describe(sagemaker, "Action", action))["Status"] == "Failed"
    assert found["Description"] == "new"
    sagemaker.update_artifact(ArtifactArn=artifact, ArtifactName="that")
    assert describe(sagemaker, "Artifact", artifact)["ArtifactName"] == "that"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_is_neither_described_changed_nor_deleted(sagemaker, kind):
    arn = create(sagemaker, kind, "it")
    assert delete(sagemaker, kind, arn, "it")[f"{kind}Arn"] == arn
    with refuses("ResourceNotFound"):
        describe(sagemaker, kind, arn)
    with refuses("ResourceNotFound"):
        update(sagemaker, kind, arn, "it", Properties={})
    with refuses("ResourceNotFound"):
        delete(sagemaker, kind, arn, "it")
    assert create(sagemaker, kind, "it") == arn


def test_the_arn_of_another_kind_or_account_names_nothing(sagemaker):
    context = create(sagemaker, "Context", "it")
    with refuses("ResourceNotFound"):
        sagemaker.describe_action(ActionName=context)
    with refuses("ResourceNotFound"):
        sagemaker.describe_context(ContextName=context.replace(":000000000000:", ":000000000001:"))


def test_an_artifact_is_deleted_by_arn_or_by_source(sagemaker):
    arn = sagemaker.create_artifact(Source=SOURCE, ArtifactType="DataSet")["ArtifactArn"]
    with refuses("ResourceNotFound"):
        sagemaker.delete_artifact(Source={"SourceUri": SOURCE["SourceUri"]})
    for wrong in ({}, {"ArtifactArn": arn, "Source": SOURCE}):
        with refuses("ValidationException", "Either ArtifactArn or Source"):
            sagemaker.delete_artifact(**wrong)
    assert sagemaker.delete_artifact(Source=SOURCE)["ArtifactArn"] == arn
    with refuses("ResourceNotFound"):
        sagemaker.describe_artifact(ArtifactArn=arn)


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_associations_is_not_deleted(sagemaker, kind):
    arn, other = create(sagemaker, kind, "it"), create(sagemaker, "Action", "other")
    for ends in ({"SourceArn": arn, "DestinationArn": other}, {"SourceArn": other, "DestinationArn": arn}):
        sagemaker.add_association(**ends)
        with refuses("ValidationException", "associations"):
            delete(sagemaker, kind, arn, "it")
        sagemaker.delete_association(**ends)
    delete(sagemaker, kind, arn, "it")


@pytest.mark.parametrize("kind", KINDS)
def test_quotas_are_kept(start, kind):
    sagemaker = client(start(quotas=Quotas(artifacts=2, actions=2, contexts=2)).url)
    first = create(sagemaker, kind, "a")
    create(sagemaker, kind, "b")
    with refuses("ResourceLimitExceeded", "2"):
        create(sagemaker, kind, "c")
    delete(sagemaker, kind, first, "a")
    create(sagemaker, kind, "c")


def test_text_that_the_graph_cannot_hold_is_refused_and_nothing_of_it_is_kept(sagemaker):
    for wrong in ("", "two\nlines"):
        with refuses("ValidationException"):
            sagemaker.create_artifact(Source={"SourceUri": "s3://x"}, ArtifactType=wrong)
    assert sagemaker.list_artifacts()["ArtifactSummaries"] == []


names = st.sampled_from(["a", "b", "c"])
properties = st.none() | st.dictionaries(st.sampled_from(["p", "q", "r"]), st.sampled_from(["1", "2", ""]), max_size=3)
removals = st.lists(st.sampled_from(["p", "q", "z"]), max_size=2)


class AgainstADictionary(RuleBasedStateMachine):
    """Contexts and their associations, made, changed and deleted in any order, are what a plain dictionary says."""

    def __init__(self):
        super().__init__()
        self.call = Direct()
        self.contexts: dict[str, dict[str, str]] = {}
        self.edges: set[tuple[str, str]] = set()

    def teardown(self):
        self.call.store.close()

    def arn(self, name):
        return f"arn:aws:sagemaker:local:000000000000:context/{name}"

    @rule(name=names, given=properties)
    def create(self, name, given):
        def make():
            self.call("CreateContext", ContextName=name, ContextType="T", Source={"SourceUri": "u"}, Properties=given)

        if name in self.contexts:
            with refuses("ValidationException", "already exists"):
                make()
        else:
            make()
            self.contexts[name] = given or {}

    @rule(name=names, given=properties, removed=removals)
    def update(self, name, given, removed):
        def change():
            self.call("UpdateContext", ContextName=name, Properties=given, PropertiesToRemove=removed)

        if name not in self.contexts:
            with refuses("ResourceNotFound"):
                change()
        else:
            change()
            held = self.contexts[name] if given is None else given
            self.contexts[name] = {key: value for key, value in held.items() if key not in removed}

    @rule(name=names)
    def delete(self, name):
        if name not in self.contexts:
            with refuses("ResourceNotFound"):
                self.call("DeleteContext", ContextName=name)
        elif any(name in edge for edge in self.edges):
            with refuses("ValidationException", "associations"):
                self.call("DeleteContext", ContextName=name)
        else:
            self.call("DeleteContext", ContextName=name)
            del self.contexts[name]

    @rule(source=names, destination=names)
    def add(self, source, destination):
        ends = {"SourceArn": self.arn(source), "DestinationArn": self.arn(destination)}
        if not {source, destination} <= self.contexts.keys():
            with refuses("ResourceNotFound"):
                self.call("AddAssociation", **ends)
        elif (source, destination) in self.edges:
            with refuses("ValidationException", "already exists"):
                self.call("AddAssociation", **ends)
        else:
            self.call("AddAssociation", **ends)
            self.edges.add((source, destination))

    @rule(source=names, destination=names)
    def remove(self, source, destination):
        ends = {"SourceArn": self.arn(source), "DestinationArn": self.arn(destination)}
        if (source, destination) in self.edges:
            self.call("DeleteAssociation", **ends)
            self.edges.remove((source, destination))
        else:
            with refuses("ResourceNotFound"):
                self.call("DeleteAssociation", **ends)

    @invariant()
    def same(self):
        listed = self.call("ListContexts", SortBy="Name", SortOrder="Ascending")["ContextSummaries"]
        assert [item["ContextName"] for item in listed] == sorted(self.contexts)
        for name, held in self.contexts.items():
            assert self.call("DescribeContext", ContextName=name)["Properties"] == held
        edges = self.call("ListAssociations", MaxResults=100)["AssociationSummaries"]
        assert {(edge["SourceName"], edge["DestinationName"]) for edge in edges} == self.edges
        made_edges = self.call.store
        with made_edges.reading() as snapshot:
            assert snapshot.count("Association", made_here=True) == len(self.edges)
            assert snapshot.count("Context", made_here=True) == len(self.contexts)


AgainstADictionary.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAgainstADictionary = AgainstADictionary.TestCase


@settings(max_examples=40, deadline=None)
@given(
    uri=st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()),
    types=st.lists(
        st.tuples(st.sampled_from(["MD5Hash", "S3ETag", "S3Version", "Custom"]), st.text("ab", max_size=2)), max_size=4
    ),
)
def test_any_source_comes_back_as_it_was_given(uri, types):
    call = Direct()
    source = {"SourceUri": uri}
    if types:
        source["SourceTypes"] = [{"SourceIdType": kind, "Value": value} for kind, value in types]
    arn = call("CreateArtifact", Source=source, ArtifactType="T")["ArtifactArn"]
    found = call("DescribeArtifact", ArtifactArn=arn)["Source"]
    assert found["SourceUri"] == uri
    assert sorted((item["SourceIdType"], item["Value"]) for item in found.get("SourceTypes", [])) == sorted(types)
    call.store.close()
