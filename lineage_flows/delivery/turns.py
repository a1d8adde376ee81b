"""Turns between processes: one courier at a time serves a receiver.

Knows the operating system only. The lock is the kernel's, so that it ends with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lineage_flows.delivery.forks import guard_forks
from lineage_flows.errors import HomeError

__all__ = ["Turns"]

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class Turns:
    """The turns of one receiver.

    Args:
        home: folder of the lock file.
        receiver: its name.
    """

    def __init__(self, home: Path, receiver: str) -> None:
        self._path = Path(home) / f"courier-{_UNSAFE.sub('_', receiver)}.lock"
        self._handles: set[int] = set()
        guard_forks(self)

    @contextmanager
    def take(self) -> Iterator[bool]:
        """Whether it is the caller's turn, for as long as the context lasts; does not wait for it.

        Raises:
            HomeError: the lock file cannot be made.
        """
        handle = self._open()
        self._handles.add(handle)
        try:
            yield _locked(handle)
        finally:
            self._handles.discard(handle)
            os.close(handle)

    def before_fork(self) -> None:
        """See ``ForkSafe``."""

    def after_fork_in_parent(self) -> None:
        """See ``ForkSafe``."""

    def after_fork_in_child(self) -> None:
        """A lock lasts until its last handle is closed: a child that kept one would hold the turn of a parent that has died."""
        for handle in self._handles:
            os.close(handle)
        self._handles = set()

    def _open(self) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise HomeError(
                f"the lock file {self._path} cannot be opened",
                why=error.strerror or str(error),
                fix="make the home folder writable, or set LINEAGE_FLOWS_HOME to one that is",
            ) from error


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
