"""Rules for pyarrow: tables, record batches, arrays of every type, scalars.

Knows pyarrow and numpy; imported when the first value of pyarrow, polars or an Arrow-backed pandas column is seen. Chunks,
offsets, the width of offsets and what lies under a null are storage, and no part of a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lineage_flows.content.arrays import Array, blocks, feed_numbers, times_body
from lineage_flows.content.hashing import blob_token, count, digest, hasher, name, node
from lineage_flows.content.registry import Look, Steps, register
from lineage_flows.content.walk import Memory, Walk
from lineage_flows.records import Column

__all__ = ["MOST_COLUMNS", "array_memory", "arrow_steps", "strip_column", "texts_body"]

MOST_COLUMNS = 1000
"""How many columns of a table are shown; the fingerprint is always of all."""

_PAGE = 1 << 20
"""Rows handled at a time where they have to be copied."""


def arrow_steps(column: pa.ChunkedArray, strip: str) -> Steps:
    """Token of a column: its logical type, its nulls, its values."""
    kind = column.type
    head = name(_type_name(kind)) + count(len(column))
    body = next((rule for fits, rule in _RULES if fits(kind)), None)
    if body is not None:
        return node(b"column", head, _nulls(column), body(column))
    if _is_text(kind):
        return node(b"column", head, texts_body(column, strip))
    steps = next((rule for fits, rule in _NESTED if fits(kind)), _any_steps)
    return (yield from steps(column, head, strip))


def texts_body(column: pa.ChunkedArray, strip: str = "") -> bytes:
    """Body of a column of texts or bytes: lengths (-1 where null) and content, whatever holds them."""
    large = pa.large_binary() if _is_binary(column.type) else pa.large_string()
    lengths, content = hasher(8 * len(column)), hasher(column.nbytes)
    for page in _pages(column):
        texts = page.cast(large)
        if strip:
            texts = strip_column(texts, strip)
        if texts.null_count:
            # Empties what lies under the nulls.
            missing = _bools(texts.is_null())
            texts = pc.fill_null(texts, b"" if _is_binary(large) else "")
        offsets = np.frombuffer(texts.buffers()[1], dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
        sizes = np.diff(offsets)
        if page.null_count:
            sizes[missing] = -1
        feed_numbers(lengths, sizes)
        data = texts.buffers()[2]
        if data is not None:
            content.update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])
    return lengths.digest() + content.digest()


def strip_column(texts: pa.Array, strip: str) -> pa.Array:
    """Texts without the folder ``strip`` before them, as ``strip_text`` does it."""
    if _is_binary(texts.type):
        return texts
    at = pc.equal(texts, strip)
    below = pc.match_substring(texts, strip + "/")
    if not pc.any(pc.or_(at, below)).as_py():
        return texts
    texts = pc.replace_substring(texts, strip + "/", "/")
    return pc.if_else(at, "/", texts).cast(pa.large_string())


def _pages(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    for chunk in column.chunks:
        for start in range(0, len(chunk), _PAGE):
            yield chunk.slice(start, _PAGE)


def _nulls(column: pa.ChunkedArray) -> bytes:
    """Digest of where the nulls are; nothing when there are none."""
    if not column.null_count:
        return count(0)
    running = hasher(len(column))
    for page in _pages(column):
        feed_numbers(running, _bools(page.is_null()))
    return count(column.null_count) + running.digest()


def _bools(flags: pa.Array) -> Array:
    result: Array = flags.to_numpy(zero_copy_only=False)
    return result


def _numbers_body(column: pa.ChunkedArray) -> bytes:
    running = hasher(column.nbytes)
    for chunk in column.chunks:
        for block in _filled(chunk):
            feed_numbers(running, block)
    return running.digest()


def _filled(chunk: pa.Array) -> Iterator[Array]:
    """The numbers of a chunk, zero where null; views of its buffer when it has no nulls."""
    if not chunk.null_count:
        yield from blocks(_fixed(chunk))
        return
    for start in range(0, len(chunk), _PAGE):
        page = chunk.slice(start, _PAGE)
        numbers = _fixed(page).copy()
        numbers[_bools(page.is_null())] = np.zeros((), dtype=numbers.dtype)
        yield from blocks(numbers)


def _fixed(chunk: pa.Array) -> Array:
    """The values of fixed width as numpy sees them, without a copy."""
    width = chunk.type.bit_width // 8
    dtype = _FLOATS.get(str(chunk.type), f"u{width}" if width in (1, 2, 4, 8) else f"V{width}")
    buffer = chunk.buffers()[1]
    if buffer is None or not len(chunk):
        return np.empty(0, dtype=dtype)
    values = np.frombuffer(buffer, dtype=np.uint8)[chunk.offset * width : (chunk.offset + len(chunk)) * width]
    return values.view(dtype) if dtype[0] != "V" else values.reshape(-1, width)


def _booleans_body(column: pa.ChunkedArray) -> bytes:
    running = hasher(len(column))
    for page in _pages(column):
        feed_numbers(running, _bools(pc.fill_null(page, fill_value=False)))
    return running.digest()


def _times_body(column: pa.ChunkedArray) -> bytes:
    parts = [np.array(_fixed(chunk)) if chunk.null_count else _fixed(chunk) for chunk in column.chunks]
    for part, chunk in zip(parts, column.chunks, strict=True):
        if chunk.null_count:
            part[_bools(chunk.is_null())] = 0
    wide = [part.view(f"i{part.itemsize}").astype(np.int64, copy=False) for part in parts]
    whole = wide[0] if len(wide) == 1 else np.concatenate([np.empty(0, np.int64), *wide])
    return times_body("time", whole, "D" if pa.types.is_date32(column.type) else _unit(column.type))


def _unit(kind: pa.DataType) -> str:
    return "ms" if pa.types.is_date64(kind) else str(kind.unit)


def _any_steps(column: pa.ChunkedArray, head: bytes, _strip: str) -> Steps:
    """Maps, unions, views, runs, intervals: by their items as Python objects."""
    (token,) = yield (column.to_pylist(),)
    return node(b"column", head, token)


def _extension_steps(column: pa.ChunkedArray, head: bytes, strip: str) -> Steps:
    storage = pa.chunked_array([chunk.storage for chunk in column.chunks], type=column.type.storage_type)
    token = yield from arrow_steps(storage, strip)
    return node(b"column", head, token)


def _dictionary_steps(column: pa.ChunkedArray, head: bytes, strip: str) -> Steps:
    """By the values; in an ordered dictionary by their order too."""
    values = column.cast(column.type.value_type)
    token = yield from arrow_steps(values, strip)
    if not column.type.ordered:
        return node(b"column", head, token)
    dictionary = (
        column.unify_dictionaries().chunk(0).dictionary if column.num_chunks else pa.array([], column.type.value_type)
    )
    order = yield from arrow_steps(pa.chunked_array([dictionary]), strip)
    return node(b"column", head, token, order)


def _struct_steps(column: pa.ChunkedArray, head: bytes, strip: str) -> Steps:
    tokens = []
    for place, field in enumerate(column.type):
        # flatten() hands the struct's own nulls down to its fields.
        chunks = [chunk.flatten()[place] for chunk in column.chunks]
        tokens.append((yield from arrow_steps(pa.chunked_array(chunks, type=field.type), strip)))
    return node(b"column", head, _nulls(column), *tokens)


def _list_steps(column: pa.ChunkedArray, head: bytes, strip: str) -> Steps:
    lengths = hasher(8 * len(column))
    for page in _pages(column):
        sizes = pc.fill_null(pc.list_value_length(page), -1).cast(pa.int64())
        feed_numbers(lengths, sizes.to_numpy(zero_copy_only=False))
    # flatten() leaves out what lies under a null.
    items = pa.chunked_array([chunk.flatten() for chunk in column.chunks], type=column.type.value_type)
    token = yield from arrow_steps(items, strip)
    return node(b"column", head, lengths.digest(), token)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or _is_binary(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_extension(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType)


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_temporal(kind) and not pa.types.is_interval(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


_FLOATS = {"halffloat": "f2", "float": "f4", "double": "f8"}

_RULES: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.ChunkedArray], bytes]]] = (
    (pa.types.is_null, lambda _column: b""),
    (pa.types.is_boolean, _booleans_body),
    (_is_number, _numbers_body),
    (_is_moment, _times_body),
)
"""Bodies of the types that hold no others, after the column's nulls."""


