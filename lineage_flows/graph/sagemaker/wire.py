"""Entities of the model as SageMaker takes and gives them: what Create, Update and Describe say of one.

Pure functions over the model. Everything was checked against SageMaker's lengths, patterns and counts before it comes here (the
cache is an embedded graph, which checks what it writes). What SageMaker has no place for stands in properties of ours, whose names
begin with ``lineage-flows.``; whoever reads an entity through ``read`` does not see them:

- ``….type``, ``….commit_id`` and the like: what no Update can change, where it has changed since the entity was created;
- ``….more``: properties for which there was no room, as JSON, when there are more than thirty: the shortest of ours go there;
- ``….whole``: where what was cut short stands whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from lineage_flows.graph.identity import fit_json, fit_text, value_name
from lineage_flows.graph.model import (
    ARTIFACT_PROPERTY_LENGTH,
    MOST_PROPERTIES,
    PROPERTY_LENGTH,
    Action,
    Artifact,
    Context,
    Entity,
    LineageType,
    MetadataProperties,
    SourceType,
)

__all__ = [
    "Fixed",
    "State",
    "create",
    "digest",
    "fixed_of",
    "moment",
    "pointers_of",
    "read",
    "read_state",
    "same_thing",
    "state_of",
    "unpacked",
    "update",
]

OWN: Final = "lineage-flows."
_TYPE: Final = f"{OWN}type"
_MORE: Final = f"{OWN}more"
_WHOLE: Final = f"{OWN}whole"
_METADATA: Final = {
    "commit_id": "CommitId",
    "repository": "Repository",
    "generated_by": "GeneratedBy",
    "project_id": "ProjectId",
}
_CUT: Final = "…"
_AND: Final = "; "
_POINTER: Final = re.compile(f"what {_CUT} leaves out of (.+?) stands in ")

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fixed:
    """What no Update can change: as it was when the entity was created."""

    type: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """What an Update can change.

    Attributes:
        name: of an artifact, for which it is decoration; None where the name is the identity.
        status: of an action.
        description: of an action or a context.
        properties: at most thirty.
    """

    properties: dict[str, str]
    name: str | None = None
    status: str | None = None
    description: str | None = None


def fixed_of(entity: Entity) -> Fixed:
    """What creating an entity fixes."""
    return Fixed(entity.type, {} if isinstance(entity, Context) else _said(entity.metadata))


def state_of(entity: Entity, fixed: Fixed, others: Mapping[str, str] | None = None) -> State:
    """What SageMaker is to say of an entity.

    Args:
        entity: as it is here.
        fixed: what it was created with there.
        others: properties that somebody else gave it there; they stay, and ours win.
    """
    theirs = dict(others or {})
    pointers = [text] if (text := theirs.pop(_WHOLE, None)) is not None else []
    properties = theirs | entity.properties
    if entity.type != fixed.type:
        properties[_TYPE] = entity.type
    if not isinstance(entity, Context):
        said = _said(entity.metadata)
        for key in _METADATA:
            if said.get(key) != fixed.metadata.get(key):
                properties[f"{OWN}{key}"] = said.get(key, "")
    length = ARTIFACT_PROPERTY_LENGTH if isinstance(entity, Artifact) else PROPERTY_LENGTH
    cut, others_own = _cut(entity), set(theirs) - set(entity.properties)
    fitted, left_out = _fit(properties | _pointer(entity, cut, pointers), others_own, length)
    while not set(left_out) <= set(cut):  # the pointer itself takes room
        cut = sorted({*cut, *left_out})
        fitted, left_out = _fit(properties | _pointer(entity, cut, pointers), others_own, length)
    properties = fitted
    if isinstance(entity, Artifact):
        return State(properties, name=entity.name)
    if isinstance(entity, Action):
        return State(properties, status=entity.status, description=entity.description)
    return State(properties, description=entity.description)


def digest(state: State) -> str:
    """Tells states apart."""
    said = [sorted(state.properties.items()), state.name, state.status, state.description]
    return hashlib.sha256(orjson.dumps(said)).hexdigest()


def create(entity: Entity, state: State, tags: Tags) -> tuple[str, str, dict[str, Any]]:
    """The call that creates an entity: operation, resource for messages, parameters."""
    given: dict[str, Any] = {
        "Properties": state.properties,
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
    }
    if not isinstance(entity, Context) and (metadata := _said(entity.metadata)):
        given["MetadataProperties"] = {_METADATA[key]: value for key, value in metadata.items()}
    if isinstance(entity, Artifact):
        source: dict[str, Any] = {"SourceUri": entity.source_uri}
        if entity.source_types:
            source["SourceTypes"] = [{"SourceIdType": item.type, "Value": item.value} for item in entity.source_types]
        named = {"ArtifactName": state.name} if state.name else {}
        return (
            "CreateArtifact",
            "artifact/*",
            {**named, "Source": source, "ArtifactType": entity.artifact_type, **given},
        )
    source = {"SourceUri": entity.source_uri}
    if entity.source_type is not None:
        source["SourceType"] = entity.source_type
    if entity.source_id is not None:
        source["SourceId"] = entity.source_id
    if state.description:
        given["Description"] = state.description
    if isinstance(entity, Action):
        return (
            "CreateAction",
            f"action/{entity.name}",
            {
                "ActionName": entity.name,
                "Source": source,
                "ActionType": entity.action_type,
                "Status": entity.status,
                **given,
            },
        )
    return (
        "CreateContext",
        f"context/{entity.name}",
        {"ContextName": entity.name, "Source": source, "ContextType": entity.context_type, **given},
    )


def update(entity: Entity, arn: str, state: State, held: set[str]) -> tuple[str, str, dict[str, Any]]:
    """The call that brings an entity up to date: operation, resource for messages, parameters.

    The full set of properties is sent, and what is no longer said is named as well: whether what is not sent stays is documented
    for none of the three.

    Args:
        entity: as it is here.
        arn: its ARN there.
        state: what is to be said of it.
        held: names of the properties that it has there.
    """
    given: dict[str, Any] = {"Properties": state.properties}
    if gone := sorted(held - state.properties.keys()):
        given["PropertiesToRemove"] = gone
    if isinstance(entity, Artifact):
        named = {"ArtifactName": state.name} if state.name else {}
        return "UpdateArtifact", arn.rpartition(":")[2], {"ArtifactArn": arn, **named, **given}
    given["Description"] = state.description or ""
    if isinstance(entity, Action):
        return (
            "UpdateAction",
            f"action/{entity.name}",
            {"ActionName": entity.name, "Status": entity.status, **given},
        )
    return "UpdateContext", f"context/{entity.name}", {"ContextName": entity.name, **given}


def read_state(lineage: LineageType, answer: Mapping[str, Any]) -> tuple[Fixed, State]:
    """What Describe says, as it stands there."""
    metadata = answer.get("MetadataProperties") or {}
    fixed = Fixed(
        answer.get(f"{lineage}Type") or "",
        {key: metadata[theirs] for key, theirs in _METADATA.items() if metadata.get(theirs)},
    )
    properties = dict(answer.get("Properties") or {})
    if lineage == "Artifact":
        return fixed, State(properties, name=answer.get("ArtifactName"))
    description = answer.get("Description") or None
    if lineage == "Action":
        return fixed, State(properties, status=answer.get("Status") or "Unknown", description=description)
    return fixed, State(properties, description=description)


def read(lineage: LineageType, answer: Mapping[str, Any]) -> Entity:
    """The entity that Describe speaks of, as the model says it. Nothing is checked: what stands there is what there is."""
    fixed, state = read_state(lineage, answer)
    properties = unpacked(state.properties)
    type_name = properties.pop(_TYPE, fixed.type) or "Unknown"
    metadata = dict(fixed.metadata)
    for key in _METADATA:
        if (own := properties.pop(f"{OWN}{key}", None)) is not None:
            metadata[key] = own
    properties.pop(_WHOLE, None)
    source = answer.get("Source") or {}
    fields: dict[str, Any] = {
        "arn": answer[f"{lineage}Arn"],
        "source_uri": source.get("SourceUri") or "",
        "name": answer.get(f"{lineage}Name"),
        f"{lineage.lower()}_type": type_name,
        "properties": dict(sorted(properties.items())),
        "created_at": moment(answer.get("CreationTime")),
    }
    known: dict[str, Any] = {key: value for key, value in metadata.items() if value}
    said = MetadataProperties.model_construct(**known)
    if lineage == "Artifact":
        pairs = sorted((item["SourceIdType"], item["Value"]) for item in source.get("SourceTypes") or ())
        fields["source_types"] = tuple(SourceType.model_construct(type=kind, value=value) for kind, value in pairs)
        return Artifact.model_construct(metadata=said, **fields)
    fields |= {
        "source_type": source.get("SourceType"),
        "source_id": source.get("SourceId"),
        "description": state.description,
    }
    if lineage == "Context":
        return Context.model_construct(**fields)
    fields["modified_at"] = moment(answer.get("LastModifiedTime") or answer.get("CreationTime"))
    fields["status"] = state.status or "Unknown"
    return Action.model_construct(metadata=said, **fields)


def same_thing(entity: Entity, source: Mapping[str, Any]) -> bool:
    """Whether a Source of SageMaker's is that of an entity, exactly: of an artifact with its source types."""
    if source.get("SourceUri") != entity.source_uri:
        return False
    if not isinstance(entity, Artifact):
        return entity.source_id is None or source.get("SourceId") == entity.source_id
    theirs = sorted((item.get("SourceIdType"), item.get("Value")) for item in source.get("SourceTypes") or ())
    return theirs == sorted((item.type, item.value) for item in entity.source_types)


