"""Sees which tables a step reads and writes in databases through SQLAlchemy, sync and async.

Knows SQLAlchemy's events and how its results fetch from a cursor. Values that are bound to a statement are never looked at.
Databases of SQLite and duckdb are seen by the adapters of their own drivers.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from lineage_flows.capture import audit, prefect_places
from lineage_flows.capture.adapters.bodies import Proxy
from lineage_flows.capture.adapters.databases import Database, database_of
from lineage_flows.capture.adapters.rows import Rows
from lineage_flows.capture.adapters.shape import guarded, the_log
from lineage_flows.capture.adapters.sqlite import is_watched
from lineage_flows.capture.adapters.statements import Statement, Table, looked_at
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.objects import Facts, Pending, Target
from lineage_flows.capture.paths import printable
from lineage_flows.capture.seams import SeamMissingError
from lineage_flows.capture.targets import ColumnUse

__all__ = ["SqlalchemyAdapter"]

_TEMPORARY = "lineage_flows_temporary"
_OTHERS = frozenset({"duckdb"})
_SEARCH_PATH = re.compile(
    r"(?is)^\s*(?:SET\s+(?:SESSION\s+|LOCAL\s+)?search_path|USE\b|ALTER\s+SESSION\s+SET\s+current_schema)|set_config\s*\(\s*'search_path'"
)
_COMMITS_AT_ONCE = frozenset({"mysql", "mariadb", "oracle"})
"""Where a statement that changes the tables themselves commits all that came before it."""

_DEFINING = frozenset({"CREATE", "DROP", "ALTER", "TRUNCATE"})


class SqlalchemyAdapter:
    """Listens to what every engine executes, commits and takes back."""

    name = "SQL through SQLAlchemy"
    module = "sqlalchemy"

    def __init__(self) -> None:
        self._listening: list[tuple[Any, Any, str, Any]] = []

    def install(self, module: ModuleType) -> None:
        """Listen to the events of every engine.

        Raises:
            SeamMissingError: this version has no engines or no such events.
        """
        if self._listening:
            return
        engine, event = getattr(module, "Engine", None), getattr(module, "event", None)
        version = f"SQLAlchemy {getattr(module, '__version__', '?')}"
        if engine is None or event is None or not hasattr(event, "listen"):
            raise SeamMissingError(f"{version} has no events of engines")
        for name, function in _EVENTS.items():
            try:
                event.listen(engine, name, function)
            except Exception as error:
                raise SeamMissingError(f"{version}: {error}") from error
            self._listening.append((event, engine, name, function))

    def uninstall(self) -> None:
        """Listen no more."""
        for event, engine, name, function in self._listening:
            event.remove(engine, name, function)
        self._listening.clear()


# ------------------------------------------------------------------------------------------------------------ statements


def _before(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:  # noqa: ANN401, PLR0917 - SQLAlchemy's
    log = the_log()
    if log is None or conn.dialect.name in _OTHERS:
        return
    with guarded(log, "recording a statement"):
        if conn.dialect.name == "sqlite":
            _use_file(log, conn, statement)
        else:
            _start(log, conn, statement)


def _start(log: FileLog, conn: Any, sql: str) -> None:  # noqa: ANN401 - SQLAlchemy's
    database = database_of(conn.engine.url, conn.dialect)
    if prefect_places.is_database(database.place):
        return
    if _SEARCH_PATH.search(sql[:1000]):
        conn.info["lineage_flows_schema"] = "was changed"
    found = looked_at(sql, database.language, conn.dialect.paramstyle).without(_temporary(conn))
    if found.word == "ROLLBACK" and " TO" not in sql.upper():
        _settle(conn, committed=False)
    elif found.word in {"COMMIT", "END"}:
        _settle(conn, committed=True)
    if not found.is_data:
        return
    if found.reads or not found.changes:
        log.cannot_restore(f"query not repeatable: reads {printable(database.label)}", database.label)
    if found.changes:
        log.cannot_restore(f"statement not repeatable: writes {printable(database.label)}", database.label)


def _temporary(conn: Any) -> frozenset[str]:  # noqa: ANN401 - as above
    """Tables that were made for this connection of the driver's only."""
    found: frozenset[str] = conn.info.get(_TEMPORARY, frozenset())
    return found


