"""How far the numbers of two arrays of one shape lie apart: largest absolute and relative difference, and in representable numbers.

Knows numpy, which is imported when there is an array; must not know values of any other kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lineage_flows.tolerances import Tolerance

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Gaps", "measure", "number_gaps"]

_CHUNK = 1 << 19
"""Numbers looked at at once, so that the memory it takes does not grow with the array."""
_FIRST = 4
_BITS = {2: "u2", 4: "u4", 8: "u8"}


@dataclass(slots=True)
class Gaps:
    """What came of holding numbers beside numbers; NaN equals NaN.

    Attributes:
        compared: how many pairs there were.
        differing: how many of them are not equal.
        beyond: how many of those are not within the tolerance.
        absolute: largest difference; None where nothing that differs has one.
        relative: largest difference as a share of the larger magnitude of the two.
        ulps: largest number of representable numbers, of the coarser format, from the one to the other; None for integers.
        unlike: how many have NaN or an infinity on one side only (or infinities of two signs).
        worst: position of the one that differs most: beyond the tolerance before within, unlike before with a figure.
        first: positions of the first that differ.
    """

    compared: int = 0
    differing: int = 0
    beyond: int = 0
    absolute: float | None = None
    relative: float | None = None
    ulps: int | None = None
    unlike: int = 0
    worst: int | None = None
    first: tuple[int, ...] = ()
    _rank: tuple[bool, bool, float] = (False, False, -1.0)

    def take(self, where: int, rank: tuple[bool, bool, float]) -> None:
        """Note a candidate for the one that differs most."""
        if self.worst is None or rank > self._rank:
            self.worst, self._rank = where, rank

    def raise_to(self, absolute: float | None, relative: float | None, ulps: int | None) -> None:
        """Take in figures that may be larger than those so far."""
        self.absolute = _larger(self.absolute, absolute)
        self.relative = _larger(self.relative, relative)
        self.ulps = _larger(self.ulps, ulps)


def measure(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], tolerance: Tolerance) -> Gaps:
    """Compare two arrays of numbers (booleans, integers, floats, complex) of one shape, in the order of their elements in C.

    Integers must be equal, whatever the tolerance: a count or a key that is another is no matter of rounding. It is the same
    whichever array is named first.
    """
    found = Gaps()
    x, y = a.reshape(-1), b.reshape(-1)
    for start in range(0, len(x), _CHUNK):
        _chunk(x[start : start + _CHUNK], y[start : start + _CHUNK], start, tolerance, found)
    return found


def number_gaps(a: Any, b: Any, tolerance: Tolerance) -> Gaps:  # noqa: ANN401 - int, float, complex, Decimal, numpy's scalars
    """Compare two single numbers, as ``measure`` does; integers of any size, and ``Decimal``."""
    import numpy as np

    if isinstance(a, int) and isinstance(b, int):
        return _integers(a, b)
    x, y = np.asarray(_plain(a)), np.asarray(_plain(b))
    return measure(x.reshape(1), y.reshape(1), tolerance)


def _chunk(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], start: int, tolerance: Tolerance, found: Gaps) -> None:
    import numpy as np

    with np.errstate(all="ignore"):
        unequal = x != y
        if "f" in x.dtype.kind + y.dtype.kind or "c" in x.dtype.kind + y.dtype.kind:
            unequal &= ~((x != x) & (y != y))  # noqa: PLR0124 - NaN is what is not equal to itself
        found.compared += len(x)
        places = np.flatnonzero(unequal)
        if not len(places):
            return
        found.differing += len(places)
        if len(found.first) < _FIRST:
            found.first = (*found.first, *(start + int(place) for place in places[: _FIRST - len(found.first)]))
        x, y = x[places], y[places]
        inexact = bool({x.dtype.kind, y.dtype.kind} & {"f", "c"})
        ulps = _ulps(x, y) if inexact else None
        wide = (
            np.result_type(x.dtype, y.dtype, np.float64)
            if inexact or "b" in x.dtype.kind + y.dtype.kind
            else np.dtype(np.longdouble)
        )
        x, y = x.astype(wide), y.astype(wide)
        absolute = np.abs(x - y)
        larger = np.maximum(np.abs(x), np.abs(y))
        # Two finite numbers may lie further apart than there are numbers: then the figure is the largest there is.
        unlike = ~(np.isfinite(x) & np.isfinite(y))
        absolute = np.where(unlike, np.nan, np.minimum(absolute, np.finfo(np.float64).max)).astype(np.float64)
        # Halved where the difference of the two may be more than there are numbers.
        share = np.where(larger > 1, np.abs(x / 2 - y / 2) / (larger / 2), np.abs(x - y) / larger)
        relative = np.where(unlike, np.nan, share).astype(np.float64)
        within = np.zeros(len(x), bool)
        if inexact:
            within = (absolute <= tolerance.absolute) | (relative <= tolerance.relative)
            if ulps is not None and tolerance.ulps:
                within |= ulps <= tolerance.ulps
            within &= ~unlike
        _sum_up(found, start + places, (absolute, relative, ulps), unlike, within)


def _sum_up(
    found: Gaps,
    places: np.ndarray[Any, Any],
    figures: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any] | None],
    unlike: np.ndarray[Any, Any],
    within: np.ndarray[Any, Any],
) -> None:
    import numpy as np

    absolute, relative, ulps = figures
    found.beyond += int(np.count_nonzero(~within))
    found.unlike += int(np.count_nonzero(unlike))
    if not unlike.all():
        known = None if ulps is None else int(ulps[~unlike].max())
        found.raise_to(float(np.nanmax(absolute)), float(np.nanmax(relative)), known)
    for beyond, candidates in ((True, ~within), (False, within)):
        if not candidates.any():
            continue
        if (candidates & unlike).any():
            found.take(int(places[int(np.argmax(candidates & unlike))]), (beyond, True, math.inf))
        else:
            at = int(np.argmax(np.where(candidates, absolute, -1.0)))
            found.take(int(places[at]), (beyond, False, float(absolute[at])))
        break


def _ulps(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """How many representable numbers lie from the one to the other; None for formats wider than a double."""
    import numpy as np

    if "c" in (x.dtype.kind, y.dtype.kind):
        parts = [_ulps(_part(x, name), _part(y, name)) for name in ("real", "imag")]
        return None if parts[0] is None or parts[1] is None else np.maximum(parts[0], parts[1])
    floats = [item.dtype.itemsize for item in (x, y) if item.dtype.kind == "f"]
    size = min(floats)
    if size not in _BITS:
        return None
    ranks = [_rank(item.astype(f"f{size}"), size) for item in (x, y)]
    low, high = np.minimum(*ranks), np.maximum(*ranks)
    # The distance may not fit a signed integer; without a sign, and round the corner, it does.
    return high.view(np.uint64) - low.view(np.uint64)  # type: ignore[no-any-return]


def _rank(numbers: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """The place of each number among all numbers of its format, 0 for both zeros."""
    import numpy as np

    bits = numbers.view(_BITS[size]).astype(np.uint64)
    sign = np.uint64(1 << (size * 8 - 1))
    magnitude = (bits & (sign - np.uint64(1))).view(np.int64)
    return np.where(bits & sign != 0, -magnitude, magnitude)


def _part(numbers: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    """The real or imaginary part; of real numbers the imaginary part is 0."""
    import numpy as np

    return np.ascontiguousarray(getattr(numbers if numbers.dtype.kind in "fc" else numbers.astype(np.float64), name))


def _integers(a: int, b: int) -> Gaps:
    found = Gaps(compared=1)
    if a != b:
        found.differing = found.beyond = 1
        found.worst, found.first = 0, (0,)
        gap, larger = abs(a - b), max(abs(a), abs(b))
        found.raise_to(_as_float(gap), min(gap / larger if gap < larger * 2 else 2.0, 2.0), None)
    return found


def _as_float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return 1.7976931348623157e308


def _plain(number: Any) -> Any:  # noqa: ANN401 - a number of any library
    """A number as numpy takes it: what is no number of numpy's or Python's own (``Decimal``, ``Fraction``) as a float."""
    import numpy as np

    if isinstance(number, bool | int | float | complex | np.generic):
        return _as_float(number) if isinstance(number, int) and abs(number) > 1 << 63 else number
    return float(number)


def _larger(a: Any, b: Any) -> Any:  # noqa: ANN401 - two figures of one kind, either may be None
    return b if a is None else a if b is None else max(a, b)
