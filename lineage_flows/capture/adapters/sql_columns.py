"""Finds out from which columns of the tables that a statement reads the columns are made that it writes.

Knows sqlglot's trees, and which columns INSERT, CREATE TABLE AS, UPDATE and MERGE write. Said is only what the statement itself
makes certain: which columns a table has is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlglot import exp

from lineage_flows.capture.adapters.sql_queries import Queries
from lineage_flows.capture.adapters.sql_scopes import Made, Names, Scope, Selected, Source, Use, Uses
from lineage_flows.capture.adapters.sql_words import arg
from lineage_flows.capture.adapters.statements import Table
from lineage_flows.record_base import ColumnHow

__all__ = ["Edge", "edges_of"]

_CERTAIN: Final = frozenset(
    {"postgres", "mysql", "tsql", "oracle", "redshift", "trino", "snowflake", "bigquery", "sqlite", "duckdb"}
)
"""Languages whose names are certain. In ClickHouse an alias may be meant anywhere."""

_NUMBERS_TWICE: Final = frozenset({"sqlite", "duckdb"})
"""Languages in which a table made from a query gets other names for columns that are called the same."""

_MOST = 2_000


class Edge(NamedTuple):
    """A column that a statement writes, and one of a table that it is made from.

    ``output`` is empty for all that is written; ``outputs`` are then those that the statement names. ``creates`` is whether the
    statement makes the table.
    """

    target: Table
    output: str
    how: ColumnHow
    source: Table
    column: str
    outputs: tuple[str, ...] = ()
    creates: bool = False


def edges_of(
    parsed: Iterable[Any], dialect: str | None, table: Callable[[Any], Table | None], reads: Sequence[Table]
) -> tuple[Edge, ...]:
    """What is certain of the columns that statements write.

    Args:
        parsed: the statements, as sqlglot has parsed them.
        dialect: sqlglot's name of their language.
        table: the name of a table; None for one that is no data.
        reads: the tables that the statements read: no other is named.
    """
    statements = list(parsed)
    if dialect not in _CERTAIN or not reads or any(isinstance(one, exp.Rollback | exp.Command) for one in statements):
        return ()
    reader, wanted = _Writing(Names(dialect, table)), frozenset(reads)
    found = dict.fromkeys(edge for one in statements for edge in reader.edges(one) if edge.source in wanted)
    return tuple(found)[:_MOST]


class _Writing:
    """Reads the statements of one language."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._queries = Queries(names)

    def edges(self, node: Any) -> Iterator[Edge]:  # noqa: ANN401 - sqlglot's
        if isinstance(node, exp.Create):
            yield from self._create(node)
        elif isinstance(node, exp.Insert):
            yield from self._insert(node)
        elif isinstance(node, exp.Update):
            yield from self._update(node)
        elif isinstance(node, exp.Merge):
            yield from self._merge(node)
        elif isinstance(node, exp.Select) and node.args.get("into") is not None:
            yield from self._made(node.args["into"].this, self._queries.query(node, {}, outermost=True), None)

    def _create(self, node: Any) -> Iterator[Edge]:  # noqa: ANN401 - as above
        kind, query = str(node.args.get("kind") or "").upper(), node.expression
        properties = node.args.get("properties")
        empty = [one for one in (properties.find_all(exp.WithDataProperty) if properties else ()) if one.args.get("no")]
        if kind not in {"TABLE", "VIEW"} or node.args.get("exists") or empty or not isinstance(query, exp.Query):
            return  # whether one that may be there already was made is not known
        names = self._columns(node.this)
        if names is None or not isinstance(node.this, exp.Schema | exp.Table):
            return
        found = self._queries.query(query, {}, outermost=True).named(names)
        yield from self._made(node.this, found, names)

    def _made(self, target: Any, found: Selected, names: list[str] | None) -> Iterator[Edge]:  # noqa: ANN401 - as above
        """Of a table that is made with the columns that a query gives out, by their names."""
        unsure = None in found.columns and self._names.dialect in _NUMBERS_TWICE and not names
        columns = [made for made in found.columns if made and made.name and not unsure]
        folded = [(made.name or "").casefold() for made in columns]
        once = {made.name or "": made.uses for made in columns if folded.count((made.name or "").casefold()) == 1}
        yield from self._said(target, once, found.rows, creates=True)

    def _insert(self, node: Any) -> Iterator[Edge]:  # noqa: ANN401 - as above
        names = self._columns(node.this)
        query = node.expression
        odd = any(node.args.get(part) for part in ("partition", "source", "is_function", "alternative_format"))
        if names is None or odd or not isinstance(query, exp.Query | exp.Values):
            return
        ctes = self._queries.ctes(node, {}, None)
        found = self._queries.query(query, ctes, outermost=True)
        written = _by_name(found) if node.args.get("by_name") else _by_position(found, names)
        yield from self._said(node.this, written, found.rows)
        conflict = node.args.get("conflict")
        if conflict is not None and not conflict.args.get("duplicate"):
            scope = Scope(ctes)
            self._add_target(node.this, scope)
            proposed = Selected(tuple(Made(name, uses) for name, uses in written.items()) or (None,))
            scope.add("excluded", Source(query=proposed))
            if self._names.dialect in {"snowflake", "oracle"}:
                return  # there is no such table there
            rows = self._queries.loose(conflict.args.get("where"), "filter", scope)
            yield from self._assigned(node.this, conflict.expressions, scope, rows)

    def _update(self, node: Any) -> Iterator[Edge]:  # noqa: ANN401 - as above
        ctes = self._queries.ctes(node, {}, None)
        scope, rows = Scope(ctes), dict[Use, None]()
        if not isinstance(node.this, exp.Table) or node.args.get("order"):
            return
        from_ = arg(node, "from")
        self._queries.sources([node.this], scope, rows)
        own = next(iter(scope.sources), "")
        if from_ is not None:
            self._queries.sources([from_.this, *(from_.args.get("joins") or ())], scope, rows)
        if not scope.sources[own].is_table or own.startswith("\0"):
            return  # its name is another's alias
        rows |= self._queries.loose(node.args.get("where"), "filter", scope)
        yield from self._assigned(node.this, node.expressions, scope, rows, own)

    def _merge(self, node: Any) -> Iterator[Edge]:  # noqa: ANN401 - as above
        scope, rows = Scope(self._queries.ctes(node, {}, None)), dict[Use, None]()
        if not isinstance(node.this, exp.Table):
            return
        self._queries.sources([node.this], scope, rows)
        own = next(iter(scope.sources), "")
        self._queries.sources([node.args.get("using")], scope, rows)
        rows |= self._queries.loose(node.args.get("on"), "join", scope)
        whens = node.args.get("whens")
        for when in whens.expressions if isinstance(whens, exp.Expression) else whens or ():
            decided = rows | self._queries.loose(when.args.get("condition"), "filter", scope)
            then = when.args.get("then")
            if isinstance(then, exp.Update):
                yield from self._assigned(node.this, then.expressions, scope, decided, own)
            elif isinstance(then, exp.Insert) and isinstance(then.this, exp.Tuple):
                values = then.expression.expressions if isinstance(then.expression, exp.Tuple) else []
                if len(values) == len(then.this.expressions):
                    pairs = zip(then.this.expressions, values, strict=True)
                    assigned = [exp.EQ(this=column.copy(), expression=value) for column, value in pairs]
                    yield from self._assigned(node.this, assigned, scope, decided, own)

    def _assigned(
        self,
        target: Any,  # noqa: ANN401 - as above
        nodes: Iterable[Any],
        scope: Scope,
        rows: dict[Use, None],
        own: str = "",
    ) -> Iterator[Edge]:
        """Of ``column = expression``; what decides which rows are changed decides the columns that are changed in them."""
        for one in nodes:
            column = one.this if isinstance(one, exp.EQ) else None
            if not isinstance(column, exp.Column) or not isinstance(column.this, exp.Identifier):
                continue
            table = column.args.get("table")
            if table is not None and self._names.of(table) != own:
                continue
            name, uses = self._names.of(column.this), Uses()
            self._queries.collect(one.expression, "identity", scope, uses)
            decided = {name: Uses(dict(rows)), **({} if not uses.certain else {name: Uses(uses.found | rows)})}
            yield from self._said(target, decided, {})

    def _said(
        self,
        target: Any,  # noqa: ANN401 - as above
        written: dict[str, Uses],
        rows: dict[Use, None],
        *,
        creates: bool = False,
    ) -> Iterator[Edge]:
        holder = target.this if isinstance(target, exp.Schema) else target
        table = self._names.table(holder) if isinstance(holder, exp.Table) else None
        if table is None:
            return
        for output, uses in written.items():
            for use in uses.found if output and uses.certain else ():
                yield Edge(table, output, use.how, use.table, use.column, creates=creates)
        outputs = tuple(output for output in written if output)
        for use in rows:
            yield Edge(table, "", use.how, use.table, use.column, outputs, creates)

    def _columns(self, target: Any) -> list[str] | None:  # noqa: ANN401 - as above
        """The columns that a statement lists behind the name of its table; None when they are no plain names."""
        if not isinstance(target, exp.Schema):
            return []
        listed = [one.this if isinstance(one, exp.Column) else one for one in target.expressions]
        return (
            [self._names.of(one) for one in listed] if all(isinstance(one, exp.Identifier) for one in listed) else None
        )

    def _add_target(self, target: Any, scope: Scope) -> None:  # noqa: ANN401 - as above
        holder = target.this if isinstance(target, exp.Schema) else target
        self._queries.sources([holder], scope, {})


def _by_position(found: Selected, names: list[str]) -> dict[str, Uses]:
    """The columns that are listed, with what is put into them: before a ``*`` from the left, behind it from the right."""
    columns = list(found.columns)
    unknown = [position for position, made in enumerate(columns) if made is None]
    if not names or (not unknown and len(columns) != len(names)) or len(set(names)) != len(names):
        return {}
    first, last = (unknown[0], unknown[-1]) if unknown else (len(columns), len(columns) - 1)
    put = list(zip(names, columns[:first], strict=False))
    behind = columns[last + 1 :]
    put += zip(names[len(names) - len(behind) :], behind, strict=False) if len(put) + len(behind) <= len(names) else []
    placed = {name: made.uses for name, made in put if made is not None}
    return {name: placed.get(name, Uses(certain=False)) for name in names}


def _by_name(found: Selected) -> dict[str, Uses]:
    return {made.name: made.uses for made in found.columns if made is not None and made.name}
