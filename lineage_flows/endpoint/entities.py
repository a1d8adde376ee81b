"""The operations on artifacts, actions and contexts, which differ in names and in a few members.

Knows the members of requests and answers; must not know how the graph is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from lineage_flows.endpoint.assumptions import DEFAULT_GROUP, already_exists, has_associations
from lineage_flows.endpoint.backend import Answer, Backend, Handler, Request
from lineage_flows.endpoint.changes import Change, arn_of
from lineage_flows.endpoint.errors import limit_exceeded, not_found, validation
from lineage_flows.endpoint.moments import epoch_seconds
from lineage_flows.endpoint.snapshot import Snapshot, Stored
from lineage_flows.endpoint.tags import read_tags
from lineage_flows.graph.identity import LOCAL
from lineage_flows.graph.keeper import META, PROPERTY
from lineage_flows.graph.model import Action, Artifact, Context, LineageType

__all__ = ["GROUP_ARN", "KINDS", "OPERATIONS", "Kind", "full_quota", "summary"]

GROUP_ARN = f"{LOCAL}:lineage-group/{DEFAULT_GROUP}"
_METADATA = {
    "CommitId": "commit_id",
    "Repository": "repository",
    "GeneratedBy": "generated_by",
    "ProjectId": "project_id",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between the three."""

    lineage: LineageType

    @property
    def name(self) -> str:
        """The member that has the name."""
        return f"{self.lineage}Name"

    @property
    def arn(self) -> str:
        """The member that has the ARN."""
        return f"{self.lineage}Arn"

    @property
    def type(self) -> str:
        """The member that has the type."""
        return f"{self.lineage}Type"

    def key(self, name_or_arn: str) -> str:
        """The ARN that a name or an ARN means."""
        return name_or_arn if name_or_arn.startswith("arn:") else arn_of(self.lineage, name_or_arn, "", ())


KINDS = tuple(Kind(lineage) for lineage in ("Artifact", "Action", "Context"))


def create(kind: Kind, backend: Backend, request: Request) -> Answer:
    """Create*: an entity that is not there yet."""
    source, sources = request["Source"], _sources(kind, request["Source"])
    name = request.get(kind.name)
    facts: dict[str, str | None] = {"type": request[kind.type]}
    facts |= {f"{PROPERTY}{key}": value for key, value in request.get("Properties", {}).items()}
    facts |= {f"{META}{_METADATA[key]}": value for key, value in request.get("MetadataProperties", {}).items()}
    if kind.lineage == "Artifact" and name is not None:
        facts["name"] = name
    if "Description" in request:
        facts["description"] = request["Description"]
    if kind.lineage == "Action":
        facts["status"] = request.get("Status", "Unknown")
    tags = read_tags(request.get("Tags", []))
    arn = arn_of(kind.lineage, name, source["SourceUri"], sources)
    with backend.store.writing() as change:
        if change.entity(arn) is not None:
            what = f"with the source {source['SourceUri']}" if kind.lineage == "Artifact" else str(name)
            raise already_exists(f"{kind.lineage} {what}")
        full_quota(backend, change, kind.lineage)
        change.create(
            kind.lineage,
            name=name,
            source_uri=source["SourceUri"],
            sources=sources,
            facts=facts,
            now=backend.now(),
        )
        change.tag(arn, tags)
    return {kind.arn: arn}


def describe(kind: Kind, backend: Backend, request: Request) -> Answer:
    """Describe*: all that is known of an entity."""
    given = request[kind.arn] if kind.lineage == "Artifact" else request[kind.name]
    with backend.store.reading() as snapshot:
        stored = existing(kind, snapshot, kind.key(given), given)
    entity = stored.entity
    answer = summary(kind, stored) | {
        "Properties": entity.properties,
        "CreatedBy": {},
        "LastModifiedBy": {},
        "LineageGroupArn": GROUP_ARN,
    }
    if not isinstance(entity, Artifact):
        answer["Description"] = entity.description
    if not isinstance(entity, Context):
        metadata = {member: getattr(entity.metadata, field) for member, field in _METADATA.items()}
        answer["MetadataProperties"] = {key: value for key, value in metadata.items() if value is not None} or None
    return answer


