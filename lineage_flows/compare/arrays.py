"""Compares numpy arrays: shape, type, then the elements; by fields, numbers, moments, or any Python values.

Knows numpy; imported when there is an array.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lineage_flows.compare.walk import At, Label, Walk
from lineage_flows.content.describe import path_step

__all__ = ["arrays", "moments"]

_NUMBERS = frozenset("biufc")
_MOMENTS = frozenset("mM")


def arrays(walk: Walk, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], where: str) -> None:
    """Compare two arrays. Of two shapes nothing but the shapes is compared; masked arrays by what is masked, then by the rest."""
    if a.shape != b.shape:
        walk.differ(where, f"shape {a.shape} became {b.shape}")
        return
    if isinstance(a, np.ma.MaskedArray) and isinstance(b, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(a) != np.ma.getmaskarray(b)
        x, y = a.reshape(-1), b.reshape(-1)
        wrong = np.flatnonzero(hidden)
        walk.places(wrong, (x, y), a.size, At(where, _labels(a), "masked elsewhere"))
        shown = ~(np.ma.getmaskarray(a) | np.ma.getmaskarray(b))
        places = np.flatnonzero(shown)
        _elements(walk, a.data[shown], b.data[shown], At(where, lambda place: _label(a.shape, int(places[place]))))
        return
    _elements(walk, np.asarray(a), np.asarray(b), At(where, _labels(a)))


def moments(walk: Walk, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], at: At) -> None:
    """Compare moments or spans of time, in whatever unit: they must be equal; the largest shift is told in seconds."""
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnat(a) & np.isnat(b))
    walk.count(len(a), 0)
    places = np.flatnonzero(~same)
    if not len(places):
        if at.note:
            walk.alike(at.where, at.note)
        return
    known = places[~(np.isnat(a[places]) | np.isnat(b[places]))]
    if len(known):
        shift = float(np.max(np.abs(a[known] - b[known]) / np.timedelta64(1, "s")))
        at = replace(at, note="; ".join(item for item in (at.note, f"the largest shift is {shift:g} seconds") if item))
    walk.places(places, (a, b), len(a), at)


def _elements(walk: Walk, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], at: At) -> None:
    if a.dtype.names or b.dtype.names:
        if a.dtype.names != b.dtype.names:
            walk.differ(at.where, f"fields {a.dtype.names} became {b.dtype.names}")
            return
        for name in a.dtype.names or ():
            walk.compare(a[name], b[name], f"{at.where}/{path_step(name)}")
        return
    if a.dtype != b.dtype:
        at = replace(at, note=f"{a.dtype} became {b.dtype}")
    kinds = {a.dtype.kind, b.dtype.kind}
    x, y = a.reshape(-1), b.reshape(-1)
    if kinds <= _NUMBERS and (len(kinds) == 1 or "b" not in kinds):
        walk.numbers(a, b, at)
    elif kinds <= _MOMENTS and len(kinds) == 1:
        moments(walk, x, y, at)
    elif "O" in kinds:
        walk.cells(x.tolist(), y.tolist(), at)
    elif len(kinds) > 1:
        walk.differ(at.where, at.note)
    else:
        walk.count(len(x), 0)
        walk.places(np.flatnonzero(x != y), (x, y), len(x), at)
        if at.note:
            walk.alike(at.where, at.note)


def _labels(array: np.ndarray[Any, Any]) -> Label:
    shape = array.shape
    return lambda place: _label(shape, place)


def _label(shape: tuple[int, ...], place: int) -> str:
    return ", ".join(str(int(step)) for step in np.unravel_index(place, shape)) if shape else ""
