"""Says which run the code that is executing right now belongs to, in whatever thread or coroutine that is.

Knows contexts and threads only; what a run is, is the caller's business.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextvars import ContextVar, Token
from typing import Generic, TypeVar

__all__ = ["Active", "is_unobserved", "unobserved"]

Item = TypeVar("Item")

_silent: ContextVar[bool] = ContextVar("lineage_flows_unobserved", default=False)


class unobserved:  # noqa: N801 - used as a function, like `contextlib.suppress`
    """What happens inside is the project's own doing and belongs to no run.

    A context variable and not a thread-local: work handed to another thread's event loop (fsspec's) takes the context along.
    """

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = _silent.set(True)

    def __exit__(self, *_: object) -> None:
        _silent.reset(self._token)


def is_unobserved() -> bool:
    """Whether the executing code lies inside ``unobserved``."""
    return _silent.get()


class _Frame(Generic[Item]):
    """One activation; ``parent`` is the activation it happened in."""

    __slots__ = ("item", "open", "parent")

    def __init__(self, item: Item, parent: _Frame[Item] | None) -> None:
        self.item = item
        self.parent = parent
        self.open = True

    def nearest_open(self) -> _Frame[Item] | None:
        frame: _Frame[Item] | None = self
        while frame is not None and not frame.open:
            frame = frame.parent
        return frame

    def outermost_open(self) -> _Frame[Item]:
        frame = self
        while frame.parent is not None and (outer := frame.parent.nearest_open()) is not None:
            frame = outer
        return frame


class Activation(Generic[Item]):
    """The time in which an item is active. A class and not a generator: every task passes here."""

    __slots__ = ("_active", "_entered", "_item")

    def __init__(self, active: Active[Item], item: Item) -> None:
        self._active = active
        self._item = item
        self._entered: tuple[_Frame[Item], Token[_Frame[Item] | None]] | None = None

    def __enter__(self) -> None:
        self._entered = self._active.enter(self._item)

    def __exit__(self, *_: object) -> None:
        if self._entered is not None:
            self._active.leave(*self._entered)
            self._entered = None


class Carried(Generic[Item]):
    """Says in another thread, while it is entered, whom the code belongs to; where that is known already it changes nothing."""

    __slots__ = ("_frame", "_here", "_silent", "_tokens")

    def __init__(self, here: ContextVar[_Frame[Item] | None], frame: _Frame[Item] | None, silent: bool) -> None:
        self._here = here
        self._frame = frame
        self._silent = silent
        self._tokens: tuple[Token[_Frame[Item] | None], Token[bool]] | None = None

    def __enter__(self) -> None:
        if self._here.get() is None:
            self._tokens = self._here.set(self._frame), _silent.set(self._silent or _silent.get())

    def __exit__(self, *_: object) -> None:
        if self._tokens is not None:
            self._here.reset(self._tokens[0])
            _silent.reset(self._tokens[1])
            self._tokens = None


class Active(Generic[Item]):
    """The items that are active in this process, and which of them is meant here.

    The context decides. A thread that was started without a context (most thread pools) belongs to the only item that is active;
    when several are, to the outermost item they all lie in; else to none. A context that outlives its item (a background task that
    was started in a step) belongs to the item around it, as long as that is active. A forked child starts with none.
    """

    def __init__(self, name: str) -> None:
        self._here: ContextVar[_Frame[Item] | None] = ContextVar(name, default=None)
        self._open: set[_Frame[Item]] = set()
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._forget)

    @property
    def any(self) -> bool:
        """Whether anything is active in this process."""
        return bool(self._open)

    def activate(self, item: Item) -> Activation[Item]:
        """Make ``item`` the one meant while the result is entered, in this context and in what is started from it."""
        return Activation(self, item)

    def enter(self, item: Item) -> tuple[_Frame[Item], Token[_Frame[Item] | None]]:
        """For ``Activation``."""
        frame = _Frame(item, self._nearest())
        with self._lock:
            self._open.add(frame)
        return frame, self._here.set(frame)

    def leave(self, frame: _Frame[Item], token: Token[_Frame[Item] | None]) -> None:
        """For ``Activation``."""
        frame.open = False
        with self._lock:
            self._open.discard(frame)
        with contextlib.suppress(ValueError):  # a generator was closed from another context; there, nothing was set
            self._here.reset(token)

    def current(self) -> Item | None:
        """The item that the executing code belongs to; None under ``unobserved`` and when there is none."""
        if _silent.get():
            return None
        frame = self._here.get()
        if frame is None:
            return self._sole() if self._open else None
        frame = frame.nearest_open()
        return None if frame is None else frame.item

    def outermost(self) -> tuple[Item, ...]:
        """The items that are active and lie in no other."""
        with self._lock:
            return tuple(dict.fromkeys(frame.outermost_open().item for frame in self._open))

    @property
    def shares(self) -> bool:
        """Whether the executing code has no context, and ``current`` is what several items have in common."""
        if self._here.get() is not None or len(self._open) < 3:
            return False
        with self._lock:
            return sum(not any(other.parent is frame for other in self._open) for frame in self._open) > 1

    def here(self) -> Carried[Item]:
        """Whom the executing code belongs to by its context, to be entered in another thread."""
        return Carried(self._here, self._here.get(), _silent.get())

    def _nearest(self) -> _Frame[Item] | None:
        frame = self._here.get()
        return None if frame is None else frame.nearest_open()

    def _sole(self) -> Item | None:
        with self._lock:
            frames = list(self._open)
        inner = [frame for frame in frames if not any(other.parent is frame for other in frames)]
        if len(inner) == 1:
            return inner[0].item
        outer = {frame.outermost_open() for frame in inner}
        return outer.pop().item if len(outer) == 1 else None

    def _forget(self) -> None:
        """The runs are the parent process's; its threads may have held the lock when it forked."""
        self._lock = threading.Lock()
        for frame in self._open:
            frame.open = False
        self._open = set()
