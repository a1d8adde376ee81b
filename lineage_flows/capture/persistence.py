"""Keeps the results that Prefect itself persists and reads back out of every run's data, wherever its storage lies.

Knows the result store of Prefect; must not know what is recorded. Written and read in threads that tell nothing, by a storage block
that may be anybody's (a local folder, ``prefect-aws``), they would look like the flow's files and objects.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from lineage_flows.capture.active import unobserved

__all__ = ["METHODS", "install", "uninstall"]

METHODS = (
    "_aexists",
    "_apersist_result_record",
    "_aread",
    "_exists",
    "_persist_result_record",
    "_read",
)
"""Methods of ``prefect.results.ResultStore`` that reach its storage (3.8). One that a release does not have is passed over."""

_patched: list[tuple[type, str, Any, Any]] = []


def install() -> None:
    """Make what these methods touch nobody's. A second call changes nothing."""
    owner = importlib.import_module("prefect.results").ResultStore
    if _patched:
        return
    for name in METHODS:
        original = owner.__dict__.get(name)
        if inspect.isfunction(original):
            ours = _aquiet(original) if inspect.iscoroutinefunction(original) else _quiet(original)
            setattr(owner, name, ours)
            _patched.append((owner, name, original, ours))


def uninstall() -> None:
    """Give Prefect its own methods back."""
    for owner, name, original, ours in reversed(_patched):
        if owner.__dict__.get(name) is ours:
            setattr(owner, name, original)
    _patched.clear()


def _quiet(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the original
        with unobserved():
            return original(*args, **kwargs)

    return call


def _aquiet(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        with unobserved():
            return await original(*args, **kwargs)

    return call
