"""The seams of Prefect's engine: which methods are wrapped, the check that they are as this version knows them, and the wrapping.

Knows Prefect's engine; must not know what a recorder does. Chosen because only here every attempt, its resolved inputs and every
state pass in the task's own process and thread; state hooks miss inputs and failed attempts, the event stream drops events.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from lineage_flows.capture import deployed, soft_seams
from lineage_flows.errors import UnsupportedPrefectError

if TYPE_CHECKING:
    from lineage_flows.capture.flows import FlowRecorder
    from lineage_flows.capture.steps import StepRecorder

__all__ = ["SEAMS", "check_seams", "check_yields", "install", "installed", "uninstall"]

SEAMS: dict[tuple[str, str, str], tuple[bool, tuple[str, ...]]] = {
    ("prefect.task_engine", "SyncTaskRunEngine", "call_task_fn"): (False, ("self", "transaction")),
    ("prefect.task_engine", "SyncTaskRunEngine", "handle_success"): (False, ("self", "result", "transaction")),
    ("prefect.task_engine", "SyncTaskRunEngine", "set_state"): (False, ("self", "state", "force")),
    ("prefect.task_engine", "AsyncTaskRunEngine", "call_task_fn"): (True, ("self", "transaction")),
    ("prefect.task_engine", "AsyncTaskRunEngine", "handle_success"): (True, ("self", "result", "transaction")),
    ("prefect.task_engine", "AsyncTaskRunEngine", "set_state"): (True, ("self", "state", "force")),
    ("prefect.flow_engine", "FlowRunEngine", "start"): (False, ("self",)),
    ("prefect.flow_engine", "FlowRunEngine", "call_flow_fn"): (False, ("self",)),
    ("prefect.flow_engine", "FlowRunEngine", "handle_success"): (False, ("self", "result")),
    ("prefect.flow_engine", "FlowRunEngine", "set_state"): (False, ("self", "state", "force")),
    ("prefect.flow_engine", "AsyncFlowRunEngine", "start"): (False, ("self",)),
    ("prefect.flow_engine", "AsyncFlowRunEngine", "call_flow_fn"): (True, ("self",)),
    ("prefect.flow_engine", "AsyncFlowRunEngine", "handle_success"): (True, ("self", "result")),
    ("prefect.flow_engine", "AsyncFlowRunEngine", "set_state"): (True, ("self", "state", "force")),
}
"""Module, class and method -> (is it a coroutine function, the names of its parameters). Verified on Prefect 3.8.8."""

GENERATORS = ("run_generator_task_sync", "run_generator_task_async")
_LINK = "link_state_to_task_run_result"
"""What Prefect calls with every value that one of these yields, before its reader gets it. The one seam that may be missing."""

_originals: dict[tuple[str, str, str], Callable[..., Any]] = {}
_link: list[Callable[..., Any]] = []


def check_seams() -> list[str]:
    """What in the installed Prefect differs from what the wrapping relies on; empty when all is well. Imports Prefect's engine."""
    return [problem for seam in SEAMS if (problem := _problem(seam)) is not None]


def check_yields() -> str | None:
    """Why the yields of generator tasks cannot be seen in the installed Prefect; None when they can."""
    module = importlib.import_module("prefect.task_engine")
    link = getattr(module, _LINK, None)
    if link is None or tuple(inspect.signature(link).parameters) != ("state", "result"):
        return f"prefect.task_engine.{_LINK}(state, result) does not exist"
    for name in GENERATORS:
        if _LINK not in getattr(getattr(module, name, None), "__code__", _nothing.__code__).co_names:
            return f"prefect.task_engine.{name} does not call {_LINK}"
    return None


def _nothing() -> None: ...


def installed() -> bool:
    """Whether the seams are wrapped in this process."""
    return bool(_originals)


