"""Records what the author of a flow declares with ``record_input`` and ``record_output``.

Knows the log of a run, content and how datasets are named; must not know the runtime.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from lineage_flows.capture import io_adapters
from lineage_flows.capture.details import Details
from lineage_flows.capture.file_content import Content
from lineage_flows.capture.naming import local_path_of, target_of_uri
from lineage_flows.capture.paths import printable
from lineage_flows.content import describe, dump_value
from lineage_flows.content.properties import plain_mapping
from lineage_flows.errors import ContentError, LineageError, RecordingError
from lineage_flows.events.text import masked
from lineage_flows.records import BlobRef

if TYPE_CHECKING:
    from pydantic import JsonValue

    from lineage_flows.capture.files import FileLog
    from lineage_flows.records import ValueRef

__all__ = ["declare"]

_FINGERPRINT = re.compile(r"lf1:[0-9a-f]{64}")
_LONGEST = 2_000
_MOST_COLUMNS = 1_000
_TEXTS = ("version", "fingerprint", "name", "namespace", "note")
_NUMBERS = ("rows", "size")
_TABLES = ("DataSet", "TimeSeries")


def declare(log: FileLog, direction: Literal["read", "write"], uri: object, given: Mapping[str, Any]) -> None:
    """Record a dataset.

    Args:
        log: of the run that the call belongs to.
        direction: whether it is read or written.
        uri: a path or URI.
        given: the other arguments of ``record_input``; ``data`` is ``...`` when it is not given.

    Raises:
        RecordingError: an argument is not what it should be; nothing was recorded.
    """
    _check(given)
    text = _text_of(uri)
    path = local_path_of(text)
    via = "lineage_flows.record_input" if direction == "read" else "lineage_flows.record_output"
    value = None if given["data"] is ... else describe(given["data"])
    details = _details(given, value)
    if path is not None:
        opened = io_adapters.redirected(path, direction == "write")
        if direction == "read":
            log.read(opened, via, folders=True, declared=True)
        else:
            log.write(opened, via, folders=True, declared=True)
        version = {"version": masked(given["version"])} if given["version"] else {}
        log.describe(
            opened, direction, Details(**{**_fields(details), "properties": {**details.properties, **version}})
        )
        return
    target = target_of_uri(text)
    content = _content(log, direction, given, value)
    log.objects.declare(target, direction, via, _plain(given["version"]), content, details)
    if direction == "read":
        log.cannot_restore(f"input {printable(target.uri)}", target.uri, target.written)


def _check(given: Mapping[str, Any]) -> None:
    """Raises RecordingError for the first argument of a type or form that says nothing."""
    for key in _TEXTS:
        if given[key] is not None and (type(given[key]) is not str or not given[key] or len(given[key]) > _LONGEST):
            raise _wrong(key, f"a text of 1 to {_LONGEST} characters", given[key])
    for key in _NUMBERS:
        if given[key] is not None and (type(given[key]) is not int or given[key] < 0):
            raise _wrong(key, "a whole number from 0", given[key])
    if given["fingerprint"] is not None and not _FINGERPRINT.fullmatch(given["fingerprint"]):
        raise _wrong("fingerprint", "one that lineage_flows.content.fingerprint made (say any other as version)", None)
    if given["properties"] is not None and not isinstance(given["properties"], Mapping):
        raise _wrong("properties", "a mapping from names to values", given["properties"])


def _text_of(uri: object) -> str:
    try:
        text = os.fsdecode(uri)  # type: ignore[arg-type]  # what is neither path nor text is told
    except TypeError:
        raise _wrong("uri", "a path or a URI", uri) from None
    if not text or "\0" in text:
        raise _wrong("uri", "a path or a URI", uri)
    if "://" not in text and masked(text) != text:
        raise _wrong("uri", "a path or a URI (this looks like a connection string)", None)
    return text


def _details(given: Mapping[str, Any], value: ValueRef | None) -> Details:
    rows, columns = given["rows"], _columns(given["columns"])
    if value is not None:
        if rows is None and value.kind in _TABLES and value.shape:
            rows = value.shape[0]
        columns = columns or tuple((column.name, column.type) for column in value.columns)
    return Details(
        rows=rows,
        columns=columns,
        properties=masked_properties(given["properties"] or {}),
        namespace=_plain(given["namespace"]),
        name=_plain(given["name"]),
        note=_plain(given["note"]),
    )


def _fields(details: Details) -> dict[str, Any]:
    return {name: getattr(details, name) for name in Details.__dataclass_fields__}


def _plain(text: str | None) -> str | None:
    return None if text is None else printable(masked(text))


def masked_properties(named: Mapping[str, object]) -> dict[str, JsonValue]:
    """Properties as JSON, without secrets in their texts."""
    return {masked(name): _masked(value) for name, value in plain_mapping(named).items()}


def _masked(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return {masked(name): _masked(item) for name, item in value.items()} if isinstance(value, dict) else value


def _columns(given: object) -> tuple[tuple[str, str], ...]:
    """Raises RecordingError: neither names nor names with types."""
    if given is None:
        return ()
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise _wrong("columns", "names, or names with types", given)
    listed = list(given.items()) if isinstance(given, Mapping) else list(given)
    found = []
    for item in listed[:_MOST_COLUMNS]:
        name, kind = item if isinstance(item, tuple) and len(item) == 2 else (item, "")
        if not isinstance(name, str) or not name:
            raise _wrong("columns", "names, or names with types", item)
        found.append((printable(name), printable(kind.__name__ if isinstance(kind, type) else str(kind))))
    return tuple(found)


def _content(
    log: FileLog, direction: Literal["read", "write"], given: Mapping[str, Any], value: ValueRef | None
) -> Content:
    if value is None:
        return Content(given["fingerprint"], given["size"])
    fingerprint = given["fingerprint"] or value.fingerprint
    size = value.size if given["size"] is None else given["size"]
    store, size_cap = log.keeping(direction)
    if store is None or value.rule in {"secret", "none"}:
        return Content(fingerprint, size, problem=value.note)
    if value.size is not None and value.size > size_cap:
        return Content(fingerprint, size, problem=f"not kept: {value.size} bytes are over the size cap of {size_cap}")
    try:
        data, format_ = dump_value(given["data"])
        digest, stored = store.put(data)
    except ContentError as error:
        return Content(fingerprint, size, problem=f"not kept: {error.why or error.what}")
    except LineageError as error:
        return Content(fingerprint, size, problem=f"not kept: {error}")
    return Content(fingerprint, size, BlobRef(digest=digest, size=stored, format=format_))


def _wrong(argument: str, expected: str, found: object) -> RecordingError:
    shown = "" if found is None else f", and not {type(found).__name__}"
    return RecordingError(f"{argument} of record_input or record_output is {expected}{shown}")
