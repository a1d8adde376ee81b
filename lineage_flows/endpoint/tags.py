"""AddTags, ListTags and DeleteTags, and the tags that a creation brings along.

Knows the members of requests and answers; must not know how the graph is kept.
"""

from __future__ import annotations

from collections import Counter

from lineage_flows.endpoint.errors import validation

__all__ = ["read_tags"]

MOST_TAGS = 50


def read_tags(given: list[dict[str, str]]) -> dict[str, str]:
    """Tags by key.

    Raises:
        ServiceError: a key is there twice, or is one of AWS's own.
    """
    twice = sorted(key for key, times in Counter(tag["Key"] for tag in given).items() if times > 1)
    if twice:
        raise validation(f"Duplicate tag key found: {twice[0]}. Please note that tag keys are unique.")
    reserved = sorted(tag["Key"] for tag in given if tag["Key"].lower().startswith("aws:"))
    if reserved:
        raise validation(f"Tag key {reserved[0]} is reserved: keys that begin with aws: cannot be given.")
    return {tag["Key"]: tag["Value"] for tag in given}
