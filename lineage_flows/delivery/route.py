"""One receiver's deliveries: batches in order, poison put aside, patience with what is out of order for a while.

Knows the spool and the receivers' protocol; must not know what a receiver does, nor who calls when.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from lineage_flows.delivery.receivers import Holding, Receiver
from lineage_flows.delivery.spool import Spool, SpooledEvent
from lineage_flows.delivery.turns import Turns
from lineage_flows.errors import EventError, LineageError

__all__ = ["Outcome", "Route"]

Outcome = Literal["empty", "delivered", "busy", "failed"]
"""What came of an attempt: nothing was waiting; something was delivered; another courier has the turn; the receiver failed."""

STUCK_AFTER = 8
"""Failures in a row from which on a single event is suspected; with the pauses between them, about a minute."""

_PROBES = 200

_log = logging.getLogger("lineage_flows.delivery")


class Route:
    """Delivers to one receiver.

    Args:
        spool: what is to be delivered.
        receiver: who gets it.
        home: folder of the lock file by which couriers of several processes take turns.
        on_progress: called after each batch.
    """

    def __init__(
        self, spool: Spool, receiver: Receiver, home: Path, *, on_progress: Callable[[], None] = lambda: None
    ) -> None:
        self.name = receiver.name
        self.delivered = 0
        self.parked = 0
        self.failures = 0
        """Failures since the last delivery."""
        self.error: str | None = None
        """The last failure, until the next delivery."""
        self._spool = spool
        self._receiver = receiver
        self._turns = Turns(home, receiver.name)
        self._on_progress = on_progress

    def has_until(self, seq: int) -> bool:
        """Whether the receiver has everything up to ``seq``, whichever process brought it.

        Raises:
            DeliveryError: the spool cannot be read.
        """
        first = self._spool.pending(self.name, 1)
        return not first or first[0].seq > seq

    def attempt(self, stopping: threading.Event) -> Outcome:
        """Deliver what is waiting now, until the receiver fails, or ``stopping`` is set. Never raises.

        What comes meanwhile waits for the next attempt: a flow that runs on would else be followed event by event, and a batch of
        one costs ten times its share of a large one.
        """
        try:
            if not self._spool.pending(self.name, 1):
                return "empty"
            last = self._spool.last()
            with self._turns.take() as mine:
                if not mine:
                    return "busy"
                delivered = False
                while not stopping.is_set():
                    batch = self._spool.pending(self.name, self._receiver.batch)
                    if not batch or batch[0].seq > last:
                        break
                    self._deliver(batch)
                    self._recovered()
                    self._on_progress()
                    delivered = True
                return "delivered" if delivered else "empty"
        except Exception as error:  # noqa: BLE001 - transports are other people's code; a courier that ended would lose it all
            self._failed(error)
            return "failed"

    def retry_parked(self, stopping: threading.Event) -> None:
        """Offer what was put aside once more: the receiver, or this package, may have been mended. Never raises."""
        try:
            with self._turns.take() as mine:
                for item in self._spool.parked(self.name) if mine else ():
                    if stopping.is_set():
                        return
                    try:
                        self._receiver.receive([item.event])
                    except EventError as error:
                        self._spool.park(self.name, item.seq, str(error))
                    else:
                        self._spool.unpark(self.name, item.seq)
                        self.delivered += 1
                        self._on_progress()
                if mine and isinstance(self._receiver, Holding):
                    self._receiver.hand_on()
        except Exception as error:  # noqa: BLE001 - as in ``attempt``
            self._failed(error)

    def close(self) -> None:
        """Let the receiver go. Never raises: nothing can be done about it."""
        try:
            self._receiver.close()
        except Exception as error:  # noqa: BLE001 - as in ``attempt``
            _log.debug("lineage: %s did not close: %s", self.name, error)

    def _deliver(self, batch: Sequence[SpooledEvent]) -> None:
        try:
            self._receiver.receive([item.event for item in batch])
        except EventError as error:
            # One of them can never be taken. Alone, each shows whether it is the one.
            if len(batch) == 1:
                self._put_aside(batch[0], error)
                return
            for item in batch:
                self._deliver([item])
            return
        except LineageError as error:
            if len(batch) > 1 or self.failures < STUCK_AFTER or not self._is_stuck(batch[0]):
                raise
            self._put_aside(batch[0], error)
            return
        self._spool.acknowledge(self.name, batch[-1].seq)
        self.delivered += len(batch)

    def _is_stuck(self, suspect: SpooledEvent) -> bool:
        """Whether the receiver takes events of another run, but still not this one: then it is not the receiver that is out.

        The other event is one that has nothing undelivered before it in its own run; it is delivered again in its turn.
        """
        for item in self._spool.pending(self.name, _PROBES):
            if item.event.root_run_id != suspect.event.root_run_id:
                self._receiver.receive([item.event])
                break
        else:
            return False
        try:
            self._receiver.receive([suspect.event])
        except LineageError:
            return True
        return False

    def _put_aside(self, item: SpooledEvent, error: LineageError) -> None:
        self._spool.park(self.name, item.seq, str(error))
        self._spool.acknowledge(self.name, item.seq)
        self.parked += 1
        _log.warning(
            "lineage: %s cannot take the %s event of run %s, it was put aside: %s",
            self.name,
            item.event.kind,
            item.event.run_id,
            error,
        )

    def _recovered(self) -> None:
        if self.failures:
            _log.info("lineage: deliveries to %s go on", self.name)
        self.failures, self.error = 0, None

    def _failed(self, error: Exception) -> None:
        self.error = str(error) if isinstance(error, LineageError) else f"{type(error).__name__}: {error}"
        self.failures += 1
        if self.failures == 1:
            _log.warning("lineage: deliveries to %s wait, nothing is lost: %s", self.name, self.error)
