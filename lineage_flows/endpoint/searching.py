"""Search: which records satisfy an expression.

Knows the rules of SageMaker's search expressions; must not know where records are kept. What AWS documents is marked D, what is
inferred from its own code I, what is not known U.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lineage_flows.endpoint.errors import validation
from lineage_flows.endpoint.search_properties import (
    Property,
    Value,
    find_property,
    nested_in,
    record_shape,
)
from lineage_flows.endpoint.shapes import Shape

__all__ = ["Record", "compile_expression", "number_in", "visible"]

MOST_CONDITIONS = 50
"""Filters, nested filters and subexpressions in a whole expression (D)."""

MOST_ELEMENTS = 20
"""Elements of one expression (D)."""

Record = Mapping[str, Any]
Predicate = Callable[[Record], bool]

_OFTEN = {
    "Experiment": {"DisplayName", "ExperimentName", "Tags"},
    "ExperimentTrial": {"DisplayName", "TrialName", "Tags"},
    "ExperimentTrialComponent": {"DisplayName", "TrialComponentName", "Tags", "InputArtifacts", "OutputArtifacts"},
}
"""Properties that ``Contains`` may be used on more than once in an expression (D)."""

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}

_ORDERS = _COMPARISONS.keys() - {"Equals"}

_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def visible(record: Record, conditions: Sequence[Mapping[str, str]]) -> bool:
    """Whether a record has none of the conditions' tags, or has them with the values given (D)."""
    tags = {f"Tags.{tag['Key']}": tag["Value"] for tag in record.get("Tags") or ()}
    return all(tags.get(item.get("Key", ""), item.get("Value")) == item.get("Value") for item in conditions)


def compile_expression(resource: str, expression: Mapping[str, Any]) -> Predicate:
    """What tells whether a record satisfies an expression.

    Raises:
        ServiceError: ``ValidationException``: the expression breaks a rule.
    """
    compiler = _Compiler(resource, record_shape(resource))
    predicate = compiler.expression(expression)
    if compiler.conditions > MOST_CONDITIONS:
        raise validation(f"The search expression has more than {MOST_CONDITIONS} conditions.")
    if compiler.contains > 1:
        raise validation("'CONTAINS' operator usage limit of 1 exceeded.")  # the words: D
    return predicate


@dataclass(slots=True)
class _Compiler:
    """Turns expressions into predicates, and counts what is limited."""

    resource: str
    shape: Shape
    conditions: int = 0
    contains: int = 0

    def expression(self, expression: Mapping[str, Any]) -> Predicate:
        filters = expression.get("Filters") or []
        nested = expression.get("NestedFilters") or []
        inner = expression.get("SubExpressions") or []
        elements = len(filters) + len(nested) + len(inner)
        if not elements:
            raise validation("A search expression needs at least one subexpression, filter, or nested filter.")
        if elements > MOST_ELEMENTS:
            raise validation(f"A search expression can contain up to {MOST_ELEMENTS} elements.")
        self.conditions += elements
        predicates = [
            *(self._filter(self.shape, item, item["Name"]) for item in filters),
            *(self._nested(item) for item in nested),
            *(self.expression(item) for item in inner),
        ]
        if expression.get("Operator", "And") == "Or":  # And unless it says otherwise (D)
            return lambda record: any(predicate(record) for predicate in predicates)
        return lambda record: all(predicate(record) for predicate in predicates)

    def _nested(self, item: Mapping[str, Any]) -> Predicate:
        """A single object of the list has to satisfy all of the filters (D)."""
        name = item["NestedPropertyName"]
        shape, objects = nested_in(self.shape, name)
        self.conditions += len(item["Filters"])
        predicates = []
        for part in item["Filters"]:
            if not part["Name"].startswith(f"{name}."):  # full names, in AWS's own example (D)
                raise validation(f"The name of a nested filter begins with {name}., and {part['Name']} does not.")
            predicates.append(self._filter(shape, part, part["Name"][len(name) + 1 :], f"{name}."))
        return lambda record: any(all(predicate(one) for predicate in predicates) for one in objects(record))

    def _filter(self, shape: Shape, item: Mapping[str, str], name: str, prefix: str = "") -> Predicate:
        found = find_property(shape, name, prefix)
        operation, value = item.get("Operator"), item.get("Value")
        if operation is None and value is not None:
            operation = "Equals"  # D
        if operation == "Contains" and item["Name"].split(".")[0] not in _OFTEN.get(self.resource, ()):
            self.contains += 1
        if operation in ("Exists", "NotExists"):
            wanted = operation == "Exists"
            return lambda record: bool(found.read(record)) is wanted
        if operation is None or value is None:
            raise validation(f"The filter on {found.name} needs a value.")
        matches = _matcher(found, operation.removeprefix("Not"), value)
        # Of a property that is not there it is true that it does not equal the value (U); so one is always the other's opposite.
        wanted = not operation.startswith("Not")
        return lambda record: any(matches(held) for held in found.read(record)) is wanted


