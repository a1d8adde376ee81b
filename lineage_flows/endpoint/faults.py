"""Faults that the endpoint makes by order, so that a client can be tested against what AWS does on a bad day.

Knows nothing of operations. Every fault has a rate and a stream of random numbers of its own: with one seed, whether a request
is throttled does not depend on what other faults are switched on.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, fields

from lineage_flows.errors import SettingsError

__all__ = ["Dice", "Faults"]


@dataclass(frozen=True, slots=True)
class Faults:
    """Which faults there are. A rate is a share of requests, from 0 (never, the default) to 1 (always).

    Attributes:
        throttle: ``ThrottlingException``; nothing is carried out.
        server_error: an HTTP status of 500 or 503; nothing is carried out.
        conflict: ``ConflictException``, of updates only; nothing is carried out.
        hang: the request is carried out, and no answer comes for ``hang_seconds``; then the connection is closed without one.
        reset: the connection is reset, half of the times before the request is carried out and half of them after it.
        lag: writes that lists and queries show only ``lag_seconds`` later, and what is written after them no sooner.
        hang_seconds: how long.
        lag_seconds: how long.
        seed: of the random numbers.
    """

    throttle: float = 0.0
    server_error: float = 0.0
    conflict: float = 0.0
    hang: float = 0.0
    reset: float = 0.0
    lag: float = 0.0
    hang_seconds: float = 30.0
    lag_seconds: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in RATES and not 0 <= value <= 1:
                raise SettingsError(f"faults.{field.name}", value, "a share from 0 to 1")
            if field.name.endswith("_seconds") and not 0 <= value <= 3600:
                raise SettingsError(f"faults.{field.name}", value, "seconds from 0 to 3600")


RATES = ("throttle", "server_error", "conflict", "hang", "reset", "lag")


class Dice:
    """Says of each request which faults it meets, and counts them. Safe for threads."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.made: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._streams = {name: random.Random(f"{faults.seed}:{name}") for name in (*RATES, "which")}  # noqa: S311 - no secret

    def falls(self, fault: str) -> bool:
        """Whether the next request meets a fault."""
        rate = getattr(self.faults, fault)
        if not rate:
            return False
        with self._lock:
            met: bool = self._streams[fault].random() < rate
            self.made[fault] += met
        return met

    def coin(self) -> bool:
        """One of two, as often as the other."""
        with self._lock:
            return self._streams["which"].random() < 0.5
