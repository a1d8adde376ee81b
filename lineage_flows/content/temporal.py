"""Times in arrays: what unit they are counted in is storage, so equal times get equal bytes.

Knows numpy. Times are counted in nanoseconds when all fit, else in micro-, milliseconds or seconds; finer ones that are not
whole nanoseconds in the coarsest of pico-, femto- and attoseconds that holds them exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["NAT", "UNITS", "Counting", "choose", "scaled"]

NAT = np.iinfo(np.int64).min
"""numpy's and pandas' missing time, as an integer."""

UNITS = {"W": 604_800 * 10**18, "D": 86_400 * 10**18, "h": 3_600 * 10**18, "m": 60 * 10**18, "s": 10**18} | {
    unit: 10**power for unit, power in (("ms", 15), ("us", 12), ("ns", 9), ("ps", 6), ("fs", 3), ("as", 0))
}
"""Attoseconds in each unit of fixed length."""

_COARSER = ("ns", "us", "ms", "s")
_FINER = ("as", "fs", "ps", "ns")
_MOST = 2**63 - 1


class Counting(NamedTuple):
    """How an array's integers become the canonical ones: ``unit``, and multiply, then divide."""

    unit: str
    multiply: int = 1
    divide: int = 1


def choose(values: npt.NDArray[np.int64], unit: str, step: int = 1) -> Counting:
    """The canonical unit for integers that count ``step`` of ``unit``."""
    low, high = _range(values)
    length = UNITS[unit] * step
    if length < UNITS["ns"]:
        return _coarsest_exact(values, length)
    for target in _COARSER:
        factor, rest = divmod(length, UNITS[target])
        if not rest and max(-low, high) * factor <= _MOST:
            return Counting(target, factor)
    return Counting(f"{step}{unit}")


def scaled(block: npt.NDArray[np.int64], counting: Counting) -> npt.NDArray[np.int64]:
    """A block of integers in the canonical unit; missing ones stay what they are."""
    if counting.multiply == counting.divide == 1:
        return block
    result = block * counting.multiply if counting.divide == 1 else block // counting.divide
    result[block == NAT] = NAT
    return result


def _range(values: npt.NDArray[np.int64]) -> tuple[int, int]:
    if not values.size:
        return 0, 0
    low = int(values.min())
    if low == NAT:
        present = values[values != NAT]
        if not present.size:
            return 0, 0
        low = int(present.min())
    return low, int(values.max())


def _coarsest_exact(values: npt.NDArray[np.int64], length: int) -> Counting:
    present = values[values != NAT]
    if not present.size:
        return Counting("ns")
    for target in reversed(_FINER):
        divide, rest = divmod(UNITS[target], length)
        if not rest and not (present % divide).any():
            return Counting(target, 1, divide)
    multiply = length // UNITS["as"]
    return (
        Counting("as", multiply)
        if max(-int(present.min()), int(present.max())) * multiply <= _MOST
        else Counting(f"{length}as")
    )
