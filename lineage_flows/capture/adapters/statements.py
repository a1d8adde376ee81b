"""Finds out which tables a statement of SQL reads and writes, and writes it down without the values that stand in it.

Knows sqlglot, which is only imported when the first statement is looked at. Must not know databases. A value is told from a name by
the tokens of the database's own language; where these are not certain, nothing of a statement is kept but its first word.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineage_flows.capture.adapters.sql_columns import Edge

__all__ = ["Statement", "Table", "looked_at"]

Table = tuple[str, ...]
"""The name of a table, as far as the statement says it: catalog, schema, table. Names that are not quoted are folded."""

_WORDS = frozenset(
    "SELECT WITH INSERT UPDATE DELETE MERGE CREATE DROP TRUNCATE ALTER COPY REPLACE FROM VALUES TABLE".split()  # noqa: SIM905
)
"""What statements on tables begin with; all else is about the session, the transaction or rights."""

_DEFINING = frozenset("CREATE DROP TRUNCATE ALTER".split())  # noqa: SIM905
_READING = frozenset("SELECT FROM VALUES TABLE".split())  # noqa: SIM905
_SYSTEM = frozenset({"pg_catalog", "information_schema", "sys", "mysql", "performance_schema", "system", "temp"})
_FOLDS = {"postgres": str.lower, "redshift": str.lower, "trino": str.lower, "snowflake": str.upper, "oracle": str.upper}
_NAMES_MAY_BE_TEXTS = frozenset({None, "sqlite"})
"""Languages in which a text may stand in the quotes of a name: SQLite takes it for one where no column is called so."""

_WHOLE = 1_000_000
_PARSED = 20_000
_HEAD = 4_000
_KEPT = 2_000
"""Characters of a statement that is read at all, that is parsed, of a longer one's beginning, and of the text that is kept."""

_GAP = r"\s|;|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/"
"""What may stand before a statement. Of a comment there is one end only, or time would double with each."""
_FIRST = re.compile(rf"(?:{_GAP}|\()*([A-Za-z]+)")
_OPENING = re.compile(
    rf"(?i)(?:(?:{_GAP})*(?:(?:BEGIN|START\s+TRANSACTION)"
    r"(?:\s+(?:TRANSACTION|TRAN|WORK|DEFERRED|IMMEDIATE|EXCLUSIVE|CONCURRENT|READ\s+ONLY|READ\s+WRITE))*"
    r"|PRAGMA\s+[\w.]+(?:\s*=\s*'?\w+'?|\s*\(\s*'?\w+'?\s*\))?)\s*;)+"
)
"""What a script says of the transaction and the session before it comes to data."""

_HARD = re.compile(r"\\|--|/\*|#|\$\w*\$|[A-Za-z&_]'")
"""Where what is a text depends on more than quotes."""

_QUOTED_OR_NUMBER = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]'"]*\]|(?<![\w$:@.?%])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\b"""
)
_PYFORMAT = re.compile(r"%\((\w+)\)s")
_NUMBERED = re.compile(r"\?\d+")
_REPLACE = re.compile(r"(?i)^(\s*)REPLACE\s+INTO\b")
_VALUES = re.compile(r"(?i)\bVALUES\s*\(")
_ROWS = re.compile(r"(?i)(\bVALUES\s*)(\([?:%$@\w\s,]*\)\s*,\s*)+(?=\()")
"""All rows but the last of those that hold parameters only."""

_WORD = re.compile(r"[^\W\d][\w$]*(?:\s+[A-Za-z]+)*")  # also `ORDER BY`, which is one token
_NAME = re.compile(r'"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]')
_PUNCTUATION = re.compile(r"[^\w\s'\"`\\$#]{1,3}")
_LIST = re.compile(r"\?(?:\s*,\s*\?)+")
_TUPLES = re.compile(r"\((?:\?|\?, …)\)(?:\s*,\s*\((?:\?|\?, …)\))+")


@dataclass(frozen=True, slots=True)
class Statement:
    """What is known of a text of statements.

    ``note`` says why ``reads`` and ``writes`` may lack something. ``changes`` is whether it may write. ``temporary`` are tables
    that it makes for the connection only: they are no data from outside. ``columns`` are those of what it writes that are certain.
    """

    text: str
    word: str
    reads: tuple[Table, ...] = ()
    writes: tuple[Table, ...] = ()
    is_data: bool = True
    changes: bool = True
    note: str | None = None
    temporary: tuple[str, ...] = ()
    columns: tuple[Edge, ...] = ()

    def without(self, temporary: frozenset[str]) -> Statement:
        """The same without tables that live in the connection only."""
        if temporary.isdisjoint([table[-1] for table in (*self.reads, *self.writes) if len(table) == 1]):
            return self
        reads, writes = (
            tuple(table for table in tables if len(table) > 1 or table[0] not in temporary)
            for tables in (self.reads, self.writes)
        )
        columns = tuple(edge for edge in self.columns if edge.target in writes and edge.source in reads)
        return replace(self, reads=reads, writes=writes, is_data=bool(reads or writes or self.note), columns=columns)

    @property
    def changes_rows(self) -> bool:
        """Whether it changes rows of tables, and not only what tables there are."""
        return self.changes and (self.word not in _DEFINING or ";" in self.text)