def _matcher(found: Property, operation: str, value: str) -> Callable[[Value], bool]:
    """What compares one value of a property with that of a filter."""
    if found.kind == "parameter":
        return _parameter(found, operation, value)
    if operation in ("Contains", "In"):
        if found.kind != "text":
            raise validation(f"{operation} is only supported for text properties, and {found.name} is none.")
        return _among(operation, value)
    if found.kind == "text":
        if operation in _ORDERS:
            raise validation(f"{operation} is not supported for text properties such as {found.name}.")
        return lambda held: held == value
    wanted = _READERS[found.kind](found, value)
    compare = _COMPARISONS[operation]
    # Filters give whole seconds: a moment is compared as the second it lies in (U).
    take = _second if found.kind == "moment" else _same
    return lambda held: bool(compare(take(held), wanted))


def _among(operation: str, value: str) -> Callable[[Value], bool]:
    if operation == "Contains":
        return lambda held: value in str(held)
    options = {option.strip() for option in value.split(",")}
    return lambda held: held in options


def _parameter(found: Property, operation: str, value: str) -> Callable[[Value], bool]:
    """Compared as a number where both are numbers; of a hyperparameter decimals do not count against a whole number (D)."""
    if operation in ("Contains", "In"):
        return _among(operation, value)
    number = number_in(value)
    compare = _COMPARISONS[operation]
    if number is None:
        if operation in _ORDERS:
            raise validation(f"{operation} on {found.name} needs a number, and {value} is none.")
        return lambda held: held == value
    whole = found.name.startswith("HyperParameters.") and _WHOLE.fullmatch(value) is not None

    def matches(held: Value) -> bool:
        own = float(held) if isinstance(held, (int, float)) else number_in(held)
        if own is None:
            return False
        return bool(compare(float(int(own)) if whole and abs(own) < 2**53 else own, number))

    return matches


def number_in(text: str) -> float | None:
    """The number that a text is; None when it is none. Python would take ``nan`` and ``1_000`` for numbers, too."""
    return float(text) if _NUMBER.fullmatch(text) else None


def _read_number(found: Property, value: str) -> Value:
    number = number_in(value)
    if number is None:
        raise validation(f"The value for {found.name} must be an integer or a decimal, and {value} is none.")
    return number


def _read_moment(found: Property, value: str) -> Value:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)  # AWS's format has no zone (D); which one is meant is U
        return moment.astimezone(UTC).isoformat(timespec="seconds")[:19]
    except (ValueError, OverflowError):
        raise validation(
            f"The value for {found.name} must be a date and time of ISO 8601, and {value} is none."
        ) from None


def _read_flag(found: Property, value: str) -> Value:
    if value.lower() not in ("true", "false"):
        raise validation(f"The value for {found.name} must be true or false, and {value} is neither.")
    return value.lower() == "true"


_READERS = {"number": _read_number, "moment": _read_moment, "flag": _read_flag}


def _second(held: Value) -> Value:
    return str(held)[:19]


def _same(held: Value) -> Value:
    return held
