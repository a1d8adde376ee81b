"""Sees what is asked of databases of SQLite, through the standard library and all that is built on it.

Knows the classes of ``sqlite3``. A database is the file it lies in; values that are bound to a statement are never looked at, but
for the name of a database that is attached.
"""

from __future__ import annotations

import functools
import os
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lineage_flows.capture import audit, files, io_adapters, prefect_places
from lineage_flows.capture.active import is_unobserved
from lineage_flows.capture.adapters import sqlite_columns
from lineage_flows.capture.adapters.rows import Rows
from lineage_flows.capture.adapters.shape import guarded, the_log
from lineage_flows.capture.adapters.statements import Statement, Table, looked_at
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.objects import Facts, Queries
from lineage_flows.capture.seams import SeamMissingError
from lineage_flows.capture.stack import Origin, origin

__all__ = ["SqliteAdapter", "is_watched"]

_FACTORY = 4
"""Position of ``factory`` after the database among the parameters of ``sqlite3.connect``."""

_ATTACH = re.compile(
    r"(?i)^(\s*ATTACH\s+(?:DATABASE\s+)?)('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\?|[:@$](\w+))(\s+AS\s+[\"'`\[]?(\w+))"
)
_VACUUM = re.compile(r"(?i)^(\s*VACUUM\s+(?:\w+\s+)?INTO\s+)('(?:[^']|'')*')")


class SqliteAdapter:
    """Has ``sqlite3.connect`` give connections, and these cursors, that tell what they execute and fetch."""

    name = "SQL through sqlite3"
    module = "sqlite3"

    def __init__(self) -> None:
        self._done: list[tuple[ModuleType, Any, Any]] = []

    def install(self, module: ModuleType) -> None:
        """Replace ``sqlite3.connect`` here and in ``sqlite3.dbapi2``, where SQLAlchemy takes it from.

        Raises:
            SeamMissingError: there is no such function, or no classes to derive from.
        """
        if self._done:
            return
        connection, cursor = getattr(module, "Connection", None), getattr(module, "Cursor", None)
        if not (isinstance(connection, type) and isinstance(cursor, type) and hasattr(connection, "cursor")):
            raise SeamMissingError("sqlite3 has no connections or cursors that are classes")
        original = vars(module)["connect"]
        ours = _connect(original, connection, functools.cache(functools.partial(_connection_class, cursor)))
        for place in (module, getattr(module, "dbapi2", None)):
            if place is not None and getattr(place, "connect", None) is original:
                setattr(place, "connect", ours)  # noqa: B010 - as below
                self._done.append((place, original, ours))

    def uninstall(self) -> None:
        """Give sqlite3 its own function back; connections that are open go on telling nobody."""
        for module, original, ours in self._done:
            if vars(module).get("connect") is ours:
                setattr(module, "connect", original)  # noqa: B010 - a module has no such attribute for a type checker
        self._done.clear()


def is_watched(connection: object) -> bool:
    """Whether a connection of a driver's is one of sqlite3 that tells what it executes, or aiosqlite's around one."""
    inner = getattr(connection, "_conn", connection) if hasattr(connection, "_connection") else connection
    return hasattr(type(inner), "_lineage_is_watched")


# ------------------------------------------------------------------------------------------------------------ connecting


