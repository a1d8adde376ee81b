"""Seams of Prefect's engine that a release may lack without harm: what they would tell is then not told.

Knows Prefect's engine; must not know what a recorder does. See ``engine`` for those that capture cannot do without.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lineage_flows.capture.turns import Turn, relay, relay_async

if TYPE_CHECKING:
    from lineage_flows.capture.steps import StepRecorder

__all__ = ["install", "uninstall"]

_MODULE = "prefect.task_engine"
_ENGINE = "BaseTaskRunEngine"
_ROLLBACK = "handle_rollback"
"""Called when a transaction is rolled back that the task run was a part of; it reports a state that ``set_state`` never sees."""
_GENERATORS: dict[str, Callable[..., Any]] = {"run_generator_task_sync": relay, "run_generator_task_async": relay_async}
"""Functions that run a generator task, all of it between one value and the next -> what takes turns with it."""

_originals: dict[tuple[object, str], Callable[..., Any]] = {}


def install(steps: StepRecorder) -> None:
    """Wrap those that are there as this version knows them."""
    uninstall()
    module = importlib.import_module(_MODULE)
    engine = getattr(module, _ENGINE, None)
    rollback = None if engine is None else engine.__dict__.get(_ROLLBACK)
    if rollback is not None and tuple(inspect.signature(rollback).parameters) == ("self", "txn"):
        _replace(engine, _ROLLBACK, rollback, _rolling_back(rollback, steps))
    for name, relayed in _GENERATORS.items():
        run: Any = getattr(module, name, None)
        if inspect.isasyncgenfunction(run) if relayed is relay_async else inspect.isgeneratorfunction(run):
            _replace(module, name, run, _taking_turns(run, relayed))


def uninstall() -> None:
    """Put Prefect's own functions back."""
    for (owner, name), original in _originals.items():
        setattr(owner, name, original)
    _originals.clear()


def _replace(owner: object, name: str, original: Callable[..., Any], wrapper: Callable[..., Any]) -> None:
    _originals[owner, name] = original
    setattr(owner, name, wrapper)


def _rolling_back(original: Callable[..., Any], steps: StepRecorder) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle_rollback(self: Any, txn: Any) -> Any:  # noqa: ANN401 - Prefect's internals
        answer = original(self, txn)
        steps.rolled_back(self)
        return answer

    return handle_rollback


def _taking_turns(original: Callable[..., Any], relayed: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def run_generator_task(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 - as above
        return relayed(Turn(), original(*arguments, **keywords))

    return run_generator_task
