"""Finds, while a replay runs, which step of the original an attempt that starts now repeats.

Knows records only. The whole of the replay is not known yet, so a choice once made stays.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from lineage_flows.compare.steps import input_key
from lineage_flows.records import InputRef, RunRecord, StepRecord

__all__ = ["Matcher", "started_alone"]


class Matcher:
    """Claims original steps for starting ones, by flow run and task name; inside a name by equal inputs, then by order.

    Safe for threads. Every attempt of a task run gets the same answer.
    """

    def __init__(self, record: RunRecord) -> None:
        self._root = record.flow
        self._lock = threading.Lock()
        self._open: dict[str, dict[str, list[StepRecord]]] = {}
        for step in record.steps:
            self._open.setdefault(step.flow_run_id, {}).setdefault(step.task_name, []).append(step)
        self._free = {flow.run_id: flow.flow_name for flow in record.subflows}
        self._flows: dict[str, str] = {}
        self._steps: dict[str, StepRecord | None] = {}

    def match(
        self, run_id: str, *, task: str, flow: str, flow_run_id: str, root_run_id: str, inputs: Iterable[InputRef]
    ) -> StepRecord | None:
        """The original of a step that starts; None when the original had no such step (any more).

        Args:
            run_id: the starting task run.
            task: its task's name.
            flow: its flow's name.
            flow_run_id: its flow run.
            root_run_id: the root flow run of the replay.
            inputs: its inputs, fingerprinted.
        """
        key = input_key(inputs)
        with self._lock:
            if run_id not in self._steps:
                original = self._flow(flow_run_id, root_run_id, flow, task, key)
                self._steps[run_id] = self._claim(original, task, key) if original is not None else None
            return self._steps[run_id]

    def _flow(self, flow_run_id: str, root: str, name: str, task: str, key: object) -> str | None:
        """The original of a flow run, chosen when its first step starts: one with such a step of equal inputs, else the first."""
        # In another process than the flow's, a subflow's steps know no other root than the subflow.
        if flow_run_id == root and name == self._root.flow_name:
            return self._root.run_id
        if flow_run_id not in self._flows:
            candidates = [run_id for run_id, free_name in self._free.items() if free_name == name]
            if not candidates:
                return None
            fitting = (run_id for run_id in candidates if self._position(run_id, task, key) is not None)
            chosen = next(fitting, candidates[0])
            del self._free[chosen]
            self._flows[flow_run_id] = chosen
        return self._flows[flow_run_id]

    def _claim(self, flow: str, task: str, key: object) -> StepRecord | None:
        steps = self._open.get(flow, {}).get(task, [])
        if not steps:
            return None
        return steps.pop(self._position(flow, task, key) or 0)

    def _position(self, flow: str, task: str, key: object) -> int | None:
        steps = self._open.get(flow, {}).get(task, [])
        return next((i for i, step in enumerate(steps) if input_key(step.inputs) == key), None)


def started_alone(record: RunRecord) -> frozenset[str]:
    """Steps that no other step was running beside when they started; the tasks they were called from do not count.

    Only of these is the state of the process-wide random generators at their start the step's own. Restoring that of
    another would disturb the steps that are under way.
    """
    parents = {step.run_id: step.parent_step_id for step in record.steps}
    timed = sorted((step for step in record.steps if step.started), key=lambda step: step.started or "")
    alone: set[str] = set()
    running: list[StepRecord] = []
    for step in timed:
        running = [other for other in running if other.ended is None or other.ended > (step.started or "")]
        above = _ancestors(step.run_id, parents)
        if all(other.run_id in above for other in running):
            alone.add(step.run_id)
        running.append(step)
    return frozenset(alone)


def _ancestors(run_id: str, parents: dict[str, str | None]) -> set[str]:
    found: set[str] = set()
    at = parents.get(run_id)
    while at is not None and at not in found:
        found.add(at)
        at = parents.get(at)
    return found