def _connect(original: Callable[..., Any], plain: type, watched: Callable[[type], type]) -> Callable[..., Any]:
    @functools.wraps(original)
    def connect(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever sqlite3 takes
        if not args and "database" not in kwargs:
            return original(**kwargs)  # it says itself what it lacks
        database, args = (args[0], args[1:]) if args else (kwargs.pop("database"), ())
        factory = args[_FACTORY] if len(args) > _FACTORY else kwargs.get("factory", plain)
        # What this project, Prefect or a tool keeps in SQLite is nobody's data.
        if not (isinstance(factory, type) and issubclass(factory, plain)) or is_unobserved() or origin() is Origin.TOOL:
            return original(database, *args, **kwargs)
        database, file = _opened(database, kwargs.get("uri", args[6] if len(args) > 6 else False))
        if file is not None and prefect_places.is_database(file[0]):
            return original(database, *args, **kwargs)
        ours = watched(factory)
        if len(args) > _FACTORY:
            args = (*args[:_FACTORY], ours, *args[_FACTORY + 1 :])
        else:
            kwargs["factory"] = ours
        connection = original(database, *args, **kwargs)
        connection._lineage_databases = {"main": file}
        if file is not None and (log := files.current()) is not None:
            log.told |= {("sqlite3", file[0], False), ("sqlite3", *file)}  # the interpreter's audit event has told it
        return connection

    return connect


def _opened(database: Any, uri: object) -> tuple[Any, tuple[str, bool] | None]:  # noqa: ANN401 - as above
    """What is to be opened in this process, and the file that it is, with whether it may be written; None for none."""
    if not isinstance(database, str | bytes | os.PathLike):
        return database, None
    name = os.fsdecode(database)
    if name.startswith("file:") and not uri:
        return database, None if not name else (os.path.abspath(io_adapters.redirected(name, True)), True)  # noqa: PTH100
    found = audit.sqlite_file(name)
    if found is None:
        return database, None
    path, writes = found
    moved = io_adapters.redirected(path, True)
    if name.startswith("file:") and moved != path:
        query = urllib.parse.urlsplit(name).query
        database = f"file:{urllib.parse.quote(moved)}" + (f"?{query}" if query else "")
    return database, (os.path.abspath(moved), writes)  # noqa: PTH100 - a path may hold any bytes


def _connection_class(cursor: type, base: Any) -> type:  # noqa: ANN401 - a class of connections
    """A connection that is one of ``base`` and gives cursors that are watched."""
    watched: Callable[[Any], type] = functools.cache(_cursor_class)

    def make(self: Any, factory: Any = cursor) -> Any:  # noqa: ANN401 - as above
        return base.cursor(
            self, watched(factory) if isinstance(factory, type) and issubclass(factory, cursor) else factory
        )

    def through_cursor(name: str) -> Callable[..., Any]:
        def execute(self: Any, *args: Any) -> Any:  # noqa: ANN401 - as above
            return getattr(make(self), name)(*args)  # as sqlite3 does itself, in C

        return functools.wraps(getattr(base, name))(execute)

    members: dict[str, Any] = {name: through_cursor(name) for name in ("execute", "executemany", "executescript")}
    members |= sqlite_columns.members(base)
    members |= {
        "cursor": functools.wraps(base.cursor)(make),
        "_lineage_databases": {},
        "_lineage_temporary": frozenset(),
        "_lineage_is_watched": True,
    }
    return _named_like(base, members)


def _cursor_class(base: Any) -> type:  # noqa: ANN401 - a class of cursors
    """A cursor that is one of ``base`` and tells what it executes and fetches."""

    def executing(name: str) -> Callable[..., Any]:
        original = getattr(base, name)

        def execute(self: Any, *args: Any) -> Any:  # noqa: ANN401 - as above
            _left(self)
            log = the_log()
            if log is None:
                return original(self, *args)
            asked = _asked(log, self.connection, args)
            result = original(self, *asked.args)
            with guarded(log, "recording a statement"):
                _answered(log, self, asked.statement)
                sqlite_columns.executed(log, self.connection, asked.statement, is_script=name == "executescript")
            return result

        return functools.wraps(original)(execute)

    def one(self: Any) -> Any:  # noqa: ANN401 - as above
        row = fetchone(self)
        if self._lineage_rows is not None:
            _took(self, [] if row is None else [row], at_end=row is None)
        return row

    def many(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        rows = fetchmany(self, *args, **kwargs)
        if self._lineage_rows is not None:
            size = args[0] if args else kwargs.get("size", self.arraysize)
            _took(self, rows, at_end=len(rows) < size)
        return rows

    def every(self: Any) -> Any:  # noqa: ANN401 - as above
        rows = fetchall(self)
        if self._lineage_rows is not None:
            _took(self, rows, at_end=True)
        return rows

    def following(self: Any) -> Any:  # noqa: ANN401 - as above
        try:
            row = step(self)
        except StopIteration:
            if self._lineage_rows is not None:
                _took(self, [], at_end=True)
            raise
        if self._lineage_rows is not None and self._lineage_rows.rows.one(row):
            _took(self, [], at_end=False)
        return row

    def close(self: Any) -> None:  # noqa: ANN401 - as above
        _left(self)
        original_close(self)

    fetchone, fetchmany, fetchall = base.fetchone, base.fetchmany, base.fetchall
    step, original_close = base.__next__, base.close
    members: dict[str, Any] = {name: executing(name) for name in ("execute", "executemany", "executescript")}
    members |= {"fetchone": one, "fetchmany": many, "fetchall": every, "__next__": following, "close": close}
    for name in ("fetchone", "fetchmany", "fetchall", "close"):
        functools.update_wrapper(members[name], getattr(base, name))
    return _named_like(base, {**members, "_lineage_rows": None})


def _named_like(base: Any, members: dict[str, Any]) -> type:  # noqa: ANN401 - either class
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return type(base.__name__, (base,), {**names, **members})


# ----------------------------------------------------------------------------------------------------------- statements


@dataclass(slots=True)
class _Asked:
    """A statement that is about to be executed, and whose databases it is asked of."""

    args: tuple[Any, ...]
    statement: Statement | None = None


@dataclass(slots=True)
class _Fetching:
    log: FileLog
    rows: Rows


def _asked(log: FileLog, connection: Any, args: tuple[Any, ...]) -> _Asked:  # noqa: ANN401 - sqlite3's
    """What is about to be executed; the files are told of before, since they may change."""
    asked = _Asked(args)
    with guarded(log, "recording a statement"):
        sqlite_columns.before(connection)
        if not args or not isinstance(args[0], str):
            return asked
        databases: dict[str, tuple[str, bool] | None] = connection._lineage_databases
        if (moved := _attached(log, databases, args)) is not None:
            asked.args = moved
            return asked
        if not any(databases.values()):
            return asked  # in memory: no data from outside
        asked.statement = looked_at(args[0], "sqlite")
        for file in databases.values():
            if file is not None:
                _use(log, file, asked.statement.changes)
    return asked


def _use(log: FileLog, file: tuple[str, bool], changes: bool) -> None:
    """A connection may be older than the run, and then nobody saw the file opened for it."""
    path, may_write = file
    key = ("sqlite3", path, may_write and changes)
    if key not in log.told:
        log.told |= {key, ("sqlite3", path, False)}
        audit.touch_sqlite(log, path, may_write and changes)


def _attached(log: FileLog, databases: dict[str, Any], args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Of a statement that opens another file, the arguments by which the right one is opened; None of any other."""
    statement = args[0]
    if (found := _VACUUM.match(statement)) is not None:
        path = io_adapters.redirected(_unquoted(found[2]), True)
        log.write(path, "sqlite3")
        return (f"{found[1]}{_quoted(path)}{statement[found.end() :]}", *args[1:])
    if (found := _ATTACH.match(statement)) is None:
        return None
    given = _unquoted(found[2]) if found[2][0] in "'\"" else _parameter(args[1:], found[3])
    if not isinstance(given, str | os.PathLike):
        return args
    opened, file = _opened(os.fspath(given), True)
    if file is not None:
        file = (os.path.abspath(io_adapters.redirected(file[0], True)), file[1])  # noqa: PTH100 - as above
        _use(log, file, True)
        if not os.fsdecode(opened).startswith("file:"):
            opened = io_adapters.redirected(os.fsdecode(opened), True)
    databases[found[5].lower()] = file
    if found[2][0] in "'\"":
        return (f"{found[1]}{_quoted(os.fsdecode(opened))}{statement[found.end(2) :]}", *args[1:])
    parameters = args[1]
    changed = {**parameters, found[3]: opened} if isinstance(parameters, Mapping) else (opened, *tuple(parameters)[1:])
    return (statement, changed, *args[2:])


def _parameter(rest: tuple[Any, ...], name: str | None) -> object:
    parameters = rest[0] if rest else ()
    if name is not None:
        return parameters.get(name) if isinstance(parameters, Mapping) else None
    return parameters[0] if isinstance(parameters, Sequence) and len(parameters) else None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def _answered(log: FileLog, cursor: Any, statement: Statement | None) -> None:  # noqa: ANN401 - sqlite3's
    if statement is None:
        return
    databases: dict[str, tuple[str, bool] | None] = cursor.connection._lineage_databases
    if statement.temporary:
        cursor.connection._lineage_temporary |= frozenset(statement.temporary)
    statement = statement.without(cursor.connection._lineage_temporary)
    changed = cursor.rowcount if statement.changes and cursor.rowcount >= 0 else None
    if not statement.is_data:
        return
    read = _by_file(databases, statement.reads)
    if not read and not statement.writes:
        read = _by_file(databases, ((statement.word,),), named=False)  # it could not be parsed
    for path, tables in _by_file(databases, statement.writes).items():
        log.objects.queries(path, "write").add(
            statement.text, tables, changed, uncounted=changed is None and statement.changes_rows
        )
    asked = [log.objects.queries(path, "read") for path in read]
    for queries, tables in zip(asked, read.values(), strict=True):
        queries.add(statement.text, tables)
    if asked and not statement.changes and (columns := cursor.description) is not None:
        rows = Rows((column[0] for column in columns), hashed=any(queries.wants_results for queries in asked))
        cursor._lineage_rows = _Fetching(log, rows)
        log.objects.fetching(rows, asked[0].fetched if len(asked) == 1 else functools.partial(_told, asked))


def _told(asked: Sequence[Queries], facts: Facts) -> None:
    for queries in asked:
        queries.fetched(facts)


def _by_file(
    databases: Mapping[str, tuple[str, bool] | None], tables: Sequence[Table], *, named: bool = True
) -> dict[str, tuple[str, ...]]:
    """The tables of a statement by the file they lie in.

    A name without a schema is looked for in every database that is attached: it is any of them that has it, and all are named.
    """
    found: dict[str, list[str]] = {}
    for table in tables:
        schema = table[-2].lower() if len(table) > 1 else None
        for file in {databases.get(schema)} if schema is not None else set(databases.values()):
            if file is not None:
                found.setdefault(file[0], []).extend([table[-1]] if named else [])
    return {path: tuple(names) for path, names in found.items()}


# -------------------------------------------------------------------------------------------------------------- results


def _took(cursor: Any, rows: Sequence[Any], *, at_end: bool) -> None:  # noqa: ANN401 - sqlite3's
    """Rows were fetched. Recording never disturbs the fetching."""
    fetching: _Fetching = cursor._lineage_rows
    if not fetching.log.objects.is_fetching(fetching.rows):
        cursor._lineage_rows = None  # the run is over
        return
    with guarded(fetching.log, "recording a result"):
        fetching.rows.more(rows)
        if at_end:
            cursor._lineage_rows = None
            fetching.log.objects.fetched(fetching.rows, to_end=True)


def _left(cursor: Any) -> None:  # noqa: ANN401 - as above
    """The result that was fetched from so far is left."""
    fetching: _Fetching | None = cursor._lineage_rows
    if fetching is not None:
        cursor._lineage_rows = None
        with guarded(fetching.log, "recording a result"):
            fetching.log.objects.fetched(fetching.rows, to_end=False)
