"""Rules for numpy: arrays of every dtype, scalars, dtypes.

Knows numpy; imported when its first value is seen. A buffer is hashed where it lies: what is copied is at most a few MB at a
time, and only when bytes have to be put in order (strides, byte order) or made the same (NaN, units of time).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from lineage_flows.content.hashing import CHUNK, atom, blob_token, count, digest, hasher, name, node
from lineage_flows.content.naming import type_name
from lineage_flows.content.registry import Look, Steps, register
from lineage_flows.content.scalars import (
    complex_token,
    duration_token,
    float_token,
    instant_token,
    int_token,
    look_at_scalar,
    str_token,
    strip_bytes,
    strip_text,
)
from lineage_flows.content.temporal import NAT, UNITS, choose, scaled
from lineage_flows.content.walk import Walk

__all__ = ["array_token", "blocks", "dtype_name", "feed_numbers", "look_at_array", "numbers_digest", "times_body"]

Array = npt.NDArray[Any]

_CALENDAR = {"Y": 12, "M": 1}
_UNITLESS = "generic"
_PLAIN = (np.ndarray, np.memmap, np.recarray)
"""Array classes that say nothing about the values in them."""

_EIGHTY_BIT_LONG_DOUBLE = np.finfo(np.longdouble).nmant == 63


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The logical type: kind and bits, without byte order, width of texts or unit of time."""
    if dtype.kind in "US":
        return {"U": "str", "S": "bytes"}[dtype.kind]
    if dtype.kind in "mM":
        return {"m": "timedelta", "M": "datetime"}[dtype.kind]
    return dtype.name if dtype.kind != "V" else "struct"


def array_token(value: Array, strip: str = "") -> bytes:
    """Token of an array that holds no Python objects: logical type, shape, and the values in C order."""
    kind = value.dtype.kind
    head = name(dtype_name(value.dtype)) + count(value.ndim, *value.shape)
    if kind in "biufc":
        return node(b"array", head, numbers_digest(value))
    if kind in "mM":
        return node(b"array", head, _datetimes_body(value))
    if kind in "US":
        return node(b"array", head, _texts_body(value, strip))
    if value.dtype.names is not None:
        # Field by field: what lies between them is whatever was in memory before.
        fields = [array_token(value[field], strip) for field in value.dtype.names]
        return node(b"array", head, name(*value.dtype.names), *fields)
    raw = np.frombuffer(np.ascontiguousarray(value).tobytes(), dtype=np.uint8)
    return node(b"array", head, count(value.dtype.itemsize), digest(raw.data) if raw.size else b"")


def numbers_digest(value: Array) -> bytes:
    """Digest of numbers in C order, little-endian, every NaN the same."""
    running = hasher(value.nbytes)
    for block in blocks(value):
        feed_numbers(running, block)
    return running.digest()


def feed_numbers(running: blake3, block: Array) -> None:
    """Hash a contiguous block of numbers."""
    if block.dtype.kind in "fc":
        block = _one_nan(block)
    running.update(memoryview(block.view(np.uint8)))  # type: ignore[arg-type]  # a buffer of bytes


