"""The process that executes a run again: ``python -m lineage_flows.replay.child SPEC``.

Everything that touches files is imported after the redirector is in place, so that no module holds an original function.
Leaves ``result.json`` beside the workspace; its exit code says only whether it could do that.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lineage_flows.replay.guard import guard_writes
from lineage_flows.replay.mirror import OWN_THREADS, Places
from lineage_flows.replay.redirect import Redirector

if TYPE_CHECKING:
    from prefect import Flow

    from lineage_flows.replay.interceptor import ReplayInterceptor
    from lineage_flows.replay.report import ChildResult
    from lineage_flows.replay.spec import ChildSpec
    from lineage_flows.runtime import Runtime

__all__ = ["SPEC_VARIABLE", "enter", "main", "start_capture"]

SPEC_VARIABLE = "LINEAGE_FLOWS_REPLAY_SPEC"
"""Environment variable by which an interpreter that the flow starts knows that it is part of a replay."""


def main(path: str) -> int:
    """Execute the replay that a spec file describes.

    Args:
        path: of the JSON file that holds a ``ChildSpec``.

    Returns:
        0 when a result was left, 3 otherwise.
    """
    raw = json.loads(Path(path).read_bytes())
    for descriptor in (raw["alive"], raw["progress"]):
        os.set_inheritable(descriptor, False)
    os.set_blocking(raw["progress"], False)  # a parent that does not listen holds up nothing
    _die_with_parent(raw["alive"])
    redirector = enter(raw["folders"])
    os.chdir(f"{redirector.places.workspace}{raw['record']['flow']['entry']['working_directory']}")
    os.environ[SPEC_VARIABLE] = path  # for the interpreters that the flow starts

    from lineage_flows.errors import LineageError
    from lineage_flows.replay.report import ChildResult, Failure
    from lineage_flows.replay.spec import ChildSpec

    spec = ChildSpec.model_validate(raw)
    try:
        result = _replay(spec, redirector)
    except LineageError as error:
        failure = Failure(kind=type(error).__name__, what=error.what, why=error.why, fix=error.fix)
        result = ChildResult(failure=failure)
    target = Path(spec.base, "result.json")
    target.with_suffix(".part").write_text(result.model_dump_json())
    target.with_suffix(".part").rename(target)
    return 0


def enter(folders: dict[str, Any]) -> Redirector:
    """From here on, this process sees the workspace where the original saw its folders.

    Args:
        folders: ``Folders`` as its JSON says it.
    """
    places = Places(
        workspace=folders["workspace"],
        roots=tuple(folders["roots"]),
        known=frozenset(folders["known"]),
        listed=frozenset(folders["listed"]),
        readable=tuple(folders["readable"]),
        writable=tuple(folders["writable"]),
        assumed=frozenset(folders["assumed"]),
    )
    redirector = Redirector(places)
    redirector.install()
    guard_writes(places.writable)
    return redirector


def start_capture(spec: ChildSpec, redirector: Redirector) -> tuple[Runtime, ReplayInterceptor]:
    """Capture what happens in this process as a part of the replay. Prefect's engine is already imported.

    Raises:
        LineageError: capture cannot start.
    """
    from lineage_flows import runtime
    from lineage_flows.capture import io_adapters
    from lineage_flows.content import open_store
    from lineage_flows.errors import ReplayError
    from lineage_flows.replay.clock import Clock
    from lineage_flows.replay.interceptor import ReplayInterceptor
    from lineage_flows.settings import load_settings

    runtime.stop()  # importing the engine may have turned capture on as in any process
    settings = load_settings()
    clock = Clock(spec.clock)
    interceptor = ReplayInterceptor(spec, open_store(settings.blobs_url), clock)
    clock.install()
    io_adapters.redirect_paths(redirector.serve)
    started = runtime.start(settings, interceptor=interceptor)
    if started is None:
        raise ReplayError("the replay cannot be captured", why="capture is off in its process")
    return started, interceptor


def _die_with_parent(alive: int) -> None:
    """End when the parent does, however it ended: nobody would read the result, and the workspace has no owner."""

    def wait() -> None:
        while True:
            try:
                if os.read(alive, 1) == b"":
                    break
            except OSError:
                break
        os.killpg(os.getpgrp(), 9)

    threading.Thread(target=wait, name=f"{OWN_THREADS}-parent", daemon=True).start()


def _replay(spec: ChildSpec, redirector: Redirector) -> ChildResult:
    import prefect.flow_engine
    import prefect.task_engine  # noqa: F401 - see start_capture

    from lineage_flows.capture import randomness
    from lineage_flows.errors import ReplayError
    from lineage_flows.replay.loading import import_paths, load_flow
    from lineage_flows.replay.parameters import load_parameters
    from lineage_flows.replay.report import ChildResult

    started, interceptor = start_capture(spec, redirector)
    store = started.session.store
    entry = spec.record.flow.entry
    sys.path[:] = [*import_paths(entry, spec.code_root, spec.folders.workspace, sys.path), *spec.paths]
    sys.argv[:] = [f"{spec.folders.workspace}{entry.path}"]
    if spec.record.flow.module_random is not None:
        randomness.restore_module_states(spec.record.flow.module_random, store.get)
    flow = load_flow(spec.record, spec.folders.workspace)
    parameters = load_parameters(spec.record, flow.fn, store.get, redirector, spec.parameters)
    try:
        _run(flow, parameters, spec)
    except (Exception, SystemExit) as error:  # the flow's own: how it ends is part of what is compared
        if interceptor.outcome is None:
            raise ReplayError("the replay did not reach its end", why=f"{type(error).__name__}: {error}") from error
    if interceptor.failure is not None:
        raise interceptor.failure
    if interceptor.outcome is None:
        raise ReplayError(
            "the replay ran, and could not be compared with its original",
            why="; ".join(started.session.boundary.counts) or "the flow run never reached its end",
            fix="run it again with LINEAGE_FLOWS_STRICT=true to see the error",
        )
    started.flush()
    return ChildResult(outcome=interceptor.outcome, environment=interceptor.environment)


def _run(flow: Flow[..., Any], parameters: dict[str, Any], spec: ChildSpec) -> None:
    """Run the flow as a flow run that says what it is. How it ends is the comparison's affair, an exception included."""
    import asyncio
    import inspect

    from prefect.flow_engine import run_flow

    flow.flow_run_name = None  # the replay's name stays
    flow_run = _create_flow_run(flow, parameters, spec)
    kind: Literal["result", "state"] = "result" if flow.isgenerator else "state"
    made: Any = run_flow(flow, flow_run=flow_run, parameters=parameters, return_type=kind)
    if inspect.isasyncgen(made):
        asyncio.run(_exhaust(made))
    elif inspect.isawaitable(made):
        asyncio.run(_await(made))
    elif inspect.isgenerator(made):
        for _ in made:
            pass


def _create_flow_run(flow: Flow[..., Any], parameters: dict[str, Any], spec: ChildSpec) -> Any:  # noqa: ANN401 - Prefect's flow run
    """Made beforehand, so that name, tags and nominal time are the run's own and do not reach its tasks."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import State
    from prefect.states import Pending, Scheduled
    from prefect.types._datetime import parse_datetime

    record = spec.record.flow
    state: State[Any] = (
        Scheduled(scheduled_time=parse_datetime(record.nominal_start)) if record.nominal_start else Pending()
    )
    own = [tag for tag in record.tags if tag != "replay" and not tag.startswith("replay-of:")]
    with get_client(sync_client=True) as client:
        return client.create_flow_run(
            flow,
            name=f"replay of {record.run_name}",
            parameters=flow.serialize_parameters(parameters),
            tags=[*own, "replay", f"replay-of:{record.run_id}"],
            state=state,
        )


async def _await(made: Any) -> None:  # noqa: ANN401 - a coroutine of Prefect's
    await made


async def _exhaust(made: Any) -> None:  # noqa: ANN401 - an asynchronous generator of Prefect's
    async for _ in made:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
