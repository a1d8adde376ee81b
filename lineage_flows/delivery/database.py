"""One SQLite file, shared by many threads and processes: connections, transactions, forks, faults.

Knows SQLite; must not know what is kept in the file. With ``synchronous=NORMAL`` in WAL mode a commit survives the death of the
process at any moment; after a power failure the last commits may be missing, but never torn
(sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from lineage_flows.delivery.forks import guard_forks
from lineage_flows.errors import DeliveryError, HomeError

__all__ = ["Database"]

BUSY_SECONDS = 60.0
"""How long a statement waits for another process's transaction."""

LARGE_LOG = 4 << 20
"""Bytes of write-ahead log from which ``tidy`` moves it into the file."""

_LARGEST_LOG_PAGES = 20_000
_FORK_WAIT_SECONDS = 5.0
_FIXES = {
    "SQLITE_FULL": "free some space on that disk",
    "SQLITE_IOERR": "free some space on that disk, or mend it",
    "SQLITE_READONLY": "make the folder writable, or set LINEAGE_FLOWS_HOME to one that is",
    "SQLITE_CANTOPEN": "make the folder writable, or set LINEAGE_FLOWS_HOME to one that is",
    "SQLITE_PERM": "make the folder writable, or set LINEAGE_FLOWS_HOME to one that is",
    "SQLITE_BUSY": "end the process that holds it",
    "SQLITE_CORRUPT": "move the file away: a new one is made; what was in it is not delivered",
    "SQLITE_NOTADB": "move the file away: it is no database of lineage-flows",
}

_abandoned: list[sqlite3.Connection] = []
"""Connections that came over a fork all the same: neither used nor closed."""


class Database:
    """An SQLite file in WAL mode, made when it is missing. Safe for threads, processes and forks.

    Writes take turns; reads go over a connection of their own, so that one of thousands of rows delays no write. A file that was
    removed is made anew at the next use, rather than written on unseen.

    Args:
        path: the file.
        schema: statements that make its tables.
        added: statements that make, where they are not there, tables that earlier releases did not have.
        version: number of that schema.
        mark: SQLite's application id, which tells these files from others.

    Raises:
        HomeError: it cannot be made or opened, or is of another kind or version.
    """

    def __init__(
        self, path: Path, *, schema: tuple[str, ...], added: tuple[str, ...] = (), version: int, mark: int
    ) -> None:
        self.path = path
        self._schema = schema
        self._added = added
        self._version = version
        self._mark = mark
        self._writing = _Channel()
        self._reading = _Channel()
        self._closed = False
        guard_forks(self)
        with self._writing.lock:
            self._connection(self._writing)

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        """A transaction: all of it is kept, or nothing.

        Raises:
            DeliveryError: it could not be kept.
        """
        return self._used(self._writing, "written", transaction=True)

    def read(self, query: str, parameters: tuple[object, ...] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query.

        Raises:
            DeliveryError: the file cannot be read.
        """
        with self._used(self._reading, "read") as connection:
            return connection.execute(query, parameters).fetchall()

    def tidy(self) -> None:
        """Move a large write-ahead log into the file; neither readers nor writers wait for it.

        Done here and not, as SQLite would, by whoever commits next: it waits for the disk, and a flow must not.

        Raises:
            DeliveryError: the file cannot be written.
        """
        try:
            large = self._log_path.stat().st_size > LARGE_LOG
        except OSError:
            return
        if large:
            with self._used(self._reading, "written") as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Close the file for good."""
        self._closed = True
        for channel in (self._writing, self._reading):
            with channel.lock:
                channel.drop()

    def before_fork(self) -> None:
        """See ``ForkSafe``."""
        for channel in (self._writing, self._reading):
            channel.held = channel.lock.acquire(timeout=_FORK_WAIT_SECONDS)
            if channel.held:
                channel.drop()

    def after_fork_in_parent(self) -> None:
        """See ``ForkSafe``."""
        for channel in (self._writing, self._reading):
            if channel.held:
                channel.lock.release()

    def after_fork_in_child(self) -> None:
        """See ``ForkSafe``."""
        for channel in (self._writing, self._reading):
            if channel.connection is not None:
                _abandoned.append(channel.connection)
        self._writing, self._reading = _Channel(), _Channel()

    @property
    def _log_path(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    @contextmanager
    def _used(self, channel: _Channel, verb: str, *, transaction: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection for the caller alone. After a fault it is given up, so that none is ever left inside a transaction."""
        with channel.lock:
            if self._closed:
                raise DeliveryError(f"{self.path} cannot be {verb}", why="it was closed")
            try:
                connection = self._connection(channel)
                if transaction:
                    connection.execute("BEGIN IMMEDIATE")
                yield connection
                if transaction:
                    connection.execute("COMMIT")
            except sqlite3.Error as error:
                channel.drop()
                raise DeliveryError(f"{self.path} cannot be {verb}", why=_why(error), fix=_fix(error)) from error
            except HomeError as error:
                raise DeliveryError(f"{self.path} cannot be {verb}", why=str(error), fix=error.fix) from error
            except BaseException:
                channel.drop()
                raise

    def _connection(self, channel: _Channel) -> sqlite3.Connection:
        if channel.connection is not None:
            if channel.file == _identity(self.path):
                return channel.connection
            channel.drop()
        try:
            channel.connection = self._open()
        except sqlite3.Error as error:
            raise HomeError(f"{self.path} cannot be opened", why=_why(error), fix=_fix(error)) from error
        except OSError as error:
            raise HomeError(
                f"{self.path} cannot be opened",
                why=f"{error.strerror or error}",
                fix="set LINEAGE_FLOWS_HOME to a folder you can write to, with space on its disk",
            ) from error
        channel.file = _identity(self.path)
        return channel.connection

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            # Going over to WAL takes the whole file, and SQLite does not wait for it: processes that start together take turns.
            with _turn(self.path.with_name(self.path.name + ".lock")):
                self._set_up(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LARGEST_LOG_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {LARGE_LOG}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        (mark,), (version,) = (
            connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
        if (mark, version) == (self._mark, self._version):
            for statement in self._added:
                connection.execute(statement)
            return
        if mark == self._mark:
            raise HomeError(
                f"{self.path} is of format {version}",
                why=f"this version of lineage-flows knows format {self._version}",
                fix="upgrade lineage-flows, or set LINEAGE_FLOWS_HOME to another folder",
            )
        if mark or version or connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
            raise HomeError(
                f"{self.path} cannot be used",
                why="it is a database of something else",
                fix="move it away, or set LINEAGE_FLOWS_HOME to another folder",
            )
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in (*self._schema, *self._added):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {self._version}")
        connection.execute(f"PRAGMA application_id = {self._mark}")
        connection.execute("COMMIT")


class _Channel:
    """A connection and who may use it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None
        self.file: tuple[int, int] | None = None
        self.held = False

    def drop(self) -> None:
        """Close the connection; what it had not committed is undone."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - once an event: a third of the time of Path.stat
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _why(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", None)
    return f"{error} ({name})" if name else str(error)


def _fix(error: sqlite3.Error) -> str:
    name = str(getattr(error, "sqlite_errorname", ""))
    return next((fix for prefix, fix in _FIXES.items() if name.startswith(prefix)), "see `lineage-flows doctor`")
