"""The one boundary between capture and the flow: an error of capture is counted and reported, and never reaches the flow.

Knows the errors, and that nothing inside is a run's own doing. ``strict`` turns the boundary off: it raises ``CaptureError``.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from contextlib import AbstractContextManager
from types import TracebackType

from lineage_flows.capture.active import unobserved
from lineage_flows.errors import CaptureError, LineageError
from lineage_flows.redaction import redact

__all__ = ["Boundary", "message_of"]

_log = logging.getLogger("lineage_flows.capture")
_KEPT = 50


class Boundary:
    """Swallows and counts what goes wrong in capture.

    Only ``Exception`` is caught. Prefect's cancellations and time-outs reach a task as ``BaseException`` from wherever its
    code is, capture included, and pass; so do ``KeyboardInterrupt`` and ``SystemExit``.
    """

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.counts: Counter[str] = Counter()
        self._reported: set[str] = set()
        self._lock = threading.Lock()

    def guard(self, doing: str, errors: list[str] | None = None) -> AbstractContextManager[None, bool]:
        """Run a piece of capture.

        Args:
            doing: what is being captured, in a few words; the key it is counted and logged once under.
            errors: the run's own list of capture errors, to which a failure is added.

        Raises:
            CaptureError: under ``strict``.
        """
        return _Guard(self, doing, errors)

    def report(self, doing: str, error: BaseException, errors: list[str] | None = None) -> str:
        """Count an error, log the first of its kind, and note it on its run; returns the one line that says it."""
        line = " ".join(redact(message_of(error)).split())[:500]
        message = line if isinstance(error, LineageError) else f"{type(error).__name__}: {line}"
        with self._lock:
            self.counts[doing] += 1
            first = doing not in self._reported
            self._reported.add(doing)
        if errors is not None and len(errors) < _KEPT:
            errors.append(f"{doing}: {message}")
        if first:
            _log.warning(
                "lineage: failed at %s (%s); the flow goes on, later failures are only counted", doing, message
            )
            _log.debug("lineage: details", exc_info=error)
        return message


class _Guard:
    """See ``Boundary.guard``. A class: entered a dozen times a task, where a generator costs twice as much."""

    __slots__ = ("_boundary", "_doing", "_errors", "_unobserved")

    def __init__(self, boundary: Boundary, doing: str, errors: list[str] | None) -> None:
        self._boundary = boundary
        self._doing = doing
        self._errors = errors
        self._unobserved = unobserved()

    def __enter__(self) -> None:
        self._unobserved.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._unobserved.__exit__(kind, error, trace)
        if not isinstance(error, Exception):
            return False
        message = self._boundary.report(self._doing, error, self._errors)
        if not self._boundary.strict:
            return True
        if isinstance(error, CaptureError):
            return False
        raise CaptureError(
            f"capture failed while {self._doing}",
            why=message,
            fix="report it, or set LINEAGE_FLOWS_STRICT=false to let flows go on without it",
        ) from error


def message_of(error: BaseException) -> str:
    """An exception's message; its own ``__str__`` is foreign code and may raise."""
    try:
        return str(error)
    except Exception as inner:  # noqa: BLE001 - what it raises is the message then
        return f"(its message raised {type(inner).__name__})"