def _use_file(log: FileLog, conn: Any, sql: str) -> None:  # noqa: ANN401 - as above
    """SQLite's own adapter sees what its connections execute; not those that are older than it."""
    if is_watched(conn.connection.driver_connection):
        return
    found, file = looked_at(sql, "sqlite", conn.dialect.paramstyle), audit.sqlite_file(conn.engine.url.database or "")
    if file is None or not found.is_data or prefect_places.is_database(file[0]):
        return
    key = ("sqlite3", file[0], file[1] and found.changes)
    if key not in log.told:
        log.told.add(key)
        audit.touch_sqlite(log, file[0], key[2], "sqlalchemy")


def _after(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:  # noqa: ANN401, PLR0917 - as above
    log = the_log()
    if log is None or conn.dialect.name == "sqlite" or conn.dialect.name in _OTHERS:
        return
    with guarded(log, "recording a statement"):
        database = database_of(conn.engine.url, conn.dialect)
        if prefect_places.is_database(database.place):
            return
        found = looked_at(statement, database.language, conn.dialect.paramstyle)
        if found.temporary:
            conn.info[_TEMPORARY] = _temporary(conn) | frozenset(found.temporary)
        found = found.without(_temporary(conn))
        if found.is_data:
            _record(log, conn, database, found, context)


def _record(log: FileLog, conn: Any, database: Database, found: Statement, context: Any) -> None:  # noqa: ANN401 - as above
    via = f"sqlalchemy.{database.dialect}"
    known = "lineage_flows_schema" not in conn.info
    facts = Facts(statements=(found.text,))
    read = [database.table(table, schema_is_known=known) for table in found.reads]
    written = {table: database.table(table, schema_is_known=known) for table in found.writes}
    note = found.note if found.note else None if known else "its schema is not known: the search path was changed"
    if found.note is not None and not (read or written):
        if found.changes:
            written[()] = database.itself()
        else:
            read.append(database.itself())
    for target in read:
        touch = log.objects.read(target, via, facts)
        touch.note = note or touch.note
    if written:
        count = getattr(context.cursor, "rowcount", -1)
        rows = count if isinstance(count, int) and count >= 0 and found.changes_rows else None
        uncounted = rows is None and found.changes_rows
        columns = _columns(found, dict(zip(found.reads, read, strict=False)))
        for table, target in written.items():
            made = columns.get(table, ())
            changed = Facts(rows=rows, statements=(found.text,), uncounted=uncounted, columns=made)
            if _commits_itself(conn):
                log.objects.write(target, via, changed, note=note)
            else:
                _transactions.setdefault(conn, []).append(log.objects.pending(target, via, changed, note))
        if found.word in _DEFINING and database.dialect in _COMMITS_AT_ONCE:
            _settle(conn, committed=True)
    elif read and context.cursor is not None and getattr(context.cursor, "description", None) is not None:
        _watch(log, context, read, via)


def _columns(found: Statement, read: Mapping[Table, Target]) -> dict[Table, tuple[ColumnUse, ...]]:
    """What is certain of the columns that a statement writes, by their table."""
    made: dict[Table, list[ColumnUse]] = {}
    for edge in found.columns:
        source = read[edge.source]
        use = ColumnUse(edge.output, edge.how, source.namespace, source.name, edge.column)
        made.setdefault(edge.target, []).append(use)
    return {table: tuple(uses) for table, uses in made.items()}


def _watch(log: FileLog, context: Any, read: Sequence[Target], via: str) -> None:  # noqa: ANN401 - as above
    rows = Rows(column[0] for column in context.cursor.description)

    def told(facts: Facts) -> None:
        for target in read:
            log.objects.read(target, via, facts)

    log.objects.fetching(rows, told)
    context.cursor = _Fetched(context.cursor, log, rows)


class _Fetched(Proxy):
    """A cursor of a driver's whose fetching is seen."""

    def __init__(self, cursor: Any, log: FileLog, rows: Rows) -> None:  # noqa: ANN401 - any driver's
        super().__init__(cursor)
        self._self_log = log
        self._self_rows = rows

    def _self_took(self, rows: Sequence[Any], *, at_end: bool) -> None:
        if self._self_log.objects.is_fetching(self._self_rows):
            with guarded(self._self_log, "recording a result"):
                self._self_rows.more([row if type(row) is tuple else _tuple(row) for row in rows])
                if at_end:
                    self._self_log.objects.fetched(self._self_rows, to_end=True)

    def fetchone(self) -> Any:  # noqa: ANN401 - as above
        row = self.__wrapped__.fetchone()
        self._self_took([] if row is None else [row], at_end=row is None)
        return row

    def fetchmany(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        rows = self.__wrapped__.fetchmany(*args, **kwargs)
        size = args[0] if args else kwargs.get("size")
        self._self_took(rows, at_end=len(rows) < (size or 1))
        return rows

    def fetchall(self) -> Any:  # noqa: ANN401 - as above
        rows = self.__wrapped__.fetchall()
        self._self_took(rows, at_end=True)
        return rows

    def close(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        if self._self_log.objects.is_fetching(self._self_rows):
            with guarded(self._self_log, "recording a result"):
                self._self_log.objects.fetched(self._self_rows, to_end=False)
        return self.__wrapped__.close(*args, **kwargs)


def _tuple(row: object) -> object:
    """Rows of drivers that make their own (asyncpg's records, lists)."""
    return tuple(row) if isinstance(row, Sequence) and not isinstance(row, str | bytes) else row


# ---------------------------------------------------------------------------------------------------------- transactions


_transactions: weakref.WeakKeyDictionary[Any, list[Pending | None]] = weakref.WeakKeyDictionary()
"""What was written in the open transaction of a connection; None stands where a savepoint was made."""


def _commits_itself(conn: Any) -> bool:  # noqa: ANN401 - as above
    levels = (
        conn.get_execution_options().get("isolation_level"),
        getattr(conn.dialect, "_on_connect_isolation_level", None),
    )
    level = next((level for level in levels if level is not None), "")
    return str(level).upper() == "AUTOCOMMIT"


def _settle(conn: Any, *, committed: bool, since_savepoint: bool = False) -> None:  # noqa: ANN401 - as above
    entries = _transactions.get(conn)
    if not entries:
        return
    first = len(entries) - 1 - entries[::-1].index(None) if since_savepoint and None in entries else 0
    settled, _transactions[conn] = entries[first:], entries[:first]
    for entry in settled:
        if entry is not None:
            entry.log.settle(entry, committed=committed)


def _commit(conn: Any, *_: object) -> None:  # noqa: ANN401 - as above
    _safely(_settle, conn, committed=True)


def _rollback(conn: Any, *_: object) -> None:  # noqa: ANN401 - as above
    _safely(_settle, conn, committed=False)


def _savepoint(conn: Any, _name: object) -> None:  # noqa: ANN401 - as above
    _safely(lambda: _transactions.setdefault(conn, []).append(None))


def _rollback_savepoint(conn: Any, *_: object) -> None:  # noqa: ANN401 - as above
    _safely(_settle, conn, committed=False, since_savepoint=True)


def _release_savepoint(conn: Any, *_: object) -> None:  # noqa: ANN401 - as above
    _safely(_forget_savepoint, conn)


def _forget_savepoint(conn: Any) -> None:  # noqa: ANN401 - as above
    entries = _transactions.get(conn, [])
    if None in entries:
        del entries[len(entries) - 1 - entries[::-1].index(None)]


def _safely(function: Callable[..., None], *args: object, **kwargs: object) -> None:
    try:
        function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - SQLAlchemy goes on whatever becomes of the record
        log = the_log()
        if log is not None:
            log.failed("recording a transaction", error)


_EVENTS = {
    "before_cursor_execute": _before,
    "after_cursor_execute": _after,
    "commit": _commit,
    "rollback": _rollback,
    "savepoint": _savepoint,
    "rollback_savepoint": _rollback_savepoint,
    "release_savepoint": _release_savepoint,
    "commit_twophase": _commit,
    "rollback_twophase": _rollback,
}
