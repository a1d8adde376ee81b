"""Rules for the scalars of the standard library, and the helpers by which numpy's and pandas' equal ones get equal tokens.

Knows no library outside the standard one.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import os
import pathlib
import pickle
import struct
import uuid
from typing import Any

from lineage_flows.content.hashing import atom, blob_token, count, digest, name, node
from lineage_flows.content.naming import type_name
from lineage_flows.content.registry import Look, Steps, register
from lineage_flows.content.walk import Walk

__all__ = [
    "ATTOSECONDS",
    "NAN",
    "complex_token",
    "duration_token",
    "float_token",
    "instant_token",
    "int_token",
    "look_at_scalar",
    "str_token",
    "strip_bytes",
    "strip_text",
    "zone_name",
]

ATTOSECONDS = 10**18
"""Attoseconds in a second: the finest unit of numpy's datetimes, so that times of every unit are exact integers of it."""

NAN = struct.pack("<d", float("nan"))
"""The bytes of every NaN of eight bytes: sign and payload differ between CPUs, not between results."""

_INLINE = 255
_EPOCH = dt.date(1970, 1, 1).toordinal()
_MICROSECOND = dt.timedelta(microseconds=1)
_DOUBLE = struct.Struct("<d").pack
_ONE_BYTE = {number: b"i\x01" + number.to_bytes(1, "little", signed=True) for number in range(-128, 128)}
_LONGEST_PREVIEW = 200
_EXACT_IN_JSON = 1 << 53


def int_token(value: int) -> bytes:
    """Token of an integer of any size, whatever type held it."""
    short = _ONE_BYTE.get(value)
    if short is not None:
        return short
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"i" + bytes((len(data),)) + data if len(data) <= _INLINE else b"I" + digest(data)


def float_token(value: float) -> bytes:
    """Token of a double: its bits, so 0.0 and -0.0 differ; every NaN is the same."""
    return b"f" + (_DOUBLE(value) if value == value else NAN)  # noqa: PLR0124 - the fastest test for NaN


def complex_token(value: complex) -> bytes:
    """Token of a pair of doubles."""
    return b"c" + float_token(value.real) + float_token(value.imag)


def str_token(value: str) -> bytes:
    """Token of a text: its code points in UTF-8, lone surrogates kept."""
    data = value.encode("utf-8", "surrogatepass")
    return b"s" + bytes((len(data),)) + data if len(data) <= _INLINE else b"S" + digest(data)


def instant_token(attoseconds: int, zone: str | None) -> bytes:
    """Token of a moment: exact time since 1970 (of the wall clock when ``zone`` is None), and the time zone's name."""
    return atom(b"datetime", name(zone or "") + b"i" + str(attoseconds).encode())


def duration_token(attoseconds: int) -> bytes:
    """Token of a length of time."""
    return atom(b"timedelta", str(attoseconds).encode())


def zone_name(zone: dt.tzinfo) -> str:
    """The name of a time zone, whichever library made it: ``Europe/Paris``, ``UTC``, ``+05:30``."""
    for attribute in ("key", "zone"):  # zoneinfo, pytz
        found = getattr(zone, attribute, None)
        if isinstance(found, str) and found:
            return found
    filename = getattr(zone, "_filename", None)  # dateutil: the path of the zone's file
    if isinstance(filename, str) and filename:
        return filename.rpartition("zoneinfo/")[2].lstrip("/")
    offset = zone.utcoffset(None)
    return _offset_name(offset) if offset is not None else str(zone)


def strip_text(text: str, strip: str) -> str:
    """``text`` without the folder ``strip`` before each absolute path in it, wherever in the text the path stands."""
    return "/" if text == strip else text.replace(strip + "/", "/")


def strip_bytes(path: bytes | bytearray, strip: str) -> bytes | bytearray:
    """``strip_text`` for a path in bytes."""
    prefix = os.fsencode(strip)
    return b"/" if path == prefix else path.replace(prefix + b"/", b"/")


def look_at_scalar(value: Any) -> Look:  # noqa: ANN401 - registered for exactly the types it tells apart
    """What is shown of a scalar: itself, as far as JSON can hold it."""
    if isinstance(value, str):
        return Look(size=len(value) if value.isascii() else None, preview=_text_preview(str.__str__(value)))
    if isinstance(value, float):
        return Look(preview=float(value) if value - value == 0 else str(float(value)))
    if isinstance(value, int) and not isinstance(value, bool):
        return Look(preview=_int_preview(int.__index__(value)))
    return Look(preview=value)


def _look_at_bytes(value: bytes | bytearray | memoryview) -> Look:
    size = value.nbytes if isinstance(value, memoryview) else len(value)
    return Look(size=size, shape=(size,))


def _look_as_text(value: object) -> Look:
    return Look(preview=_text_preview(str(value)))


def _look_at_path(value: pathlib.PurePath) -> Look:
    return Look(preview=_text_preview(os.fspath(value)))


def _look_at_member(value: enum.Enum) -> Look:
    return Look(preview=_text_preview(str(value.name)))


