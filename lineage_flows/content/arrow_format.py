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
    except _CANNOT:
        return None
    if packed is None:
        return None
    table, facts = packed
    if not table.num_columns:
        # A file without columns does not say how many rows it has.
        return None
    kept = dict(table.schema.metadata or {})
    kept[_KEY] = json.dumps({"kind": kind, **facts}, sort_keys=True).encode()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(
        sink, table.schema.with_metadata(kept), options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as writer:
        writer.write_table(table.replace_schema_metadata(kept))
    return memoryview(sink.getvalue())


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


def _pack_frame(frame: Any) -> tuple[pa.Table, Facts] | None:  # noqa: ANN401 - pandas.DataFrame
    if frame.attrs or not frame.columns.is_unique:
        return None
    numbered = _numbering(frame.columns)
    if numbered is not None:
        frame = frame.set_axis([str(label) for label in frame.columns], axis=1)
    if not all(type(label) is str for label in frame.columns):
        return None
    objects = [label for label, dtype in frame.dtypes.items() if dtype.kind == "O" and isinstance(dtype, np.dtype)]
    if not all(type(item) is str for label in objects for item in frame[label]):
        return None
    facts: Facts = {"objects": objects, "freq": _frequency(frame.index), "numbered": numbered}
    table = pa.Table.from_pandas(frame)
    again = _unpack_frame(table.slice(0, 0), facts | {"freq": None, "numbered": None})
    return (table, facts) if _same_form(frame.iloc[:0], again) else None


def _unpack_frame(table: pa.Table, facts: Facts) -> Any:  # noqa: ANN401 - pandas.DataFrame
    frame = table.to_pandas()
    if facts["objects"]:
        frame = frame.astype(dict.fromkeys(facts["objects"], object))
    if facts["freq"] is not None:
        frame.index.freq = facts["freq"]
    if facts["numbered"] is not None:
        import pandas as pd

        frame.columns = pd.RangeIndex(*facts["numbered"])
    return frame


def _pack_series(series: Any) -> tuple[pa.Table, Facts] | None:  # noqa: ANN401 - pandas.Series
    if series.attrs or not (series.name is None or type(series.name) in (str, int)):
        return None
    packed = _pack_frame(series.to_frame(name=_VALUES))
    return None if packed is None else (packed[0], packed[1] | {"name": series.name})


def _unpack_series(table: pa.Table, facts: Facts) -> Any:  # noqa: ANN401 - pandas.Series
    return _unpack_frame(table, facts)[_VALUES].rename(facts["name"])


def _numbering(columns: Any) -> tuple[int, int, int] | None:  # noqa: ANN401 - pandas.Index
    """The range that columns without names of their own are numbered by."""
    if type(columns).__name__ != "RangeIndex" or columns.name is not None:
        return None
    return columns.start, columns.stop, columns.step


def _frequency(index: Any) -> str | None:  # noqa: ANN401 - pandas.Index
    frequency = getattr(index, "freq", None)
    return None if frequency is None or type(index).__name__ == "PeriodIndex" else str(frequency.freqstr)


def _same_form(before: Any, after: Any) -> bool:  # noqa: ANN401 - two pandas.DataFrame without rows
    """Whether index, columns and types came back as they were; the values then do, by Arrow's own promise."""
    return (
        _index_form(before.index) == _index_form(after.index)
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