def _said(metadata: MetadataProperties) -> dict[str, str]:
    return {key: value for key in _METADATA if (value := getattr(metadata, key)) is not None}


def pointers_of(properties: Mapping[str, str], names: set[str]) -> dict[str, str]:
    """Of where the rest of what was cut stands, what somebody else said: of properties of these names. They keep it."""
    said = properties.get(_WHOLE, "").split(_AND)
    kept = [text for text in said if (match := _POINTER.match(text)) and names.intersection(match[1].split(", "))]
    return {_WHOLE: _AND.join(kept)} if kept else {}


def _cut(entity: Entity) -> list[str]:
    """What was cut short before it came here."""
    cut = sorted(key for key, value in entity.properties.items() if _looks_cut(value))
    if not isinstance(entity, Artifact) and entity.description and entity.description.endswith(_CUT):
        cut.append("description")
    if "#sha256=" in entity.source_uri and len(entity.source_uri) > 2000:  # see identity.fit_uri
        cut.append("SourceUri")
    return cut


def _pointer(entity: Entity, cut: Sequence[str], theirs: Sequence[str]) -> dict[str, str]:
    """Where to find what was cut short, of ours and of others'. An ellipsis alone does not say where the rest is."""
    ours = [f"what {_CUT} leaves out of {', '.join(cut)} stands in {_record_of(entity)}"] if cut else []
    said = [*ours, *theirs]
    return {_WHOLE: fit_text(_AND.join(said), PROPERTY_LENGTH)} if said else {}


