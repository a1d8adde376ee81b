"""Rules for polars: frames, series. Column by column through Arrow, which they share their memory with.

Knows polars; imported when its first value is seen. A lazy frame is not run: it has the rule of any object.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from lineage_flows.content.guard import attempt
from lineage_flows.content.hashing import count, name, node
from lineage_flows.content.registry import Look, Steps, register
from lineage_flows.content.tables import MOST_COLUMNS, array_memory, arrow_steps
from lineage_flows.content.walk import ColumnLook, Memory, Walk
from lineage_flows.records import Column

__all__ = ["column_memory"]

_MOST_TIMES = 8


def _series_steps(value: pl.Series, walk: Walk) -> Steps:
    token = yield from _column_steps(value, walk)
    if walk.columns is not None:
        walk.columns[id(value)] = [ColumnLook(token, attempt(column_memory, value)[0])]
    return node(b"polars series", name(value.name), token)


def _frame_steps(value: pl.DataFrame, walk: Walk) -> Steps:
    tokens = []
    for column in value.iter_columns():
        tokens.append((yield from _column_steps(column, walk)))
    if walk.columns is not None:
        listed = zip(tokens, value.iter_columns(), strict=True)
        walk.columns[id(value)] = [ColumnLook(token, attempt(column_memory, column)[0]) for token, column in listed]
    return node(b"polars frame", count(value.height, value.width), name(*value.columns), *tokens)


def column_memory(column: pl.Series) -> Memory | None:
    """Where the values of a column lie; None where it is empty, or keeps them in a way of its own."""
    kind = column.dtype
    if not len(column) or column.n_chunks() != 1 or not (kind.is_numeric() or kind.is_temporal() or kind == pl.String):
        return None  # the others are converted on their way out, which takes time and tells nothing
    return array_memory(column.to_arrow(compat_level=pl.CompatLevel.newest()))


def _column_steps(column: pl.Series, walk: Walk) -> Steps:
    kind = column.dtype
    if kind == pl.Object:
        (token,) = yield (column.to_list(),)
        return node(b"polars objects", token)
    if kind.is_nested():
        token = yield from arrow_steps(_arrow(column), walk.strip)
        return node(b"polars column", name(_type_name(kind)), token)
    if isinstance(kind, pl.Categorical | pl.Enum):
        # Physical codes depend on what else the process has seen; the texts do not.
        column = column.cast(pl.String)
    token = yield from arrow_steps(_arrow(column), walk.strip)
    return node(b"polars column", name(_type_name(kind)), token)


def _arrow(column: pl.Series) -> pa.ChunkedArray:
    return pa.chunked_array([column.to_arrow(compat_level=pl.CompatLevel.oldest())])


def _type_name(kind: pl.DataType) -> str:
    """The logical type, without the unit of time."""
    if isinstance(kind, pl.Datetime):
        return f"Datetime[{kind.time_zone or ''}]"
    if isinstance(kind, pl.Duration | pl.Categorical):
        return type(kind).__name__
    if isinstance(kind, pl.Enum):
        return f"Enum{kind.categories.to_list()}"
    return str(kind)


def _look_at_frame(value: pl.DataFrame) -> Look:
    schema = list(value.schema.items())[:MOST_COLUMNS]
    columns = tuple(Column(name=title, type=str(kind)) for title, kind in schema)
    kind = "TimeSeries" if _is_in_time_order(value) else "DataSet"
    return Look(kind, size=int(value.estimated_size()), shape=(value.height, value.width), columns=columns)  # type: ignore[arg-type]


def _is_in_time_order(value: pl.DataFrame) -> bool:
    """Whether the rows follow a column of dates or moments, up or down."""
    timed = [title for title, kind in value.schema.items() if isinstance(kind, pl.Date | pl.Datetime)][:_MOST_TIMES]
    columns = (value.get_column(title) for title in timed)
    return any(
        not column.null_count() and (column.is_sorted() or column.is_sorted(descending=True)) for column in columns
    )


def _look_at_series(value: pl.Series) -> Look:
    kind = "DataSet" if len(value) >= 2 else "Value"
    columns = (Column(name=value.name, type=str(value.dtype)),)
    return Look(kind, size=int(value.estimated_size()), shape=(len(value),), columns=columns)  # type: ignore[arg-type]


register(pl.Series, steps=_series_steps, look=_look_at_series, subclasses=True)
register(pl.DataFrame, steps=_frame_steps, look=_look_at_frame, subclasses=True)
