"""AddTags, ListTags and DeleteTags, and the tags that a creation brings along.

Knows the members of requests and answers; must not know how the graph is kept.
"""

from __future__ import annotations

from collections import Counter

from lineage_flows.endpoint.assumptions import no_such_resource, too_many_tags
from lineage_flows.endpoint.backend import Answer, Backend, Handler, Request
from lineage_flows.endpoint.errors import validation

__all__ = ["OPERATIONS", "read_tags"]

MOST_TAGS = 50
"""Of one resource (D)."""


def read_tags(given: list[dict[str, str]]) -> dict[str, str]:
    """Tags by key.

    Raises:
        ServiceError: ``ValidationException``: a key is there twice, or is one of AWS's own.
    """
    twice = sorted(key for key, times in Counter(tag["Key"] for tag in given).items() if times > 1)
    if twice:
        raise validation(f"Duplicate tag key found: {twice[0]}. Please note that tag keys are unique.")
    reserved = sorted(tag["Key"] for tag in given if tag["Key"].lower().startswith("aws:"))
    if reserved:
        raise validation(f"Tag key {reserved[0]} is reserved: keys that begin with aws: cannot be given.")
    return {tag["Key"]: tag["Value"] for tag in given}


def add_tags(backend: Backend, request: Request) -> Answer:
    """Put tags on a resource, over those of the same keys."""
    arn, tags = request["ResourceArn"], read_tags(request["Tags"])
    with backend.store.writing() as change:
        if change.end(arn) is None:
            raise no_such_resource(arn)
        if len(change.tags(arn).keys() | tags.keys()) > MOST_TAGS:
            raise too_many_tags(arn, MOST_TAGS)
        change.tag(arn, tags)
        return {"Tags": _listed(change.tags(arn))}


def list_tags(backend: Backend, request: Request) -> Answer:
    """All tags of a resource. A page has room for at least as many as there can be, so there is but one."""
    if "NextToken" in request:
        raise validation("The NextToken is not valid: there is but one page.")
    arn = request["ResourceArn"]
    with backend.store.reading() as snapshot:
        if snapshot.end(arn) is None:
            raise no_such_resource(arn)
        return {"Tags": _listed(snapshot.tags(arn))}


def delete_tags(backend: Backend, request: Request) -> Answer:
    """Take tags off a resource; keys that it does not have are passed over."""
    arn = request["ResourceArn"]
    with backend.store.writing() as change:
        if change.end(arn) is None:
            raise no_such_resource(arn)
        change.untag(arn, request["TagKeys"])
    return {}


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


OPERATIONS: dict[str, Handler] = {"AddTags": add_tags, "ListTags": list_tags, "DeleteTags": delete_tags}
