"""Records the entropy that unseeded numpy generators draw within a run, and feeds recorded entropy back in a replay.

Knows the one place where numpy asks the operating system for entropy: ``randbits`` in ``numpy.random.bit_generator``, from which
``default_rng()``, ``PCG64()``, ``RandomState()``, ``SeedSequence()`` and ``numpy.random.seed()`` all draw.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from lineage_flows.capture.active import Active, is_unobserved
from lineage_flows.capture.generator_state import read_numpy, set_state, write_numpy

if TYPE_CHECKING:
    from lineage_flows.records import BlobRef, RandomStates

__all__ = ["Draws", "Feed", "arm", "before_runs", "entropy", "install", "uninstall"]

Put: TypeAlias = "Callable[[bytes], BlobRef]"

_log = logging.getLogger("lineage_flows.capture")

_MOST_BEFORE_RUNS = 1000

_active: Active[Draws] = Active("lineage_flows_entropy")
_armed: ContextVar[Feed | None] = ContextVar("lineage_flows_entropy_feed", default=None)


@dataclass(frozen=True, slots=True)
class Feed:
    """What a replay gives a run in place of fresh entropy, and numpy's state when the run first imports it."""

    entropy: tuple[str, ...] = ()
    numpy_import: bytes | None = None


class Draws:
    """The entropy of one run, in the order drawn. Thread-safe.

    Args:
        into: the list of hexadecimal integers that is added to.
        feed: given back in place of fresh entropy, until it is used up.

    Attributes:
        drawn: ``into``.
        numpy_import: numpy's state when it was first loaded inside the run, as it is stored; None when it was not.
    """

    def __init__(self, into: list[str], feed: Feed | None = None) -> None:
        self.drawn = into
        self.numpy_import: bytes | None = None
        self._feed = deque(int(item, 16) for item in feed.entropy) if feed else deque[int]()
        self._feed_numpy = feed.numpy_import if feed else None
        self._lock = threading.Lock()

    def randbits(self, bits: int, fresh: Callable[[int], int]) -> int:
        """An integer of so many bits: the next one fed, else a fresh one."""
        with self._lock:
            value = self._feed.popleft() if self._feed else None
            if value is None or value.bit_length() > bits:
                value = fresh(bits)
            self.drawn.append(f"{value:x}")
        return value

    def numpy_loaded(self) -> None:
        """The random numbers of numpy were just loaded: its global generator has a state for the first time."""
        if self._feed_numpy is not None:
            set_state(self._feed_numpy)
        reading = read_numpy()
        if reading is not None and self.numpy_import is None:
            self.numpy_import = json.dumps(write_numpy(reading), sort_keys=True).encode()

    def complete(self, states: RandomStates | None, put: Put | None) -> RandomStates | None:
        """The states at the run's start together with what was drawn since; None stays None.

        Args:
            states: from ``snapshot`` at the start.
            put: stores a state; None when contents are not kept.

        Raises:
            LineageError: from ``put``.
        """
        if states is None:
            return None
        stored = put(self.numpy_import) if put is not None and self.numpy_import is not None else None
        return states.model_copy(update={"entropy": tuple(self.drawn), "numpy_import": stored})


_before = Draws([])


@contextmanager
def entropy(into: list[str] | None = None) -> Iterator[Draws]:
    """Record the entropy drawn inside, in this context and what is started from it; feed what ``arm`` was given.

    Args:
        into: the list that is added to; a new one when None.
    """
    feed = _armed.get()
    _armed.set(None)
    draws = Draws([] if into is None else into, feed)
    with _active.activate(draws):
        yield draws


def arm(feed: Feed | None) -> None:
    """Give ``feed`` to the next ``entropy`` that is entered in this context."""
    _armed.set(feed)


def before_runs(feed: Feed | None = None) -> Draws:
    """What is drawn while no run is active: by a flow's module as it is imported. With ``feed``, start it anew (a replay)."""
    global _before  # noqa: PLW0603 - one process imports a flow's module once
    if feed is not None:
        _before = Draws([], feed=feed)
    return _before


# ----------------------------------------------------------------------------------------------------------- installing

_lock = threading.Lock()
_hooked = False
_installed = False


def install() -> None:
    """Patch numpy as soon as its random numbers are loaded (now, if they are). A second call changes nothing."""
    global _hooked, _installed  # noqa: PLW0603 - import hooks cannot be taken back, so they are registered once
    import wrapt

    with _lock:
        _installed = True
        if _hooked:
            _patch()
            return
        _hooked = True
    loaded = "numpy.random" in sys.modules
    wrapt.register_post_import_hook(_patched_now if loaded else _loaded, "numpy.random")


def uninstall() -> None:
    """Give numpy its own function back."""
    global _installed  # noqa: PLW0603 - as above
    with _lock:
        _installed = False
        module = sys.modules.get("numpy.random.bit_generator")
        if module is not None and isinstance(vars(module).get("randbits"), _Randbits):
            module.randbits = module.randbits.fresh  # type: ignore[attr-defined]


class _Randbits:
    """Stands in for ``secrets.randbits`` in numpy's module; draws exactly what that would."""

    def __init__(self, fresh: Callable[[int], int]) -> None:
        self.fresh = fresh

    def __call__(self, bits: int) -> int:
        if is_unobserved():
            return self.fresh(bits)
        draws = _active.current()
        if draws is None:
            draws = None if _active.any or len(_before.drawn) >= _MOST_BEFORE_RUNS else _before
        return self.fresh(bits) if draws is None else draws.randbits(bits, self.fresh)


def _patched_now(_module: ModuleType) -> None:
    with _lock:
        _patch()


def _loaded(module: ModuleType) -> None:
    _patched_now(module)
    if not _installed:
        return
    draws = _active.current() or _before
    try:
        draws.numpy_loaded()
    except Exception as error:  # noqa: BLE001 - an import hook that raises makes the user's own import fail
        _log.warning("lineage: the random state numpy starts with was not recorded: %s", error)


def _patch() -> None:
    module: Any = sys.modules.get("numpy.random.bit_generator")
    if _installed and module is not None and not isinstance(module.randbits, _Randbits):
        module.randbits = _Randbits(module.randbits)
