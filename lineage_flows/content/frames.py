"""Rules for pandas: frames, series, indexes, extension arrays, its scalars.

Knows pandas; imported when its first value is seen. A column is its logical type and its values: blocks, storage of texts, unit
of time, a range that is not spelt out, levels nobody uses, and the frequency an index remembers are no part of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lineage_flows.content.arrays import Array, array_token, times_body
from lineage_flows.content.containers import look_at_named
from lineage_flows.content.guard import attempt
from lineage_flows.content.hashing import atom, count, name, node
from lineage_flows.content.naming import type_name
from lineage_flows.content.registry import Look, Steps, register, without_parts
from lineage_flows.content.scalars import duration_token, instant_token, zone_name
from lineage_flows.content.temporal import UNITS
from lineage_flows.content.walk import ColumnLook, Memory, Walk
from lineage_flows.records import Column

__all__ = ["column_look", "column_memory", "column_steps", "column_values", "index_steps"]

_MOST_COLUMNS = 1000
_PAGE = 1 << 20
_MOST_TIMES = 8
_TIMES = (pd.DatetimeIndex, pd.PeriodIndex)


def _frame_steps(value: pd.DataFrame, walk: Walk) -> Steps:
    index = yield from index_steps(value.index, walk)
    labels = yield from index_steps(value.columns, walk)
    columns = []
    looks = []
    for _, series in pd.DataFrame.items(value):
        columns.append((yield from column_steps(series, walk)))
        if walk.columns is not None:
            looks.append(ColumnLook(columns[-1], attempt(column_memory, series)[0]))
    if walk.columns is not None:
        walk.columns[id(value)] = looks
    extra = yield from _extra_steps(value, pd.DataFrame)
    return node(b"frame", count(*value.shape), index, labels, *columns, *extra)


def _series_steps(value: pd.Series, walk: Walk) -> Steps:
    index = yield from index_steps(value.index, walk)
    column = yield from column_steps(value, walk)
    if walk.columns is not None:
        walk.columns[id(value)] = [ColumnLook(column, attempt(column_memory, value)[0])]
    (title,) = yield (value.name,)
    extra = yield from _extra_steps(value, pd.Series)
    return node(b"series", count(len(value)), index, title, column, *extra)


def _extra_steps(value: Any, base: type) -> Any:  # noqa: ANN401 - a sub-generator of Steps that returns a list of tokens
    """What a frame carries besides its data: ``attrs`` when there are any, and what a subclass adds."""
    tokens: list[bytes] = []
    if value.attrs:
        tokens += yield (value.attrs,)
    if type(value) is not base:
        added = {key: getattr(value, key, None) for key in type(value)._metadata if key != "_name"}
        tokens += yield (added,)
        tokens.append(name(type_name(type(value))))
    return tokens


def index_steps(index: pd.Index, walk: Walk) -> Steps:
    """Token of an index: names and values. A range and the same 64-bit integers are equal."""
    names = yield list(index.names)
    if isinstance(index, pd.MultiIndex):
        levels = []
        for level in range(index.nlevels):
            levels.append((yield from column_steps(index.get_level_values(level), walk)))
        return node(b"multi index", count(len(index), len(levels)), *names, *levels)
    progression = _progression(index)
    if progression is not None:
        return node(b"range index", *names, count(len(index)), name(*map(str, progression)))
    column = yield from column_steps(index, walk)
    return node(b"index", *names, column)


def column_steps(column: Any, walk: Walk) -> Steps:  # noqa: ANN401 - a Series, an Index or an ExtensionArray
    """Token of a column: its logical type and its values."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        values: Array = column.to_numpy()
        if dtype.kind == "O":
            return (yield from _object_steps(values, walk))
        return array_token(np.asarray(values), walk.strip)
    array = column if isinstance(column, pd.api.extensions.ExtensionArray) else column.array
    if _is_text(dtype):
        return (yield from _text_steps(array, walk))
    for kind, steps in _EXTENSIONS:
        if isinstance(dtype, kind):
            return (yield from steps(array, walk))
    if hasattr(dtype, "numpy_dtype") and hasattr(array, "__arrow_array__"):
        return (yield from _arrow_steps(array, walk))
    (items,) = yield (np.asarray(array, dtype=object).tolist(),)
    return node(b"extension column", name(str(dtype)), items)


def column_memory(column: pd.Series) -> Memory | None:
    """Where the values of a column lie; None where it is empty, or keeps them in a way of its own."""
    if not len(column):
        return None
    values = column_values(column)
    if values is not None:
        kind = "numpy" if isinstance(column.dtype, np.dtype) else str(column.dtype)
        return (kind, values.dtype.str, values.shape, values.strides, values.__array_interface__["data"][0])
    to_arrow = getattr(column.array, "__arrow_array__", None)
    if to_arrow is None or not isinstance(column.dtype, pd.ArrowDtype | pd.StringDtype):
        return None
    from lineage_flows.content.tables import array_memory

    return array_memory(to_arrow())


