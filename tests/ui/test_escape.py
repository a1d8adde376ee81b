from __future__ import annotations

import html
import re

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from lineage_flows.ui import escape
from lineage_flows.ui.text import clip

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
anything = st.text(st.characters(codec="utf-8"), max_size=120) | st.text(
    st.sampled_from("`|\\*_[]()<>#!&~-+=.:;\"' \n$%{}a1é"), max_size=60
)


def cells(row: list[str]) -> list[Token]:
    """The inline contents of a table's only row, as the parser of markdown sees them."""
    tokens = PARSER.parse(escape.table(["a"] * len(row), [row]))
    assert [token.type for token in tokens].count("tr_open") == 2
    return [token for token in tokens if token.type == "inline"][len(row) :]


@given(anything)
@example("1. list")
@example("- list")
@example("# title")
@example("_a_ __b__ a__b a_*b*_")
@example("<img src=x onerror=alert(1)>")
@example("[x](javascript:alert(1))")
@example("a|b\\|c\\")
@example("&lt;script&gt;")
@example("===")
def test_prose_is_shown_as_it_is_wherever_it_stands(value: str) -> None:
    expected = clip(value, 80).strip().replace("\u200b", "")
    written = escape.prose(value)
    for before, after in (("", ""), ("- ", ""), ("## ", " · x"), ("x ", " x")):
        document = PARSER.parse(f"{before}{written}{after}")
        inline = [child for token in document for child in token.children or ()]
        assert {child.type for child in inline} <= {"text", "text_special"}
        shown = "".join(child.content for child in inline).replace("\u200b", "")
        prefix = before if before == "x " else ""
        assert shown.split() == (prefix + expected + after).split()
    assert not any(token.type == "html_block" for token in document)


@given(st.lists(anything, min_size=1, max_size=4))
def test_prose_and_code_stay_in_their_cell(values: list[str]) -> None:
    found = cells([escape.prose(value) for value in values] + [escape.code(value) for value in values])
    assert len(found) == 2 * len(values)


@given(anything)
@example("a`b")
@example("a|b")
@example("\\")
@example("a\\|b`")
@example(" x ")
@example("")
@example("</code><script>")
def test_code_is_shown_exactly_as_it_is(value: str) -> None:
    (cell,) = cells([escape.code(value)])
    children = cell.children or []
    if children and children[0].type == "code_inline":
        assert len(children) == 1
        shown = children[0].content
    else:
        assert [child.content for child in children if child.type == "html_inline"] == ["<code>", "</code>"]
        shown = "".join(child.content for child in children if child.type != "html_inline").replace("\u200b", "")
    assert shown.replace("\xa0", " ") == clip(value, 80).replace("\xa0", " ")


def test_words_too_long_for_the_page_can_be_broken() -> None:
    written = escape.prose("x" * 200, 200)
    assert max(len(word) for word in re.split("\u200b", written)) <= 48
    assert html.unescape(written).replace("\u200b", "") == "x" * 200


def test_columns_of_numbers_are_aligned_to_the_right() -> None:
    assert escape.table(["name", "value:"], [["a", "1"]]) == "| name | value |\n| --- | --: |\n| a | 1 |"
