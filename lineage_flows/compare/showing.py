"""Shows values and names in a report: short, on JSON's terms, and without secrets.

Knows numbers and texts; must not know what is compared.
"""

from __future__ import annotations

import decimal
import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lineage_flows.content.guard import attempt
from lineage_flows.content.naming import comes_from
from lineage_flows.record_replay import CellDifference
from lineage_flows.redaction import is_secret_name, redact

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["LONGEST", "cell", "listed", "shown", "shown_text"]

MASK = "***"
"""What stands where a secret would."""
LONGEST = 80
"""Characters of a text that are shown."""


def shown(value: Any) -> JsonValue:  # noqa: ANN401 - any value
    """A value as a report shows it: numbers as they are (NaN and infinities as text), else short text without secrets."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, numbers.Integral):
        return int(value) if abs(int(value)) < 1 << 63 else shown_text(value)
    if isinstance(value, numbers.Real) or (isinstance(value, decimal.Decimal) and not value.is_snan()):
        plain = float(value)
        return plain if math.isfinite(plain) else str(plain)
    if hasattr(value, "item") and comes_from(type(value), "numpy", "bool"):
        return bool(value)
    if hasattr(value, "as_py") and comes_from(type(value), "pyarrow", "Scalar"):
        return shown(value.as_py())
    return shown_text(value)


def shown_text(value: Any, longest: int = LONGEST) -> str:  # noqa: ANN401 - any value
    """A value as short text without secrets."""
    text, error = attempt(lambda: value if isinstance(value, str) else str(value))
    whole = redact("?" if error is not None else (text or "")[: 4 * longest])
    return whole if len(whole) <= longest else whole[: longest - 1] + "…"


def listed(items: Sequence[Any], most: int = 5) -> str:
    """The first few of some names, and how many more there are."""
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(map(shown_text, items[:most])) + more


def cell(at: str, old: Any, new: Any, where: str) -> CellDifference:  # noqa: ANN401 - any two values
    """What stands at a place in the one and in the other; nothing of it when the path names a secret."""
    if any(is_secret_name(step) for step in where.split("/") if step):
        return CellDifference(at=shown_text(at), old=MASK, new=MASK)
    return CellDifference(at=shown_text(at), old=shown(old), new=shown(new))
