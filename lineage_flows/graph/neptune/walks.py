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

from collections.abc import Iterable, Iterator
from typing import TypeVar

from lineage_flows.graph.bodies import CODE_TYPES, FLOW_TYPES, RECORD_TYPE, Timed
from lineage_flows.graph.keeper import Direction, Keeper
from lineage_flows.graph.model import Action, Artifact
from lineage_flows.graph.neptune.scratch import START, Scratch, Stop
from lineage_flows.graph.places import Hop, Place
from lineage_flows.graph.rules import Rules
from lineage_flows.graph.view import View

__all__ = ["explore"]

_T = TypeVar("_T")

_WHOLE = "whole"
"""What an action or context gave out, its members' included."""

_RAN = "ran"
"""The members of a run that ran on the code ``detail``."""

_CHAINS = frozenset({"taken", "given out", "made", "unexplained"})
"""A link of a chain; ``detail`` is its number, from 1."""

_MOST_PLACES = 2000
"""So many places are looked at before what was fetched for them is let go."""


def explore(keeper: Keeper, scratch: Scratch, direction: Direction, start: str | None) -> None:
    """Find every place that walks come to, and the steps between them.

    Args:
        keeper: the graph, in a snapshot.
        scratch: where they are put; for all walks, it has the entities.
        direction: of the walks.
        start: the walk from this entity alone; None for that from each.
    """
    seeds = _Walks(keeper, direction)
    for arns in scratch.entities_as_made() if start is None else [[start]]:
        seeds = seeds.renewed(len(arns))
        seeds.seed(arns, scratch)
    walks, last = _Walks(keeper, direction), 0
    while found := scratch.stops_after(direction, last):
        last = found[-1][0]
        walks = walks.renewed(len(found))
        walks.prefetch([stop for _, stop in found])
        for number, stop in found:
            scratch.add_steps(direction, number, walks.after(stop))
            if stop.way in _STANDING:
                scratch.add_standing(number, [stop.arn])


_STANDING = frozenset({"body", "result", "parameter", "code", "by"})
"""Ways of places at which a walk has met the entity. That of the entity as a whole (the empty one) is its vertex."""


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
        self._view = View(keeper)
        self._rules = _Rules(self._view, direction)
        self._looked_at = 0

    def renewed(self, places: int) -> _Walks:
        """These walks, or ones of which nothing is fetched yet, once so many places would be too many."""
        walks = self if self._looked_at + places <= _MOST_PLACES else _Walks(self._keeper, self._direction)
        walks._looked_at += places
        return walks

    def seed(self, arns: list[str], scratch: Scratch) -> None:
        """Put down where the walks from these entities begin."""
        entities = self._view.entities(arns)
        self._view.prefetch_members(arn for arn in arns if not isinstance(entities[arn], Artifact))
        repeated: dict[str, list[str]] = {}
        if self._direction == "up":
            # The run that a replay repeats is named and not walked into.
            for edge in self._keeper.associations(sources=arns, types=("DerivedFrom",)):
                repeated.setdefault(edge.source_arn, []).append(edge.destination_arn)
        for arn in arns:
            begins = self._begins(arn)
            if arn not in repeated and begins == [Stop(arn)]:
                scratch.add_stop(self._direction, Stop(arn))
                continue
            number = scratch.add_stop(self._direction, Stop(arn, START))
            scratch.add_steps(self._direction, number, begins)
            scratch.add_standing(number, [arn, *repeated.get(arn, ())])

    def prefetch(self, stops: Iterable[Stop]) -> None:
        """Fetch in few reads what these places will ask for."""
        entities = self._view.entities({stop.arn for stop in stops})
        near: list[Place] = []
        whole: set[str] = set()
        for stop in stops:
            entity = entities[stop.arn]
            if isinstance(entity, Artifact) and entity.type in CODE_TYPES and self._direction == "down":
                self._prefetch_code(stop.arn)
            elif stop.way in {_WHOLE, _RAN}:
                whole.add(stop.arn)
            elif stop.way != START:
                near.append(Place(stop.arn))
        self._rules.prefetch(near)
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

    def _prefetch_code(self, code: str) -> None:
        """Of code only what it went into: every run of a flow may have run on it, and all their members are too much."""
        self._view.prefetch_edges([code], "down")
        runs = [edge.destination_arn for edge in self._view.out_of(code)]
        entities = self._view.entities(runs)
        self._view.prefetch_members(run for run in runs if entities[run].type not in FLOW_TYPES)

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
