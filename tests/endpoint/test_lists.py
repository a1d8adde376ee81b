"""Lists of artifacts, actions and contexts over boto3: order, filters, pages."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.endpoint.kit import KINDS, Direct, client, create, pages, refuses


def names(answers, kind):
    return [item[f"{kind}Name"] for answer in answers for item in answer[f"{kind}Summaries"]]


def list_of(sagemaker, kind, **members):
    return list(pages(sagemaker, f"list_{kind.lower()}s", **members))


@pytest.mark.parametrize("kind", KINDS)
def test_newest_first_ten_at_a_time(sagemaker, kind):
    made = [f"n{number}" for number in range(23)]
    for name in made:
        create(sagemaker, kind, name)
    answers = list_of(sagemaker, kind)
    assert [len(answer[f"{kind}Summaries"]) for answer in answers] == [10, 10, 3]
    assert names(answers, kind) == made[::-1]
    assert names(list_of(sagemaker, kind, SortOrder="Ascending", SortBy="CreationTime"), kind) == made
    paginator = sagemaker.get_paginator(f"list_{kind.lower()}s")
    assert names(paginator.paginate(PaginationConfig={"PageSize": 7}), kind) == made[::-1]


@pytest.mark.parametrize("kind", ["Action", "Context"])
def test_sorted_by_name(sagemaker, kind):
    for name in ("b", "a", "C", "c1"):
        create(sagemaker, kind, name)
    assert names(list_of(sagemaker, kind, SortBy="Name", SortOrder="Ascending", MaxResults=3), kind) == [
        "C",
        "a",
        "b",
        "c1",
    ]
    assert names(list_of(sagemaker, kind, SortBy="Name", MaxResults=1), kind) == ["c1", "b", "a", "C"]


def test_artifacts_are_not_sorted_by_name(endpoint):
    with refuses("ValidationException", "enum value set: [CreationTime]"):
        client(endpoint.url, checks=False).list_artifacts(SortBy="Name")


@pytest.mark.parametrize("kind", KINDS)
def test_filters(sagemaker, kind):
    create(sagemaker, kind, "a", **{f"{kind}Type": "Model"})
    create(sagemaker, kind, "b")
    create(sagemaker, kind, "c", Source={"SourceUri": "s3://desk/a", "SourceType": "x"} if kind != "Artifact" else
           {"SourceUri": "s3://desk/a", "SourceTypes": [{"SourceIdType": "Custom", "Value": "1"}]})  # fmt: skip
    assert names(list_of(sagemaker, kind, **{f"{kind}Type": "Model"}), kind) == ["a"]
    assert names(list_of(sagemaker, kind, SourceUri="s3://desk/a"), kind) == ["c", "a"]
    assert names(list_of(sagemaker, kind, SourceUri="s3://desk/a", **{f"{kind}Type": "Thing"}), kind) == ["c"]
    assert names(list_of(sagemaker, kind, SourceUri="s3://desk"), kind) == []
    (answer,) = list_of(sagemaker, kind)
    times = {item[f"{kind}Name"]: item["CreationTime"] for item in answer[f"{kind}Summaries"]}
    assert names(list_of(sagemaker, kind, CreatedAfter=times["b"]), kind) == ["c", "b"]
    assert names(list_of(sagemaker, kind, CreatedBefore=times["b"]), kind) == ["b", "a"]
    assert names(list_of(sagemaker, kind, CreatedAfter=times["b"], CreatedBefore=times["b"]), kind) == ["b"]
    future = datetime.now(UTC) + timedelta(days=1)
    assert names(list_of(sagemaker, kind, CreatedAfter=future), kind) == []


def test_summaries_say_what_descriptions_say(sagemaker):
    arn = create(sagemaker, "Action", "it", Status="Stopped", Source={"SourceUri": "s3://x", "SourceId": "4"})
    (found,) = sagemaker.list_actions()["ActionSummaries"]
    described = sagemaker.describe_action(ActionName=arn)
    assert found == {key: described[key] for key in found}
    assert set(found) == {
        "ActionArn",
        "ActionName",
        "Source",
        "ActionType",
        "Status",
        "CreationTime",
        "LastModifiedTime",
    }


def test_a_token_is_good_for_its_list_alone_and_for_pages_of_another_size(sagemaker):
    for name in "abcde":
        create(sagemaker, "Context", name)
        create(sagemaker, "Action", name)
    token = sagemaker.list_contexts(MaxResults=2, ContextType="Thing")["NextToken"]
    assert names([sagemaker.list_contexts(MaxResults=100, ContextType="Thing", NextToken=token)], "Context") == list(
        "cba"
    )
    for other in (
        {},
        {"ContextType": "Other"},
        {"ContextType": "Thing", "SortOrder": "Ascending"},
        {"ContextType": "Thing", "SortBy": "Name"},
    ):
        with refuses("ValidationException", "NextToken"):
            sagemaker.list_contexts(NextToken=token, **other)
    with refuses("ValidationException", "NextToken"):
        sagemaker.list_actions(NextToken=sagemaker.list_contexts(MaxResults=2)["NextToken"])
    content = base64.urlsafe_b64decode(token)
    forged = base64.urlsafe_b64encode(content[:16] + content[16:].replace(b"context/d", b"context/a")).decode()
    for wrong in (forged, "", "x", "é", token[:-4], token + "AAAA"):
        with refuses("ValidationException", "NextToken"):
            sagemaker.list_contexts(ContextType="Thing", NextToken=wrong)


def test_a_token_outlives_the_endpoint_and_is_known_to_another_over_the_same_graph(start):
    first = start()
    sagemaker = client(first.url)
    for name in "abc":
        create(sagemaker, "Context", name)
    token = sagemaker.list_contexts(MaxResults=2)["NextToken"]
    first.close()
    assert names([client(start().url).list_contexts(NextToken=token)], "Context") == ["a"]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 25),
    size=st.integers(1, 12),
    order=st.sampled_from(["Ascending", "Descending"]),
    by=st.sampled_from(["Name", "CreationTime"]),
    written=st.lists(st.sampled_from(["make", "delete", "change"]), max_size=8),
)
def test_every_item_that_was_there_all_along_is_listed_once(count, size, order, by, written):
    call = Direct()
    there = {f"n{number:02d}" for number in range(count)}
    for name in sorted(there):
        call("CreateAction", ActionName=name, ActionType="T", Source={"SourceUri": "u"})
    doomed = sorted(there)[1::4]
    found: list[str] = []
    members = {"MaxResults": size, "SortOrder": order, "SortBy": by}
    while True:
        answer = call("ListActions", **members)
        assert len(answer["ActionSummaries"]) <= size
        found += [item["ActionName"] for item in answer["ActionSummaries"]]
        if "NextToken" not in answer:
            break
        members["NextToken"] = answer["NextToken"]
        if written:
            what = written.pop()
            if what == "make":
                call("CreateAction", ActionName=f"m{len(written)}", ActionType="T", Source={"SourceUri": "u"})
            elif what == "delete" and doomed:
                gone = doomed.pop()
                there.discard(gone)
                call("DeleteAction", ActionName=gone)
            elif there:
                call("UpdateAction", ActionName=min(there), Status="Failed")
    assert len(found) == len(set(found))
    assert there <= set(found)
    key = (lambda name: name) if by == "Name" else None
    if key is not None:
        assert found == sorted(found, reverse=order == "Descending")
    call.store.close()
