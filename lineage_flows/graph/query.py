"""What a graph is asked: what a thing was made from, what was made from it, how two things hang together, what is called so.

Knows keepers only by their protocol. Walks follow the data path (``rules``); they end on cycles, and their order is fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lineage_flows.errors import UnknownReferenceError
from lineage_flows.graph.bodies import FLOW_TYPES, RECORD_TYPE, all_members
from lineage_flows.graph.keeper import Direction, Keeper
from lineage_flows.graph.model import Action, Artifact, AssociationType, Context, Entity, Use
from lineage_flows.graph.places import Hop, Place
from lineage_flows.graph.rules import Rules
from lineage_flows.graph.view import View

__all__ = ["Path", "Walk", "WalkEdge", "WalkNode", "downstream", "path", "search", "upstream"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WalkNode(_Frozen):
    """A thing that a walk met. ``depth`` counts the edges from the start by the shortest way."""

    entity: Entity
    depth: int


class WalkEdge(_Frozen):
    """An edge that a walk followed, in the direction data flows.

    ``through`` is None for an association of the graph. Otherwise the edge is inferred: it is the ARN of the run whose code and
    environment count for its steps, or whose own code, between its steps, may have passed the data on.
    """

    source_arn: str
    destination_arn: str
    association_type: AssociationType
    uses: tuple[Use, ...] = ()
    through: str | None = None


class Walk(_Frozen):
    """What is upstream or downstream of a thing.

    Attributes:
        direction: which of the two.
        start: ARN of the thing asked about.
        nodes: everything met, the start first; by depth, then kind, type, label, ARN. Of a run, everything that it gave out has
            depth 0 too.
        edges: every edge followed, by source, destination, type.
        complete: False when the walk was cut at the depth asked for and there is more behind.
    """

    direction: Literal["upstream", "downstream"]
    start: str
    nodes: tuple[WalkNode, ...]
    edges: tuple[WalkEdge, ...]
    complete: bool = True

    def beyond(self, arn: str) -> tuple[WalkEdge, ...]:
        """The edges by which the walk went on from a node: for drawing it as a tree."""
        near = "destination_arn" if self.direction == "upstream" else "source_arn"
        return tuple(edge for edge in self.edges if getattr(edge, near) == arn)


class Path(_Frozen):
    """The shortest way data took from one thing to another; both are empty when there is none.

    ``entities`` are in the order data flowed; ``edges`` join each to the next.
    """

    entities: tuple[Entity, ...] = ()
    edges: tuple[WalkEdge, ...] = ()


def upstream(keeper: Keeper, start: str, depth: int | None = None) -> Walk:
    """Everything a thing was made from: data, values, steps, and the code and environment they ran on.

    Args:
        keeper: the graph.
        start: ARN of an artifact, an action or a context. A flow run, a replay or a flow stands for all that it gave out; of a
            replay the run it repeats is shown too.
        depth: follow at most so many edges; None follows all.

    Raises:
        UnknownReferenceError: no such ARN.
    """
    return _walk(keeper, start, "up", depth)


def downstream(keeper: Keeper, start: str, depth: int | None = None) -> Walk:
    """Everything that was made from a thing. Arguments and errors as of ``upstream``."""
    return _walk(keeper, start, "down", depth)


def path(keeper: Keeper, a: str, b: str) -> Path:
    """The shortest way data took between two things, whichever of them came first.

    Raises:
        UnknownReferenceError: one of them is no ARN of the graph.
    """
    with keeper.snapshot():
        return _path(keeper, a, b) or _path(keeper, b, a) or Path()


def search(keeper: Keeper, text: str, *, limit: int | None = None) -> list[Entity]:
    """Entities whose name, URI, type or properties hold every word of ``text``, letter case aside; newest first."""
    return keeper.search(text, limit=limit)


@dataclass(slots=True)
class _Trail:
    """What a search has found so far."""

    depths: dict[str, int] = field(default_factory=dict)
    seen: set[Place] = field(default_factory=set)
    edges: dict[tuple[str, str, str, str | None], Hop] = field(default_factory=dict)
    came_from: dict[Place, tuple[Place, Hop]] = field(default_factory=dict)
    goal: Place | None = None
    complete: bool = True


def _walk(keeper: Keeper, start: str, direction: Direction, depth: int | None) -> Walk:
    with keeper.snapshot():
        view = View(keeper)
        _known(view, start)
        rules = Rules(view, direction, fetch_far=depth is None)
        trail = _follow(rules, _starts(rules, start), depth)
        if direction == "up" and (depth is None or depth >= 1):
            _add_repeated(keeper, start, trail)
        entities = view.entities(trail.depths)
    nodes = [WalkNode(entity=entities[arn], depth=found) for arn, found in trail.depths.items()]
    nodes.sort(key=lambda node: (node.depth, node.entity.arn != start, *_order(node.entity)))
    edges = [_edge(trail.edges[key]) for key in sorted(trail.edges, key=lambda key: (*key[:3], key[3] or ""))]
    return Walk.model_construct(
        direction="upstream" if direction == "up" else "downstream",
        start=start,
        nodes=tuple(nodes),
        edges=tuple(edges),
        complete=trail.complete,
    )


def _follow(
    rules: Rules, levels: list[list[Place]], depth: int | None, is_goal: Callable[[Place], bool] | None = None
) -> _Trail:
    """Breadth first, a level at a time.

    Args:
        rules: where lineage goes on.
        levels: the places to begin with, by their depth.
        depth: how many edges to follow at most.
        is_goal: stop at the first level that has such a place.
    """
    trail = _Trail()
    reached, level = -1, list[Place]()
    while level or reached + 1 < len(levels):
        reached += 1
        given = levels[reached] if reached < len(levels) else []
        fresh = [place for place in dict.fromkeys([*given, *level]) if place not in trail.seen]
        trail.seen.update(fresh)
        for place in fresh:
            trail.depths.setdefault(place.arn, reached)
        if is_goal is not None and (met := [place for place in fresh if is_goal(place)]):
            trail.goal = min(met)
            break
        rules.prefetch(fresh)
        level = []
        for place in fresh:
            hops = rules.hops(place)
            if depth is not None and reached >= depth:
                trail.complete = trail.complete and all(hop.place.arn in trail.depths for hop in hops)
                continue
            for hop in hops:
                trail.edges.setdefault((hop.source, hop.destination, hop.type, hop.through), hop)
                if hop.place not in trail.seen:
                    trail.came_from.setdefault(hop.place, (place, hop))
                    level.append(hop.place)
    return trail


def _starts(rules: Rules, start: str) -> list[list[Place]]:
    """Where a walk from a thing begins, by depth. A run stands for what it and its members gave out."""
    view = rules.view
    entity = view.entity(start)
    if isinstance(entity, Artifact):
        return [[Place(start)]]
    members = all_members(view, start)
    if isinstance(entity, Action) and entity.type not in FLOW_TYPES:
        way: Literal["all", "body"] = "body" if members else "all"
        return [[Place(start, way)]]
    view.prefetch_edges([start, *members], "down")
    makers: dict[str, list[str]] = {}
    for arn in (start, *members):
        for edge in view.out_of(arn):
            makers.setdefault(edge.destination_arn, []).append(arn)
    view.prefetch_edges(makers, "up")
    entities = view.entities(makers)
    given = [rules.made_by(arn, makers[arn]) for arn in sorted(makers) if entities[arn].type != RECORD_TYPE]
    if rules.direction == "down":
        return [[Place(start, "own"), *given]]
    # A member that gave out nothing still took something in, and that went into the run.
    return [[Place(start, "own"), *given], [Place(arn, "own") for arn in members]]


def _add_repeated(keeper: Keeper, start: str, trail: _Trail) -> None:
    """The run that a replay repeats: it is named and not walked into, since the replay's own lineage is whole without it."""
    for edge in keeper.associations(sources=[start], types=("DerivedFrom",)):
        hop = Hop(edge.source_arn, edge.destination_arn, edge.association_type, Place(edge.destination_arn))
        trail.edges[hop.source, hop.destination, hop.type, None] = hop
        trail.depths.setdefault(hop.destination, 1)