def install(flows: FlowRecorder, steps: StepRecorder) -> None:
    """Wrap every seam; a second call in one process only changes the recorders.

    Raises:
        UnsupportedPrefectError: a seam is not what this version knows; nothing was wrapped.
    """
    if installed():
        uninstall()
    problems = check_seams()
    if problems:
        raise UnsupportedPrefectError(
            "Prefect's engine is not the one this version knows",
            why="; ".join(problems[:3]),
            fix="install a Prefect release that lineage-flows names as supported, or upgrade lineage-flows",
        )
    for seam in SEAMS:
        module, owner_name, method = seam
        owner = getattr(importlib.import_module(module), owner_name)
        original = owner.__dict__[method]
        _originals[seam] = original
        if (make_flow := _FLOW_WRAPPERS.get((owner_name, method))) is not None:
            setattr(owner, method, make_flow(original, flows))
        else:
            setattr(owner, method, _TASK_WRAPPERS[owner_name, method](original, steps))
    steps.sees_yields = check_yields() is None
    if steps.sees_yields:
        module_of_tasks = importlib.import_module("prefect.task_engine")
        _link.append(getattr(module_of_tasks, _LINK))
        setattr(module_of_tasks, _LINK, _link_yield(_link[0], steps))
    soft_seams.install(steps)
    deployed.install()


def uninstall() -> None:
    """Put Prefect's own methods back."""
    soft_seams.uninstall()
    deployed.uninstall()
    for (module, owner_name, method), original in _originals.items():
        setattr(getattr(importlib.import_module(module), owner_name), method, original)
    _originals.clear()
    if _link:
        setattr(importlib.import_module("prefect.task_engine"), _LINK, _link.pop())


def _problem(seam: tuple[str, str, str]) -> str | None:
    module, owner_name, method = seam
    is_coroutine, parameters = SEAMS[seam]
    label = f"{module}.{owner_name}.{method}"
    try:
        function = getattr(importlib.import_module(module), owner_name).__dict__[method]
    except (ImportError, AttributeError, KeyError):
        return f"{label} does not exist"
    found = tuple(inspect.signature(function).parameters)
    if found != parameters:
        return f"{label} takes {found}, not {parameters}"
    if inspect.iscoroutinefunction(function) != is_coroutine:
        return f"{label} is {'not ' if is_coroutine else ''}a coroutine function"
    return None


# Each wrapper does the same three things: tell the recorder, call Prefect's own method, tell the recorder what came of it.
# Engines are typed Any: they are Prefect's internals, and the signature check above stands in for their types.


