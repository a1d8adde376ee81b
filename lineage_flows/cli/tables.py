"""Tables and lists as every verb draws them; any text of the user's is shown, never obeyed.

Knows rich; must not know what is drawn. Imported only when a person looks, since rich takes its time to load.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lineage_flows.ui.text import plain

__all__ = ["cell", "facts", "grid", "heading", "note", "state", "verdict"]

_STATE_STYLES = {
    "Completed": "green",
    "Cached": "green",
    "Running": "cyan",
    "Failed": "red",
    "Crashed": "red",
    "TimedOut": "red",
    "Cancelled": "yellow",
    "Cancelling": "yellow",
}
_VERDICT_STYLES = {
    "identical": "green",
    "equivalent": "green",
    "restored": "cyan",
    "not compared": "yellow",
    "different": "bold red",
    "missing": "red",
    "added": "yellow",
    "ok": "green",
    "warning": "yellow",
    "failed": "bold red",
}


def cell(text: str | Text, style: str = "") -> Text:
    """Text for a table: on one line, without control characters, markup or emoji codes taking effect."""
    return text if isinstance(text, Text) else Text(plain(text), style=style)


def state(name: str) -> Text:
    """A Prefect state's name in its colour."""
    return cell(name, _STATE_STYLES.get(name, ""))


def verdict(name: str) -> Text:
    """A verdict (or a check's outcome) in its colour."""
    return cell(name, _VERDICT_STYLES.get(name, ""))


def heading(text: str) -> Text:
    """The title of a part of an answer, after an empty line."""
    return Text(f"\n{text}", style="bold")


def note(text: str) -> Text:
    """A remark beside the answer."""
    return cell(text, "dim")


def grid(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    whole: Sequence[str] = (),
    right: Sequence[str] = (),
) -> Padding:
    """A table with a header.

    Args:
        columns: their names.
        rows: their cells.
        whole: columns that are never wrapped or cut (ids).
        right: columns aligned to the right (numbers).
    """
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(
            Text(name),
            no_wrap=name in whole,
            overflow="fold",
            justify="right" if name in right else "left",
        )
    for row in rows:
        table.add_row(*(cell(item) for item in row))
    return Padding(table, (0, 0, 0, 2), expand=False)


def facts(pairs: Iterable[tuple[str, str | Text | Sequence[str]]]) -> Padding:
    """Names and what they stand for, a line for each text; a fact without text is left out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, said in pairs:
        texts = [said] if isinstance(said, str | Text) else said
        for position, text in enumerate(item for item in texts if str(item)):
            table.add_row(cell(name if not position else ""), cell(text))
    return Padding(table, (0, 0, 0, 2), expand=False)
