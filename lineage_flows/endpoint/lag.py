"""Reads that lag behind writes, as AWS's lists and queries do: snapshots of the graph from before the latest writes.

Knows SQLite, whose open read transactions see the graph as it was when they began. Only by order (``faults``).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Held", "Lag"]

_MOST = 64
"""Snapshots at a time, each of which is an open file. Beyond it a write lags as long as the last one that has a snapshot."""


@dataclass(slots=True, eq=False)
class Held:
    """The graph as it was before a write; shown until that write becomes visible."""

    connection: sqlite3.Connection
    until: float
    users: int = 0
    closed: bool = False


class Lag:
    """Makes some writes visible to lagging reads only a while later. What came after a write is not visible before it.

    Args:
        seconds: how long.
        chosen: whether the next write lags.
        clock: seconds that only go forward.
    """

    def __init__(
        self, seconds: float, chosen: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._chosen = chosen
        self._clock = clock
        self._lock = threading.Lock()
        self._held: list[Held] = []

    def before_write(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """Keep the graph as it is now, when the write that follows is one of those that lag."""
        if not self._chosen():
            return
        self._drop()
        until = self._clock() + self._seconds
        with self._lock:
            if len(self._held) >= _MOST:
                self._held[-1].until = until
                return
        connection = connect()
        connection.execute("BEGIN")
        connection.execute(
            "SELECT count(*) FROM endpoint_about"
        ).fetchone()  # a transaction sees nothing before it reads
        with self._lock:
            self._held.append(Held(connection, until))

    def acquire(self) -> Held | None:
        """The graph as a lagging read sees it; None when it sees all there is. To be given back with ``release``."""
        self._drop()
        with self._lock:
            if not self._held:
                return None
            oldest = self._held[0]
            oldest.users += 1
            return oldest

    def release(self, held: Held) -> None:
        """Give a snapshot back."""
        with self._lock:
            held.users -= 1
            if held.closed and not held.users:
                held.connection.close()

    def close(self) -> None:
        """Drop all snapshots."""
        self._drop(everything=True)

    def _drop(self, *, everything: bool = False) -> None:
        now = self._clock()
        with self._lock:
            while self._held and (everything or self._held[0].until <= now):
                gone = self._held.pop(0)
                gone.closed = True
                if not gone.users:
                    gone.connection.close()
