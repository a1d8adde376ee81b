"""The spool: every event is here before the flow goes on, and stays until every receiver has it.

Knows events and records, the journals they are appended to and the database they move into; must not know who receives them.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pydantic import ValidationError

from lineage_flows.delivery.database import Database
from lineage_flows.delivery.discards import DISCARDED, NOT_DISCARDED, Discards
from lineage_flows.delivery.journal import Entry, Journal, Waiting, waiting
from lineage_flows.errors import DeliveryError
from lineage_flows.events import TERMINAL, Event, EventKind
from lineage_flows.records import FlowRecord, StepRecord, record_json

__all__ = ["ParkedEvent", "Spool", "SpooledEvent"]

_MARK: Final = 0x6C667370  # "lfsp"
_VERSION: Final = 1
_SCHEMA: Final = (
    # AUTOINCREMENT: a number is never given twice, also after the last events were pruned, so that "has everything up to" holds.
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL,
        root_run_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        time TEXT NOT NULL,
        accepted REAL NOT NULL,
        payload BLOB NOT NULL
    )""",
    """CREATE TABLE records (
        run_id TEXT PRIMARY KEY,
        root_run_id TEXT NOT NULL,
        first_seq INTEGER NOT NULL,
        what TEXT NOT NULL,
        body BLOB NOT NULL
    )""",
    "CREATE INDEX records_by_root ON records (root_run_id, first_seq)",
    "CREATE TABLE receivers (name TEXT PRIMARY KEY, received INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE parked (
        receiver TEXT NOT NULL,
        seq INTEGER NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (receiver, seq)
    ) WITHOUT ROWID""",
)
_JOURNALS: Final = "CREATE TABLE IF NOT EXISTS journals (name TEXT PRIMARY KEY, moved INTEGER NOT NULL) WITHOUT ROWID"
"""How many bytes of each journal are in the tables; kept in the transaction that moves them, so that nothing moves twice."""
_RECORDS: Final[dict[str, type[FlowRecord] | type[StepRecord]]] = {"flow": FlowRecord, "step": StepRecord}
_EVENT = "events.seq, events.run_id, events.root_run_id, events.kind, events.time, events.payload"
_WAITING: Final = f"""events.seq > COALESCE((SELECT received FROM receivers WHERE name = :receiver), 0)
    AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.receiver = :receiver AND parked.seq = events.seq)
    AND {NOT_DISCARDED}"""  # noqa: S608 - constants
_HEAD = struct.Struct("<II")
_DAY = 86_400.0
_PRUNED_AT_ONCE = 50
_MAX_REASON = 2_000


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """An accepted event and its place in the order of acceptance."""

    seq: int
    event: Event


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that a receiver could not take and would never take as it was, and why."""

    seq: int
    event: Event
    reason: str
    receiver: str


