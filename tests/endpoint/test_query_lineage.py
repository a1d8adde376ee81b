"""The walk of QueryLineage against a naive reading of the same rules."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Mapping

import networkx as nx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lineage_flows.endpoint.answer_cache import AnswerCache
from lineage_flows.endpoint.query_lineage import (
    Answer,
    Direction,
    Edge,
    Filters,
    Node,
    Query,
    walk,
)


class Memory:
    """A graph in memory that counts what it is asked."""

    def __init__(self, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        self._nodes = {node.arn: node for node in nodes}
        self._from: dict[str, list[Edge]] = {}
        self._to: dict[str, list[Edge]] = {}
        for edge in edges:
            self._from.setdefault(edge.source, []).append(edge)
            self._to.setdefault(edge.destination, []).append(edge)
        self.asked = 0

    def nodes(self, arns: Collection[str]) -> Mapping[str, Node]:
        self.asked += len(arns)
        return {arn: self._nodes[arn] for arn in arns if arn in self._nodes}

    def edges(self, arns: Collection[str], *, up: bool) -> Iterator[Edge]:
        for arn in arns:
            found = (self._to if up else self._from).get(arn, [])
            self.asked += len(found)
            yield from found


def node(arn: str, type_: str = "A", *, lineage: str = "Artifact", at: str = "0", **properties: str) -> Node:
    return Node(arn, lineage, type_, at, at, properties)


def found(answer: Answer | None) -> list[str]:
    assert answer is not None
    return [node.arn for _, node in answer.vertices(None, 1000)]


ARNS = [f"n{number}" for number in range(7)]
edges_of = st.lists(
    st.builds(Edge, st.sampled_from(ARNS), st.sampled_from(ARNS), st.sampled_from(["ContributedTo", "Produced"])),
    max_size=14,
    unique=True,
)
types_of = st.lists(st.sampled_from(["A", "B"]), min_size=len(ARNS), max_size=len(ARNS))
directions = st.sampled_from(["Ascendants", "Descendants", "Both"])


def naive(types: list[str], edges: list[Edge], query: Query) -> tuple[set[str], set[Edge]]:
    """Every way of at most ``max_depth`` associations, written out one by one."""
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(ARNS)
    graph.add_edges_from((edge.source, edge.destination) for edge in edges)
    seen = {"Ascendants": graph.reverse(), "Descendants": graph, "Both": graph.to_undirected()}[query.direction]
    depths = nx.single_source_shortest_path_length(seen, query.start, cutoff=query.max_depth)
    matches = {arn for arn in depths if not query.filters.types or types[ARNS.index(arn)] in query.filters.types}
    if not query.include_edges:
        return matches - {query.start}, set()
    vertices, taken = {query.start}, set()
    ways: list[tuple[str, tuple[tuple[str, Edge], ...]]] = [(query.start, ())]
    for _ in range(query.max_depth + 1):
        for end, way in ways:
            if end in matches:
                vertices |= {end, *(arn for arn, _ in way)}
                taken |= {edge for _, edge in way}
        longer = []
        for end, way in ways:
            for edge in edges:
                options = []
                if query.direction != "Ascendants":
                    options.append((edge.source, edge.destination))
                if query.direction != "Descendants":
                    options.append((edge.destination, edge.source))
                for one, other in options:
                    back = query.direction == "Both" and depths.get(other, -1) < depths.get(one, 0)
                    if one == end and not back:
                        longer.append((other, (*way, (end, edge))))
        ways = longer
        if len(ways) > 3000:  # ways multiply: such an example says nothing that a smaller one does not
            return set(), set()
    return vertices, taken


@given(types_of, edges_of, directions, st.booleans(), st.booleans(), st.integers(0, 4))
@example(["A"] * 7, [Edge("n0", "n1", "Produced"), Edge("n1", "n0", "Produced")], "Both", True, False, 4)
def test_it_finds_what_every_way_written_out_finds(
    types: list[str], edges: list[Edge], direction: Direction, include: bool, filtered: bool, depth: int
) -> None:
    query = Query("n0", direction, include, Filters(types=frozenset({"B"} if filtered else ())), depth)
    vertices, taken = naive(types, edges, query)
    answer = walk(Memory(map(node, ARNS, types), edges), query)
    assert answer is not None
    handed = answer.edges(None, None)
    if vertices or not include:
        assert set(found(answer)) == vertices
        assert set(handed) == taken
    assert len(handed) == len(set(handed))


@given(edges_of, directions, st.integers(1, 9))
def test_pages_hand_out_everything_once_and_an_association_after_both_its_ends(
    edges: list[Edge], direction: Direction, size: int
) -> None:
    answer = walk(Memory(map(node, ARNS), edges), Query("n0", direction, include_edges=True))
    assert answer is not None
    vertices: list[str] = []
    taken: list[Edge] = []
    last = None
    while True:
        page = answer.vertices(last, size)
        until = page[-1][0] if len(page) == size else None
        vertices += [node.arn for _, node in page]
        taken += answer.edges(last, until)
        assert all(edge.source in vertices and edge.destination in vertices for edge in taken)
        last = until
        if last is None:
            break
    assert vertices == found(answer)
    assert taken == answer.edges(None, None)


def test_both_goes_both_ways_from_everything_it_meets() -> None:
    """AWS's own example: one image is behind two models, and the query from one of them finds the other's endpoint."""
    edges = [
        Edge("image", "one", "ContributedTo"),
        Edge("image", "two", "ContributedTo"),
        Edge("two", "end", "Produced"),
    ]
    graph = Memory([node("image", "Image"), node("one", "Model"), node("two", "Model"), node("end", "Endpoint")], edges)
    both = walk(graph, Query("one", "Both"))
    assert found(both) == ["image", "two", "end"]
    up = walk(graph, Query("one", "Ascendants"))
    assert found(up) == ["image"]


def test_what_lies_on_a_longer_way_to_a_match_is_on_the_way_too() -> None:
    edges = [
        Edge("data", "clean", "ContributedTo"),
        Edge("clean", "frame", "Produced"),
        Edge("frame", "fit", "ContributedTo"),
        Edge("data", "fit", "ContributedTo"),
        Edge("fit", "model", "Produced"),
        Edge("fit", "log", "Produced"),
    ]
    arns = ["data", "clean", "frame", "fit", "model", "log"]
    graph = Memory([node(arn, arn) for arn in arns], edges)
    wanted = Filters(types=frozenset({"model"}))
    answer = walk(graph, Query("data", "Descendants", True, wanted))
    assert answer is not None
    assert set(found(answer)) == {"data", "clean", "frame", "fit", "model"}
    assert set(answer.edges(None, None)) == set(edges[:-1])
    short = walk(graph, Query("data", "Descendants", True, wanted, max_depth=2))
    assert set(found(short)) == {"data", "fit", "model"}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), ["old", "new", "run", "part"]),
        (Filters(types=frozenset({"DataSet"})), ["old", "new"]),
        (Filters(types=frozenset({"DataSet", "Fit"})), ["old", "new", "run"]),
        (Filters(lineage_types=frozenset({"Action", "TrialComponent"})), ["run", "part"]),
        (Filters(types=frozenset({"DataSet"}), lineage_types=frozenset({"Action"})), []),
        (Filters(created_after="1"), ["new", "run", "part"]),
        (Filters(created_before="2"), ["old"]),
        (Filters(created_after="1", created_before="3"), ["new"]),
        (Filters(modified_after="2"), ["run", "part"]),
        (Filters(modified_before="3"), ["old", "new"]),
        (Filters(properties=frozenset({("owner", "ann")})), ["old"]),
        (Filters(properties=frozenset({("owner", "ann"), ("owner", "bob")})), ["old", "new"]),
        (Filters(properties=frozenset({("owner", "an")})), []),
    ],
)
def test_filters(filters: Filters, expected: list[str]) -> None:
    nodes = [
        node("start"),
        node("old", "DataSet", at="1", owner="ann"),
        node("new", "DataSet", at="2", owner="bob"),
        node("run", "Fit", lineage="Action", at="3"),
        Node("part", "TrialComponent", None, "4", "4"),
    ]
    graph = Memory(nodes, [Edge("start", other.arn, "ContributedTo") for other in nodes[1:]])
    assert sorted(found(walk(graph, Query("start", filters=filters)))) == sorted(expected)


def test_an_unknown_start_is_none_and_an_association_into_nothing_is_passed_over() -> None:
    graph = Memory([node("a")], [Edge("a", "gone", "Produced")])
    assert walk(graph, Query("gone")) is None
    answer = walk(graph, Query("a", include_edges=True))
    assert answer is not None
    assert (found(answer), answer.edges(None, None)) == (["a"], [])


def test_a_large_graph_with_cycles_is_looked_at_once() -> None:
    count, generator = 20_000, random.Random(7)
    arns = [f"a{number:06}" for number in range(count)]
    edges = {
        Edge(arns[generator.randrange(count)], arns[generator.randrange(count)], "Produced") for _ in range(100_000)
    }
    graph = Memory(map(node, arns), edges)
    answer = walk(graph, Query(arns[0], "Both", include_edges=True))
    assert answer is not None
    assert len(answer) > 100_000
    assert graph.asked <= 2 * len(edges) + 2 * count


def test_the_cache_keeps_what_fits_and_lets_go_of_what_was_not_asked_for_longest() -> None:
    graph = Memory([node("a"), node("b")], [Edge("a", "b", "Produced")])
    cache = AnswerCache(most=7)
    queries = [Query("a", include_edges=True, max_depth=depth) for depth in (1, 2, 3)]
    answers = [walk(graph, query) for query in queries]
    for query, answer in zip(queries, answers, strict=True):
        assert answer is not None
        assert len(answer) == 3
        cache.keep(query, answer)
        cache.get(queries[0])
    assert [cache.get(query) is not None for query in queries] == [True, False, True]
    small = AnswerCache(most=2)
    assert answers[0] is not None
    small.keep(queries[0], answers[0])
    assert small.get(queries[0]) is None
