"""Associations over boto3: made, listed by every filter and order, deleted."""

from __future__ import annotations

import pytest

from lineage_flows.endpoint.backend import Quotas
from tests.endpoint.kit import client, create, describe, pages, refuses

NOBODY = "arn:aws:sagemaker:local:000000000000:artifact/" + "0" * 64


@pytest.fixture
def ends(sagemaker):
    """An artifact, an action, a model and a context, by name."""
    return {
        "data": create(sagemaker, "Artifact", "data", ArtifactType="DataSet"),
        "job": create(sagemaker, "Action", "job", ActionType="Training"),
        "model": create(sagemaker, "Artifact", "model", ArtifactType="Model"),
        "desk": create(sagemaker, "Context", "desk", ContextType="Flow"),
    }


@pytest.fixture
def edges(sagemaker, ends):
    """What was linked, in the order in which it was."""
    linked = [
        ("data", "job", "ContributedTo"),
        ("job", "model", "Produced"),
        ("job", "desk", "AssociatedWith"),
        ("model", "data", "DerivedFrom"),
    ]
    for source, destination, kind in linked:
        sagemaker.add_association(SourceArn=ends[source], DestinationArn=ends[destination], AssociationType=kind)
    return linked


def listed(sagemaker, **members):
    found = [item for page in pages(sagemaker, "list_associations", **members) for item in page["AssociationSummaries"]]
    return [(item["SourceName"], item["DestinationName"], item["AssociationType"]) for item in found]


def test_an_association_says_what_it_joins(sagemaker, ends):
    answer = sagemaker.add_association(
        SourceArn=ends["data"], DestinationArn=ends["job"], AssociationType="ContributedTo"
    )
    assert (answer["SourceArn"], answer["DestinationArn"]) == (ends["data"], ends["job"])
    (found,) = sagemaker.list_associations()["AssociationSummaries"]
    made = found.pop("CreationTime")
    assert made >= describe(sagemaker, "Artifact", ends["model"])["CreationTime"]
    assert found == {
        "SourceArn": ends["data"],
        "DestinationArn": ends["job"],
        "SourceType": "DataSet",
        "DestinationType": "Training",
        "AssociationType": "ContributedTo",
        "SourceName": "data",
        "DestinationName": "job",
        "CreatedBy": {},
    }


def test_an_association_without_a_type_is_the_weakest(sagemaker, ends):
    sagemaker.add_association(SourceArn=ends["data"], DestinationArn=ends["desk"])
    assert listed(sagemaker) == [("data", "desk", "AssociatedWith")]


def test_one_association_from_one_thing_to_another(sagemaker, ends):
    for kind in ("Produced", "Produced", "SameAs"):
        if listed(sagemaker):
            with refuses("ValidationException", "already exists"):
                sagemaker.add_association(SourceArn=ends["job"], DestinationArn=ends["model"], AssociationType=kind)
        else:
            sagemaker.add_association(SourceArn=ends["job"], DestinationArn=ends["model"], AssociationType=kind)
    sagemaker.add_association(SourceArn=ends["model"], DestinationArn=ends["job"])
    assert len(listed(sagemaker)) == 2


def test_both_ends_have_to_be_there(sagemaker, ends):
    for given in ((NOBODY, ends["job"]), (ends["job"], NOBODY)):
        with refuses("ResourceNotFound", NOBODY):
            sagemaker.add_association(SourceArn=given[0], DestinationArn=given[1])
    assert listed(sagemaker) == []


def test_a_deleted_association_is_gone_and_can_be_made_again(sagemaker, ends, edges):
    gone = {"SourceArn": ends["job"], "DestinationArn": ends["model"]}
    answer = sagemaker.delete_association(**gone)
    assert {key: answer[key] for key in gone} == gone
    assert listed(sagemaker) == [edge for edge in edges[::-1] if edge[1] != "model"]
    with refuses("ResourceNotFound"):
        sagemaker.delete_association(**gone)
    with refuses("ResourceNotFound"):
        sagemaker.delete_association(SourceArn=ends["job"], DestinationArn=ends["data"])
    sagemaker.add_association(**gone)


def test_filters(sagemaker, ends, edges):
    assert listed(sagemaker, SourceArn=ends["job"]) == [edges[2], edges[1]]
    assert listed(sagemaker, DestinationArn=ends["job"]) == [edges[0]]
    assert listed(sagemaker, SourceArn=ends["job"], DestinationArn=ends["desk"]) == [edges[2]]
    assert listed(sagemaker, SourceType="Training") == [edges[2], edges[1]]
    assert listed(sagemaker, DestinationType="DataSet") == [edges[3]]
    assert listed(sagemaker, AssociationType="DerivedFrom") == [edges[3]]
    assert listed(sagemaker, SourceArn=NOBODY) == []
    times = [item["CreationTime"] for item in sagemaker.list_associations()["AssociationSummaries"]]
    assert listed(sagemaker, CreatedAfter=times[1]) == [edges[3], edges[2]]
    assert listed(sagemaker, CreatedBefore=times[1]) == [edges[2], edges[1], edges[0]]


@pytest.mark.parametrize(
    ("by", "key"),
    [
        ("SourceArn", lambda item: item["SourceArn"]),
        ("DestinationArn", lambda item: item["DestinationArn"]),
        ("SourceType", lambda item: item["SourceType"]),
        ("DestinationType", lambda item: item["DestinationType"]),
        ("CreationTime", lambda item: item["CreationTime"]),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_sorted_by_anything_in_pages_of_any_size(sagemaker, edges, by, key, size):
    for order in ("Ascending", "Descending"):
        found = [
            item
            for page in pages(sagemaker, "list_associations", SortBy=by, SortOrder=order, MaxResults=size)
            for item in page["AssociationSummaries"]
        ]
        assert {(item["SourceName"], item["DestinationName"], item["AssociationType"]) for item in found} == set(edges)
        assert len(found) == len(edges)
        assert [key(item) for item in found] == sorted((key(item) for item in found), reverse=order == "Descending")


def test_the_quota_is_kept(start):
    sagemaker = client(start(quotas=Quotas(associations=1)).url)
    a, b = create(sagemaker, "Context", "a"), create(sagemaker, "Context", "b")
    sagemaker.add_association(SourceArn=a, DestinationArn=b)
    with refuses("ResourceLimitExceeded", "1"):
        sagemaker.add_association(SourceArn=b, DestinationArn=a)
    sagemaker.delete_association(SourceArn=a, DestinationArn=b)
    sagemaker.add_association(SourceArn=b, DestinationArn=a)
