"""pandas: what is storage, and what is the value."""

from __future__ import annotations

import datetime as dt
import decimal
import pickle
import zoneinfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import pytz
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import pandas as hpd

from lineage_flows.content import describe, fingerprint
from lineage_flows.content.frames import column_look, column_memory, column_values

COLUMNS = st.sampled_from(["int", "float", "bool", "text", "time", "category", "masked", "object", "timedelta"])
TEXTS = st.text(max_size=3) | st.none()


def column(kind, draw, rows):
    lists = {
        "int": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=rows, max_size=rows).map(
            lambda v: pd.array(v, dtype="int64")
        ),
        "float": st.lists(st.floats(), min_size=rows, max_size=rows).map(lambda v: np.array(v, dtype="f8")),
        "bool": st.lists(st.booleans(), min_size=rows, max_size=rows).map(lambda v: np.array(v, dtype=bool)),
        "text": st.lists(TEXTS, min_size=rows, max_size=rows).map(lambda v: np.array([*v, None], dtype=object)[:-1]),
        "time": st.lists(
            st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)) | st.none(), min_size=rows, max_size=rows
        ).map(lambda v: pd.array(v, dtype="M8[us]")),
        "category": st.lists(st.sampled_from(["a", "b", "c", None]), min_size=rows, max_size=rows).map(
            lambda v: pd.Categorical(v, categories=["c", "a", "b"])
        ),
        "masked": st.lists(st.integers(-5, 5) | st.none(), min_size=rows, max_size=rows).map(
            lambda v: pd.array(v, dtype="Int64")
        ),
        "object": st.lists(
            st.none() | st.integers() | st.text(max_size=2) | st.lists(st.integers(), max_size=2),
            min_size=rows,
            max_size=rows,
        ).map(objects),
        "timedelta": st.lists(st.timedeltas(dt.timedelta(-9), dt.timedelta(9)), min_size=rows, max_size=rows).map(
            lambda v: pd.array(v, dtype="m8[us]")
        ),
    }
    return draw(lists[kind])


def objects(items):
    found = np.empty(len(items), dtype=object)
    found[:] = items
    return found


@st.composite
def frames(draw):
    rows = draw(st.integers(0, 5))
    kinds = draw(st.lists(COLUMNS, max_size=4))
    made = {
        f"{place}{kind}": pd.Series(column(kind, draw, rows), dtype=object if kind == "object" else None)
        for place, kind in enumerate(kinds)
    }
    index = draw(hpd.indexes(dtype=np.int64, min_size=rows, max_size=rows, unique=False))
    return pd.DataFrame(made, index=range(rows)).set_axis(index)


@given(frames())
@settings(max_examples=150, deadline=None)
def test_storage_does_not_count(frame):
    expected = fingerprint(frame)
    assert expected is not None
    pieces = [frame.iloc[:2], frame.iloc[2:]]
    forms = {
        "pickled": pickle.loads(pickle.dumps(frame)),
        "copied": frame.copy(deep=True),
        "sliced": pd.concat([frame, frame]).iloc[: len(frame)],
        "column by column": pd.concat([frame.iloc[:, [n]] for n in range(frame.shape[1])], axis=1)
        if frame.shape[1]
        else frame,
        "reversed twice": frame.iloc[::-1].iloc[::-1],
        "in pieces": pd.concat(pieces) if frame.shape[1] and len(frame) > 2 else frame,
    }
    repr(frame)
    forms["printed"] = frame
    assert {name: fingerprint(form) for name, form in forms.items()} == dict.fromkeys(forms, expected)


@given(frames(), frames())
@settings(max_examples=150, deadline=None)
def test_equal_frames_only(a, b):
    if fingerprint(a) == fingerprint(b):
        pd.testing.assert_frame_equal(a, b, check_freq=False, check_index_type=False)


