"""Says what threads do that cannot be told to belong to one step: nothing of them is recorded, or not under the step's name.

Knows which runs are open; the audit hook tells what happens.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from lineage_flows.capture import files, network
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.paths import printable
from lineage_flows.capture.stack import Origin, origin

__all__ = ["lost", "shared"]


def shared(log: FileLog, event: str, args: tuple[Any, ...]) -> None:
    """A thread without a context did something while several steps ran: it was put down to what they have in common."""
    if event in _TELL and origin() is not Origin.TOOL and _TELL[event](args) is not None:
        log.ledger.gap("thread", f"has a thread without a context, {_name()}, beside several steps", OF_SEVERAL)


def lost(event: str, args: tuple[Any, ...]) -> None:
    """Code did something that belongs to none of the runs that go on, or to one of several: each of them says so."""
    tell = _TELL.get(event)
    if tell is None or origin() is Origin.TOOL or (said := tell(args)) is None:
        return
    for log in files.active().outermost():
        log.ledger.gap("thread", f"has a thread that belongs to no step, or to another run: {_name()} {said}", OF_NONE)


OF_SEVERAL = "which step it worked for is not known: what it touched stands on the flow run"
OF_NONE = "what it touched is not recorded"


def _name() -> str:
    # A pool numbers its threads: they are one gap.
    return threading.current_thread().name.rstrip("0123456789").rstrip("-_ (")


def _opened(args: tuple[Any, ...]) -> str | None:
    if isinstance(args[0], int):
        return None
    path = os.fsdecode(args[0])
    return f"opens {printable(path)}" if files.counts(path) else None


def _connected(args: tuple[Any, ...]) -> str | None:
    peer = network.peer(args[0], args[1])
    return None if peer is None or network.is_prefect(args[1]) else f"connects to {peer.removeprefix('network ')}"


_TELL: dict[str, Callable[[tuple[Any, ...]], str | None]] = {
    "open": _opened,
    "socket.connect": _connected,
    "subprocess.Popen": lambda _: "starts a program",
}
