"""Lets capture travel with a task that Prefect sends to another process: where it arrives, capture turns itself on.

Knows how Prefect packs a context for another process; must not know how capture is turned on there (``runtime.arrive`` does).

A worker of a Dask or Ray cluster imports Prefect inside its event loop or with plugins switched off, so that nothing turns capture
on there. What Prefect sends it with every task is the flow's context, a dictionary. Here it becomes a dictionary that turns capture
on when it is first read, which Prefect does before it calls the task; unpickling alone does nothing, since Dask's scheduler, which
runs no task, unpickles and pickles what passes. Where this package is not installed it becomes a plain dictionary again.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import platform
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lineage_flows.capture.live import current_flow
from lineage_flows.capture.seams import disable, forget

if TYPE_CHECKING:
    from lineage_flows.capture.session import Session

__all__ = ["Packed", "home_identity", "install", "missing", "uninstall"]

MODULES = ("prefect.context", "prefect.tasks", "prefect.flow_engine", "prefect_dask.client", "prefect_ray.task_runners")
"""Modules that call ``serialize_context`` by a name of their own."""
_NAME = "serialize_context"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MOST_NAMED = 5
_UNPACK = "(exec(source, space), space['context'])[1]"
_SOURCE = """
import sys
sys._lineage_flows_arriving = True  # or importing the package would turn capture on with this machine's own defaults
try:
    from lineage_flows.capture.travel import Packed
except ImportError:
    pass  # the package is not installed here, or is an older one: the task runs all the same
else:
    context = Packed(context, carried)
finally:
    sys.__dict__.pop("_lineage_flows_arriving", None)
"""

_lock = threading.Lock()
_hooked = False
_session: Session | None = None
_originals: dict[str, Callable[..., Any]] = {}


class Packed(dict[str, Any]):
    """Prefect's packed context, with what turns capture on where it is read.

    Args:
        context: Prefect's.
        carried: what ``runtime.arrive`` is given.
    """

    def __init__(self, context: dict[str, Any], carried: str) -> None:
        super().__init__(context)
        self.carried = carried

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - as the dictionary's own
        """As the dictionary's own; Prefect reads the context so."""
        self._arrive()
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - as above
        self._arrive()
        return super().__getitem__(key)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, dict[str, Any]]]:
        # A name of this package would make unpickling fail where it is not installed.
        space = {"context": dict(self), "carried": self.carried}
        return eval, (_UNPACK, {"source": _SOURCE, "space": space})

    def _arrive(self) -> None:
        # How capture is turned on is known above this layer, which the package has loaded.
        sys.modules["lineage_flows.runtime"].arrive(self.carried)


def install(session: Session) -> None:
    """Send capture along with every task that Prefect packs in this process; a second call only changes the session."""
    global _hooked, _session  # noqa: PLW0603 - import hooks cannot be taken back, so they are registered once
    import wrapt

    with _lock:
        _session = session
        first, _hooked = not _hooked, True
    for name in MODULES:
        if first:
            wrapt.register_post_import_hook(_imported, name)
        elif name in sys.modules:
            _imported(sys.modules[name])


def uninstall() -> None:
    """Send nothing along any more, and give the modules their function back."""
    global _session  # noqa: PLW0603 - as above
    with _lock:
        _session = None
        for name, original in _originals.items():
            setattr(sys.modules[name], _NAME, original)
        _originals.clear()
        forget(_NAME)


def home_identity(home: Path) -> str | None:
    """Says whether a home here and a home there are one and the same, on one machine: its spool cannot be shared by two.

    None when there is no spool.
    """
    try:
        found = (home / "spool.db").stat()
        machine = _BOOT.read_text().strip() if _BOOT.exists() else platform.node()
    except OSError:
        return None
    return f"{machine}:{found.st_dev}:{found.st_ino}"


def missing(session: Session, sent: dict[str, str]) -> str | None:
    """What a flow run must say of the task runs that it sent elsewhere and that nobody reported; None when all did.

    Args:
        session: has the records.
        sent: task run id -> the task's name.

    Raises:
        LineageError: the spool cannot be read.
    """
    lost = [f"{name} ({run_id})" for run_id, name in sent.items() if session.sink.record(run_id) is None]
    if not lost:
        return None
    more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
    return (
        "nothing was recorded of task runs that were sent to other processes, which do not share this home or did not begin "
        f"them: {', '.join(lost[:_MOST_NAMED])}{more}"
    )


def _imported(module: ModuleType) -> None:
    with _lock:
        name = module.__name__
        original = vars(module).get(_NAME)
        if _session is None or name in _originals or original is None:
            return
        if hasattr(original, "_lineage_flows"):  # imported from a module that is wrapped already
            return
        if tuple(inspect.signature(original).parameters) != ("asset_ctx_kwargs",):
            disable(_NAME, f"{name}.{_NAME} takes other arguments than this version knows")
            return
        _originals[name] = original
        setattr(module, _NAME, _wrapped(original))


def _wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def serialize_context(asset_ctx_kwargs: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - Prefect's own dictionary
        context = original(asset_ctx_kwargs)
        session = _session
        if session is not None and session.interceptor is None:  # a replay has ways of its own into processes
            with session.boundary.guard("sending capture along with a task"):
                context = _board(session, context, asset_ctx_kwargs or {})
        return context

    serialize_context._lineage_flows = True  # type: ignore[attr-defined]
    return serialize_context


def _board(session: Session, context: dict[str, Any], asset: dict[str, Any]) -> dict[str, Any]:
    flow = current_flow.get()
    identity = home_identity(session.settings.home)
    if flow is None or identity is None:
        return context
    flow.root.scattered = True
    task, run_id = asset.get("task"), asset.get("task_run_id")
    if task is not None and run_id is not None:
        tags = tuple(sorted({*task.tags, *flow.start.tags}))
        if session.settings.level_for(flow.start.flow_name, tags=tags, task=task.name) != "off":
            flow.root.sent[str(run_id)] = task.name
    settings = session.settings.model_dump(mode="json")
    return Packed(context, json.dumps({"home": identity, "pid": os.getpid(), "settings": settings}))
