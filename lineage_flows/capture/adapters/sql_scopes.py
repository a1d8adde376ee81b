"""Which tables' columns a name in a query may mean: by the tables in its FROM, and the queries that stand around it.

Knows sqlglot's trees. No table's columns are known, so a bare name is only certain where one table alone can have it: sqlglot's own
optimizer gives it to the nearest table instead, though in a subquery it may be the outer query's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from lineage_flows.capture.adapters.sql_words import LIKE_ORACLE, NOT_COLUMNS, NOT_COLUMNS_OF_ORACLE
from lineage_flows.capture.adapters.statements import Table
from lineage_flows.record_base import ColumnHow

__all__ = ["INDIRECT", "Made", "Names", "Scope", "Selected", "Source", "Use", "Uses"]

INDIRECT: Final = frozenset({"filter", "join", "group_by", "sort", "window", "conditional"})
_STRENGTH: Final[tuple[ColumnHow, ...]] = ("identity", "transformation", "aggregation")

_FOLDS: Final[dict[str, Callable[[str], str]]] = {
    **dict.fromkeys(("postgres", "redshift", "trino"), str.lower),
    **dict.fromkeys(("snowflake", "oracle"), str.upper),
}
"""How a language folds a name that is not quoted; as it folds those of tables."""

_NO_CASE: Final = frozenset({"sqlite", "duckdb", "mysql", "bigquery"})
"""Languages that never tell the case of a column's name, quoted or not: it is written in lower case."""

_TEXT_IN_QUOTES: Final = "sqlite"
"""The language that takes a quoted name for a text where no column is called so."""


class Use(NamedTuple):
    """A column of a table, and what it is used for."""

    how: ColumnHow
    table: Table
    column: str

    def within(self, how: ColumnHow) -> Use:
        """The same where what was made from it is used again."""
        if how in INDIRECT:
            return self._replace(how=how)
        if self.how in INDIRECT or _STRENGTH.index(how) <= _STRENGTH.index(self.how):
            return self
        return self._replace(how=how)


@dataclass(slots=True)
class Uses:
    """Columns that something is made from; not ``certain`` when there may be others, or these are not it."""

    found: dict[Use, None] = field(default_factory=dict)
    certain: bool = True

    def add(self, uses: Iterable[Use], how: ColumnHow) -> None:
        """More of them, used for what is made here."""
        self.found.update(dict.fromkeys(use.within(how) for use in uses))


@dataclass(frozen=True, slots=True)
class Made:
    """A column that a query gives out; ``name`` is None when the database makes one up."""

    name: str | None
    uses: Uses


@dataclass(frozen=True, slots=True)
class Selected:
    """What a query gives out: its columns, None for any number that is not known; ``rows`` decided which rows there are."""

    columns: tuple[Made | None, ...] = (None,)
    rows: dict[Use, None] = field(default_factory=dict)

    def named(self, names: Iterable[str]) -> Selected:
        """The same under other names; more names than columns say nothing."""
        listed = list(names)
        if not listed:
            return self
        if None in self.columns or len(listed) > len(self.columns):
            return Selected(rows=self.rows)
        given = dict(enumerate(listed))
        columns = (
            made and Made(given.get(position, made.name), made.uses) for position, made in enumerate(self.columns)
        )
        return Selected(tuple(columns), self.rows)

    def column(self, name: str) -> Uses | None:
        """What the column of a name is made from; None when it is not certain that there is exactly one."""
        alike = [made for made in self.columns if made and (made.name or "").casefold() == name.casefold()]
        return alike[0].uses if len(alike) == 1 and alike[0].name == name else None

    def may_have(self, name: str) -> bool:
        """Whether there may be a column of a name."""
        return any(
            made is None or made.name is None or made.name.casefold() == name.casefold() for made in self.columns
        )


@dataclass(frozen=True, slots=True)
class Source:
    """What stands in a FROM: a table, a query, or neither, of which nothing is known.

    A table that is no data (the database's own) is one of which nothing is said, but whose columns are its own.
    """

    table: Table | None = None
    query: Selected | None = None
    is_table: bool = False

    def column(self, name: str) -> Uses | None:
        """What its column of a name is made from; None when that is not known."""
        if self.query is not None:
            return self.query.column(name)
        if not self.is_table:
            return None
        return Uses({} if self.table is None else {Use("identity", self.table, name): None})


