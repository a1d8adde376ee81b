"""pyarrow: chunks, offsets, widths of offsets and what lies under a null are storage."""

from __future__ import annotations

import datetime as dt
import decimal
import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.content import describe, fingerprint

NUMBERS = st.none() | st.integers(-(2**31), 2**31 - 1)
KINDS = {
    "int32": (pa.int32(), NUMBERS),
    "float": (pa.float64(), st.none() | st.floats()),
    "bool": (pa.bool_(), st.none() | st.booleans()),
    "text": (pa.string(), st.none() | st.text(st.characters(codec="utf-8"), max_size=4)),
    "bytes": (pa.binary(), st.none() | st.binary(max_size=3)),
    "time": (pa.timestamp("us", "Europe/Paris"), NUMBERS),
    "date": (pa.date32(), st.none() | st.integers(-50_000, 50_000)),
    "decimal": (pa.decimal128(12, 2), st.none() | st.integers(-99, 99).map(decimal.Decimal)),
    "list": (pa.list_(pa.int64()), st.none() | st.lists(NUMBERS, max_size=3)),
    "lists": (
        pa.list_(pa.list_(pa.string())),
        st.none() | st.lists(st.none() | st.lists(st.none() | st.just("x"), max_size=2), max_size=2),
    ),
    "struct": (
        pa.struct([("a", pa.int32()), ("b", pa.string())]),
        st.none() | st.fixed_dictionaries({"a": NUMBERS, "b": st.none() | st.just("y")}),
    ),
    "map": (
        pa.map_(pa.string(), pa.int32()),
        st.none() | st.lists(st.tuples(st.sampled_from("ab"), NUMBERS), max_size=2),
    ),
    "fixed": (pa.binary(2), st.none() | st.binary(min_size=2, max_size=2)),
    "pair": (pa.list_(pa.int8(), 2), st.none() | st.lists(st.integers(0, 5), min_size=2, max_size=2)),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), st.none() | st.sampled_from(["a", "b"])),
}


@st.composite
def columns(draw):
    kind, items = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    return kind, draw(st.lists(items, max_size=8))


@given(columns(), st.integers(0, 8), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_chunks_and_offsets_do_not_count(drawn, cut, shift):
    kind, items = drawn
    whole = pa.array(items, type=kind)
    expected = fingerprint(whole)
    assert expected is not None
    pieces = pa.chunked_array([whole[:cut], whole[cut:cut], whole[cut:]], type=kind)
    padded = pa.array([*items[:shift], *items, *items[:shift]], type=kind)
    shifted = padded[len(items[:shift]) : len(items[:shift]) + len(items)]
    for form in (pieces, pa.chunked_array([whole], type=kind), shifted, pickle.loads(pickle.dumps(whole))):
        assert fingerprint(form) == expected
    table = pa.table({"x": pieces})
    assert fingerprint(table) == fingerprint(pa.table({"x": whole})) == fingerprint(pa.record_batch({"x": whole}))


@given(columns(), columns())
@settings(max_examples=300, deadline=None)
def test_different_columns_differ(first, second):
    a, b = (pa.array(items, type=kind) for kind, items in (first, second))
    if fingerprint(a) == fingerprint(b):
        assert a.type == b.type
        assert repr(a.to_pylist()) == repr(b.to_pylist())  # by repr, for NaN and -0.0


def test_what_lies_under_a_null_does_not_count():
    values = np.array([1, 99, 3], dtype="i8")
    mask = np.array([False, True, False])
    hidden = pa.array(values, mask=mask)
    assert fingerprint(hidden) == fingerprint(pa.array([1, None, 3]))
    texts = pa.Array.from_buffers(
        pa.string(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([0, 1, 4], "i4")), pa.py_buffer(b"axyz")]
    )
    assert texts.to_pylist() == ["a", None]
    assert fingerprint(texts) == fingerprint(pa.array(["a", None]))
    flags = pa.Array.from_buffers(pa.bool_(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(b"\x03")])
    assert fingerprint(flags) == fingerprint(pa.array([True, None]))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 3], pa.int32()), pa.array([1, 8, 9]), mask=pa.array([False, True]))
    assert lists.to_pylist() == [[1], None]
    assert fingerprint(lists) == fingerprint(pa.array([[1], None]))


@pytest.mark.parametrize(
    "kinds", [(pa.string(), pa.large_string(), pa.string_view()), (pa.binary(), pa.large_binary(), pa.binary_view())]
)
def test_how_texts_are_held_does_not_count(kinds):
    items = [b"ab", None, b"", b"long enough to be no inlined view"]
    items = items if pa.types.is_binary(kinds[0]) else [item and item.decode() for item in items]
    made = {fingerprint(pa.array(items, type=kind)) for kind in kinds}
    assert len(made) == 1
    assert made != {None}


