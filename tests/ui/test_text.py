from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.records import ValueRef
from lineage_flows.ui import text

anything = st.text(st.characters(codec=None))


@given(anything)
def test_plain_text_is_one_printable_line(value: str) -> None:
    shown = text.plain(value)
    assert len(shown) == len(value)
    assert not set(shown) & set("\n\r\t\x1b\x00\u2028\u202e\u200b")
    shown.encode("utf-8")


@given(anything, st.integers(1, 200))
def test_clipped_text_is_never_longer_than_asked_and_says_that_it_was_cut(value: str, limit: int) -> None:
    shown = text.clip(value, limit)
    assert len(shown) <= limit
    if len(value) > limit:
        assert shown.endswith("…")
    else:
        assert shown == text.plain(value)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (-0.5, "0 ms"),
        (0.0034, "3 ms"),
        (0.9999, "1.0 s"),
        (4.23, "4.2 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.7, "1 h 00 min"),
        (11520, "3 h 12 min"),
    ],
)
def test_durations_read_as_a_person_says_them(seconds: float | None, shown: str) -> None:
    assert text.duration_text(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (48_211, "48.2 kB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_sizes_are_in_powers_of_ten(size: int | None, shown: str) -> None:
    assert text.size_text(size) == shown


@pytest.mark.parametrize(
    ("identity", "shown"),
    [
        (None, "-"),
        ("", "-"),
        ("lf1:0123456789abcdef", "01234567"),
        ("sha256:abcdef0123", "abcdef01"),
        ("9f2c1ab07d3e", "9f2c1ab0"),
    ],
)
def test_identities_are_shortened_after_their_scheme(identity: str | None, shown: str) -> None:
    assert text.short(identity) == shown


def test_times_are_shown_in_utc_whatever_their_offset() -> None:
    assert text.moment("2026-01-31T17:00:05.123456+01:00") == "2026-01-31 16:00:05"
    assert text.moment("2026-01-31T16:00:05Z") == "2026-01-31 16:00:05"
    assert text.moment("no time") == "-"


def test_a_duration_needs_both_its_ends() -> None:
    assert text.duration("2026-01-31T16:00:00Z", "2026-01-31T16:00:02.500000Z") == 2.5
    assert text.duration("2026-01-31T16:00:00Z", None) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (ValueRef(fingerprint=None, type="pydantic.SecretStr", rule="secret", preview="leak"), "(secret)"),
        (ValueRef(fingerprint="lf1:a", type="pandas.DataFrame", shape=(3, 2)), "DataFrame 3 × 2"),
        (ValueRef(fingerprint="lf1:a", type="int", preview=5), "5"),
        (ValueRef(fingerprint="lf1:a", type="bool", preview=True), "true"),
        (ValueRef(fingerprint="lf1:a", type="str", preview="a\nb"), '"a\\nb"'),
        (ValueRef(fingerprint="lf1:a", type="dict", preview={"sharpe": 0.84312345678}), "sharpe 0.843123"),
        (ValueRef(fingerprint="lf1:a", type="NoneType"), "None"),
        (ValueRef(fingerprint="lf1:a", type="float", preview=float("nan")), "nan"),
        (ValueRef(fingerprint="lf1:a", type="int", preview=10**400), "an integer beyond 1e308"),
    ],
)
def test_a_value_is_said_in_one_phrase(value: ValueRef, shown: str) -> None:
    assert text.value_text(value) == shown


@pytest.mark.parametrize(
    ("items", "shown"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c", "d"], "a, b and 2 more")]
)
def test_a_list_reads_as_a_sentence(items: list[str], shown: str) -> None:
    assert text.listing(items, limit=2) == shown