def looked_at(sql: str, dialect: str | None, paramstyle: str = "qmark") -> Statement:
    """What a statement does; statements are repeated, with other values in them or the same, so the answer is remembered.

    Args:
        sql: as it goes to the driver.
        dialect: sqlglot's name of the language; None for the standard.
        paramstyle: how the driver writes parameters, by its DB-API name.
    """
    return _often(sql, dialect, paramstyle) if len(sql) < _HEAD else _seen(sql, dialect, paramstyle)


def _seen(sql: str, dialect: str | None, paramstyle: str) -> Statement:
    if (opening := _OPENING.match(sql)) is not None and opening.end() < len(sql.rstrip()):
        sql = sql[opening.end() :]
    first = _FIRST.match(sql[:_HEAD])
    word = first[1].upper() if first else ""
    if word not in _WORDS:
        return Statement(f"{word} …" if word else "", word, is_data=False, changes=True)
    if len(sql) > _WHOLE:
        return _beginning(sql, word, dialect, paramstyle)
    plain = _ROWS.sub(r"\1", _plain(sql, paramstyle))
    if len(plain) > _PARSED:
        return _beginning(plain, word, dialect, paramstyle)
    return _remembered(plain, dialect, word)


_often = functools.lru_cache(maxsize=512)(_seen)
"""The same statement again, letter by letter."""


def _plain(sql: str, paramstyle: str) -> str:
    """The statement with its plain texts emptied, its numbers as 0 and parameters that sqlglot knows."""
    if not _HARD.search(sql):
        sql = _QUOTED_OR_NUMBER.sub(_emptied, sql)
    if paramstyle in {"pyformat", "format"}:
        sql = _PYFORMAT.sub(r":\1", sql).replace("%s", "?").replace("%%", "%")
    return _REPLACE.sub(r"\1INSERT OR REPLACE INTO", _NUMBERED.sub("?", sql))


def _emptied(found: re.Match[str]) -> str:
    text = found[0]
    return "''" if text[0] == "'" else text if text[0] in '"`[' else "0"


def _beginning(sql: str, word: str, dialect: str | None, paramstyle: str) -> Statement:
    """Of a statement that is too long, where its beginning names the table that rows are put into."""
    head = sql[:_HEAD]
    values = _VALUES.search(head)
    if word in {"INSERT", "REPLACE"} and values is not None and "'" not in head[: values.start()]:
        found = _remembered(_plain(f"{head[: values.start()]}VALUES (0)", paramstyle), dialect, word)
        note = found.note or "only the beginning of a long statement was looked at"
        return Statement(found.text, word, found.reads, found.writes, note=note)
    note = "its tables are not known: a statement is too long"
    return Statement(f"{word} …", word, changes=word not in _READING, note=note)


@functools.lru_cache(maxsize=512)
def _remembered(plain: str, dialect: str | None, word: str) -> Statement:
    changes = word not in _READING
    try:
        parsed = _parsed(plain, dialect)
        reads, writes, understood = _tables(parsed, dialect)
        temporary = _temporary(parsed, dialect)
        text = _masked(plain, dialect, parsed) if understood else f"{word} …"
    except Exception as error:  # noqa: BLE001 - a parser may raise anything at a language it does not know
        why = "sqlglot is not installed" if isinstance(error, ImportError) else type(error).__name__
        return Statement(f"{word} …", word, changes=changes, note=f"its tables are not known: {why}")
    note = None if understood else "its tables are not known: a statement could not be parsed"
    columns = _columns(parsed, dialect, reads) if understood and writes and reads else ()
    is_data = bool(reads or writes or note)
    changes = bool(writes) or (changes and not understood)
    found = Statement(text, word, reads, writes, is_data, changes, note, temporary, columns)
    return found.without(frozenset(temporary))


# --------------------------------------------------------------------------------------------------------------- parsing


_quiet: ContextVar[bool] = ContextVar("lineage_flows_parsing", default=False)


class _Quiet(logging.Filter):
    """What sqlglot does not understand is no matter of the user's log, the less as it quotes the statement."""

    def filter(self, _record: logging.LogRecord) -> bool:
        return not _quiet.get()


_filter = _Quiet()


def _parsed(text: str, dialect: str | None) -> list[Any]:
    import sqlglot

    logging.getLogger("sqlglot").addFilter(_filter)  # the same one again changes nothing
    token = _quiet.set(True)
    try:
        return [item for item in sqlglot.parse(text, read=dialect) if item is not None]
    finally:
        _quiet.reset(token)


