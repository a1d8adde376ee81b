"""Sees the files that duckdb reads and writes: those its functions are given, those its SQL names, and its databases.

Knows duckdb's functions and how it names databases. A statement is only looked at, and in a replay given other paths; what it means
is duckdb's own affair.
"""

from __future__ import annotations

import functools
import os
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from lineage_flows.capture.active import unobserved
from lineage_flows.capture.adapters.callers import Callers
from lineage_flows.capture.duckdb_sql import Named, Place, named, tokens_of, with_paths
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.io_adapters import Call, wanted
from lineage_flows.capture.io_paths import elsewhere, is_file
from lineage_flows.capture.paths import printable
from lineage_flows.capture.seams import SeamMissingError

__all__ = ["DuckdbAdapter"]

_LONGEST = 200_000
_REMEMBERED = 20_000
"""Characters of a statement that is looked at, and of one whose parts are remembered."""

Holds = Literal["sql", "read", "write", "table", "database", "connection"]


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of duckdb's: what its parameter of that name and position holds; ``kinds`` says where it is found.

    ``m`` is the module, ``c`` a connection, ``r`` a relation; positions do not count the connection or relation itself.
    """

    name: str
    holds: Holds
    parameter: str = ""
    position: int = 0
    kinds: str = "mc"


FUNCTIONS = (
    *(_Function(name, "sql", "query") for name in ("sql", "query", "from_query", "execute", "executemany")),
    *(
        _Function(name, "read", "path_or_buffer")
        for name in ("read_csv", "from_csv_auto", "read_json", "read_parquet", "from_parquet")
    ),
    _Function("table", "table", "table_name"),
    _Function("query", "sql", "sql_query", 1, "r"),
    _Function("query_df", "sql", "sql_query", 2, "m"),
    *(_Function(name, "write", "file_name", 0, "r") for name in ("write_csv", "to_csv", "write_parquet", "to_parquet")),
    _Function("write_csv", "write", "filename", 1, "m"),
    _Function("connect", "database", "database", 0, "m"),
    *(_Function(name, "connection") for name in ("cursor", "duplicate")),
)
"""What is wrapped; what a version does not have is passed over."""

_ALWAYS = ("connect", "sql", "execute", "read_csv", "read_parquet")


class DuckdbAdapter:
    """Wraps duckdb's functions in such a way that they still find the variables of the code that calls them."""

    name = "duckdb"
    module = "duckdb"

    def __init__(self) -> None:
        self._done: list[tuple[Any, str, Any, Any]] = []
        self._callers: Callers | None = None

    def install(self, module: ModuleType) -> None:
        """Wrap what reads and writes files.

        Raises:
            SeamMissingError: this version lacks a function, or finds its caller's variables in a way that is not known.
        """
        if self._done:
            return
        owners = {
            "m": (module, 0),
            "c": (getattr(module, "DuckDBPyConnection", None), 1),
            "r": (getattr(module, "DuckDBPyRelation", None), 1),
        }
        version = f"duckdb {getattr(module, '__version__', '?')}"
        lacking = [name for name in _ALWAYS if not hasattr(module, name)]
        if lacking or None in (owner for owner, _ in owners.values()):
            raise SeamMissingError(f"{version} has no {', '.join(lacking) or 'connections or relations'}")
        callers = Callers(module)
        if not callers.work():
            raise SeamMissingError(f"{version} finds the variables that a statement names in a way that is not known")
        self._callers = callers
        for function in FUNCTIONS:
            for kind in function.kinds:
                owner, first = owners[kind]
                original = getattr(owner, function.name, None)
                if original is not None:
                    ours = callers.wrap(original, functools.partial(_prepared, module, function, first))
                    self._put(owner, function.name, original, ours)

    def uninstall(self) -> None:
        """Give duckdb its own functions back."""
        for owner, name, original, ours in reversed(self._done):
            if vars(owner).get(name) is ours:
                setattr(owner, name, original)
        self._done.clear()
        if self._callers is not None:
            self._callers.undo()
            self._callers = None

    def _put(self, owner: Any, name: str, original: Any, ours: Callable[..., Any]) -> None:  # noqa: ANN401 - a module or class
        places = [(owner, name)]
        if isinstance(owner, ModuleType):  # pickling finds a function by name where it is defined
            home, own_name = sys.modules.get(original.__module__), original.__qualname__
            if home is not None and vars(home).get(own_name) is original and (home, own_name) != (owner, name):
                places.append((home, own_name))
        for place, known_as in places:
            setattr(place, known_as, ours)
            self._done.append((place, known_as, original, ours))


# ------------------------------------------------------------------------------------------------------------ databases


_databases: weakref.WeakKeyDictionary[Any, tuple[str, bool]] = weakref.WeakKeyDictionary()
"""Connections to files, with their name as it was opened and whether it may be written."""


def _file_of(connection: object) -> tuple[str, bool] | None:
    try:
        return _databases.get(connection)
    except TypeError:
        return None  # a connection of another kind


# -------------------------------------------------------------------------------------------------------------- calling