def _path(keeper: Keeper, earlier: str, later: str) -> Path | None:
    view = View(keeper)
    for arn in (earlier, later):
        _known(view, arn)
    given = {place.arn: place for place in _starts(Rules(view, "down", fetch_far=True), earlier)[0]}

    def is_goal(place: Place) -> bool:
        """Several may have written one file: what was read must be what ``earlier`` wrote."""
        known = given.get(place.arn)
        return known is not None and (
            "by" not in {known.way} & {place.way} or not set(known.detail.split()).isdisjoint(place.detail.split())
        )

    rules = Rules(view, "up", fetch_far=True)
    trail = _follow(rules, _starts(rules, later), None, is_goal)
    if trail.goal is None:
        return None
    place = trail.goal
    arns, edges = [place.arn], list[WalkEdge]()
    while place in trail.came_from:
        place, hop = trail.came_from[place]
        arns.append(place.arn)
        edges.append(_edge(hop))
    if arns[0] != earlier:  # an output stands for the run that was asked about
        edges.insert(0, _edge(Hop(earlier, arns[0], "Produced", Place(arns[0]), through=earlier)))
        arns.insert(0, earlier)
    if arns[-1] != later:
        edges.append(_edge(Hop(arns[-1], later, "ContributedTo", Place(later), through=later)))
        arns.append(later)
    return Path(entities=tuple(view.entity(arn) for arn in arns), edges=tuple(edges))


def _known(view: View, arn: str) -> None:
    if arn not in view.entities([arn]):
        raise UnknownReferenceError(arn)


def _edge(hop: Hop) -> WalkEdge:
    return WalkEdge(
        source_arn=hop.source,
        destination_arn=hop.destination,
        association_type=hop.type,
        uses=hop.uses,
        through=hop.through,
    )


_KINDS: dict[type[Artifact | Action | Context], int] = {Artifact: 0, Action: 1, Context: 2}


def _order(entity: Entity) -> tuple[int, str, str, str]:
    return _KINDS[type(entity)], entity.type, entity.label, entity.arn
