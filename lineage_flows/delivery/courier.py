"""The courier: carries spooled events to the receivers, at least once and in order, while the flow goes on.

Knows routes and when to try; must not know what a receiver does. One daemon thread a receiver, so that a slow or silent one holds
back neither the flow nor another receiver; across processes, one courier a receiver at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lineage_flows.delivery.forks import guard_forks
from lineage_flows.delivery.outage import Outage
from lineage_flows.delivery.receivers import Asking, Receiver
from lineage_flows.delivery.route import Outcome, Route
from lineage_flows.delivery.spool import Spool

__all__ = ["Courier", "DeliveryReport", "ReceiverReport", "deliver_once"]

FIRST_DELAY = 0.2
LONGEST_DELAY = 30.0
"""Seconds between tries of a receiver that fails: the first pause, doubled each time, and the longest."""

GIVE_UP_AFTER = 3
"""Failures in a row after which ``flush`` no longer waits for a receiver."""

OUTAGE_AFTER = 5.0
IMPATIENCE = 0.5
"""Seconds without any progress after which a receiver is taken to be out, and for which ``flush`` waits for one that is."""

QUIET = 2.0
"""Seconds for which a receiver that says so (``receivers.Asking``) may go without an answer before ``flush`` leaves it alone: far
more than an answer takes. What it does itself, such as loading boto3, does not count.
"""

PERIOD = 2.0
"""Seconds between looks into the spool. A flow that was followed event by event would share its processor with the courier all
the time, and a batch of one costs ten times its share of a large one; ``flush`` does not wait for the next look.
"""
_BUSY, _HURRIED_BUSY = 0.25, 0.02
_STOPPING_SECONDS = 1.0
_GLANCE = 0.05


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """What became of one receiver's backlog. ``parked`` are in all that it refuses; ``error`` says why something is left."""

    name: str
    delivered: int
    parked: int
    left: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What a delivery did, a receiver each."""

    receivers: tuple[ReceiverReport, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is left."""
        return all(receiver.left == 0 for receiver in self.receivers)


class Courier:
    """Delivers in the background from ``start`` until the process ends.

    Args:
        spool: what is to be delivered.
        receivers: who gets it.
        home: folder of the lock files by which couriers of several processes take turns.
    """

    def __init__(self, spool: Spool, receivers: Sequence[Receiver], home: Path) -> None:
        self._spool = spool
        self._carriers = [_Carrier(spool, receiver, home) for receiver in receivers]

    @property
    def routes(self) -> tuple[Route, ...]:
        """The receivers' routes, for what they have delivered and why they fail."""
        return tuple(carrier.route for carrier in self._carriers)

    def start(self) -> None:
        """Start the threads that are not running. They are daemons: a process that must end does not wait for a receiver."""
        for carrier in self._carriers:
            carrier.start()

    def flush(self, timeout: float, receivers: Iterable[str] | None = None) -> bool:
        """Wait until the named receivers (by default all) have everything that was accepted before this call.

        A receiver that goes on failing is tried a few times and then not waited for, and so is one that waits for an answer in
        vain: it has an outage, and the caller a flow.

        Args:
            timeout: seconds to wait at most.
            receivers: names; one that this courier does not serve is not waited for.

        Returns:
            Whether they have; what was parked for a receiver does not count.

        Raises:
            DeliveryError: the spool cannot be read.
        """
        names = None if receivers is None else set(receivers)
        deadline = time.monotonic() + timeout
        last = self._spool.last()
        waited = [carrier for carrier in self._carriers if names is None or carrier.route.name in names]
        self.start()
        for carrier in waited:
            carrier.hurry()
        try:
            done = [
                carrier.wait_for(last, deadline) for carrier in waited
            ]  # each is waited for, whatever became of others
            return all(done)
        finally:
            for carrier in waited:
                carrier.take_time()

    def stop(self, timeout: float) -> bool:
        """Ask the threads to end after the batch they are at, and wait for them.

        Args:
            timeout: seconds to wait at most, in all.

        Returns:
            Whether all have ended; one that waits for a silent receiver is left alone, and ends with the process.
        """
        for carrier in self._carriers:
            carrier.stop()
        deadline = time.monotonic() + timeout
        ended = [carrier.join(deadline) for carrier in self._carriers]
        return all(ended)


