"""Lets go of what must not cross a fork, and takes it up again on both sides.

Knows the operating system only. SQLite forbids a connection to be carried over a fork, even to be closed there: the child would
inherit the parent's book-keeping of locks, and could believe that it holds what only its parent does
(sqlite.org/howtocorrupt.html, "Carrying an open database connection across a fork").
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

__all__ = ["ForkSafe", "guard_forks"]


class ForkSafe(Protocol):
    """Something that holds what must not cross a fork."""

    def before_fork(self) -> None:
        """Let go of it, in the thread that is about to fork; nothing may take it up until one of the other two is called."""
        ...

    def after_fork_in_parent(self) -> None:
        """Go on."""
        ...

    def after_fork_in_child(self) -> None:
        """Begin anew: of all threads only the calling one exists here."""
        ...


_guarded: weakref.WeakSet[ForkSafe] = weakref.WeakSet()
_lock = threading.Lock()
_before: list[ForkSafe] = []
"""What was told of the fork that is going on; forks of one process come one after the other, under ``_lock``."""


def guard_forks(member: ForkSafe) -> None:
    """Tell ``member`` of every fork of this process from now on, for as long as it lives."""
    with _lock:
        _guarded.add(member)


def _prepare() -> None:
    _lock.acquire()
    _before[:] = list(_guarded)
    for member in _before:
        member.before_fork()


def _go_on() -> None:
    for member in _before:
        member.after_fork_in_parent()
    _before.clear()
    _lock.release()


def _begin_anew() -> None:
    for member in _before:
        member.after_fork_in_child()
    _before.clear()
    _lock.release()


# A fork without exec only: a program that is started (subprocess) inherits nothing of this.
os.register_at_fork(before=_prepare, after_in_parent=_go_on, after_in_child=_begin_anew)