def _prepared(
    module: ModuleType, function: _Function, first: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _DuckdbCall | None:
    """What a call names, told to the log; None when nobody wants to know. Never raises: duckdb's function is called."""
    log, needed = wanted()
    if not needed and function.holds not in {"database", "connection"}:
        return None
    call = _DuckdbCall(f"duckdb.{function.name}", log, args, kwargs)
    try:
        with unobserved():
            call.look(module, function, first)
    except Exception as error:  # noqa: BLE001 - duckdb's function is called whatever becomes of its record
        if log is not None:
            log.failed(f"recording {call.via}", error)
    return call


class _DuckdbCall(Call):
    """One call of duckdb's."""

    def __init__(self, via: str, log: FileLog | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__(via, log, args, kwargs)
        self._connects: tuple[str, bool] | None = None

    def look(self, module: ModuleType, function: _Function, first: int) -> None:
        """See what the call's parameter names, and put other paths in its place where they are redirected."""
        if function.holds == "connection":
            self._connects = _file_of(self._connection(module, first))
            return
        position = first + function.position
        given = position < len(self.values)
        if not given and function.parameter not in self.named:
            return
        value = self.values[position] if given else self.named[function.parameter]
        replaced = self._replaced(module, function, first, value)
        if given:
            self.values[position] = replaced
        else:
            self.named[function.parameter] = replaced

    def returned(self, result: object) -> None:
        """A connection that was made is known from now on by its file."""
        if self._connects is not None:
            try:
                _databases[result] = self._connects
            except TypeError as error:
                if self.log is not None:
                    self.log.failed(f"recording {self.via}", error)

    def _replaced(self, module: ModuleType, function: _Function, first: int, value: Any) -> Any:  # noqa: ANN401 - whatever the user gives
        if function.holds == "sql":
            return self._statements(value, self._connection(module, first))
        if function.holds == "database":
            writes = not (self.values[1] if len(self.values) > 1 else self.named.get("read_only", False))
            return self._database(value, writes, connects=True)
        if function.holds == "table":
            return self.path(value, None, True, False, True) if _may_be_file(value) and is_file(value) else value
        writes = function.holds == "write"
        if type(value) in (list, tuple):
            return type(value)(self.path(item, None, not writes, writes, not writes) for item in value)
        return self.path(value, None, not writes, writes, not writes)

    def _connection(self, module: ModuleType, first: int) -> object:
        if first:
            return getattr(self.values[0], "_con", self.values[0]) if self.values else None
        connection = self.named.get("connection")
        return module.default_connection() if connection is None and _databases else connection

    def _statements(self, query: Any, connection: object) -> Any:  # noqa: ANN401 - text, or what duckdb has made of it
        text = query if isinstance(query, str) else getattr(query, "query", None)
        if not isinstance(text, str):
            return query
        if len(text) > _LONGEST:
            self._cannot(f"a statement of {len(text)} characters, which is not looked at")
            return query
        found = _looked_at(text) if len(text) <= _REMEMBERED else named(text, tokens_of(text))
        if (file := _file_of(connection)) is not None:
            self._used(*file, found.changes)
        moved: dict[Place, str] = {}
        for place in found.places:
            if place.perhaps and not _may_be_file(place.path):
                continue
            if place.database:
                opened = self._database(place.path, place.writes)
            else:
                opened = self.path(place.path, None, place.reads, place.writes, place.reads)
            if opened != place.path:
                moved[place] = os.fsdecode(opened)
        for problem in found.problems:
            self._cannot(problem)
        if self.log is not None:
            for other in found.others:
                if is_file(other):
                    self._cannot(f"{printable(other)}, which a text in a statement names")
        return with_paths(text, moved) if moved else query

    def _database(self, item: Any, writes: bool, *, connects: bool = False) -> Any:  # noqa: ANN401 - a path, or anything
        """A database's file: what it holds is read, and what changes is written. One in memory is none."""
        if not isinstance(item, str | os.PathLike):
            return item
        text = os.fsdecode(os.fspath(item))
        if text in {"", ":default:"} or text.startswith(":memory:"):
            return item
        if (server := elsewhere(text)) is not None:
            self._cannot(f"database of {server}")
            return item
        path = os.path.expanduser(text) if text.startswith("~") else text  # noqa: PTH111 - a path may hold any bytes
        opened = self.redirected(path, writes)
        if connects:
            self._connects = (os.path.abspath(opened), writes)  # noqa: PTH100 - as above
        self._used(opened, writes, writes)
        return item if opened == text else opened

    def _used(self, path: str, may_write: bool, changes: bool) -> None:
        if self.log is None:
            return
        writes = may_write and changes
        key = ("duckdb", path, writes)
        if key in self.log.told:
            return
        self.log.told |= {key, ("duckdb", path, False)}
        self.log.read(path, self.via, journal=f"{path}.wal")
        if writes:
            self.log.write(path, self.via, journal=f"{path}.wal")

    def _cannot(self, what: str) -> None:
        if self.log is not None:
            self.log.cannot_restore(f"duckdb: {what}")


@functools.lru_cache(maxsize=512)
def _looked_at(text: str) -> Named:
    """Statements are repeated."""
    return named(text, tokens_of(text))


def _may_be_file(name: object) -> bool:
    """Whether a table's name may be that of a file."""
    return isinstance(name, str) and ("." in name or "/" in name)
