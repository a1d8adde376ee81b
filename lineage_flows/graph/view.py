"""The part of a graph that a walk has come to, fetched from the keeper in few large reads and kept for the walk's length.

Knows the keeper's protocol and the model; must not know which edges a walk follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

from lineage_flows.graph.keeper import Direction, Keeper
from lineage_flows.graph.model import Action, Association, AssociationType, Entity

__all__ = ["DATA_EDGES", "View"]

DATA_EDGES: tuple[AssociationType, ...] = ("ContributedTo", "Produced")
_CONTAINMENT: tuple[AssociationType, ...] = ("AssociatedWith",)
_TWINS: tuple[AssociationType, ...] = ("SameAs",)

_MOST_ROUNDS = 24
"""After so many fetches a walk is so deep and so tangled that reading the whole graph once is the cheaper way."""


class View:
    """Entities and edges by ARN. Whatever is asked for and not there yet is fetched; ``prefetch`` does so for many at once."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._entities: dict[str, Entity] = {}
        self._data: dict[Direction, dict[str, list[Association]]] = {"up": {}, "down": {}}
        self._twins: dict[Direction, dict[str, list[Association]]] = {"up": {}, "down": {}}
        self._containment: dict[Direction, dict[str, list[str]]] = {"up": {}, "down": {}}
        self._repeated: dict[str, str | None] = {}
        self._rounds = 0

    def entity(self, arn: str) -> Entity:
        """A known entity."""
        if arn not in self._entities:
            self._fetch_entities([arn])
        return self._entities[arn]

    def entities(self, arns: Iterable[str]) -> Mapping[str, Entity]:
        """Many of them."""
        self._fetch_entities(arns)
        return self._entities

    def into(self, arn: str) -> list[Association]:
        """Data edges that end here: what contributed to an action, or produced an artifact."""
        return self._edges(arn, "up")

    def out_of(self, arn: str) -> list[Association]:
        """Data edges that start here: what an action produced, or an artifact contributed to."""
        return self._edges(arn, "down")

    def twins(self, arn: str, direction: Direction) -> list[Association]:
        """``SameAs`` that ends here (``up``), or starts here."""
        if arn not in self._twins[direction]:
            self.prefetch_twins([arn], direction)
        return self._twins[direction][arn]

    def containers(self, arn: str) -> list[str]:
        """What an action is directly part of: its flow run, the step that called it, its flow."""
        return self._contained(arn, "up")

    def members(self, arn: str) -> list[str]:
        """What is directly part of an action or context."""
        return self._contained(arn, "down")

    def repeated_by(self, replay: str) -> str | None:
        """The run that a replay repeats, when it is in the graph."""
        if replay not in self._repeated:
            found = self._keeper.associations(sources=[replay], types=("DerivedFrom",))
            self._repeated[replay] = found[0].destination_arn if found else None
        return self._repeated[replay]

    def prefetch(self, arns: Iterable[str], direction: Direction, *, far: bool) -> set[str]:
        """Fetch what a walk will ask of these entities; with ``far`` also of all that follow from them along data edges.

        Returns:
            These entities, and those that were fetched with them.
        """
        nodes = set(arns)
        wanted = {arn for arn in nodes if arn not in self._data[direction]}
        if wanted:
            self._rounds += 1
            if far and self._rounds > _MOST_ROUNDS:
                self._fetch_everything()
                return nodes
            nodes |= self._fetch_closure(wanted, direction) if far else self._fetch_next(wanted, direction)
        self._fetch_entities(nodes)
        actions = [arn for arn in nodes if isinstance(self._entities.get(arn), Action)]
        self.prefetch_members(actions)
        while actions:  # up to the flow run at the top, whose code and environment count for all that is in it
            self._fetch_containment(actions, "up")
            outer = {arn for inner in actions for arn in self._containment["up"][inner]}
            actions = sorted(arn for arn in outer if arn not in self._containment["up"])
            self._fetch_entities(actions)
            self.prefetch_edges(actions, "up")
        return nodes

    def prefetch_members(self, arns: Iterable[str]) -> None:
        """Fetch what is directly part of these."""
        self._fetch_containment(arns, "down")

    def prefetch_containers(self, arns: Iterable[str]) -> None:
        """Fetch what these are directly part of."""
        self._fetch_containment(arns, "up")

    def prefetch_edges(self, arns: Iterable[str], direction: Direction) -> None:
        """Fetch the data edges of these entities alone."""
        wanted = {arn for arn in arns if arn not in self._data[direction]}
        if wanted:
            ends = sorted(wanted)
            found = (
                self._keeper.associations(destinations=ends, types=DATA_EDGES)
                if direction == "up"
                else self._keeper.associations(sources=ends, types=DATA_EDGES)
            )
            self._keep_edges(found, wanted, direction)

    def prefetch_twins(self, arns: Iterable[str], direction: Direction) -> None:
        """Fetch what these are said to be the same as, or what is said to be the same as they are."""
        known = self._twins[direction]
        wanted = sorted({arn for arn in arns if arn not in known})
        if not wanted:
            return
        known.update({arn: [] for arn in wanted})
        if direction == "up":
            for edge in self._keeper.associations(destinations=wanted, types=_TWINS):
                known[edge.destination_arn].append(edge)
        else:
            for edge in self._keeper.associations(sources=wanted, types=_TWINS):
                known[edge.source_arn].append(edge)

    def _fetch_closure(self, wanted: set[str], direction: Direction) -> set[str]:
        edges = self._keeper.closure(sorted(wanted), direction, DATA_EDGES)
        nodes = self._keep_edges(edges, wanted, direction)
        for arn in nodes:  # a closure ends only where nothing follows
            self._data[direction].setdefault(arn, [])
        return nodes

    def _fetch_next(self, wanted: set[str], direction: Direction) -> set[str]:
        self.prefetch_edges(wanted, direction)
        edges = (edge for near in wanted for edge in self._data[direction][near])
        return {arn for edge in edges for arn in (edge.source_arn, edge.destination_arn)}

    def _fetch_everything(self) -> None:
        edges = self._keeper.associations(types=DATA_EDGES)
        contained = self._keeper.associations(types=_CONTAINMENT)
        arns = {
            arn for edge in (*edges, *contained) for arn in (edge.source_arn, edge.destination_arn)
        } | self._entities.keys()
        self._fetch_entities(arns)
        for direction in get_args(Direction):
            self._data[direction].clear()
            self._keep_edges(edges, set(arns), direction)
            self._containment[direction] = {arn: [] for arn in arns}
        for edge in contained:
            self._containment["up"][edge.source_arn].append(edge.destination_arn)
            self._containment["down"][edge.destination_arn].append(edge.source_arn)

    def _edges(self, arn: str, direction: Direction) -> list[Association]:
        if arn not in self._data[direction]:
            self.prefetch_edges([arn], direction)
        return self._data[direction][arn]

    def _keep_edges(self, edges: Iterable[Association], wanted: set[str], direction: Direction) -> set[str]:
        """Sort edges in by their near end. Returns both ends of all of them."""
        near: dict[str, list[Association]] = {arn: [] for arn in wanted}
        far: set[str] = set()
        for edge in edges:
            ends = (
                (edge.destination_arn, edge.source_arn)
                if direction == "up"
                else (edge.source_arn, edge.destination_arn)
            )
            near.setdefault(ends[0], []).append(edge)
            far.add(ends[1])
        self._data[direction].update(near)
        return near.keys() | far

    def _contained(self, arn: str, direction: Direction) -> list[str]:
        if arn not in self._containment[direction]:
            self._fetch_containment([arn], direction)
        return self._containment[direction][arn]

    def _fetch_containment(self, arns: Iterable[str], direction: Direction) -> None:
        known = self._containment[direction]
        wanted = sorted({arn for arn in arns if arn not in known})
        if not wanted:
            return
        known.update({arn: [] for arn in wanted})
        if direction == "up":
            for edge in self._keeper.associations(sources=wanted, types=_CONTAINMENT):
                known[edge.source_arn].append(edge.destination_arn)
        else:
            for edge in self._keeper.associations(destinations=wanted, types=_CONTAINMENT):
                known[edge.destination_arn].append(edge.source_arn)

    def _fetch_entities(self, arns: Iterable[str]) -> None:
        wanted = sorted({arn for arn in arns if arn not in self._entities})
        if wanted:
            self._entities.update(self._keeper.get(wanted))
