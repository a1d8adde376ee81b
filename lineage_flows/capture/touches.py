"""What a run does to its files: as its log notes it meanwhile, and as its record tells it at the end.

Knows the records and what the file system's time stamps are worth; must not know who opens a file, or why.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lineage_flows.capture.file_content import SETTLED_SECONDS, Content, Signature
from lineage_flows.capture.paths import printable, to_uri

if TYPE_CHECKING:
    from lineage_flows.capture.details import Details
    from lineage_flows.records import DatasetRef

__all__ = [
    "Read",
    "Touched",
    "Write",
    "Writer",
    "Writers",
    "dataset",
    "last_written",
    "made_unseen",
    "order",
    "resolution",
    "rfc3339",
    "stamp",
]

order = itertools.count(1)
"""Counts the touches of this process."""

_SECOND = 1_000_000_000
_MOST_WRITERS = 10_000
_STAMPS_BY_TICKS = sys.platform == "linux"
_COARSE_CLOCK = 5
"""Linux's ``CLOCK_REALTIME_COARSE``, by which it stamps files; Python has no name for it."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What a run touched, in order.

    ``unrestorable`` names what it read that a replay cannot serve again; ``errors`` what went wrong in recording.
    """

    datasets: tuple[DatasetRef, ...] = ()
    unrestorable: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(slots=True)
class Read:
    """A version of a file that was read; ``moment`` is when it first was, in nanoseconds since 1970."""

    order: int
    moment: int
    path: str
    content: Content
    via: list[str]
    details: Details | None = None


@dataclass(slots=True)
class Write:
    """A file that was opened for writing; ``moment`` is when it last was. ``before`` is what lay there at first.

    ``journal`` is a database's write-ahead log, with what it was at first.
    """

    order: int
    moment: int
    before: Signature | None
    via: list[str]
    folders: bool
    details: Details | None = None
    journal: tuple[str, Signature | None] | None = None


@dataclass(slots=True)
class Writer:
    """A run as the writer of files: until when, in nanoseconds since 1970, it may have written them."""

    until: float = math.inf


class Writers:
    """Who last opened each file for writing, among the runs of a process. Safe for threads; the oldest are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, Writer] = {}

    def remember(self, path: str, writer: Writer) -> None:
        """A run opens a file for writing."""
        with self._lock:
            self._last.pop(path, None)
            self._last[path] = writer
            if len(self._last) > _MOST_WRITERS:
                del self._last[next(iter(self._last))]

    def last(self, path: str) -> Writer | None:
        """The last run that did; None when none is known."""
        return self._last.get(path)


def stamp() -> int:
    """The time that the file system would stamp a file with now, in nanoseconds since 1970.

    It lies behind the clock by a tick, or by several where the processor is taken; of two moments by it, neither does.
    """
    return time.clock_gettime_ns(_COARSE_CLOCK) if _STAMPS_BY_TICKS else time.time_ns()


def resolution(changed: int) -> int:
    """How far a time stamp of a file may lie behind the change it tells of, in nanoseconds.

    A stamp is the time of the file system's last tick; whole seconds are those of a file system that has no finer ones.
    """
    return _tick() if changed % _SECOND else int(SETTLED_SECONDS * _SECOND)


def last_written(write: Write, changed: int) -> int:
    """The last moment at which a file may have been written: what the run had made by then may be in it.

    Nothing tells of a file being closed, but its time stamp tells of its last change. It counts only where it is later than the
    opening, since a copy may keep its original's.

    Args:
        write: when it was opened.
        changed: the file's time stamp, in nanoseconds since 1970.
    """
    return max(write.moment, min(changed + resolution(changed), time.time_ns()))


def dataset(
    entry: Read | Write, name: str, content: Content, moment: int, rename: Callable[[str], str] | None
) -> DatasetRef:
    """What the record says of a file.

    Args:
        entry: what was noted.
        name: its absolute path.
        content: what it held.
        moment: when it was touched, in nanoseconds since 1970.
        rename: in a replay, the name that a file of the workspace had in the original run.
    """
    from lineage_flows.records import DatasetRef  # this module is loaded while Prefect starts

    named = name if rename is None else rename(name)
    ref = DatasetRef(
        namespace="file",
        name=printable(named),
        uri=to_uri(named),
        path=printable(named),
        direction="read" if isinstance(entry, Read) else "write",
        fingerprint=content.fingerprint,
        size=content.size,
        blob=content.blob,
        via=tuple(entry.via),
        order=entry.order,
        touched=rfc3339(moment),
        note=content.problem,
    )
    return ref if entry.details is None else entry.details.on(ref)


def made_unseen(path: str, name: str, began: int, writers: Writers, writer: Writer) -> bool:
    """Whether a file has changed since a run began, and by nobody who is known to: LightGBM writes its models in C++.

    Where a time stamp cannot tell before from after, the run counts as the one who changed it if nobody else is known to have.

    Args:
        path: as it is opened.
        name: its absolute name.
        began: when the run did, by ``stamp``.
        writers: all of the process.
        writer: the run.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - any bytes
    except OSError:
        return False
    changed = min(status.st_mtime_ns, status.st_ctime_ns)
    if changed < began - (0 if _STAMPS_BY_TICKS and changed % _SECOND else resolution(changed)):
        return False
    other = writers.last(name)
    return other is None or other is writer or changed > other.until


def rfc3339(moment: int) -> str:
    """A moment in nanoseconds since 1970, as records say it."""
    return datetime.fromtimestamp(moment // 1000 / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _tick() -> int:
    """How far a time stamp of the file system may lie behind the clock: a tick of the kernel's, which Linux tells."""
    return int(time.clock_getres(_COARSE_CLOCK) * _SECOND) if _STAMPS_BY_TICKS else _SECOND // 100