class Spool:
    """The spool of a home folder; implements ``events.Sink``. Safe for threads, processes and forks.

    Args:
        path: the SQLite file, ``spool.db`` in the home folder; both are made when they do not exist.

    Raises:
        HomeError: it cannot be made or opened, or is not a spool of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._database = Database(self.path, schema=_SCHEMA, added=(_JOURNALS, DISCARDED), version=_VERSION, mark=_MARK)
        self.discards = Discards(self._database, self._read)
        self._journal = Journal(self.path)
        self._moved: dict[str, int] = {}
        self._closed = False

    def accept(self, event: Event, record: StepRecord | FlowRecord | None = None) -> None:
        """Keep an event, and the record of its run as it is now; both are on disk when this returns.

        Raises:
            DeliveryError: it could not be kept; nothing of it was.
        """
        if self._closed:
            raise DeliveryError(f"{self.path} cannot be written", why="it was closed")
        self._journal.append(_packed(event, record))

    def records(self, root_run_id: str) -> list[StepRecord | FlowRecord]:
        """The latest accepted record of each run under a root flow run, in the order the runs were first accepted.

        Raises:
            DeliveryError: they cannot be read.
        """
        rows = self._read("SELECT what, body FROM records WHERE root_run_id = ? ORDER BY first_seq", (root_run_id,))
        return [self._record(what, body) for what, body in rows]

    def completed(self, root_run_id: str, after: int) -> tuple[list[StepRecord | FlowRecord], int]:
        """See ``events.Sink``."""
        rows = self._read(
            "SELECT what, body, seq FROM events JOIN records USING (run_id) WHERE kind = 'COMPLETE'"
            " AND events.root_run_id = :root AND seq > :after"
            " AND seq >= COALESCE((SELECT first_seq FROM records WHERE run_id = :root), 0) ORDER BY seq",
            {"root": root_run_id, "after": after},
        )
        return [self._record(what, body) for what, body, _ in rows], max((seq for _, _, seq in rows), default=after)

    def record(self, run_id: str) -> StepRecord | FlowRecord | None:
        """The latest accepted record of a run; None when there is none.

        Raises:
            DeliveryError: it cannot be read.
        """
        rows = self._read("SELECT what, body FROM records WHERE run_id = ?", (run_id,))
        return self._record(*rows[0]) if rows else None

    def pending(self, receiver: str, limit: int) -> list[SpooledEvent]:
        """What a receiver does not have yet, in order of acceptance, at most ``limit``; without what was parked for it.

        Raises:
            DeliveryError: the spool cannot be read.
        """
        rows = self._read(
            f"SELECT {_EVENT} FROM events WHERE {_WAITING} ORDER BY events.seq LIMIT :limit",  # noqa: S608 - constants
            {"receiver": receiver, "limit": limit},
        )
        return [SpooledEvent(row[0], _event(row)) for row in rows]

    def backlog(self, receiver: str, up_to: int | None = None) -> int:
        """How many events a receiver does not have yet; those that were parked for it do not count.

        Args:
            receiver: its name.
            up_to: count only events up to this number.

        Raises:
            DeliveryError: the spool cannot be read.
        """
        rows = self._read(
            f"SELECT COUNT(*) FROM events WHERE {_WAITING} AND (:up_to IS NULL OR events.seq <= :up_to)",  # noqa: S608
            {"receiver": receiver, "up_to": up_to},
        )
        return int(rows[0][0])

    def last(self) -> int:
        """The number of the last accepted event; 0 when there is none.

        Raises:
            DeliveryError: the spool cannot be read.
        """
        return int(self._read("SELECT COALESCE(MAX(seq), 0) FROM events")[0][0])

    def acknowledge(self, receiver: str, seq: int) -> None:
        """Note that a receiver has everything up to ``seq``; a lower number than before changes nothing.

        Raises:
            DeliveryError: it cannot be noted.
        """
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO receivers (name, received) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET received = MAX(received, excluded.received)",
                (receiver, seq),
            )
        self._database.tidy()
        self._sweep()

    def park(self, receiver: str, seq: int, reason: str) -> None:
        """Put aside an event that a receiver cannot take, with the reason, so that those behind it go on.

        It says nothing of the events before it. Parked events are never pruned. One that was discarded meanwhile stays so.

        Raises:
            DeliveryError: it cannot be noted.
        """
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO parked (receiver, seq, reason) SELECT ?1, ?2, ?3"
                " WHERE NOT EXISTS (SELECT 1 FROM discarded WHERE receiver = ?1 AND seq = ?2)",
                (receiver, seq, _unicode(reason)[:_MAX_REASON]),
            )

    def unpark(self, receiver: str, seq: int) -> None:
        """Forget that an event was parked: the receiver has taken it after all.

        Raises:
            DeliveryError: it cannot be noted.
        """
        with self._database.write() as connection:
            connection.execute("DELETE FROM parked WHERE receiver = ? AND seq = ?", (receiver, seq))

    def parked(self, receiver: str | None = None) -> list[ParkedEvent]:
        """What was put aside, for one receiver or for all, in order of acceptance.

        Raises:
            DeliveryError: the spool cannot be read.
        """
        rows = self._read(
            f"SELECT {_EVENT}, parked.reason, parked.receiver FROM parked JOIN events USING (seq)"  # noqa: S608 - constants
            " WHERE ?1 IS NULL OR parked.receiver = ?1 ORDER BY parked.seq, parked.receiver",
            (receiver,),
        )
        return [ParkedEvent(row[0], _event(row), *row[6:8]) for row in rows]

    def prune(self, receivers: Sequence[str], *, older_than_days: float = 30.0) -> int:
        """Drop what is no longer needed: root runs that have ended, whose every event all receivers have and none has parked.

        Args:
            receivers: names of all receivers that must have them; with none, nothing is dropped.
            older_than_days: only runs whose last event was accepted before that.

        Returns:
            How many events were dropped.

        Raises:
            DeliveryError: the spool cannot be written.
        """
        if not receivers:
            return 0
        roots = self._done(receivers, time.time() - older_than_days * _DAY)
        dropped = 0
        # Some at a time, so that no flow waits long for its turn to write.
        for start in range(0, len(roots), _PRUNED_AT_ONCE):
            dropped += self._drop(roots[start : start + _PRUNED_AT_ONCE])
        return dropped

    def close(self) -> None:
        """Close the file for good; a closed spool accepts nothing."""
        if not self._closed:
            self._journal.close()
            with suppress(DeliveryError):  # what is left in a journal moves when the spool is opened again
                self._move()
                self._sweep()
        self._closed = True
        self._database.close()

    def _read(self, query: str, parameters: tuple[object, ...] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query, of all that was accepted before."""
        if not self._closed:
            self._move()
        return self._database.read(query, parameters)

    def _move(self) -> None:
        """Take in what was appended to the journals since, in the order in which it was accepted, whichever process did.

        The moment until which is read is taken first: what is accepted while some journals are read already would else come
        before what it followed from.
        """
        until = time.monotonic_ns()
        if all(self._moved.get(journal.name, 0) == journal.size() for journal in waiting(self.path)):
            return
        with self._database.write() as connection:
            moved = dict(connection.execute("SELECT name, moved FROM journals").fetchall())
            entries: list[Entry] = []
            ends: dict[str, int] = {}
            # Listed in its turn: a journal that another process made and moved meanwhile would else be taken for one that is
            # gone, be forgotten, and move again.
            for journal in waiting(self.path):
                taken, ends[journal.name] = _taken(journal, moved.get(journal.name, 0), until)
                entries += taken
            entries.sort(key=lambda entry: entry.moment)
            for entry in entries:
                _insert(connection, entry.body)
            connection.executemany("INSERT OR REPLACE INTO journals (name, moved) VALUES (?, ?)", ends.items())
            gone = [(name,) for name in moved if name not in ends]
            connection.executemany("DELETE FROM journals WHERE name = ?", gone)
        self._moved = ends
        self._sweep()

    def _sweep(self) -> None:
        """Remove the journals that nobody writes to and that are read to their end."""
        for journal in waiting(self.path):
            moved = self._moved.get(journal.name)
            if moved is not None and moved == journal.size():
                journal.remove(moved)

    def _done(self, receivers: Sequence[str], before: float) -> list[str]:
        have = dict(self._read("SELECT name, received FROM receivers"))
        rows = self._read(
            "SELECT root_run_id FROM events GROUP BY root_run_id HAVING MAX(seq) <= ? AND MAX(accepted) < ?"  # noqa: S608
            f" AND SUM(run_id = root_run_id AND kind IN ({', '.join('?' * len(TERMINAL))})) > 0"
            " AND SUM(seq IN (SELECT seq FROM parked)) = 0",
            (min(have.get(name, 0) for name in receivers), before, *TERMINAL),
        )
        return [root for (root,) in rows]

    def _drop(self, roots: Iterable[str]) -> int:
        dropped = 0
        with self._database.write() as connection:
            for root in roots:
                dropped += connection.execute("DELETE FROM events WHERE root_run_id = ?", (root,)).rowcount
                connection.execute("DELETE FROM records WHERE root_run_id = ?", (root,))
        with self._database.write() as connection:
            connection.execute("PRAGMA incremental_vacuum(2000)").fetchall()
        return dropped

    def _record(self, what: str, body: bytes) -> StepRecord | FlowRecord:
        try:
            kind = _RECORDS[what]
            try:
                return kind.model_validate_json(body)
            except ValidationError:  # JSON that only Python's own reader takes: see record_json
                return kind.model_validate(json.loads(body))
        except (KeyError, ValueError) as error:
            raise DeliveryError(
                f"a record in {self.path} cannot be read",
                why="it was written by another version of lineage-flows",
                fix="use the version that wrote it, or move the file away",
            ) from error


