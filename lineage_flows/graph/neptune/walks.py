"""The walks of a graph as edges, so that a database that knows no rules can follow them.

What is upstream of a thing is not what associations lead to: which inputs of a flow run went into an output of it is told by
moments, names and fingerprints (``rules``). So the export has, beside entities and associations, the *places* of walks
(``places``) as vertices and the steps between them as edges, of both directions. Whoever follows them from an entity to the end
meets what ``query.upstream`` and ``query.downstream`` meet.

Knows the rules; must not know how places are written. In two points they are laid out differently than a walk goes, since here
all walks are written and not one:

- What a body had at hand is a chain, each link leading to one thing and to the link before (upwards) or after (downwards). A run
  of a thousand steps has a thousand links, where the steps from each of its moments to all before it would be half a million.
- A run stands for what it and its members gave out, and a flow for all its runs: each leads to its members in turn. So does code
  lead to the runs that ran on it, and each of these to its members.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from lineage_flows.graph.bodies import CODE_TYPES, FLOW_TYPES, RECORD_TYPE, Timed
from lineage_flows.graph.keeper import Direction, Keeper
from lineage_flows.graph.model import Action, Artifact, Association, Entity
from lineage_flows.graph.neptune.scratch import START, Scratch, Stop
from lineage_flows.graph.places import Hop, Place
from lineage_flows.graph.rules import Rules
from lineage_flows.graph.view import DATA_EDGES, View

__all__ = ["explore"]

_T = TypeVar("_T")

_WHOLE = "whole"
"""What an action or context gave out, its members' included."""

_RAN = "ran"
"""The members of a run that ran on the code ``detail``."""

_CHAINS = frozenset({"taken", "given out", "made", "unexplained"})
"""A link of a chain; ``detail`` is its number, from 1."""

_MOST_FETCHED = 8000
"""So many entities are fetched before all of them are let go."""

_GROUP = 100
"""So many places are looked at together, that what they ask for is fetched in few reads."""

_SLICE = 500
"""So many of an artifact's edges are looked at together: what every run reads leads to every run."""


def explore(keeper: Keeper, scratch: Scratch, direction: Direction, start: str | None) -> None:
    """Find every place that walks come to, and the steps between them.

    Args:
        keeper: the graph, in a snapshot.
        scratch: where they are put; for all walks, it has the entities.
        direction: of the walks.
        start: the walk from this entity alone; None for that from each.
    """
    walks = _Walks(keeper, direction)
    if start is not None:
        walks.seed(list(keeper.get([start]).items()), scratch)
    else:
        for kinds in scratch.entities_as_made():
            walks = walks.renewed()
            walks.seed_all(kinds, scratch)
    last = 0
    while found := scratch.stops_after(direction, last, _GROUP):
        last = found[-1][0]
        for group in walks.groups(found):
            walks = walks.renewed()
            walks.prefetch(group)
            for look in group:
                scratch.add_steps(direction, look.number, walks.after(look.stop))
                if look.stop.way in _STANDING:
                    scratch.add_standing(look.number, [look.stop.arn])


_STANDING = frozenset({"body", "result", "parameter", "code", "by"})
"""Ways of places at which a walk has met the entity. That of the entity as a whole (the empty one) is its vertex."""


class _Look(NamedTuple):
    """A place to be looked at; of an artifact downwards, at some of its edges."""

    number: int
    stop: Stop
    edges: tuple[Association, ...] | None = None


class _Part(View):
    """A view that can be told which edges a thing has, and says how much it holds."""

    def __init__(self, keeper: Keeper) -> None:
        super().__init__(keeper)
        self._given: set[str] = set()

    def give(self, edges: Mapping[str, Iterable[Association]]) -> None:
        """For now, these are the data edges that start at these entities; what was given before is taken back."""
        known = self._data["down"]
        for arn in self._given:
            known.pop(arn, None)
        self._given = set(edges)
        known.update({arn: list(listed) for arn, listed in edges.items()})

    @property
    def size(self) -> int:
        """How many entities were fetched."""
        return len(self._entities)


