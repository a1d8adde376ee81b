"""What a property name of Search means (``Parameters.depth.NumberValue``, ``Tags.team``, ``Metrics.accuracy``), and its values.

Knows the shapes of botocore's service model, so that which properties there are cannot drift from AWS; must not know what is
compared with them. A record is the document of one resource in the shape that Search gives out, moments as RFC 3339 texts in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lineage_flows.endpoint.errors import validation
from lineage_flows.endpoint.shapes import Shape, output_shape

__all__ = ["RESOURCES", "Kind", "Property", "Value", "find_property", "nested_in", "record_shape"]

RESOURCES = {
    "TrainingJob": ("TrainingJob", "TrainingJobArn"),
    "Experiment": ("Experiment", "ExperimentArn"),
    "ExperimentTrial": ("Trial", "TrialArn"),
    "ExperimentTrialComponent": ("TrialComponent", "TrialComponentArn"),
    "ModelPackage": ("ModelPackage", "ModelPackageArn"),
    "ModelPackageGroup": ("ModelPackageGroup", "ModelPackageGroupArn"),
}
"""Resource of a request -> the member of a result that holds it, and that document's own ARN.

Search covers no artifacts, actions or contexts (D: its resources are an enumeration)."""

Kind = Literal["text", "number", "moment", "flag", "parameter"]
"""How the values of a property compare. A ``parameter`` is a number where it looks like one, else a text."""

Value = str | float | bool

_STATISTICS = frozenset({"Avg", "Count", "Last", "Max", "Min", "StdDev"})

_KINDS: dict[str, Kind] = {
    "string": "text",
    "character": "text",
    "integer": "number",
    "long": "number",
    "float": "number",
    "double": "number",
    "timestamp": "moment",
    "boolean": "flag",
}

_Reader = Callable[[Any], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a resource.

    Attributes:
        name: as it was written.
        kind: how its values compare.
        read: its values in a record; none when the record has no such property, several when it lies in a list.
    """

    name: str
    kind: Kind
    read: Callable[[Mapping[str, Any]], list[Value]]


def record_shape(resource: str) -> Shape:
    """The shape of a resource's documents, as Search gives them out."""
    results = output_shape("Search").members["Results"].member
    return results.members[RESOURCES[resource][0]]


def find_property(shape: Shape, name: str, prefix: str = "") -> Property:
    """The property of a name.

    Args:
        shape: of the documents.
        name: members joined by dots; a list is passed through, a map's key follows it.
        prefix: what stands before the name in messages.

    Raises:
        ServiceError: ``ValidationException``: the resource has no such property (D; the words U).
    """
    found = (_special(shape, name) or _find(shape, name)) if name else None
    if found is None:
        raise validation(f"Unknown property name: {prefix}{name}")
    kind, read = found

    def values(document: Mapping[str, Any]) -> list[Value]:
        return [value for value in read(document) if value is not None]

    return Property(prefix + name, kind, values)


def nested_in(shape: Shape, name: str) -> tuple[Shape, Callable[[Mapping[str, Any]], list[Mapping[str, Any]]]]:
    """The objects of a list property that a nested filter looks at, one by one, and their shape.

    Raises:
        ServiceError: ``ValidationException``: the resource has no such list of objects.
    """
    inner, steps = shape, name.split(".")
    for step in steps:
        inner = inner.members.get(step) if inner is not None and inner.type_name == "structure" else None
        while inner is not None and inner.type_name == "list":
            inner = inner.member
    if inner is None or inner.type_name != "structure":
        raise validation(f"Unknown nested property name: {name}")

    def objects(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        found: list[Any] = [document]
        for step in steps:
            found = [part for item in found for part in _flat(item.get(step))]
        return found

    return inner, objects


def _special(shape: Shape, name: str) -> tuple[Kind, _Reader] | None:
    """The names that AWS describes by themselves (D): tags, metrics and hyperparameters."""
    head, _, rest = name.partition(".")
    if not rest or shape.type_name != "structure":
        return None
    if head == "Tags" and "Tags" in shape.members:
        return "text", lambda document: (tag["Value"] for tag in document.get("Tags") or () if tag["Key"] == rest)
    if head == "Metrics" and "FinalMetricDataList" in shape.members:
        return "number", lambda document: _metrics(document.get("FinalMetricDataList"), rest, "Value")
    if head == "Metrics" and "Metrics" in shape.members:
        metric, _, statistic = rest.rpartition(".")
        if statistic not in _STATISTICS or not metric:
            metric, statistic = rest, "Last"  # which of its figures a bare name means is not documented (U)
        return "number", lambda document: _metrics(document.get("Metrics"), metric, statistic)
    if head == "HyperParameters" and head in shape.members:
        return "parameter", lambda document: iter([(document.get(head) or {}).get(rest)])
    return None


def _metrics(listed: list[Mapping[str, Any]] | None, name: str, figure: str) -> Iterator[Any]:
    return (metric.get(figure) for metric in listed or () if metric.get("MetricName") == name)


def _find(shape: Shape, name: str) -> tuple[Kind, _Reader] | None:
    """Follow a name into a shape; None when it leads nowhere."""
    if shape.type_name == "list":
        inner = _find(shape.member, name)
        return None if inner is None else (inner[0], _each(inner[1]))
    if not name:
        return _leaf(shape)
    if shape.type_name == "map":
        return _find_key(shape, name)
    head, _, rest = name.partition(".")
    if shape.type_name != "structure" or head not in shape.members or name.endswith("."):
        return None
    inner = _find(shape.members[head], rest)
    return None if inner is None else (inner[0], _under(head, inner[1]))


def _find_key(shape: Shape, name: str) -> tuple[Kind, _Reader] | None:
    """A key of a map, and what follows it. A key may have dots in it: only a last part that is a member is none of it."""
    key, _, member = name.rpartition(".")
    objects = shape.value.type_name == "structure"
    if not (objects and key and member in shape.value.members):
        key, member = name, ""
    inner = _find(shape.value, member)
    if inner is None:
        return None
    if objects and not member:
        # ``Parameters.depth``: whichever of StringValue and NumberValue there is (I: the experiments SDK filters so).
        return "parameter", lambda items: iter((items.get(key) or {}).values())
    return inner[0], _under(key, inner[1])


def _each(read: _Reader) -> _Reader:
    return lambda items: (value for item in items or () for value in read(item))


def _under(key: str, read: _Reader) -> _Reader:
    return lambda holder: read(holder[key]) if (holder or {}).get(key) is not None else iter(())


def _leaf(shape: Shape) -> tuple[Kind, _Reader]:
    kind = _KINDS.get(shape.type_name)
    if kind is not None:
        return kind, lambda value: iter([value])
    return (
        "text",
        _texts,
    )  # a whole structure, list or map: the texts in it (AWS names ``Tags`` and ``InputArtifacts`` so)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield str(value)


def _flat(value: Any) -> list[Any]:  # noqa: ANN401 - a part of a document
    if isinstance(value, list):
        return [part for item in value for part in _flat(item)]
    return [] if value is None else [value]
