"""Objects without a rule of their own: by the structure pickle would rebuild them from."""

from __future__ import annotations

import collections
import ipaddress
import pickle
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.content import describe, fingerprint
from tests.content.corpus import Numbers, Plain, Slotted, Table, Text, Tree

STATES = st.dictionaries(
    st.sampled_from("abcdef"), st.integers() | st.text() | st.lists(st.floats(allow_nan=False)), max_size=4
)


@given(STATES, STATES)
@settings(deadline=None)
def test_an_object_is_its_class_and_state(a, b):
    same = list(map(str, sorted(a.items()))) == list(map(str, sorted(b.items())))
    assert (fingerprint(Plain(**a)) == fingerprint(Plain(**b))) == same
    assert fingerprint(Plain(**a)) == fingerprint(pickle.loads(pickle.dumps(Plain(**a))))


def test_order_of_attributes_and_sharing_do_not_count():
    text = "".join(["some ", "text"])
    one, other = Plain(a=text, b=text), Plain(b="some text", a="".join(["some", " text"]))
    assert pickle.dumps(one) != pickle.dumps(other)
    assert fingerprint(one) == fingerprint(other)


def test_the_rule_is_said_and_passed_on():
    assert describe(Plain(a=1)).rule == "pickle"
    assert describe([{"a": Plain()}]).rule == "pickle"


def test_a_set_in_the_state_has_no_order():
    names = [f"name {n}" for n in range(50)]
    backwards = names[::-1]
    assert fingerprint(Plain(s=set(names))) == fingerprint(Plain(s=set(backwards)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: re.compile("a", re.MULTILINE),
        lambda: random.Random(5),
        lambda: ipaddress.ip_network("10.0.0.0/8"),
        lambda: ValueError("a", 1),
        lambda: Numbers([1, 2]),
        lambda: Table(a=1),
        lambda: Text("abc"),
        lambda: Slotted([1]),
        lambda: collections.UserDict(a=1),
        lambda: collections.ChainMap({"a": 1}, {"b": 2}),
        lambda: Tree("root"),
        object,
        lambda: range(3),
        lambda: type(None),
    ],
)
def test_equal_after_pickling(make):
    assert fingerprint(make()) == fingerprint(pickle.loads(pickle.dumps(make()))) == fingerprint(make()) is not None


def test_what_differs():
    values = [
        Numbers([1]),
        Numbers([2]),
        Table(a=1),
        Table(a=2),
        Text("a"),
        Text("b"),
        Slotted(1),
        Slotted(2),
        Plain(a=1),
        Plain(b=1),
    ]
    values += [
        random.Random(1),
        random.Random(2),
        range(3),
        range(4),
        ValueError("a"),
        ValueError("b"),
        KeyError("a"),
        re.compile("a"),
        re.compile("b"),
    ]
    assert len({fingerprint(value) for value in values}) == len(values)


def test_reductions_registered_from_outside_are_used():
    import copyreg

    class Handle:
        def __init__(self, path):
            self.path = path
            self.lock = __import__("threading").Lock()

    assert fingerprint(Handle("a")) is None
    copyreg.pickle(Handle, lambda handle: (Handle, (handle.path,)))
    try:
        assert fingerprint(Handle("a")) == fingerprint(Handle("a")) != fingerprint(Handle("b"))
    finally:
        del copyreg.dispatch_table[Handle]


def test_a_reduction_that_is_a_name():
    class Singleton:
        def __init__(self, name):
            self.name = name

        def __reduce__(self):
            return self.name

    assert fingerprint(Singleton("a")) == fingerprint(Singleton("a")) != fingerprint(Singleton("b"))


def test_graphs_of_networkx_are_not_what_was_looked_up_in_them():
    import networkx as nx

    graph, again = nx.path_graph(5), nx.Graph([(3, 4), (2, 3), (0, 1), (1, 2)])
    before = fingerprint(graph)
    assert list(graph.nodes)
    assert graph.adj
    assert fingerprint(graph) == before == fingerprint(nx.path_graph(5)) == fingerprint(again)
