"""Rows of the embedded graph's tables to and from the model.

Knows the tables' columns and the model. Rows are not validated again when they are read: they were when they were written.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar, cast

import orjson
from pydantic import BaseModel, ValidationError

from lineage_flows.errors import EventError
from lineage_flows.graph.keeper import GIVEN, META, PROPERTY, Layers, flatten
from lineage_flows.graph.model import (
    MOST_PROPERTIES,
    Action,
    Artifact,
    Association,
    AssociationType,
    Context,
    Entity,
    MetadataProperties,
    SourceType,
    Use,
)

__all__ = [
    "ASSOCIATION_ORDER",
    "SELECT_ASSOCIATION",
    "SELECT_ENTITY",
    "association",
    "check",
    "dump_uses",
    "entity",
    "load_uses",
    "words",
]

SELECT_ENTITY = "SELECT arn, lineage, name, source_uri, sources, created, modified, layers FROM entity"
SELECT_ASSOCIATION = """SELECT s.arn, d.arn, a.type, a.uses, a.created FROM association a
    JOIN entity s ON s.id = a.source JOIN entity d ON d.id = a.destination"""
ASSOCIATION_ORDER = "ORDER BY s.arn, d.arn, a.type"

Row = tuple[str, str, str | None, str, str, str, str, str]
"""The columns of ``SELECT_ENTITY``."""

_Model = TypeVar("_Model", bound=BaseModel)


def entity(row: Row) -> Entity:
    """An entity from a row of ``SELECT_ENTITY``."""
    fields = _DEFAULTS[row[1]] | _fields(row)
    if row[1] == "Context":
        return _trusted(Context, fields)
    metadata = fields["metadata"]
    fields["metadata"] = _metadata(*metadata.items()) if isinstance(metadata, dict) else metadata
    if row[1] == "Action":
        return _trusted(Action, fields)
    fields["source_types"] = tuple(_trusted(SourceType, item) for item in fields["source_types"])
    return _trusted(Artifact, fields)


def check(row: Row) -> None:
    """Make sure that a row keeps the limits of the model.

    Raises:
        EventError: it does not.
    """
    fields = _fields(row)
    try:
        _MODELS[row[1]].model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EventError(
            f"{row[1]} {row[3]} cannot be kept in the graph",
            why=f"{where} {first['msg'][:1].lower()}{first['msg'][1:]}",
            fix="report it: the projection should have made it fit",
        ) from error


def association(row: tuple[str, str, AssociationType, str, str]) -> Association:
    """An association from a row of ``SELECT_ASSOCIATION``."""
    source, destination, kind, uses, created = row
    fields = {
        "source_arn": source,
        "destination_arn": destination,
        "association_type": kind,
        "uses": load_uses(uses),
        "created_at": created,
    }
    return _trusted(Association, fields)


@lru_cache(maxsize=4096)
def load_uses(text: str) -> tuple[Use, ...]:
    """Uses from their column."""
    return tuple(
        Use(name=name, part=part, known_by=tuple(how), touched=touched[0] if touched else None)
        for name, part, how, *touched in orjson.loads(text)
    )


def dump_uses(uses: tuple[Use, ...], kind: str) -> str:
    """Uses for their column: those of one name and part joined, sorted; the first read counts, and the last write."""
    joined: dict[tuple[str, str], set[str]] = {}
    moments: dict[tuple[str, str], str] = {}
    counts = max if kind == "Produced" else min
    for use in uses:
        key = (use.name, use.part)
        joined.setdefault(key, set()).update(use.known_by)
        if use.touched is not None:
            moments[key] = counts(moments.get(key, use.touched), use.touched)
    listed = [[*key, sorted(how), *([moments[key]] if key in moments else [])] for key, how in sorted(joined.items())]
    return orjson.dumps(listed).decode()


def words(name: str | None, source_uri: str, facts: dict[str, str]) -> str:
    """What a search looks through: letter case folded, one fact a line."""
    return "\n".join((name or "", source_uri, *facts.values())).casefold()


@lru_cache(maxsize=4096)
def _metadata(*items: tuple[str, str]) -> MetadataProperties:
    """Metadata, of which a graph has few and its entities many."""
    return MetadataProperties.model_validate(dict(items))


def _trusted(kind: type[_Model], fields: dict[str, Any]) -> _Model:
    """A model of fields that are all there and were checked before they were written.

    What ``model_construct`` does when it has found the defaults and set nothing aside; without looking for them it takes a fifth
    of the time, and a walk makes a hundred thousand.
    """
    made = kind.__new__(kind)
    object.__setattr__(made, "__dict__", fields)
    object.__setattr__(made, "__pydantic_fields_set__", _FIELDS_SET[kind])
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    return made


_FIELDS_SET: dict[type[BaseModel], set[str]] = {
    kind: set(kind.model_fields) for kind in (Artifact, Action, Context, Association, SourceType)
}

_DEFAULTS: dict[str, dict[str, Any]] = {
    kind.lineage_type: {name: field.default for name, field in kind.model_fields.items() if not field.is_required()}
    for kind in (Artifact, Action, Context)
}
"""Defaults of the models by kind of entity; properties are set in any case, so that no default is shared and changed."""

_MODELS: dict[str, type[Artifact | Action | Context]] = {"Artifact": Artifact, "Action": Action, "Context": Context}
_TYPE_FIELDS = {"Artifact": "artifact_type", "Action": "action_type", "Context": "context_type"}


def _fields(row: Row) -> dict[str, Any]:
    """The model's fields by name; Any, since they are validated by the model or were before they were written."""
    arn, lineage, name, source_uri, sources, created, modified, layers = row
    fields: dict[str, Any] = {
        "arn": arn,
        "name": name,
        "source_uri": source_uri,
        "created_at": created,
        "properties": {},
    }
    pairs = orjson.loads(sources)
    if lineage == "Artifact":
        fields["source_types"] = [{"type": kind, "value": value} for kind, value in pairs]
    elif pairs:
        fields["source_type"], fields["source_id"] = pairs[0]
    if lineage == "Action":
        fields["modified_at"] = modified
    metadata: dict[str, str] = {}
    properties: dict[str, str] = fields["properties"]
    for key, value in flatten(cast("Layers", orjson.loads(layers))).items():
        begin = key[:2]
        if begin == PROPERTY:
            properties[key[2:]] = value
        elif begin == META:
            metadata[key[2:]] = value
        else:
            fields[_TYPE_FIELDS[lineage] if key == "type" else key] = value
    if metadata:
        fields["metadata"] = metadata
    if len(properties) > MOST_PROPERTIES:
        fields["properties"] = _that_fit(properties, cast("Layers", orjson.loads(layers)))
    return fields


def _that_fit(properties: dict[str, str], layers: Layers) -> dict[str, str]:
    """As many properties as an entity may have; of those that were given over the API, the last by name stay hidden.

    Somebody may fill an entity up before all events about it have come. Those must not be refused for it.
    """
    given = {key for stamp, facts in layers if GIVEN in stamp for key in facts}
    extra = sorted(key for key in properties if f"{PROPERTY}{key}" in given)
    hidden = set(extra[-(len(properties) - MOST_PROPERTIES) :])
    return {key: value for key, value in properties.items() if key not in hidden}
