"""Keeps Prefect's own use of Python's global random generator apart from the flow's.

Knows which modules on Prefect's client path draw from ``random``. Prefect draws in background threads (pings of its event
websocket) and between the flow's own lines (jitter before a retry, names, a free port): whatever a flow seeded would come out
differently from run to run, and in a replay.
"""

from __future__ import annotations

import copy
import random
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["MODULES", "isolate_prefect", "release_prefect"]

MODULES = (
    # Delays: retries of tasks with jitter, heartbeats and retries of the client.
    "prefect.utilities.math",
    # The port of the server that is started when no API is configured.
    "prefect.server.api.server",
    # Ping payloads (the events client's keepalive, in a background thread) and delays before a connection is tried again.
    "websockets.asyncio.connection",
    "websockets.client",
    "websockets.legacy.client",
    "websockets.legacy.protocol",
    "websockets.sync.connection",
    # Background tasks: jitter of sweeps.
    "docket._redelivery",
    "docket.agenda",
    # A webserver inside this process (`serve` with one, the runner's).
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "uvicorn.protocols.websockets.wsproto_impl",
    "uvicorn.server",
    # Span ids, when Prefect's telemetry is on.
    "opentelemetry.sdk.trace.id_generator",
)
"""Modules whose global name ``random`` is given a generator of its own.

Found by tracing every draw of flows against a real server (tests/capture/test_isolation.py does it again) and by reading the
sources of what Prefect's client imports. ``coolname`` and ``rich.style`` draw while they are imported, which
``from prefect import flow`` does before any run.
"""

NAMES_MODULE = "prefect.utilities.names"
"""Makes names of runs with ``coolname``, whose one global generator a flow may be using too."""

_lock = threading.Lock()
_hooked = False
_isolated = False
_originals: dict[str, Any] = {}


def isolate_prefect() -> None:
    """Give each of the modules a private generator, now or when it is imported. A second call changes nothing."""
    global _hooked, _isolated  # noqa: PLW0603 - import hooks cannot be taken back, so they are registered once
    import wrapt

    with _lock:
        _isolated = True
        first, _hooked = not _hooked, True
    for name in (*MODULES, NAMES_MODULE):
        if first:
            wrapt.register_post_import_hook(_isolate, name)
        elif name in sys.modules:
            _isolate(sys.modules[name])


def release_prefect() -> None:
    """Give all modules back what they had."""
    global _isolated  # noqa: PLW0603 - as above
    with _lock:
        _isolated = False
        for name, original in _originals.items():
            setattr(sys.modules[name], _attribute(name), original)
        _originals.clear()


def _isolate(module: ModuleType) -> None:
    name = module.__name__
    with _lock:
        if not _isolated or name in _originals:
            return
        attribute = _attribute(name)
        original = vars(module).get(attribute)
        private: object
        if original is random:
            private = _private_random()
        elif attribute == "coolname" and isinstance(original, ModuleType):
            private = _PrivateNames(original)
        else:
            return  # another version, which draws otherwise
        _originals[name] = original
        setattr(module, attribute, private)


def _attribute(module: str) -> str:
    return "coolname" if module == NAMES_MODULE else "random"


def _private_random() -> ModuleType:
    """The module ``random`` with all its functions, drawing from a generator of their own."""
    own = random.Random()  # noqa: S311 - what it replaces is no cryptographic generator either
    private = ModuleType("random", random.__doc__)
    for name, value in vars(random).items():
        if not name.startswith("_"):
            setattr(private, name, getattr(own, name, value))
    return private


class _PrivateNames:
    """``coolname`` with a generator of its own; made when the first name is asked for."""

    def __init__(self, original: ModuleType) -> None:
        self._original = original
        self._generate: Callable[..., Any] | None = None

    def generate(self, *arguments: object) -> object:
        """As ``coolname.generate``."""
        if self._generate is None:
            generator: Any = copy.copy(self._original._default)
            generator.random = random.Random()  # noqa: S311 - as above
            self._generate = generator.generate
        return self._generate(*arguments)

    def __getattr__(self, name: str) -> object:
        return getattr(self._original, name)
