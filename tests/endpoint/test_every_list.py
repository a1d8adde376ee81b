"""Every member of every list that filters, sorts or pages, as botocore's model has them, over boto3.

The tables are held against the model first: a release of botocore that declares another fails here until it is driven. What comes
back is held against a plain evaluation of what was put in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lineage_flows.endpoint.service import OPERATIONS
from tests.endpoint.account import NOWHERE, Account, Item, base, called, experiment_of, members, number_of, required
from tests.endpoint.kit import KINDS, refuses

PAGED = {"SortBy", "SortOrder", "MaxResults", "NextToken"}
LISTS = sorted(operation for operation in OPERATIONS if operation.startswith("List"))


def listed(account: Account, operation: str, **request: Any) -> list[Item]:
    """Everything that a list has, page after page."""
    found: list[Item] = []
    request = {**base(account, operation), **request}
    while True:
        answer = called(account.sagemaker, operation, request)
        (field,) = [key for key, value in answer.items() if isinstance(value, list)]
        assert len(answer[field]) <= request.get("MaxResults", 10 if operation != "ListTags" else 50)
        found += answer[field]
        if "NextToken" not in answer:
            return found
        request["NextToken"] = answer["NextToken"]


@dataclass(frozen=True)
class Filter:
    """A member that filters: which values are tried, of all that is listed, and which items each leaves."""

    values: Callable[[list[Item]], list[Any]]
    holds: Callable[[Item, Any], bool]


def by(*path: str, absent: Any) -> Filter:
    """An item has the value itself."""

    def read(item: Item) -> Any:
        for step in path:
            item = item.get(step, {})
        return item or None

    return Filter(
        lambda items: [*dict.fromkeys(value for item in items if (value := read(item)) is not None), absent],
        lambda item, value: read(item) == value,
    )


FAR = [datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1)]


def when(holds: Callable[[datetime, datetime], bool]) -> Filter:
    return Filter(
        lambda items: [*(item["CreationTime"] for item in items[::3]), *FAR],
        lambda item, value: holds(item["CreationTime"], value),
    )


TIMES = {
    "CreatedAfter": when(lambda made, value: made >= value),
    "CreatedBefore": when(lambda made, value: made <= value),
}
"""Of lineage: on or after, on or before (D)."""
STRICT = {
    "CreatedAfter": when(lambda made, value: made > value),
    "CreatedBefore": when(lambda made, value: made < value),
}
"""Of experiments: after, before (D)."""
OF_TRIALS = Filter(
    lambda _: ["b0", "a1", "c2"], lambda item, value: experiment_of(number_of(item, "TrialName")) == value
)
FILTERS: dict[str, dict[str, Filter]] = {
    **{
        f"List{kind}s": {
            **TIMES,
            "SourceUri": by("Source", "SourceUri", absent="s3://none"),
            f"{kind}Type": by(f"{kind}Type", absent="No"),
        }
        for kind in KINDS
    },
    "ListAssociations": {
        **TIMES,
        **{end: by(end, absent=NOWHERE) for end in ("SourceArn", "DestinationArn")},
        **{end: by(end, absent="No") for end in ("SourceType", "DestinationType")},
        "AssociationType": by("AssociationType", absent="SameAs"),
    },
    "ListExperiments": STRICT,
    "ListTrials": {
        **STRICT,
        "ExperimentName": OF_TRIALS,
        "TrialComponentName": Filter(
            lambda _: ["b0-aws-training-job", "a4-aws-training-job"],
            lambda item, value: value == f"{item['TrialName']}-aws-training-job",
        ),
    },
    "ListTrialComponents": {
        **STRICT,
        "ExperimentName": Filter(
            OF_TRIALS.values, lambda item, value: experiment_of(number_of(item, "TrialComponentName")) == value
        ),
        "TrialName": Filter(
            lambda _: ["b0", "a4"], lambda item, value: item["TrialComponentName"] == f"{value}-aws-training-job"
        ),
        "SourceArn": by("TrialComponentSource", "SourceArn", absent="arn:aws:sagemaker:us-east-1:000000000000:training-job/none"),
    },
    "ListLineageGroups": TIMES,
    "ListTags": {"ResourceArn": Filter(lambda _: [], lambda *_: False)},
}  # fmt: skip


@pytest.mark.parametrize("operation", LISTS)
def test_the_table_has_every_member_of_every_list(operation: str) -> None:
    assert FILTERS[operation].keys() == members(operation).keys() - PAGED


@pytest.mark.parametrize(("operation", "member"), [(name, member) for name in LISTS for member in FILTERS[name]])
def test_a_filter_leaves_what_has_the_value(account: Account, operation: str, member: str) -> None:
    everything = listed(account, operation)
    kept = FILTERS[operation][member]
    for value in kept.values(everything):
        expected = [item for item in everything if kept.holds(item, value)]
        assert listed(account, operation, **{member: value}) == expected, value
    if operation == "ListTags":
        assert listed(account, operation, ResourceArn=account.arns["Action"][1]) == []
        assert len(everything) == 50


def key_of(operation: str, order: str) -> str:
    kind = operation.removeprefix("List").removesuffix("s")
    return f"{kind}Name" if order == "Name" else order


ORDERS = [
    (name, order) for name in LISTS if "SortBy" in members(name) for order in members(name)["SortBy"].metadata["enum"]
]


@pytest.mark.parametrize(("operation", "order"), ORDERS)
def test_every_order_is_kept_both_ways(account: Account, operation: str, order: str) -> None:
    everything, key = listed(account, operation), key_of(operation, order)
    ways = {
        way: listed(account, operation, SortBy=order, SortOrder=way)
        for way in members(operation)["SortOrder"].metadata["enum"]
    }
    assert ways["Ascending"] == ways["Descending"][::-1]
    keys = [item[key] for item in ways["Ascending"]]
    assert keys == sorted(keys)
    assert sorted(map(repr, ways["Ascending"])) == sorted(map(repr, everything))
    assert listed(account, operation, SortBy=order) == ways["Descending"], "newest, or greatest, first"


@pytest.mark.parametrize("operation", [*LISTS, "Search", "QueryLineage"])
def test_pages_of_any_size_are_the_whole_and_of_no_other_size(account: Account, operation: str) -> None:
    shape = members(operation)["MaxResults"]
    least, most = shape.metadata.get("min", 1), shape.metadata.get("max")  # ListTags has no most
    for size in [least - 1, *([most + 1] if most else [])]:
        with refuses("ValidationException"):
            called(account.unchecked, operation, {**required(account, operation), "MaxResults": size})
    with refuses("ValidationException", "NextToken"):
        called(account.unchecked, operation, {**required(account, operation), "NextToken": "none"})
    if operation in LISTS:
        everything = listed(account, operation)
        for size in sorted({least, max(least, 3), most or 100}):
            assert listed(account, operation, MaxResults=size) == everything
