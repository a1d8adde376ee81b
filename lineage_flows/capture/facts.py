"""Reads Prefect's engine objects: what a flow run or task run says about itself, as the start of a record.

Knows the shapes of Prefect's run objects; must not know what is done with the facts.
"""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
import traceback
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage_flows.capture.boundary import message_of
from lineage_flows.records import DeploymentRef, EntryPoint, ErrorRef, StepKind
from lineage_flows.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prefect.client.schemas.objects import FlowRun, State, TaskRun

__all__ = [
    "deployment_of",
    "entry_point",
    "error_of",
    "has_futures",
    "now",
    "step_kind",
    "stored_state",
    "tracked_inputs",
    "unwrap_result",
    "unwrap_stored",
    "upstream_runs",
]

_KINDS: tuple[StepKind, ...] = ("preprocessing", "training", "postprocessing")
_STACK_LIMIT = 32_768


def now() -> str:
    """The present time as RFC 3339 in UTC, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def rfc3339(time: datetime | None) -> str | None:
    """A time of Prefect's as RFC 3339 in UTC; None stays None."""
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def step_kind(tags: Iterable[str]) -> StepKind:
    """The kind of a step, from the task's tags; of several, the earliest in a model's making."""
    present = set(tags)
    return next((kind for kind in _KINDS if kind in present), "processing")


def upstream_runs(task_run: TaskRun) -> tuple[str, ...]:
    """Task runs that this one depends on, ``wait_for`` included, by Prefect's own tracking; sorted."""
    inputs = task_run.task_inputs or {}
    return tuple(sorted({run for name in inputs if name != "__parents__" for run in tracked_inputs(task_run, name)}))


def tracked_inputs(task_run: TaskRun, parameter: str) -> tuple[str, ...]:
    """Runs that Prefect says a parameter's value came from."""
    inputs: Mapping[str, Iterable[Any]] = task_run.task_inputs or {}
    return tuple(str(item.id) for item in inputs.get(parameter, ()) if getattr(item, "id", None) is not None)


def deployment_of(flow_run: FlowRun) -> DeploymentRef | None:
    """The deployment that a flow run belongs to, as far as the run itself says."""
    if flow_run.deployment_id is None:
        return None
    return DeploymentRef(id=str(flow_run.deployment_id), work_pool=flow_run.work_pool_name)


def error_of(error: BaseException) -> ErrorRef:
    """An exception as a record; its stack is cut at 32 KiB from the front, so that the innermost frames stay."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    # Secrets are taken out before the text is cut: half a secret is not found any more.
    stack = redact("".join(traceback.format_exception(error)))
    return ErrorRef(type=name, message=redact(message_of(error))[:_STACK_LIMIT], stack=stack[-_STACK_LIMIT:])


def stored_state(state: State[Any]) -> ErrorRef | None:
    """The error a failed state carries, when the exception itself was not seen."""
    data = getattr(state.data, "result", state.data)
    if isinstance(data, BaseException):
        return error_of(data)
    return ErrorRef(type=f"prefect.{state.name}", message=state.message or "")


def unwrap_stored(result: object) -> object:
    """The value of what a task's function gave, or of the stored result with its metadata that Prefect hands on in its place."""
    if type(result).__name__ == "ResultRecord" and type(result).__module__.startswith("prefect."):
        result = getattr(result, "result", result)
    return unwrap_result(result)


def unwrap_result(value: object) -> object:
    """The value behind what a flow may return: futures and states stand for their results, one level of a container deep."""
    from prefect.client.schemas.objects import State
    from prefect.futures import PrefectFuture

    def one(item: object) -> object:
        if isinstance(item, PrefectFuture):
            item = item.state
        if isinstance(item, State):
            data = item.data
            return getattr(data, "result", data) if type(data).__name__ == "ResultRecord" else data
        return item

    if type(value) in (list, tuple):
        return type(value)(one(item) for item in value)  # type: ignore[attr-defined, call-arg]
    if type(value) is dict:
        return {key: one(item) for key, item in value.items()}
    return one(value)


def has_futures(value: object) -> bool:
    """Whether what a flow returned is a future, or holds one, one level of a container deep."""
    from prefect.futures import PrefectFuture

    if isinstance(value, PrefectFuture):
        return True
    if isinstance(value, dict):
        return any(isinstance(item, PrefectFuture) for item in value.values())
    return isinstance(value, list | tuple) and any(isinstance(item, PrefectFuture) for item in value)


def entry_point(fn: Callable[..., Any]) -> EntryPoint:
    """How to import a flow's function again: its file, qualified name, module, the working directory and the import roots."""
    target = inspect.unwrap(fn)
    module = getattr(target, "__module__", None) or ""
    return EntryPoint(
        path=source_file(target),
        qualname=getattr(target, "__qualname__", type(target).__qualname__),
        module=module,
        working_directory=_working_directory(),
        import_roots=_import_roots(tuple(sys.path)),
    )


def source_file(fn: Callable[..., Any]) -> str | None:
    """The absolute path of the file a function is defined in; None in a notebook or an interactive session."""
    code = getattr(fn, "__code__", None) or getattr(getattr(fn, "__call__", None), "__code__", None)  # noqa: B004 - reads it, does not test it
    name = getattr(code, "co_filename", None)
    if not isinstance(name, str) or name.startswith("<"):
        return None
    path = Path(os.path.abspath(name))  # noqa: PTH100 - resolve() would follow links: the name the code uses counts
    return str(path) if path.is_file() else None


def _working_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # the folder was deleted under the process
        return "/"


@lru_cache(maxsize=8)
def _import_roots(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Folders of ``sys.path`` that belong to the user, in order; the interpreter's and its packages' are left out."""
    own = {os.path.realpath(path) for path in (*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix)}
    roots = []
    for entry in entries:
        path = os.path.abspath(entry or ".")  # noqa: PTH100 - as in source_file
        real = os.path.realpath(path)
        if not Path(real).is_dir() or any(real == folder or real.startswith(folder + os.sep) for folder in own):
            continue
        if path not in roots:
            roots.append(path)
    return tuple(roots)
