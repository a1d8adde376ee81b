"""The clock that the code of a replayed flow sees: the present, or the original's time.

Knows time-machine and whose code is running; must not know Prefect. What Prefect, this package and the libraries below them read
stays the real time: logs, states, time-outs, signatures of requests.
"""

from __future__ import annotations

import sys
import time
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from lineage_flows.capture import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Clock", "ClockMode"]

ClockMode = Literal["now", "captured", "frozen"]
"""``now``: the present. ``captured``: each step begins at the moment at which it began in the original, and time goes on.
``frozen``: it stands still there."""

_REAL: Final = frozenset(
    {
        "_pytest",
        "aiobotocore",
        "aiohttp",
        "anyio",
        "asyncio",
        "azure",
        "boto3",
        "botocore",
        "concurrent",
        "distributed",
        "fastapi",
        "fsspec",
        "google",
        "h11",
        "h2",
        "http",
        "httpcore",
        "httpx",
        "lineage_flows",
        "jwt",
        "logging",
        "msal",
        "multiprocessing",
        "openlineage",
        "opentelemetry",
        "prefect",
        "pydantic",
        "queue",
        "ray",
        "requests",
        "s3fs",
        "s3transfer",
        "selectors",
        "snowflake",
        "sqlalchemy",
        "ssl",
        "starlette",
        "subprocess",
        "threading",
        "urllib3",
        "uvicorn",
        "websockets",
    }
)
"""Packages whose own reading of the clock is no part of what a step computes."""

_ON_BEHALF: Final = frozenset({"dateutil", "email", "pendulum"})
"""Packages that ask for whoever called them: flows use them, and so do Prefect (for the times of its states) and HTTP clients."""


class Clock:
    """Turns the clock for code of flows and tasks, for the rest of this process.

    Patched are Python's own: ``time.time``, ``datetime.now``, ``date.today`` and what is built on them, pandas included. C code
    that asks the kernel (``numpy.datetime64("now")``, a database's ``current_date``) and other programs see the present.

    Args:
        mode: what the code sees.
    """

    def __init__(self, mode: ClockMode) -> None:
        self._mode = mode
        self._here: ContextVar[int | None] = ContextVar("lineage_flows_clock", default=None)
        self._last: int | None = None
        self._real: Callable[[], int] = time.time_ns

    def install(self) -> None:
        """From here on; nothing happens for ``now``."""
        if self._mode == "now":
            return
        import time_machine

        clock, real_time_ns = self, time_machine.escape_hatch.time.time_ns

        class Traveller(time_machine.Traveller):
            def time_ns(self) -> int:
                real = real_time_ns()
                return real if _is_infrastructure(sys._getframe(1)) else clock.shown(real)

        self._real = real_time_ns
        generate = vars(uuid).get("_generate_time_safe")
        time_machine.travel(datetime.now(UTC)).start()
        time_machine.traveller_stack[-1] = Traveller(real_time_ns(), None, tick=True)
        # time-machine has uuid1 made in Python, which draws from the flow's random numbers.
        vars(uuid)["_generate_time_safe"] = generate

    def anchor(self, started: str | None) -> None:
        """A step, or the flow, begins now in this context; in the original it began then (RFC 3339), when that is known."""
        if self._mode == "now" or started is None:
            return
        then = round(datetime.fromisoformat(started).timestamp() * 1e6) * 1_000
        self._last = then if self._mode == "frozen" else then - self._real()
        self._here.set(self._last)

    def shown(self, real: int) -> int:
        """What the executing code is shown at a real time, in nanoseconds since 1970."""
        anchored = self._here.get()
        anchored = self._last if anchored is None else anchored  # a thread that was started without a context
        if anchored is None or files.current() is None:
            return real
        return anchored if self._mode == "frozen" else real + anchored


def _is_infrastructure(frame: FrameType | None) -> bool:
    """Whether it is not the flow's code that asks, nor a library that computes for it."""
    while frame is not None and (package := _package(frame)) in _ON_BEHALF:
        frame = frame.f_back
    return frame is None or package in _REAL


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]
