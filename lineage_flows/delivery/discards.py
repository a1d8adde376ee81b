"""What a person gave up of the spool: events that a receiver is not given any more, who said so and when, and why they were left.

Knows the spool's tables; must not know who asks. A discarded event stays in the spool as others do; the note of it stays for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from lineage_flows.delivery.database import Database

__all__ = ["DISCARDED", "NOT_DISCARDED", "Discardable", "DiscardedEvent", "Discards"]

DISCARDED: Final = """CREATE TABLE IF NOT EXISTS discarded (
    receiver TEXT NOT NULL,
    seq INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    time TEXT NOT NULL,
    who TEXT NOT NULL,
    PRIMARY KEY (receiver, seq)
) WITHOUT ROWID"""

NOT_DISCARDED: Final = (
    "NOT EXISTS (SELECT 1 FROM discarded WHERE discarded.receiver = :receiver AND discarded.seq = events.seq)"
)

_WAITS: Final = "it was waiting to be delivered"
_LEFT: Final = f"""SELECT events.seq, events.run_id, events.kind, parked.reason FROM events
    LEFT JOIN parked ON parked.receiver = :receiver AND parked.seq = events.seq
    WHERE (parked.seq IS NOT NULL OR events.seq > COALESCE((SELECT received FROM receivers WHERE name = :receiver), 0))
    AND {NOT_DISCARDED}"""  # noqa: S608 - constants
"""What a receiver does not have: what was put aside, with the reason, and what waits."""


@dataclass(frozen=True, slots=True)
class Discardable:
    """An event that a receiver does not have.

    Attributes:
        receiver: who.
        seq: its number.
        run_id: of its run.
        kind: of the event.
        reason: why it was put aside; None of one that waits.
    """

    receiver: str
    seq: int
    run_id: str
    kind: str
    reason: str | None

    @property
    def id(self) -> str:
        """By which a person names it."""
        return f"{self.receiver}/{self.seq}"


@dataclass(frozen=True, slots=True)
class DiscardedEvent:
    """An event that a receiver is not given any more, and why it had not got it; ``time`` is RFC 3339 in UTC."""

    receiver: str
    seq: int
    run_id: str
    kind: str
    reason: str
    time: str
    who: str


class Discards:
    """The discarded events of a spool.

    Args:
        database: of the spool.
        read: reads from it, all that was accepted before included.
    """

    def __init__(self, database: Database, read: Callable[..., list[tuple[Any, ...]]]) -> None:
        self._database = database
        self._read = read

    def left(self, receivers: Sequence[str], run_id: str | None = None) -> list[Discardable]:
        """What receivers do not have, in order of acceptance: what was put aside for them and what waits.

        Args:
            receivers: names.
            run_id: only events of this run, or of those that it is the root of.

        Raises:
            DeliveryError: the spool cannot be read.
        """
        query = f"{_LEFT} AND (:run IS NULL OR :run IN (events.run_id, events.root_run_id))"
        return [
            Discardable(receiver, *row)
            for receiver in receivers
            for row in self._read(f"{query} ORDER BY events.seq", {"receiver": receiver, "run": run_id})
        ]

    def discard(self, items: Iterable[Discardable], who: str) -> list[DiscardedEvent]:
        """Give events up for their receivers, all or none of them; those that were delivered meanwhile are left out.

        Raises:
            DeliveryError: it cannot be noted; nothing was discarded.
        """
        time = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        done: list[DiscardedEvent] = []
        with self._database.write() as connection:
            for item in items:
                row = connection.execute(f"{_LEFT} AND events.seq = :seq", {"receiver": item.receiver, "seq": item.seq})
                if row.fetchone() is None:
                    continue
                reason = _WAITS if item.reason is None else item.reason
                found = DiscardedEvent(item.receiver, item.seq, item.run_id, item.kind, reason, time, who)
                connection.execute(
                    "INSERT INTO discarded VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (item.receiver, item.seq, item.run_id, item.kind, reason, time, who),
                )
                connection.execute(
                    "DELETE FROM parked WHERE receiver = ? AND seq = ?",
                    (item.receiver, item.seq),
                )
                done.append(found)
        return done

    def all(self) -> list[DiscardedEvent]:
        """What was ever discarded, in order of acceptance.

        Raises:
            DeliveryError: the spool cannot be read.
        """
        rows = self._read("SELECT receiver, seq, run_id, kind, reason, time, who FROM discarded ORDER BY seq, receiver")
        return [DiscardedEvent(*row) for row in rows]
