"""Marks the project's own flows (replay, housekeeping), which are machinery and not captured.

Knows nothing else of the package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["internal", "is_internal"]

_MARK = "__lineage_flows_internal__"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def internal(fn: _Function) -> _Function:
    """Decorate a flow's function, below ``@flow``, so that its runs leave no lineage of their own."""
    setattr(fn, _MARK, True)
    return fn


def is_internal(fn: Callable[..., Any]) -> bool:
    """Whether a flow's function is the project's own machinery."""
    return getattr(fn, _MARK, False) is True