def blocks(value: Array) -> Iterator[Array]:
    """The values in C order as flat, contiguous, little-endian arrays of a few MB; views of the array where it is so itself."""
    if not value.size:
        return
    if not value.flags.c_contiguous:
        if value.ndim > 1:
            yield from _rows(value)
            return
    elif not _must_look(value.dtype):
        yield value.reshape(-1)
        return
    flat = value.reshape(-1) if value.flags.c_contiguous else value
    step = max(1, CHUNK // value.itemsize)
    for start in range(0, flat.size, step):
        yield np.ascontiguousarray(flat[start : start + step], dtype=value.dtype.newbyteorder("<"))


def times_body(kind: str, values: npt.NDArray[np.int64], unit: str, step: int = 1) -> bytes:
    """Body for times given as integers that count ``step`` of ``unit``."""
    counting = choose(values, unit, step)
    running = hasher(values.nbytes)
    for block in blocks(values):
        if counting.multiply == counting.divide == 1:
            feed_numbers(running, block)
        else:
            size = CHUNK // 8
            for start in range(0, block.size, size):
                feed_numbers(running, scaled(block[start : start + size], counting))
    return name(kind, counting.unit) + running.digest()


def _rows(value: Array) -> Iterator[Array]:
    """An array that is not contiguous, in slabs along its first axis."""
    per_row = value.nbytes // len(value)
    step = CHUNK // per_row
    if step == 0:
        for row in value:
            yield from blocks(row)
        return
    for start in range(0, len(value), step):
        yield from blocks(np.ascontiguousarray(value[start : start + step]))


def _must_look(dtype: np.dtype[Any]) -> bool:
    """Whether bytes may have to be changed before they are hashed."""
    return dtype.kind in "fc" or dtype != dtype.newbyteorder("<")


def _one_nan(block: Array) -> Array:
    """The block with every NaN the same; itself when it has none."""
    parts = block.view(block.real.dtype) if block.dtype.kind == "c" else block
    if parts.dtype.itemsize > 8:
        return _long_doubles(parts)
    with np.errstate(all="ignore"):  # a signalling NaN must not warn in the user's program
        # The minimum is NaN as soon as one value is: faster than asking each, except for half floats.
        if not (np.isnan(parts.min()) if parts.itemsize > 2 else np.isnan(parts).any()):
            return block
        clean = parts.copy()
        clean[np.isnan(clean)] = np.nan
    return clean


def _long_doubles(parts: Array) -> Array:
    """The ten bytes that count of each 80-bit number; the six after them are whatever was in memory before."""
    clean = parts.copy()
    clean[np.isnan(clean)] = np.nan
    if not _EIGHTY_BIT_LONG_DOUBLE:
        return clean
    return np.ascontiguousarray(clean.view(np.uint8).reshape(-1, clean.itemsize)[:, :10]).reshape(-1)


def _datetimes_body(value: Array) -> bytes:
    unit, step = np.datetime_data(value.dtype)
    kind = value.dtype.kind
    if kind == "M" and unit in _CALENDAR:
        value, unit, step = value.astype("M8[D]"), "D", 1
    integers = value.astype(value.dtype.newbyteorder("<"), copy=False).view("<i8")
    if unit in UNITS:
        return times_body(kind, integers, unit, step)
    if unit in _CALENDAR:
        integers = np.where(integers == NAT, NAT, integers * (_CALENDAR[unit] * step))
        unit, step = "M", 1
    return name(kind, f"{step}{unit}") + numbers_digest(integers)


def _texts_body(value: Array, strip: str) -> bytes:
    if strip and value.size:
        stripped = strip_text if value.dtype.kind == "U" else strip_bytes
        value = np.array([stripped(text, strip) for text in value.reshape(-1).tolist()], dtype=value.dtype.kind)
    # The shortest width that holds them: numpy pads with zeros, which are no part of a text.
    width = int(np.strings.str_len(value).max()) if value.size else 0
    fitted = value.astype(f"<{value.dtype.kind}{max(width, 1)}", copy=False)
    running = hasher(fitted.nbytes)
    for block in blocks(fitted):
        running.update(np.ascontiguousarray(block).tobytes())
    return count(width) + running.digest()


def _array_steps(value: Array, walk: Walk) -> Steps:
    cls = type(value)
    if cls is np.matrix or cls not in _PLAIN:
        return (yield from _subclass_steps(value))
    if not value.dtype.hasobject and value.dtype.kind != "T":
        return array_token(value, walk.strip)
    if value.dtype.names is not None:
        tokens = yield [np.ndarray.view(value, np.ndarray)[field] for field in value.dtype.names]
        return node(b"object array", count(value.ndim, *value.shape), name(*value.dtype.names), *tokens)
    # One list, so that an array of texts or numbers is hashed packed.
    (items,) = yield (value.reshape(-1).tolist(),)
    return node(b"object array", count(value.ndim, *value.shape), items)


def _subclass_steps(value: Array) -> Steps:
    if isinstance(value, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(value)
        shown = np.array(value.data)
        shown[mask] = np.zeros((), dtype=shown.dtype)
        tokens = yield (shown, mask, value.fill_value)
    else:
        tokens = yield (np.ndarray.view(value, np.ndarray), getattr(value, "__dict__", None))
    return node(b"array subclass", name(type_name(type(value))), *tokens)


def _dtype_steps(value: np.dtype[Any], _walk: Walk) -> Steps:
    (token,) = yield (np.lib.format.dtype_to_descr(value),)
    return node(b"dtype", token)


def _datetime_token(value: np.datetime64) -> bytes:
    if np.isnat(value):
        return atom(b"missing", b"NaT")
    unit, step = np.datetime_data(value.dtype)
    if unit in _CALENDAR:
        value, unit, step = value.astype("M8[D]"), "D", 1
    return instant_token(int(value.astype(np.int64)) * step * UNITS[unit], None)


def _timedelta_token(value: np.timedelta64) -> bytes:
    if np.isnat(value):
        return atom(b"missing", b"NaT")
    unit, step = np.datetime_data(value.dtype)
    number = int(value.astype(np.int64)) * step
    if unit in UNITS:
        return duration_token(number * UNITS[unit])
    return atom(b"timedelta", f"{number * _CALENDAR.get(unit, 1)} {'M' if unit in _CALENDAR else _UNITLESS}".encode())


def _narrow_float(value: np.floating[Any]) -> bytes:
    """A float of another width than Python's is another value: 0.1 in 32 bits is not 0.1."""
    return atom(value.dtype.name.encode(), numbers_digest(np.asarray(value)))


def _void_steps(value: np.void, _walk: Walk) -> Steps:
    (token,) = yield (np.asarray(value),)
    return node(b"void", token)


def look_at_array(value: Array) -> Look:
    """What is shown of an array; of a structured one the fields as columns."""
    kind = "DataSet" if value.ndim and value.size >= 2 else "Value"
    return Look(kind, size=int(value.nbytes), shape=tuple(map(int, value.shape)))  # type: ignore[arg-type]


def _look_at_number(value: np.generic) -> Look:
    plain = value.item()
    return look_at_scalar(plain) if isinstance(plain, bool | int | float | str) else Look(preview=str(plain))


register(np.ndarray, steps=_array_steps, look=look_at_array, subclasses=True)
register(np.bool_, leaf=lambda value: b"T" if value else b"F", look=_look_at_number)
register(
    *{np.dtype(code).type for code in "bBhHiIlLqQ"}, leaf=lambda value: int_token(int(value)), look=_look_at_number
)
register(np.float64, leaf=float_token, look=_look_at_number)
register(np.complex128, leaf=complex_token, look=_look_at_number)
register(np.float16, np.float32, np.longdouble, np.complex64, np.clongdouble, leaf=_narrow_float, look=_look_at_number)
register(
    np.str_,
    leaf=lambda value: str_token(str(value)),
    stripped=lambda value, strip: str_token(strip_text(str(value), strip)),
    look=_look_at_number,
)
register(np.bytes_, leaf=lambda value: blob_token(digest(bytes(value))), look=lambda value: Look(size=len(value)))
register(np.datetime64, leaf=_datetime_token, look=lambda value: Look(preview=str(value)))
register(np.timedelta64, leaf=_timedelta_token, look=lambda value: Look(preview=str(value)))
register(np.void, steps=_void_steps)
register(np.dtype, steps=_dtype_steps, subclasses=True)
