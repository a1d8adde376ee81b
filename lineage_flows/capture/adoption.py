"""A flow run whose task runs in a process that does not run the flow itself: a process pool's worker, for one.

Knows Prefect's flow run context; the flow's own process writes the run record, this one only the step's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineage_flows.capture import facts
from lineage_flows.capture.code import function_ref
from lineage_flows.capture.deployed import results
from lineage_flows.capture.links import Links
from lineage_flows.capture.live import LiveFlow, current_flow
from lineage_flows.records import AttemptRef, ErrorRef, FlowRecord, StepRecord

if TYPE_CHECKING:
    from lineage_flows.capture.session import Session

__all__ = ["INTERRUPTED", "adopt", "catch_up", "ended_before", "interrupted", "is_scattered"]

INTERRUPTED = "Interrupted"
"""The state of an attempt that another process began and did not end: it was killed, or its flow was suspended."""


def adopt(session: Session, flow_run_id: str) -> LiveFlow | None:
    """The flow run that Prefect's context names; None when it is not captured.

    A subflow's root is not in Prefect's context: its steps in another process count the subflow as the root.

    Raises:
        LineageError: the spool cannot be read.
    """
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow is None or str(context.flow_run.id) != flow_run_id:
        return None
    tags = tuple(sorted(context.flow_run.tags or ()))
    level = session.settings.level_for(context.flow.name, tags=tags)
    if level == "off":
        return None
    start = session.sink.record(flow_run_id)
    if not isinstance(start, FlowRecord):
        start = FlowRecord(
            run_id=flow_run_id,
            root_run_id=flow_run_id,
            flow_name=context.flow.name,
            run_name=context.flow_run.name,
            function=function_ref(context.flow.fn, None),
            entry=facts.entry_point(context.flow.fn),
            tags=tags,
            level=level,
        )
    flow = LiveFlow(start=start, links=Links(), files=None, adopted=True, scattered=True)
    session.enter(flow)
    return flow


def interrupted(session: Session, run_id: str) -> tuple[AttemptRef, ...]:
    """The attempts of a run that began in another process, which left it; empty when this is the first process to run it.

    Raises:
        LineageError: the spool cannot be read.
    """
    earlier = session.sink.record(run_id)
    if earlier is None or earlier.ended is not None:
        return ()
    why = ErrorRef(type=INTERRUPTED, message="the process that ran it ended, or left it, before it was done")
    known = [attempt for attempt in earlier.attempts if attempt.attempt < earlier.attempt]
    last = AttemptRef(attempt=earlier.attempt, state=INTERRUPTED, started=earlier.started, ended=facts.now(), error=why)
    return (*known, last)


def ended_before(session: Session, run_id: str) -> bool:
    """Whether a flow run had ended when the engine met it: Prefect then gives its result again and runs nothing.

    So it does with a subflow when the flow around it is retried. What was recorded of the run stays as it is; its result is
    remembered as given out, since another process may have run it.

    Raises:
        LineageError: the spool cannot be read.
    """
    record = session.sink.record(run_id)
    if not isinstance(record, FlowRecord) or record.ended is None:
        return False
    flow = current_flow.get()
    if flow is not None and record.result is not None:
        flow.root.links.produced(run_id, session.result_uri("flow-run", run_id), record.result)
    return True


def is_scattered(runner: object) -> bool:
    """Whether a flow's tasks may run in other processes: whether its task runner is any but the thread pool."""
    from prefect.task_runners import ThreadPoolTaskRunner

    return not isinstance(runner, ThreadPoolTaskRunner)


def catch_up(session: Session, flow: LiveFlow) -> None:
    """Remember what runs in other processes gave out since the last call: their records are in the spool.

    Raises:
        LineageError: the spool cannot be read.
    """
    root = flow.root
    if not (root.scattered or root.ordered):
        return
    with root.lock:
        results(session, root)
        records, root.caught_up = session.sink.completed(root.start.root_run_id, root.caught_up)
        for record in records:
            result = record.output if isinstance(record, StepRecord) else record.result
            what = "task-run" if isinstance(record, StepRecord) else "flow-run"
            if result is not None and not root.links.knows(record.run_id):
                root.links.produced(record.run_id, session.result_uri(what, record.run_id), result)
