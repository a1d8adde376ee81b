"""What a replay puts in front of capture, in the process that executes the run again.

Knows records only; capture works the same when nobody intercepts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lineage_flows.records import FlowRecord, InputRef, ReplayInfo, ReplayOutcome, RunRecord

__all__ = ["Interceptor", "StepStart", "Substitute"]


@dataclass(frozen=True, slots=True)
class StepStart:
    """An attempt of a task that is about to be called, its inputs already fingerprinted."""

    flow_run_id: str
    root_run_id: str
    flow_name: str
    task_name: str
    run_id: str
    attempt: int
    inputs: tuple[InputRef, ...]


@dataclass(frozen=True, slots=True)
class Substitute:
    """A captured value that takes the place of a step's execution; Prefect shows the step as Cached."""

    value: object


class Interceptor(Protocol):
    """The replay's side of capture. Exceptions from these methods reach the flow: a replay that cannot restore must not go on."""

    info: ReplayInfo
    """Recorded on the root flow run; its ``outcome`` is still None."""

    strip: str
    """Folder under which absolute paths of the original run are mirrored; removed from strings before they are fingerprinted."""

    original: RunRecord
    """What is repeated."""

    def original_path(self, path: str) -> str:
        """The name a file of the workspace had in the original run; any other path unchanged."""
        ...

    def before_flow(self, record: FlowRecord) -> None:
        """Called when the root flow run's function is about to be called."""
        ...

    def before_step(self, step: StepStart) -> Substitute | None:
        """Called before each attempt; restores random states, or gives the value to use in place of executing."""
        ...

    def conclude(self, record: RunRecord) -> ReplayOutcome | None:
        """Called at the end of the root flow run, before its terminal event; the comparison with the original."""
        ...
