"""Checks a request against the shapes of the service model, in SageMaker's words, and reads it.

Knows botocore's shapes; must not know what an operation means. botocore itself checks required members, types and the least
lengths on the client; the greatest lengths, patterns, enumerations and ranges only the service checks, and so here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lineage_flows.endpoint.errors import serialization, validation
from lineage_flows.endpoint.moments import moment
from lineage_flows.endpoint.patterns import fits
from lineage_flows.endpoint.shapes import Shape

__all__ = ["read_request"]


def read_request(shape: Shape, document: object) -> dict[str, Any]:
    """The members of a request by name: null and absent are the same, moments are RFC 3339 texts in UTC as the graph has them.

    Args:
        shape: the operation's input; None when it takes nothing.
        document: the parsed JSON.

    Raises:
        ServiceError: ``SerializationException`` for a value of a wrong type, ``ValidationException`` for all that breaks a
            constraint, together in one message.
    """
    if not isinstance(document, dict):
        raise serialization(_wrong_type(document, "a structure"))
    if shape is None:
        return {}
    found: dict[str, Any] = _converted(shape, document)
    broken = list(_broken(shape, found, ""))
    if broken:
        errors = "1 validation error" if len(broken) == 1 else f"{len(broken)} validation errors"
        raise validation(f"{errors} detected: {'; '.join(broken)}")
    return found


# Types


def _converted(shape: Shape, value: object) -> Any:  # noqa: ANN401 - any JSON value
    return _CONVERTERS[shape.type_name](shape, value)


def _structure(shape: Shape, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise serialization(_wrong_type(value, "a structure"))
    # Assumed, since AWS does not say what it does with them: refusing shows a misspelt name, which passing over would hide.
    unknown = sorted(value.keys() - shape.members.keys())
    if unknown:
        raise serialization(f"{shape.name} has no member {unknown[0]!r}")
    return {name: _converted(shape.members[name], item) for name, item in value.items() if item is not None}


def _list(shape: Shape, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise serialization(_wrong_type(value, "a list"))
    return [None if item is None else _converted(shape.member, item) for item in value]


def _map(shape: Shape, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise serialization(_wrong_type(value, "a map"))
    return {key: None if item is None else _converted(shape.value, item) for key, item in value.items()}


def _string(_: Shape, value: object) -> str:
    if not isinstance(value, str):
        raise serialization(_wrong_type(value, "a String"))
    return value


def _whole(_: Shape, value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise serialization(_wrong_type(value, "an Integer"))
    return value


def _decimal(_: Shape, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise serialization(_wrong_type(value, "a Double"))
    return float(value)


def _boolean(_: Shape, value: object) -> bool:
    if not isinstance(value, bool):
        raise serialization(_wrong_type(value, "a Boolean"))
    return value


def _timestamp(_: Shape, value: object) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise serialization(_wrong_type(value, "a Timestamp"))
    try:
        return moment(value)
    except (OverflowError, ValueError):
        raise serialization(f"{value} is no moment in time") from None


_CONVERTERS: dict[str, Callable[[Shape, object], Any]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _whole,
    "long": _whole,
    "float": _decimal,
    "double": _decimal,
    "boolean": _boolean,
    "timestamp": _timestamp,
}


def _wrong_type(value: object, wanted: str) -> str:
    if isinstance(value, Mapping):
        return "Start of structure or map found where not expected"
    if isinstance(value, list):
        return "Start of list found where not expected"
    if isinstance(value, bool):
        kind = "TRUE_VALUE" if value else "FALSE_VALUE"
    else:
        kind = (
            "NUMBER_VALUE" if isinstance(value, int | float) else "STRING_VALUE" if isinstance(value, str) else "NULL"
        )
    return f"{kind} can not be converted to {wanted}"


# Constraints


def _broken(shape: Shape, value: Any, where: str) -> Iterator[str]:  # noqa: ANN401 - as converted
    """Every constraint that a value breaks, as SageMaker says it."""
    kind, own = shape.type_name, shape.metadata
    for rule, say in _CONSTRAINTS.items():
        if rule in own and not _KEEPS[rule](value, kind, own[rule]):
            yield _said(value, where, say(own, kind))
    if kind in _INNER:
        yield from _INNER[kind](shape, value, where)


def _broken_members(shape: Shape, value: dict[str, Any], where: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield _said(None, _member(where, name), "Member must not be null")
    for name, item in value.items():
        yield from _broken(shape.members[name], item, _member(where, name))


def _broken_items(shape: Shape, value: list[Any], where: str) -> Iterator[str]:
    for position, item in enumerate(value, start=1):
        place = f"{where}.{position}.member"
        if item is None:
            yield _said(None, place, "Member must not be null")
        else:
            yield from _broken(shape.member, item, place)


def _broken_entries(shape: Shape, value: dict[str, Any], where: str) -> Iterator[str]:
    for part, items, inner in (("keys", value, shape.key), ("value", value.values(), shape.value)):
        if any(item is None or any(_broken(inner, item, "")) for item in items):
            rules = [
                say(inner.metadata, inner.type_name) for rule, say in _CONSTRAINTS.items() if rule in inner.metadata
            ]
            yield _said(value, where, f"Map {part} must satisfy constraint: [{', '.join(rules)}]")


_INNER: dict[str, Callable[[Shape, Any, str], Iterator[str]]] = {
    "structure": _broken_members,
    "list": _broken_items,
    "map": _broken_entries,
}
_NUMBERS = frozenset({"integer", "long", "float", "double"})
_CONSTRAINTS: dict[str, Callable[[Mapping[str, Any], str], str]] = {
    "max": lambda own, kind: f"Member must have {_measure(kind)} less than or equal to {own['max']}",
    "min": lambda own, kind: f"Member must have {_measure(kind)} greater than or equal to {own['min']}",
    "enum": lambda own, _: f"Member must satisfy enum value set: [{', '.join(own['enum'])}]",
    "pattern": lambda own, _: f"Member must satisfy regular expression pattern: {own['pattern']}",
}


def _measure(kind: str) -> str:
    return "value" if kind in _NUMBERS else "length"


def _size(value: Any, kind: str) -> float:  # noqa: ANN401 - as converted
    """What a least and a greatest number limit: a number itself, the length of all else.

    U: of a text in characters, as the graph's own limits. Java would count those beyond U+FFFF twice.
    """
    return float(value) if kind in _NUMBERS else len(value)


_KEEPS: dict[str, Callable[[Any, str, Any], bool]] = {
    "max": lambda value, kind, most: _size(value, kind) <= most,
    "min": lambda value, kind, least: _size(value, kind) >= least,
    "enum": lambda value, _, allowed: value in allowed,
    "pattern": lambda value, _, pattern: fits(pattern, value),
}


def _member(where: str, name: str) -> str:
    lower = name[:1].lower() + name[1:]
    return f"{where}.{lower}" if where else lower


def _said(value: object, where: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{_shown(value)}'"
    return f"Value {shown} at '{where}' failed to satisfy constraint: {constraint}"


def _shown(value: object) -> str:
    """A value as Java prints it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(_shown(item) for item in value)}]"
    return "null" if value is None else str(value)