class _Rules(Rules):
    """The rules, with what they say of a body's time, and of what ran on code, noted instead of followed."""

    def __init__(self, view: View, direction: Direction) -> None:
        super().__init__(view, direction, fetch_far=False)
        self.noted: list[Stop] = []

    def _fresh(self, place: Place, what: str, timed: Timed[_T]) -> tuple[_T, ...]:
        """Nothing; the chain of what counts is noted."""
        link = timed.until(place.detail) if self.direction == "up" else timed.since(place.detail) + 1
        if 1 <= link <= len(timed.values):
            self.noted.append(Stop(place.arn, what, str(link)))
        return ()

    def _ran_on(self, code: str, run: str) -> Iterator[Hop]:
        self.noted.append(Stop(run, _RAN, code))
        yield from ()

    def ran_on(self, code: str, member: str) -> list[Stop]:
        """Where code of a run leads to for a member of it, and for the members of that."""
        further = [Stop(inner, _RAN, code) for inner in self.view.members(member)]
        if any(edge.source_arn == code for edge in self.view.into(member)):
            return further
        return [Stop(member, "code") if self._bodies.is_body(member) else Stop(member), *further]

    def link(self, stop: Stop) -> list[Stop]:
        """Where a link of a chain leads: to its thing, and to the next link."""
        arn, what, number = stop.arn, stop.way, int(stop.detail)
        place, length = self._linked(arn, what, number - 1)
        further = number - 1 if self.direction == "up" else number + 1
        return [_stop(place), *([Stop(arn, what, str(further))] if 1 <= further <= length else ())]

    def _linked(self, arn: str, what: str, position: int) -> tuple[Place, int]:
        """A thing of a body's chain, and how many there are."""
        bodies = self._bodies
        if what == "taken":
            taken = bodies.taken(arn).values
            edge = taken[position]
            return self.made_by(edge.source_arn, self._origins.of(edge)), len(taken)
        if what == "made":
            made = bodies.made(arn).values
            return self.made_by(made[position].destination_arn, [arn]), len(made)
        values = (bodies.given_out(arn) if what == "given out" else bodies.unexplained(arn)).values
        return Place(values[position]), len(values)


