"""Lets a flow's first write wait until the code of the run is recorded, so that the recorded tree is the one the run began with.

Knows threads only. The tree is recorded beside the running flow, since that takes longer than a task; a flow that writes no file
never waits.
"""

from __future__ import annotations

import os
import threading

__all__ = ["begin", "end", "wait"]

_LONGEST_SECONDS = 30.0
"""A tree that takes longer is recorded as it is then: a flow must not hang on its own lineage."""

_pending: set[threading.Event] = set()


def begin() -> threading.Event:
    """A tree is about to be recorded; ``end`` says that it was."""
    gate = threading.Event()
    _pending.add(gate)
    return gate


def end(gate: threading.Event) -> None:
    """The tree was recorded, or could not be."""
    _pending.discard(gate)
    gate.set()


def wait() -> None:
    """Return when no tree is being recorded, or after 30 seconds."""
    for gate in tuple(_pending):
        gate.wait(_LONGEST_SECONDS)
        _pending.discard(gate)


os.register_at_fork(after_in_child=_pending.clear)  # the recording thread stays in the parent
