"""What is no local file, by name, what its store says of it, and what was asked of a database.

Knows names and numbers only; must not know any library, nor the log of a run.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lineage_flows.record_base import ColumnEdge, ColumnHow

__all__ = ["ColumnUse", "Facts", "Queries", "Target", "column_edges", "merged_columns"]

_MOST_STATEMENTS = 20
_MOST_TABLES = 200
_MOST_USES = 5_000


class ColumnUse(NamedTuple):
    """A column that was written, empty for all of them, and one that it was made from, by the dataset's namespace and name."""

    output: str
    how: ColumnHow
    namespace: str
    name: str
    column: str


@dataclass(frozen=True, slots=True)
class Target:
    """What is touched, by the names that OpenLineage gives it; ``uri`` says which one, without secrets.

    ``written`` is how the flow itself wrote it, where that may differ: a rule may name it so.
    """

    namespace: str
    name: str
    uri: str
    written: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """See ``record_base.ObjectFacts``, which is only imported when something is recorded.

    ``uncounted`` says that more rows were changed than ``rows``, and nobody knows how many. ``columns`` are what is certain of the
    columns that were written.
    """

    version: str | None = None
    etag: str | None = None
    status: int | None = None
    rows: int | None = None
    statements: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    uncounted: bool = False
    columns: tuple[ColumnUse, ...] = ()


class Queries:
    """What was asked of one database, or written into it: cheap to add to, since some flows ask a million times."""

    __slots__ = ("_lock", "columns", "results", "rows", "statements", "tables", "uncounted")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.rows: int | None = None
        self.uncounted = False
        self.statements: dict[str, None] = {}
        self.tables: dict[str, None] = {}
        self.results: dict[str, None] = {}
        self.columns: dict[ColumnUse, None] = {}

    @property
    def wants_results(self) -> bool:
        """Whether more fingerprints of results are recorded."""
        return len(self.results) < _MOST_STATEMENTS

    def add(self, statement: str, tables: tuple[str, ...], rows: int | None = None, *, uncounted: bool = False) -> None:
        """A statement was executed; ``rows`` were changed by it, or nobody knows how many."""
        with self._lock:
            self.uncounted = self.uncounted or uncounted
            if statement not in self.statements and len(self.statements) < _MOST_STATEMENTS:
                self.statements[statement] = None
            for table in tables:
                if len(self.tables) < _MOST_TABLES:
                    self.tables[table] = None
            if rows is not None:
                self.rows = (self.rows or 0) + rows

    def made(self, columns: Iterable[ColumnUse]) -> None:
        """Columns were written."""
        with self._lock:
            for use in columns:
                if len(self.columns) < _MOST_USES:
                    self.columns[use] = None

    def facts(self) -> Facts:
        """All of it."""
        with self._lock:
            return Facts(
                rows=self.rows,
                statements=tuple(self.statements),
                tables=tuple(self.tables),
                results=tuple(self.results),
                uncounted=self.uncounted,
                columns=tuple(self.columns),
            )

    def fetched(self, facts: Facts) -> None:
        """A result was fetched."""
        with self._lock:
            self.rows = (self.rows or 0) + (facts.rows or 0)
            for result in facts.results:
                if len(self.results) < _MOST_STATEMENTS:
                    self.results[result] = None


def merged_columns(old: tuple[ColumnUse, ...], new: tuple[ColumnUse, ...]) -> tuple[ColumnUse, ...]:
    """Both, each once."""
    return tuple(dict.fromkeys((*old, *new)))[:_MOST_USES] if new and old != new else old


def column_edges(columns: Iterable[ColumnUse], read: Container[tuple[str, str]]) -> tuple[ColumnEdge, ...]:
    """What the record says of columns.

    Args:
        columns: what is certain of them.
        read: namespace and name of the datasets that the run has read, and that are not left out: no other is named.
    """
    from lineage_flows.record_base import ColumnEdge, ColumnSource  # this module is loaded while Prefect starts

    found: dict[tuple[str, ColumnHow], list[ColumnSource]] = {}
    for use in columns:
        if (use.namespace, use.name) in read:
            source = ColumnSource(namespace=use.namespace, name=use.name, column=use.column)
            found.setdefault((use.output, use.how), []).append(source)
    return tuple(ColumnEdge(output=output, inputs=tuple(inputs), how=how) for (output, how), inputs in found.items())
