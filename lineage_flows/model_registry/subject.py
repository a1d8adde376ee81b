"""Which model is meant, and what lineage knows of it: where it stands in the graph, and the run that made it.

Knows the graph and what runs of this process have given out; must not know AWS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lineage_flows.errors import AmbiguousReferenceError, RegistrationError, UnknownReferenceError
from lineage_flows.graph.identity import value_name
from lineage_flows.graph.model import Action, Artifact, SourceType
from lineage_flows.records import BlobRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lineage_flows.graph.keeper import Keeper
    from lineage_flows.graph.model import Entity
    from lineage_flows.records import ValueRef

__all__ = ["MODEL", "Subject", "content_in_store", "subject_of_object", "subject_of_reference"]

MODEL: Final = "Model"


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that is to be registered.

    Attributes:
        content: see ``RegisteredModel``.
        source_uri: of its artifact; None when it has none yet.
        source_types: the rest of the artifact's identity.
        run_id: the flow run at whose top it was made.
        step_id: the task run that made it.
        flow: that flow's name.
        task: that task's name.
        commit: of the code that made it.
        repository: where that code is.
        blob: its stored bytes, if they were kept.
        label: what to call it in an error.
    """

    content: str
    source_uri: str | None = None
    source_types: tuple[tuple[str, str], ...] = ()
    run_id: str | None = None
    step_id: str | None = None
    flow: str | None = None
    task: str | None = None
    commit: str | None = None
    repository: str | None = None
    blob: BlobRef | None = None
    label: str = "the model"


def subject_of_reference(keeper: Keeper, reference: str, *, any_kind: bool = False) -> Subject:
    """The model that a reference means; of a run or step, the one model that it gave out.

    Raises:
        UnknownReferenceError, AmbiguousReferenceError: it means nothing, or more than one model.
        RegistrationError: what it means is no model.
    """
    from lineage_flows.graph.reference import resolve_one

    found = resolve_one(keeper, reference)
    if isinstance(found, Action):
        found = _model_of_run(keeper, found, reference)
    return _subject(keeper, found, reference, any_kind=any_kind)


def subject_of_object(keeper: Keeper, value: ValueRef, *, any_kind: bool = False) -> Subject:
    """The model of the graph that an object equals, which no active run has made.

    Raises:
        UnknownReferenceError: no run has given out the like of it.
        AmbiguousReferenceError: several have, and which of them is meant cannot be told.
    """
    types = (MODEL,) if not any_kind else ()
    found = [
        artifact
        for artifact in keeper.list_artifacts(artifact_types=types)
        if artifact.fingerprint == value.fingerprint
        and (named := value_name(artifact.source_uri))
        and named.kind == "result"
    ]
    if not found:
        fix = "register it in the flow that makes it, or give a reference; after a crash, `lineage-flows deliver` comes first"
        raise UnknownReferenceError(f"a {value.type} with fingerprint {value.fingerprint}", fix=fix)
    if len(found) > 1:
        raise AmbiguousReferenceError(f"this {value.type}", tuple(artifact.arn for artifact in found))
    return _subject(keeper, found[0], found[0].arn, any_kind=any_kind)


def _model_of_run(keeper: Keeper, run: Action, reference: str) -> Entity:
    """The one model that a run, or one of its steps, gave out; what was only passed on counts as its maker's."""
    runs = {run.arn}
    while True:  # steps, subflows and what those hold
        inside = {edge.source_arn for edge in keeper.associations(destinations=runs, types=("AssociatedWith",))}
        if inside <= runs:
            break
        runs |= inside
    made = {edge.destination_arn for edge in keeper.associations(sources=runs, types=("Produced",))}
    models = [item for item in keeper.get(made).values() if isinstance(item, Artifact) and item.type == MODEL]
    models = [item for item in models if not item.source_uri.startswith("arn:")]
    by_content: dict[tuple[SourceType, ...], Artifact] = {}
    for item in sorted(models, key=lambda item: (not _is_of_step(item), item.source_uri)):
        by_content.setdefault(
            item.source_types, item
        )  # a flow that returns a step's model has it under a name of its own
    if not by_content:
        raise RegistrationError(f"{reference!r} gave out no model", fix="name the model itself, by its ARN or URI")
    if len(by_content) > 1:
        raise AmbiguousReferenceError(reference, tuple(sorted(item.arn for item in by_content.values())))
    return next(iter(by_content.values()))


def _is_of_step(item: Artifact) -> bool:
    return "/task-run/" in item.source_uri


def _subject(keeper: Keeper, found: Entity, reference: str, *, any_kind: bool) -> Subject:
    if not isinstance(found, Artifact):
        raise RegistrationError(f"{reference!r} is a {found.type} and no model", fix="name the model")
    if found.source_uri.startswith("arn:"):
        raise RegistrationError(
            f"{reference!r} is what SageMaker has already",
            why=found.source_uri,
            fix="register the model that it was made of",
        )
    if found.type != MODEL and not any_kind:
        raise RegistrationError(
            f"{reference!r} is a {found.type}, and not what lineage knows as a model",
            fix="give any_kind (--any-kind) when it is one all the same",
        )
    types = tuple((item.type, item.value) for item in found.source_types)
    content = found.fingerprint or content_in_store(found.source_uri, dict(types))
    digest, format_ = found.properties.get("blob"), found.properties.get("format", "bytes")
    blob = BlobRef(digest=digest, size=int(found.properties.get("size") or 0), format=format_) if digest else None
    known = Subject(content, found.source_uri, types, blob=blob, label=f"the model {found.label}")
    return _with_maker(keeper, known, found)


def content_in_store(uri: str, types: Mapping[str, str]) -> str:
    """What tells a version of an object from another where there is no fingerprint; without a version, only its place does."""
    version = types.get("S3Version") or types.get("S3ETag") or ""
    return f"s3:{hashlib.sha256(f'{uri}@{version}'.encode()).hexdigest()}"


def _with_maker(keeper: Keeper, known: Subject, artifact: Artifact) -> Subject:
    maker = next(_makers(keeper, artifact), None)
    if maker is None:
        return known
    flow_run_id = maker.properties.get("rootRunId") or maker.properties.get("flowRunId")
    if maker.properties.get("flowRunId") is None:
        return replace(
            known,
            run_id=flow_run_id or maker.source_id,
            flow=maker.properties.get("flow"),
            commit=maker.metadata.commit_id,
            repository=maker.metadata.repository,
        )
    (run,) = keeper.list_actions(run_id=flow_run_id)[:1] or [maker]
    return replace(
        known,
        run_id=flow_run_id,
        step_id=maker.source_id,
        flow=maker.properties.get("flow"),
        task=maker.properties.get("task"),
        commit=maker.metadata.commit_id or run.metadata.commit_id,
        repository=maker.metadata.repository or run.metadata.repository,
    )


def _makers(keeper: Keeper, artifact: Artifact) -> Iterator[Action]:
    """The runs that made a thing: of a value the one in its name, of data the last that wrote it; a replay made nothing anew."""
    if (named := value_name(artifact.source_uri)) is not None:
        yield from keeper.list_actions(run_id=named.run_id)
        return
    edges = keeper.associations(destinations=[artifact.arn], types=("Produced",))
    found = keeper.get(edge.source_arn for edge in edges).values()
    runs = [run for run in found if isinstance(run, Action) and run.type != "Replay"]
    yield from sorted(runs, key=lambda run: run.properties.get("started", ""), reverse=True)
