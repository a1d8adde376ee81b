"""Finds out from which columns of tables each column of a query is made, and which columns decide which rows there are.

Knows sqlglot's trees. Of a column's values either all is said or nothing; of what decides rows, all that is certain. What is
not known here (a clause, a way to join, a function's own words) makes what depends on it uncertain, never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from sqlglot import exp

from lineage_flows.capture.adapters.sql_scopes import INDIRECT, Made, Names, Scope, Selected, Source, Use, Uses
from lineage_flows.capture.adapters.sql_words import (
    AGGREGATES,
    ALIASES_REACH_ASIDE,
    FUNCTION_WORDS,
    OF_BRACKETS,
    OF_SELECT,
    OF_SETS,
    OF_TABLES,
    TAKE_NO_WORDS,
    arg,
    is_understood,
)
from lineage_flows.record_base import ColumnHow

__all__ = ["Queries"]

_OF_ONE_ROW: Final = (exp.FirstValue, exp.LastValue, exp.NthValue, exp.Lag, exp.Lead)
_TAKES_COLUMNS: Final = (exp.AggFunc, exp.Connector, exp.Case, exp.If, exp.Cast)
_UNKNOWN: Final = (exp.Star, exp.Identifier, exp.Dot, exp.Lambda, exp.Kwarg, exp.PropertyEQ, exp.UDTF)
_NO_COLUMNS: Final = (exp.DataType, exp.Literal, exp.Var, exp.Placeholder, exp.Parameter, exp.SessionParameter)


class Queries:
    """Reads the queries of one language."""

    def __init__(self, names: Names) -> None:
        self._names = names

    # ------------------------------------------------------------------------------------------------------------ queries

    def ctes(self, node: Any, known: dict[str, Selected], outer: Scope | None) -> dict[str, Selected]:  # noqa: ANN401 - as above
        """Queries that a statement names before it uses them; one that uses itself, or a later one, is not known there."""
        with_ = arg(node, "with")
        if with_ is None:
            return known
        named = [(self._names.of(cte.args["alias"].this), cte) for cte in with_.expressions if cte.args.get("alias")]
        found = {**known, **{name: Selected() for name, _ in named}}
        for name, cte in named:
            columns = self._names.listed(cte.args["alias"])
            found = {**found, name: self.query(cte.this, found, outer).named(columns)}
        return found

    def query(
        self,
        node: Any,  # noqa: ANN401 - as above
        ctes: dict[str, Selected],
        outer: Scope | None = None,
        *,
        outermost: bool = False,
    ) -> Selected:
        """What a query gives out.

        Args:
            node: the query; anything else gives what nothing is known of.
            ctes: queries that have a name where it stands.
            outer: the query around it whose columns it may name.
            outermost: whether the order of its rows is that of what is written.
        """
        if isinstance(node, exp.Subquery) and is_understood(node, OF_BRACKETS):
            inner = self.ctes(node, ctes, outer)
            found = self.query(node.this, inner, outer, outermost=outermost)
            return self._ordered(node, found, Scope(inner, outer), outermost=outermost)
        if isinstance(node, exp.SetOperation) and is_understood(node, OF_SETS):
            inner = self.ctes(node, ctes, outer)
            return self._ordered(node, self._of_sets(node, inner, outer), Scope(inner, outer), outermost=outermost)
        if isinstance(node, exp.Select) and is_understood(node, OF_SELECT):
            return self._select(node, self.ctes(node, ctes, outer), outer, outermost=outermost)
        return self._values(node, ctes, outer) if isinstance(node, exp.Values) else Selected()

    def _of_sets(self, node: Any, ctes: dict[str, Selected], outer: Scope | None) -> Selected:  # noqa: ANN401 - as above
        left, right = self.query(node.this, ctes, outer), self.query(node.expression, ctes, outer)
        rows = left.rows | right.rows
        if None in left.columns or None in right.columns or len(left.columns) != len(right.columns):
            return Selected(rows=rows)
        both = [(one, other) for one, other in zip(left.columns, right.columns, strict=True) if one and other]
        if not isinstance(node, exp.Union):  # values of the left alone; the right decides which rows stay
            rows |= dict.fromkeys(use.within("filter") for _, other in both for use in other.uses.found)
            return Selected(left.columns, rows)
        return Selected(
            tuple(
                Made(one.name, Uses(one.uses.found | other.uses.found, one.uses.certain and other.uses.certain))
                for one, other in both
            ),
            rows,
        )

    def _values(self, node: Any, ctes: dict[str, Selected], outer: Scope | None) -> Selected:  # noqa: ANN401 - as above
        """Rows that are written out; a value may be a query."""
        rows = [list(row.expressions) if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
        if not rows or len({len(row) for row in rows}) != 1:
            return Selected()
        scope = Scope(ctes, outer)
        columns = [Uses() for _ in rows[0]]
        for row in rows:
            for uses, value in zip(columns, row, strict=True):
                self.collect(value, "identity", scope, uses)
        return Selected(tuple(Made(None, uses) for uses in columns))

    def _select(self, node: Any, ctes: dict[str, Selected], outer: Scope | None, *, outermost: bool) -> Selected:  # noqa: ANN401 - as above
        scope = Scope(ctes, outer)
        windows = [(one, one.this) for one in node.args.get("windows") or ()]
        scope.windows = {self._names.of(name): one for one, name in windows if isinstance(name, exp.Identifier)}
        rows: dict[Use, None] = {}
        if (from_ := arg(node, "from")) is not None:
            self.sources([from_.this, *(node.args.get("joins") or ())], scope, rows)
        given = {
            position: self._names.of(one.args["alias"])
            for position, one in enumerate(node.expressions)
            if isinstance(one, exp.Alias)
        }
        columns: list[Made | None] = []
        for position, one in enumerate(node.expressions):
            if self._names.dialect in ALIASES_REACH_ASIDE:
                scope.doubtful = frozenset(name for place, name in given.items() if place != position)
            columns += self._projected(one, scope)
        scope.doubtful = frozenset(
            name for place, name in given.items() if not self._is_itself(node.expressions[place].this, name)
        )
        for clause, how in _DECIDES:
            rows |= self.loose(node.args.get(clause), how, scope)
        distinct = node.args.get("distinct")
        rows |= self.loose(distinct.args.get("on") if distinct is not None else None, "filter", scope)
        found = Selected(tuple(columns), rows)
        return self._ordered(node, found, scope, outermost=outermost or bool(distinct and distinct.args.get("on")))

    def _is_itself(self, node: Any, name: str) -> bool:  # noqa: ANN401 - as above
        return (
            isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier) and self._names.of(node.this) == name
        )

    def _projected(self, node: Any, scope: Scope) -> Iterator[Made | None]:  # noqa: ANN401 - as above
        if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
            yield from self._starred(node, scope)
            return
        name = None
        if isinstance(node, exp.Alias):
            name = self._names.of(node.args["alias"]) or None
        elif isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier):
            name = self._names.of(node.this) or None
        elif isinstance(node, exp.Aliases):
            yield None
            return
        uses = Uses()
        self.collect(node, "identity", scope, uses)
        yield Made(name, uses)

    def _starred(self, node: Any, scope: Scope) -> Iterator[Made | None]:  # noqa: ANN401 - as above
        """All columns, of all sources or of one, where they are known."""
        star = node if isinstance(node, exp.Star) else node.this
        sources: list[Source | None] = list(scope.sources.values())
        if isinstance(node, exp.Column):
            table = node.args.get("table")
            sources = [scope.known(self._names.of(table)) if table is not None else None]
        elif scope.natural or scope.merged:
            sources = [None]
        for source in [None] if any(star.args.values()) else sources:
            yield from [None] if source is None or source.query is None else source.query.columns

    def _ordered(self, node: Any, found: Selected, scope: Scope, *, outermost: bool) -> Selected:  # noqa: ANN401 - as above
        """The same with what its rows are ordered by, where that decides which there are, or how they are written."""
        order = node.args.get("order")
        if order is None or not (outermost or node.args.get("limit") or node.args.get("offset")):
            return found
        rows = dict(found.rows)
        for item in order.expressions:
            by = item.this if isinstance(item, exp.Ordered) else item
            uses = None
            if isinstance(by, exp.Column) and by.args.get("table") is None and isinstance(by.this, exp.Identifier):
                uses = found.column(self._names.of(by.this))
            if uses is not None:
                rows |= dict.fromkeys(use.within("sort") for use in uses.found)
            elif isinstance(node, exp.Select):
                rows |= self.loose(by, "sort", scope)
        return Selected(found.columns, rows)

    # ------------------------------------------------------------------------------------------------------------ sources

    def sources(self, nodes: Iterable[Any], scope: Scope, rows: dict[Use, None]) -> None:
        """Add what stands in a FROM to a scope, and to ``rows`` what decides which rows of it there are."""
        for node in nodes:
            if not isinstance(node, exp.Join):
                self._source(node, scope, rows)
                continue
            before = list(scope.sources.values())
            self._source(node.this, scope, rows)
            joined = list(scope.sources.values())[len(before) :]
            scope.natural = scope.natural or str(node.args.get("method") or "").upper() == "NATURAL"
            rows |= self.loose(node.args.get("on"), "join", scope)
            for item in node.args.get("using") or ():
                name = self._names.of(item.this if isinstance(item, exp.Column) else item)
                rows |= self._merge(name, before, joined, scope, kept=str(node.args.get("side") or "").upper())
            if any(node.args.get(part) for part in ("pivots", "match_condition", "nearest")):
                scope.natural = True  # whatever a bare name means there

    def _merge(
        self, name: str, before: list[Source], joined: list[Source], scope: Scope, *, kept: str
    ) -> dict[Use, None]:
        """Take a column of USING for that of the left, which it is unless the right may have rows of its own."""
        left = scope.merged.get(name) if name in scope.merged else before[0].column(name) if len(before) == 1 else None
        right = joined[0].column(name) if len(joined) == 1 else None
        scope.merged[name] = left if kept in {"", "LEFT"} else None
        found = [use for uses in (left, right) if uses is not None for use in uses.found]
        return dict.fromkeys(use.within("join") for use in found)

    def _source(self, node: Any, scope: Scope, rows: dict[Use, None]) -> None:  # noqa: ANN401 - as above
        alias = node.args.get("alias") if isinstance(node, exp.Expression) else None
        key = self._names.of(alias.this) if alias is not None and alias.this is not None else None
        brackets = isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table) and alias is None
        if brackets and is_understood(node, OF_BRACKETS):
            node = node.this  # tables in brackets
            alias = node.args.get("alias")
            key = self._names.of(alias.this) if alias is not None and alias.this is not None else None
        if isinstance(node, exp.Table):
            self._table(node, key, scope, rows)
            return
        found = Source()
        if isinstance(node, exp.Subquery | exp.Values):
            inner = self.query(node, scope.ctes, scope.outer)
            found = Source(query=inner.named(self._names.listed(alias)))
            rows |= inner.rows
        scope.add(key, found)

    def _table(self, node: Any, key: str | None, scope: Scope, rows: dict[Use, None]) -> None:  # noqa: ANN401 - as above
        around = [part for part in (node.args.get("catalog"), node.args.get("db")) if isinstance(part, exp.Identifier)]
        of_column = bool(around) and scope.known(self._names.of(around[0])) is not None  # `FROM t, t.items`
        if of_column or not (isinstance(node.this, exp.Identifier) and is_understood(node, OF_TABLES)):
            scope.add(key, Source())
            return
        name = self._names.of(node.this)
        listed = self._names.listed(node.args.get("alias"))
        cte = None if node.args.get("db") is not None else self._cte(name, scope.ctes)
        if cte is not None:
            scope.add(key or name, Source(query=cte.named(listed)))
            rows |= cte.rows
        else:
            table = Source(self._names.table(node), is_table=True)
            scope.add(key or name, Source() if listed else table)
        self.sources(node.args.get("joins") or (), scope, rows)

    def _cte(self, name: str, ctes: dict[str, Selected]) -> Selected | None:
        alike = [one for one in ctes if one.casefold() == name.casefold()]
        return None if not alike else ctes[name] if alike == [name] else Selected()

    # -------------------------------------------------------------------------------------------------------- expressions

    def loose(self, node: Any, how: ColumnHow, scope: Scope) -> dict[Use, None]:  # noqa: ANN401 - as above
        """The columns that an expression certainly uses; there may be others."""
        uses = Uses()
        self.collect(node, how, scope, uses)
        return uses.found

    def collect(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        """Add the columns that an expression is made from, or uses in another way.

        Args:
            node: the expression; None for none.
            how: what is made of it.
            scope: what its names may mean.
            into: where they go; it is uncertain afterwards when one was.
        """
        if not isinstance(node, exp.Expression) or isinstance(node, _NO_COLUMNS):
            return
        if isinstance(node, exp.Column):
            self._column(node, how, scope, into)
        elif isinstance(node, exp.Query):
            self._nested(node, how, scope, into)
        elif isinstance(node, _UNKNOWN):
            into.certain = False
        elif (special := _SPECIAL.get(type(node))) is not None:
            special(self, node, how, scope, into)
        else:
            stronger = _stronger(how, "aggregation" if _aggregates(node) else "transformation")
            for one in node.iter_expressions():
                self.collect(one, stronger, scope, into)

    def _column(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        uses = None if self._may_be_word(node) else self._names.meant(node, scope)
        if uses is None:
            into.certain = False
            return
        into.add(uses.found, how)
        into.certain = into.certain and uses.certain

    def _may_be_word(self, node: Any) -> bool:  # noqa: ANN401 - as above
        """Whether what looks like a column may be a word that a function takes."""
        if self._names.dialect in TAKE_NO_WORDS or node.args.get("table") is not None:
            return False
        function = isinstance(node.parent, exp.Func) and not isinstance(node.parent, _TAKES_COLUMNS)
        return function and node.name.lower() in FUNCTION_WORDS

    def _nested(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        found = self.query(node, scope.ctes, scope)
        for made in found.columns:
            into.certain = into.certain and made is not None and made.uses.certain
            into.add(made.uses.found if made is not None else (), how)
        into.add(found.rows, how)

    def _same(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        self.collect(node.this, how, scope, into)

    def _count(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        for one in node.iter_expressions():
            if not isinstance(one, exp.Star):
                self.collect(one, _stronger(how, "aggregation"), scope, into)

    def _exists(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        into.add(self.query(node.this, scope.ctes, scope).rows, how)

    def _case(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        self.collect(node.this, _indirect(how, "conditional"), scope, into)
        for branch in node.args.get("ifs") or ():
            self._if(branch, how, scope, into)
        self.collect(node.args.get("default"), _stronger(how, "transformation"), scope, into)

    def _if(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        self.collect(node.this, _indirect(how, "conditional"), scope, into)
        for part in ("true", "false"):
            self.collect(node.args.get(part), _stronger(how, "transformation"), scope, into)

    def _filtered(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        self.collect(node.this, how, scope, into)
        self.collect(node.expression, _indirect(how, "filter"), scope, into)

    def _order(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        self.collect(node.this, how, scope, into)
        for one in node.expressions:
            self.collect(one, _indirect(how, "sort"), scope, into)

    def _within_group(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        """``percentile_cont(0.5) WITHIN GROUP (ORDER BY x)`` is made of x, ``listagg(y) WITHIN GROUP (ORDER BY x)`` of y."""
        self.collect(node.this, how, scope, into)
        if node.this.find(exp.Column) is not None:
            self.collect(node.expression, how, scope, into)
            return
        for one in node.expression.expressions:
            self.collect(one.this, _stronger(how, "aggregation"), scope, into)

    def _window(self, node: Any, how: ColumnHow, scope: Scope, into: Uses) -> None:  # noqa: ANN401 - as above
        if not isinstance(node.this, exp.Identifier):  # else it is the definition of one that has a name
            self.collect(node.this, how, scope, into)
        over = _indirect(how, "window")
        for one in (*(node.args.get("partition_by") or ()), node.args.get("order"), node.args.get("spec")):
            self.collect(one, over, scope, into)
        if (name := node.args.get("alias")) is not None:
            definition = scope.windows.get(self._names.of(name))
            into.certain = into.certain and definition is not None and definition is not node
            if definition is not None and definition is not node:
                self._window(definition, how, scope, into)


_DECIDES: Final[tuple[tuple[str, ColumnHow], ...]] = (
    ("where", "filter"),
    ("group", "group_by"),
    ("having", "filter"),
    ("qualify", "filter"),
)

_SPECIAL: Final[dict[type, Callable[[Queries, Any, ColumnHow, Scope, Uses], None]]] = {
    exp.Alias: Queries._same,
    exp.Paren: Queries._same,
    exp.Count: Queries._count,
    exp.Exists: Queries._exists,
    exp.Case: Queries._case,
    exp.If: Queries._if,
    exp.Filter: Queries._filtered,
    exp.Order: Queries._order,
    exp.WithinGroup: Queries._within_group,
    exp.Window: Queries._window,
}


def _indirect(how: ColumnHow, found: ColumnHow) -> ColumnHow:
    """What decides something inside of what decides rows does the latter."""
    return how if how in INDIRECT else found


def _stronger(how: ColumnHow, at_least: ColumnHow) -> ColumnHow:
    return Use(how, (), "").within(at_least).how


def _aggregates(node: Any) -> bool:  # noqa: ANN401 - as above
    if isinstance(node, exp.Anonymous):
        return str(node.this).lower() in AGGREGATES
    return isinstance(node, exp.AggFunc) and not isinstance(node, _OF_ONE_ROW)
