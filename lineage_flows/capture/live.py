"""What is known of a run while it goes on: the mutable side of the records.

Knows records, links and the observers; must not know Prefect's engine.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineage_flows.capture.columns import InputColumns
from lineage_flows.capture.links import Links
from lineage_flows.content import Columns
from lineage_flows.record_gaps import Ledger
from lineage_flows.records import (
    AttemptRef,
    DatasetRef,
    DeploymentRef,
    Environment,
    EnvironmentRef,
    ErrorRef,
    FlowRecord,
    InputRef,
    RandomStates,
    Source,
    SourceTree,
    StepRecord,
    ValueRef,
)

if TYPE_CHECKING:
    from lineage_flows.capture.files import FileLog
    from lineage_flows.capture.left_out import LeftOut
    from lineage_flows.capture.randomness import Draws
    from lineage_flows.capture.yields import Yields

__all__ = ["Background", "LiveFlow", "LiveStep", "current_flow", "current_step"]


@dataclass(frozen=True, slots=True)
class Background:
    """What is gathered beside the running flow, since it takes longer than a task."""

    code: SourceTree | None = None
    environment: Environment | None = None
    environment_ref: EnvironmentRef | None = None
    deployment: DeploymentRef | None = None


@dataclass(slots=True, eq=False)
class LiveFlow:
    """A flow run in this process. ``start`` is the record as its START event said it."""

    start: FlowRecord
    links: Links
    files: FileLog | None
    left_out: LeftOut | None = None
    errors: list[str] = field(default_factory=list)
    attempts: list[AttemptRef] = field(default_factory=list)
    datasets: list[DatasetRef] = field(default_factory=list)
    background: Future[Background] | None = None
    random: RandomStates | None = None
    draws: Draws | None = None
    raised: ErrorRef | None = None
    result: ValueRef | None = None
    result_sources: tuple[Source, ...] = ()
    unread: bool = False
    """Whether it gave out futures, whose values are known when they have all come."""
    finished: bool = False
    parent: LiveFlow | None = None
    caller: FlowRecord | None = None
    """Of the run of a deployment: the flow run of another process that ordered it."""
    adopted: bool = False
    scattered: bool = False
    """Of a root: whether steps under it may run in other processes."""
    caught_up: int = 0
    """See ``events.Sink.completed``."""
    rolled_back: list[str] = field(default_factory=list)
    """Steps whose transaction failed after they had ended: run ids."""
    ordered: list[str] = field(default_factory=list)
    """Of a root: flow runs that it ordered of deployments, and that have not ended yet: run ids."""
    sent: dict[str, str] = field(default_factory=dict)
    """Of a root: task runs that were sent to other processes: run id -> the task's name."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    fn: Callable[..., Any] | None = None
    unrestorable: tuple[str, ...] = ()
    ledger: Ledger | None = None
    generators: dict[str, Callable[[], None]] = field(default_factory=dict)
    """Generator tasks that nobody has read to their end yet: run id -> records what they yielded so far."""

    @property
    def root(self) -> LiveFlow:
        """The flow run at the top; this one when it has no parent."""
        flow = self
        while flow.parent is not None:
            flow = flow.parent
        return flow

    @property
    def calling(self) -> FlowRecord | None:
        """The flow run that called or ordered this one."""
        return self.caller if self.parent is None else self.parent.start

    @property
    def is_root(self) -> bool:
        """Whether this process owns the root flow run, and so writes its run record."""
        return self.parent is None and not self.adopted


@dataclass(slots=True, eq=False)
class LiveStep:
    """A task run in this process, over all its attempts. ``start`` is the record as its START event said it."""

    start: StepRecord
    flow: LiveFlow
    left_out: LeftOut | None = None
    errors: list[str] = field(default_factory=list)
    attempts: list[AttemptRef] = field(default_factory=list)
    attempt: int = 1
    attempt_started: str | None = None
    before: int = 0
    """Attempts in other processes, of which Prefect does not know."""
    inputs: tuple[InputRef, ...] = ()
    columns: InputColumns = field(default_factory=InputColumns)
    output: ValueRef | None = None
    yields: Yields | None = None
    """Of a generator: what this attempt has yielded so far."""
    datasets: list[DatasetRef] = field(default_factory=list)
    unrestorable: list[str] = field(default_factory=list)
    random: RandomStates | None = None
    draws: Draws | None = None
    files: FileLog | None = None
    raised: ErrorRef | None = None
    fn: Callable[..., Any] | None = None
    ledger: Ledger | None = None
    from_cache: bool = False
    cached_from: Source | None = None
    unread: object = None
    """Of a submitted generator: Prefect's transaction, until its result is known."""
    restored: bool = False
    finished: bool = False

    def with_columns(self, value: object, ref: ValueRef, looks: Columns) -> ValueRef:
        """What the step gave out, with what is certain of its columns; what went in is let go."""
        reads = self.unrestorable or any(item.direction == "read" for item in self.datasets)
        edges = self.columns.edges(value, looks, alone=not reads)
        self.columns.release()
        return ref.model_copy(update={"column_lineage": edges}) if edges else ref

    @property
    def tells_source(self) -> bool:
        """Whether events may tell the source of the task's function."""
        return self.left_out is None or self.left_out.decision.source_code


current_flow: contextvars.ContextVar[LiveFlow | None] = contextvars.ContextVar("lineage_flows_flow", default=None)
current_step: contextvars.ContextVar[LiveStep | None] = contextvars.ContextVar("lineage_flows_step", default=None)
