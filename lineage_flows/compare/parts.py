"""Small questions about foreign values: what an object consists of, by name; what is a number; where two texts part.

Knows pickle's reduction; runs the reduction of the value, and nothing else of it.
"""

from __future__ import annotations

import decimal
import enum
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lineage_flows.content.naming import comes_from
from lineage_flows.content.reduction import reduce_value

if TYPE_CHECKING:
    import numpy as np

__all__ = ["as_arrays", "attributes_of", "common_start", "is_missing", "is_number", "other_form", "state_of"]

_BARE = frozenset({dict, list, tuple, int, float, complex, str, bool, bytes, type(None)})


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
    """Whether it is a number of any library's; a bool is none, nor is a member of an enumeration."""
    return isinstance(value, numbers.Complex | decimal.Decimal) and not isinstance(value, bool | enum.Enum)


def other_form(a: Any, b: Any) -> bool:  # noqa: ANN401 - numbers, or arrays of them
    """Whether two equal numbers, or arrays of them, are written otherwise: another type, 0.0 and -0.0, NaN with other bits."""
    import numpy as np

    if type(a) is not type(b):
        return True
    if not isinstance(a, float | complex | np.ndarray | np.inexact):
        return str(a) != str(b)  # Decimal("1.0") and Decimal("1.00")
    x, y = np.asarray(a), np.asarray(b)
    return bool(x.dtype != y.dtype or (x.dtype.kind in "fc" and x.tobytes() != y.tobytes()))


def attributes_of(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any value
    """What a container, a number, an array or a frame of a class derived from the usual one carries beside its content."""
    cls = type(value)
    if cls in _BARE or comes_from(cls, "numpy", "MaskedArray"):  # what is masked is content
        return {}
    if isinstance(value, Mapping | list | tuple | numbers.Number) or comes_from(cls, "numpy", "ndarray"):
        own = getattr(value, "__dict__", None)
        return {name: item for name, item in own.items() if name != "data"} if type(own) is dict else {}
    names = getattr(cls, "_metadata", None) if comes_from(cls, "pandas", "NDFrame") else None
    if not isinstance(names, list):
        return {}
    return {name: getattr(value, name, None) for name in names if name not in {"_name", "name"}}


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
