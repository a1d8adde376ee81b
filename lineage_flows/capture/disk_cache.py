"""A small cache on disk of what is dear to find out again: hashes of files, source trees, installed distributions.

Knows SQLite. A cache that cannot be used is an empty one: no method raises, since everything in it can be found out again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lineage_flows.capture.active import unobserved

__all__ = ["DiskCache", "disk_cache"]

Result = TypeVar("Result")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (kind TEXT, key TEXT, value TEXT, put REAL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
"""
_KEPT = 50_000
"""Entries kept; the oldest go first."""

_PUTS_BETWEEN_PRUNES = 500
_BUSY_MILLISECONDS = 200
"""Another process may be writing; waiting longer costs more than finding out again."""


def disk_cache(folder: Path) -> DiskCache:
    """The cache of a folder; one object for each folder in a process."""
    with _lock:
        if folder not in _caches:
            _caches[folder] = DiskCache(folder)
        return _caches[folder]


class DiskCache:
    """Texts by kind and key, shared by all processes that name the same folder.

    Args:
        folder: made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "capture.db"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._usable = True
        self._puts = 0

    def get(self, kind: str, key: str) -> str | None:
        """The text that was put last, None when there is none."""

        def read(connection: sqlite3.Connection) -> str | None:
            row = connection.execute(
                "SELECT value FROM entry WHERE kind = ? AND key = ?", (kind, _text(key))
            ).fetchone()
            return None if row is None else str(row[0])

        return self._with(read)

    def put(self, kind: str, key: str, value: str) -> None:
        """Remember a text; the next put of the same kind and key replaces it."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)", (kind, _text(key), value, time.time())
            )
            self._puts += 1
            if self._puts % _PUTS_BETWEEN_PRUNES == 0:
                connection.execute(
                    "DELETE FROM entry WHERE (kind, key) IN (SELECT kind, key FROM entry ORDER BY put DESC LIMIT -1 OFFSET ?)",
                    (_KEPT,),
                )

        self._with(write)

    def _with(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        with unobserved(), self._lock:
            if not self._usable:
                return None
            try:
                return work(self._open())
            except sqlite3.OperationalError as error:  # locked, disk full, read-only
                self._usable = "locked" in str(error) or "busy" in str(error)
            except sqlite3.DatabaseError:  # not a database any more: start anew in the next process
                self._usable = False
                self._discard()
            except OSError:
                self._usable = False
        return None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # One connection for all threads: the lock above serialises them.
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(_SCHEMA)
            self._connection = connection
        return self._connection

    def _discard(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self._path}{suffix}").unlink()

    def forked(self) -> None:
        """Called in a forked child. A connection may not cross a fork; closing it here would drop the parent's locks."""
        self._lock = threading.Lock()
        self._connection = None


_caches: dict[Path, DiskCache] = {}
_lock = threading.Lock()


def _forked() -> None:
    global _lock  # noqa: PLW0603 - a thread of the parent may have held it
    _lock = threading.Lock()
    for cache in _caches.values():
        cache.forked()


os.register_at_fork(after_in_child=_forked)


def _text(key: str) -> str:
    """SQLite takes UTF-8 only; paths may hold other bytes."""
    return key.encode("utf-8", "backslashreplace").decode()
