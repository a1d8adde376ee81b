"""Knows which wheels lie in the store: a small list in the lineage home, which an environment's record takes its own from.

Knows records and one file; must not know how wheels are made or installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lineage_flows.record_code import KeptWheel
from lineage_flows.records import Package

__all__ = ["add_kept_wheels", "kept_wheels", "wheels_of"]

_FILE = "wheels.json"
_LIST = TypeAdapter(tuple[KeptWheel, ...])


def kept_wheels(home: Path) -> tuple[KeptWheel, ...]:
    """The wheels that were kept from this home, in the order they were; none when the list is not there or cannot be read."""
    try:
        return _LIST.validate_json((home / _FILE).read_bytes())
    except (OSError, ValidationError):
        return ()


def wheels_of(packages: Iterable[Package], home: Path) -> tuple[KeptWheel, ...]:
    """Those of an environment's packages that are kept, of each the newest."""
    known = {(wheel.name, wheel.version): wheel for wheel in kept_wheels(home)}
    if not known:
        return ()
    found = (known.get((package.name, package.version)) for package in packages)
    return tuple(wheel for wheel in found if wheel is not None)


def add_kept_wheels(home: Path, wheels: Iterable[KeptWheel]) -> None:
    """Add wheels to the list; of one name and version the last one counts. Safe for several processes at once.

    Raises:
        OSError: the home cannot be written.
    """
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        merged = {(wheel.name, wheel.version): wheel for wheel in (*kept_wheels(home), *wheels)}
        descriptor, name = tempfile.mkstemp(prefix=_FILE, dir=home)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_LIST.dump_json(tuple(merged.values())))
            Path(name).rename(home / _FILE)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    with (home / f"{_FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
