"""Tells the threads that aiosqlite works in whom they work for; what is asked there, ``sqlite`` sees.

Knows how aiosqlite hands a function to its thread, which has no context of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from lineage_flows.capture import files
from lineage_flows.capture.adapters.shape import Patches

__all__ = ["AioSqliteAdapter"]


class AioSqliteAdapter:
    """Tells the thread that aiosqlite works in whom it works for."""

    name = "SQL through aiosqlite"
    module = "aiosqlite.core"

    def __init__(self) -> None:
        self._patches = Patches("aiosqlite")

    def install(self, module: ModuleType) -> None:
        """Wrap ``Connection.__init__``, which is given what connects, and ``Connection._execute``, which is given all else."""
        if not self._patches:
            owner = getattr(module, "Connection", None)
            self._patches.wrap(owner, "__init__", ("self", "connector"), _carried_connector)
            self._patches.wrap(owner, "_execute", ("self", "fn"), _carried_function)

    def uninstall(self) -> None:
        """Give aiosqlite its own functions back."""
        self._patches.undo()


def _carried_connector(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def initialise(self: Any, connector: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - aiosqlite's
        original(self, _carried(connector), *args, **kwargs)

    return initialise


def _carried_function(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def execute(self: Any, fn: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        return original(self, _carried(fn), *args, **kwargs)

    return execute


def _carried(function: Callable[..., Any]) -> Callable[..., Any]:
    here = files.here()

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        with here:
            return function(*args, **kwargs)

    return call