def update(kind: Kind, backend: Backend, request: Request) -> Answer:
    """Update*: what is given takes the place of what there was. Properties are given as the full set (D)."""
    given = request[kind.arn] if kind.lineage == "Artifact" else request[kind.name]
    arn = kind.key(given)
    changes: dict[str, str | None] = {}
    for member, fact in (("Description", "description"), ("Status", "status")):
        if member in request:
            changes[fact] = request[member]
    if kind.lineage == "Artifact" and kind.name in request:
        changes["name"] = request[kind.name]
    removed = request.get("PropertiesToRemove", [])
    with backend.store.writing() as change:
        stored = existing(kind, change, arn, given)
        properties = request.get("Properties")
        if removed:
            held = stored.entity.properties if properties is None else properties
            properties = {key: value for key, value in held.items() if key not in removed}
        change.update(arn, changes, properties, backend.now())
    return {kind.arn: arn}


def delete(kind: Kind, backend: Backend, request: Request) -> Answer:
    """Delete*: an entity that has no associations; an artifact by ARN or by source (D)."""
    arn, given = _named(kind, request)
    with backend.store.writing() as change:
        existing(kind, change, arn, given)
        if change.edges(sources=[arn]) or change.edges(destinations=[arn]):
            raise has_associations(f"{kind.lineage} {given}")
        change.delete(arn)
    return {kind.arn: arn}


def existing(kind: Kind, snapshot: Snapshot, arn: str, given: str) -> Stored:
    """An entity of a kind that is there.

    Raises:
        ServiceError: it is not.
    """
    stored = snapshot.entity(arn)
    if stored is None or stored.entity.lineage_type != kind.lineage:
        raise not_found(f"{kind.lineage} {given} does not exist.")
    return stored


def full_quota(backend: Backend, change: Change, kind: str) -> None:
    """Refuse what would be one too many.

    Raises:
        ServiceError: ``ResourceLimitExceeded``.
    """
    limit = backend.quotas.of(kind)
    if limit is not None and change.count(kind, made_here=not backend.quotas.count_recorded) >= limit:
        raise limit_exceeded(f"The account-level service limit for {kind.lower()}s is {limit}, and is reached.")


def summary(kind: Kind, stored: Stored) -> Answer:
    """What lists and descriptions have in common."""
    entity = stored.entity
    source: Answer = {"SourceUri": entity.source_uri}
    if isinstance(entity, Artifact):
        pairs = [{"SourceIdType": item.type, "Value": item.value} for item in entity.source_types]
        source["SourceTypes"] = pairs or None
    else:
        source |= {"SourceType": entity.source_type, "SourceId": entity.source_id}
    answer: Answer = {
        kind.arn: entity.arn,
        kind.name: entity.name,
        "Source": {key: value for key, value in source.items() if value is not None},
        kind.type: entity.type,
        "CreationTime": epoch_seconds(entity.created_at),
        "LastModifiedTime": epoch_seconds(stored.modified),
    }
    if isinstance(entity, Action):
        answer["Status"] = entity.status
    return answer


def _named(kind: Kind, request: Request) -> tuple[str, str]:
    """The ARN of what a deletion names, and how it named it."""
    if kind.lineage != "Artifact":
        return kind.key(request[kind.name]), request[kind.name]
    source = request.get("Source")
    if ("ArtifactArn" in request) == (source is not None):
        raise validation("Either ArtifactArn or Source must be specified.")
    if source is None:
        return request["ArtifactArn"], request["ArtifactArn"]
    return arn_of("Artifact", None, source["SourceUri"], _sources(kind, source)), source["SourceUri"]


def _sources(kind: Kind, source: Request) -> tuple[tuple[str, str], ...]:
    """What a source has beside its URI, as the graph keeps it."""
    if kind.lineage == "Artifact":
        return tuple(sorted((item["SourceIdType"], item["Value"]) for item in source.get("SourceTypes", [])))
    # One of the two may be missing; the graph's rows have room for that, and its claims of events never need it.
    pair = cast("tuple[str, str]", (source.get("SourceType"), source.get("SourceId")))
    return (pair,) if any(part is not None for part in pair) else ()


_VERBS: dict[str, Callable[[Kind, Backend, Request], Answer]] = {
    "Create": create,
    "Describe": describe,
    "Update": update,
    "Delete": delete,
}

OPERATIONS: dict[str, Handler] = {
    f"{verb}{kind.lineage}": partial(handler, kind) for verb, handler in _VERBS.items() for kind in KINDS
}
