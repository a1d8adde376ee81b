"""How long somebody who was asked has not answered.

Knows nothing of what is asked. An answer of any kind ends a silence, a refusal too; a time-out or a closed connection does not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Silence"]


class Silence:
    """A silence, over all calls that are under way and the pauses between their repetitions. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """How long it has lasted; 0 while nothing is asked that was not answered."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    @contextmanager
    def asking(self) -> Iterator[None]:
        """A call, as long as the block lasts; an exception with a ``response``, as botocore's have, is an answer."""
        with self._lock:
            self._under_way += 1
            if self._since is None:
                self._since = time.monotonic()
        answered = True
        try:
            yield
        except BaseException as error:
            answered = getattr(error, "response", None) is not None
            raise
        finally:
            with self._lock:
                self._under_way -= 1
                if answered:
                    self._since = time.monotonic() if self._under_way else None
