"""The graph's file as the endpoint uses it: many threads read it, one at a time writes, each in a transaction of its own.

Knows how connections to the embedded graph are opened; must not know any operation. Other processes, couriers among them, may
write the same file at the same time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lineage_flows.endpoint import tables
from lineage_flows.endpoint.changes import Change
from lineage_flows.endpoint.lag import Lag
from lineage_flows.endpoint.snapshot import Snapshot
from lineage_flows.graph import schema

__all__ = ["Store"]

_MOST_IDLE = 8


class Store:
    """Transactions over the graph of a home.

    Attributes:
        secret: by which paging tokens are signed.
        made: when an endpoint first opened the graph, as the graph writes moments.
    """

    def __init__(self, path: Path, *, lag: Lag | None = None) -> None:
        """Open the graph for writing; it is made when there is none.

        Args:
            path: the SQLite file (``graph.db`` of a home).
            lag: when writes become visible to lists and queries; at once when None.

        Raises:
            HomeError: the folder cannot be written, or is full.
            KeeperUnavailableError: the file is not a graph, is damaged, or of a newer release.
        """
        self.path = path
        self._lag = lag
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._file: tuple[int, int] | None = None
        self._closed = False
        self.secret, self.made = b"", ""
        with self._connection():
            pass

    @contextmanager
    def reading(self, *, lagging: bool = False) -> Iterator[Snapshot]:
        """The graph as it is now, whatever is written meanwhile.

        Args:
            lagging: as it was a while ago, where the endpoint was told to be slow to show what was written.

        Raises:
            GraphError: it cannot be read now.
        """
        with self._connection() as connection, schema.translated(self.path):
            connection.execute("BEGIN")
            held = None
            try:
                if lagging and self._lag is not None:
                    # First see the graph as it is, then ask: a write that comes in between would else show, and hide again.
                    connection.execute("SELECT count(*) FROM endpoint_about").fetchone()
                    held = self._lag.acquire()
                yield Snapshot(connection if held is None else held.connection)
            finally:
                if self._lag is not None and held is not None:
                    self._lag.release(held)
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[Change]:
        """A change of the graph: on disk when the block ends, and nothing of it there when it raises.

        Raises:
            GraphError: it cannot be written now.
            HomeError: its folder is full or not writable.
        """
        with self._writing, self._connection() as connection, schema.translated(self.path):
            if self._lag is not None:
                self._lag.before_write(self._open)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Change(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite itself has rolled back when the disk is full
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Give everything back; a store that was closed is not used again."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        if self._lag is not None:
            self._lag.close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        file = self._identity()
        with self._lock:
            # A graph that was moved away must not be written to: what is under its name now counts.
            gone = self._idle if file != self._file else []
            if gone:
                self._idle = []
            connection = self._idle.pop() if self._idle else None
        for other in gone:
            other.close()
        if connection is None:
            connection = self._open()
            file = self._identity()
        try:
            yield connection
        finally:
            with self._lock:
                kept = not self._closed and len(self._idle) < _MOST_IDLE and file == self._identity()
                if kept and not connection.in_transaction:
                    self._file = file
                    self._idle.append(connection)
                    connection = None
            if connection is not None:
                connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = schema.connect(self.path)
        try:
            with schema.translated(self.path):
                self.secret, self.made = tables.ensure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
