"""Wraps functions that look at the variables of their caller, so that they find the same ones as before.

Knows how duckdb finds a table that a statement names by the variable it is in; must not know what is recorded. Whether it works
with the installed version is tried out, never assumed.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType, FunctionType, ModuleType
from typing import Any, Protocol

from lineage_flows.capture.active import unobserved

__all__ = ["Callers", "Prepared"]

_LIKE = "duckdb._relation"
"""duckdb from 2.0 on passes over frames of its own modules, by the name in their globals."""


class Prepared(Protocol):
    """A call that is about to be made."""

    values: list[Any]
    named: dict[str, Any]

    def happening(self) -> AbstractContextManager[None]:
        """The time of the call."""
        ...

    def returned(self, result: object) -> None:
        """What it gave. Never raises."""
        ...


Prepare = Callable[[tuple[Any, ...], dict[str, Any]], Prepared | None]


class Callers:
    """Makes wrappers whose frames the library does not take for the caller's.

    No variable is copied, and no frame is held: duckdb itself walks from our frame to the caller's, as it walks from the frames of
    its own modules (from 2.0 on), or is led to it (before, ``inspect.currentframe`` is what it asks).

    Args:
        library: the module that is wrapped.
    """

    def __init__(self, library: ModuleType) -> None:
        folder = os.path.dirname(library.__file__ or "")  # noqa: PTH120 - the text is compared
        # Warnings are pointed at the first frame whose file is not the library's: it stays the user's.
        self._filename = f"{folder}/<seen by lineage_flows>"
        self._globals: dict[str, Any] = {"__builtins__": builtins, "__name__": _LIKE}
        self._library = library
        self._current: tuple[Any, Any] | None = None

    def wrap(self, original: Callable[..., Any], prepare: Prepare) -> Callable[..., Any]:
        """A function that asks ``prepare`` first; None of it calls the original with the same arguments."""

        # Should duckdb be told to search all frames (`python_scan_all_frames`), no variable here has the name of a table.
        def call(*_lineage_args: Any, **_lineage_kwargs: Any) -> Any:  # noqa: ANN401 - whatever the library takes and gives
            _lineage_call = prepare(_lineage_args, _lineage_kwargs)
            if _lineage_call is None:
                return original(*_lineage_args, **_lineage_kwargs)
            with _lineage_call.happening():
                _lineage_result = original(*_lineage_call.values, **_lineage_call.named)
            _lineage_call.returned(_lineage_result)
            return _lineage_result

        code = call.__code__.replace(co_filename=self._filename)
        ours = FunctionType(code, self._globals, call.__name__, None, call.__closure__)
        return functools.wraps(original)(ours)

    def work(self) -> bool:
        """Whether a wrapped function of the installed version finds its caller's variables; tried with a database in memory."""
        with unobserved():
            if self._tried():
                return True
            self._lead()
            if self._tried():
                return True
            self.undo()
            return False

    def undo(self) -> None:
        """Put back what the standard library had."""
        if self._current is not None:
            ours, original = self._current
            if inspect.currentframe is ours:
                inspect.currentframe = original
            self._current = None

    def _tried(self) -> bool:
        connection = self._library.connect(":memory:")
        try:
            lineage_probe = connection.sql("SELECT 42 AS a")
            for name in ("execute", "sql"):
                through = self.wrap(getattr(connection, name), lambda _args, _kwargs: None)
                if through("SELECT a + 1 FROM lineage_probe").fetchall() != [(43,)]:
                    return False
        except Exception:  # noqa: BLE001 - a version that does it in another way says so with errors of its own
            return False
        else:
            return lineage_probe is not None  # a variable that only duckdb uses, by its name
        finally:
            connection.close()

    def _lead(self) -> None:
        current, frame_at, ours = inspect.currentframe, sys._getframe, self._globals

        @functools.wraps(current)
        def currentframe() -> FrameType | None:
            frame = frame_at(1)
            return frame.f_back if frame.f_globals is ours else frame

        inspect.currentframe = currentframe
        self._current = currentframe, current