def _looks_cut(value: str) -> bool:
    """Whether a value is as ``identity.fit_text`` or ``fit_json`` leave one that was too long."""
    return value.endswith(_CUT) or (value[:1] in {"{", "["} and (f'"{_CUT}":' in value or f'{_CUT}"' in value))


def _record_of(entity: Entity) -> str:
    begin, found, _ = entity.source_uri.partition("/flow-run/")
    if not found:
        begin, found, _ = entity.source_uri.partition("/task-run/")
    if isinstance(entity, Action) and found:
        return f"the run record {begin}/flow-run/{entity.properties.get('rootRunId', entity.source_id)}/record"
    value = value_name(entity.source_uri)
    return "the run record of each run that it is associated with" if value is None else f"the record of {value.run_id}"


def _fit(properties: dict[str, str], theirs: set[str], length: int) -> tuple[dict[str, str], list[str]]:
    """At most thirty properties: the shortest of too many become one; ours first, and others' where ours are too few.

    Returns:
        The properties, and the names of ours for which there was no room.
    """
    if len(properties) <= MOST_PROPERTIES:
        return dict(sorted(properties.items())), []
    ranked = sorted(properties, key=lambda key: (key == _WHOLE, key in theirs, len(properties[key]), key))
    packed = ranked[: len(properties) - MOST_PROPERTIES + 1]
    kept = {key: value for key, value in properties.items() if key not in packed}
    more = {key: properties[key] for key in sorted(packed)}
    left_out: list[str] = []
    # Ours stand in the run record as well, others' nowhere else: where there is no room for all, theirs stay, and our shortest.
    for key in sorted(set(packed) - theirs, key=lambda key: (-len(properties[key]), key)):
        said = {**more, _CUT: len(left_out)} if left_out else more
        if len(orjson.dumps(said).decode()) <= length:
            break
        left_out.append(key)
        del more[key]
    kept[_MORE] = fit_json({**more, _CUT: len(left_out)} if left_out else more, length)
    return dict(sorted(kept.items())), left_out


def unpacked(properties: dict[str, str]) -> dict[str, str]:
    """Properties with those again that had to share one."""
    properties = dict(properties)
    more = properties.pop(_MORE, None)
    if more is None:
        return properties
    try:
        packed = orjson.loads(more)
    except ValueError:
        return properties
    if not isinstance(packed, dict):
        return properties
    return {key: value for key, value in packed.items() if isinstance(value, str)} | properties


def moment(time: object) -> str:
    """A moment as the model has it: RFC 3339 in UTC with microseconds."""
    if not isinstance(time, datetime):
        return ""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
