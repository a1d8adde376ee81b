"""Compares tables and columns of polars and pyarrow: columns by name, rows by position, cells column by column.

Knows both libraries by the methods of their classes, and imports numpy alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from lineage_flows.compare.arrays import moments
from lineage_flows.compare.showing import listed
from lineage_flows.compare.walk import At, Walk
from lineage_flows.content.describe import path_step

__all__ = ["columns", "polars_columns", "tables"]


def tables(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - tables of polars or pyarrow
    """Compare two tables; of two lengths, the rows that both have, from the first on."""
    mine, theirs = _names(a), _names(b)
    for word, names, others in (("removed", mine, theirs), ("added", theirs, mine)):
        odd = [name for name in names if name not in others]
        if odd:
            walk.differ(where, f"columns {word}: {listed(odd)}")
    if [name for name in mine if name in theirs] != [name for name in theirs if name in mine]:
        walk.differ(where, "columns reordered")
    if len(set(mine)) != len(mine) or len(set(theirs)) != len(theirs):
        walk.differ(where, "columns cannot be paired: names repeat")
        return
    rows = min(_length(a), _length(b))
    if _length(a) != _length(b):
        walk.differ(where, f"{_length(a):,} rows became {_length(b):,}")
    for name in mine:
        if name in theirs:
            walk.compare(_column(a, name, rows), _column(b, name, rows), f"{where}/{path_step(name)}")


def polars_columns(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - polars.Series
    """Compare two columns of polars; a series' own name counts."""
    if a.name != b.name:
        walk.differ(where, f"name {a.name!r} became {b.name!r}")
    if len(a) != len(b):
        walk.differ(where, f"{len(a):,} values became {len(b):,}")
        a, b = a.slice(0, min(len(a), len(b))), b.slice(0, min(len(a), len(b)))
    at = At(where, note="" if a.dtype == b.dtype else f"{a.dtype} became {b.dtype}")
    numeric = [item.dtype.is_numeric() and not item.dtype.is_decimal() for item in (a, b)]
    if all(numeric):
        _known(walk, a, b, at, _polars_numbers)
    elif a.dtype.is_temporal() and type(a.dtype) is type(b.dtype) and str(a.dtype) != "Time":
        if getattr(a.dtype, "time_zone", None) != getattr(b.dtype, "time_zone", None):
            walk.differ(where, at.note)
            at = At(where)
        moments(walk, a.to_numpy(), b.to_numpy(), at)
    elif at.note and not all(str(item.dtype).startswith(("String", "Categorical", "Enum")) for item in (a, b)):
        walk.differ(where, at.note)
    else:
        walk.cells(a.to_list(), b.to_list(), At(where))
        if at.note:
            walk.alike(where, at.note)


def _polars_numbers(values: Any) -> Any:  # noqa: ANN401 - polars.Series to numpy's array
    return values.to_numpy()


def columns(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - pyarrow.Array or ChunkedArray
    """Compare two columns of pyarrow."""
    at = At(where, note="" if a.type == b.type else f"{a.type} became {b.type}")
    if len(a) != len(b):
        walk.differ(where, f"{len(a):,} values became {len(b):,}")
        a, b = a.slice(0, min(len(a), len(b))), b.slice(0, min(len(a), len(b)))
    kinds = {_kind(a.type), _kind(b.type)}
    if kinds <= set("iuf"):
        _known(walk, a, b, at, np.asarray)
    elif kinds == {"M"} and getattr(a.type, "tz", None) == getattr(b.type, "tz", None):
        moments(walk, np.asarray(a), np.asarray(b), at)
    elif at.note and kinds != {"U"}:
        walk.differ(where, at.note)
    else:
        walk.cells(a.to_pylist(), b.to_pylist(), At(where))
        if at.note:
            walk.alike(where, at.note)


def _known(walk: Walk, a: Any, b: Any, at: At, plain: Callable[[Any], Any]) -> None:  # noqa: ANN401 - columns
    """Compare numbers, those that are missing apart."""
    lost, gained = np.asarray(a.is_null()), np.asarray(b.is_null())
    if not (lost.any() or gained.any()):
        walk.numbers(plain(a), plain(b), at)
        return
    known = ~(lost | gained)
    places = np.flatnonzero(known)
    x, y = plain(a.filter(_mask(a, known))), plain(b.filter(_mask(b, known)))
    walk.numbers(x, y, replace(at, label=lambda place: str(places[place])))
    walk.count(len(a) - len(places), 0)
    wrong = np.flatnonzero(lost != gained)
    walk.places(wrong, (a, b), len(a), replace(at, note="missing on one side only"))


def _mask(column: Any, known: np.ndarray[Any, Any]) -> Any:  # noqa: ANN401 - a mask of the column's own library
    if hasattr(column, "to_pylist"):
        import pyarrow as pa

        return pa.array(known)
    import polars as pl

    return pl.Series(known)


def _kind(kind: Any) -> str:  # noqa: ANN401 - pyarrow.DataType
    import pyarrow.types as pt

    tests = (
        ("i", pt.is_signed_integer),
        ("u", pt.is_unsigned_integer),
        ("f", pt.is_floating),
        ("M", pt.is_timestamp),
        ("U", lambda it: pt.is_string(it) or pt.is_large_string(it)),
    )
    return next((name for name, test in tests if test(kind)), "O")


def _names(table: Any) -> list[str]:  # noqa: ANN401 - tables of polars or pyarrow
    return list(table.columns if hasattr(table, "get_columns") else table.schema.names)


def _length(table: Any) -> int:  # noqa: ANN401 - tables of polars or pyarrow
    return int(table.height if hasattr(table, "height") else table.num_rows)


def _column(table: Any, name: str, rows: int) -> Any:  # noqa: ANN401 - tables of polars or pyarrow
    column = table.get_column(name) if hasattr(table, "get_column") else table.column(name)
    return column if len(column) == rows else column.slice(0, rows)