def deliver_once(
    spool: Spool,
    receivers: Sequence[Receiver],
    home: Path,
    *,
    timeout: float = 60.0,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> DeliveryReport:
    """Deliver what is in the spool now, to all receivers at the same time, and say what became of it.

    What was parked is offered once more first.

    Args:
        spool: what is to be delivered.
        receivers: who gets it.
        home: folder of the lock files.
        timeout: seconds at most; a receiver that fails is tried again a few times.
        on_progress: called in this thread with receiver, how many events are done, and how many there were.

    Raises:
        DeliveryError: the spool cannot be read.
    """
    deadline = time.monotonic() + timeout
    last = spool.last()
    carriers = [_Carrier(spool, receiver, home, retry_parked=True) for receiver in receivers]
    names = [receiver.name for receiver in receivers]
    totals = {name: spool.backlog(name, last) + len(spool.parked(name)) for name in names}
    for carrier in carriers:
        carrier.hurry()
        carrier.start()
    waiting = list(carriers)
    while waiting and time.monotonic() < deadline:
        for carrier in list(waiting):
            carrier.pause(min(deadline - time.monotonic(), _GLANCE))
            if carrier.given_up or (carrier.tried and carrier.route.has_until(last)):
                waiting.remove(carrier)
            if on_progress is not None:
                route = carrier.route
                on_progress(route.name, min(route.delivered + route.parked, totals[route.name]), totals[route.name])
    for carrier in carriers:
        carrier.stop()
    for carrier in carriers:
        carrier.join(time.monotonic() + _STOPPING_SECONDS)
    return DeliveryReport(tuple(_report(spool, carrier.route, last) for carrier in carriers))


def _report(spool: Spool, route: Route, last: int) -> ReceiverReport:
    left = spool.backlog(route.name, last)
    error = route.error or ("it did not answer in time" if left else None)
    return ReceiverReport(route.name, route.delivered, len(spool.parked(route.name)), left, error if left else None)


class _Carrier:
    """The thread of a route: looks now and then and when someone hurries, and pauses longer and longer while the receiver fails."""

    def __init__(self, spool: Spool, receiver: Receiver, home: Path, *, retry_parked: bool = False) -> None:
        self.route = Route(spool, receiver, home, on_progress=self._progress)
        self._retry_parked = retry_parked
        self._asking = receiver if isinstance(receiver, Asking) else None
        self._outage = Outage(home, receiver.name)
        self._begin()
        guard_forks(self)

    def _begin(self) -> None:
        self._condition = threading.Condition()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._hurried_anew = False
        self._hurried = 0
        self._stuck_since: float | None = None
        self.tried = False
        """Whether it was tried since someone hurried."""

    @property
    def given_up(self) -> bool:
        """Whether the receiver has failed so often since someone hurried that it is not worth waiting for."""
        return self.tried and self.route.failures >= GIVE_UP_AFTER

    def start(self) -> None:
        with self._condition:
            if self._thread is not None and self._thread.is_alive() and not self._stopping.is_set():
                return
            # An event of its own for each thread, so that one that was asked to stop, and hangs, stays asked.
            self._stopping = threading.Event()
            name = f"lineage-flows-courier-{self.route.name}"
            self._thread = threading.Thread(target=self._run, args=(self._stopping,), name=name, daemon=True)
            self._thread.start()

    def hurry(self) -> None:
        with self._condition:
            self._hurried += 1
            self.tried = False
            self._hurried_anew = True
            self._condition.notify_all()

    def take_time(self) -> None:
        with self._condition:
            self._hurried -= 1

    def stop(self) -> None:
        with self._condition:
            self._stopping.set()
            self._condition.notify_all()

    def join(self, deadline: float) -> bool:
        thread = self._thread
        if thread is not None:
            thread.join(max(deadline - time.monotonic(), 0.0))
        return thread is None or not thread.is_alive()

    def wait_for(self, seq: int, deadline: float) -> bool:
        """Wait until the receiver has everything up to ``seq``, another process's courier included, or is given up."""
        stuck = self._stuck_since is not None and time.monotonic() - self._stuck_since > OUTAGE_AFTER
        if stuck or self._outage.is_recent():
            deadline = min(deadline, time.monotonic() + IMPATIENCE)
        while not self.route.has_until(seq):
            left = deadline - time.monotonic()
            if left <= 0 or self.given_up:
                return False
            if self._asking is not None and self._asking.silent_for() > QUIET:
                self._outage.note()
                return False
            self.pause(min(left, _GLANCE))
        return True

    def pause(self, seconds: float) -> None:
        """Sleep until there is progress, at most so long: that of another process is not told here."""
        with self._condition:
            self._condition.wait(max(seconds, 0.0))

    def before_fork(self) -> None:
        """See ``ForkSafe``."""

    def after_fork_in_parent(self) -> None:
        """See ``ForkSafe``."""

    def after_fork_in_child(self) -> None:
        """The thread did not come along, and its locks are in whatever state it left them."""
        self._begin()

    def _run(self, stopping: threading.Event) -> None:
        if self._retry_parked:
            self.route.retry_parked(stopping)
        self._sleep(PERIOD, stopping)
        while not stopping.is_set():
            self._hurried_anew = (
                False  # before looking: who hurries from here on has accepted something that may not be seen
            )
            if self._stuck_since is None:
                self._stuck_since = time.monotonic()
            outcome = self.route.attempt(stopping)
            if outcome != "failed":
                self._stuck_since = None
            self._looked(outcome, stopping)
        self.route.close()

    def _looked(self, outcome: Outcome, stopping: threading.Event) -> None:
        with self._condition:
            self.tried = True
            self._condition.notify_all()
            self._sleep(self._pause(outcome), stopping)

    def _sleep(self, seconds: float, stopping: threading.Event) -> None:
        with self._condition:
            self._condition.wait_for(lambda: stopping.is_set() or self._hurried_anew, seconds)

    def _pause(self, outcome: Outcome) -> float:
        if outcome == "failed":
            return min(FIRST_DELAY * 2.0 ** min(self.route.failures - 1, 16), LONGEST_DELAY)
        if outcome == "busy":
            return _HURRIED_BUSY if self._hurried else _BUSY
        return PERIOD

    def _progress(self) -> None:
        self._stuck_since = time.monotonic()
        self._outage.is_over()
        with self._condition:
            self._condition.notify_all()