def test_units_of_time_do_not_count():
    moments = [dt.datetime(2024, 1, 1), None]
    assert len({fingerprint(pa.array(moments, pa.timestamp(unit))) for unit in ("s", "ms", "us", "ns")}) == 1
    assert fingerprint(pa.array([0, 1], pa.date32())) == fingerprint(pa.array([0, 86_400_000], pa.date64()))
    assert fingerprint(pa.array([1], pa.time32("s"))) == fingerprint(pa.array([10**9], pa.time64("ns")))
    assert (
        len({fingerprint(pa.array(moments, pa.timestamp("us", zone))) for zone in (None, "UTC", "Europe/Paris")}) == 3
    )


def test_types_and_names_count():
    columns_ = [
        pa.array([1, 2], kind)
        for kind in (
            pa.int8(),
            pa.int16(),
            pa.int32(),
            pa.int64(),
            pa.uint8(),
            pa.float32(),
            pa.float64(),
            pa.date32(),
            pa.duration("s"),
            pa.timestamp("s"),
            pa.decimal128(3, 0),
        )
    ]
    columns_ += [
        pa.array(["1", "2"]),
        pa.array([b"1", b"2"]),
        pa.array([b"1", b"2"], pa.binary(1)),
        pa.array([[1], [2]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([{"b": 1}, {"b": 2}]),
        pa.nulls(2),
        pa.nulls(2, pa.int8()),
        pa.array(["1", "2"]).dictionary_encode(),
    ]
    assert len({fingerprint(column) for column in columns_}) == len(columns_)
    tables = [
        pa.table({"a": [1], "b": [2]}),
        pa.table({"b": [2], "a": [1]}),
        pa.table({"a": [1], "c": [2]}),
        pa.table({"a": [1]}),
        pa.table({"a": [1, 1]}),
    ]
    assert len({fingerprint(table) for table in tables}) == len(tables)
    assert fingerprint(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])) is not None


def test_what_a_writer_notes_in_the_schema_does_not_count():
    table = pa.table({"a": [1]})
    assert fingerprint(table.replace_schema_metadata({"writer": "1.2.3"})) == fingerprint(table)


def test_dictionaries_are_their_values_and_ordered_ones_their_order_too():
    def encoded(dictionary, indices, ordered=False):
        return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), pa.array(dictionary), ordered=ordered)

    assert fingerprint(encoded(["a", "b"], [0, 1, None])) == fingerprint(encoded(["b", "x", "a"], [2, 0, None]))
    assert fingerprint(encoded(["a", "b"], [0, 1], ordered=True)) != fingerprint(
        encoded(["b", "a"], [1, 0], ordered=True)
    )
    halves = pa.chunked_array([encoded(["a"], [0]), encoded(["b", "a"], [0, 1])])
    assert fingerprint(halves) == fingerprint(pa.chunked_array([encoded(["a", "b"], [0, 1, 0])]))


def test_large_columns_with_nulls_in_pages():
    rows = 2_500_000
    numbers = np.arange(rows, dtype="f8")
    mask = numbers % 1_000_003 == 0
    column = pa.array(numbers, mask=mask)
    assert fingerprint(column) == fingerprint(pa.chunked_array([column[:7], column[7:2_000_000], column[2_000_000:]]))
    texts = pa.array([None if n % 7 else "x" * (n % 5) for n in range(rows)])
    assert fingerprint(texts) == fingerprint(pa.chunked_array([texts[:1_048_577], texts[1_048_577:]]))


def test_nan_is_one_and_null_is_another():
    odd = np.array([0xFFF8000000000001], dtype="u8").view("f8")
    assert (
        fingerprint(pa.array(odd))
        == fingerprint(pa.array([float("nan")]))
        != fingerprint(pa.array([None], pa.float64()))
    )


def test_extension_and_other_types():
    values = [
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"x" * 16], pa.binary(16))),
        pa.array([b"x" * 16], pa.binary(16)),
        pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]),
        pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
        pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        pa.array([[1], None], pa.list_view(pa.int8())),
        pa.scalar("a"),
        pa.scalar(1),
        pa.scalar(None, pa.int8()),
        pa.scalar([1]),
        pa.py_buffer(b"a"),
    ]
    prints = [fingerprint(value) for value in values]
    assert None not in prints
    assert len(set(prints)) == len(prints)
    assert fingerprint(pa.py_buffer(b"a")) == fingerprint(b"a")


def test_description():
    described = describe(pa.table({"a": [1, 2], "t": ["x", "y"]}))
    assert (described.kind, described.shape) == ("DataSet", (2, 2))
    assert [(column.name, column.type) for column in described.columns] == [("a", "int64"), ("t", "str")]


def test_strip():
    def table(prefix):
        return pa.table({"p": [f"{prefix}/a", None], "l": [[f"{prefix}/b"], []], "s": [{"x": prefix + "/c"}, None]})

    assert fingerprint(table("/w"), strip="/w") == fingerprint(table("")) != fingerprint(table("/w"))
