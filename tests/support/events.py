"""Small events of made-up runs, for those who carry them; and receivers that take them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence

import orjson

from lineage_flows.events import Event
from lineage_flows.events.event import EventKind


def event(number: int, *, run: int = 0, kind: EventKind = "RUNNING", root: int | None = None, size: int = 0) -> Event:
    """The ``number``-th event of a run; both are in its payload."""
    run_id = str(uuid.UUID(int=run + 1))
    payload = orjson.dumps({"run": run, "number": number, "padding": "x" * size})
    return Event(
        run_id=run_id,
        root_run_id=run_id if root is None else str(uuid.UUID(int=root + 1)),
        kind=kind,
        time=f"2026-01-30T21:30:00.{number % 1_000_000:06d}Z",
        payload=payload,
    )


def name_of(one: Event) -> tuple[int, int]:
    """Run and number of an event made by ``event``."""
    document = orjson.loads(one.payload)
    return document["run"], document["number"]


class Collector:
    """Takes everything, unless ``refuse`` raises; what it took is in ``got``, in order, a batch in ``batches``."""

    def __init__(
        self, name: str = "collector", *, batch: int = 200, refuse: Callable[[Sequence[Event]], None] = lambda _: None
    ) -> None:
        self.name = name
        self.batch = batch
        self.refuse = refuse
        self.got: list[tuple[int, int]] = []
        self.batches: list[int] = []
        self.tries = 0
        self.closed = threading.Event()

    def receive(self, events: Sequence[Event]) -> None:
        self.tries += 1
        self.refuse(events)
        self.got += [name_of(one) for one in events]
        self.batches.append(len(events))

    def close(self) -> None:
        self.closed.set()
