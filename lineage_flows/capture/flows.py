"""Turns what happens to flow runs at the engine's seams into records and events.

Knows Prefect's flow engine objects, records, events; must not know where events go. No public method lets an error of capture
through unless ``strict`` says so; errors of an interceptor (a replay that cannot restore) do pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lineage_flows.capture import about, before_runs, facts, files, randomness, seams, variables
from lineage_flows.capture.adoption import catch_up, ended_before, interrupted, is_scattered
from lineage_flows.capture.background import gather
from lineage_flows.capture.code import function_ref, loaded_modules
from lineage_flows.capture.deployed import Caller, find_caller
from lineage_flows.capture.derivation import PANDAS
from lineage_flows.capture.functions import function_source
from lineage_flows.capture.internal import is_internal
from lineage_flows.capture.ledger_end import settle
from lineage_flows.capture.left_out import LeftOut
from lineage_flows.capture.links import Links
from lineage_flows.capture.live import Background, LiveFlow, current_flow, current_step
from lineage_flows.capture.run_record import assemble
from lineage_flows.capture.travel import missing
from lineage_flows.capture.values import LEFT_OUT
from lineage_flows.errors import LineageError
from lineage_flows.records import AttemptRef, BlobRef, FlowRecord, InputRef, Level, record_json, redacted

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
                attempt = max(engine.flow_run.run_count, 1 + len(flow.attempts))
                flow.start = flow.start.model_copy(update={"attempt": attempt})
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
            flow.unread = facts.has_futures(result)  # Prefect waits for them before it sets the state
            if not flow.unread:
                self._given_out(flow, facts.unwrap_result(result))

    def _given_out(self, flow: LiveFlow, value: object) -> None:
        hidden = flow.left_out is not None and not flow.left_out.decision.outputs
        ref = LEFT_OUT if hidden else self._session.values.see(value)
        if flow.left_out is not None:
            flow.left_out.output = hidden
        links = flow.root.links
        catch_up(self._session, flow)
        flow.result_sources = links.sources(ref, (), identity_is_safe=True, derived=links.derivation.origins(value))
        size_cap = flow.left_out.decision.size_cap if flow.left_out else None
        flow.result = self._session.values.keep(value, ref, size_cap=size_cap) if flow.start.level == "all" else ref
        uri = self._session.result_uri("flow-run", flow.start.run_id)
        links.produced(flow.start.run_id, uri, flow.result)
        links.derivation.gave_out(value, flow.start.run_id, uri, ref)
        if flow.caller is not None and not flow.unread:
            # Who ordered the run may take its result in as soon as Prefect has its state, which is before its last event.
            record = flow.start.model_copy(update={"result": flow.result, "result_sources": flow.result_sources})
            event = self._session.builder.flow_event("RUNNING", record, parent_flow=flow.caller)
            self._session.sink.accept(event, record)

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
        decision = self._session.settings.decision(engine.flow.name, tags=tags)
        level = decision.level
        left_out = LeftOut(decision) if decision.why else None
        if level == "off" or is_internal(engine.flow.fn):
            return None
        parent = current_flow.get()
        if parent is None and (outer := current_step.get()) is not None:
            parent = outer.flow  # called by a step in a process that does not run the step's flow
        errors: list[str] = []
        caller = Caller()
        if parent is None:
            with self._boundary.guard("looking for the flow run that ordered this one", errors):
                caller = find_caller(self._session, flow_run)
        else:
            catch_up(self._session, parent)
        links = caller.links if parent is None else parent.root.links
        try:
            start = self._record(engine, state, level, parent, caller=caller, left_out=left_out)
        except LineageError as error:
            if self._boundary.strict:
                raise
            self._boundary.report("keeping contents; only facts are recorded of this run", error, errors)
            level = "metadata"
            start = self._record(engine, state, level, parent, caller=caller, left_out=left_out)
        flow = LiveFlow(
            start=start,
            errors=errors,
            links=links,
            files=files.FileLog(
                self._session.store_for(level),
                size_cap=decision.size_cap,
                original_path=self._session.interceptor.original_path if self._session.interceptor else None,
                keep_written=level == "all",
                left_out=left_out,
            ),
            parent=parent,
            fn=engine.flow.fn,
            left_out=left_out,
            caller=caller.record,
        )
        flow.root.scattered = flow.root.scattered or is_scattered(engine.flow.task_runner)
        engine.__dict__["_lineage_flow"] = flow
        self._session.enter(flow)
        if parent is None:
            if not files.active().any:
                variables.forget_set()
            for item in start.parameters:  # of a subflow they are what the flow around it gave, and known as that
                uri = self._session.result_uri("flow-run", start.run_id, f"parameter/{item.name}")
                links.derivation.gave_out(engine.parameters[item.name], start.run_id, uri, item.value)
            before_runs.adopt(flow.files)
            flow.background = gather(self._session, flow.start, flow_run)
            with self._boundary.guard("looking for earlier attempts of a flow run", errors):
                flow.attempts.extend(interrupted(self._session, flow.start.run_id))
            attempt = max(flow.start.attempt, 1 + len(flow.attempts))
            flow.start = flow.start.model_copy(update={"attempts": tuple(flow.attempts), "attempt": attempt})
        kind: EventKind = "RUNNING" if flow.attempts else "START"
        source = function_source(engine.flow.fn) if decision.source_code else None
        event = self._session.builder.flow_event(kind, flow.start, parent_flow=flow.calling, source=source)
        self._session.sink.accept(event, flow.start)
        if parent is None and self._session.on_enter is not None:
            self._session.on_enter()
        return flow

    def _record(
        self,
        engine: Any,
        state: State[Any],
        level: Level,
        parent: LiveFlow | None,
        *,
        caller: Caller,
        left_out: LeftOut | None,
    ) -> FlowRecord:
        import prefect

        flow_run: FlowRun = engine.flow_run
        run_id = str(flow_run.id)
        settings = self._session.settings
        tags = tuple(sorted(flow_run.tags or ()))
        interceptor = self._session.interceptor
        return FlowRecord(
            run_id=run_id,
            root_run_id=parent.start.root_run_id if parent else run_id,
            flow_name=engine.flow.name,
            run_name=flow_run.name,
            function=function_ref(engine.flow.fn, self._session.store_for(level)),
            entry=facts.entry_point(engine.flow.fn),
            parent_run_id=parent.start.run_id if parent else caller.run_id,
            parent_step_id=str(flow_run.parent_task_run_id) if flow_run.parent_task_run_id else None,
            tags=tags,
            deployment=facts.deployment_of(flow_run),
            nominal_start=facts.rfc3339(flow_run.expected_start_time) if flow_run.auto_scheduled else None,
            created_by=getattr(flow_run.created_by, "display_value", None),
            attempt=max(flow_run.run_count, 1),
            state=state.name or "",
            state_type=state.type.value,
            started=facts.now(),
            parameters=self._parameters(
                engine.parameters or {}, level, parent.root.links if parent else None, caller, left_out
            ),
            module_random=randomness.module_states(self._session.put_json if self._session.keeps(level) else None)
            if parent is None
            else None,
            replay=interceptor.info if interceptor is not None and parent is None else None,
            level=level,
            prefect_version=prefect.__version__,
            about=about.flow_about(
                engine.flow, flow_run.tags or (), settings.decision(engine.flow.name, tags=tags).owners
            ),
            origin=about.origin_of(flow_run),
        )

    def _parameters(
        self,
        parameters: dict[str, object],
        level: Level,
        links: Links | None,
        caller: Caller,
        left_out: LeftOut | None,
    ) -> tuple[InputRef, ...]:
        values = self._session.values
        size_cap = left_out.decision.size_cap if left_out else None
        found = values.inputs(parameters, caller.links if links is None else links, caller.tracked, left_out)
        if not self._session.keeps(level):
            return found
        return tuple(
            item.model_copy(update={"value": values.keep(parameters[item.name], item.value, size_cap=size_cap)})
            for item in found
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
        event = self._session.builder.flow_event("RUNNING", record, parent_flow=flow.calling)
        self._session.sink.accept(event, record)

    def _finished(self, flow: LiveFlow, state: State[Any]) -> None:
        session = self._session
        if flow.unread and state.is_completed():
            with self._boundary.guard("recording a flow's result", flow.errors):
                self._given_out(flow, facts.unwrap_result(facts.unwrap_result(state)))
        for record_so_far in list(flow.generators.values()):
            record_so_far()
        with self._boundary.guard("recording files of a flow run", flow.errors):
            if flow.files is not None:
                touched = flow.files.close()
                flow.datasets.extend(
                    touched.datasets if flow.left_out is None else flow.left_out.kept(touched.datasets)
                )
                flow.errors.extend(touched.errors)
                flow.unrestorable = touched.unrestorable
                drawn = 0 if flow.draws is None else len(flow.draws.drawn)
                flow.ledger = settle(flow.files, flow.fn, touched.datasets, drawn=drawn, restored=False, is_flow=True)
        if flow.is_root and flow.sent:
            with self._boundary.guard("looking for what ran in other processes", flow.errors):
                if (lost := missing(session, flow.sent)) is not None:
                    flow.errors.append(lost)
        if flow.parent is None:
            flow.errors.extend(line for line in seams.missing_one(PANDAS) if line not in flow.errors)
        background = self._background(flow)
        record = self._ended(flow, state, background)
        kind = ENDINGS[state.type.value]
        environment = background.environment if background else None
        if not flow.is_root:
            session.sink.accept(session.builder.flow_event(kind, record, parent_flow=flow.calling), record)
            return
        # Who shows the run (the artifact in Prefect's interface) gets it as it is written: without secrets.
        record = redacted(record)
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
        event = session.builder.flow_event(
            kind, record, run_record=stored, parent_flow=flow.calling, environment=environment
        )
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
                "unrestorable": flow.unrestorable,
                "ledger": flow.ledger,
                "rolled_back": tuple(flow.rolled_back),
                "capture_errors": tuple(flow.errors),
                "policy": flow.left_out.ref() if flow.left_out else None,
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
