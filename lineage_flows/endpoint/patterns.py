r"""Patterns of the service model, which are Java's, as Python matches them.

What differs: they have to match the whole text; ``.`` stops at every line break that Java knows, and not only at a line feed;
``\p{L}`` and its like name classes of Unicode, which Python's patterns do not have; ``\d``, ``\s`` and ``\w`` are ASCII.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache
from itertools import groupby

from lineage_flows.graph.model import LINE_BREAKS

__all__ = ["compiled", "fits"]

_REPEATED_END = re.compile(r"(?<!\\)\$\{\d+,\d*\}")
"""Java takes an end that is repeated (in the patterns of a package's customer metadata) for an end."""

_PIECES = re.compile(r"\\p\{(?P<named>[A-Za-z]+)\}|\\.|\[\^?\]?|\]|\.|[^\\\[\].]+", re.DOTALL)
_ANY = "[^" + "".join(f"\\u{ord(character):04x}" for character in LINE_BREAKS) + "]"


def fits(pattern: str, text: str) -> bool:
    """Whether the whole of a text matches."""
    return compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the service model, to be used with ``fullmatch``.

    Raises:
        re.error: it has something that is Java's alone and not known here.
    """
    found, inside = [], False
    for piece in _PIECES.finditer(_REPEATED_END.sub("$", pattern)):
        text = piece[0]
        if piece["named"]:
            text = _ranges(piece["named"])
            text = text if inside else f"[{text}]"
        elif text.startswith("["):
            if inside:
                text = (
                    "\\["  # Java unites nested classes; the service model has none, and a bare bracket is only itself
                )
            inside = True
        elif text == "]":
            inside = False
        elif text == "." and not inside:
            text = _ANY
        found.append(text)
    return re.compile("".join(found), re.ASCII)


@lru_cache(maxsize=16)
def _ranges(category: str) -> str:
    """The characters of a category (``L``, ``Nd``) for the inside of a class."""
    ranges = [(first, last) for name, first, last in _categories() if name.startswith(category)]
    if not ranges:
        raise re.error(f"no character is of the category {category!r}")
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


@lru_cache(maxsize=1)
def _categories() -> tuple[tuple[str, int, int], ...]:
    """Runs of characters of one category: it, the first and the last. Worked out once: Python has over a million."""
    codes = range(sys.maxunicode + 1)
    runs = (list(run) for _, run in groupby(codes, key=lambda code: unicodedata.category(chr(code))))
    return tuple((unicodedata.category(chr(run[0])), run[0], run[-1]) for run in runs)
