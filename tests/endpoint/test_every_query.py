"""Every member of QueryLineage and Search, as botocore's model has them, over boto3.

The tables are held against the model first: a release of botocore that declares another fails here until it is driven. What comes
back is held against a plain evaluation of what was put in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lineage_flows.endpoint.search_properties import RESOURCES
from tests.endpoint.account import COUNT, Account, Item, called, members, number_of, required


def reached(account: Account, **request: Any) -> list[str]:
    found: list[str] = []
    request = {**required(account, "QueryLineage"), **request}
    while True:
        answer = account.sagemaker.query_lineage(**request)
        found += [vertex["Arn"] for vertex in answer["Vertices"]]
        if "NextToken" not in answer:
            return found
        request["NextToken"] = answer["NextToken"]


def described(account: Account, arn: str) -> Item:
    (kind,) = [kind for kind, arns in account.arns.items() if arn in arns]
    named = {"ArtifactArn": arn} if kind == "Artifact" else {f"{kind}Name": arn.rpartition("/")[2]}
    answer = called(account.sagemaker, f"Describe{kind}", named)
    return {**answer, "Type": answer[f"{kind}Type"], "LineageType": kind}


QUERY_FILTERS: dict[str, Callable[[Item], tuple[Any, Callable[[Item], bool]]]] = {
    "Types": lambda _: (["Model"], lambda item: item["Type"] == "Model"),
    "LineageTypes": lambda _: (["Context"], lambda item: item["LineageType"] == "Context"),
    "Properties": lambda _: ({"parity": "1"}, lambda item: item["Properties"]["parity"] == "1"),
    "CreatedBefore": lambda one: (one["CreationTime"], lambda item: item["CreationTime"] < one["CreationTime"]),
    "CreatedAfter": lambda one: (one["CreationTime"], lambda item: item["CreationTime"] > one["CreationTime"]),
    "ModifiedBefore": lambda one: (one["LastModifiedTime"], lambda item: item["LastModifiedTime"] < one["LastModifiedTime"]),
    "ModifiedAfter": lambda one: (one["LastModifiedTime"], lambda item: item["LastModifiedTime"] > one["LastModifiedTime"]),
}  # fmt: skip
"""Of a vertex: the value that is asked for, and which vertices it leaves; without the moment itself."""


def test_query_lineage_takes_every_member_of_the_model(account: Account) -> None:
    assert members("QueryLineage").keys() == {
        "StartArns", "Direction", "IncludeEdges", "Filters", "MaxDepth", "MaxResults", "NextToken",
    }  # fmt: skip
    assert members("QueryLineage")["Filters"].members.keys() == QUERY_FILTERS.keys()
    start = account.arns["Action"][0]
    above, below = set(account.arns["Artifact"][:2]), set(account.arns["Context"][:2])
    expected = {"Ascendants": above, "Descendants": below, "Both": above | below}
    assert expected.keys() == set(members("QueryLineage")["Direction"].metadata["enum"])
    for direction, arns in expected.items():
        assert set(reached(account, Direction=direction)) == arns
        assert set(reached(account, Direction=direction, IncludeEdges=True)) == {start, *arns}
        assert set(reached(account, Direction=direction, MaxDepth=0)) == set()
        assert set(reached(account, Direction=direction, MaxResults=1)) == arns


@pytest.mark.parametrize("member", sorted(QUERY_FILTERS))
def test_a_filter_of_query_lineage_leaves_what_fits(account: Account, member: str) -> None:
    everything = [described(account, arn) for arn in reached(account)]
    assert len(everything) == 4
    found = set()
    for one in everything:
        value, holds = QUERY_FILTERS[member](one)
        expected = {item[f"{item['LineageType']}Arn"] for item in everything if holds(item)}
        assert set(reached(account, Filters={member: value})) == expected
        found |= expected
    assert found, "some are left"


def searched(account: Account, **request: Any) -> list[int]:
    """Which components a search finds, by number."""
    found: list[int] = []
    for page in account.sagemaker.get_paginator("search").paginate(**{**required(account, "Search"), **request}):
        found += [number_of(item["TrialComponent"], "TrialComponentName") for item in page["Results"]]
    return found


OPERATORS: dict[str, tuple[str, str | None, list[int]]] = {
    "Equals": ("Parameters.n.NumberValue", "3", [3]),
    "NotEquals": ("Parameters.n.NumberValue", "3", [0, 1, 2, 4, 5, 6]),
    "GreaterThan": ("Parameters.n.NumberValue", "4", [5, 6]),
    "GreaterThanOrEqualTo": ("Parameters.n.NumberValue", "4", [4, 5, 6]),
    "LessThan": ("Parameters.n.NumberValue", "2", [0, 1]),
    "LessThanOrEqualTo": ("Parameters.n.NumberValue", "2", [0, 1, 2]),
    "Contains": ("TrialComponentName", "c", [2, 5]),
    "Exists": ("Tags.parity", None, list(range(COUNT))),
    "NotExists": ("Tags.parity", None, []),
    "In": ("Tags.parity", "1,2", [1, 3, 5]),
}


def test_search_takes_every_member_of_the_model(account: Account) -> None:
    shape = members("Search")
    assert shape.keys() == {
        "Resource", "SearchExpression", "SortBy", "SortOrder", "NextToken", "MaxResults", "CrossAccountFilterOption",
        "VisibilityConditions",
    }  # fmt: skip
    expression = shape["SearchExpression"].members
    assert expression.keys() == {"Filters", "NestedFilters", "SubExpressions", "Operator"}
    assert set(expression["Filters"].member.members["Operator"].metadata["enum"]) == OPERATORS.keys()
    for operator, (name, value, expected) in OPERATORS.items():
        wanted = {"Name": name, "Operator": operator, **({} if value is None else {"Value": value})}
        assert sorted(searched(account, SearchExpression={"Filters": [wanted]})) == expected, operator
    low, even = (
        {"Name": "Parameters.n.NumberValue", "Operator": "LessThan", "Value": "3"},
        {"Name": "Tags.parity", "Value": "0"},
    )
    joined = {"And": [0, 2], "Or": [0, 1, 2, 4, 6]}
    assert set(expression["Operator"].metadata["enum"]) == joined.keys()
    for operator, expected in joined.items():
        assert sorted(searched(account, SearchExpression={"Filters": [low, even], "Operator": operator})) == expected
        parts = [{"Filters": [low]}, {"Filters": [even]}]
        assert sorted(searched(account, SearchExpression={"SubExpressions": parts, "Operator": operator})) == expected
    of_trial = {
        "NestedPropertyName": "Parents",
        "Filters": [{"Name": "Parents.TrialName", "Operator": "Equals", "Value": "b3"}],
    }
    assert searched(account, SearchExpression={"NestedFilters": [of_trial]}) == [3]
    for way, expected in (("Ascending", list(range(COUNT))), ("Descending", list(range(COUNT))[::-1])):
        for size in (1, 3, 100):
            pages = {"PaginationConfig": {"PageSize": size}}
            assert searched(account, SortBy="Parameters.n.NumberValue", SortOrder=way, **pages) == expected
    assert sorted(searched(account, VisibilityConditions=[{"Key": "Tags.parity", "Value": "1"}])) == [1, 3, 5]
    here = {"SameAccount": list(range(COUNT)), "CrossAccount": []}
    assert set(shape["CrossAccountFilterOption"].metadata["enum"]) == here.keys()
    for option, expected in here.items():
        assert sorted(searched(account, CrossAccountFilterOption=option)) == expected


@pytest.mark.parametrize("resource", members("Search")["Resource"].metadata["enum"])
def test_search_knows_every_resource_of_the_model_and_finds_what_is_kept(account: Account, resource: str) -> None:
    counts = {
        "ModelPackageGroup": 3,
        **dict.fromkeys(["Experiment", "ExperimentTrial", "ExperimentTrialComponent"], COUNT),
    }
    found = account.sagemaker.search(Resource=resource, MaxResults=100)
    assert found["TotalHits"]["Value"] == len(found["Results"])
    assert len(found["Results"]) == counts.get(resource, 0)
    assert all(set(item) == {RESOURCES[resource][0]} for item in found["Results"])
