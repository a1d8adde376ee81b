"""Tables as Arrow IPC files: pandas frames and series, polars frames and series, pyarrow tables, when they come back exactly.

Knows pyarrow, and pandas or polars when the value is theirs. What Arrow does not keep of a frame (an index' frequency, columns
of Python texts) stands in the schema's metadata; what cannot be said there is not stored in this format.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from lineage_flows.content.naming import type_name
from lineage_flows.errors import ContentError

__all__ = ["dump_table", "load_table"]

_KEY = b"lineage_flows"
_VALUES = "value"
_KINDS = {
    "pandas.DataFrame": "frame",
    "pandas.Series": "series",
    "polars.dataframe.frame.DataFrame": "polars frame",
    "polars.series.series.Series": "polars series",
    "pyarrow.lib.Table": "table",
}
_CANNOT = (pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError)

Facts = dict[str, Any]


def dump_table(value: Any) -> memoryview | None:  # noqa: ANN401 - any of the classes above
    """An Arrow IPC file with zstd, readable by every Arrow library; None when the value would not come back exactly."""
    kind = _KINDS.get(type_name(type(value)))
    if kind is None:
        return None
    try:
        packed = _PACK[kind](value)
        return None if packed is None else _write(packed[0], {"kind": kind, **packed[1]})
    except _CANNOT:
        return None


def load_table(data: bytes) -> object:
    """The value in an Arrow IPC file that ``dump_table`` made; any other file gives a pyarrow table.

    Raises:
        ContentError: when the bytes are no such file.
    """
    try:
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    except pa.ArrowException as error:
        raise ContentError("a stored table cannot be loaded", why=str(error)) from error
    kept = dict(table.schema.metadata or {})
    facts: Facts = json.loads(kept.pop(_KEY, b'{"kind": "table"}'))
    return _UNPACK[facts["kind"]](table.replace_schema_metadata(kept or None), facts)


def _write(table: pa.Table, facts: Facts) -> memoryview | None:
    if not table.num_columns:
        # A file without columns does not say how many rows it has.
        return None
    kept = dict(table.schema.metadata or {})
    kept[_KEY] = json.dumps(facts, sort_keys=True).encode()
    # A file has one dictionary a column, a table one a chunk.
    table = table.unify_dictionaries().replace_schema_metadata(kept)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def _pack_frame(frame: Any) -> tuple[pa.Table, Facts] | None:  # noqa: ANN401 - pandas.DataFrame
    if frame.attrs or not frame.columns.is_unique:
        return None
    facts: Facts = {"columns": _range(frame.columns), "index": _range(frame.index), "freq": _frequency(frame.index)}
    if facts["columns"] is not None:
        frame = frame.set_axis([str(label) for label in frame.columns], axis=1)
    facts["objects"] = [label for label, dtype in frame.dtypes.items() if _is_object(dtype)]
    if not _keeps(frame, facts["objects"]):
        return None
    table = pa.Table.from_pandas(frame, preserve_index=facts["index"] is None)
    again = _restore(table.slice(0, 0), facts["objects"])
    return (table, facts) if _same_form(frame.iloc[:0], again, with_index=facts["index"] is None) else None


def _unpack_frame(table: pa.Table, facts: Facts) -> Any:  # noqa: ANN401 - pandas.DataFrame
    import pandas as pd

    frame = _restore(table, facts["objects"])
    if facts["index"] is not None:
        frame.index = pd.RangeIndex(*facts["index"][:3], name=facts["index"][3])
    if facts["columns"] is not None:
        frame.columns = pd.RangeIndex(*facts["columns"][:3], name=facts["columns"][3])
    if facts["freq"] is not None:
        frame.index.freq = facts["freq"]
    return frame


def _restore(table: pa.Table, objects: list[str]) -> Any:  # noqa: ANN401 - pandas.DataFrame
    frame = table.to_pandas()
    return frame.astype(dict.fromkeys(objects, object)) if objects else frame


def _keeps(frame: Any, objects: list[str]) -> bool:  # noqa: ANN401 - pandas.DataFrame
    """Whether Arrow keeps what only the values say: texts among objects, and the categories of a frame without rows."""
    levels = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
    texts = [frame[label] for label in objects] + [level for level in levels if _is_object(level.dtype)]
    if not all(type(item) is str for column in [frame.columns, *texts] for item in column):
        return False
    dtypes = [*frame.dtypes, *(level.dtype for level in levels)]
    return len(frame) > 0 or not any(hasattr(dtype, "categories") for dtype in dtypes)


def _is_object(dtype: Any) -> bool:  # noqa: ANN401 - a numpy or pandas dtype
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def _pack_series(series: Any) -> tuple[pa.Table, Facts] | None:  # noqa: ANN401 - pandas.Series
    if series.attrs or not (series.name is None or type(series.name) in (str, int)):
        return None
    packed = _pack_frame(series.to_frame(name=_VALUES))
    return None if packed is None else (packed[0], packed[1] | {"name": series.name})


def _unpack_series(table: pa.Table, facts: Facts) -> Any:  # noqa: ANN401 - pandas.Series
    return _unpack_frame(table, facts)[_VALUES].rename(facts["name"])


def _range(index: Any) -> list[Any] | None:  # noqa: ANN401 - pandas.Index
    """Start, stop, step and name of an index that is a range."""
    if type(index).__name__ != "RangeIndex" or not (index.name is None or type(index.name) in (str, int)):
        return None
    return [index.start, index.stop, index.step, index.name]


def _frequency(index: Any) -> str | None:  # noqa: ANN401 - pandas.Index
    frequency = getattr(index, "freq", None)
    return None if frequency is None or type(index).__name__ == "PeriodIndex" else str(frequency.freqstr)


def _same_form(before: Any, after: Any, *, with_index: bool) -> bool:  # noqa: ANN401 - two pandas.DataFrame without rows
    """Whether index, columns and types came back as they were; the values then do, by Arrow's own promise."""
    return (
        (not with_index or _index_form(before.index) == _index_form(after.index))
        and _index_form(before.columns) == _index_form(after.columns)
        and list(before.columns) == list(after.columns)
        and list(map(_type_form, before.dtypes)) == list(map(_type_form, after.dtypes))
    )


