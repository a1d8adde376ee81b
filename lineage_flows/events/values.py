"""What of a Python value an event says: little, and never a secret.

Knows the records; must not know facets.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from pydantic import JsonValue

from lineage_flows.events.text import MASK, clip, finite, masked
from lineage_flows.records import ValueRef
from lineage_flows.redaction import is_secret_name

__all__ = ["identity", "is_data", "is_none", "is_trivial", "parameter_text", "preview", "rows", "shown"]

MAX_PARAMETER = 2_000
MAX_PREVIEW = 1_000

_TABULAR = frozenset({"DataSet", "TimeSeries"})
_STREAMS = frozenset({"generator", "async_generator"})


def identity(value: ValueRef) -> str | None:
    """The fingerprint under which events name a value; None for a generator's yields, which are taken in before they are whole."""
    return None if value.type in _STREAMS else value.fingerprint


def is_none(value: ValueRef) -> bool:
    """Whether the value is ``None``."""
    return value.type.rpartition(".")[2] == "NoneType"


def is_trivial(value: ValueRef) -> bool:
    """Whether the value is a scalar that its text says wholly, or a secret: nothing that has lineage of its own."""
    return value.kind == "Value" and (
        value.rule == "secret" or is_none(value) or isinstance(value.preview, str | int | float)
    )


def is_data(value: ValueRef) -> bool:
    """Whether a value cannot have been typed: a frame, series, array, model or figure. A mapping of numbers may be settings."""
    return value.kind != "Value" and not (value.kind == "Metrics" and value.size is None)


def rows(value: ValueRef) -> int | None:
    """Rows of a frame, series or array; None of anything else."""
    return value.shape[0] if value.shape and value.kind in _TABULAR else None


def preview(value: ValueRef) -> object:
    """The value's preview in strict JSON; None when there is none."""
    shown = value.preview
    if isinstance(shown, str):
        return clip(masked(shown), MAX_PREVIEW)
    return shown if shown is None or isinstance(shown, int) else finite(shown)


def shown(properties: Mapping[str, JsonValue]) -> dict[str, object]:
    """Properties in strict JSON, with the secrets in their texts masked, and those whose name says that they are one."""
    return {masked(name): MASK if is_secret_name(name) else _shown(value) for name, value in properties.items()}


def _shown(value: JsonValue) -> object:
    if isinstance(value, str):
        return clip(masked(value), MAX_PREVIEW)
    if isinstance(value, dict):
        return shown(value)
    return [_shown(item) for item in value] if isinstance(value, list) else finite(value)


def parameter_text(value: ValueRef) -> str:
    """A parameter as text: its value when that is small, else its fingerprint; of a secret, or of what has neither, the kind."""
    if value.rule == "secret":
        return "<secret>"
    if value.preview is not None:
        return clip(masked(_text(value.preview)), MAX_PARAMETER)
    if is_none(value):
        return "null"
    return value.fingerprint or f"<{value.type}>"


def _text(shown: JsonValue) -> str:
    """A preview as JSON, a text as itself."""
    if isinstance(shown, str):
        return shown
    if isinstance(shown, bool):
        return "true" if shown else "false"
    if isinstance(shown, int | float):
        return str(finite(shown)) if isinstance(shown, float) else _digits(shown)
    try:
        return orjson.dumps(finite(shown)).decode()
    except TypeError:  # an integer beyond 64 bits, or half a surrogate pair, inside a container
        return repr(shown)


def _digits(number: int) -> str:
    try:
        return str(number)
    except ValueError:  # more than 4300 digits
        return hex(number)