def column_values(column: pd.Series) -> Array | None:
    """The array in which the values of a column lie, of moments with a zone and of categories as numbers; None of other kinds."""
    values: Array | None = None
    if isinstance(column.dtype, np.dtype):
        values = column.to_numpy()
    elif isinstance(column.dtype, pd.DatetimeTZDtype):
        values = column.array.asi8
    elif isinstance(column.dtype, pd.CategoricalDtype):
        values = column.array.codes
    return values


def column_look(column: pd.Series, strip: str = "") -> ColumnLook:
    """A column as it is now, without its index and name: equal to what a frame says of it while it is walked.

    Raises:
        ContentError: it has no token.
    """
    bare = pd.Series(column.array, copy=False)
    walk = Walk(strip)
    walk.columns = {}
    walk.token(bare)
    (look,) = walk.columns[id(bare)]
    return look


def _object_steps(values: Array, walk: Walk) -> Steps:
    """Python objects; those that are all texts, or missing, are a column of texts whatever holds them."""
    if pd.api.types.infer_dtype(values, skipna=True) in ("string", "empty"):
        return (yield from _text_steps(values, walk))
    (items,) = yield (values.tolist(),)
    return node(b"objects", items)


def _text_steps(values: Any, walk: Walk) -> Steps:  # noqa: ANN401 - objects or an ExtensionArray of texts
    import pyarrow as pa

    from lineage_flows.content.tables import texts_body

    try:
        texts = pa.array(values, type=pa.large_string(), from_pandas=True)
    except UnicodeEncodeError:
        # Lone surrogates are no UTF-8, which Arrow asks for.
        items = np.asarray(values, dtype=object)
        (token,) = yield (
            [None if missing else str(item) for item, missing in zip(items, pd.isna(items), strict=True)],
        )
        return node(b"texts", count(len(values)), token)
    column = texts if isinstance(texts, pa.ChunkedArray) else pa.chunked_array([texts])
    return node(b"texts", count(len(values)), texts_body(column, walk.strip))


def _zoned_token(array: Any, _walk: Walk) -> bytes:  # noqa: ANN401 - DatetimeArray
    return node(
        b"zoned", name(zone_name(array.dtype.tz)), count(len(array)), times_body("M", array.asi8, array.dtype.unit)
    )


def _categorical_steps(array: pd.Categorical, walk: Walk) -> Steps:
    categories = yield from column_steps(array.categories, walk)
    codes = array_token(np.asarray(array.codes, dtype=np.int32))
    return node(b"categorical", count(bool(array.ordered)), categories, codes)


def _period_token(array: Any, _walk: Walk) -> bytes:  # noqa: ANN401 - PeriodArray
    return node(b"period", name(str(array.dtype)), array_token(array.asi8))


def _interval_steps(array: Any, walk: Walk) -> Steps:  # noqa: ANN401 - IntervalArray
    left = yield from column_steps(array.left, walk)
    right = yield from column_steps(array.right, walk)
    return node(b"interval", name(array.closed), left, right)


def _sparse_steps(array: Any, walk: Walk) -> Steps:  # noqa: ANN401 - SparseArray
    (fill,) = yield (array.dtype.fill_value,)
    dense = yield from column_steps(pd.Series(np.asarray(array)), walk)
    return node(b"sparse", fill, dense)


def _arrow_steps(array: Any, walk: Walk) -> Steps:  # noqa: ANN401 - ArrowExtensionArray or a masked array
    """Numbers that may be missing are the same column whether a mask or Arrow says which."""
    import pyarrow as pa

    from lineage_flows.content.tables import arrow_steps

    column = pa.array(array)
    return (
        yield from arrow_steps(
            column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column]), walk.strip
        )
    )


_EXTENSIONS = (
    (pd.DatetimeTZDtype, without_parts(_zoned_token)),
    (pd.CategoricalDtype, _categorical_steps),
    (pd.PeriodDtype, without_parts(_period_token)),
    (pd.IntervalDtype, _interval_steps),
    (pd.SparseDtype, _sparse_steps),
    (pd.ArrowDtype, _arrow_steps),
)


def _is_text(dtype: object) -> bool:
    if isinstance(dtype, pd.StringDtype):
        return True
    return isinstance(dtype, pd.ArrowDtype) and str(dtype.pyarrow_dtype) in ("string", "large_string", "string_view")


def _progression(index: pd.Index) -> tuple[int, int] | None:
    """Start and step when the index is 64-bit integers in equal steps."""
    if isinstance(index, pd.RangeIndex):
        return (index.start if len(index) else 0, index.step if len(index) > 1 else 1)
    if index.dtype != np.int64:
        return None
    values: npt.NDArray[np.int64] = index.to_numpy()
    if len(values) < 2:
        return (int(values[0]) if len(values) else 0, 1)
    start, step = int(values[0]), int(values[1]) - int(values[0])
    if not step or not -(2**63) <= step < 2**63:
        return None
    pages = (values[place : place + _PAGE + 1] for place in range(0, len(values) - 1, _PAGE))
    return (start, step) if all((np.diff(page) == step).all() for page in pages) else None


