"""Turns what happens to flow runs at the engine's seams into records and events.

Knows Prefect's flow engine objects, records, events; must not know where events go. No public method lets an error of capture
through unless ``strict`` says so; errors of an interceptor (a replay that cannot restore) do pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lineage_flows.capture import facts, files, randomness
from lineage_flows.capture.adoption import catch_up, ended_before, is_scattered
from lineage_flows.capture.background import gather
from lineage_flows.capture.code import function_ref, loaded_modules
from lineage_flows.capture.internal import is_internal
from lineage_flows.capture.links import Links
from lineage_flows.capture.live import Background, LiveFlow, current_flow, current_step
from lineage_flows.capture.run_record import assemble
from lineage_flows.errors import LineageError
from lineage_flows.records import AttemptRef, BlobRef, FlowRecord, InputRef, Level, record_json

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State

    from lineage_flows.capture.session import Session
    from lineage_flows.events import EventKind

__all__ = ["FlowRecorder"]

ENDINGS: dict[str, EventKind] = {"COMPLETED": "COMPLETE", "FAILED": "FAIL", "CRASHED": "ABORT", "CANCELLED": "ABORT"}
"""Prefect's final state types -> the event that ends the run."""

_BACKGROUND_SECONDS = 120.0


class FlowRecorder:
    """Records the flow runs of one process."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._boundary = session.boundary

    def state(self, engine: Any, state: State[Any]) -> None:
        """A flow run has reached a state that Prefect's API accepted."""
        flow = _flow_of(engine)
        with self._boundary.guard("recording a flow run's state", None if flow is None else flow.errors):
            if flow is None:
                if not (state.is_running() or state.is_final()) or engine.__dict__.get("_lineage_off"):
                    return
                again = state.is_final() and ended_before(self._session, str(engine.flow_run.id))
                flow = None if again else self._started(engine, state)
                if flow is None:
                    engine.__dict__["_lineage_off"] = True
                    return
            elif state.is_running():
                flow.start = flow.start.model_copy(update={"attempt": max(engine.flow_run.run_count, 1)})
            elif not state.is_final() and flow.raised is not None:
                self._attempt_ended(flow, state)
            if state.is_final() and not flow.finished:
                flow.finished = True
                self._finished(flow, state)

    def called(self, engine: Any) -> LiveFlow | None:
        """The flow's function is about to be called; None when the flow is not captured."""
        flow = _flow_of(engine)
        if flow is None:
            return None
        interceptor = self._session.interceptor
        if interceptor is not None and flow.is_root:
            interceptor.before_flow(flow.start)
        return flow

    @contextmanager
    def inside(self, flow: LiveFlow) -> Iterator[None]:
        """The time in which the flow's function runs: what is touched here, outside any task, belongs to the flow run."""
        with self._boundary.guard("recording random states", flow.errors):
            flow.random = randomness.snapshot(self._session.put_json if self._session.keeps(flow.start.level) else None)
        token, outer_step = current_flow.set(flow), current_step.set(None)
        try:
            with files.activate(flow.files), randomness.entropy() as flow.draws:
                yield
        except BaseException as error:
            with self._boundary.guard("recording a flow's exception", flow.errors):
                flow.raised = facts.error_of(error)
            raise
        finally:
            current_step.reset(outer_step)
            current_flow.reset(token)

    def returned(self, engine: Any, result: object) -> None:
        """The flow's function has returned."""
        flow = _flow_of(engine)
        if flow is None:
            return
        with self._boundary.guard("recording a flow's result", flow.errors):
            flow.raised = None
            value = facts.unwrap_result(result)
            ref = self._session.values.see(value)
            links = flow.root.links
            catch_up(self._session, flow)
            flow.result_sources = links.sources(ref, (), identity_is_safe=True)
            flow.result = self._session.values.keep(value, ref) if flow.start.level == "all" else ref
            links.produced(flow.start.run_id, self._session.result_uri("flow-run", flow.start.run_id), flow.result)

    def left(self, engine: Any) -> None:
        """A flow run has left the engine, whatever came of it; only a root flow run waits for delivery."""
        if self._is_leaving(engine) and self._session.on_leave is not None:
            with self._boundary.guard("delivering events"):
                self._session.on_leave()

    async def left_async(self, engine: Any) -> None:
        """The same in an event loop, which goes on turning meanwhile."""
        if self._is_leaving(engine) and self._session.on_leave is not None:
            import anyio.to_thread

            with self._boundary.guard("delivering events"):
                await anyio.to_thread.run_sync(self._session.on_leave, abandon_on_cancel=True)

    def _is_leaving(self, engine: Any) -> bool:
        flow = _flow_of(engine)
        if flow is None:
            return False
        self._session.leave(flow)
        return flow.is_root

    def _started(self, engine: Any, state: State[Any]) -> LiveFlow | None:
        flow_run: FlowRun = engine.flow_run
        tags = tuple(sorted(flow_run.tags or ()))
        level = self._session.settings.level_for(engine.flow.name, tags=tags)
        if level == "off" or is_internal(engine.flow.fn):
            return None
        parent = current_flow.get()
        links = Links() if parent is None else parent.root.links
        if parent is not None:
            catch_up(self._session, parent)
        errors: list[str] = []
        try:
            start = self._record(engine, state, level, parent)
        except LineageError as error:
            if self._boundary.strict:
                raise
            self._boundary.report("keeping contents; only facts are recorded of this run", error, errors)
            level = "metadata"
            start = self._record(engine, state, level, parent)
        flow = LiveFlow(
            start=start,
            errors=errors,
            links=links,
            files=files.FileLog(
                self._session.store_for(level),
                size_cap=int(self._session.settings.size_cap),
                original_path=self._session.interceptor.original_path if self._session.interceptor else None,
                keep_written=level == "all",
            ),
            parent=parent,
        )
        flow.root.scattered = flow.root.scattered or is_scattered(engine.flow.task_runner)
        engine.__dict__["_lineage_flow"] = flow
        self._session.enter(flow)
        if parent is None:
            files.adopt_module_reads(flow.files)
            flow.background = gather(self._session, flow.start, flow_run)
        event = self._session.builder.flow_event("START", flow.start, parent_flow=parent.start if parent else None)
        self._session.sink.accept(event, flow.start)
        if parent is None and self._session.on_enter is not None:
            self._session.on_enter()
        return flow

    def _record(self, engine: Any, state: State[Any], level: Level, parent: LiveFlow | None) -> FlowRecord:
        import prefect

        flow_run: FlowRun = engine.flow_run
        run_id = str(flow_run.id)
        interceptor = self._session.interceptor
        return FlowRecord(
            run_id=run_id,
            root_run_id=parent.start.root_run_id if parent else run_id,
            flow_name=engine.flow.name,
            run_name=flow_run.name,
            function=function_ref(engine.flow.fn, self._session.store_for(level)),
            entry=facts.entry_point(engine.flow.fn),
            parent_run_id=parent.start.run_id if parent else None,
            parent_step_id=str(flow_run.parent_task_run_id) if flow_run.parent_task_run_id else None,
            tags=tuple(sorted(flow_run.tags or ())),
            deployment=facts.deployment_of(flow_run),
            nominal_start=facts.rfc3339(flow_run.expected_start_time) if flow_run.auto_scheduled else None,
            created_by=getattr(flow_run.created_by, "display_value", None),
            attempt=max(flow_run.run_count, 1),
            state=state.name or "",
            state_type=state.type.value,
            started=facts.now(),
            parameters=self._parameters(engine.parameters or {}, level, parent.root.links if parent else Links()),
            module_random=randomness.module_states(self._session.put_json if self._session.keeps(level) else None)
            if parent is None
            else None,
            replay=interceptor.info if interceptor is not None and parent is None else None,
            level=level,
            prefect_version=prefect.__version__,
        )

    def _parameters(self, parameters: dict[str, object], level: Level, links: Links) -> tuple[InputRef, ...]:
        values = self._session.values
        found = values.inputs(parameters, links, lambda _: ())
        if not self._session.keeps(level):
            return found
        return tuple(
            item.model_copy(update={"value": values.keep(parameters[item.name], item.value)}) for item in found
        )

    def _attempt_ended(self, flow: LiveFlow, state: State[Any]) -> None:
        flow.attempts.append(
            AttemptRef(
                attempt=flow.start.attempt,
                state=state.name or "",
                started=flow.start.started if not flow.attempts else flow.attempts[-1].ended,
                ended=facts.now(),
                error=flow.raised,
            )
        )
        flow.raised = None
        record = flow.start.model_copy(
            update={"attempts": tuple(flow.attempts), "state": state.name or "", "state_type": state.type.value}
        )
        parent = flow.parent.start if flow.parent else None
        self._session.sink.accept(self._session.builder.flow_event("RUNNING", record, parent_flow=parent), record)

    def _finished(self, flow: LiveFlow, state: State[Any]) -> None:
        session = self._session
        for record_so_far in list(flow.generators.values()):
            record_so_far()
        with self._boundary.guard("recording files of a flow run", flow.errors):
            if flow.files is not None:
                touched = flow.files.close()
                flow.datasets.extend(touched.datasets)
                flow.errors.extend(touched.errors)
        background = self._background(flow)
        record = self._ended(flow, state, background)
        kind = ENDINGS[state.type.value]
        environment = background.environment if background else None
        if not flow.is_root:
            parent = flow.parent.start if flow.parent else None
            session.sink.accept(session.builder.flow_event(kind, record, parent_flow=parent), record)
            return
        run = assemble(record, session.sink.records(record.root_run_id))
        if session.interceptor is not None and record.replay is not None:
            with self._boundary.guard("comparing a replay with its original", flow.errors):
                outcome = session.interceptor.conclude(run)
                record = record.model_copy(update={"replay": record.replay.model_copy(update={"outcome": outcome})})
                run = run.model_copy(update={"flow": record})
        stored: BlobRef | None = None
        with self._boundary.guard("keeping the run record", flow.errors):
            stored = session.put_json(record_json(run))
        if stored is None:
            record = record.model_copy(update={"capture_errors": tuple(flow.errors)})
        event = session.builder.flow_event(kind, record, run_record=stored, environment=environment)
        session.sink.accept(event, record)
        if session.on_finish is not None:
            session.on_finish(run)

    def _ended(self, flow: LiveFlow, state: State[Any], background: Background | None) -> FlowRecord:
        error = None
        if state.is_failed() or state.is_crashed():
            error = flow.raised or facts.stored_state(state)
        return flow.start.model_copy(
            update={
                "attempts": tuple(flow.attempts),
                "state": state.name or "",
                "state_type": state.type.value,
                "ended": facts.now(),
                "result": flow.result,
                "result_sources": flow.result_sources,
                "datasets": tuple(flow.datasets),
                "code": background.code if background else None,
                "environment": background.environment_ref if background else None,
                "deployment": (background.deployment if background else None) or flow.start.deployment,
                "random": self._session.random_states(flow.random, flow.draws, flow.start.level),
                "error": error,
                "capture_errors": tuple(flow.errors),
            }
        )

    def _background(self, flow: LiveFlow) -> Background | None:
        """Code, environment and deployment, gathered while the flow ran; modules loaded meanwhile are added now."""
        if flow.background is None:
            return None
        found: Background | None = None
        with self._boundary.guard("recording code and environment", flow.errors):
            found = flow.background.result(timeout=_BACKGROUND_SECONDS)
        if found is not None and found.code is not None and self._session.keeps(flow.start.level):
            with self._boundary.guard("recording loaded modules", flow.errors):
                modules = loaded_modules(found.code, self._session.store, cache=self._session.cache)
                found = Background(
                    code=found.code.model_copy(update={"modules": modules}),
                    environment=found.environment,
                    environment_ref=found.environment_ref,
                    deployment=found.deployment,
                )
        return found


def _flow_of(engine: Any) -> LiveFlow | None:
    flow: LiveFlow | None = engine.__dict__.get("_lineage_flow")
    return flow
