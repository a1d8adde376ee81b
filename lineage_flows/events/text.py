"""Texts as events carry them: times in one form, credentials taken out, long texts clipped, and strict JSON.

Knows JSON and RFC 3339; must not know what the texts are about.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from lineage_flows.errors import EventError
from lineage_flows.redaction import MASK
from lineage_flows.redaction import hide_user as without_credentials
from lineage_flows.redaction import redact as masked

__all__ = ["MASK", "clip", "encode", "finite", "masked", "now", "utc", "without_credentials"]

_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_NUL_ESCAPE = b"\\u0000"
_MAX_DEPTH = 200


def now() -> str:
    """This moment as RFC 3339 in UTC with microseconds."""
    return _format(datetime.now(UTC))


def utc(text: str) -> str:
    """A time as RFC 3339 in UTC with microseconds, so that times of one run sort as texts. Without a zone it is taken as UTC.

    Raises:
        EventError: it is not a time.
    """
    if _CANONICAL.fullmatch(text):
        return text
    try:
        moment = datetime.fromisoformat(text)
        return _format(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))
    except (ValueError, OverflowError):
        raise EventError("an event cannot be made", why=f"{text[:60]!r} is not an RFC 3339 time") from None


def clip(text: str, limit: int) -> str:
    """A text of at most ``limit`` characters: of a longer one the beginning and the end, where error texts say most."""
    if len(text) <= limit:
        return text
    gap = f" … {len(text)} characters in all … "
    head = max(limit - len(gap), 0) // 2
    tail = max(limit - len(gap) - head, 0)
    return text[:head] + gap + text[len(text) - tail :]


def finite(value: object) -> object:
    """The value with NaN and the infinities as texts: JSON has no such numbers, and null would say "not known"."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def encode(document: Mapping[str, object]) -> bytes:
    """A document as strict JSON that every reader takes.

    What JSON or its common readers cannot hold is written another way, and only then the document is walked: an integer beyond
    64 bits as text, half a surrogate pair (an undecodable file name) as its escape, NUL (refused by PostgreSQL) as U+FFFD.

    Raises:
        EventError: it holds something that has no JSON form.
    """
    try:
        data = orjson.dumps(document)
    except TypeError:  # orjson.JSONEncodeError is one
        return _encode_cleaned(document)
    return data if _NUL_ESCAPE not in data else _encode_cleaned(document)


def _encode_cleaned(document: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(_clean(document, 0))
    except TypeError as error:
        raise EventError("an event cannot be written as JSON", why=str(error)) from error


def _clean(value: object, depth: int) -> object:
    if depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\ufffd")
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**64 else _decimal(value)
    if isinstance(value, dict):
        return {str(_clean(str(key), 0)): _clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item, depth + 1) for item in value]
    return finite(value) if isinstance(value, float) else value


def _decimal(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python refuses to write integers of more than 4300 digits in decimal
        return hex(value)


def _format(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")  # strftime does not pad years below 1000
