"""Containers: what their order means, and that packing is only a short cut."""

from __future__ import annotations

import collections
import math
import pickle
import struct
import types

from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.content import describe, fingerprint
from lineage_flows.content.walk import Walk

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**66), 2**66)
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=3)
    | st.complex_numbers()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(0, 3) | st.booleans(), inner, max_size=4)
        | st.frozensets(st.integers(0, 5) | st.text(max_size=1), max_size=4)
    ),
    max_leaves=12,
)


def bits(value):
    """What the rules say a value is, said in another way."""
    if isinstance(value, float):
        return "f", b"nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, complex):
        return "c", bits(value.real), bits(value.imag)
    if isinstance(value, list | tuple):
        return type(value).__name__, tuple(map(bits, value))
    if isinstance(value, dict):
        return "dict", frozenset((bits(key), bits(item)) for key, item in value.items())
    if isinstance(value, frozenset):
        return "set", frozenset(map(bits, value))
    return type(value).__name__, value


@given(VALUES, VALUES)
@settings(max_examples=500, deadline=None)
def test_equal_exactly_when_the_rules_say_so(a, b):
    assert (fingerprint(a) == fingerprint(b)) == (bits(a) == bits(b))


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_equal_after_pickling_and_untouched(value):
    before = bits(value)
    assert fingerprint(value) == fingerprint(pickle.loads(pickle.dumps(value))) is not None
    assert bits(value) == before


@given(st.dictionaries(st.text(), SCALARS), st.randoms())
def test_order_of_a_dictionary_does_not_count(value, random):
    shuffled = list(value.items())
    random.shuffle(shuffled)
    assert fingerprint(dict(shuffled)) == fingerprint(value)


@given(st.sets(st.text() | st.integers()), st.randoms())
def test_order_of_a_set_does_not_count(value, random):
    shuffled = list(value)
    random.shuffle(shuffled)
    assert fingerprint(set(shuffled)) == fingerprint(frozenset(value)) == fingerprint(value)


@given(st.lists(VALUES, max_size=5))
@settings(deadline=None)
def test_flat_and_walked_containers_agree(items):
    """A container is flat by what is in it; a part that is not makes the walk take the long way to the same bytes."""
    flat, walked = Walk(), Walk()
    walked.leaves = {}
    for value in (items, tuple(items), dict(enumerate(items))):
        assert flat.token(value) == fingerprint_token_by_steps(walked, value)


def fingerprint_token_by_steps(_walk, value):
    class Own:  # holds what forces the long way
        pass

    holder = [value, Own()]
    other = Walk()
    other.token(holder)
    return other.token(value)


def test_texts_are_told_apart_by_where_they_end():
    assert len({fingerprint(x) for x in (["ab", "c"], ["a", "bc"], ["abc", ""], ["", "abc"], ["abc"])}) == 5
    assert len({fingerprint(x) for x in ({"a": "bc"}, {"ab": "c"}, {"a": "b", "c": ""}, ["a", "bc"])}) == 4


def test_list_tuple_set_and_dict_of_the_same_things_differ():
    assert len({fingerprint(x) for x in ([1, 2], (1, 2), {1, 2}, {1: 2}, [[1, 2]], [(1, 2)], range(1, 3))}) == 7


def test_kinds_of_number_in_a_list_differ():
    lists = [[1], [1.0], [True], [1 + 0j], ["1"], [2**64 + 1], [None], [[1]]]
    assert len({fingerprint(x) for x in lists}) == len(lists)


def test_zeros_and_nans_in_a_packed_list():
    nan = struct.unpack("<d", b"\x01\x00\x00\x00\x00\x00\xf8\xff")[0]
    assert fingerprint([nan, 1.0]) == fingerprint([math.nan, 1.0])
    assert fingerprint([0.0]) != fingerprint([-0.0])
    assert fingerprint([math.inf, -math.inf]) != fingerprint([math.inf, math.nan])


def test_relatives_of_dict():
    ordered = collections.OrderedDict(a=1, b=2)
    values = [
        {"a": 1, "b": 2},
        ordered,
        collections.Counter(a=1, b=2),
        collections.defaultdict(int, a=1, b=2),
        collections.defaultdict(list, a=1, b=2),
        types.MappingProxyType({"a": 1, "b": 2}),
        types.SimpleNamespace(a=1, b=2),
    ]
    assert len({fingerprint(x) for x in values} - {None}) == len(values)
    assert fingerprint(collections.OrderedDict(b=2, a=1)) != fingerprint(ordered)
    assert fingerprint(collections.Counter(b=2, a=1)) == fingerprint(values[2])


def test_views_of_a_dictionary():
    value = {"a": [1], "b": [2]}
    again = {"b": [2], "a": [1]}
    assert fingerprint(value.keys()) == fingerprint(again.keys()) is not None
    assert fingerprint(value.items()) == fingerprint(again.items()) is not None
    assert fingerprint(value.values()) != fingerprint(again.values())


def test_a_subclass_is_another_value_than_its_base():
    class Own(list):
        pass

    with_state = Own([1])
    with_state.unit = "m"
    assert len({fingerprint(x) for x in ([1], Own([1]), with_state, Own([2]))}) == 4
    assert describe(Own([1])).rule == "pickle"


def test_keys_with_equal_tokens_are_kept_apart():
    import numpy as np

    class Key:
        """Two keys that are one by the rules: pickle gives them the same parts."""

    assert fingerprint({Key(): 1, Key(): 2}) == fingerprint({Key(): 2, Key(): 1}) != fingerprint({Key(): 1, Key(): 1})
    assert fingerprint({np.int64(1): "a"}) == fingerprint({1: "a"})
