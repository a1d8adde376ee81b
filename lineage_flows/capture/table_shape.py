"""Rows and columns of a table that a library has in hand: of the frame that a reader gave, or that a writer was given.

Knows pandas', polars' and pyarrow's tables by the names of their classes, imports none, and looks at no value in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from lineage_flows.capture.details import Details

__all__ = ["shape_of", "table_among"]

_MOST_COLUMNS = 1_000
_ARROW = frozenset({"Table", "RecordBatch"})


def table_among(values: Iterable[object], named: Mapping[str, object]) -> Details | None:
    """The shape of the first table among the arguments of a call."""
    return next((found for value in (*values, *named.values()) if (found := shape_of(value)) is not None), None)


def shape_of(value: Any) -> Details | None:  # noqa: ANN401 - anything; tables are picked out
    """Rows and columns of a table; None of anything else, also of one that was not read yet (a lazy frame, an iterator).

    Of a frame of pandas' the index is not among the columns. Its own methods may raise anything.
    """
    names = {(base.__module__.partition(".")[0], base.__qualname__) for base in type(value).__mro__}
    if ("pandas", "DataFrame") in names:
        labels = islice(zip(value.columns, value.dtypes, strict=True), _MOST_COLUMNS)
        return _details(value.shape[0], labels)
    if ("pandas", "Series") in names:
        return _details(value.shape[0], [] if value.name is None else [(value.name, value.dtype)])
    if ("polars", "DataFrame") in names:
        return _details(value.height, islice(value.schema.items(), _MOST_COLUMNS))
    if any(("pyarrow", name) in names for name in _ARROW):
        return _details(value.num_rows, _fields(value.schema))
    if ("pyarrow", "ParquetFile") in names:
        return _details(value.metadata.num_rows, _fields(value.schema_arrow))
    return None


def _fields(schema: Any) -> Iterable[tuple[object, object]]:  # noqa: ANN401 - pyarrow's Schema
    return ((field.name, field.type) for field in islice(schema, _MOST_COLUMNS))


def _details(rows: int, columns: Iterable[tuple[object, object]]) -> Details:
    return Details(rows=int(rows), columns=tuple((_text(label), _text(kind)) for label, kind in columns))


def _text(label: object) -> str:
    return str(label).encode("utf-8", "backslashreplace").decode()
