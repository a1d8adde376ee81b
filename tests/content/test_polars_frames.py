"""polars, column by column."""

from __future__ import annotations

import datetime as dt
import pickle

import polars as pl
from hypothesis import given, settings
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from lineage_flows.content import describe, fingerprint

FRAMES = dataframes(
    max_cols=3,
    max_size=4,
    allowed_dtypes=[
        pl.Int64,
        pl.Float64,
        pl.String,
        pl.Boolean,
        pl.Date,
        pl.Datetime,
        pl.List(pl.Int8),
        pl.Categorical,
        pl.Binary,
    ],
)


@given(FRAMES)
@settings(max_examples=80, deadline=None)
def test_storage_does_not_count(frame):
    expected = fingerprint(frame)
    assert expected is not None
    pieces = pl.concat([frame[:1], frame[1:]], rechunk=False) if frame.width else frame
    for form in (pickle.loads(pickle.dumps(frame)), frame.clone(), frame.rechunk(), pieces):
        assert fingerprint(form) == expected


@given(FRAMES, FRAMES)
@settings(max_examples=80, deadline=None)
def test_different_frames_differ(a, b):
    if fingerprint(a) == fingerprint(b):
        assert_frame_equal(a, b, categorical_as_str=True)


def test_what_counts():
    base = pl.DataFrame({"a": [1, 2], "t": ["x", None]})
    others = [
        base,
        base.select("t", "a"),
        base.rename({"a": "b"}),
        base.cast({"a": pl.Int32}),
        base.cast({"t": pl.Categorical}),
        base.cast({"t": pl.Enum(["x"])}),
        base.cast({"t": pl.Enum(["x", "y"])}),
        base.reverse(),
        base.head(1),
        base["a"],
        base["a"].alias("z"),
        base.to_pandas(),
        base.to_arrow(),
        base.with_columns(t=pl.Series(["x", ""])),
    ]
    assert len({fingerprint(value) for value in others}) == len(others)


def test_units_of_time_and_codes_of_categories_do_not_count():
    times = pl.Series("t", [dt.datetime(2024, 1, 1), None])
    assert len({fingerprint(times.cast(pl.Datetime(unit))) for unit in ("ms", "us", "ns")}) == 1
    assert fingerprint(times) != fingerprint(times.dt.replace_time_zone("UTC"))
    pl.Series(["b", "zz", "a"], dtype=pl.Categorical)  # gives out codes first
    first = pl.Series("c", ["a", "b"], dtype=pl.Categorical)
    second = pl.Series("c", ["b", "a"], dtype=pl.Categorical).reverse()
    assert fingerprint(first) == fingerprint(second)


def test_objects_and_lazy_frames():
    assert fingerprint(pl.Series("o", [{1}, object], dtype=pl.Object)) is not None
    lazy = pl.LazyFrame({"a": [1]}).map_batches(lambda frame: frame / 0)
    described = describe(lazy)  # not run
    assert described.rule in ("pickle", "none")
    assert fingerprint(pl.LazyFrame({"a": [1]})) != fingerprint(pl.LazyFrame({"a": [2]}))


def test_description():
    described = describe(pl.DataFrame({"a": [1, 2]}))
    assert (described.kind, described.shape, described.columns[0].type) == ("DataSet", (2, 1), "Int64")


def test_strip():
    def frame(prefix):
        return pl.DataFrame(
            {"p": [prefix + "/a"], "l": [[prefix + "/b"]], "c": pl.Series([prefix + "/c"], dtype=pl.Categorical)}
        )

    assert fingerprint(frame("/w"), strip="/w") == fingerprint(frame("")) != fingerprint(frame("/w"))