def _packed(event: Event, record: StepRecord | FlowRecord | None) -> bytes:
    """An event and a record as one entry of a journal."""
    what = "" if record is None else "flow" if isinstance(record, FlowRecord) else "step"
    body = b"" if record is None else record_json(record, exclude_defaults=True)
    head = "\n".join((event.run_id, event.root_run_id, event.kind, event.time, repr(time.time()), what)).encode()
    return _HEAD.pack(len(head), len(event.payload)) + head + event.payload + body


def _insert(connection: sqlite3.Connection, entry: bytes) -> None:
    size, length = _HEAD.unpack_from(entry)
    start = _HEAD.size + size
    head, payload, body = entry[_HEAD.size : start], entry[start : start + length], entry[start + length :]
    run_id, root_run_id, kind, at, accepted, what = head.decode().split("\n")
    seq = connection.execute(
        "INSERT INTO events (run_id, root_run_id, kind, time, accepted, payload) VALUES (?, ?, ?, ?, ?, ?)",
        (run_id, root_run_id, kind, at, float(accepted), payload),
    ).lastrowid
    if what:
        connection.execute(
            "INSERT INTO records (run_id, root_run_id, first_seq, what, body) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (run_id) DO UPDATE SET body = excluded.body",
            (run_id, root_run_id, seq, what, body),
        )


def _taken(journal: Waiting, offset: int, until: int) -> tuple[list[Entry], int]:
    try:
        return journal.entries(offset, until)
    except OSError as error:
        raise DeliveryError(f"{journal.path} cannot be read", why=error.strerror or str(error)) from error


def _unicode(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _event(row: tuple[Any, ...]) -> Event:
    _, run_id, root_run_id, kind, at, payload = row[:6]
    return Event(run_id=run_id, root_run_id=root_run_id, kind=cast("EventKind", kind), time=at, payload=payload)