@dataclass(slots=True)
class Scope:
    """The sources that names in one query may mean; ``outer`` is that of the query around it.

    ``merged`` are the columns of USING. ``doubtful`` are names that may be what the query itself gives out. ``ctes`` are queries by
    their names, ``windows`` the query's own.
    """

    ctes: dict[str, Selected]
    outer: Scope | None = None
    sources: dict[str, Source] = field(default_factory=dict)
    merged: dict[str, Uses | None] = field(default_factory=dict)
    natural: bool = False
    doubtful: frozenset[str] = frozenset()
    windows: dict[str, Any] = field(default_factory=dict)

    def add(self, key: str | None, source: Source) -> None:
        """One more; a name that stands there twice is none's."""
        if key is None:
            self.sources[f"\0{len(self.sources)}"] = source
        else:
            self.sources[key] = source if key not in self.sources else Source()

    def known(self, key: str) -> Source | None:
        """The source that a qualifying name means, here or around."""
        alike = [name for name in self.sources if name.casefold() == key.casefold()]
        if alike:
            return self.sources[key] if alike == [key] else None
        return None if self.outer is None else self.outer.known(key)

    def is_twice(self, key: str) -> bool:
        """Whether a qualifying name means a source here, and another around."""
        scope: Scope | None = self
        found = 0
        while scope is not None:
            found += any(name.casefold() == key.casefold() for name in scope.sources)
            scope = scope.outer
        return found > 1


@dataclass(frozen=True, slots=True)
class Names:
    """How one language writes names.

    Attributes:
        dialect: sqlglot's name of it.
        table: the name of a table; None for one that is no data.
    """

    dialect: str
    table: Callable[[Any], Table | None]

    def of(self, identifier: Any) -> str:  # noqa: ANN401 - sqlglot's
        """A column's name, or one that is given to a table here."""
        name = str(identifier.name)
        if self.dialect in _NO_CASE:
            return name.lower()
        return name if identifier.args.get("quoted") else _FOLDS.get(self.dialect, str)(name)

    def meant(self, column: Any, scope: Scope) -> Uses | None:  # noqa: ANN401 - as above
        """What a column is made from; None when it is not certain which is meant."""
        from sqlglot import exp

        identifier = column.this
        if not isinstance(identifier, exp.Identifier):
            return None
        quoted, name = bool(identifier.args.get("quoted")), self.of(identifier)
        if not name or (self._is_word(name.lower()) and (not quoted or self.dialect == _TEXT_IN_QUOTES)):
            return None
        around = [column.args.get(part) for part in ("table", "db", "catalog")]
        if around[0] is None:
            return self._bare(name, scope, may_be_text=quoted and self.dialect == _TEXT_IN_QUOTES)
        if around[1] is not None or around[2] is not None:
            return None if self.dialect == "bigquery" else self._whole(around, name, scope)
        key = self.of(around[0])
        source = scope.known(key)
        if source is None or (source.is_table and scope.is_twice(key)):
            return None  # SQLite looks further out when a table does not have the column
        return source.column(name)

    def _is_word(self, name: str) -> bool:
        return name in NOT_COLUMNS or (self.dialect in LIKE_ORACLE and name in NOT_COLUMNS_OF_ORACLE)

    def _whole(self, around: list[Any], name: str, scope: Scope) -> Uses | None:
        """Of a column behind the name of a table with its schema."""
        from sqlglot import exp

        table = self.table(exp.Table(this=around[0], db=around[1], catalog=around[2]))
        meant = [source for source in scope.sources.values() if source.table is not None and source.table == table]
        return meant[0].column(name) if len(meant) == 1 else None

    def _bare(self, name: str, scope: Scope, *, may_be_text: bool) -> Uses | None:
        folded = name.casefold()
        if scope.natural or folded in {one.casefold() for one in (*scope.doubtful, *scope.sources)}:
            return None
        if (merged := [one for one in scope.merged if one.casefold() == folded]) != []:
            return scope.merged[name] if merged == [name] else None
        having = [source for source in scope.sources.values() if (source.query and source.query.column(name))]
        if len(having) == 1:
            return having[0].column(name)  # were it another's too, the database would have refused it
        perhaps = [source for source in scope.sources.values() if source.query is None or source.query.may_have(name)]
        alone = len(perhaps) == 1 and perhaps[0].is_table and scope.outer is None and not may_be_text
        return perhaps[0].column(name) if alone and not having else None

    def listed(self, alias: Any) -> list[str]:  # noqa: ANN401 - as above
        """The columns' names that an alias gives."""
        columns = (alias.args.get("columns") or ()) if alias is not None else ()
        return [self.of(getattr(one, "this", None) if hasattr(one.this, "name") else one) for one in columns]
