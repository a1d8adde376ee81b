"""The job name behind a run id, for facets that name another run: OpenLineage asks for job and run together.

Knows the records and how jobs are called; must not know who keeps records.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from lineage_flows.records import FlowRecord, StepRecord

__all__ = ["Jobs", "job_name"]

_REMEMBERED = 20_000
"""Runs whose job is remembered: enough for a wide ``map``, and a few megabytes in a worker that lives for months."""


def job_name(record: StepRecord | FlowRecord) -> str:
    """The OpenLineage job of a run: ``FLOW``, or ``FLOW.TASK``; dots in names are kept."""
    if isinstance(record, FlowRecord):
        return record.flow_name
    return f"{record.flow_name}.{record.task_name}"


class Jobs:
    """Remembers the jobs of the runs it was told of, and asks elsewhere for others. Safe for threads.

    Args:
        find: gives the record of a run that another process has recorded, or None.
    """

    def __init__(self, find: Callable[[str], StepRecord | FlowRecord | None] | None = None) -> None:
        self._find = find
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def remember(self, run_id: str, name: str) -> None:
        """Take note of a run's job."""
        if run_id in self._names:
            return
        with self._lock:
            self._names[run_id] = name
            while len(self._names) > _REMEMBERED:
                del self._names[next(iter(self._names))]

    def name(self, run_id: str) -> str | None:
        """The job of a run; None when nobody here knows it."""
        name = self._names.get(run_id)
        if name is None and self._find is not None and (record := self._find(run_id)) is not None:
            name = job_name(record)
            self.remember(run_id, name)
        return name
