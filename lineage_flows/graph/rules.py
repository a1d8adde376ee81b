"""Which way lineage goes on from a place in the graph, upwards and downwards.

Knows the mapping of docs/graph.md and a view of the graph; must not know how a walk is organised. Upwards and downwards are
mirror images: whatever is upstream of a thing has that thing downstream of it.

An action without members (a step) is simple: all of its inputs went into all of its outputs. An action with members (a flow
run; a step that called steps) has a *body*, code of its own between the calls, and what passes through it is not all recorded:

- what its members gave out, it may have used for anything that came later: its own outputs, and inputs of later members whose
  origin is not known. These edges are inferred, and say so (``WalkEdge.through``).
- its result, when it is one of its inputs unchanged (equal fingerprints), comes from that alone.
- a parameter comes from the inputs that were passed for it, if any are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from lineage_flows.graph.identity import ValueName, value_name
from lineage_flows.graph.keeper import Direction
from lineage_flows.graph.model import Action, Artifact, Association
from lineage_flows.graph.origins import Origins
from lineage_flows.graph.places import Hop, Place, hop, inferred
from lineage_flows.graph.view import View

__all__ = ["CODE_TYPES", "FLOW_TYPES", "RECORD_TYPE", "Rules", "all_members"]

CODE_TYPES = frozenset({"SourceTree", "Environment", "Image"})
"""What a flow run ran on: it counts for every step of it."""

FLOW_TYPES = frozenset({"FlowRun", "Replay"})

RECORD_TYPE = "RunRecord"
"""Not data: it tells of a run, and no step is made from it."""

_RESULT = "result"


class Rules:
    """The next places from a place. ``fetch_far`` says whether a walk will go to the end anyway."""

    def __init__(self, view: View, direction: Direction, *, fetch_far: bool) -> None:
        self.view = view
        self.origins = Origins(view)
        self.direction = direction
        self.fetch_far = fetch_far

    def prefetch(self, places: Iterable[Place]) -> None:
        """Fetch in few reads what the places of one level will ask for."""
        arns = sorted({place.arn for place in places})
        self.view.prefetch(arns, self.direction, far=self.fetch_far)
        entities = self.view.entities(arns)
        artifacts = {arn: entity for arn in arns if isinstance(entity := entities[arn], Artifact)}
        actions = [arn for arn in arns if arn not in artifacts]
        if self.direction == "down":
            products = [edge.destination_arn for arn in actions for edge in self.view.out_of(arn)]
            self.view.prefetch_edges([*artifacts, *products], "up")
        else:
            self.view.prefetch_edges([edge.source_arn for arn in actions for edge in self.view.into(arn)], "up")
            self.view.prefetch_edges(
                [arn for arn, entity in artifacts.items() if value_name(entity.source_uri) is not None], "down"
            )
        bodies = [arn for arn in arns if self._is_body(arn)]
        members = sorted({member for body in bodies for member in self.view.members(body)})
        self.view.prefetch_edges(members, "up")
        self.view.prefetch_edges(members, "down")
        ends = {edge.source_arn for arn in members for edge in self.view.into(arn)}
        self.view.entities(
            [*members, *ends, *(edge.destination_arn for arn in members for edge in self.view.out_of(arn))]
        )
        self.view.prefetch_edges(ends, "up")

    def hops(self, place: Place) -> list[Hop]:
        """Where lineage goes on, in a fixed order."""
        entity = self.view.entity(place.arn)
        if self.direction == "up":
            found = self._up_artifact(entity, place) if isinstance(entity, Artifact) else self._up_action(place)
        else:
            found = self._down_artifact(entity, place) if isinstance(entity, Artifact) else self._down_action(place)
        return sorted(found, key=lambda hop: (hop.place.arn, hop.place.way, hop.place.detail, hop.through is not None))

    # Upwards

    def made_by(self, artifact: str, makers: Iterable[str]) -> Place:
        """The place of an artifact as these of its makers made it."""
        chosen = sorted(makers)
        return (
            Place(artifact)
            if len(chosen) == len(self.origins.makers(artifact))
            else Place(artifact, "by", " ".join(chosen))
        )

    def _up_artifact(self, artifact: Artifact, place: Place) -> Iterator[Hop]:
        makers = self.origins.makers(artifact.arn)
        named = value_name(artifact.source_uri)
        for edge in makers:
            if place.way != "by" or edge.source_arn in place.detail.split():
                yield hop(edge, self._way_to(edge.source_arn, artifact))
        owner = None if makers or named is None else self._owner(artifact, named)
        if owner is None or named is None:
            return
        if named.kind == "parameter" and self._passed_for(owner, named.name):
            yield inferred(owner, artifact.arn, "Produced", Place(owner, "parameter", named.name), owner)
        else:
            for body in self._bodies_around(owner):
                yield inferred(body, artifact.arn, "Produced", Place(body, "body", self._started(owner)), body)

    def _way_to(self, action: str, product: Artifact) -> Place:
        """Which inputs of an action a product of it came from."""
        if not self._is_body(action):
            return Place(action, "all")
        named = value_name(product.source_uri)
        if named is not None and named.kind == _RESULT:
            return Place(action, "result", self._exact(action, product))
        return Place(action, "body")

    def _up_action(self, place: Place) -> Iterator[Hop]:
        for edge in self.view.into(place.arn):
            if edge.association_type == "ContributedTo" and self._took(place, edge):
                yield hop(edge, self.made_by(edge.source_arn, self.origins.of(edge.source_arn, place.arn)))
        if place.way != "parameter":
            yield from self._inherited(place.arn)
        if place.way == "body" or (place.way == "result" and not place.detail):
            for value, member in self._given_out(place.arn):
                if not place.detail or self._ended(member) <= place.detail:
                    yield inferred(value, place.arn, "ContributedTo", Place(value), place.arn)

    def _took(self, place: Place, edge: Association) -> bool:
        """Whether an input of an action is meant by the way the walk came."""
        if place.way in {"all", "own"}:
            return True
        names = {use.name for use in edge.uses}
        if place.way == "parameter":
            return place.detail in names and not self._is_own_parameter(place.arn, edge.source_arn)
        if place.way == "result" and place.detail:
            return self._is_code(edge.source_arn) or (
                _RESULT in names and self._fingerprint(edge.source_arn) == place.detail
            )
        return self._is_body_input(place.arn, edge) or (place.way == "result" and _RESULT in names)

    def _inherited(self, action: str) -> Iterator[Hop]:
        """Code and environment of the runs around an action."""
        own = {edge.source_arn for edge in self.view.into(action)}
        for run in self._around(action):
            for edge in self.view.into(run):
                if (
                    edge.association_type == "ContributedTo"
                    and edge.source_arn not in own
                    and self._is_code(edge.source_arn)
                ):
                    own.add(edge.source_arn)
                    yield inferred(edge.source_arn, action, "ContributedTo", Place(edge.source_arn), run)

    # Downwards

    def _down_artifact(self, artifact: Artifact, place: Place) -> Iterator[Hop]:
        makers = set(place.detail.split())
        for edge in self.view.out_of(artifact.arn):
            action = edge.destination_arn
            if edge.association_type != "ContributedTo":
                continue
            if place.way == "by" and makers.isdisjoint(self.origins.of(artifact.arn, action)):
                continue
            if self._is_code(artifact.arn) and self._entity_type(action) in FLOW_TYPES:
                yield hop(edge, Place(action, "code"))
                yield from self._ran_on(artifact.arn, action)
            elif not self._is_body(action):
                yield hop(edge, Place(action, "all"))
            else:
                for way, detail in self._ways_from(artifact, edge):
                    yield hop(edge, Place(action, way, detail))
        if value_name(artifact.source_uri) is None:
            return
        for edge in self.view.into(artifact.arn):
            if edge.association_type == "Produced":
                for body in self._bodies_around(edge.source_arn):
                    yield inferred(
                        artifact.arn, body, "ContributedTo", Place(body, "body", self._ended(edge.source_arn)), body
                    )

    def _ways_from(
        self, artifact: Artifact, edge: Association
    ) -> Iterator[tuple[Literal["body", "result", "parameter"], str]]:
        action = edge.destination_arn
        names = {use.name for use in edge.uses}
        if self._is_body_input(action, edge):
            yield "body", ""
        if _RESULT in names:
            yield "result", artifact.fingerprint or ""
        if not self._is_own_parameter(action, artifact.arn):
            for name in sorted(names):
                yield "parameter", name

    def _ran_on(self, code: str, run: str) -> Iterator[Hop]:
        """Everything inside a run whose code this is, other than what has it recorded itself."""
        for member in self._all_members(run):
            if all(edge.source_arn != code for edge in self.view.into(member)):
                yield inferred(
                    code, member, "ContributedTo", Place(member, "code" if self._is_body(member) else "all"), run
                )

    def _down_action(self, place: Place) -> Iterator[Hop]:
        for edge in self.view.out_of(place.arn):
            product = self.view.entity(edge.destination_arn)
            if isinstance(product, Artifact) and product.type != RECORD_TYPE and self._gave(place, product):
                yield hop(edge, self.made_by(product.arn, [place.arn]))
        if place.way == "parameter":
            for parameter in self._parameters(place.arn):
                named = value_name(parameter.source_uri)
                if named is not None and named.name == place.detail:
                    yield inferred(place.arn, parameter.arn, "Produced", Place(parameter.arn), place.arn)
        elif place.way in {"body", "code"}:
            for value, member in self._unexplained(place.arn):
                started = self._started(member)
                if place.way == "code" or not place.detail or not started or place.detail <= started:
                    yield inferred(place.arn, value, "Produced", Place(value), place.arn)

    def _gave(self, place: Place, product: Artifact) -> bool:
        """Whether an output of an action is meant by the way the walk came."""
        if place.way in {"all", "own"}:
            return True
        named = value_name(product.source_uri)
        exact = self._exact(place.arn, product) if named is not None and named.kind == _RESULT else ""
        if place.way == "result":
            return named is not None and named.kind == _RESULT and exact in {"", place.detail}
        return place.way == "code" or (place.way == "body" and not exact)

    # What an action with members took in and gave out

    def _is_body(self, arn: str) -> bool:
        entity = self.view.entity(arn)
        return isinstance(entity, Action) and (entity.type in FLOW_TYPES or bool(self.view.members(arn)))

    def _is_body_input(self, body: str, edge: Association) -> bool:
        """Whether its body could use an input for anything: a file it read, its code, a parameter it was called with."""
        if self._is_code(edge.source_arn) or self._is_own_parameter(body, edge.source_arn):
            return True
        names = {use.name for use in edge.uses} - {_RESULT}
        if not names:
            return not edge.uses
        known = {
            named.name
            for parameter in self._parameters(body)
            if (named := value_name(parameter.source_uri)) is not None
        }
        return bool(names - known)

    def _given_out(self, body: str) -> Iterator[tuple[str, str]]:
        """Values that the direct members of an action gave out, each with its member."""
        for member in self._direct_members(body):
            for edge in self.view.out_of(member):
                product = self.view.entity(edge.destination_arn)
                named = (
                    value_name(product.source_uri)
                    if isinstance(product, Artifact) and product.type != RECORD_TYPE
                    else None
                )
                if named is not None and named.kind == _RESULT:
                    yield product.arn, member

    def _unexplained(self, body: str) -> Iterator[tuple[str, str]]:
        """Values that went into direct members of an action and came from nowhere known, each with its member."""
        for member in self._direct_members(body):
            for edge in self.view.into(member):
                value = self.view.entity(edge.source_arn)
                named = value_name(value.source_uri) if isinstance(value, Artifact) else None
                if (
                    named is None
                    or named.kind == _RESULT
                    or self.view.into(value.arn)
                    or named.run_id != self._run_id(member)
                ):
                    continue
                if named.kind == "input" or not self._passed_for(member, named.name):
                    yield value.arn, member

    def _parameters(self, flow_run: str) -> list[Artifact]:
        """The values a flow run was called with, as far as they are in the graph."""
        found = (self.view.entity(edge.source_arn) for edge in self.view.into(flow_run))
        return [
            entity for entity in found if isinstance(entity, Artifact) and self._is_own_parameter(flow_run, entity.arn)
        ]

    def _is_own_parameter(self, flow_run: str, arn: str) -> bool:
        entity = self.view.entity(arn)
        named = value_name(entity.source_uri) if isinstance(entity, Artifact) else None
        return named is not None and named.kind == "parameter" and named.run_id == self._run_id(flow_run)

    def _passed_for(self, flow_run: str, name: str) -> bool:
        """Whether it is known what a flow run was called with for a parameter."""
        return any(
            name in {use.name for use in edge.uses} and not self._is_own_parameter(flow_run, edge.source_arn)
            for edge in self.view.into(flow_run)
        )

    def _exact(self, action: str, result: Artifact) -> str:
        """The fingerprint of a result that is an input unchanged; empty when it is not known to be."""
        inputs = (edge.source_arn for edge in self.view.into(action) if _RESULT in {use.name for use in edge.uses})
        known = result.fingerprint
        return known if known and any(self._fingerprint(arn) == known for arn in inputs) else ""

    # Containment

    def _around(self, action: str) -> list[str]:
        """The actions an action is in, from the nearest outwards."""
        found: dict[str, None] = {}
        level = [action]
        while level:
            level = [
                outer
                for arn in level
                for outer in self.view.containers(arn)
                if outer not in found and outer != action and isinstance(self.view.entity(outer), Action)
            ]
            found.update(dict.fromkeys(level))
        return list(found)

    def _bodies_around(self, action: str) -> list[str]:
        """The action whose body called an action: the step that did, else its flow run."""
        outer = [arn for arn in self.view.containers(action) if isinstance(self.view.entity(arn), Action)]
        return [arn for arn in outer if self._entity_type(arn) not in FLOW_TYPES] or outer

    def _direct_members(self, body: str) -> list[str]:
        return [arn for arn in self.view.members(body) if body in self._bodies_around(arn)]

    def _all_members(self, action: str) -> list[str]:
        """Everything inside an action, to any depth."""
        return all_members(self.view, action)

    def _owner(self, value: Artifact, named: ValueName) -> str | None:
        """The run whose input or parameter a value is."""
        for edge in self.view.out_of(value.arn):
            if self._run_id(edge.destination_arn) == named.run_id:
                return edge.destination_arn
        return None

    # Facts

    def _entity_type(self, arn: str) -> str:
        return self.view.entity(arn).type

    def _is_code(self, arn: str) -> bool:
        return self._entity_type(arn) in CODE_TYPES

    def _run_id(self, arn: str) -> str | None:
        entity = self.view.entity(arn)
        return entity.source_id if isinstance(entity, Action) else None

    def _fingerprint(self, arn: str) -> str | None:
        entity = self.view.entity(arn)
        return entity.fingerprint if isinstance(entity, Artifact) else None

    def _started(self, arn: str) -> str:
        return _property(self.view.entity(arn), "started")

    def _ended(self, arn: str) -> str:
        """When what a member gave out could be used; empty, which is before anything, when that is not known."""
        return _property(self.view.entity(arn), "ended")


def all_members(view: View, arn: str) -> list[str]:
    """Every action inside an action or context, to any depth, in a fixed order."""
    found: dict[str, None] = {}
    level = [arn]
    while level:
        view.prefetch_members(level)
        level = sorted({member for outer in level for member in view.members(outer)} - found.keys() - {arn})
        found.update(dict.fromkeys(level))
    return list(found)


def _property(entity: object, key: str) -> str:
    return entity.properties.get(key, "") if isinstance(entity, Action) else ""