def _call_task_fn(original: Callable[..., Any], steps: StepRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    def call_task_fn(self: Any, transaction: Any) -> Any:
        step = steps.called(self, transaction)
        if step is None:
            return original(self, transaction)
        substitute = steps.intercept(step)
        with steps.inside(step):
            if substitute is not None:
                _commit(transaction)
                self.handle_success(substitute.value, transaction=transaction)
                return substitute.value
            return original(self, transaction)

    return call_task_fn


def _call_task_fn_async(original: Callable[..., Any], steps: StepRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    async def call_task_fn(self: Any, transaction: Any) -> Any:
        step = steps.called(self, transaction)
        if step is None:
            return await original(self, transaction)
        substitute = steps.intercept(step)
        with steps.inside(step):
            if substitute is not None:
                _commit(transaction)
                await self.handle_success(substitute.value, transaction=transaction)
                return substitute.value
            return await original(self, transaction)

    return call_task_fn


def _task_success(original: Callable[..., Any], steps: StepRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle_success(self: Any, result: Any, transaction: Any) -> Any:
        steps.returned(self, result, transaction)
        return original(self, result, transaction)

    return handle_success


def _task_success_async(original: Callable[..., Any], steps: StepRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    async def handle_success(self: Any, result: Any, transaction: Any) -> Any:
        steps.returned(self, result, transaction)
        return await original(self, result, transaction)

    return handle_success


def _task_state(original: Callable[..., Any], steps: StepRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    def set_state(self: Any, state: Any, force: bool = False) -> Any:
        reached = original(self, state, force=force)
        steps.state(self, reached)
        return reached

    return set_state


def _task_state_async(original: Callable[..., Any], steps: StepRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    async def set_state(self: Any, state: Any, force: bool = False) -> Any:
        reached = await original(self, state, force=force)
        steps.state(self, reached)
        return reached

    return set_state


def _link_yield(original: Callable[..., Any], steps: StepRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    def link_state_to_task_run_result(state: Any, result: Any) -> Any:
        linked = original(state, result)
        # The final result of every task passes here too.
        if steps.generators and state.is_running():
            steps.yielded(state, result)
        return linked

    return link_state_to_task_run_result


def _flow_start(original: Callable[..., Any], flows: FlowRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    @contextmanager
    def start(self: Any) -> Iterator[None]:
        try:
            with original(self):
                yield
        finally:
            flows.left(self)

    return start


def _flow_start_async(original: Callable[..., Any], flows: FlowRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    @asynccontextmanager
    async def start(self: Any) -> AsyncIterator[None]:
        try:
            async with original(self):
                yield
        finally:
            await flows.left_async(self)

    return start


def _call_flow_fn(original: Callable[..., Any], flows: FlowRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    def call_flow_fn(self: Any) -> Any:
        flow = flows.called(self)
        if flow is None:
            return original(self)
        with flows.inside(flow):
            return original(self)

    return call_flow_fn


def _call_flow_fn_async(original: Callable[..., Any], flows: FlowRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    async def call_flow_fn(self: Any) -> Any:
        flow = flows.called(self)
        if flow is None:
            return await original(self)
        with flows.inside(flow):
            return await original(self)

    return call_flow_fn


def _flow_success(original: Callable[..., Any], flows: FlowRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle_success(self: Any, result: Any) -> Any:
        flows.returned(self, result)
        return original(self, result)

    return handle_success


def _flow_success_async(original: Callable[..., Any], flows: FlowRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    async def handle_success(self: Any, result: Any) -> Any:
        flows.returned(self, result)
        return await original(self, result)

    return handle_success


def _flow_state(original: Callable[..., Any], flows: FlowRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    def set_state(self: Any, state: Any, force: bool = False) -> Any:
        reached = original(self, state, force=force)
        flows.state(self, reached)
        return reached

    return set_state


def _flow_state_async(original: Callable[..., Any], flows: FlowRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    async def set_state(self: Any, state: Any, force: bool = False) -> Any:
        reached = await original(self, state, force=force)
        flows.state(self, reached)
        return reached

    return set_state


_TASK_WRAPPERS: dict[tuple[str, str], Callable[[Callable[..., Any], StepRecorder], Callable[..., Any]]] = {
    ("SyncTaskRunEngine", "call_task_fn"): _call_task_fn,
    ("SyncTaskRunEngine", "handle_success"): _task_success,
    ("SyncTaskRunEngine", "set_state"): _task_state,
    ("AsyncTaskRunEngine", "call_task_fn"): _call_task_fn_async,
    ("AsyncTaskRunEngine", "handle_success"): _task_success_async,
    ("AsyncTaskRunEngine", "set_state"): _task_state_async,
}
_FLOW_WRAPPERS: dict[tuple[str, str], Callable[[Callable[..., Any], FlowRecorder], Callable[..., Any]]] = {
    ("FlowRunEngine", "start"): _flow_start,
    ("FlowRunEngine", "call_flow_fn"): _call_flow_fn,
    ("FlowRunEngine", "handle_success"): _flow_success,
    ("FlowRunEngine", "set_state"): _flow_state,
    ("AsyncFlowRunEngine", "start"): _flow_start_async,
    ("AsyncFlowRunEngine", "call_flow_fn"): _call_flow_fn_async,
    ("AsyncFlowRunEngine", "handle_success"): _flow_success_async,
    ("AsyncFlowRunEngine", "set_state"): _flow_state_async,
}


def _commit(transaction: Any) -> None:
    """Mark a transaction committed, so that Prefect takes the given value as a cached result and runs nothing."""
    from prefect.transactions import TransactionState

    transaction.state = TransactionState.COMMITTED
