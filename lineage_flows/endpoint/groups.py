"""Lineage groups: an account has one, the default group, and none can be made (D).

Knows the members of requests and answers.
"""

from __future__ import annotations

from lineage_flows.endpoint.assumptions import DEFAULT_GROUP
from lineage_flows.endpoint.backend import Answer, Backend, Handler, Request
from lineage_flows.endpoint.entities import GROUP_ARN
from lineage_flows.endpoint.errors import not_found, validation
from lineage_flows.endpoint.moments import epoch_seconds

__all__ = ["OPERATIONS"]


def describe_group(backend: Backend, request: Request) -> Answer:
    """The default group."""
    _known(request["LineageGroupName"])
    return _group(backend) | {"CreatedBy": {}, "LastModifiedBy": {}}


def group_policy(_: Backend, request: Request) -> Answer:
    """The policy of the default group. It is shared with nobody, and so has none (U: that it is left out then)."""
    _known(request["LineageGroupName"])
    return {"LineageGroupArn": GROUP_ARN}


def list_groups(backend: Backend, request: Request) -> Answer:
    """The default group, if it was made in the span that is asked for."""
    if "NextToken" in request:
        raise validation("The NextToken is not valid: there is but one page.")
    made = backend.store.made
    shown = request.get("CreatedAfter", made) <= made <= request.get("CreatedBefore", made)
    return {"LineageGroupSummaries": [_group(backend)] if shown else []}


def _known(name_or_arn: str) -> None:
    if name_or_arn not in {DEFAULT_GROUP, GROUP_ARN}:
        raise not_found(f"Lineage group {name_or_arn} does not exist.")


def _group(backend: Backend) -> Answer:
    made = epoch_seconds(backend.store.made)
    return {
        "LineageGroupArn": GROUP_ARN,
        "LineageGroupName": DEFAULT_GROUP,
        "DisplayName": DEFAULT_GROUP,
        "CreationTime": made,
        "LastModifiedTime": made,
    }


OPERATIONS: dict[str, Handler] = {
    "DescribeLineageGroup": describe_group,
    "GetLineageGroupPolicy": group_policy,
    "ListLineageGroups": list_groups,
}
