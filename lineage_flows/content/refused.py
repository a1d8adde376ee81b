"""Values that get no fingerprint at once: iterators, which looking would use up, and connections, which hold no data.

Knows them by their names. Whatever else cannot be pickled is found out by trying.
"""

from __future__ import annotations

from lineage_flows.content.naming import class_attribute, comes_from, module_name, shown_name
from lineage_flows.content.walk import Walk
from lineage_flows.errors import ContentError

__all__ = ["is_connection", "is_iterator", "refuse_connection", "refuse_iterator"]

_ITERATORS = ("builtins", "itertools", "_csv")

CONNECTIONS = (
    ("botocore", "BaseClient"),
    ("botocore", "Session"),
    ("boto3", "Session"),
    ("boto3", "ServiceResource"),
    ("sqlalchemy", "Engine"),
    ("sqlalchemy", "Connection"),
    ("sqlalchemy", "Session"),
)
"""Clients that are often passed between tasks and would be walked for half a second before a lock is met in them."""


def is_iterator(cls: type) -> bool:
    """Whether instances are the interpreter's own iterators: generators, ``map``, ``zip``, what itertools makes."""
    return class_attribute(cls, "__next__") is not None and module_name(cls) in _ITERATORS


def is_connection(cls: type) -> bool:
    """Whether instances are clients of a service or a database."""
    return any(comes_from(cls, library, client) for library, client in CONNECTIONS)


def refuse_iterator(value: object, _walk: Walk) -> bytes:
    """An iterator has no token: making one would consume it.

    Raises:
        ContentError: always.
    """
    raise ContentError(
        "no fingerprint", why=f"a {shown_name(type(value))} can be read only once, which would use it up"
    )


def refuse_connection(value: object, _walk: Walk) -> bytes:
    """A connection has no token.

    Raises:
        ContentError: always.
    """
    raise ContentError("no fingerprint", why=f"a {shown_name(type(value))} is a connection, not data")