def _extension_array_steps(value: Any, walk: Walk) -> Steps:  # noqa: ANN401 - any ExtensionArray
    if isinstance(value, pd.arrays.NumpyExtensionArray):
        (token,) = yield (value.to_numpy(),)
    else:
        token = yield from column_steps(value, walk)
    return node(b"extension array", token)


def _index_value_steps(value: pd.Index, walk: Walk) -> Steps:
    token = yield from index_steps(value, walk)
    return node(b"index value", token)


def _timestamp_token(value: pd.Timestamp) -> bytes:
    zone = zone_name(value.tzinfo) if value.tzinfo is not None else None
    return instant_token(_attoseconds(value.asm8), zone)


def _attoseconds(value: np.datetime64 | np.timedelta64) -> int:
    length: int = UNITS[np.datetime_data(value.dtype)[0]]
    return int(value.astype(np.int64)) * length


def _interval_value_steps(value: pd.Interval, _walk: Walk) -> Steps:
    tokens = yield (value.left, value.right, value.closed)
    return node(b"interval value", *tokens)


def _look_at_frame(value: pd.DataFrame) -> Look:
    shown = list(zip(value.columns[:_MOST_COLUMNS], value.dtypes.iloc[:_MOST_COLUMNS], strict=True))
    columns = tuple(Column(name=str(label), type=str(dtype)) for label, dtype in shown)
    # Without the index, whose size grows by the tables it makes for look-ups.
    size = int(value.memory_usage(index=False, deep=False).sum())
    kind = "TimeSeries" if _is_timed(value.index) or _is_in_time_order(value) else "DataSet"
    return Look(kind, size=size, shape=tuple(map(int, value.shape)), columns=columns)  # type: ignore[arg-type]


def _is_timed(index: pd.Index) -> bool:
    """Whether an index is of moments or periods, or has a level of them."""
    if isinstance(index, pd.MultiIndex):
        return any(isinstance(level, _TIMES) for level in index.levels)
    return isinstance(index, _TIMES)


def _is_in_time_order(value: pd.DataFrame) -> bool:
    """Whether the rows follow a column of moments, up or down."""
    timed = [place for place, dtype in enumerate(value.dtypes) if getattr(dtype, "kind", "") == "M"]
    columns = (value.iloc[:, place] for place in timed[:_MOST_TIMES])
    return any(column.is_monotonic_increasing or column.is_monotonic_decreasing for column in columns)


def _look_at_series(value: pd.Series) -> Look:
    size, shape = int(value.memory_usage(index=False, deep=False)), (len(value),)
    columns = (Column(name=str(value.name), type=str(value.dtype)),)
    if _is_timed(value.index):
        return Look("TimeSeries", size=size, shape=shape, columns=columns)
    numbers = _metrics(value)
    if numbers is not None:
        return Look("Metrics", size=size, shape=shape, columns=columns, preview=numbers.preview)
    return Look("DataSet" if len(value) >= 2 else "Value", size=size, shape=shape, columns=columns)


def _metrics(value: pd.Series) -> Look | None:
    """A series of numbers by unique names is metrics."""
    if len(value) > _MOST_COLUMNS or not pd.api.types.is_numeric_dtype(value.dtype) or not value.index.is_unique:
        return None
    return look_at_named(dict(zip(value.index.tolist(), value.tolist(), strict=True)))


def _look_at_array(value: Any) -> Look:  # noqa: ANN401 - an Index or an ExtensionArray
    return Look("DataSet" if len(value) >= 2 else "Value", size=int(value.nbytes), shape=(len(value),))


register(pd.DataFrame, steps=_frame_steps, look=_look_at_frame, subclasses=True)
register(pd.Series, steps=_series_steps, look=_look_at_series, subclasses=True)
register(pd.Index, steps=_index_value_steps, look=_look_at_array, subclasses=True)
register(pd.api.extensions.ExtensionArray, steps=_extension_array_steps, look=_look_at_array, subclasses=True)
register(pd.Timestamp, leaf=_timestamp_token, look=lambda value: Look(preview=str(value)), subclasses=True)
register(
    pd.Timedelta,
    leaf=lambda value: duration_token(_attoseconds(value.asm8)),
    look=lambda value: Look(preview=str(value)),
    subclasses=True,
)
register(type(pd.NaT), leaf=lambda _: atom(b"missing", b"NaT"), look=lambda _: Look(preview="NaT"))
register(type(pd.NA), leaf=lambda _: atom(b"missing", b"NA"), look=lambda _: Look(preview="NA"))
register(
    pd.Period,
    leaf=lambda value: atom(b"period", name(value.freqstr) + count(value.ordinal)),
    look=lambda value: Look(preview=str(value)),
)
register(pd.Interval, steps=_interval_value_steps, look=lambda value: Look(preview=str(value)))
