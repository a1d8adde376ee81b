"""How facts of a run are said in few characters: fingerprints, times, sizes, values; the same words on every surface.

Knows the records; must not know markdown, mermaid, terminals or Prefect.
"""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lineage_flows.policy import LEFT_OUT_NOTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import JsonValue

    from lineage_flows.records import DatasetRef, ValueRef

__all__ = [
    "clip",
    "count",
    "dataset_name",
    "duration",
    "duration_text",
    "listing",
    "moment",
    "number",
    "plain",
    "short",
    "short_type",
    "size_text",
    "value_text",
]

ELLIPSIS = "…"
_SHORT_HEX = 8
_UNITS = ("kB", "MB", "GB", "TB")
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def plain(text: str) -> str:
    """The text on one line, without what a terminal, a browser or a database would act on instead of showing.

    Line breaks and tabs become spaces; control characters, direction marks and lone surrogates become U+FFFD.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def clip(text: str, limit: int) -> str:
    """``plain`` text of at most ``limit`` characters; what is cut off is marked by an ellipsis."""
    text = plain(text[: 4 * limit + 4])
    return text if len(text) <= limit else text[: limit - 1].rstrip() + ELLIPSIS


def short(identity: str | None, digits: int = _SHORT_HEX) -> str:
    """The first hexadecimal digits of ``lf1:<hex>``, ``sha256:<hex>`` or a bare hash; a dash when there is none."""
    if not identity:
        return "-"
    return plain(identity.rpartition(":")[2][:digits])


def short_type(name: str) -> str:
    """The class without its module: ``DataFrame`` of ``pandas.DataFrame``."""
    return clip(name.rpartition(".")[2] or name, 40)


def number(value: float) -> str:
    """A number in at most six significant digits; whole numbers in full up to a million million."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 10**12):
        return str(value)
    try:
        return f"{value:.6g}"
    except OverflowError:
        return "an integer beyond 1e308"


def count(amount: int, noun: str, plural: str | None = None) -> str:
    """``1 step``, ``5 steps``."""
    return f"{amount} {noun if amount == 1 else plural or noun + 's'}"


def listing(items: Sequence[str], *, limit: int = 8) -> str:
    """``a, b and c``; of more than ``limit`` items the first, and how many more there are."""
    shown = list(items[:limit])
    if len(items) > limit:
        shown.append(f"{len(items) - limit} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + (f" and {shown[-1]}" if shown else "")


def parse_time(text: str | None) -> datetime | None:
    """The moment an RFC 3339 text names; None when there is none or it is not one."""
    if not text:
        return None
    try:
        moment_ = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment_ if moment_.tzinfo else moment_.replace(tzinfo=UTC)


def moment(text: str | None) -> str:
    """An RFC 3339 time to the second in UTC, ``2026-01-31 16:00:05``; a dash when there is none."""
    parsed = parse_time(text)
    return f"{parsed.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if parsed else "-"


def duration(started: str | None, ended: str | None) -> float | None:
    """Seconds between two RFC 3339 times; None when either is missing."""
    first, last = parse_time(started), parse_time(ended)
    return (last - first).total_seconds() if first and last else None


def duration_text(seconds: float | None) -> str:
    """Seconds as a reader takes them in: ``3 ms``, ``4.2 s``, ``2 min 05 s``, ``3 h 12 min``; a dash for None."""
    if seconds is None:
        return "-"
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size_text(size: int | None) -> str:
    """Bytes in powers of ten: ``812 B``, ``1.4 MB``; a dash for None."""
    if size is None:
        return "-"
    if size < 1000:
        return f"{size} B"
    scaled = float(size)
    for unit in _UNITS:
        scaled /= 1000
        if scaled < 999.95 or unit == _UNITS[-1]:
            break
    return f"{scaled:.1f} {unit}"


def value_text(value: ValueRef, limit: int = 60) -> str:
    """A value in one phrase: the value itself when it is small, else its type and shape; never a secret's content."""
    if value.rule == "secret":
        return "(secret)"
    if value.note == LEFT_OUT_NOTE:
        return f"({LEFT_OUT_NOTE})"
    if value.preview is not None:
        return clip(preview_text(value.preview), limit)
    name = short_type(value.type)
    if name == "NoneType":
        return "None"
    if value.shape:
        return clip(f"{name} {' × '.join(str(extent) for extent in value.shape)}", limit)
    return clip(name, limit)


def preview_text(preview: JsonValue) -> str:
    """A recorded preview as text: a mapping as ``name value`` pairs, numbers short, anything else as JSON."""
    if isinstance(preview, dict):
        return ", ".join(f"{name} {preview_text(item)}" for name, item in preview.items()) or "{}"
    if isinstance(preview, int | float) and not isinstance(preview, bool):
        return number(preview)
    return json.dumps(preview, ensure_ascii=False, default=str)


def dataset_name(dataset: DatasetRef) -> str:
    """The last component of the dataset's path or name: what its user calls it."""
    name = dataset.path or dataset.name
    return name.rstrip("/").rpartition("/")[2] or name


def total(sizes: Iterable[int | None]) -> int:
    """The sum of the sizes that are known."""
    return sum(size for size in sizes if size is not None)


def _visible(character: str) -> str:
    if character in "\n\r\t\u2028\u2029":
        return " "
    return "\ufffd" if unicodedata.category(character) in _HIDDEN_CATEGORIES else character
