"""Remembers which libraries could not be watched, since they are not as this version of the package knows them.

Knows names only. A library whose seam is missing is left as it is; the runs that could have used it say so.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

__all__ = ["SeamMissingError", "Unwatched", "disable", "forget", "missing", "missing_one"]

_log = logging.getLogger("lineage_flows.capture")


@dataclass(frozen=True, slots=True)
class Unwatched:
    """An adapter that could not be put in place, why, and the packages through which users would reach what it sees."""

    adapter: str
    why: str
    packages: tuple[str, ...] = ()


_disabled: dict[str, Unwatched] = {}
_DEPENDENTS = {"aiobotocore": ("s3fs",), "botocore": ("boto3",), "s3transfer": ("boto3",)}
"""Libraries that users call and that call this one."""


class SeamMissingError(Exception):
    """The library has no such function, or one that is called in another way: it must not be wrapped."""


def disable(adapter: str, why: str, library: str = "") -> None:
    """What an adapter would have seen is not seen in this process. Logged once.

    Args:
        adapter: its name.
        why: what is missing.
        library: the package that users import, as far as one is meant.
    """
    if adapter not in _disabled:
        _log.warning("lineage: %s is not watched: %s", adapter, why)
    _disabled[adapter] = Unwatched(adapter, why, (library, *_DEPENDENTS.get(library, ())) if library else ())


def forget(adapter: str) -> None:
    """The adapter was taken away, or works."""
    _disabled.pop(adapter, None)


def missing() -> tuple[Unwatched, ...]:
    """What is not watched in this process though the library is loaded: part of the ledger of every run."""
    return tuple(_disabled[adapter] for adapter in sorted(_disabled)) if _disabled else ()


def missing_one(adapter: str) -> tuple[str, ...]:
    """What every run must say that lacks this adapter, since its lack matters also to runs whose ledger is empty."""
    found = _disabled.get(adapter)
    return () if found is None else (f"{adapter} was not watched: {found.why}",)
