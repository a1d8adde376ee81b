"""Says on whose behalf a call is made: the flow's own code, or Prefect, the interpreter and tools for themselves.

Knows the names of packages and files on the stack; must not know what is being recorded.
"""

from __future__ import annotations

import enum
import sys
import sysconfig
from types import CodeType, FrameType

__all__ = ["Origin", "caller", "is_users", "origin"]


class Origin(enum.Enum):
    """Who a call is made for.

    ``FLOW``: the user's code is on the stack. ``TOOL``: Prefect, this project, the import of a library, logging or a debugger.
    ``UNKNOWN``: the stack begins at an event loop or in a library's thread, so only the context can say.
    """

    FLOW = "flow"
    TOOL = "tool"
    UNKNOWN = "unknown"


TOOLS = frozenset(
    {
        "_pytest",
        "amplitude",
        "coverage",
        "debugpy",
        "ddtrace",
        "docket",
        "hypothesis",
        "lineage_flows",
        "linecache",
        "logging",
        "openlineage",
        "opentelemetry",
        "prefect",
        "pydevd",
        "sentry_sdk",
        "tokenize",
        "traceback",
        "tracemalloc",
        "websockets",
        "wrapt",
    }
)
"""Packages and modules whose reading, writing and connecting is never the flow's."""

TRANSPARENT = ("lineage_flows.capture.", "lineage_flows.replay.")
"""Modules of this project that stand between the user's code and what it calls."""

CALLERS = frozenset(
    {
        "call_flow_fn",
        "call_flow_fn_async",
        "call_task_fn",
        "_call_flow_fn",
        "call_with_parameters",
        "run_generator_flow_async",
        "run_generator_flow_sync",
        "run_generator_task_async",
        "run_generator_task_sync",
    }
)
"""Prefect's functions that call the user's: a library function used as a task has no frame of the user's between."""

_LOOP_FUNCTIONS = frozenset({"_run", "_run_once", "run_forever", "run_until_complete"})
_MOST_FRAMES = 500

_Kind = enum.Enum("_Kind", "FLOW TOOL LIBRARY LOOP")
_kinds: dict[str, _Kind] = {}
_library_folders = tuple(
    {folder + "/" for name, folder in sysconfig.get_paths().items() if name in {"stdlib", "platstdlib", "scripts"}}
)


def origin() -> Origin:
    """Who the present call is made for, looking from the innermost frame outwards; frames of this package do not count.

    Behind an event loop nobody is looked for: whoever runs the loop (Prefect, mostly) is not the one who made the call.
    """
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_MOST_FRAMES):
        if frame is None:
            break
        code = frame.f_code
        kind = _kind(frame)
        if kind is _Kind.FLOW:
            return Origin.FLOW
        if kind is _Kind.TOOL:
            return Origin.FLOW if code.co_name in CALLERS else Origin.TOOL
        if code.co_name == "<module>":
            return Origin.TOOL  # a library reads its own files while it is imported
        if kind is _Kind.LOOP and code.co_name in _LOOP_FUNCTIONS:
            break
        frame = frame.f_back
    return Origin.UNKNOWN


def caller(frame: FrameType | None, through: frozenset[str]) -> tuple[bool, str]:
    """Whose line a call stands in: whether it is the user's own, and the top-level package of it.

    Args:
        frame: the innermost frame that is looked at.
        through: names of modules that only hand the call on; their frames are passed over.
    """
    for _ in range(_MOST_FRAMES):
        if frame is None:
            break
        name = frame.f_globals.get("__name__")
        if not isinstance(name, str) or name not in through:
            return _kind(frame) is _Kind.FLOW, name.partition(".")[0] if isinstance(name, str) else ""
        frame = frame.f_back
    return False, ""


def is_users(code: CodeType, module: object) -> bool:
    """Whether code is the user's: no library's, no tool's, not the interpreter's."""
    return _classify(code.co_filename, module) is _Kind.FLOW


def _kind(frame: FrameType) -> _Kind:
    filename = frame.f_code.co_filename
    kind = _kinds.get(filename)
    if kind is None:
        kind = _classify(filename, frame.f_globals.get("__name__"))
        if not filename.startswith("<"):  # those names are shared by unrelated code
            _kinds[filename] = kind
    return kind


def _classify(filename: str, module: object) -> _Kind:
    name = module if isinstance(module, str) else ""
    if filename.startswith("<"):
        # "<frozen importlib…>" and what dataclasses generate is a library's; "<stdin>", "<ipython-input-…>", "-c" are the user's.
        return _Kind.FLOW if name == "__main__" else _Kind.LIBRARY
    if name.startswith(TRANSPARENT):
        return _Kind.LIBRARY
    if name.partition(".")[0] in TOOLS:
        return _Kind.TOOL
    if "/site-packages/" in filename or "/dist-packages/" in filename or filename.startswith(_library_folders):
        return _Kind.LOOP if name in {"asyncio.events", "asyncio.base_events"} else _Kind.LIBRARY
    return _Kind.FLOW
