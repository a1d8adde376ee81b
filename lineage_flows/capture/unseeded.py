"""Sees entropy that the user's code draws past every generator whose state is recorded: the operating system's, and seeds from it.

Knows ``os.urandom``, what ``secrets`` and ``uuid`` make of it, and Python's own unseeded generators. Draws exactly what they would.
numpy's entropy is recorded and fed back by ``entropy``.
"""

from __future__ import annotations

import functools
import os
import random
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from lineage_flows.capture import before_runs, files
from lineage_flows.capture.active import is_unobserved
from lineage_flows.capture.stack import Origin, caller, origin

__all__ = ["CONSEQUENCE", "install", "uninstall"]

CONSEQUENCE = "differs on each run"

_THROUGH = frozenset({__name__, "os", "random", "secrets", "uuid"})

NAMES_ONLY = frozenset(
    {
        "aiobotocore",
        "aiohttp",
        "anyio",
        "asyncio",
        "boto3",
        "botocore",
        "concurrent",
        "dask",
        "distributed",
        "email",
        "fsspec",
        "httpcore",
        "httpx",
        "joblib",
        "lineage_flows",
        "loky",
        "matplotlib",
        "multiprocessing",
        "pandas",
        "polars",
        "pyarrow",
        "ray",
        "requests",
        "s3fs",
        "s3transfer",
        "sqlalchemy",
        "ssl",
        "tempfile",
        "urllib",
        "urllib3",
    }
)
"""Packages that draw for names and marks of their own (temporary files, boundaries, ids of calls), which no result is made of."""

_lock = threading.Lock()
_patched: list[tuple[Any, str, Any, Any]] = []


def install() -> None:
    """Watch. A second call changes nothing."""
    with _lock:
        if _patched:
            return
        urandom = _watched(os.urandom, "os", "urandom", "os.urandom", lambda _args, _kwargs: True)
        _put(os, "urandom", urandom)
        _put(random, "_urandom", urandom)
        _put(random, "seed", _watched(random.seed, "random", "seed", "random.seed() without a seed", _without_seed))
        seed = random.Random.seed
        name = "Random.seed() without a seed"
        of_class = _watched(seed, "random", "Random.seed", name, lambda args, kw: _without_seed(args[1:], kw))
        _put(random.Random, "seed", of_class)


def uninstall() -> None:
    """Put Python's own functions back."""
    with _lock:
        for owner, name, original, ours in reversed(_patched):
            if vars(owner).get(name) is ours:
                setattr(owner, name, original)
        _patched.clear()


def _put(owner: Any, name: str, ours: Any) -> None:  # noqa: ANN401 - modules and a class
    original = vars(owner).get(name)
    if original is not None:
        setattr(owner, name, ours)
        _patched.append((owner, name, original, ours))


def _without_seed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return (args[0] if args else kwargs.get("a")) is None


def _watched(
    original: Callable[..., Any],
    module: str,
    place: str,
    name: str,
    draws: Callable[[tuple[Any, ...], dict[str, Any]], bool],
) -> Callable[..., Any]:
    @functools.wraps(original)
    def draw(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the original
        if draws(args, kwargs):
            _drawn(name)
        return original(*args, **kwargs)

    # Pickle finds a function by these; the builtin's own module is "posix", where another one lies.
    draw.__module__, draw.__qualname__ = module, place
    return draw


def _drawn(name: str) -> None:
    try:
        frame = sys._getframe(2)
        users, package = caller(frame, _THROUGH)
        if is_unobserved() or (not users and (package in NAMES_ONLY or origin() is Origin.TOOL)):
            return
        log = files.current()
        if log is None:
            if not users or files.active().any:
                return
            log = before_runs.log()
        where = "" if users else f", in {package}"
        log.ledger.gap("entropy", f"draws from {_source(frame, name)}{where}", CONSEQUENCE)
    except Exception:  # noqa: BLE001 - a draw must work whatever happens here
        return


def _source(frame: FrameType | None, name: str) -> str:
    """What the code called, by the outermost of Python's functions that hand the draw on."""
    while frame is not None and (module := frame.f_globals.get("__name__")) in _THROUGH:
        function = frame.f_code.co_name
        if function == "__init__":
            name = "random.Random() without a seed"
        elif module == "random" and name == "os.urandom":
            name = "random.SystemRandom"
        elif module in {"secrets", "uuid"}:
            name = f"{module}.{function}"
        frame = frame.f_back
    return name
