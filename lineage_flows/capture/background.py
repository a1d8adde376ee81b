"""Gathers, beside the running flow, what takes longer than a task: the source tree, the environment, the deployment's name.

Knows Prefect's client for the deployment's name; must not know where events go.
"""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from lineage_flows.capture import facts, snapshot_gate
from lineage_flows.capture.code import capture_source_tree
from lineage_flows.capture.environment import capture_environment, environment_digest
from lineage_flows.capture.hash_only import HashOnlyStore
from lineage_flows.capture.live import Background
from lineage_flows.records import DeploymentRef, EnvironmentRef, FlowRecord

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from lineage_flows.capture.session import Session

__all__ = ["gather"]


def gather(session: Session, start: FlowRecord, flow_run: FlowRun) -> Future[Background]:
    """Start gathering in a thread of its own; the result is asked for at the end of the flow run.

    The thread is a daemon: a process that must end does not wait for it. It runs in a copy of the caller's context, so that
    Prefect's settings are the flow's.
    """
    future: Future[Background] = Future()
    context = contextvars.copy_context()

    gate = snapshot_gate.begin()

    def work() -> None:
        try:
            future.set_result(context.run(_gather, session, start, flow_run, gate))
        except BaseException as error:  # noqa: BLE001 - handed to the one who asks for the result
            future.set_exception(error)
        finally:
            snapshot_gate.end(gate)

    threading.Thread(target=work, name="lineage-flows-background", daemon=True).start()
    return future


def _gather(session: Session, start: FlowRecord, flow_run: FlowRun, gate: threading.Event) -> Background:
    code = capture_source_tree(
        start.entry.path,
        store=session.store if session.keeps(start.level) else HashOnlyStore(),
        size_cap=int(session.settings.code_size_cap),
        cache=session.cache,
    )
    snapshot_gate.end(gate)
    if not session.keeps(start.level):
        code = code.model_copy(update={"blob": None, "modules": (), "note": f"not kept: the level is {start.level}"})
    environment = capture_environment(session.settings.variables, cache=session.cache)
    digest = environment_digest(environment)
    blob = session.put_json(environment.model_dump_json().encode())
    return Background(
        code=code,
        environment=environment,
        environment_ref=EnvironmentRef(
            digest=digest, blob=blob, python=environment.python, platform=environment.platform
        ),
        deployment=_deployment(flow_run),
    )


def _deployment(flow_run: FlowRun) -> DeploymentRef | None:
    """The deployment with its name, which only the API knows; without it when the API does not say."""
    known = facts.deployment_of(flow_run)
    if known is None or flow_run.deployment_id is None:
        return known
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException

    try:
        with get_client(sync_client=True) as client:
            found = client.read_deployment(flow_run.deployment_id)
    except (PrefectException, httpx.HTTPError):
        return known
    return known.model_copy(update={"name": found.name, "work_pool": known.work_pool or found.work_pool_name})