_NESTED: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.ChunkedArray, bytes, str], Steps]]] = (
    (_is_extension, _extension_steps),
    (pa.types.is_dictionary, _dictionary_steps),
    (pa.types.is_struct, _struct_steps),
    (_is_list, _list_steps),
)
"""Tokens of the types that hold others."""


def _type_name(kind: pa.DataType) -> str:
    """The logical type: without the width of offsets, the unit of time, or how texts are held."""
    return next((title(kind) for fits, title in _TITLES if fits(kind)), str(kind))


def _struct_name(kind: pa.DataType) -> str:
    return "struct<" + ", ".join(f"{field.name!r}: {_type_name(field.type)}" for field in kind) + ">"


_TITLES: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], str]]] = (
    (_is_extension, lambda kind: f"extension<{kind.extension_name}, {_type_name(kind.storage_type)}>"),
    (_is_binary, lambda _kind: "bytes"),
    (_is_text, lambda _kind: "str"),
    (pa.types.is_timestamp, lambda kind: f"timestamp[{kind.tz or ''}]"),
    (pa.types.is_date, lambda _kind: "date"),
    (pa.types.is_time, lambda _kind: "time"),
    (pa.types.is_duration, lambda _kind: "duration"),
    (pa.types.is_dictionary, lambda kind: f"dictionary<{_type_name(kind.value_type)}, {bool(kind.ordered)}>"),
    (pa.types.is_struct, _struct_name),
    (_is_list, lambda kind: f"list<{_type_name(kind.value_type)}>"),
)


