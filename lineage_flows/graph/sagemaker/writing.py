"""Makes one entity or one association stand in SageMaker: create, adopt what is there already, bring up to date.

Knows calls and what SageMaker says of things; must not know the cache. Everything here may be done twice: whoever was
killed between a call and noting it does it again, meets what is there, and adopts it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lineage_flows.errors import SageMakerError
from lineage_flows.graph.model import Action, Artifact, Entity
from lineage_flows.graph.sagemaker import wire
from lineage_flows.graph.sagemaker.client import Client
from lineage_flows.graph.sagemaker.entries import There
from lineage_flows.graph.sagemaker.foreign import may_be_foreign
from lineage_flows.graph.sagemaker.problems import no_answer_of

__all__ = ["Outcome", "bring", "describe", "find_run", "is_there", "join"]

_LAGS: Final = (0.0, 0.25, 0.75, 2.0)
"""How long to wait before each look for what is said to be there: lists lag behind writes by seconds (inferred)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of bringing an entity up to date.

    Attributes:
        there: how it stands now; None when it has vanished and is to be made anew.
        problem: why it could not be brought up to date although it stands.
    """

    there: There | None
    problem: SageMakerError | None = None


def bring(client: Client, entity: Entity, there: There | None, tags: Mapping[str, str]) -> Outcome:
    """Make an entity stand as it is here.

    Raises:
        SageMakerError: it cannot, now or ever.
    """
    if there is None:
        return _create(client, entity, tags)
    if not there.digest:
        return _adopt(client, entity, there.arn)
    try:
        if not isinstance(entity, Action):
            there = _looked_at(client, entity, there)
        state = wire.state_of(entity, there.fixed, there.others)
        try:
            _update(client, entity, there.arn, state, set(there.held))
        except SageMakerError as error:
            if error.problem != "denied" or not may_be_foreign(entity):
                raise
            return Outcome(replace(there, digest=wire.digest(state)))
    except SageMakerError as error:
        if error.problem == "missing":
            return Outcome(None)
        raise
    return Outcome(replace(there, digest=wire.digest(state), held=tuple(state.properties)))


def join(client: Client, source: str, destination: str, kind: str) -> None:
    """Make an association stand. That it is there already is success.

    A repeated AddAssociation is refused like a repeated Create (inferred).

    Raises:
        SageMakerError: it cannot, now or ever.
    """
    ends = {"SourceArn": source, "DestinationArn": destination, "AssociationType": kind}
    resource = f"{source.rpartition(':')[2]} and {destination.rpartition(':')[2]}"
    try:
        client.asked("AddAssociation", resource, "SourceArn", **ends)
    except SageMakerError as error:
        if error.problem != "exists":
            raise


def is_there(client: Client, entity_kind: str, arn: str) -> bool:
    """Whether an entity still stands.

    Raises:
        SageMakerError: SageMaker cannot say.
    """
    try:
        describe(client, entity_kind, arn)
    except SageMakerError as error:
        if error.problem == "missing":
            return False
        raise
    return True


def describe(client: Client, kind: str, arn: str) -> dict[str, Any]:
    """What SageMaker says of an entity. Describe takes an ARN in the place of an action's or context's name.

    Raises:
        SageMakerError: it is missing, or SageMaker cannot say.
    """
    operation, field = f"Describe{kind}", f"{kind}Arn"
    parameters = {field if kind == "Artifact" else f"{kind}Name": arn}
    answer = client.call(operation, arn.rpartition(":")[2], **parameters)
    if field not in answer:
        raise no_answer_of(operation, field, client.place)
    return answer


def find_run(client: Client, run_id: str, namespace: str) -> str | None:
    """The ARN of the action of a run that another machine delivered; None when there is none yet.

    Args:
        client: who is asked.
        run_id: of a flow run or a task run.
        namespace: of the job, as a URI has it.

    Raises:
        SageMakerError: SageMaker cannot say.
    """
    for what in ("flow-run", "task-run"):
        uri = f"prefect://{namespace}/{what}/{run_id}"
        for summary in client.listed("ListActions", "ActionSummaries", SourceUri=uri):
            source = summary.get("Source") or {}
            if source.get("SourceUri") == uri and source.get("SourceId") == run_id:
                return str(summary["ActionArn"])
    return None


def _create(client: Client, entity: Entity, tags: Mapping[str, str]) -> Outcome:
    fixed = wire.fixed_of(entity)
    state = wire.state_of(entity, fixed)
    operation, resource, parameters = wire.create(entity, state, tags)
    try:
        arn = client.saw(client.asked(operation, resource, f"{entity.lineage_type}Arn", **parameters))
    except SageMakerError as error:
        if error.problem != "exists":
            raise
        return _adopt(client, entity, client.saw(_find(client, entity)))
    return Outcome(There(arn, wire.digest(state), fixed, {}, tuple(state.properties)))


def _adopt(client: Client, entity: Entity, arn: str) -> Outcome:
    """Take what stands there for ours, and bring it up to date where it differs. What somebody else said of it stays.

    Raises:
        SageMakerError: something else has its name, or SageMaker cannot say.
    """
    answer = describe(client, entity.lineage_type, arn)
    if not wire.same_thing(entity, answer.get("Source") or {}):
        raise SageMakerError(
            f"{entity.lineage_type} {entity.name} stands for something else in SageMaker",
            problem="invalid",
            operation=f"Create{entity.lineage_type}",
            why=f"its source is {(answer.get('Source') or {}).get('SourceUri')!r} there, and {entity.source_uri!r} here",
            fix="rename or delete it there, then run `lineage-flows deliver`",
        )
    fixed, found = wire.read_state(entity.lineage_type, answer)
    # Of an action the process that runs it knows best, all of it; what is about data, several machines may know parts of.
    foreign = {} if isinstance(entity, Action) else _of_others(found.properties, entity)
    state = wire.state_of(entity, fixed, foreign)
    there = There(arn, wire.digest(state), fixed, foreign, tuple(state.properties))
    if wire.digest(found) == there.digest:
        return Outcome(there)
    try:
        _update(client, entity, arn, state, set(found.properties))
    except SageMakerError as error:
        if error.problem != "denied":
            raise
        if may_be_foreign(entity):
            return Outcome(replace(there, held=tuple(found.properties)))
        # Somebody else's entity, which we may not change: it is associated with, and what we know of it stays here.
        return Outcome(replace(there, digest="", held=tuple(found.properties)), error)
    return Outcome(there)


def _looked_at(client: Client, entity: Entity, there: There) -> There:
    """What stands there now: another home may have said something of the same data or flow since, which an Update would take away.

    Raises:
        SageMakerError: it is missing, or SageMaker cannot say.
    """
    answer = describe(client, entity.lineage_type, there.arn)
    client.saw(str(answer[f"{entity.lineage_type}Arn"]))
    _, found = wire.read_state(entity.lineage_type, answer)
    ours = set(there.held) - set(there.others)
    others = _of_others(found.properties, entity, ours)
    return replace(there, others=others, held=tuple(found.properties))


def _of_others(properties: dict[str, str], entity: Entity, ours: Collection[str] = ()) -> dict[str, str]:
    """What somebody else said of a thing, with where the rest of it is that was cut short."""
    known = {*entity.properties, *ours}
    theirs = {
        key: value
        for key, value in wire.unpacked(properties).items()
        if key not in known and not key.startswith(wire.OWN)
    }
    return theirs | wire.pointers_of(properties, set(theirs))


def _find(client: Client, entity: Entity) -> str:
    """The ARN of what is said to exist: by exact Source for an artifact, by name for others. Patient with lagging reads.

    Raises:
        SageMakerError: it cannot be found yet.
    """
    for wait in _LAGS:
        time.sleep(wait)
        if not isinstance(entity, Artifact):
            try:
                answer = describe(client, entity.lineage_type, entity.name)
            except SageMakerError as error:
                if error.problem != "missing":
                    raise
                continue
            return str(answer[f"{entity.lineage_type}Arn"])
        for summary in client.listed("ListArtifacts", "ArtifactSummaries", SourceUri=entity.source_uri):
            if wire.same_thing(entity, summary.get("Source") or {}):
                return str(summary["ArtifactArn"])
    raise SageMakerError(
        f"{entity.lineage_type} {entity.name or entity.source_uri} is said to exist and is not found",
        problem="conflict",
        operation=f"Create{entity.lineage_type}",
        why="SageMaker's lists lag behind its writes",
        fix="nothing: it is looked for again later",
    )


def _update(client: Client, entity: Entity, arn: str, state: wire.State, held: set[str]) -> None:
    operation, resource, parameters = wire.update(entity, arn, state, held)
    client.saw(client.asked(operation, resource, f"{entity.lineage_type}Arn", **parameters))
