"""Remembers which libraries could not be watched, since they are not as this version of the package knows them.

Knows names only. A library whose seam is missing is left as it is; the runs that could have used it say so.
"""

from __future__ import annotations

import logging

__all__ = ["SeamMissingError", "disable", "forget", "missing", "missing_one"]

_log = logging.getLogger("lineage_flows.capture")
_disabled: dict[str, str] = {}


class SeamMissingError(Exception):
    """The library has no such function, or one that is called in another way: it must not be wrapped."""


def disable(adapter: str, why: str) -> None:
    """What an adapter would have seen is not seen in this process. Logged once."""
    if adapter not in _disabled:
        _log.warning("lineage: %s is not watched: %s", adapter, why)
    _disabled[adapter] = why


def forget(adapter: str) -> None:
    """The adapter was taken away, or works."""
    _disabled.pop(adapter, None)


def missing() -> tuple[str, ...]:
    """What a run that reached beyond this machine must say of its record."""
    return tuple(f"{adapter} was not watched: {why}" for adapter, why in sorted(_disabled.items()))


def missing_one(adapter: str) -> tuple[str, ...]:
    """The same of one adapter, whose lack matters to runs that stay on this machine too."""
    return tuple(line for line in missing() if line.startswith(f"{adapter} "))
