"""One push at a time: between the threads of a process, and between processes.

Knows the operating system only. Two that wrote one entity side by side could leave there what the slower one had read earlier. The
lock is a record lock of POSIX: it ends with its process, and a forked child does not inherit it.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lineage_flows.errors import GraphError, HomeError

__all__ = ["turn"]

_WAIT_SECONDS: Final = 60.0
_GLANCE: Final = 0.05
_locks: dict[tuple[int, str], threading.Lock] = {}
"""By process, so that a child does not meet a lock that a thread of its parent held."""


@contextmanager
def turn(path: Path, *, wait: float = _WAIT_SECONDS) -> Iterator[None]:
    """Hold the turn for as long as the block lasts.

    Args:
        path: the lock file; it is made.
        wait: seconds to wait for it at most.

    Raises:
        GraphError: somebody else held it all the time.
        HomeError: the file cannot be made.
    """
    deadline = time.monotonic() + wait
    lock = _locks.setdefault((os.getpid(), str(path)), threading.Lock())
    if not lock.acquire(timeout=wait):
        raise _busy(path, "thread", wait)
    try:
        handle = _open(path)
        try:
            while not _locked(handle):
                if time.monotonic() > deadline:
                    raise _busy(path, "process", wait)
                time.sleep(_GLANCE)
            yield
        finally:
            os.close(handle)  # which ends the lock
    finally:
        lock.release()


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise HomeError(
            f"the lock file {path} cannot be opened", why=error.strerror or str(error), fix="make the home writable"
        ) from error


def _locked(handle: int) -> bool:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _busy(path: Path, who: str, wait: float) -> GraphError:
    return GraphError(
        "SageMaker is being written to", why=f"another {who} held {path} for {wait:.0f} s", fix="try again later"
    )
