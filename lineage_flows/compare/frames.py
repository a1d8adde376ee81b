"""Compares pandas' frames, series and indexes: columns and rows by their labels, then the cells, column by column.

Knows pandas; imported when there is a value of its. One column is held at a time, whatever the width of the frame.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lineage_flows.compare.arrays import moments
from lineage_flows.compare.showing import listed
from lineage_flows.compare.walk import At, Label, Walk
from lineage_flows.content.describe import path_step

__all__ = ["FrameColumn", "columns", "extensions", "frames", "indexes", "series"]

_MOST_NAMED = 64
_NUMBERS = frozenset("iufc")

Rows = tuple[Any, Any] | None
"""Positions in the one frame and in the other that are the same rows; None when all are, in one order."""


def frames(walk: Walk, a: pd.DataFrame, b: pd.DataFrame, where: str) -> None:
    """Compare two frames. Columns and rows that only one has are noted; what both have is compared."""
    places = _columns(walk, a.columns, b.columns, where)
    rows = _rows(walk, a.index, b.index, where)
    if rows is not None and not len(rows[0]):
        return
    label = _label(a.index if rows is None else a.index.take(rows[0]))
    for mine, theirs in places:
        x, y = a.iloc[:, mine], b.iloc[:, theirs]
        if rows is not None:
            x, y = x.take(rows[0]), y.take(rows[1])
        walk.compare(FrameColumn(x, label), FrameColumn(y, label), f"{where}/{path_step(_name(a.columns[mine]))}")
    walk.compare(a.attrs, b.attrs, f"{where}/attrs")


def series(walk: Walk, a: pd.Series, b: pd.Series, where: str) -> None:
    """Compare two series; a short one of names is compared name by name."""
    if not _same_name(a.name, b.name):
        walk.differ(where, f"name {a.name!r} became {b.name!r}")
    if _is_named(a) and _is_named(b):
        walk.named(dict(zip(a.index, a.tolist(), strict=True)), dict(zip(b.index, b.tolist(), strict=True)), where)
        if a.dtype != b.dtype:
            walk.alike(where, f"{a.dtype} became {b.dtype}")
        return
    rows = _rows(walk, a.index, b.index, where)
    x, y = (a, b) if rows is None else (a.take(rows[0]), b.take(rows[1]))
    column(walk, x, y, At(where, _label(x.index)))


def indexes(walk: Walk, a: pd.Index, b: pd.Index, where: str) -> None:
    """Compare two indexes that are values of their own."""
    if list(a.names) != list(b.names):
        walk.differ(where, f"names {list(a.names)} became {list(b.names)}")
    if len(a) != len(b):
        walk.differ(where, f"{len(a):,} labels became {len(b):,}")
        return
    _levels(walk, a, b, where)


class FrameColumn:
    """A column on its way through the walk, so that a rule of tolerance can be found for it by name."""

    def __init__(self, values: pd.Series, label: Label) -> None:
        self.values = values
        self.label = label


def columns(walk: Walk, a: FrameColumn, b: FrameColumn, where: str) -> None:
    """Compare two columns."""
    column(walk, a.values, b.values, At(where, a.label))


def extensions(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - pandas' own arrays
    """Compare two of pandas' own arrays."""
    if len(a) != len(b):
        walk.differ(where, f"{len(a):,} values became {len(b):,}")
        return
    column(walk, pd.Series(a), pd.Series(b), At(where))


def column(walk: Walk, a: Any, b: Any, at: At) -> None:  # noqa: ANN401 - Series or Index
    """Compare two columns of one length, position by position.

    Numbers by the tolerance; moments must be the same moments and of the same time zone; categories the same in the same order.
    Another type with the same values is noted, and no difference where the values are still of one nature.
    """
    old, new = a.dtype, b.dtype
    if old != new:
        at = replace(at, note=f"{old} became {new}")
    if isinstance(old, pd.CategoricalDtype) or isinstance(new, pd.CategoricalDtype):
        _categories(walk, a, b, at)
    elif old.kind == new.kind == "M":
        _times(walk, a, b, at)
    elif old.kind == new.kind == "m":
        moments(walk, pd.TimedeltaIndex(a).to_numpy(), pd.TimedeltaIndex(b).to_numpy(), at)
    elif (old.kind in _NUMBERS and new.kind in _NUMBERS) or old.kind == new.kind == "b":
        _numbers(walk, a, b, at)
    elif old.kind != new.kind and "O" not in (old.kind, new.kind):
        walk.differ(at.where, at.note)
    else:
        walk.cells(a.tolist(), b.tolist(), replace(at, note=""))
        if at.note:
            walk.alike(at.where, at.note)


def _numbers(walk: Walk, a: Any, b: Any, at: At) -> None:  # noqa: ANN401 - Series or Index
    if isinstance(a.dtype, np.dtype) and isinstance(b.dtype, np.dtype):
        walk.numbers(a.to_numpy(), b.to_numpy(), at)
        return
    lost, gained = np.asarray(a.isna()), np.asarray(b.isna())
    known = np.flatnonzero(~(lost | gained))
    x, y = (_known(item.take(known)) for item in (a, b))
    walk.numbers(x, y, replace(at, label=lambda place: at.label(int(known[place]))))
    wrong = np.flatnonzero(lost != gained)
    walk.count(len(a) - len(known), 0)
    walk.places(wrong, (_by_place(a), _by_place(b)), len(a), replace(at, note="missing on one side only"))


def _by_place(values: Any) -> Any:  # noqa: ANN401 - what gives a value for a position
    return values if isinstance(values, pd.Index) else values.iloc


