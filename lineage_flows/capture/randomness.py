"""Records and restores the random state of a run: the global generators' states, and the entropy that was drawn.

Knows the generators through ``generator_state``, ``entropy`` and ``isolation``; must not know where states are kept.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from lineage_flows.capture import entropy as _entropy
from lineage_flows.capture.entropy import Draws, Feed, entropy
from lineage_flows.capture.generator_state import READERS, Reading, loaded_numpy_random, read_python, set_state
from lineage_flows.capture.isolation import isolate_prefect, release_prefect

if TYPE_CHECKING:
    from lineage_flows.records import BlobRef, RandomStates

__all__ = [
    "Draws",
    "entropy",
    "install",
    "isolate_prefect",
    "module_states",
    "restore",
    "restore_module_states",
    "snapshot",
    "uninstall",
]

Put: TypeAlias = "Callable[[bytes], BlobRef]"
Read = Callable[[str], bytes]

_lock = threading.Lock()
_last: tuple[Put, dict[str, Reading | None], RandomStates] | None = None
_start: Reading | None = None
_hooked = False

DRAWING_IMPORTS = ("coolname", "rich.style")
"""Modules that draw from Python's generator when they are imported, which ``from prefect import flow`` does.

In a replay they are imported long before the flow's module: what that module draws from is the state after them.
"""


def install() -> None:
    """Begin to record entropy, and keep Prefect's draws apart. As early in a process as can be; a second call changes nothing."""
    global _hooked
    import wrapt

    _entropy.install()
    isolate_prefect()
    with _lock:
        first, _hooked = not _hooked, True
    if first:
        _remember_start(None)
        for name in DRAWING_IMPORTS:
            wrapt.register_post_import_hook(_remember_start, name)


def _remember_start(_module: ModuleType | None) -> None:
    """Python's state is what the flow's module goes on with, as long as no run has begun."""
    global _start  # noqa: PLW0603 - a fact of the process
    if _last is None:
        _start = read_python()


def uninstall() -> None:
    """Give numpy and Prefect's modules back what they had."""
    _entropy.uninstall()
    release_prefect()


def snapshot(put: Put | None) -> RandomStates:
    """The states of all global generators that are loaded, as they are now. No generator is advanced, none is loaded.

    States that did not change since the last snapshot are not stored again, as long as ``put`` is the same (a bound method of the
    same object is).

    Args:
        put: stores a state; None when contents are not kept, and then there is nothing to record.

    Raises:
        LineageError: from ``put``.
    """
    global _last  # noqa: PLW0603 - what the last snapshot of the process found
    from lineage_flows.records import RandomStates  # this module is loaded while Prefect starts

    if put is None:
        return RandomStates()
    readings = {name: read() for name, (read, _) in READERS.items()}
    last = _last
    if last is not None and last[0] == put and last[1] == readings:
        return last[2]
    blobs: dict[str, BlobRef | None] = {}
    for name, reading in readings.items():
        if last is not None and last[0] == put and last[1][name] == reading:
            blobs[name] = getattr(last[2], name)
        elif reading is not None:
            blobs[name] = put(json.dumps(READERS[name][1](reading), sort_keys=True).encode())
    states = RandomStates(**blobs)
    _last = (put, readings, states)
    return states


def restore(states: RandomStates, read: Read) -> None:
    """Set the generators as they were, and feed the recorded entropy to the next ``entropy`` entered in this context.

    A library whose state was recorded is imported if it is not loaded. When the run itself had first imported numpy, its state is
    set as soon as it does so again, or now if it is already loaded.

    Args:
        states: recorded at the start of a run.
        read: gives the bytes of a blob by its digest.

    Raises:
        ContentError: a blob is missing, altered or no state, or a library is not installed.
    """
    imported = None if states.numpy_import is None else read(states.numpy_import.digest)
    for blob in (states.python, states.numpy, states.torch):
        if blob is not None:
            set_state(read(blob.digest))
    if imported is not None and states.numpy is None and loaded_numpy_random() is not None:
        set_state(imported)
    _entropy.arm(Feed(states.entropy, imported))


def module_states(put: Put | None) -> RandomStates | None:
    """What the flow's module may have drawn from as it was imported: Python's state once Prefect was, numpy's, and entropy.

    Args:
        put: stores a state; None when contents are not kept.

    Raises:
        LineageError: from ``put``.
    """
    from lineage_flows.records import RandomStates

    if put is None or _start is None:
        return None
    draws = _entropy.before_runs()
    python = put(json.dumps(READERS["python"][1](_start), sort_keys=True).encode())
    return draws.complete(RandomStates(python=python), put)


def restore_module_states(states: RandomStates, read: Read) -> None:
    """Set what ``module_states`` recorded; to be called before the flow's module is imported.

    Raises:
        ContentError: as ``restore``.
    """
    imported = None if states.numpy_import is None else read(states.numpy_import.digest)
    if states.python is not None:
        set_state(read(states.python.digest))
    if imported is not None and loaded_numpy_random() is not None:
        set_state(imported)
    _entropy.before_runs(Feed(states.entropy, imported))
