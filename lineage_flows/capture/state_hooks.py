"""The fall-back when Prefect's engine has changed: Prefect's own state hooks, which are public and stay.

Knows Prefect's tasks and flows. It sees each run's last state, its result and its upstream runs; it does not see resolved inputs,
attempts that failed before a retry, files, or random states. Every run says so among its capture errors, so none of it can be
mistaken for a full record, and no run captured this way can be replayed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lineage_flows.capture import facts
from lineage_flows.capture.code import function_ref
from lineage_flows.capture.internal import is_internal
from lineage_flows.capture.run_record import assemble
from lineage_flows.records import FlowRecord, StepRecord, record_json

if TYPE_CHECKING:
    from prefect import Flow, Task
    from prefect.client.schemas.objects import FlowRun, State, TaskRun

    from lineage_flows.capture.session import Session

__all__ = ["install", "uninstall"]

_ENDINGS = {"COMPLETED": "COMPLETE", "FAILED": "FAIL", "CRASHED": "ABORT", "CANCELLED": "ABORT"}
_originals: dict[type, Callable[..., None]] = {}


def install(session: Session, reason: str) -> None:
    """Give every flow and task made from now on hooks of ours.

    Args:
        session: where records go.
        reason: why the engine itself is not wrapped; noted on every run.
    """
    from prefect import Flow, Task

    uninstall()
    hooks = _Hooks(session, reason)
    _wrap(
        Flow,
        {"on_running": hooks.flow, "on_completion": hooks.flow, "on_failure": hooks.flow, "on_crashed": hooks.flow},
    )
    _wrap(Task, {"on_running": hooks.task, "on_completion": hooks.task, "on_failure": hooks.task})


def uninstall() -> None:
    """Stop giving hooks; those that flows and tasks already have stay."""
    for owner, original in _originals.items():
        owner.__init__ = original  # type: ignore[misc]
    _originals.clear()


def _wrap(owner: type, hooks: dict[str, Callable[..., None]]) -> None:
    original = owner.__init__  # type: ignore[misc]
    _originals[owner] = original

    @functools.wraps(original)
    def __init__(self: object, *args: object, **kwargs: object) -> None:  # noqa: N807 - stands in for the class's own
        original(self, *args, **kwargs)
        for name, hook in hooks.items():
            present = getattr(self, f"{name}_hooks")
            if hook not in present:  # with_options() hands an object's hooks on to its copy
                present.append(hook)

    owner.__init__ = __init__  # type: ignore[misc]


class _Hooks:
    def __init__(self, session: Session, reason: str) -> None:
        self._session = session
        self._note = (f"captured through state hooks: {reason}",)
        self._flows: dict[str, FlowRecord] = {}

    def flow(self, flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
        """Prefect's hook for a flow run; Prefect swallows and logs what it raises, the boundary counts it first."""
        with self._session.boundary.guard("recording a flow run's state"):
            tags = tuple(sorted(flow_run.tags or ()))
            level = self._session.settings.level_for(flow.name, tags=tags)
            if level == "off" or is_internal(flow.fn):
                return
            known = self._flows.get(str(flow_run.id))
            record = known or FlowRecord(
                run_id=str(flow_run.id),
                root_run_id=str(flow_run.id),
                flow_name=flow.name,
                run_name=flow_run.name,
                function=function_ref(flow.fn, None),
                entry=facts.entry_point(flow.fn),
                tags=tags,
                deployment=facts.deployment_of(flow_run),
                started=facts.now(),
                capture_errors=self._note,
                level="metadata",
            )
            record = record.model_copy(update={"state": state.name or "", "state_type": state.type.value})
            self._flows[record.run_id] = record
            if known is None:
                self._session.sink.accept(self._session.builder.flow_event("START", record), record)
            if state.is_final():
                self._end(record, state)

    def _end(self, record: FlowRecord, state: State[Any]) -> None:
        self._flows.pop(record.run_id, None)
        session = self._session
        told = session.settings.decision(record.flow_name, tags=record.tags).outputs
        failed = state.is_failed() or state.is_crashed()
        result = session.values.see(facts.unwrap_result(state)) if told and not failed else None
        error = facts.stored_state(state) if state.is_failed() or state.is_crashed() else None
        record = record.model_copy(update={"ended": facts.now(), "result": result, "error": error})
        run = assemble(record, session.sink.records(record.root_run_id))
        stored = session.put_json(record_json(run))
        session.sink.accept(session.builder.flow_event(_ENDINGS[state.type.value], record, run_record=stored), record)  # type: ignore[arg-type]
        if session.on_leave is not None:
            session.on_leave()

    def task(self, task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> None:
        """Prefect's hook for a task run."""
        with self._session.boundary.guard("recording a task run's state"):
            flow = self._flows.get(str(task_run.flow_run_id))
            if flow is None:
                return
            tags = tuple(sorted(task_run.tags or ()))
            decision = self._session.settings.decision(flow.flow_name, tags=tags, task=task.name)
            if decision.level == "off":
                return
            record = StepRecord(
                run_id=str(task_run.id),
                flow_run_id=flow.run_id,
                root_run_id=flow.root_run_id,
                flow_name=flow.flow_name,
                task_name=task.name,
                run_name=task_run.name,
                function=function_ref(task.fn, None),
                kind=facts.step_kind(tags),
                tags=tags,
                attempt=max(task_run.run_count, 1),
                state=state.name or "",
                state_type=state.type.value,
                started=facts.rfc3339(task_run.start_time) or facts.now(),
                upstream=facts.upstream_runs(task_run),
                capture_errors=self._note,
                level="metadata",
            )
            if state.is_running():
                if record.attempt == 1:
                    self._session.sink.accept(self._session.builder.step_event("START", record, flow))
                return
            failed = state.is_failed()
            record = record.model_copy(
                update={
                    "ended": facts.now(),
                    "output": None
                    if failed or not decision.outputs
                    else self._session.values.see(facts.unwrap_result(state)),
                    "error": facts.stored_state(state) if failed else None,
                }
            )
            kind = _ENDINGS[state.type.value]
            self._session.sink.accept(self._session.builder.step_event(kind, record, flow), record)  # type: ignore[arg-type]