def _known(values: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401 - Series or Index without missing values
    """Numbers of an extension type as numpy's."""
    kind, size = values.dtype.kind, getattr(values.dtype, "itemsize", 8)
    found: np.ndarray[Any, Any] = values.to_numpy(dtype=f"{kind}{size}" if kind in "iufc" else bool)
    return found


def _times(walk: Walk, a: Any, b: Any, at: At) -> None:  # noqa: ANN401 - Series or Index
    x, y = pd.DatetimeIndex(a), pd.DatetimeIndex(b)
    if str(x.tz) != str(y.tz):
        walk.differ(at.where, f"time zone {x.tz} became {y.tz}")
        if x.tz is None or y.tz is None:
            return
        at = replace(at, note="")
    plain = [item if item.tz is None else item.tz_convert("UTC").tz_localize(None) for item in (x, y)]
    moments(walk, plain[0].to_numpy(), plain[1].to_numpy(), at)


def _categories(walk: Walk, a: Any, b: Any, at: At) -> None:  # noqa: ANN401 - Series or Index
    x, y = (item.dtype if isinstance(item.dtype, pd.CategoricalDtype) else None for item in (a, b))
    if x is None or y is None:
        walk.differ(at.where, at.note)
    elif x.ordered != y.ordered:
        walk.differ(at.where, "categories are ordered on one side only")
    elif list(x.categories) != list(y.categories):
        walk.differ(at.where, f"categories {listed(list(x.categories))} became {listed(list(y.categories))}")
    elif x.categories.dtype.kind != y.categories.dtype.kind:
        walk.alike(at.where, f"categories: {x.categories.dtype} became {y.categories.dtype}")
    walk.cells(a.astype(object).tolist(), b.astype(object).tolist(), replace(at, note=""))


def _columns(walk: Walk, a: pd.Index, b: pd.Index, where: str) -> list[tuple[int, int]]:
    """Positions of the columns that both frames have; what is not so is noted."""
    mine, theirs = list(a), list(b)
    if list(a.names) != list(b.names):
        walk.differ(where, f"names of the columns {list(a.names)} became {list(b.names)}")
    if a.dtype.kind != b.dtype.kind:
        walk.alike(where, f"labels of the columns: {a.dtype} became {b.dtype}")
    if not (a.is_unique and b.is_unique):
        if mine != theirs:
            walk.differ(where, "columns differ, and cannot be paired: names repeat")
            return []
        return [(place, place) for place in range(len(mine))]
    known = {name: place for place, name in enumerate(theirs)}
    common = [name for name in mine if name in known]
    for word, names, others in (("removed", mine, known), ("added", theirs, set(mine))):
        odd = [_name(name) for name in names if name not in others]
        if odd:
            walk.differ(where, f"columns {word}: {listed(odd)}")
    if common != [name for name in theirs if name in set(mine)]:
        walk.differ(where, "columns reordered")
    return [(place, known[name]) for place, name in enumerate(mine) if name in known]


def _rows(walk: Walk, a: pd.Index, b: pd.Index, where: str) -> Rows:
    """Pair the rows by their labels where those are unique, else by position."""
    at = f"{where}/index"
    if list(a.names) != list(b.names):
        walk.differ(at, f"names {list(a.names)} became {list(b.names)}")
    if len(a) == len(b) and (a.equals(b) or _inexact(a) or _inexact(b)):
        _levels(walk, a, b, at)
        return None
    if a.nlevels == b.nlevels and a.is_unique and b.is_unique:
        found = a.get_indexer(b)
        here = np.flatnonzero(found >= 0)
        if len(here):
            lost = np.setdiff1d(np.arange(len(a)), found[here])
            for word, labels in (("removed", a.take(lost)), ("added", b.take(np.flatnonzero(found < 0)))):
                if len(labels):
                    walk.differ(at, f"{len(labels):,} rows {word}: {listed([_name(item) for item in labels[:6]])}")
            order = np.argsort(found[here], kind="stable")
            if not np.array_equal(order, np.arange(len(order))):
                walk.differ(at, "rows reordered")
            return found[here][order], here[order]
    if len(a) == len(b):
        _levels(walk, a, b, at)
        return None
    walk.differ(at, f"{len(a):,} rows became {len(b):,}, and cannot be paired")
    nothing = np.array([], dtype=np.intp)
    return nothing, nothing


def _levels(walk: Walk, a: pd.Index, b: pd.Index, where: str) -> None:
    """Compare the labels of two indexes of one length."""
    if a.nlevels != b.nlevels:
        walk.differ(where, f"{a.nlevels} levels became {b.nlevels}")
    elif a.nlevels == 1:
        column(walk, a, b, At(where))
    else:
        for level in range(a.nlevels):
            column(walk, a.get_level_values(level), b.get_level_values(level), At(f"{where}/{level}"))


def _inexact(index: pd.Index) -> bool:
    return any(getattr(index.get_level_values(level).dtype, "kind", "O") in "fc" for level in range(index.nlevels))


def _is_named(values: pd.Series) -> bool:
    return (
        0 < len(values) <= _MOST_NAMED
        and values.index.nlevels == 1
        and values.index.is_unique
        and all(type(label) is str for label in values.index)
        and values.dtype.kind in "iufcO"
    )


def _same_name(a: object, b: object) -> bool:
    return type(a) is type(b) and (a == b or a != a)  # noqa: PLR0124 - NaN may be a name


def _label(index: pd.Index) -> Label:
    return lambda place: _name(index[place])


def _name(label: Any) -> str:  # noqa: ANN401 - a label of an index
    if isinstance(label, tuple):
        return ", ".join(map(_name, label))
    if isinstance(label, pd.Timestamp):
        return str(label.date()) if label == label.normalize() and label.tz is None else str(label)
    return str(label)