def table_steps(table: pa.Table, walk: Walk, kind: bytes = b"arrow table") -> Steps:
    """Token of a table: its columns' names and tokens, in their order."""
    tokens = []
    for column in table.columns:
        tokens.append((yield from arrow_steps(column, walk.strip)))
    return node(kind, count(table.num_rows, table.num_columns), name(*table.column_names), *tokens)


def array_memory(array: pa.Array | pa.ChunkedArray) -> Memory | None:
    """Where the values of an array lie; None where it is empty or in several pieces."""
    if isinstance(array, pa.ChunkedArray):
        if array.num_chunks != 1:
            return None
        array = array.chunk(0)
    if not len(array):
        return None
    buffers = tuple(buffer.address for buffer in array.buffers() if buffer is not None)
    return ("arrow", str(array.type), len(array), array.offset, buffers)


def _batch_steps(value: pa.RecordBatch, walk: Walk) -> Steps:
    return (yield from table_steps(pa.Table.from_batches([value]), walk))


def _array_steps(value: pa.Array, walk: Walk) -> Steps:
    column = value if isinstance(value, pa.ChunkedArray) else pa.chunked_array([value])
    token = yield from arrow_steps(column, walk.strip)
    return node(b"arrow array", token)


def _scalar_steps(value: pa.Scalar, walk: Walk) -> Steps:
    token = yield from arrow_steps(pa.chunked_array([pa.repeat(value, 1)]), walk.strip)
    return node(b"arrow scalar", token)


def look_at_table(value: pa.Table) -> Look:
    """What is shown of a table: its columns by logical type."""
    columns = tuple(Column(name=field.name, type=_type_name(field.type)) for field in list(value.schema)[:MOST_COLUMNS])
    return Look("DataSet", size=int(value.nbytes), shape=(value.num_rows, value.num_columns), columns=columns)


def _look_at_array(value: pa.Array) -> Look:
    return Look("DataSet" if len(value) >= 2 else "Value", size=int(value.nbytes), shape=(len(value),))


register(pa.Table, steps=table_steps, look=look_at_table)
register(pa.RecordBatch, steps=_batch_steps, look=look_at_table)
register(pa.Array, pa.ChunkedArray, steps=_array_steps, look=_look_at_array, subclasses=True)
register(pa.Scalar, steps=_scalar_steps, look=lambda value: Look(preview=str(value)[:200]), subclasses=True)
register(pa.Buffer, leaf=lambda value: blob_token(digest(memoryview(value))), look=lambda value: Look(size=value.size))
