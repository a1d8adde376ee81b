"""Lists in pages: the order, where a page begins, and the token that leads to the next.

Knows SQL's row values and nothing of what is listed. A page begins after the last item of the one before it, and not at a number:
what is written in between moves nothing, so that every item that was there all along is seen exactly once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson

from lineage_flows.endpoint.backend import Request
from lineage_flows.endpoint.errors import validation

__all__ = ["DEFAULT_RESULTS", "Page", "Window", "scope_of", "turn_page"]

DEFAULT_RESULTS = 10
_SIGNATURE = 16
_BESIDE = frozenset({"NextToken", "MaxResults"})
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Window:
    """Which items make a page, for a query.

    Attributes:
        condition: SQL that holds for what comes after the last page; always true for the first.
        values: of its parameters.
        order: what follows ``ORDER BY``.
        limit: how many to fetch: one more than the page has, which tells whether there is another.
    """

    condition: str
    values: tuple[object, ...]
    order: str
    limit: int


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """Items, and the token for the next page; None when this is the last."""

    items: list[_T]
    token: str | None


def turn_page(
    operation: str,
    request: Request,
    *,
    columns: Sequence[str],
    secret: bytes,
    fetch: Callable[[Window], list[_T]],
    position: Callable[[_T], Sequence[str]],
) -> Page[_T]:
    """One page of a list.

    Args:
        operation: its name; a token of another operation is refused.
        request: as it was sent, with ``SortOrder``, ``MaxResults`` and ``NextToken``. A token is good for the same filters and the
            same order only; the size of a page may change.
        columns: what it is sorted by, as SQL; the last of them tell apart what is else equal.
        secret: by which tokens are signed.
        fetch: gives the items of a window.
        position: the values of ``columns`` of an item.

    Raises:
        ServiceError: ``ValidationException``: the token is none of ours, or of another list.
    """
    descending = request.get("SortOrder", "Descending") == "Descending"
    size = request.get("MaxResults", DEFAULT_RESULTS)
    scope = scope_of(operation, request)
    after = _opened(request["NextToken"], scope, secret, len(columns)) if "NextToken" in request else None
    condition = "1"
    values: tuple[str, ...] = ()
    if after is not None:
        marks = ", ".join("?" * len(columns))
        condition, values = f"({', '.join(columns)}) {'<' if descending else '>'} ({marks})", tuple(after)
    order = ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column in columns)
    found = fetch(Window(condition, values, order, size + 1))
    items = found[:size]
    token = _sealed(list(position(items[-1])), scope, secret) if len(found) > size else None
    return Page(items, token)


def scope_of(operation: str, request: Request) -> bytes:
    """Tells lists apart, and not their pages: what a token is good for."""
    said = {key: value for key, value in request.items() if key not in _BESIDE}
    return hashlib.sha256(orjson.dumps([operation, said], option=orjson.OPT_SORT_KEYS)).digest()


def _sealed(position: list[str], scope: bytes, secret: bytes) -> str:
    content = orjson.dumps(position)
    return base64.urlsafe_b64encode(_signature(content, scope, secret) + content).decode()


def _opened(token: str, scope: bytes, secret: bytes, width: int) -> list[str]:
    try:
        content = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    signature, content = content[:_SIGNATURE], content[_SIGNATURE:]
    if not hmac.compare_digest(signature, _signature(content, scope, secret)):
        raise validation(
            "The NextToken is not valid: it is no token of this list, or its filters or its order are others."
        )
    position: list[str] = orjson.loads(content)
    if len(position) != width:
        raise validation("The NextToken is not valid.")
    return position


def _signature(content: bytes, scope: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, scope + content, hashlib.sha256).digest()[:_SIGNATURE]
