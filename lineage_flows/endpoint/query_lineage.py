"""The walk of QueryLineage: which entities a query finds, by which associations, and in which pages they are handed out.

Knows nothing of how a graph is kept or of HTTP; it asks a small protocol, a whole level at a time. What AWS documents is marked D,
what its own SDK and that SDK's tests show I, what is not known U.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

__all__ = [
    "MAX_DEPTH",
    "MAX_RESULTS",
    "Answer",
    "Direction",
    "Edge",
    "Filters",
    "LineageSource",
    "Node",
    "Place",
    "Query",
    "walk",
]

Direction = Literal["Ascendants", "Descendants", "Both"]
"""``Ascendants`` goes from destination to source, ``Descendants`` from source to destination. ``Both`` takes associations either
way, and from every entity it meets, not only from the start (D). It is meant when nothing is said (I: the SDK's default)."""

MAX_DEPTH = 10
"""The greatest depth that can be asked for, and what is walked when none is (D; the default I: the SDK's own)."""

MAX_RESULTS = 50
"""The most entities a page may have (D), and what a page has when nothing is said (U)."""


class Edge(NamedTuple):
    """An association by the ARNs of its ends."""

    source: str
    destination: str
    type: str


@dataclass(frozen=True, slots=True)
class Node:
    """What a query needs to know of an entity.

    Attributes:
        arn: its ARN.
        lineage_type: ``Artifact``, ``Action``, ``Context`` or ``TrialComponent``; ``Experiment`` too may be an association's end.
        type: its own type (``DataSet``, ``Training``…); None of a trial component that no job stands behind.
        created: when it was created, RFC 3339 in UTC with microseconds, so that texts compare as moments do.
        modified: when it was last modified, in the same form.
        properties: its properties; a trial component's are its parameters (I).
    """

    arn: str
    lineage_type: str
    type: str | None
    created: str
    modified: str
    properties: Mapping[str, str] = field(default_factory=dict)


class LineageSource(Protocol):
    """Where entities and associations come from. All calls of one walk see the same state of the graph."""

    def nodes(self, arns: Collection[str]) -> Mapping[str, Node]:
        """The entities of these ARNs; unknown ones are left out."""
        ...

    def edges(self, arns: Collection[str], *, up: bool) -> Iterable[Edge]:
        """The associations that end (``up``) or start at one of these ARNs, each once."""
        ...


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entities a query is for. Every kind of filter that is given has to hold (I); inside one kind any of its values may.

    Moments are exclusive: *before* and *after* them; they have the form that ``Node`` has.
    """

    types: frozenset[str] = frozenset()
    lineage_types: frozenset[str] = frozenset()
    created_before: str | None = None
    created_after: str | None = None
    modified_before: str | None = None
    modified_after: str | None = None
    properties: frozenset[tuple[str, str]] = frozenset()

    def accept(self, node: Node) -> bool:
        """Whether an entity matches. Several pairs of properties: one of them is enough (D)."""
        return (
            (not self.types or node.type in self.types)
            and (not self.lineage_types or node.lineage_type in self.lineage_types)
            and (self.created_before is None or node.created < self.created_before)
            and (self.created_after is None or node.created > self.created_after)
            and (self.modified_before is None or node.modified < self.modified_before)
            and (self.modified_after is None or node.modified > self.modified_after)
            and (not self.properties or any(node.properties.get(key) == value for key, value in self.properties))
        )


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked.

    Attributes:
        start: the ARN to start from.
        direction: where to.
        include_edges: whether the associations and entities on the way to matches are wanted, too (D). Left out it is false (I: the
            member of AWS's model is no boxed Boolean).
        filters: what is looked for.
        max_depth: over how many associations at most.
    """

    start: str
    direction: Direction = "Both"
    include_edges: bool = False
    filters: Filters = field(default_factory=Filters)
    max_depth: int = MAX_DEPTH


Place = tuple[int, str]
"""Where an entity stands in an answer: its depth, and its ARN."""


class Answer:
    """All that a query found: entities by depth, then ARN, so that the nearest come first.

    An association is handed out with the later of its ends: it comes once, and never before what it joins. AWS documents no order
    (U); this one leaves a reader who takes the first page only (as the SDK does) with a connected neighbourhood of the start.
    """

    def __init__(self, depths: Mapping[str, int], nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        ranked = sorted(((depths[node.arn], node.arn), node) for node in nodes)
        self._keys = [key for key, _ in ranked]
        self._nodes = [node for _, node in ranked]
        bound = sorted(
            (max((depths[edge.source], edge.source), (depths[edge.destination], edge.destination)), edge)
            for edge in edges
        )
        self._edge_keys = [key for key, _ in bound]
        self._edges = [edge for _, edge in bound]

    def __len__(self) -> int:
        """How many entities and associations there are: what keeping the answer costs."""
        return len(self._nodes) + len(self._edges)

    def vertices(self, after: Place | None, most: int) -> list[tuple[Place, Node]]:
        """At most so many entities that come after a place; from the first on when it is None."""
        start = 0 if after is None else bisect_right(self._keys, after)
        return list(zip(self._keys[start : start + most], self._nodes[start : start + most], strict=True))

    def edges(self, after: Place | None, until: Place | None) -> list[Edge]:
        """The associations that are handed out with the entities after one place and up to another; None for the end."""
        first = 0 if after is None else bisect_right(self._edge_keys, after)
        beyond = len(self._edges) if until is None else bisect_right(self._edge_keys, until)
        return self._edges[first:beyond]


def walk(graph: LineageSource, query: Query) -> Answer | None:
    """All that a query finds; None when there is no entity of its start's ARN.

    Work is bounded by the entities and associations within ``max_depth`` of the start: each is looked at a fixed number of times,
    whatever cycles there are.

    - Without edges: what matches the filters, and nothing else (D); the start itself is left out, since filters are on "the
      entities connected to the StartArn" (U).
    - With edges: the start (I: the SDK's tests count it), the matches, and what lies on a way of at most ``max_depth``
      associations from the start to a match. Which ways count is not documented (U). Here, in one direction, all of them: a
      dataset that goes into a model directly and over a step has that step on its way. In ``Both``, those that never lead back
      nearer to the start: else every entity would lie on some way to every other.
    """
    start = graph.nodes([query.start]).get(query.start)
    if start is None:
        return None
    found = _Reached({start.arn: 0}, {start.arn: start}, {})
    frontier: Collection[str] = [start.arn]
    for depth in range(1, query.max_depth + 1):
        frontier = _step(graph, query, found, frontier, depth)
        if not frontier:
            break
    matches = [arn for arn, node in found.nodes.items() if query.filters.accept(node)]
    if not query.include_edges:
        return Answer(found.depths, (found.nodes[arn] for arn in matches if arn != query.start), ())
    return _with_ways(query, found, matches)


@dataclass(frozen=True, slots=True)
class _Reached:
    """What a walk has met so far. ``edges`` is an ordered set; it stays empty when they are not asked for."""

    depths: dict[str, int]
    nodes: dict[str, Node]
    edges: dict[Edge, None]


def _step(
    graph: LineageSource, query: Query, found: _Reached, frontier: Collection[str], depth: int
) -> Collection[str]:
    """Take one association from each of ``frontier``; what was met for the first time."""
    taken: list[Edge] = []
    met: dict[str, None] = {}
    for up in (True, False):
        if query.direction in ("Both", "Ascendants" if up else "Descendants"):
            for edge in graph.edges(frontier, up=up):
                end = edge.source if up else edge.destination
                if end not in found.depths:
                    met[end] = None
                if query.include_edges:
                    taken.append(edge)
    known = graph.nodes(met) if met else {}
    found.nodes.update(known)
    found.depths.update(dict.fromkeys(known, depth))
    # An association whose other end is gone is none.
    found.edges.update(dict.fromkeys(e for e in taken if e.source in found.depths and e.destination in found.depths))
    return list(known)


def _with_ways(query: Query, found: _Reached, matches: Iterable[str]) -> Answer:
    """The matches and what lies on a way to one."""
    steps = [(one, other, edge) for edge in found.edges for one, other in _onward(query.direction, edge, found.depths)]
    before: defaultdict[str, list[str]] = defaultdict(list)
    for one, other, _ in steps:
        before[other].append(one)
    left = _distances(before, matches, query.max_depth)
    beyond = query.max_depth + 1
    kept = {arn for arn, depth in found.depths.items() if depth + left.get(arn, beyond) <= query.max_depth}
    edges = {edge for one, other, edge in steps if found.depths[one] + 1 + left.get(other, beyond) <= query.max_depth}
    kept.add(query.start)
    return Answer(found.depths, (found.nodes[arn] for arn in kept), edges)


def _onward(direction: Direction, edge: Edge, depths: Mapping[str, int]) -> list[tuple[str, str]]:
    """From where to where an association may be taken on a way that counts."""
    if direction == "Ascendants":
        return [(edge.destination, edge.source)]
    if direction == "Descendants":
        return [(edge.source, edge.destination)]
    ways = [(edge.source, edge.destination), (edge.destination, edge.source)]
    return [(one, other) for one, other in ways if depths[other] >= depths[one]]


def _distances(before: Mapping[str, list[str]], matches: Iterable[str], most: int) -> dict[str, int]:
    """Over how few associations a match can be reached from each entity; those that need more than ``most`` are left out."""
    left = dict.fromkeys(matches, 0)
    frontier = list(left)
    for distance in range(1, most + 1):
        frontier = list({arn: None for later in frontier for arn in before.get(later, ()) if arn not in left})
        left.update(dict.fromkeys(frontier, distance))
    return left
