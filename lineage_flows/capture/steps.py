"""Turns what happens to task runs at the engine's seams into records and events, attempt by attempt.

Knows Prefect's task engine objects, records, events; must not know where events go. No public method lets an error of capture
through unless ``strict`` says so; errors of an interceptor (a replay that cannot restore) do pass.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from lineage_flows.capture import about, assets, facts, files, randomness
from lineage_flows.capture.adoption import adopt, catch_up, interrupted
from lineage_flows.capture.code import function_ref
from lineage_flows.capture.flows import ENDINGS
from lineage_flows.capture.functions import function_source
from lineage_flows.capture.given_out import depended_on, file_log, given_out, materialized, remember_assets
from lineage_flows.capture.intercept import StepStart, Substitute
from lineage_flows.capture.ledger_end import settle
from lineage_flows.capture.ledger_log import merged
from lineage_flows.capture.left_out import LeftOut
from lineage_flows.capture.live import LiveStep, current_step
from lineage_flows.capture.turns import current_turn
from lineage_flows.capture.values import LEFT_OUT
from lineage_flows.capture.yields import UNSEEN, Yields
from lineage_flows.content import Columns
from lineage_flows.records import AttemptRef, StepRecord, ValueRef

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun

    from lineage_flows.capture.session import Session
    from lineage_flows.events import EventKind

__all__ = ["StepRecorder"]

_RUNNING = {"state": "Running", "state_type": "RUNNING"}
_RETRIES = frozenset({"Retrying", "AwaitingRetry"})


class StepRecorder:
    """Records the task runs of one process.

    Attributes:
        sees_yields: whether this Prefect lets the yields of generator tasks be seen.
        generators: the generator tasks that are being read, by run id.
    """

    def __init__(self, session: Session) -> None:
        self.sees_yields = True
        self.generators: dict[str, LiveStep] = {}
        self._session = session
        self._boundary = session.boundary

    def called(self, engine: Any, transaction: Any) -> LiveStep | None:
        """An attempt is about to call the task's function (or to read its cached result); None when it is not captured."""
        with self._boundary.guard("recording a task's start", _errors(engine)):
            step = self._begin(engine)
            if step is not None:
                step.from_cache = bool(transaction.is_committed())
                if step.from_cache:
                    step.datasets = []  # assets that its function would have read
                if engine.task.isgenerator:
                    self._closed(step)  # submitted: Prefect calls it like any function, and nobody reads it there
            return step
        return None

    def intercept(self, step: LiveStep) -> Substitute | None:
        """Let a replay restore what the attempt starts from, or give the value to use in place of executing."""
        interceptor = self._session.interceptor
        if interceptor is None:
            return None
        record = step.start
        start = StepStart(
            flow_run_id=record.flow_run_id,
            root_run_id=record.root_run_id,
            flow_name=record.flow_name,
            task_name=record.task_name,
            run_id=record.run_id,
            attempt=step.attempt,
            inputs=step.inputs,
        )
        substitute = interceptor.before_step(start)
        step.restored = substitute is not None
        return substitute

    @contextmanager
    def inside(self, step: LiveStep) -> Iterator[None]:
        """The time in which the task's function runs: what is touched and drawn here belongs to the attempt."""
        with self._boundary.guard("recording random states", step.errors):
            keeps = self._session.keeps(step.start.level)
            step.random = randomness.snapshot(self._session.put_json if keeps else None)
        token = current_step.set(step)
        try:
            with files.activate(step.files), randomness.entropy() as step.draws:
                yield
        except BaseException as error:
            with self._boundary.guard("recording a task's exception", step.errors):
                step.raised = facts.error_of(error)
            raise
        finally:
            current_step.reset(token)
            self._close_attempt(step)

    def returned(self, engine: Any, result: object, transaction: Any) -> None:
        """The task's function has returned (or its cached result was read); called before Prefect sets the final state."""
        step = _step_of(engine)
        if step is None:
            return
        value = facts.unwrap_stored(result)
        if inspect.isgenerator(value):
            step.unread = transaction  # of a submitted one, Prefect makes a list before it sets the state
            return
        self._close_attempt(step)
        with self._boundary.guard("recording a task's result", step.errors):
            step.raised = None
            self._given_out(engine, step, value, transaction)

    def _given_out(self, engine: Any, step: LiveStep, value: object, transaction: Any) -> None:
        looks: Columns = {}
        ref = self._seen(step, value, looks)
        if step.yields is None:
            given_out(self._session, step, value, ref=ref, looks=looks, transaction=transaction)
        else:
            # Prefect gives None for a generator that its reader left, and does so while it handles the leaving.
            step.output = self._yielded_so_far(step, ref, left=isinstance(sys.exc_info()[1], GeneratorExit))
        materialized(self._session, engine.task, step)

    def _seen(self, step: LiveStep, value: object, looks: Columns | None = None) -> ValueRef:
        hidden = step.left_out is not None and not step.left_out.decision.outputs
        if step.left_out is not None:
            step.left_out.output = hidden
        return LEFT_OUT if hidden else self._session.values.see(value, looks)

    def rolled_back(self, engine: Any) -> None:
        """A transaction that the task run was a part of has failed: what it did may be undone, by the task's own hooks."""
        step = _step_of(engine)
        if step is not None and step.finished:  # its events have ended: its flow run tells of it
            step.flow.rolled_back.append(step.start.run_id)

    def yielded(self, state: State[Any], value: object) -> None:
        """A generator task has yielded a value, which its reader has not seen yet."""
        step = self.generators.get(str(state.state_details.task_run_id))
        if step is None or step.yields is None:
            return
        with self._boundary.guard("recording what a task yields", step.errors):
            ref = self._seen(step, value)
            path = step.yields.add(ref)
            run_id = step.start.run_id
            uri = self._session.result_uri("task-run", run_id)
            step.flow.root.links.yielded(run_id, uri, path, ref)
            step.flow.root.links.derivation.gave_out(value, run_id, uri, ref, path)

    def state(self, engine: Any, state: State[Any]) -> None:
        """A task run has reached a state."""
        name = state.name or ""
        if not (
            state.is_final()
            or name in _RETRIES
            or name == "NotReady"
            or (state.is_running() and engine.task.isgenerator)
        ):
            return
        with self._boundary.guard("recording a task run's state", _errors(engine)):
            step = _step_of(engine)
            if name in _RETRIES:
                if step is not None:
                    self._attempt_failed(step, name)
                    if engine.task.isgenerator and state.is_running():
                        self._open(engine)
                return
            if step is None:
                # Never called: a generator (which has no call_task_fn), an upstream that failed, or a crash before the call.
                step = self._open(engine) if state.is_running() else self._begin(engine)
            if step is not None and not step.finished and not state.is_running():
                step.finished = True
                step.columns.release()
                self._close_attempt(step)
                if step.unread is not None and state.is_completed():
                    self._given_out(engine, step, facts.unwrap_result(state), step.unread)
                if step.yields is not None and step.output is None:
                    step.output = self._yielded_so_far(step, left=True)
                self._closed(step)
                step.flow.root.links.derivation.ended(step.start.run_id)
                self._finished(step, state)

    # ---------------------------------------------------------------------------------------------------- generators

    def _open(self, engine: Any) -> LiveStep | None:
        """An attempt of a generator begins, from which on its yields are taken in."""
        step = self._begin(engine)
        if step is not None:
            step.yields = Yields("async_generator" if inspect.isasyncgenfunction(engine.task.fn) else "generator")
            self.generators[step.start.run_id] = step
            step.flow.generators[step.start.run_id] = partial(self._unfinished, step)
            if (turn := current_turn.get()) is not None:
                turn.attempt(step)
        return step

    def _closed(self, step: LiveStep) -> None:
        step.yields = None
        self.generators.pop(step.start.run_id, None)
        step.flow.generators.pop(step.start.run_id, None)

    def _yielded_so_far(self, step: LiveStep, returned: ValueRef | None = None, *, left: bool) -> ValueRef:
        yields = step.yields
        if yields is None or not self.sees_yields:
            return ValueRef(fingerprint=None, type="generator", rule="none", note=UNSEEN)
        whole = yields.whole(returned, left=left)
        if step.start.level != "all":
            return whole
        note = "not kept: what a generator yields is not kept"
        return whole.model_copy(update={"note": f"{whole.note}; {note}" if whole.note else note})

    def _unfinished(self, step: LiveStep) -> None:
        """The flow has ended, and a generator was not: what it yielded until now is recorded, since nobody may ever close it."""
        with self._boundary.guard("recording what a task yields", step.errors):
            step.output = self._yielded_so_far(step, left=True)
            record = step.start.model_copy(
                update={
                    "attempt": step.attempt,
                    "attempts": tuple(step.attempts),
                    **_RUNNING,
                    "inputs": step.inputs,
                    "output": step.output,
                    "capture_errors": tuple(step.errors),
                }
            )
            self._session.sink.accept(self._session.builder.step_event("RUNNING", record, step.flow.start), record)
            step.output = None

    # ------------------------------------------------------------------------------------------------ one attempt

    def _begin(self, engine: Any) -> LiveStep | None:
        if engine.__dict__.get("_lineage_off"):
            return None
        task_run: TaskRun = engine.task_run
        step = _step_of(engine)
        first = step is None
        if step is None:
            step = self._new_step(engine, task_run)
            if step is None:
                engine.__dict__["_lineage_off"] = True
                return None
            engine.__dict__["_lineage_step"] = step
        step.attempt = max(task_run.run_count, 1) + step.before
        step.attempt_started = facts.now()
        step.raised = None
        with self._boundary.guard("fingerprinting a task's inputs", step.errors):
            catch_up(self._session, step.flow)
            step.columns.release()
            step.inputs = self._session.values.inputs(
                engine.parameters or {},
                step.flow.root.links,
                lambda name: facts.tracked_inputs(task_run, name),
                step.left_out,
                taker=str(task_run.id),
                columns=step.columns,
            )
        step.datasets = []
        with self._boundary.guard("recording a task's assets", step.errors):
            step.datasets = depended_on(self._session, engine.task, step)
        step.files = file_log(self._session, step)
        if first:
            step.start = step.start.model_copy(
                update={"inputs": step.inputs, "started": step.attempt_started, "attempt": step.attempt}
            )
            source = function_source(engine.task.fn) if step.tells_source else None
            begun = step.start.model_copy(update={**_RUNNING, "attempts": tuple(step.attempts)})
            # A process that is killed must leave the step; where the flow dies with it, there is no record to be in.
            known = begun if step.flow.root.adopted else None
            kind: EventKind = "RUNNING" if step.attempts else "START"
            event = self._session.builder.step_event(kind, begun, step.flow.start, source=source)
            self._session.sink.accept(event, known)
        return step

    def _new_step(self, engine: Any, task_run: TaskRun) -> LiveStep | None:
        if task_run.flow_run_id is None:
            return None  # a task called outside any flow has no run to belong to
        flow = self._session.find(str(task_run.flow_run_id)) or adopt(self._session, str(task_run.flow_run_id))
        if flow is None:
            return None
        tags = tuple(sorted(task_run.tags or ()))
        decision = self._session.settings.decision(flow.start.flow_name, tags=tags, task=engine.task.name)
        level = decision.level
        if level == "off":
            return None
        if flow.start.level == "metadata" and flow.errors:
            level = "metadata"  # the store could not be written when the flow run began
        outer = current_step.get()
        record = StepRecord(
            run_id=str(task_run.id),
            flow_run_id=flow.start.run_id,
            root_run_id=flow.start.root_run_id,
            flow_name=flow.start.flow_name,
            task_name=engine.task.name,
            run_name=task_run.name,
            function=function_ref(engine.task.fn, self._session.store_for(level)),
            kind=facts.step_kind(tags),
            tags=tags,
            upstream=facts.upstream_runs(task_run),
            parent_step_id=outer.start.run_id if outer is not None else None,
            level=level,
            about=about.task_about(engine.task, tags, decision.owners),
            url=about.task_run_url(str(task_run.id)),
        )
        # Dask runs the tasks of a worker that died again, as the same run; only where a process took part can that be.
        before = interrupted(self._session, record.run_id) if flow.root.adopted else ()
        left_out = LeftOut(decision) if decision.why else None
        return LiveStep(
            start=record, flow=flow, fn=engine.task.fn, left_out=left_out, attempts=list(before), before=len(before)
        )

    def _close_attempt(self, step: LiveStep) -> None:
        """Take in what the attempt touched; the first call after the function's end counts."""
        if step.files is None:
            return
        log, step.files = step.files, None
        with self._boundary.guard("recording files of a task", step.errors):
            touched = log.close()
            step.datasets.extend(touched.datasets if step.left_out is None else step.left_out.kept(touched.datasets))
            step.errors.extend(touched.errors)
            left_out = step.left_out.unrestorable if step.left_out else ()
            step.unrestorable.extend(
                item for item in (*touched.unrestorable, *left_out) if item not in step.unrestorable
            )
        was_called = step.draws is not None or step.yields is not None
        if was_called and not (step.from_cache or step.restored):
            with self._boundary.guard("recording the ledger of a task", step.errors):
                restored = bool(step.unrestorable) and self._session.keeps(step.start.level)
                drawn = 0 if step.draws is None else len(step.draws.drawn)
                found = settle(log, step.fn, touched.datasets, drawn=drawn, restored=restored)
                step.ledger = merged(step.ledger, found)

    def _attempt_failed(self, step: LiveStep, state: str) -> None:
        if step.attempts and step.attempts[-1].attempt == step.attempt:
            return  # after a delay, Prefect goes from AwaitingRetry to Retrying
        step.attempts.append(
            AttemptRef(
                attempt=step.attempt,
                state=state,
                started=step.attempt_started,
                ended=facts.now(),
                error=step.raised,
            )
        )
        record = step.start.model_copy(
            update={"attempts": tuple(step.attempts), "attempt": step.attempt, "state": state, "state_type": "RUNNING"}
        )
        self._session.sink.accept(self._session.builder.step_event("RUNNING", record, step.flow.start))

    def _finished(self, step: LiveStep, state: State[Any]) -> None:
        error = None
        if state.is_failed() or state.is_crashed():
            error = step.raised or facts.stored_state(state)
        record = step.start.model_copy(
            update={
                "run_name": step.start.run_name,
                "attempt": step.attempt,
                "attempts": tuple(step.attempts),
                "state": state.name or "",
                "state_type": state.type.value,
                "ended": facts.now(),
                "inputs": step.inputs,
                "output": step.output,
                "datasets": tuple(
                    step.datasets if state.is_completed() else assets.without_materialized(step.datasets)
                ),
                "random": self._session.random_states(step.random, step.draws, step.start.level),
                "error": error,
                "cached": state.name == "Cached" and not step.restored,
                "cached_from": step.cached_from,
                "restored": step.restored,
                "unrestorable": tuple(step.unrestorable),
                "ledger": step.ledger,
                "capture_errors": tuple(step.errors),
                "policy": step.left_out.ref() if step.left_out else None,
            }
        )
        kind = ENDINGS.get(state.type.value, "ABORT")
        self._session.sink.accept(self._session.builder.step_event(kind, record, step.flow.start), record)
        if record.datasets and state.is_completed():
            remember_assets(self._session, record.datasets)


def _step_of(engine: Any) -> LiveStep | None:
    step: LiveStep | None = engine.__dict__.get("_lineage_step")
    return step


def _errors(engine: Any) -> list[str] | None:
    step = _step_of(engine)
    return None if step is None else step.errors
