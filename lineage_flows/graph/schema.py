"""Tables of the embedded graph, and how its file is opened, checked and told apart from others.

Knows SQLite; must not know what the tables mean.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lineage_flows.errors import GraphError, HomeError, KeeperUnavailableError, LineageError

__all__ = ["BUSY_SECONDS", "SCHEMA_VERSION", "connect", "connect_empty", "connect_reading", "damaged", "translated"]

SCHEMA_VERSION = 1
"""Number of the tables' layout (``PRAGMA user_version``); a file with a greater one is of a newer release."""

APPLICATION_ID = 0x4C464731
"""``LFG1``: tells a graph from any other SQLite file (``PRAGMA application_id``)."""

BUSY_SECONDS = 60.0
"""How long a writer waits for others; a batch holds the file for milliseconds."""

_TABLES = """
CREATE TABLE entity (
    id INTEGER PRIMARY KEY,
    arn TEXT UNIQUE,            -- NULL while an action is only known from links to it
    handle TEXT,
    lineage TEXT NOT NULL,
    type TEXT NOT NULL DEFAULT '',
    name TEXT,
    source_uri TEXT NOT NULL DEFAULT '',
    sources TEXT NOT NULL DEFAULT '[]',
    created TEXT NOT NULL DEFAULT '',
    modified TEXT NOT NULL DEFAULT '',
    flow TEXT,
    run_name TEXT,
    parent TEXT,
    commit_id TEXT,
    layers TEXT NOT NULL DEFAULT '[]',
    words TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX entity_run ON entity (handle) WHERE lineage = 'Action';
CREATE INDEX entity_handle ON entity (handle);
CREATE INDEX entity_uri ON entity (source_uri, created);
CREATE INDEX entity_type ON entity (lineage, type, created);
CREATE INDEX entity_run_name ON entity (run_name);
CREATE INDEX entity_commit ON entity (commit_id);
CREATE TABLE association (
    source INTEGER NOT NULL REFERENCES entity (id),
    destination INTEGER NOT NULL REFERENCES entity (id),
    type TEXT NOT NULL,
    uses TEXT NOT NULL,
    created TEXT NOT NULL,
    PRIMARY KEY (source, destination, type)
) WITHOUT ROWID;
CREATE INDEX association_back ON association (destination, type);
CREATE TABLE twin (             -- values said to be the same, by handle (SameAs is made when both are known)
    replayed TEXT NOT NULL,
    original TEXT NOT NULL,
    created TEXT NOT NULL,
    PRIMARY KEY (replayed, original)
) WITHOUT ROWID;
CREATE INDEX twin_back ON twin (original);
"""

_MAGIC = b"SQLite format 3\0"

_REBUILD = "restore it from a backup, or move it away so that a new graph begins"


def connect(path: Path) -> sqlite3.Connection:
    """Open a graph for reading and writing; make it when there is none.

    Raises:
        HomeError: its folder is no folder, not writable or full.
        KeeperUnavailableError: the file is not a graph, is damaged, or of a newer release.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(
            f"the folder {path.parent} of the lineage graph cannot be made",
            why=error.strerror or str(error),
            fix="point LINEAGE_FLOWS_HOME at a folder that can be written",
        ) from error
    _holds_something(path)
    with translated(path):
        connection = _open(f"{path.absolute().as_uri()}?mode=rwc")
        with _closed_on_error(connection):
            _use_wal(connection)
            if not _check(connection, path):
                _create(connection, path)
            # A batch is acknowledged to the spool once it is here, so it has to outlive a power cut: NORMAL would not do.
            connection.execute("PRAGMA synchronous = FULL")
        return connection


def connect_reading(path: Path) -> sqlite3.Connection | None:
    """Open a graph for reading only, also in a folder that cannot be written; None when there is no graph yet.

    Raises:
        KeeperUnavailableError: as above, or the file cannot be read.
    """
    if not _holds_something(path):
        return None
    with translated(path):
        connection = _open_reading(path)
        with _closed_on_error(connection):
            if _check(connection, path):
                return connection
        connection.close()
        return None


def connect_empty() -> sqlite3.Connection:
    """A graph in memory with nothing in it."""
    connection = _open("file::memory:")
    connection.executescript(_TABLES)
    return connection


def _holds_something(path: Path) -> bool:
    """Whether there is a file with something in it. SQLite itself would take a short file of anything for an empty database.

    Raises:
        KeeperUnavailableError: what it holds is no SQLite file, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise KeeperUnavailableError(
            f"the lineage graph {path} cannot be opened",
            why=error.strerror or str(error),
            fix="make it a readable file in a readable folder",
        ) from error
    if start and start != _MAGIC:
        raise damaged(path, "it is no SQLite file")
    return bool(start)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from error