def _tables(parsed: Iterable[Any], dialect: str | None) -> tuple[tuple[Table, ...], tuple[Table, ...], bool]:
    """The tables that are read, those that are written, and whether every statement was understood."""
    from sqlglot import exp

    reads: dict[Table, None] = {}
    writes: dict[Table, None] = {}
    understood = True
    for item in parsed:
        understood = understood and not isinstance(item, exp.Command)
        kind = str(item.args.get("kind") or "").upper() if isinstance(item, exp.Create | exp.Drop) else ""
        if kind not in {"", "TABLE", "VIEW", "INDEX"} or (kind == "INDEX" and isinstance(item, exp.Drop)):
            continue
        named = {cte.alias.lower() for cte in item.find_all(exp.CTE)}
        for table in item.find_all(exp.Table):
            name = _name(table, dialect)
            if name is None or (len(name) == 1 and name[0].lower() in named):
                continue
            side = _side(table)
            if side == "write":
                writes[name] = None
            elif side == "read" and kind != "VIEW":  # a view reads when it is read
                reads[name] = None
    return tuple(reads), tuple(writes), understood


def _columns(parsed: Iterable[Any], dialect: str | None, reads: Sequence[Table]) -> tuple[Edge, ...]:
    """What is certain of columns: a statement of which nothing can be said of them is as well understood as before."""
    try:
        from lineage_flows.capture.adapters.sql_columns import edges_of  # it needs sqlglot

        return edges_of(parsed, dialect, lambda table: _name(table, dialect), reads)
    except Exception:  # noqa: BLE001 - a tree, or a version of sqlglot, that nobody has met
        return ()


def _temporary(parsed: Iterable[Any], dialect: str | None) -> tuple[str, ...]:
    """Tables that are made for the connection only."""
    from sqlglot import exp

    found: list[str] = []
    for item in parsed:
        properties = item.args.get("properties") if isinstance(item, exp.Create) else None
        makes = properties is not None and properties.find(exp.TemporaryProperty) is not None
        holders = [item] if makes else [into for into in item.find_all(exp.Into) if into.args.get("temporary")]
        tables = (holder.find(exp.Table) for holder in holders)
        found += [name[-1] for table in tables if table is not None and (name := _name(table, dialect)) is not None]
    return tuple(found)


def _name(table: Any, dialect: str | None) -> Table | None:  # noqa: ANN401 - sqlglot's
    """What a table is called; None when it is a function, or the database's own."""
    from sqlglot import exp

    parts = [table.args.get(part) for part in ("catalog", "db", "this")]
    if not isinstance(table.this, exp.Identifier) or any(
        part and not isinstance(part, exp.Identifier) for part in parts
    ):
        return None
    fold = _FOLDS.get(dialect or "", str)
    name = tuple(part.name if part.args.get("quoted") else fold(part.name) for part in parts if part)
    own = name[-1].lower().startswith(("pg_", "sqlite_", "#")) or any(part.lower() in _SYSTEM for part in name[:-1])
    return None if own else name


def _side(table: Any) -> str:  # noqa: ANN401 - as above
    """Whether a table is read or written where it stands; empty for one that is only mentioned."""
    from sqlglot import exp

    holder, key = table.parent, table.arg_key
    if isinstance(holder, exp.Schema):
        holder, key = holder.parent, holder.arg_key
        if isinstance(holder, exp.Reference):
            return ""  # a foreign key names a table and touches none
    if isinstance(holder, exp.Reference):
        return ""
    if isinstance(holder, exp.Index | exp.Into):
        return "write"
    if isinstance(holder, exp.Copy):
        return "write" if holder.args.get("kind") else "read"
    targets = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.TruncateTable, exp.Alter)
    return "write" if isinstance(holder, targets) and key in {"this", "tables", "expressions"} else "read"


# --------------------------------------------------------------------------------------------------------------- masking


def _masked(text: str, dialect: str | None, parsed: Iterable[Any]) -> str:
    """The text with ``?`` for everything that is neither a word of the language, a name, nor punctuation; no comments."""
    from sqlglot import tokenize

    certain = _certain(parsed) if dialect in _NAMES_MAY_BE_TEXTS else None
    said: list[str] = []
    end = 0
    for token in tokenize(text, read=dialect):
        piece = text[token.start : token.end + 1]
        if said and token.start > end:
            said.append(" ")
        end = token.end + 1
        if said and said[-1] == "$" and piece.isdecimal():
            said.append(piece)  # the number of a parameter
        elif "STRING" not in token.token_type.name and _is_kept(piece, certain):
            said.append(piece)
        else:
            said.append("?")
    listed = _LIST.sub("?, …", "".join(said))
    return _clipped(_TUPLES.sub("(…)", listed))


def _is_kept(piece: str, certain: frozenset[str] | None) -> bool:
    if _NAME.fullmatch(piece):
        return certain is None or piece[0] != '"' or piece[1:-1].replace('""', '"') in certain
    return bool(_WORD.fullmatch(piece) or _PUNCTUATION.fullmatch(piece) or piece in {"$", "?"})


def _certain(parsed: Iterable[Any]) -> frozenset[str]:
    """Names that stand where no text can: tables, what they are called here, columns of a table, those that are put in or made."""
    from sqlglot import exp

    found: set[str] = set()
    for item in parsed:
        for node in item.find_all(exp.Identifier):
            holder = node.parent
            if not isinstance(holder, exp.Column) or holder.args.get("table") is not None:
                found.add(node.name)
    return frozenset(found)


def _clipped(text: str) -> str:
    return text if len(text) <= _KEPT else text[: _KEPT - 1] + "…"
