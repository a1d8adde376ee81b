"""Cycles and shared parts: equal after a round trip, told apart, and walked in a time that grows with the value only."""

from __future__ import annotations

import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.content import describe, fingerprint
from tests.content.corpus import Plain, Tree

EDGES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20)


def graph(edges, size=8):
    """Nodes that refer to one another by lists, dictionaries and attributes."""
    nodes = [Plain(number=n, to=[], named={}) for n in range(size)]
    for place, (a, b) in enumerate(edges):
        nodes[a].to.append(nodes[b])
        nodes[b].named[f"{place}"] = nodes[a]
    return nodes


@given(EDGES)
@settings(max_examples=60, deadline=None)
def test_graphs_are_equal_after_a_round_trip(edges):
    nodes = graph(edges)
    assert fingerprint(nodes) == fingerprint(pickle.loads(pickle.dumps(nodes))) is not None
    assert fingerprint(nodes[3]) == fingerprint(graph(edges)[3])


@given(EDGES, EDGES)
@settings(max_examples=100, deadline=None)
def test_graphs_with_other_edges_differ(first, second):
    assert (fingerprint(graph(first)) == fingerprint(graph(second))) == (first == second)


def test_a_value_without_cycles_is_its_content_however_its_parts_are_shared():
    part = [1.5, {"a": (2,)}]
    assert fingerprint([part, part, {"p": part}]) == fingerprint(
        [[1.5, {"a": (2,)}], [1.5, {"a": (2,)}], {"p": [1.5, {"a": (2,)}]}]
    )


def test_insertion_order_of_a_dictionary_in_a_cycle_does_not_count():
    def ring(order):
        found = {}
        for key in order:
            found[key] = {"key": key, "home": found}
        return found

    assert fingerprint(ring("abc")) == fingerprint(ring("cab")) is not None


def test_a_set_of_nodes_that_know_their_parent():
    def tree(order):
        root = Plain(name="root", children=set())
        for title in order:
            root.children.add(Plain(name=title, parent=root))
        return root

    assert {fingerprint(tree(order)) for order in ("abcdef", "fedcba", "cafebd")} == {fingerprint(tree("abcdef"))}
    assert fingerprint(tree("abc")) not in (None, fingerprint(tree("abd")))


def test_a_set_of_nodes_that_know_one_another_has_no_order_to_tell_them_by():
    a, b = Plain(), Plain()
    a.other, b.other = b, a
    described = describe({a, b})
    assert described.fingerprint is None
    assert "set" in described.note
    # Met before the set, they can be told apart.
    assert fingerprint([a, {a, b}]) == fingerprint([a, {b, a}]) is not None


def test_which_way_a_cycle_is_entered_counts():
    a, b = Plain(name="a"), Plain(name="b")
    a.to, b.to = b, a
    assert fingerprint(a) != fingerprint(b)
    assert fingerprint([a]) == fingerprint([a])


def test_large_graphs_take_a_time_that_grows_with_them_only():
    def complete(size):
        nodes = [Plain(name=str(n)) for n in range(size)]
        for node in nodes:
            node.all = nodes
        return nodes

    def siblings(size):
        root = Tree("root")
        return [Tree(str(n), root) for n in range(size)]

    def chain(size):
        first = Tree("0")
        last = first
        for n in range(size):
            last = Tree(str(n), last)
        return first, last

    # Walked once for each path, or once for each node of each node, these would not end.
    for make in (complete, siblings, chain):
        assert fingerprint(make(5000)) == fingerprint(make(5000)) is not None


def test_a_flat_part_that_is_shared_a_thousand_times_is_hashed_once():
    part = list(range(200_000))
    assert fingerprint([part] * 5000) is not None


def test_a_walk_that_failed_leaves_nothing_behind():
    import threading

    shared = {"inner": [[1.5]]}
    value = [shared, threading.Lock()]
    described = describe(value)
    assert described.fingerprint is None
    assert described.parts[0].fingerprint == fingerprint(shared)