def _index_form(index: Any) -> object:  # noqa: ANN401 - pandas.Index
    dtypes = list(index.dtypes) if index.nlevels > 1 else [index.dtype]
    names = [(type(title), title) for title in index.names]
    return type(index), names, list(map(_type_form, dtypes))


def _type_form(dtype: Any) -> object:  # noqa: ANN401 - a numpy or pandas dtype
    categories = getattr(dtype, "categories", None)
    if categories is None:
        return type(dtype), dtype
    return type(dtype), dtype.ordered, _type_form(categories.dtype), categories.tolist()


def _pack_polars(frame: Any) -> tuple[pa.Table, Facts] | None:  # noqa: ANN401 - polars.DataFrame
    table = frame.to_arrow()
    return (table, {}) if _unpack_polars(table.slice(0, 0), {}).schema == frame.schema else None


def _unpack_polars(table: pa.Table, _facts: Facts) -> Any:  # noqa: ANN401 - polars.DataFrame
    import polars as pl

    return pl.from_arrow(table)


_PACK: dict[str, Callable[[Any], tuple[pa.Table, Facts] | None]] = {
    "frame": _pack_frame,
    "series": _pack_series,
    "polars frame": _pack_polars,
    "polars series": lambda series: _pack_polars(series.to_frame()),
    "table": lambda table: (table, {}),
}
_UNPACK: dict[str, Callable[[pa.Table, Facts], Any]] = {
    "frame": _unpack_frame,
    "series": _unpack_series,
    "polars frame": _unpack_polars,
    "polars series": lambda table, facts: _unpack_polars(table, facts).to_series(),
    "table": lambda table, _facts: table,
}
