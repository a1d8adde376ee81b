"""Java's patterns as Python matches them."""

from __future__ import annotations

import pytest

from lineage_flows.endpoint.patterns import compiled, fits
from lineage_flows.endpoint.service import OPERATIONS
from lineage_flows.endpoint.shapes import input_shape

TAG = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)"
NAME = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}"


@pytest.mark.parametrize("ends_a_line", ["\n", "\r", "\x85", "\u2028", "\u2029", "\r\n"])
def test_a_dot_is_no_line_break_of_java(ends_a_line):
    assert not fits(".*", f"a{ends_a_line}b")
    assert not fits(".*", f"a{ends_a_line}")
    assert fits(".*(?:[ \\r\\n\\t].*)*", "a\r\nb")


@pytest.mark.parametrize("fine", ["\x0b", "\x0c", "\x1c", "\0", "\U0001f600", ""])
def test_a_dot_is_anything_else(fine):
    assert fits(".*", f"a{fine}b")


def test_the_whole_text_has_to_match():
    assert fits(NAME, "a--b")
    for wrong in ("a-", "-a", "a b", "a\n", "é", "", "a_b"):
        assert not fits(NAME, wrong)


def test_a_dot_in_a_class_and_an_escaped_one_are_dots():
    assert fits(r"[.]\.", "..")
    assert not fits(r"[.]", "a")
    assert not fits(r"\.", "a")


def test_a_bracket_in_a_class():
    assert fits(r"[\]a]+", "]a")
    assert fits(r"[^\[.]", "x")
    assert not fits(r"[^\[.]", ".")


def test_classes_of_unicode():
    for right in ("", "desk", "Ünïcode 日本 ٣", "a b", "x_.:/=+-@"):
        assert fits(TAG, right)
    for wrong in ("a!", "a\n", "tab\t", "\U0001f600", "a,b"):
        assert not fits(TAG, wrong)
    assert fits(r"\p{Lu}", "É")
    assert not fits(r"\p{Lu}", "é")


def test_digits_are_ascii():
    assert fits(r"\d", "3")
    assert not fits(r"\d", "٣")


def test_a_long_text_that_nearly_matches_is_refused_at_once():
    assert not fits(NAME, "a" + "-" * 100_000)
    assert not fits(NAME, "a-" * 50_000 + "!")


def test_every_pattern_of_every_operation_is_understood():
    found = set()

    def walk(shape, seen):
        if shape is None or shape.name in seen:
            return
        seen.add(shape.name)
        if "pattern" in shape.metadata:
            found.add(shape.metadata["pattern"])
        for part in getattr(shape, "members", {}).values():
            walk(part, seen)
        for part in ("member", "key", "value"):
            walk(getattr(shape, part, None), seen)

    for operation in OPERATIONS:
        walk(input_shape(operation), set())
    assert len(found) >= 10
    for pattern in found:
        compiled(pattern)


def test_an_end_that_is_repeated_is_an_end() -> None:
    pattern = r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,256}"
    assert fits(pattern, "lf1:0a/b c")
    assert not fits(pattern, "a#b")
