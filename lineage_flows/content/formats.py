"""How a value becomes stored bytes and comes back: readable and safe formats first, pickle last.

Knows the formats by name. A format is taken only when the value comes back exactly, type and all.

======== ====================================================================
text     a ``str``, as UTF-8
bytes    ``bytes``, as they are
json     None, bool, int, finite float, str, and lists and dicts of them
npy      numpy arrays without Python objects
arrow    tables (an Arrow IPC file; what it is of stands in its metadata)
pickle   everything else; loading it runs code, so it has to be asked for
======== ====================================================================
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from lineage_flows.content.guard import attempt, say
from lineage_flows.content.naming import is_secret, module_name, shown_name
from lineage_flows.content.pickles import dump_pickle, load_pickle
from lineage_flows.errors import ContentError

__all__ = ["dump_value", "load_value"]

Stored = bytes | Iterable[bytes | memoryview]

_NPY_ZERO_COPY = "biufcmMSU"
_TABULAR = ("pandas", "polars", "pyarrow")


def dump_value(value: object) -> tuple[Stored, str]:
    """The bytes of a value (whole, or in pieces that follow one another) and the name of their format.

    Raises:
        ContentError: when it cannot be stored, or is or holds a secret.
    """
    cls = type(value)
    if is_secret(cls):
        raise ContentError("the value cannot be stored", why=f"it is a secret ({shown_name(cls)})")
    for format_name, dump in _DUMPS:
        # A format that fails is one the value does not come back from exactly.
        stored, _ = attempt(dump, value)
        if stored is not None:
            return stored, format_name
    pickled, error = attempt(dump_pickle, value)
    if pickled is None:
        raise (
            error if isinstance(error, ContentError) else ContentError("the value cannot be stored", why=say(error))
        ) from error
    return pickled, "pickle"


def load_value(data: bytes, format: str, *, trust_pickle: bool = False) -> object:
    """The value in stored bytes.

    Args:
        data: the bytes, whole.
        format: the name ``dump_value`` gave.
        trust_pickle: whether code in a pickle may run; only for a blob that the graph names, in a replay the user asked for.

    Raises:
        ContentError: when the format is unknown, the bytes are not of it, or it is a pickle that is not trusted.
    """
    if format == "pickle":
        if not trust_pickle:
            raise ContentError(
                "a stored value was not loaded",
                why="it is a pickle, and loading it runs code",
                fix="replay the run to use it",
            )
        return load_pickle(data)
    load = _LOADS.get(format)
    if load is None:
        raise ContentError(
            f"a stored value has format {format!r}", why="this version does not know it", fix="upgrade lineage-flows"
        )
    try:
        return load(data)
    except (ValueError, EOFError, RecursionError) as error:
        raise ContentError(f"a stored value is no {format}", why=str(error)) from error


def _dump_text(value: object) -> bytes | None:
    if type(value) is not str:
        return None
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        return None


def _dump_bytes(value: object) -> bytes | None:
    if type(value) is memoryview:
        return value.tobytes()
    return value if type(value) is bytes else None


def _dump_json(value: object) -> bytes | None:
    if not _is_json(value):
        return None
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    except (RecursionError, ValueError):
        # Too deep, lone surrogates, a cycle, or an int of more digits than Python prints.
        return None


def _is_json(value: Any) -> bool:  # noqa: ANN401 - anything; what JSON has is picked out
    """Whether JSON gives the value back exactly; no more than that is looked at of a value that it does not."""
    seen: set[int] = set()
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        cls = type(item)
        if cls in (str, int, bool, type(None)) or (cls is float and math.isfinite(item)):
            continue
        if cls not in (list, dict) or id(item) in seen:
            # A part that is there twice would come back as two.
            return False
        seen.add(id(item))
        if cls is dict:
            if not all(type(key) is str for key in item):
                return False
            waiting.extend(item.values())
        else:
            waiting.extend(item)
    return True


def _dump_npy(value: Any) -> Stored | None:  # noqa: ANN401 - anything; arrays are picked out
    if module_name(type(value)) != "numpy" or type(value).__name__ not in ("ndarray", "memmap"):
        return None
    import numpy as np

    if value.dtype.hasobject or value.dtype.kind == "T":
        return None
    head = io.BytesIO()
    contiguous = value.flags.c_contiguous or value.flags.f_contiguous
    if not contiguous or value.dtype.kind not in _NPY_ZERO_COPY:
        # Version 3 holds field names of every script; numpy would choose it with a warning.
        version = None if value.dtype.names is None else (3, 0)
        np.lib.format.write_array(head, np.asarray(value), version=version, allow_pickle=False)
        return head.getvalue()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(value))
    in_order = np.asarray(value if value.flags.c_contiguous else value.T)
    body = in_order.reshape(-1).view(np.uint8).data if value.size and value.dtype.itemsize else b""
    return (head.getvalue(), body)


def _load_npy(data: bytes) -> object:
    import numpy as np

    return np.load(io.BytesIO(data), allow_pickle=False)


def _dump_arrow(value: object) -> Stored | None:
    if module_name(type(value)).partition(".")[0] not in _TABULAR:
        return None
    from lineage_flows.content.arrow_format import dump_table

    table = dump_table(value)
    return None if table is None else (table,)


def _load_arrow(data: bytes) -> object:
    from lineage_flows.content.arrow_format import load_table

    return load_table(data)


_DUMPS: tuple[tuple[str, Callable[[object], Stored | None]], ...] = (
    ("text", _dump_text),
    ("bytes", _dump_bytes),
    ("json", _dump_json),
    ("npy", _dump_npy),
    ("arrow", _dump_arrow),
)
_LOADS: dict[str, Callable[[bytes], object]] = {
    "text": lambda data: bytes(data).decode("utf-8"),
    "bytes": bytes,
    "json": json.loads,
    "npy": _load_npy,
    "arrow": _load_arrow,
}
