"""The parameters of the replayed flow: loaded from their blobs, with paths into the original's folders led into the workspace.

Knows records and the store; must not know Prefect.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from pydantic import JsonValue

from lineage_flows.content import load_value
from lineage_flows.errors import ReplayError
from lineage_flows.records import InputRef, RunRecord
from lineage_flows.replay.redirect import Redirector

__all__ = ["load_parameters", "moved"]


def load_parameters(
    record: RunRecord,
    function: Callable[..., Any],
    read: Callable[[str], bytes],
    redirector: Redirector,
    changed: Mapping[str, JsonValue] | None = None,
) -> dict[str, Any]:
    """The parameters as the original had them.

    Args:
        record: the run.
        function: the flow's function; a parameter that was not kept may have a default there.
        read: reads a blob by its digest.
        redirector: knows which paths belong to the original's folders.
        changed: what is given in place of what the original had.

    Raises:
        ReplayError: a parameter was not kept and has no default.
        ContentError: a blob is missing, altered or cannot be loaded.
    """
    defaults = inspect.signature(function).parameters
    found: dict[str, Any] = {}
    for item in record.flow.parameters:
        blob = item.value.blob
        if changed and item.name in changed:
            found[item.name] = moved(changed[item.name], redirector)
        elif blob is not None:
            # The pickle's hash is in the run record, whose own hash is on the graph; the user asked for this replay.
            found[item.name] = moved(load_value(read(blob.digest), blob.format, trust_pickle=True), redirector)
        elif item.name not in defaults or defaults[item.name].default is inspect.Parameter.empty:
            raise _not_kept(record, item)
    return found


def moved(value: Any, redirector: Redirector) -> Any:  # noqa: ANN401 - any value
    """A value with every path in it that belongs to the original's folders led into the workspace.

    Looks into lists, tuples, sets and dictionaries; other objects are left as they are (their paths are led at use).
    """
    kind = type(value)
    if kind is str:
        return _path(value, redirector)
    if kind is bytes:
        return os.fsencode(_path(os.fsdecode(value), redirector)) if value[:1] == b"/" else value
    if isinstance(value, PurePath):
        text = str(value)
        changed = _path(text, redirector)
        return value if changed == text else kind(changed)
    if kind in (list, tuple, set, frozenset):
        return kind(moved(item, redirector) for item in value)
    if kind is dict:
        return {key: moved(item, redirector) for key, item in value.items()}
    return value


def _path(text: str, redirector: Redirector) -> str:
    """Only what is a path and nothing else; a text in which a path occurs stays."""
    if not text.startswith("/") or len(text) > 4096 or "\n" in text or "\0" in text:
        return text
    return redirector.argument(text)


def _not_kept(record: RunRecord, item: InputRef) -> ReplayError:
    secret = item.value.rule == "secret"
    reason = "is a secret" if secret else f"was not kept: {item.value.note or 'no reason was recorded'}"
    return ReplayError(
        f"run {record.flow.run_id} ({record.flow.run_name}) cannot be replayed",
        why=f"its parameter `{item.name}` {reason}",
        fix="give it a default that loads it and run the flow again" if secret else "pass a value that can be pickled",
    )
