"""Makes any text harmless in GitHub-flavoured markdown with raw HTML, as Prefect's pages render it.

Knows markdown; must not know what is written in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lineage_flows.ui.text import clip

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["code", "prose", "table"]

_CELL = 80
_ACTIVE = re.compile(r"[\\`*\[\]<>&|~$]")
# An underscore between two letters or digits is never emphasis: names such as max_drawdown stay readable in the source.
_UNDERSCORES = re.compile(r"(?<![A-Za-z0-9_])_+|_+(?![A-Za-z0-9_])")
_LONG_WORD = re.compile(r"\S{48}(?=\S)")
_BREAK = "\u200b"
"""Zero-width space: where a word too long for the page may be broken."""
_BLOCK_START = re.compile(r"^([-+#=]|\d+[.)])")


def prose(text: str, limit: int = _CELL) -> str:
    """Text as running text, at most ``limit`` characters: whatever markdown or HTML could act on is escaped."""
    text = _LONG_WORD.sub(rf"\g<0>{_BREAK}", clip(text, limit).strip())
    text = _ACTIVE.sub(r"\\\g<0>", text)
    text = _UNDERSCORES.sub(lambda run: r"\_" * len(run.group()), text)
    return _BLOCK_START.sub(lambda start: f"{start.group()[:-1]}\\{start.group()[-1]}", text)


def code(text: str, limit: int = _CELL) -> str:
    """Text in fixed width, at most ``limit`` characters, exactly as it is; safe inside a table's cell.

    A code span cannot hold every mixture of backticks, backslashes and pipes; those are written as HTML with entities.
    """
    text = clip(text, limit)
    if not text.strip():
        return "<code>&#8203;</code>" if not text else f"<code>{'&nbsp;' * len(text)}</code>"
    if "`" in text or "|" in text or text.endswith("\\") or text != text.strip():
        escaped = "".join(f"&#{ord(character)};" if not character.isalnum() else character for character in text)
        return f"<code>{escaped}</code>"
    return f"`{text}`"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are markdown already; a column whose name ends in ``:`` is aligned to the right."""
    names = [name.removesuffix(":") for name in header]
    rule = ["--:" if name.endswith(":") else "---" for name in header]
    return "\n".join("| " + " | ".join(row) + " |" for row in (names, rule, *rows))
