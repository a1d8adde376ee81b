"""Which way lineage goes on from a place in the graph, upwards and downwards.

Knows the mapping of docs/graph.md and a view of the graph; must not know how a walk is organised. Upwards and downwards are
mirror images: whatever is upstream of a thing has that thing downstream of it.

An action without members (a step) is simple: all of its inputs went into all of its outputs. An action with members (a flow
run; a step that called steps) has a *body*, code of its own between the calls, and what passes through it is not all recorded:

- what its members gave out, it may have used for anything that came later: its own outputs, and inputs of later members whose
  origin is not known. These edges are inferred, and say so (``Hop.through``).
- its result, when it is one of its inputs unchanged (equal fingerprints), comes from that alone.
- a parameter comes from the inputs that were passed for it, if any are known.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from lineage_flows.graph.bodies import FLOW_TYPES, RESULT, Bodies, all_members
from lineage_flows.graph.identity import value_name
from lineage_flows.graph.keeper import Direction
from lineage_flows.graph.model import Action, Artifact, Association
from lineage_flows.graph.origins import Origins
from lineage_flows.graph.places import Hop, Place, hop, inferred
from lineage_flows.graph.view import View

__all__ = ["Rules"]


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
        self._said: dict[str, int] = {}

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

    def hops(self, place: Place) -> list[Hop]:
        """Where lineage goes on, in a fixed order. Inferred hops that were said of an earlier place are not said again."""
        entity = self.view.entity(place.arn)
        if self.direction == "up":
            found = self._up_artifact(entity, place) if isinstance(entity, Artifact) else self._up_action(place)
        else:
            found = self._down_artifact(entity, place) if isinstance(entity, Artifact) else self._down_action(place)
        return sorted(found, key=lambda hop: (hop.place, hop.through is not None))

    def made_by(self, artifact: str, makers: Iterable[str]) -> Place:
        """The place of an artifact as these of its makers made it."""
        chosen = sorted(makers)
        if len(chosen) == len(self._origins.makers(artifact)):
            return Place(artifact)
        return Place(artifact, "by", " ".join(chosen))

    # Upwards

    def _up_artifact(self, artifact: Artifact, place: Place) -> Iterator[Hop]:
        makers = self._origins.makers(artifact.arn)
        for edge in makers:
            if place.way != "by" or edge.source_arn in place.detail.split():
                yield hop(edge, self._way_to(edge.source_arn, artifact))
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

    def _way_to(self, action: str, product: Artifact) -> Place:
        """Which inputs of an action a product of it came from."""
        if not self._bodies.is_body(action):
            return Place(action, "all")
        named = value_name(product.source_uri)
        if named is not None and named.kind == "result":
            return Place(action, "result", self._bodies.exact(action, product))
        return Place(action, "body")

    def _up_action(self, place: Place) -> Iterator[Hop]:
        for edge in self.view.into(place.arn):
            if edge.association_type == "ContributedTo" and self._took(place, edge):
                yield hop(edge, self.made_by(edge.source_arn, self._origins.of(edge.source_arn, place.arn)))
        if place.way != "parameter":
            yield from self._inherited(place.arn)
        if place.way == "body" or (place.way == "result" and not place.detail):
            given = self._bodies.given_out(place.arn)
            end = bisect_right(given.moments, place.detail) if place.detail else len(given.moments)
            for value in given.values[self._said.get(place.arn, 0) : end]:
                yield inferred(value, place.arn, "ContributedTo", Place(value), place.arn)
            self._said[place.arn] = max(end, self._said.get(place.arn, 0))

    def _took(self, place: Place, edge: Association) -> bool:
        """Whether an input of an action is meant by the way the walk came."""
        if place.way in {"all", "own"}:
            return True
        source, names = edge.source_arn, {use.name for use in edge.uses}
        if place.way == "parameter":
            return place.detail in names and not self._bodies.is_own_parameter(place.arn, source)
        if place.way == "result" and place.detail:
            is_it = RESULT in names and self._bodies.fingerprint(source) == place.detail
            return is_it or self._bodies.is_code(source)
        return self._bodies.takes(place.arn, edge) or (place.way == "result" and RESULT in names)

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
        makers = set(place.detail.split())
        for edge in self.view.out_of(artifact.arn):
            action = edge.destination_arn
            if edge.association_type != "ContributedTo":
                continue
            if place.way == "by" and makers.isdisjoint(self._origins.of(artifact.arn, action)):
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

    def _ways_from(self, artifact: Artifact, edge: Association) -> Iterator[Place]:
        """What an input of an action with members may have gone into."""
        action, names = edge.destination_arn, {use.name for use in edge.uses}
        if self._bodies.takes(action, edge):
            yield Place(action, "body")
        if RESULT in names:
            yield Place(action, "result", artifact.fingerprint or "")
        if not self._bodies.is_own_parameter(action, artifact.arn):
            for name in sorted(names):
                yield Place(action, "parameter", name)

    def _used_between(self, value: str) -> Iterator[Hop]:
        """The bodies that had a value at hand once one of their members had given it out."""
        for edge in self._origins.makers(value):
            after = self._bodies.ended(edge.source_arn)
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
        for edge, product in self._bodies.outputs(place.arn):
            if self._gave(place, product):
                yield hop(edge, self.made_by(product.arn, [place.arn]))
        if place.way == "parameter":
            for parameter in self._bodies.parameters(place.arn, place.detail):
                yield inferred(place.arn, parameter, "Produced", Place(parameter), place.arn)
        elif place.way in {"body", "code"}:
            unexplained = self._bodies.unexplained(place.arn)
            begin = bisect_left(unexplained.moments, place.detail)
            end = self._said.get(place.arn, len(unexplained.moments))
            for value in unexplained.values[begin:end]:
                yield inferred(place.arn, value, "Produced", Place(value), place.arn)
            self._said[place.arn] = min(begin, end)

    def _gave(self, place: Place, product: Artifact) -> bool:
        """Whether an output of an action is meant by the way the walk came."""
        if place.way in {"all", "own", "code"}:
            return True
        exact = self._bodies.exact(place.arn, product)
        if place.way == "result":
            named = value_name(product.source_uri)
            return named is not None and named.kind == "result" and exact in {"", place.detail}
        return place.way == "body" and not exact
