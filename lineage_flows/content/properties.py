"""Makes named settings of any kind into JSON that is small, finite in depth and holds no secret.

Knows the standard library's scalars and numpy's by their ``item``; runs no other code of a value than its ``str``.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import os
import pathlib
import types
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from pydantic import JsonValue

from lineage_flows.content.containers import is_number
from lineage_flows.content.guard import attempt
from lineage_flows.content.naming import comes_from, is_secret, shown_name
from lineage_flows.redaction import is_secret_name

__all__ = ["MASK", "plain", "plain_mapping"]

MASK = "***"
"""What stands where a secret would."""

MOST_ENTRIES = 100
LONGEST_TEXT = 1_000
_DEEPEST = 4
_EXACT = 1 << 53
_AS_TEXT = (decimal.Decimal, dt.date, dt.time, dt.timedelta, pathlib.PurePath)
_NAMED = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_REST = "…"


def plain_mapping(named: Mapping[str, object], depth: int = 0) -> dict[str, JsonValue]:
    """The entries as JSON: of more than 100 the first, and under ``"…"`` how many are left out.

    A value whose name or type says that it is a secret is ``***``.
    """
    found: dict[str, JsonValue] = {}
    for key, value in islice(named.items(), MOST_ENTRIES):
        name = _text(str(key))
        found[name] = MASK if is_secret_name(name) else plain(value, depth + 1)
    if len(named) > MOST_ENTRIES:
        found[_REST] = len(named) - MOST_ENTRIES
    return found


def plain(value: object, depth: int = 0) -> JsonValue:
    """A value as JSON. NaN and infinities, and integers beyond 53 bits, are texts; what has no short form is its type's name."""
    made, _ = attempt(_plain, value, depth)
    return made


def _plain(value: object, depth: int) -> JsonValue:
    cls = type(value)
    made: JsonValue = f"<{shown_name(cls)}>"
    if is_secret(cls):
        made = MASK
    elif value is None or cls is bool:
        made = value  # type: ignore[assignment]  # None or a bool
    elif cls is not decimal.Decimal and (is_number(value) or comes_from(cls, "numpy", "bool")):
        made = _number(value if cls in (int, float) else value.item())  # type: ignore[attr-defined]
    elif issubclass(cls, enum.Enum):
        made = _text(str(value._name_))  # type: ignore[attr-defined]
    elif issubclass(cls, str):
        made = _text(str.__str__(value))
    elif issubclass(cls, _AS_TEXT):
        made = _text(os.fspath(value) if isinstance(value, pathlib.PurePath) else str(value))
    elif depth < _DEEPEST and cls is dict:
        made = plain_mapping(value, depth)  # type: ignore[arg-type]
    elif depth < _DEEPEST and cls in (list, tuple, set, frozenset):
        made = _items(value, depth)  # type: ignore[arg-type]
    elif cls in _NAMED or issubclass(cls, type):
        made = _text(str(value.__qualname__))  # type: ignore[attr-defined]
    return made


def _items(value: Collection[object], depth: int) -> JsonValue:
    items = [plain(item, depth + 1) for item in islice(value, MOST_ENTRIES)]
    if isinstance(value, set | frozenset):
        items.sort(key=repr)
    more = len(value) - MOST_ENTRIES
    return [*items, {_REST: more}] if more > 0 else items


def _number(value: Any) -> JsonValue:  # noqa: ANN401 - what numpy's item gives
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if -_EXACT <= value <= _EXACT else hex(value)


def _text(text: str) -> str:
    """As UTF-8 and JSON can hold it, and not too long."""
    safe = text.encode("utf-8", "backslashreplace").decode()
    return safe if len(safe) <= LONGEST_TEXT else safe[:LONGEST_TEXT] + _REST