def damaged(path: Path, why: str) -> KeeperUnavailableError:
    """The error of a file whose content is not what a graph's is."""
    return KeeperUnavailableError(f"the lineage graph {path} is damaged or no graph", why=why, fix=_REBUILD)


_EXPLAINED: dict[int, tuple[type[LineageError], str, str, str]] = {
    sqlite3.SQLITE_FULL: (HomeError, "cannot grow", "the disk is full", "make room under {folder} and run again"),
    sqlite3.SQLITE_READONLY: (HomeError, "cannot be written", "", "make it and {folder} writable"),
    sqlite3.SQLITE_PERM: (HomeError, "cannot be written", "", "make it and {folder} writable"),
    sqlite3.SQLITE_IOERR: (HomeError, "cannot be read or written", "", "check the disk, its free space and its quota"),
    sqlite3.SQLITE_CORRUPT: (KeeperUnavailableError, "is damaged or no graph", "", _REBUILD),
    sqlite3.SQLITE_NOTADB: (KeeperUnavailableError, "is damaged or no graph", "", _REBUILD),
    sqlite3.SQLITE_CANTOPEN: (
        KeeperUnavailableError,
        "cannot be opened",
        "",
        "make it a readable file in a writable folder",
    ),
    sqlite3.SQLITE_BUSY: (
        GraphError,
        "is in use",
        f"another process held it for {BUSY_SECONDS:.0f} s",
        "try again later",
    ),
    sqlite3.SQLITE_LOCKED: (GraphError, "is in use", "another reader or writer holds it", "try again later"),
}
"""SQLite's primary result code -> our error, what is wrong, why (empty: SQLite's own words), and what to do."""


def _explain(error: sqlite3.Error, path: Path) -> LineageError:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    kind, what, why, fix = _EXPLAINED.get(code, (GraphError, "cannot be used", "", _REBUILD))
    return kind(f"the lineage graph {path} {what}", why=why or str(error), fix=fix.format(folder=path.parent))


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _open(uri: str) -> sqlite3.Connection:
    # Autocommit: transactions are begun and ended by hand. One connection serves all threads, under the keeper's lock.
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Readers and a writer side by side. Two processes that switch a new file at once get "locked" in spite of the time-out."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _check(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file holds our tables; False when it is new and empty."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
        return False
    if application != APPLICATION_ID:
        raise KeeperUnavailableError(
            f"{path} is not a lineage graph",
            why="it is another program's SQLite file",
            fix="point LINEAGE_FLOWS_HOME elsewhere",
        )
    if version > SCHEMA_VERSION:
        raise KeeperUnavailableError(
            f"the lineage graph {path} is of a newer release",
            why=f"its layout is {version}, and this release knows up to {SCHEMA_VERSION}",
            fix="upgrade lineage-flows",
        )
    return True


def _create(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _check(connection, path):  # another process may have been first
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _open_reading(path: Path) -> sqlite3.Connection:
    """Open in place where SQLite can; it cannot where it would have to make its shared memory in a folder that is read-only."""
    uri = path.absolute().as_uri()
    connection = _open(f"{uri}?mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY} or not os.access(
            path, os.R_OK
        ):
            raise
    else:
        return connection
    log = path.with_name(path.name + "-wal")
    if not log.exists() or log.stat().st_size == 0:
        return _open(f"{uri}?mode=ro&immutable=1")
    return _open_copy(path, log)


def _open_copy(path: Path, log: Path) -> sqlite3.Connection:
    """Read a graph whose last batches still lie in its log: in a copy, taken into memory, since the folder cannot be written."""
    try:
        with tempfile.TemporaryDirectory(prefix="lineage-flows-") as folder:
            copy = Path(folder, path.name)
            shutil.copyfile(path, copy)
            shutil.copyfile(log, Path(folder, log.name))
            source = _open(f"{copy.as_uri()}?mode=rw")
            try:
                memory = _open("file::memory:")
                source.backup(memory)
            finally:
                source.close()
            return memory
    except OSError as error:
        raise KeeperUnavailableError(
            f"the lineage graph {path} cannot be read", why=error.strerror or str(error), fix="make its folder writable"
        ) from error
