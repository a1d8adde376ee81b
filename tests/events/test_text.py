from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.errors import EventError
from lineage_flows.events.text import clip, encode, finite, masked, utc, without_credentials
from tests.support.openlineage import strict

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), inner, max_size=3)
    ),
    max_leaves=12,
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None, categories=None)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec=None, categories=None)), inner, max_size=3)
    ),
    max_leaves=12,
)

MIN, MAX = datetime.min + timedelta(days=2), datetime.max - timedelta(days=2)


@given(st.datetimes(MIN, MAX), st.integers(-23, 23))
def test_a_time_is_the_same_moment_in_one_form(moment: datetime, hours: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    text = utc(aware.isoformat())
    assert len(text) == 27
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == aware
    assert utc(text) == text


def test_a_time_without_a_zone_is_utc() -> None:
    assert utc("2026-01-30T21:30:00") == "2026-01-30T21:30:00.000000Z"
    assert datetime.fromisoformat(utc("2026-01-30")).tzinfo == UTC


@given(st.text())
def test_what_is_no_time_is_refused_with_an_event_error(text: str) -> None:
    try:
        assert len(utc(text)) == 27
    except EventError as error:
        said = str(error)
    else:
        return
    assert "RFC 3339" in said


@given(st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), JSON, max_size=4))
def test_json_comes_back_as_it_was(document: dict[str, Any]) -> None:
    assert strict(encode(document)) == document


@given(st.dictionaries(st.text(st.characters(codec=None, categories=None)), ANYTHING, max_size=4))
def test_anything_becomes_strict_json(document: dict[str, Any]) -> None:
    assert b"\\u0000" not in encode(document)
    json.loads(encode(document).decode("utf-8"), parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**64 - 1, 2**64 - 1),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (10**5000, hex(10**5000)),
        ("data/\udce4.csv", "data/\\udce4.csv"),
        ("a\0b", "a\ufffdb"),
        ((1, 2), [1, 2]),
    ],
    ids=range(7),
)
def test_what_json_cannot_hold_is_written_another_way(value: object, expected: object) -> None:
    # Beside it something that makes orjson refuse, so that each case goes the long way too.
    assert json.loads(encode({"x": value})) == {"x": expected}
    assert json.loads(encode({"x": value, "y": "\ud800"}))["x"] == expected


def test_what_has_no_json_form_is_an_event_error() -> None:
    with pytest.raises(EventError, match="JSON"):
        encode({"x": object()})


def test_a_document_that_contains_itself_is_cut_off() -> None:
    endless: dict[str, Any] = {}
    endless["x"] = endless
    assert strict(encode(endless))["x"]


def test_nan_and_infinities_are_said() -> None:
    assert finite({"a": float("nan"), "b": [float("inf"), -float("inf")], "c": 1.5}) == {
        "a": "NaN",
        "b": ["Infinity", "-Infinity"],
        "c": 1.5,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://me:hunter2@db.desk:5432/prices", "postgresql://***@db.desk:5432/prices"),
        ("cannot reach https://ghp_token@github.com/a/b.git now", "cannot reach https://***@github.com/a/b.git now"),
        ("s3 says ?X-Amz-Signature=abc123&x=1", "s3 says ?X-Amz-Signature=***&x=1"),
        ("connect(password='hunter2', port=1)", "connect(password='***', port=1)"),
        ("Server=a;Password=hunter2;Port=1", "Server=a;Password=***;Port=1"),
        ("api_key=abc access_token=def", "api_key=*** access_token=***"),
        ("a=b c@d", "a=b c@d"),
        ("https://example.com/a@b", "https://example.com/a@b"),
        ("['https://a.com', 'x@y.z']", "['https://a.com', 'x@y.z']"),
    ],
)
def test_credentials_are_taken_out_of_texts(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://u:p@git.desk/x.git", "https://git.desk/x.git"),
        ("https://token@git.desk/x.git", "https://git.desk/x.git"),
        ("ssh://git@git.desk/x.git", "ssh://git@git.desk/x.git"),
        ("ssh://git:pw@git.desk/x.git", "ssh://git.desk/x.git"),
        ("/desk/a@b.csv", "/desk/a@b.csv"),
        ("file:///desk/a@b.csv", "file:///desk/a@b.csv"),
    ],
)
def test_credentials_are_taken_out_of_urls(url: str, expected: str) -> None:
    assert without_credentials(url) == expected


@given(st.text(max_size=300), st.integers(60, 120))
def test_a_clipped_text_keeps_its_ends(text: str, limit: int) -> None:
    clipped = clip(text, limit)
    assert len(clipped) <= limit
    if len(text) <= limit:
        assert clipped == text
    else:
        assert clipped[0] == text[0]
        assert clipped[-1] == text[-1]
        assert str(len(text)) in clipped
