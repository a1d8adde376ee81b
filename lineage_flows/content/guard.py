"""The one place of content where any exception is caught: around what a foreign value does when it is looked at.

Knows nothing of values. Values are the user's: their methods may raise whatever they like, and a flow must not notice.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from lineage_flows.errors import ContentError

__all__ = ["attempt", "say"]

_LONGEST = 300

P = ParamSpec("P")
T = TypeVar("T")


def attempt(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T | None, Exception | None]:
    """What a call returns, or the exception that it raised.

    KeyboardInterrupt, SystemExit and whatever else is no Exception go through, and so does MemoryError.
    """
    try:
        return call(*args, **kwargs), None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the one boundary, see the module's first lines
        return None, error


def say(error: BaseException | None) -> str:
    """One line about an exception, even one that cannot be printed itself."""
    if error is None:
        return ""
    if isinstance(error, ContentError):
        return str(error)[:_LONGEST]
    return " ".join("".join(traceback.format_exception_only(error)).split())[:_LONGEST]
