"""Joins a run of a deployment to the flow run that ordered it by ``run_deployment``, and gives that one its result.

Knows Prefect's client, and the spool that both processes share. A run of a deployment is a root: it has code, an environment and a
run record of its own, and may outlive the one that ordered it. Where the two do not share a home, the caller's id is all there is.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineage_flows.capture import facts
from lineage_flows.capture.links import Links
from lineage_flows.capture.live import LiveFlow, current_flow, current_step
from lineage_flows.records import FlowRecord, StepRecord

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, TaskRun

    from lineage_flows.capture.session import Session

__all__ = ["Caller", "find_caller", "install", "results", "uninstall"]

_MODULE = "prefect.client.orchestration._deployments.client"
_ORDERS = {"DeploymentClient": False, "DeploymentAsyncClient": True}
"""Prefect's clients -> whether they are asynchronous."""
_METHOD = "create_flow_run_from_deployment"

_originals: dict[type, Callable[..., Any]] = {}


@dataclass(frozen=True, slots=True)
class Caller:
    """The flow run that ordered this one.

    ``record`` is None where it is not known here. ``links`` is what had been given out under it by then.
    """

    run_id: str | None = None
    record: FlowRecord | None = None
    links: Links = field(default_factory=Links)
    task_run: TaskRun | None = None

    def tracked(self, parameter: str) -> tuple[str, ...]:
        """Runs that Prefect says a parameter came from."""
        return () if self.task_run is None else facts.tracked_inputs(self.task_run, parameter)


def find_caller(session: Session, flow_run: FlowRun) -> Caller:
    """Who ordered a flow run that no flow of this process has called; asks Prefect's API only when somebody did.

    Raises:
        Exception: the API does not answer, or the spool cannot be read.
    """
    if flow_run.parent_task_run_id is None:
        return Caller()
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        task_run = client.read_task_run(flow_run.parent_task_run_id)
    if task_run.flow_run_id is None:
        return Caller()
    run_id = str(task_run.flow_run_id)
    links = Links()
    record = session.sink.record(run_id)
    if not isinstance(record, FlowRecord):
        return Caller(run_id=run_id, links=links, task_run=task_run)
    for parameter in record.parameters:
        uri = session.result_uri("flow-run", run_id, f"parameter/{parameter.name}")
        links.produced(run_id, uri, parameter.value, is_result=False)
    for made in session.sink.completed(record.root_run_id, 0)[0]:
        _produced(session, links, made)
    return Caller(run_id=run_id, record=record, links=links, task_run=task_run)


def results(session: Session, flow: LiveFlow) -> None:
    """Remember what the runs that a root flow run has ordered gave out, as soon as they have.

    Raises:
        LineageError: the spool cannot be read.
    """
    for run_id in list(flow.ordered):
        record = session.sink.record(run_id)
        if isinstance(record, FlowRecord) and (record.result is not None or record.ended is not None):
            flow.ordered.remove(run_id)
            _produced(session, flow.links, record)


def install() -> None:
    """Take note of the runs that flows of this process order. A client that has no such method is left as it is."""
    uninstall()
    try:
        module = importlib.import_module(_MODULE)
    except ImportError:
        return
    for name, is_async in _ORDERS.items():
        owner = getattr(module, name, None)
        original = None if owner is None else owner.__dict__.get(_METHOD)
        if owner is not None and original is not None:
            _originals[owner] = original
            setattr(owner, _METHOD, _order_async(original) if is_async else _order(original))


def uninstall() -> None:
    """Give the clients their method back."""
    for owner, original in _originals.items():
        setattr(owner, _METHOD, original)
    _originals.clear()


def _order(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def create_flow_run_from_deployment(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 - Prefect's
        flow_run = original(*arguments, **keywords)
        _ordered(flow_run)
        return flow_run

    return create_flow_run_from_deployment


def _order_async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def create_flow_run_from_deployment(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 - Prefect's
        flow_run = await original(*arguments, **keywords)
        _ordered(flow_run)
        return flow_run

    return create_flow_run_from_deployment


def _ordered(flow_run: FlowRun) -> None:
    step = current_step.get()
    flow = current_flow.get() or (step.flow if step is not None else None)
    if flow is not None and getattr(flow_run, "parent_task_run_id", None) is not None:
        flow.root.ordered.append(str(flow_run.id))


def _produced(session: Session, links: Links, record: StepRecord | FlowRecord) -> None:
    is_step = isinstance(record, StepRecord)
    value = record.output if isinstance(record, StepRecord) else record.result
    if value is not None and not links.knows(record.run_id):
        uri = session.result_uri("task-run" if is_step else "flow-run", record.run_id)
        links.produced(record.run_id, uri, value)
