"""Moments: RFC 3339 in UTC with microseconds in the graph, seconds since 1970 on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["epoch_seconds", "moment", "utc_now"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now() -> str:
    """This moment, as the graph writes moments."""
    return _text(datetime.now(UTC))


def moment(seconds: float) -> str:
    """A moment given in seconds since 1970, as the graph writes it.

    Raises:
        OverflowError: no calendar has it.
    """
    return _text(_EPOCH + timedelta(microseconds=round(seconds * 1_000_000)))


def epoch_seconds(text: str) -> float:
    """The reverse of ``moment``, to the microsecond."""
    return (datetime.fromisoformat(text) - _EPOCH) / timedelta(seconds=1)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")[:-6] + "Z"
