"""The event as it travels from capture to delivery, and the protocol of what accepts it.

Knows the records; must not know how an event is built, where it is kept, or who receives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from lineage_flows.records import FlowRecord, StepRecord

__all__ = ["TERMINAL", "Event", "EventKind", "Sink"]

EventKind = Literal["START", "RUNNING", "COMPLETE", "FAIL", "ABORT"]

TERMINAL: frozenset[str] = frozenset({"COMPLETE", "FAIL", "ABORT"})
"""The kinds that end a run; a run has exactly one of them, as its last event."""


@dataclass(frozen=True, slots=True)
class Event:
    """One OpenLineage run event, serialised once.

    Attributes:
        run_id: the run it tells of: Prefect's own flow-run or task-run id (UUID, lower case).
        root_run_id: the flow run at the top of it; equal to ``run_id`` for that run itself.
        kind: the event's type.
        time: ``eventTime``, RFC 3339 in UTC with microseconds (``2026-01-31T16:00:00.000000Z``).
        payload: the event as strict JSON (UTF-8, one object, no NaN), as every receiver gets it.
    """

    run_id: str
    root_run_id: str
    kind: EventKind
    time: str
    payload: bytes


class Sink(Protocol):
    """What capture writes to. ``lineage_flows.delivery.Spool`` is one."""

    def accept(self, event: Event, record: StepRecord | FlowRecord | None = None) -> None:
        """Keep an event, and the record of its run as it is now; both are on disk when this returns.

        Raises:
            DeliveryError: it could not be kept; nothing of it was.
        """
        ...

    def record(self, run_id: str) -> StepRecord | FlowRecord | None:
        """The latest accepted record of one run; None when none was accepted.

        Raises:
            DeliveryError: it cannot be read.
        """
        ...

    def completed(self, root_run_id: str, after: int) -> tuple[list[StepRecord | FlowRecord], int]:
        """The records of the runs under a root flow run that completed since an earlier call, whichever process ran them.

        Args:
            root_run_id: the root's.
            after: what the call before gave as its second result; 0 for all.

        Raises:
            DeliveryError: they cannot be read.
        """
        ...

    def records(self, root_run_id: str) -> list[StepRecord | FlowRecord]:
        """The latest accepted record of each run under a root flow run, in the order the runs were first accepted.

        Raises:
            DeliveryError: they cannot be read.
        """
        ...