@given(frames().filter(lambda f: f.size), st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_cell_is_seen(frame, data):
    place = data.draw(st.integers(0, frame.shape[1] - 1))
    row = data.draw(st.integers(0, len(frame) - 1))
    kind = frame.columns[place].lstrip("0123456789")
    values = column(kind, data.draw, 1)
    changed = pd.concat([frame.iloc[:, [n]] for n in range(frame.shape[1])], axis=1)
    replaced = frame.iloc[:, place].array.copy()
    replaced[row] = values[0]
    changed.isetitem(place, replaced)
    same = said(frame.iloc[row, place]) == said(changed.iloc[row, place])
    assert (fingerprint(frame) == fingerprint(changed)) == same


def said(cell):
    """A cell by the rules, said in another way: one missing value a column, one NaN, and the sign of zero counts."""
    if isinstance(cell, float):
        return "nan" if np.isnan(cell) else cell.hex()
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return "nan"
    return type(cell), repr(cell)


TEXT_FORMS = [
    "object",
    "str",
    "string",
    "string[python]",
    "string[pyarrow]",
    pd.ArrowDtype(pa.string()),
    pd.ArrowDtype(pa.large_string()),
]


@pytest.mark.parametrize("texts", [["a", "bc", ""], ["a", None, "Zürich"], [None, None], []])
def test_how_texts_are_stored_does_not_count(texts):
    made = {fingerprint(pd.Series(texts, dtype=form)) for form in TEXT_FORMS}
    made |= {fingerprint(pd.Series([np.nan if t is None else t for t in texts], dtype=object))}
    made |= {fingerprint(pd.Series([pd.NA if t is None else t for t in texts], dtype=object))}
    assert len(made) == 1
    assert len({fingerprint(pd.Index(texts, dtype=form)) for form in ["object", "str", "string"]}) == 1
    assert None not in made


def test_texts_that_are_no_utf8():
    forms = [pd.Series(["a\ud800", None], dtype=form) for form in ("object", "string[python]")]
    assert fingerprint(forms[0]) == fingerprint(forms[1]) is not None
    assert fingerprint(forms[0]) != fingerprint(pd.Series(["a\ud801", None], dtype=object))


def test_where_texts_end_and_what_is_missing_counts():
    columns = [
        ["ab", "c"],
        ["a", "bc"],
        ["abc", ""],
        ["abc", None],
        [None, "abc"],
        ["", "abc"],
        ["abc"],
        ["abc", "", ""],
    ]
    assert len({fingerprint(pd.Series(texts, dtype="str")) for texts in columns}) == len(columns)


def test_units_of_time_do_not_count_and_zones_do():
    times = pd.Series(pd.date_range("2024-01-01", periods=3, freq="h"))
    assert len({fingerprint(times.astype(f"M8[{unit}]")) for unit in ("s", "ms", "us", "ns")}) == 1
    zoned = [
        times.dt.tz_localize(zone)
        for zone in ("UTC", "Europe/Paris", "Europe/Berlin", dt.timezone(dt.timedelta(hours=1)))
    ]
    assert len({fingerprint(series) for series in [times, *zoned]}) == 5
    libraries = [
        times.dt.tz_localize(zone) for zone in (zoneinfo.ZoneInfo("Europe/Paris"), pytz.timezone("Europe/Paris"))
    ]
    assert {fingerprint(series) for series in libraries} == {fingerprint(zoned[1])}
    for unit in ("s", "ms", "us", "ns"):
        assert fingerprint(zoned[1].dt.as_unit(unit)) == fingerprint(zoned[1])
    far = pd.Series(np.array(["9999-12-31"], dtype="M8[s]"))
    assert fingerprint(far) == fingerprint(far.astype("M8[us]")) is not None
    assert fingerprint(pd.Series([pd.NaT, pd.NaT], dtype="M8[ns]")) != fingerprint(pd.Series([pd.NaT], dtype="M8[ns]"))


def test_a_range_is_the_integers_in_it():
    def with_index(index):
        return fingerprint(pd.Series([1.0] * len(index), index=index))

    for index in (
        pd.RangeIndex(4),
        pd.RangeIndex(5, -3, -2),
        pd.RangeIndex(1),
        pd.RangeIndex(7, 8),
        pd.RangeIndex(0),
        pd.RangeIndex(0, 30, 10),
    ):
        assert with_index(index) == with_index(pd.Index(index.tolist(), dtype="int64"))
    assert with_index(pd.RangeIndex(5, 5)) == with_index(pd.RangeIndex(0))
    different = [
        pd.RangeIndex(3),
        pd.RangeIndex(1, 4),
        pd.RangeIndex(0, 6, 2),
        pd.Index([0, 1, 3]),
        pd.Index([0, 0, 0]),
    ]
    different += [
        pd.Index([0, 1, 2], dtype="int32"),
        pd.Index([0.0, 1, 2]),
        pd.RangeIndex(3, name="n"),
        pd.Index(["0", "1", "2"]),
    ]
    assert len({with_index(index) for index in different}) == len(different)
    large = np.arange(3_000_000)
    assert with_index(pd.Index(large)) == with_index(pd.RangeIndex(3_000_000))
    large[2_500_000] = 7
    assert with_index(pd.Index(large)) != with_index(pd.RangeIndex(3_000_000))
    wrapping = pd.Index(np.array([2**63 - 2, 2**63 - 1, -(2**63), -(2**63) + 1], dtype="int64"))
    assert with_index(wrapping) not in (None, with_index(pd.RangeIndex(4)))


def test_frequency_unused_levels_and_blocks_do_not_count():
    days = pd.date_range("2024-01-01", periods=3)
    assert days.freq is not None
    assert fingerprint(pd.Series([1, 2, 3], index=days)) == fingerprint(
        pd.Series([1, 2, 3], index=pd.DatetimeIndex(days, freq=None))
    )
    whole = pd.DataFrame({"a": range(4)}, index=pd.MultiIndex.from_product([["x", "y"], [1, 2]]))
    part = whole.loc[["x"]]
    assert fingerprint(part) == fingerprint(part.set_axis(part.index.remove_unused_levels()))
    blocks = pd.DataFrame({"a": [1.0], "b": [2.0]})
    blocks["c"] = 3.0
    assert fingerprint(blocks) == fingerprint(pd.DataFrame(np.array([[1.0, 2.0, 3.0]]), columns=["a", "b", "c"]))


def test_what_counts():
    base = pd.DataFrame({"a": [1, 2], "b": [1.0, 2.0]}, index=["x", "y"])
    named = base.rename_axis("n")
    others = [
        base,
        base[["b", "a"]],
        base.rename(columns={"a": "c"}),
        base.iloc[::-1],
        base.iloc[:1],
        base.astype({"a": "int32"}),
        base.astype({"a": "Int64"}),
        base.astype({"a": "float64"}),
        base.astype({"a": object}),
        base.reset_index(drop=True),
        named,
        base.rename_axis("n", axis=1),
        base.assign(a=[1, 3]),
        base.assign(b=[1.0, -0.0]),
        base.assign(b=[1.0, 0.0]),
        base.assign(b=[1.0, np.nan]),
        base["a"],
        base["a"].rename(None),
        base["a"].rename("z"),
        base.T,
        base.to_numpy(),
        base.to_dict(),
        base.set_axis(pd.MultiIndex.from_arrays([["x", "y"]])),
    ]
    assert len({fingerprint(value) for value in others}) == len(others)


def test_categories_their_order_and_whether_they_are_ordered_count():
    values = ["a", "b", None]
    made = [
        pd.Categorical(values, categories=["a", "b"]),
        pd.Categorical(values, categories=["b", "a"]),
        pd.Categorical(values, categories=["a", "b", "c"]),
        pd.Categorical(values, categories=["a", "b"], ordered=True),
        pd.Categorical(["a", "b", "a"], categories=["a", "b"]),
    ]
    assert len({fingerprint(pd.Series(value)) for value in made}) == 5
    assert fingerprint(pd.Series(made[0])) == fingerprint(
        pd.Series(pd.Categorical(values, categories=pd.Index(["a", "b"], dtype=object)))
    )
    many = pd.Categorical([f"{n}" for n in range(300)])
    assert fingerprint(many) == fingerprint(pickle.loads(pickle.dumps(many)))
    assert fingerprint(many[:3].remove_unused_categories()) == fingerprint(pd.Categorical(["0", "1", "2"]))


def test_a_mask_or_arrow_says_what_is_missing():
    masked = pd.Series([1, None, 3], dtype="Int64")
    assert fingerprint(masked) == fingerprint(pd.Series([1, None, 3], dtype="int64[pyarrow]"))
    assert fingerprint(pd.Series([True, None], dtype="boolean")) == fingerprint(
        pd.Series([True, None], dtype="bool[pyarrow]")
    )
    hidden = pd.Series(pd.arrays.IntegerArray(np.array([1, 99, 3]), np.array([False, True, False])))
    assert fingerprint(hidden) == fingerprint(masked)
    floats = [pd.Series([1, None], dtype=kind) for kind in ("Float64", "Float32", "float64", "Int64", "object")]
    assert len({fingerprint(value) for value in floats}) == 5


def test_names_of_every_kind():
    labels = [
        ["a", "a"],
        ["a", 1],
        [1, 2],
        [None, "a"],
        [("a", 1), "b"],
        [1.5, 2.5],
        [pd.Timestamp("2024"), "a"],
        [b"a", "a"],
        [True, False],
        [np.nan, 1.0],
    ]
    made = [pd.DataFrame([[1, 2]], columns=pd.Index(names, tupleize_cols=False)) for names in labels]
    prints = [fingerprint(frame) for frame in made]
    assert None not in prints
    assert len(set(prints)) == len(prints)
    for frame in made:
        described = describe(frame)
        assert described.note is None
        assert len(described.columns) == 2
    assert fingerprint(pd.Series([1], name=("a", 1))) not in (None, fingerprint(pd.Series([1], name="a")))


def test_cells_of_every_kind():
    cells = [
        [1, 2],
        {"a": 1},
        {1, 2},
        np.array([1.0]),
        pd.DataFrame({"z": [1]}),
        None,
        decimal.Decimal("1.0"),
        dt.date(2024, 1, 1),
        b"x",
        1.5,
    ]
    frame = pd.DataFrame({"c": objects(cells)})
    assert fingerprint(frame) == fingerprint(pickle.loads(pickle.dumps(frame))) is not None
    for place in range(len(cells)):
        changed = objects(cells)
        changed[place] = "other"
        assert fingerprint(pd.DataFrame({"c": changed})) != fingerprint(frame)
    circle = pd.DataFrame({"c": objects([1])})
    circle.iloc[0, 0] = circle
    assert fingerprint(circle) is not None


def test_missing_in_a_column_of_objects_is_told_apart():
    columns = [[1, None], [1, np.nan], [1, pd.NA], [1, pd.NaT]]
    assert len({fingerprint(pd.Series(values, dtype=object)) for values in columns}) == 4


def test_extension_types():
    values = [
        pd.Series(pd.period_range("2024-01", periods=2, freq="M")),
        pd.Series(pd.period_range("2024-01", periods=2, freq="D")),
        pd.Series(pd.interval_range(0, 2)),
        pd.Series(pd.interval_range(0, 2, closed="left")),
        pd.Series(pd.arrays.SparseArray([0, 1])),
        pd.Series(pd.arrays.SparseArray([0, 1], fill_value=1)),
        pd.Series([0, 1]),
        pd.Series([[0], [1]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
        pd.Series([decimal.Decimal("0"), None], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
        pd.Series([b"0", b"1"], dtype=pd.ArrowDtype(pa.binary())),
        pd.Series([pd.NaT, "2024-01"], dtype="period[M]"),
    ]
    prints = [fingerprint(value) for value in values]
    assert None not in prints
    assert len(set(prints)) == len(prints)
    assert prints == [fingerprint(pickle.loads(pickle.dumps(value))) for value in values]


def test_a_third_partys_extension_array():
    class Kind(pd.api.extensions.ExtensionDtype):
        name, type, na_value = "kind", str, None

        @classmethod
        def construct_array_type(cls):
            return Letters

    class Letters(pd.api.extensions.ExtensionArray):
        dtype = Kind()

        def __init__(self, items):
            self.items = list(items)

        @classmethod
        def _from_sequence(cls, scalars, *, dtype=None, copy=False):
            return cls(scalars)

        def __getitem__(self, item):
            return self.items[item] if isinstance(item, int) else Letters(np.array(self.items)[item])

        def __len__(self):
            return len(self.items)

        def copy(self):
            return Letters(self.items)

        def isna(self):
            return np.zeros(len(self), bool)

        nbytes = 0

    assert fingerprint(pd.Series(Letters("abc"))) == fingerprint(pd.Series(Letters("abc"))) is not None
    assert (
        fingerprint(pd.Series(Letters("abc")))
        != fingerprint(pd.Series(Letters("abd")))
        != fingerprint(pd.Series(list("abd")))
    )


def test_attributes_and_subclasses():
    class Own(pd.DataFrame):
        _metadata = ["unit"]  # noqa: RUF012 - pandas asks for a list

        @property
        def _constructor(self):
            return Own

    base = pd.DataFrame({"a": [1]})
    noted = base.copy()
    noted.attrs["source"] = {"vendor": 1}
    own, metres = Own({"a": [1]}), Own({"a": [1]})
    metres.unit = "m"
    assert len({fingerprint(value) for value in (base, noted, own, metres)}) == 4
    assert fingerprint(metres) == fingerprint(metres.copy())


def test_strip_reaches_every_place_of_a_frame():
    def frame(prefix):
        text = f"{prefix}/data/a.csv"
        made = pd.DataFrame(
            {
                "text": pd.Series([text, None], dtype="str"),
                "object": [text, "x"],
                "category": pd.Categorical([text, None]),
                "mixed": [text, 1],
                "nested": [[text], {"p": text}],
                prefix + "/column": [1, 2],
            },
            index=[text, "b"],
        )
        made["arrow"] = pd.Series([[text], None], dtype=pd.ArrowDtype(pa.list_(pa.string())), index=made.index)
        return made

    assert fingerprint(frame("/w"), strip="/w") == fingerprint(frame("")) != fingerprint(frame("/w"))
    assert fingerprint(pd.Series(["/w", "/w/", "/wide/x", None]), strip="/w") == fingerprint(
        pd.Series(["/", "/", "/wide/x", None])
    )


def test_frames_are_not_changed_by_looking():
    frame = pd.DataFrame({"a": [1.0, np.nan], "t": ["x", None]}, index=pd.Index([5, 3], name="k"))
    before = pickle.dumps(frame)
    describe(frame)
    assert pickle.dumps(frame) == before


LOOKED_AT = {
    "numbers": pd.Series([1.5, 2.5, None]),
    "whole": pd.Series([3, 1, 2]),
    "texts": pd.Series(["/files/a", None, "b"]),
    "zoned": pd.Series(pd.date_range("2026", periods=3, tz="Europe/Paris")),
    "category": pd.Series(["x", "y", "x"], dtype="category"),
    "mask": pd.Series([1, None, 2], dtype="Int64"),
    "arrow": pd.Series([1, None, 2], dtype="int64[pyarrow]"),
}


@pytest.mark.parametrize("strip", ["", "/files"])
def test_a_column_by_itself_is_what_its_frame_says_of_it(strip):
    frame = pd.DataFrame(LOOKED_AT).set_axis([5, 1, 3])
    looks = {}
    describe(frame, columns=looks, strip=strip)
    for (name, column), look in zip(frame.items(), looks[id(frame)], strict=True):
        assert column_look(column, strip) == look, name


@pytest.mark.parametrize("kind", LOOKED_AT)
def test_memory_of_a_column_is_that_of_its_values(kind):
    column = LOOKED_AT[kind]
    lies = column_memory(column)
    assert (lies is None) == (kind == "mask")
    if lies is not None:
        assert lies == column_memory(column.rename("other").set_axis([7, 8, 9]))
        assert lies not in (column_memory(column.iloc[1:]), column_memory(column.iloc[::-1]))
    if kind not in {"mask", "texts", "arrow"}:
        assert lies != column_memory(column.copy())
        assert np.shares_memory(column_values(column), column_values(column.copy(deep=False)))
    assert column_memory(column.iloc[:0]) is None


def test_zones_tell_moments_of_one_memory_apart():
    zoned = LOOKED_AT["zoned"]
    assert column_memory(zoned) != column_memory(zoned.dt.tz_convert("UTC"))
