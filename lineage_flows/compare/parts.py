"""Small questions about foreign values: what an object consists of, by name; what is a number; where two texts part.

Knows pickle's reduction; runs the reduction of the value, and nothing else of it.
"""

from __future__ import annotations

import decimal
import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lineage_flows.content.reduction import reduce_value

if TYPE_CHECKING:
    import numpy as np

__all__ = ["as_arrays", "common_start", "is_missing", "is_number", "state_of"]


def as_arrays(pairs: Sequence[tuple[Any, Any]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Numbers of Python's own as two arrays; None for those that do not fit (complex, integers of any length)."""
    import numpy as np

    kinds = {type(item) for pair in pairs for item in pair}
    if not kinds <= {int, float, decimal.Decimal}:
        return None
    try:
        x, y = (
            np.array([pair[side] for pair in pairs], dtype=np.int64 if kinds == {int} else np.float64)
            for side in (0, 1)
        )
    except OverflowError:
        return None
    return x, y


def state_of(value: object) -> dict[str, Any] | None:
    """What an object consists of, by its own pickle reduction: its attributes by name; None when it has none."""
    reduced = reduce_value(value)
    if not isinstance(reduced, tuple):
        return None
    _, arguments, state, items, pairs, _ = reduced
    found: dict[str, Any] = {}
    if isinstance(state, dict):
        found.update({str(name): item for name, item in state.items()})
    elif isinstance(state, tuple) and len(state) == 2 and all(part is None or isinstance(part, dict) for part in state):
        for part in state:
            found.update({str(name): item for name, item in (part or {}).items()})
    elif state is not None:
        found["state"] = state
    given = [item for item in arguments if not isinstance(item, type)] if isinstance(arguments, tuple) else []
    named: tuple[tuple[str, Any], ...] = (("made with", given), ("items", items), ("entries", pairs))
    found.update({name: item for name, item in named if item})
    return found


def is_number(value: object) -> bool:
    """Whether it is a number of any library's; a bool is none."""
    return isinstance(value, numbers.Complex | decimal.Decimal) and not isinstance(value, bool)


def is_missing(value: Any) -> bool:  # noqa: ANN401 - a cell of a column
    """Whether it stands for a value that is not there."""
    return (
        value is None
        or type(value).__name__ in {"NAType", "NaTType"}
        or (isinstance(value, float) and math.isnan(value))
    )


def common_start(a: bytes | bytearray | str, b: bytes | bytearray | str) -> int:
    """How many bytes or characters two texts begin with alike; found by halving, so that long ones take no time."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle - 1)
    return low