def _text_preview(text: str) -> str | None:
    """The text itself when it is short and can be written as UTF-8."""
    short = len(text) <= _LONGEST_PREVIEW and not any("\ud800" <= letter <= "\udfff" for letter in text)
    return text if short else None


def _int_preview(value: int) -> int | str | None:
    if -_EXACT_IN_JSON <= value <= _EXACT_IN_JSON:
        return value
    return str(value) if value.bit_length() < 3 * _LONGEST_PREVIEW else None


def _offset_name(offset: dt.timedelta) -> str:
    seconds = offset / dt.timedelta(seconds=1)
    if not seconds:
        return "UTC"
    whole = abs(int(seconds))
    text = f"{'-' if seconds < 0 else '+'}{whole // 3600:02}:{whole // 60 % 60:02}"
    return text if seconds % 60 == 0 else f"{text}:{abs(seconds) % 60:g}"


def _bytes_token(value: bytes | bytearray | memoryview) -> bytes:
    if type(value) is memoryview:
        # PickleBuffer gives the bytes of a contiguous view of any format without a copy.
        value = pickle.PickleBuffer(value).raw() if value.c_contiguous and value.nbytes else value.tobytes()
    return blob_token(digest(value))


def _stripped_bytes(value: bytes | bytearray | memoryview, strip: str) -> bytes:
    return _bytes_token(value if type(value) is memoryview else strip_bytes(value, strip))


def _path_token(value: pathlib.PurePath) -> bytes:
    return _path_text(value, os.fspath(value))


def _stripped_path(value: pathlib.PurePath, strip: str) -> bytes:
    return _path_text(value, strip_text(os.fspath(value), strip))


def _path_text(value: pathlib.PurePath, text: str) -> bytes:
    flavour = b"windowspath" if isinstance(value, pathlib.PureWindowsPath) else b"path"
    return atom(flavour, text.encode("utf-8", "surrogatepass"))


def _datetime_token(value: dt.datetime) -> bytes:
    # From the fields, because subclasses (pendulum) change what arithmetic gives.
    seconds = (value.toordinal() - _EPOCH) * 86_400 + value.hour * 3600 + value.minute * 60 + value.second
    microseconds = seconds * 10**6 + value.microsecond
    offset = value.utcoffset()
    if offset is None or value.tzinfo is None:
        return instant_token(microseconds * 10**12, None)
    return instant_token((microseconds - offset // _MICROSECOND) * 10**12, zone_name(value.tzinfo))


def _time_token(value: dt.time) -> bytes:
    zone = name(zone_name(value.tzinfo)) if value.tzinfo is not None else b""
    return atom(b"time", value.replace(tzinfo=None).isoformat("microseconds").encode() + bytes((value.fold,)) + zone)


def _decimal_token(value: decimal.Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    return atom(b"decimal", f"{sign} {exponent} {''.join(map(str, digits))}".encode())


def _enum_steps(value: enum.Enum, _walk: Walk) -> Steps:
    # Past overridden properties: `_name_` and `_value_` are what the enum machinery itself stores.
    tokens = yield (value._name_, value._value_)
    return node(b"enum", name(type_name(type(value))), *tokens)


register(type(None), leaf=lambda _: b"N", look=look_at_scalar)
register(bool, leaf=lambda value: b"T" if value else b"F", look=look_at_scalar)
register(int, leaf=int_token, look=look_at_scalar)
register(float, leaf=float_token, look=look_at_scalar)
register(complex, leaf=complex_token, look=_look_as_text)
register(str, leaf=str_token, stripped=lambda text, strip: str_token(strip_text(text, strip)), look=look_at_scalar)
register(bytes, bytearray, memoryview, leaf=_bytes_token, stripped=_stripped_bytes, look=_look_at_bytes)
register(type(Ellipsis), leaf=lambda _: atom(b"constant", b"Ellipsis"))
register(type(NotImplemented), leaf=lambda _: atom(b"constant", b"NotImplemented"))
register(decimal.Decimal, leaf=_decimal_token, look=_look_as_text)
register(uuid.UUID, leaf=lambda value: atom(b"uuid", value.bytes), look=_look_as_text)
register(dt.datetime, leaf=_datetime_token, look=_look_as_text, subclasses=True)
register(dt.date, leaf=lambda value: atom(b"date", count(value.toordinal())), look=_look_as_text, subclasses=True)
register(dt.time, leaf=_time_token, look=_look_as_text, subclasses=True)
register(
    dt.timedelta,
    leaf=lambda value: duration_token(value // _MICROSECOND * 10**12),
    look=_look_as_text,
    subclasses=True,
)
register(
    *(pathlib.PurePath, pathlib.PurePosixPath, pathlib.PureWindowsPath, type(pathlib.Path())),
    leaf=_path_token,
    stripped=_stripped_path,
    look=_look_at_path,
    subclasses=True,
)
register(enum.Enum, steps=_enum_steps, look=_look_at_member, subclasses=True)
