"""Who gets the events: the protocol of a receiver, and the receiver that is the lineage graph.

Knows events and the graph's projection; must not know the spool.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lineage_flows.delivery.forks import guard_forks
from lineage_flows.errors import DeliveryError, EventError, LineageError
from lineage_flows.events import Event

if TYPE_CHECKING:
    from lineage_flows.graph.keeper import Keeper

__all__ = ["GRAPH", "Asking", "GraphReceiver", "Holding", "Receiver"]

GRAPH = "graph"
"""Name of the receiver that writes into the graph."""

_MISTAKES = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError, AssertionError)
"""What code raises that met an event it was not written for: trying again would not help."""

_FORK_WAIT_SECONDS = 5.0

_abandoned: list[object] = []
"""Keepers that came over a fork while they were in use: neither used nor closed."""


class Receiver(Protocol):
    """Takes events in order of acceptance. Being given one again, after a crash in between, must change nothing for it.

    Attributes:
        name: stable: what a receiver has is kept under it.
        batch: the most events it is given at once. A receiver that cannot take several as one gets one at a time, so that a
            failure does not repeat those before it.
    """

    name: str
    batch: int

    def receive(self, events: Sequence[Event]) -> None:
        """Take all of them, or raise and have taken none for good.

        Raises:
            EventError: one of the events can never be taken.
            LineageError: they cannot be taken now.
        """
        ...

    def close(self) -> None:
        """Let go of connections; ``receive`` may be called again and takes them up anew."""
        ...


@runtime_checkable
class Holding(Protocol):
    """A receiver that may have taken events and hold some of what they say back."""

    def hand_on(self) -> None:
        """Try again all that is held back.

        Raises:
            LineageError: some of it still is.
        """
        ...


@runtime_checkable
class Asking(Protocol):
    """A receiver that can tell work from waiting for an answer."""

    def silent_for(self) -> float:
        """Seconds for which it has waited for an answer, and nothing came; 0 when it does not wait. Called from other threads."""
        ...


class GraphReceiver:
    """Projects events into a graph, a batch in one transaction.

    Args:
        open_keeper: opens the graph; called in the courier's thread, and again after a failure and after a fork.
    """

    name = GRAPH
    batch = 200

    def __init__(self, open_keeper: Callable[[], Keeper]) -> None:
        self._open_keeper = open_keeper
        self._keeper: Keeper | None = None
        self._lock = threading.Lock()
        self._held = False
        guard_forks(self)

    def receive(self, events: Sequence[Event]) -> None:
        """Project a batch.

        Raises:
            EventError: one of them is malformed and will always be.
            DeliveryError: the graph cannot be written now.
        """
        self.project(events)

    def project(self, events: Sequence[Event | Mapping[str, Any]]) -> None:
        """Project events, also those of other producers as plain JSON objects; raises as ``receive``."""
        from lineage_flows.graph.project import project

        with self._lock:
            try:
                if self._keeper is None:
                    self._keeper = self._open_keeper()
                project(events, self._keeper)
            except EventError:
                raise
            except LineageError as error:
                self._drop()
                raise DeliveryError(
                    "the lineage graph cannot take events now", why=str(error), fix=error.fix
                ) from error
            except _MISTAKES as error:
                self._drop()
                raise EventError(
                    "the lineage graph cannot take an event",
                    why=f"{type(error).__name__}: {error}",
                    fix="report it, with the event; `lineage-flows deliver` offers it again after an upgrade",
                ) from error
            except BaseException:
                self._drop()
                raise

    def hand_on(self) -> None:
        """Bring to a graph that is elsewhere what waits here or was put aside; see ``Holding``."""
        from lineage_flows.graph.keeper import Remote

        with self._lock:
            try:
                if self._keeper is None:
                    self._keeper = self._open_keeper()
                if isinstance(self._keeper, Remote):
                    self._keeper.deliver()
            except BaseException:
                self._drop()
                raise

    def silent_for(self) -> float:
        """See ``Asking``: of a graph that is elsewhere; one that is here answers."""
        keeper = self._keeper  # without the lock, which is held as long as something is received
        asked = getattr(keeper, "silent_for", None)
        return 0.0 if asked is None else float(asked())

    def close(self) -> None:
        """Close the graph."""
        with self._lock:
            self._drop()

    def before_fork(self) -> None:
        """See ``ForkSafe``."""
        # A graph that is elsewhere (``keeper.Remote``, which is not imported in the middle of a fork) may be written to for
        # minutes. The child abandons it, whether or not it is in use.
        seconds = _FORK_WAIT_SECONDS if not hasattr(self._keeper, "deliver") else 0.0
        self._held = self._lock.acquire(timeout=seconds)
        if self._held:
            self._drop()

    def after_fork_in_parent(self) -> None:
        """See ``ForkSafe``."""
        if self._held:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """See ``ForkSafe``."""
        if self._keeper is not None:
            _abandoned.append(self._keeper)
        self._keeper, self._lock = None, threading.Lock()

    def _drop(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()
