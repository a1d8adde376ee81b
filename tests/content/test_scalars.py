"""Which scalars are equal, and which are not."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import pathlib
import pickle
import struct
import zoneinfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.content import describe, fingerprint
from lineage_flows.content.scalars import strip_text, zone_name
from tests.content.corpus import zones

EQUAL = {
    "bool": [True, np.True_],
    "int": [3, np.int8(3), np.uint64(3), np.int64(3)],
    "large int": [2**63, np.uint64(2**63)],
    "float": [0.1, np.float64(0.1)],
    "nan": [math.nan, -math.nan, np.nan, struct.unpack("<d", b"\x01\x00\x00\x00\x00\x00\xf8\xff")[0]],
    "complex": [1 + 2j, np.complex128(1 + 2j)],
    "text": ["a", np.str_("a")],
    "bytes": [b"abc", bytearray(b"abc"), memoryview(b"abc"), memoryview(b"aXbXcX")[::2], np.bytes_(b"abc")],
    "words": [memoryview(np.arange(3)), np.arange(3).tobytes(), memoryview(np.arange(3).reshape(3, 1))],
    "moment": [
        dt.datetime(2024, 1, 1),
        pd.Timestamp("2024-01-01"),
        np.datetime64("2024-01-01"),
        np.datetime64("2024", "Y"),
    ],
    "zoned": zones(),
    "utc": [
        dt.datetime(2024, 1, 1, tzinfo=tz) for tz in (dt.UTC, dt.timezone(dt.timedelta(0)), zoneinfo.ZoneInfo("UTC"))
    ]
    + [pd.Timestamp("2024-01-01", tz="UTC")],
    "length": [dt.timedelta(days=1), pd.Timedelta(days=1), np.timedelta64(1, "D"), np.timedelta64(86_400_000, "ms")],
    "months": [np.timedelta64(12, "M"), np.timedelta64(1, "Y")],
    "missing time": [pd.NaT, np.datetime64("NaT"), np.timedelta64("NaT")],
    "path": [pathlib.Path("/a/b"), pathlib.PurePosixPath("/a/b"), pathlib.Path("/a//b/")],
}

DIFFERENT = [
    *(0, 0.0, -0.0, False, "", b"", None, 0j, decimal.Decimal(0), pathlib.Path("0"), "0"),
    *(1, 1.0, True, "1", b"1", np.float32(1), np.float16(1), np.longdouble(1), np.complex64(1), 1 + 0j),
    *(decimal.Decimal("1"), decimal.Decimal("1.0"), decimal.Decimal("-1")),
    *(math.nan, math.inf, -math.inf, pd.NA, pd.NaT, decimal.Decimal("NaN"), np.float32("nan")),
    *(dt.datetime(2024, 1, 1), dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "2024-01-01", dt.time(0)),
    dt.datetime(2024, 1, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),  # the same moment in another zone
    dt.datetime(2024, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    *(pd.Timestamp(2024, 1, 1) + pd.Timedelta(1), dt.timedelta(0), dt.timedelta(days=1), np.timedelta64(1)),
]


@pytest.mark.parametrize("title", EQUAL)
def test_equal(title):
    assert {fingerprint(value) for value in EQUAL[title]} == {fingerprint(EQUAL[title][0])}
    assert fingerprint(EQUAL[title][0]) is not None


def test_different():
    made = [fingerprint(value) for value in DIFFERENT]
    assert None not in made
    assert len(set(made)) == len(made)


@given(st.integers(), st.integers())
def test_integers(a, b):
    assert (fingerprint(a) == fingerprint(b)) == (a == b)
    assert fingerprint(a) != fingerprint(float(a) if abs(a) < 2**53 else str(a))


@given(st.integers(min_value=-(2**70), max_value=2**70))
def test_neighbours_around_byte_borders(a):
    assert len({fingerprint(a + n) for n in range(-2, 3)}) == 5


@given(st.floats(), st.floats())
def test_floats_by_their_bits_and_one_nan(a, b):
    same = (math.isnan(a) and math.isnan(b)) or struct.pack("<d", a) == struct.pack("<d", b)
    assert (fingerprint(a) == fingerprint(b)) == same


@given(st.text(st.characters()), st.text(st.characters()))
def test_texts(a, b):
    assert (fingerprint(a) == fingerprint(b)) == (a == b)
    assert fingerprint(a) != fingerprint(a.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=600), st.binary(max_size=600))
def test_bytes(a, b):
    assert (fingerprint(a) == fingerprint(b)) == (a == b)


@given(st.decimals(), st.decimals())
def test_decimals_by_their_digits(a, b):
    assert (fingerprint(a) == fingerprint(b)) == (a.as_tuple() == b.as_tuple())


def test_decimals_do_not_depend_on_the_context():
    before = fingerprint(decimal.Decimal("1E+5"))
    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 1
        assert fingerprint(decimal.Decimal("1E+5")) == before


@given(st.datetimes(timezones=st.none() | st.timezones()))
def test_datetimes_survive_pickle_and_are_exact(moment):
    assert fingerprint(moment) == fingerprint(pickle.loads(pickle.dumps(moment)))
    later = moment + dt.timedelta(microseconds=1) if moment < dt.datetime.max.replace(tzinfo=moment.tzinfo) else moment
    assert (fingerprint(later) == fingerprint(moment)) == (later == moment)


@given(st.datetimes(min_value=dt.datetime(1700, 1, 1), max_value=dt.datetime(2200, 1, 1)))
def test_timestamp_and_numpy_agree_with_datetime(moment):
    assert fingerprint(pd.Timestamp(moment)) == fingerprint(np.datetime64(moment)) == fingerprint(moment)


@given(st.timedeltas(min_value=dt.timedelta(days=-90000), max_value=dt.timedelta(days=90000)))
def test_timedelta_in_three_libraries(length):
    assert fingerprint(pd.Timedelta(length)) == fingerprint(np.timedelta64(length)) == fingerprint(length)


def test_a_subclass_of_datetime_is_its_moment():
    import pendulum

    assert fingerprint(pendulum.datetime(2024, 5, 5, tz="Europe/Paris")) == fingerprint(
        dt.datetime(2024, 5, 5, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))
    )


@pytest.mark.parametrize(
    ("seconds", "name"), [(0, "UTC"), (19_800, "+05:30"), (-18_000, "-05:00"), (30, "+00:00:30"), (-1.5, "-00:00:1.5")]
)
def test_fixed_offsets_have_names(seconds, name):
    assert zone_name(dt.timezone(dt.timedelta(seconds=seconds))) == name


def test_an_enum_member_is_its_class_name_and_value():
    def side(value, name="BUY", title="Side"):
        return enum.Enum(title, {name: value})[name]

    assert fingerprint(side(1)) == fingerprint(side(1))
    assert len({fingerprint(x) for x in (side(1), side(2), side(1, "SELL"), side(1, title="Other"), 1, "BUY")}) == 6


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("/w/home/x", "/home/x"),
        ("/w", "/"),
        ("/w/", "/"),
        ("/ws/x", "/ws/x"),
        ("/other/x", "/other/x"),
        ("read /w/a and file:///w/b", "read /a and file:///b"),
        ("w/x", "w/x"),
        ("", ""),
    ],
)
def test_strip(text, stripped):
    assert strip_text(text, "/w") == stripped
    for kind in (str, str.encode, pathlib.PurePosixPath, np.str_, lambda t: np.array([t, "b"]), lambda t: {t: [t]}):
        assert fingerprint(kind(text), strip="/w") == fingerprint(kind(stripped))


def test_preview_is_stripped_too():
    assert describe("/w/a.csv", strip="/w").preview == "/a.csv"
    assert describe(pathlib.Path("/w/a.csv"), strip="/w").preview == "/a.csv"
