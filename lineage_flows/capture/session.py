"""What the recorders of one process share: settings, where things go, the boundary, and the flow runs that are going on.

Knows records, events, content; must not know Prefect.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from lineage_flows.capture.boundary import Boundary
from lineage_flows.capture.values import ValueObserver
from lineage_flows.events import EventBuilder
from lineage_flows.records import BlobRef, Level, RandomStates, RunRecord, value_uri
from lineage_flows.redaction import remember_environment

if TYPE_CHECKING:
    from pathlib import Path

    from lineage_flows.capture.intercept import Interceptor
    from lineage_flows.capture.live import LiveFlow
    from lineage_flows.capture.randomness import Draws
    from lineage_flows.content import Store
    from lineage_flows.events import Sink
    from lineage_flows.settings import Settings

__all__ = ["Session"]

_MOST_ADOPTED = 32
"""Flow runs of other processes that a worker remembers; one that goes on beyond them is adopted again."""


class Session:
    """The shared side of capture in one process.

    Args:
        settings: levels, namespace, caps, strict.
        sink: accepts events and records; durable when it returns.
        store: where contents and run records go.
        interceptor: the replay's side; None in ordinary runs.
        on_finish: called with the run record of each root flow run, after its terminal event was accepted.
        on_enter: called when a root flow run has begun, after its first event was accepted.
        on_leave: called when a root flow run has left the engine; may block for a bounded time (delivery is flushed here).
    """

    def __init__(
        self,
        settings: Settings,
        sink: Sink,
        store: Store,
        *,
        interceptor: Interceptor | None = None,
        on_finish: Callable[[RunRecord], None] | None = None,
        on_enter: Callable[[], object] | None = None,
        on_leave: Callable[[], object] | None = None,
    ) -> None:
        self.settings = settings
        self.sink = sink
        self.store = store
        self.interceptor = interceptor
        self.on_finish = on_finish
        self.on_enter = on_enter
        self.on_leave = on_leave
        self.boundary = Boundary(strict=settings.strict)
        self.builder = EventBuilder(settings.namespace, sink.record)
        self.values = ValueObserver(
            store,
            size_cap=int(settings.size_cap),
            strip=interceptor.strip if interceptor else "",
            namespace=settings.namespace,
        )
        remember_environment()
        self._flows: dict[str, LiveFlow] = {}
        self._lock = threading.Lock()

    def keeps(self, level: Level) -> bool:
        """Whether a level keeps contents, and not only facts."""
        return level in {"inputs", "all"}

    def store_for(self, level: Level) -> Store | None:
        """The store when the level keeps contents, else None."""
        return self.store if self.keeps(level) else None

    def put(self, data: bytes, format_: str = "bytes") -> BlobRef:
        """Store bytes.

        Raises:
            LineageError: the store cannot be written.
        """
        digest, size = self.store.put(data)
        return BlobRef(digest=digest, size=size, format=format_)

    def put_json(self, data: bytes) -> BlobRef:
        """Store bytes that are JSON.

        Raises:
            LineageError: the store cannot be written.
        """
        return self.put(data, "json")

    def random_states(self, states: RandomStates | None, draws: Draws | None, level: Level) -> RandomStates | None:
        """The states at a run's start, with what was drawn since.

        Raises:
            LineageError: the store cannot be written.
        """
        return states if draws is None else draws.complete(states, self.put_json if self.keeps(level) else None)

    @property
    def cache(self) -> Path:
        """Folder in which digests are remembered from run to run."""
        return self.settings.home / "cache"

    def result_uri(self, what: str, run_id: str, part: str = "result") -> str:
        """URI of a value that a run of this namespace gave out; ``what`` is ``flow-run`` or ``task-run``."""
        return value_uri(self.settings.namespace, "flow-run" if what == "flow-run" else "task-run", run_id, part)

    def enter(self, flow: LiveFlow) -> None:
        """Remember a flow run that has started, and the parameters that its steps may take in."""
        run_id = flow.start.run_id
        remember_environment()
        for parameter in flow.start.parameters:
            uri = self.result_uri("flow-run", run_id, f"parameter/{parameter.name}")
            flow.root.links.produced(run_id, uri, parameter.value, is_result=False)
        with self._lock:
            self._flows[run_id] = flow
            # Nobody tells a worker that a flow run has ended which goes on elsewhere, and workers live for months.
            adopted = [known for known, other in self._flows.items() if other.adopted] if flow.adopted else []
            for old in adopted[:-_MOST_ADOPTED]:
                del self._flows[old]

    def leave(self, flow: LiveFlow) -> None:
        """Forget a flow run that has left the engine."""
        with self._lock:
            self._flows.pop(flow.start.run_id, None)

    def find(self, flow_run_id: str) -> LiveFlow | None:
        """The flow run of that id, when it goes on in this process."""
        with self._lock:
            flow = self._flows.get(flow_run_id)
            if flow is not None and flow.adopted:
                self._flows[flow_run_id] = self._flows.pop(
                    flow_run_id
                )  # the one that was asked for least lately goes first
            return flow
