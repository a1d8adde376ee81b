"""Tables in Arrow files: exactly what they were, or not in this format."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings

from lineage_flows.content import fingerprint, load_value
from lineage_flows.content.arrow_format import dump_table
from tests.content import corpus
from tests.content.test_formats import stored, there_and_back
from tests.content.test_frames import frames
from tests.content.test_polars_frames import FRAMES


@given(frames())
@settings(max_examples=150, deadline=None)
def test_frames_come_back_exactly(frame):
    again, form = there_and_back(frame)
    assert fingerprint(again) == fingerprint(frame)
    pd.testing.assert_frame_equal(again, frame, check_freq=True)
    assert type(again.columns) is type(frame.columns)
    if form == "arrow":
        assert list(map(str, again.dtypes)) == list(map(str, frame.dtypes))


@given(FRAMES)
@settings(max_examples=60, deadline=None)
def test_polars_frames_come_back_exactly(frame):
    again, _ = there_and_back(frame)
    assert again.schema == frame.schema
    assert again.equals(frame)
    assert fingerprint(again) == fingerprint(frame)


DAYS = pd.date_range("2024-01-01", periods=3, freq="B", name="day")


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=DAYS),
        pd.Series([1.0, 2.0, 3.0], index=DAYS, name="equity"),
        pd.DataFrame(np.eye(3)),
        pd.DataFrame(np.eye(3)).iloc[:, ::2],
        pd.DataFrame(
            {
                "t": pd.Series(["a", "b"], dtype=object),
                "s": pd.Series(["a", None], dtype="str"),
                "p": pd.Series(["a", None], dtype="string[pyarrow]"),
            }
        ),
        pd.DataFrame({"z": DAYS.tz_localize("America/New_York")}),
        pd.DataFrame({"c": pd.Categorical(["b", None], categories=["b", "a"], ordered=True)}),
        pd.DataFrame({"c": pd.Categorical([2, 1], categories=[2, 1])}),
        pd.DataFrame(
            {
                "i": pd.array([1, None], dtype="Int8"),
                "f": pd.array([1.5, None], dtype="Float32"),
                "b": pd.array([True, None], dtype="boolean"),
            }
        ),
        pd.DataFrame({"x": pd.Series([1, None], dtype="int64[pyarrow]")}),
        pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([("x", 1)], names=["p", None])),
        pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(5, 9, 2, name="n")),
        pd.DataFrame({"a": np.array([1, 2], "u2"), "f": np.array([1, np.nan], "f4"), "h": np.array([1, -0.0], "f2")}),
        pd.DataFrame({"d": pd.to_timedelta([1, None], unit="s")}),
        pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="k")),
        pd.DataFrame({"a": np.array([0, 1], dtype="M8[s]")}),
        pd.DataFrame(np.eye(2), columns=pd.RangeIndex(2, name="n")),
        pd.Series([1, 2], name=5),
        pd.Series([1, 2]),
        pl.Series("x", [1.5, None]),
        pl.DataFrame({"c": pl.Series(["a", "b"], dtype=pl.Categorical)}),
        pa.table({"a": [1, None]}).replace_schema_metadata({"k": "v"}),
        pa.table({"s": [{"a": 1}, None]}),
    ],
    ids=lambda value: type(value).__module__.partition(".")[0],
)
def test_these_are_stored_as_arrow_and_come_back_exactly(value):
    again, form = there_and_back(value)
    assert form == "arrow"
    assert fingerprint(again) == fingerprint(value)
    assert type(again) is type(value)
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(
            again, value, check_freq=True, check_index_type="exact", check_column_type="exact"
        )
        assert [str(dtype) for dtype in again.dtypes] == [str(dtype) for dtype in value.dtypes]
    elif isinstance(value, pd.Series):
        pd.testing.assert_series_equal(again, value, check_freq=True, check_index_type="exact")
    elif isinstance(value, pa.Table):
        assert again.schema.equals(value.schema, check_metadata=True)


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame(),
        pd.DataFrame(index=range(3)),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame([[1, 2]], columns=["a", 1]),
        pd.DataFrame({"o": [1, "a"]}),
        pd.DataFrame({"p": pd.Series(["a", None], dtype="string[python]")}),
        pd.DataFrame({"c": pd.Categorical([], categories=["b"])}),
        pd.DataFrame({"o": pd.Series(["a", None], dtype=object)}),
        pd.DataFrame({"o": pd.Series([corpus.Text("a")], dtype=object)}),
        pd.DataFrame({"o": [[1], [2]]}),
        pd.DataFrame({"c": [1j]}),
        pd.DataFrame({"s": pd.arrays.SparseArray([0, 1])}),
        pd.DataFrame({"a": [1]}, index=pd.Index([("x",)], tupleize_cols=False)),
        pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", 1])),
        corpus.BUILDERS["frame_with_attrs"](),
        corpus.Derived({"a": [1]}),
        pl.DataFrame({"o": pl.Series([object], dtype=pl.Object)}),
    ],
)
def test_these_would_not_come_back_exactly_and_are_not_stored_as_arrow(value):
    assert dump_table(value) is None


def test_what_is_loaded_can_be_changed_like_any_frame():
    for value in (pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})):
        again, _ = there_and_back(value)
        again.loc[0, "a"] = 9.0
        again["c"] = again["a"] * 2
        array = again["a"].to_numpy(copy=True)
        array[0] = 1
        assert again.loc[0, "a"] == 9.0
    series, _ = there_and_back(pd.Series([1.0, 2.0]))
    series.iloc[0] = 5.0
    assert series.tolist() == [5.0, 2.0]


def test_any_arrow_library_reads_the_file():
    data, _ = stored(pd.DataFrame({"a": [1, 2], "t": ["x", None]}))
    assert pl.read_ipc(io.BytesIO(data))["a"].to_list() == [1, 2]
    assert pd.read_feather(io.BytesIO(data))["t"].iloc[0] == "x"


def test_a_file_of_another_writer_gives_a_table():
    sink = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_ipc(sink)
    assert load_value(sink.getvalue(), "arrow").to_pydict() == {"a": [1]}


def test_columns_in_categories_of_equal_texts_but_other_order_are_kept_apart():
    for categories in (["a", "b"], ["b", "a"]):
        frame = pd.DataFrame({"c": pd.Categorical(["a", "b"], categories=categories)})
        again, _ = there_and_back(frame)
        assert again["c"].cat.categories.tolist() == categories