class _Walks:
    """Walks of one direction, with what was fetched of the graph for them."""

    def __init__(self, keeper: Keeper, direction: Direction) -> None:
        self._keeper = keeper
        self._direction = direction
        self._view = _Part(keeper)
        self._rules = _Rules(self._view, direction)

    def renewed(self) -> _Walks:
        """These walks, or ones of which nothing is fetched yet, once that is too much."""
        return self if self._view.size <= _MOST_FETCHED else _Walks(self._keeper, self._direction)

    def seed(self, entities: Iterable[tuple[str, Entity]], scratch: Scratch) -> None:
        """Put down where the walks from these entities begin."""
        self.seed_all([(arn, entity.lineage_type) for arn, entity in entities], scratch)

    def seed_all(self, kinds: list[tuple[str, str]], scratch: Scratch) -> None:
        """Put down where the walks from entities begin, that are told by ARN and kind."""
        others = [arn for arn, kind in kinds if kind != "Artifact"]
        self._view.entities(others)
        self._view.prefetch_members(others)
        repeated: dict[str, list[str]] = {}
        if self._direction == "up":
            # The run that a replay repeats is named and not walked into.
            for edge in self._keeper.associations(sources=[arn for arn, _ in kinds], types=("DerivedFrom",)):
                repeated.setdefault(edge.source_arn, []).append(edge.destination_arn)
        for arn, kind in kinds:
            begins = [Stop(arn)] if kind == "Artifact" else self._begins(arn)
            if arn not in repeated and begins == [Stop(arn)]:
                scratch.add_stop(self._direction, Stop(arn))
                continue
            number = scratch.add_stop(self._direction, Stop(arn, START))
            scratch.add_steps(self._direction, number, begins)
            scratch.add_standing(number, [arn, *repeated.get(arn, ())])

    def groups(self, found: list[tuple[int, Stop]]) -> Iterator[list[_Look]]:
        """What to look at together: these places, but of an artifact downwards its edges in slices."""
        group: list[_Look] = []
        entities = self._keeper.get({stop.arn for _, stop in found}) if self._direction == "down" else {}
        for number, stop in found:
            if not isinstance(entities.get(stop.arn), Artifact):
                group.append(_Look(number, stop))
                continue
            edges = self._keeper.associations(sources=[stop.arn], types=DATA_EDGES)
            for begin in range(0, max(len(edges), 1), _SLICE):
                group.append(_Look(number, stop, tuple(edges[begin : begin + _SLICE])))
                if len(edges) > _SLICE or sum(len(look.edges or ()) for look in group) > _SLICE:
                    yield group
                    group = []
        if group:
            yield group

    def prefetch(self, group: Iterable[_Look]) -> None:
        """Fetch in few reads what these places will ask for."""
        entities = self._view.entities({look.stop.arn for look in group})
        self._view.give({look.stop.arn: look.edges for look in group if look.edges is not None})
        near: list[Place] = []
        runs: set[str] = set()
        whole: set[str] = set()
        for _, stop, edges in group:
            if edges is not None:
                targets = [edge.destination_arn for edge in edges]
                met = self._view.entities(targets)
                runs.update(arn for arn in targets if met[arn].type in FLOW_TYPES)
                others = [arn for arn in targets if met[arn].type not in FLOW_TYPES]
                if entities[stop.arn].type in CODE_TYPES:
                    self._view.prefetch_members(others)
                else:
                    near += map(Place, (stop.arn, *others))
            elif stop.way in {_WHOLE, _RAN}:
                whole.add(stop.arn)
            elif stop.way != START:
                near.append(Place(stop.arn))
        self._rules.prefetch(near)
        self._prefetch_runs(runs)
        self._prefetch_whole(whole)

    def after(self, stop: Stop) -> list[Stop]:
        """Where a walk goes on from a place."""
        if stop.way == START:
            return []  # put down when it was
        if stop.way == _WHOLE:
            return self._whole(stop.arn)
        if stop.way == _RAN:
            return self._rules.ran_on(stop.detail, stop.arn)
        if stop.way in _CHAINS:
            return self._rules.link(stop)
        self._rules.noted.clear()
        found = [_stop(hop.place) for hop in self._rules.hops(self._place(stop))]
        return [*found, *self._rules.noted]

    def _begins(self, arn: str) -> list[Stop]:
        """As ``query`` lets walks begin, by places from which all of them are come to."""
        entity = self._view.entity(arn)
        if isinstance(entity, Artifact):
            return [Stop(arn)]
        if isinstance(entity, Action) and entity.type not in FLOW_TYPES:
            return [Stop(arn, "body")] if any(member != arn for member in self._view.members(arn)) else [Stop(arn)]
        return [Stop(arn), Stop(arn, _WHOLE)]

    def _whole(self, arn: str) -> list[Stop]:
        edges = self._view.out_of(arn)
        given = [edge.destination_arn for edge in edges]
        entities = self._view.entities(given)
        found = [
            _stop(self._rules.made_by(made, [arn]))
            for made in dict.fromkeys(given)
            if entities[made].type != RECORD_TYPE
        ]
        for member in self._view.members(arn):
            found.append(Stop(member, _WHOLE))
            if self._direction == "up":  # what it took in went into the run, even if it gave out nothing
                found.append(Stop(member))
        return found

    def _place(self, stop: Stop) -> Place:
        if stop.way in _STANDING:
            return Place(stop.arn, stop.way, stop.detail)  # type: ignore[arg-type]  # the ways of places among them
        return Place(stop.arn) if isinstance(self._view.entity(stop.arn), Artifact) else Place(stop.arn, "own")

    def _prefetch_runs(self, runs: set[str]) -> None:
        """Of runs that something went into, what else did. Their members are not asked about here, and would be too many."""
        view = self._view
        view.prefetch_edges(runs, "up")
        view.prefetch_containers(runs)
        view.entities({edge.source_arn for run in runs for edge in view.into(run)})

    def _prefetch_whole(self, arns: set[str]) -> None:
        view = self._view
        view.prefetch_members(arns)
        view.prefetch_edges(arns, "down")
        view.prefetch_edges(arns, "up")
        given = {edge.destination_arn for arn in arns for edge in view.out_of(arn)}
        view.entities(given)
        view.prefetch_edges(given, "up")


def _stop(place: Place) -> Stop:
    """A place of the rules as one of the export. Of a simple action, all that it took in is all that is recorded: its vertex."""
    return Stop(place.arn, "" if place.way in {"all", "own"} else place.way, place.detail)
