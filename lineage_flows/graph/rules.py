"""Which way lineage goes on from a place in the graph, upwards and downwards.

Knows the mapping of docs/graph.md and a view of the graph; must not know how a walk is organised. Upwards and downwards are
mirror images: whatever is upstream of a thing has that thing downstream of it.

An action without members (a step) is simple: all of its inputs went into all of its outputs. An action with members (a flow
run; a step that called steps) has a *body*, code of its own between the calls, and what passes through it is not all recorded:

- what its members gave out, it may have used for anything that came later: its own outputs, and inputs of later members whose
  origin is not known. These edges are inferred, and say so (``Hop.through``).
- so it may a file from when it first read it, and a file it wrote was made by when it last wrote it. A file of which no moment is
  known was read before anything, and written after everything.
- its result, when it is one of its inputs unchanged (equal fingerprints), comes from that alone.
- a parameter comes from the inputs that were passed for it, if any are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from lineage_flows.graph.bodies import FLOW_TYPES, RESULT, Bodies, Timed, all_members
from lineage_flows.graph.identity import value_name
from lineage_flows.graph.joins import may_be_joined
from lineage_flows.graph.keeper import Direction
from lineage_flows.graph.model import Action, Artifact, Association
from lineage_flows.graph.origins import Origins, chosen
from lineage_flows.graph.places import Hop, Place, hop, inferred
from lineage_flows.graph.view import View

__all__ = ["Rules"]

_T = TypeVar("_T")


class Rules:
    """The next places from a place, for one walk.

    Args:
        view: the graph as far as the walk has come.
        direction: which way it goes.
        fetch_far: whether it goes to the end anyway, so that much can be fetched at once.
    """

    def __init__(self, view: View, direction: Direction, *, fetch_far: bool) -> None:
        self.view = view
        self.direction = direction
        self._origins = Origins(view)
        self._bodies = Bodies(view)
        self._fetch_far = fetch_far
        self._fetched: set[str] = set()
        self._said: dict[tuple[str, str], int] = {}

    def prefetch(self, places: Iterable[Place]) -> None:
        """Fetch in few reads what the places of one level, and with ``fetch_far`` of those behind it, will ask for."""
        view = self.view
        wanted = sorted({place.arn for place in places} - self._fetched)
        if not wanted:
            return
        arns = view.prefetch(wanted, self.direction, far=self._fetch_far)
        self._fetched |= arns if self._fetch_far else set(wanted)
        entities = view.entities(arns)
        artifacts = [entity for arn in arns if isinstance(entity := entities[arn], Artifact)]
        actions = [arn for arn in arns if isinstance(entities[arn], Action)]
        if self.direction == "down":
            products = (edge.destination_arn for arn in actions for edge in view.out_of(arn))
            view.prefetch_edges([*(artifact.arn for artifact in artifacts), *products], "up")
        else:
            values = (artifact.arn for artifact in artifacts if value_name(artifact.source_uri) is not None)
            view.prefetch_edges([edge.source_arn for arn in actions for edge in view.into(arn)], "up")
            view.prefetch_edges(values, "down")
        members = sorted({member for arn in actions if self._bodies.is_body(arn) for member in view.members(arn)})
        view.prefetch_containers(members)
        view.prefetch_edges(members, "up")
        view.prefetch_edges(members, "down")
        taken = {edge.source_arn for arn in members for edge in view.into(arn)}
        view.entities([*members, *taken, *(edge.destination_arn for arn in members for edge in view.out_of(arn))])
        view.prefetch_edges(taken, "up")
        if self.direction == "up":
            arns = {*arns, *(edge.source_arn for arn in actions for edge in view.into(arn))}
        self._prefetch_joins([arn for arn in arns if may_be_joined(view.entity(arn).source_uri)])

    def _prefetch_joins(self, arns: list[str]) -> None:
        """Fetch what data in S3, and what SageMaker knows by an ARN, is joined to, with who wrote that."""
        view = self.view
        view.prefetch_twins(arns, "up")
        if self.direction == "down":
            view.prefetch_twins(arns, "down")
        view.prefetch_edges(arns, "up")
        ends = {edge.source_arn for arn in arns for edge in (*view.into(arn), *view.twins(arn, "up"))}
        entities = view.entities(ends)
        objects = [arn for arn in sorted(ends) if isinstance(entities.get(arn), Artifact)]
        view.prefetch_edges(objects, "up")
        makers = {edge.source_arn for arn in objects for edge in view.into(arn)}
        view.prefetch_containers(makers)
        view.entities(makers)

    def hops(self, place: Place) -> list[Hop]:
        """Where lineage goes on, in a fixed order. Hops of a body that were said of an earlier place in it are not said again."""
        entity = self.view.entity(place.arn)
        if self.direction == "up":
            found = self._up_artifact(entity, place) if isinstance(entity, Artifact) else self._up_action(place)
        else:
            found = self._down_artifact(entity, place) if isinstance(entity, Artifact) else self._down_action(place)
        return sorted(found, key=lambda hop: (hop.place, hop.through is not None))

    def made_by(self, artifact: str, makers: Iterable[str]) -> Place:
        """The place of an artifact as these of its makers made it, or of what it is joined to."""
        named = sorted(makers)
        entity = self.view.entity(artifact)
        # Downwards a file may have readers that were there before its makers; a value is there only once it was made.
        everywhere = self.direction == "up" or value_name(entity.source_uri) is not None
        if everywhere and len(named) == len(self._origins.makers(artifact)) and not self._origins.joins(artifact):
            return Place(artifact)
        return Place(artifact, "by", " ".join(named))

    # Upwards

    def _up_artifact(self, artifact: Artifact, place: Place) -> Iterator[Hop]:
        makers, meant = self._origins.makers(artifact.arn), chosen(place.detail)
        for edge in makers:
            if place.way != "by" or edge.source_arn in meant:
                yield hop(edge, self._way_to(edge, artifact))
        joins = [] if self._origins.knows_better(artifact) else self._origins.joins(artifact.arn)
        for edge in joins:
            if place.way != "by" or edge.source_arn in meant:
                source = edge.source_arn
                yield hop(edge, self.made_by(source, self._origins.at(source, meant.get(source, ""))))
        for edge in self.view.into(artifact.arn):
            # No event says so, but over SageMaker's API one artifact may contribute to another with no action between.
            is_other = edge.association_type == "ContributedTo" and not self._origins.is_join(edge)
            if is_other and isinstance(self.view.entity(edge.source_arn), Artifact):
                yield hop(edge, self.made_by(edge.source_arn, self._origins.of(edge)))
        named = value_name(artifact.source_uri)
        owner = None if makers or named is None else self._bodies.owner(artifact)
        if owner is None or named is None:
            return
        if named.kind == "parameter" and self._bodies.was_passed(owner, named.name):
            yield inferred(owner, artifact.arn, "Produced", Place(owner, "parameter", named.name), owner)
        else:
            for body in self._bodies.callers(owner):
                way = Place(body, "body", self._bodies.started(owner))
                yield inferred(body, artifact.arn, "Produced", way, body)

    def _way_to(self, edge: Association, product: Artifact) -> Place:
        """Which inputs of an action a product of it came from."""
        action = edge.source_arn
        if not self._bodies.is_body(action):
            return Place(action, "all")
        named = value_name(product.source_uri)
        if named is not None and named.kind == "result":
            return Place(action, "result", self._bodies.exact(action, product))
        return Place(action, "body", edge.moment)

    def _up_action(self, place: Place) -> Iterator[Hop]:
        through_body = place.way == "body" or (place.way == "result" and not place.detail)
        taken = self._fresh(place, "taken", self._bodies.taken(place.arn)) if through_body else ()
        edges = (edge for edge in self.view.into(place.arn) if edge.association_type == "ContributedTo")
        for edge in (*taken, *(edge for edge in edges if self._took(place, edge))):
            yield hop(edge, self.made_by(edge.source_arn, self._origins.of(edge)))
        yield from self._up_twins(place.arn)
        if place.way != "parameter":
            yield from self._inherited(place.arn)
        if through_body:
            for value in self._fresh(place, "given out", self._bodies.given_out(place.arn)):
                yield inferred(value, place.arn, "ContributedTo", Place(value), place.arn)

    def _up_twins(self, arn: str) -> Iterator[Hop]:
        """What SageMaker keeps as a context or action of its own, and a flow knows by the same ARN."""
        if may_be_joined(self.view.entity(arn).source_uri):
            for edge in self.view.twins(arn, "up"):
                yield hop(edge, self.made_by(edge.source_arn, self._origins.at(edge.source_arn, "")))

    def _took(self, place: Place, edge: Association) -> bool:
        """Whether an input of an action is meant by the way the walk came, other than by way of its body."""
        if place.way in {"all", "own"}:
            return True
        source, names = edge.source_arn, {use.name for use in edge.uses}
        if place.way == "parameter":
            return place.detail in names and not self._bodies.is_own_parameter(place.arn, source)
        if place.way == "result" and place.detail:
            is_it = RESULT in names and self._bodies.fingerprint(source) == place.detail
            return is_it or self._bodies.is_code(source)
        return place.way == "result" and RESULT in names

    def _inherited(self, action: str) -> Iterator[Hop]:
        """Code and environment of the runs around an action."""
        own = {edge.source_arn for edge in self.view.into(action)}
        for run in self._bodies.around(action):
            for edge in self.view.into(run):
                code = edge.source_arn
                if edge.association_type == "ContributedTo" and code not in own and self._bodies.is_code(code):
                    own.add(code)
                    yield inferred(code, action, "ContributedTo", Place(code), run)

    # Downwards

    def _down_artifact(self, artifact: Artifact, place: Place) -> Iterator[Hop]:
        makers = chosen(place.detail)
        for edge in self.view.out_of(artifact.arn):
            action = edge.destination_arn
            if edge.association_type != "ContributedTo" or self._origins.is_join(edge):
                continue
            if place.way == "by" and not self._origins.reaches(makers, edge):
                continue
            if self._bodies.is_code(artifact.arn) and self.view.entity(action).type in FLOW_TYPES:
                yield hop(edge, Place(action, "code"))
                yield from self._ran_on(artifact.arn, action)
            elif not self._bodies.is_body(action):
                yield hop(edge, Place(action, "all"))
            else:
                for way in self._ways_from(artifact, edge):
                    yield hop(edge, way)
        if value_name(artifact.source_uri) is not None:
            yield from self._used_between(artifact.arn)
        if may_be_joined(artifact.source_uri):
            yield from self._down_joins(
                artifact.arn, "|".join([artifact.arn, *makers]) if place.way == "by" else artifact.arn
            )

    def _down_joins(self, artifact: str, meant: str) -> Iterator[Hop]:
        """What an object lies in, or is the same as: whoever read that, read it as far as it had been written by then."""
        for edge in (*self.view.out_of(artifact), *self.view.twins(artifact, "down")):
            other = self.view.entity(edge.destination_arn)
            if self._origins.is_join(edge):
                if isinstance(other, Artifact) and not self._origins.knows_better(other):
                    yield hop(edge, Place(other.arn, "by", meant))
            elif edge.association_type == "SameAs" and not isinstance(other, Artifact):
                yield hop(edge, Place(other.arn, "all"))

    def _ways_from(self, artifact: Artifact, edge: Association) -> Iterator[Place]:
        """What an input of an action with members may have gone into."""
        action, names = edge.destination_arn, {use.name for use in edge.uses}
        if self._bodies.takes(action, edge):
            yield Place(action, "body", edge.moment)
        if RESULT in names:
            yield Place(action, "result", artifact.fingerprint or "")
        if not self._bodies.is_own_parameter(action, artifact.arn):
            for name in sorted(names):
                yield Place(action, "parameter", name)

    def _used_between(self, value: str) -> Iterator[Hop]:
        """The bodies that had a value at hand once one of their members had given it out."""
        for edge in self._origins.makers(value):
            after = self._bodies.at_hand(edge)
            for body in self._bodies.callers(edge.source_arn):
                # A flow run is only the way to what it made of the value; a step that called another took its value in.
                if self.view.entity(body).type not in FLOW_TYPES or self._bodies.leads_on(body, after):
                    yield inferred(value, body, "ContributedTo", Place(body, "body", after), body)

    def _ran_on(self, code: str, run: str) -> Iterator[Hop]:
        """Everything inside a run whose code this is, other than what has it recorded itself."""
        for member in all_members(self.view, run):
            if all(edge.source_arn != code for edge in self.view.into(member)):
                way = Place(member, "code" if self._bodies.is_body(member) else "all")
                yield inferred(code, member, "ContributedTo", way, run)

    def _down_action(self, place: Place) -> Iterator[Hop]:
        made = self._fresh(place, "made", self._bodies.made(place.arn)) if place.way == "body" else ()
        given = (edge for edge, product in self._bodies.outputs(place.arn) if self._gave(place, product))
        for edge in (*made, *given):
            yield hop(edge, self.made_by(edge.destination_arn, [place.arn]))
        if place.way == "parameter":
            for parameter in self._bodies.parameters(place.arn, place.detail):
                yield inferred(place.arn, parameter, "Produced", Place(parameter), place.arn)
        elif place.way in {"body", "code"}:
            for value in self._fresh(place, "unexplained", self._bodies.unexplained(place.arn)):
                yield inferred(place.arn, value, "Produced", Place(value), place.arn)

    def _gave(self, place: Place, product: Artifact) -> bool:
        """Whether an output of an action is meant by the way the walk came, other than by way of its body."""
        if place.way in {"all", "own", "code"}:
            return True
        named = value_name(product.source_uri)
        if place.way != "result" or named is None or named.kind != "result":
            return False
        return self._bodies.exact(place.arn, product) in {"", place.detail}

    # Both ways

    def _fresh(self, place: Place, what: str, timed: Timed[_T]) -> tuple[_T, ...]:
        """What a body had by the moment of a place (upwards), or still had to come (downwards), and was not said before."""
        key = (place.arn, what)
        if self.direction == "up":
            begin, end = self._said.get(key, 0), timed.until(place.detail)
            self._said[key] = max(begin, end)
        else:
            begin, end = timed.since(place.detail), self._said.get(key, len(timed.values))
            self._said[key] = min(begin, end)
        return timed.values[begin:end]
