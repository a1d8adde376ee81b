"""What things are called in the graph: names, URIs and ARNs, and how any text is made to fit SageMaker's limits.

Knows the model's limits. Pure functions: the same thing gets the same name in every process and at every time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast
from urllib.parse import quote

import orjson

from lineage_flows.graph.model import (
    LINE_BREAKS,
    METADATA_LENGTH,
    NAME_LENGTH,
    PROPERTY_LENGTH,
    TYPE_LENGTH,
    URI_LENGTH,
    is_one_line,
)

__all__ = [
    "ValueName",
    "action_arn",
    "action_name",
    "artifact_arn",
    "artifact_name",
    "context_arn",
    "context_name",
    "dataset_uri",
    "fit_id",
    "fit_json",
    "fit_metadata",
    "fit_text",
    "fit_uri",
    "value_name",
]

LOCAL = "arn:aws:sagemaker:local:000000000000"
"""Region and account of an embedded graph. No AWS region is called ``local``, so that its ARNs cannot be taken for AWS's own."""

_UNFIT = re.compile(r"[^a-zA-Z0-9]+")
_LINE_BREAK = re.compile(f"[{LINE_BREAKS}]+")
_RUN_ID_LENGTH = 36
_CUT = "…"
_VALUE_URI = re.compile(
    r"prefect://[^/]+/(?P<handle>(?:task-run|flow-run)/(?P<run>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"/(?:(?P<kind>argument|input|parameter)/(?P<name>.+)|result))",
    re.DOTALL,
)


def artifact_arn(source_uri: str, source_types: Sequence[tuple[str, str]]) -> str:
    """ARN of an artifact of the embedded graph: a hash of URI and sorted source types, which are its identity."""
    return f"{LOCAL}:artifact/{_digest([source_uri, *sorted(source_types)])}"


def action_arn(name: str) -> str:
    """ARN of an action of the embedded graph."""
    return f"{LOCAL}:action/{name}"


def context_arn(name: str) -> str:
    """ARN of a context of the embedded graph."""
    return f"{LOCAL}:context/{name}"


def action_name(label: str, run_id: str) -> str:
    """Name of the action of a run: as much of the flow's or task's name as fits, and the run id, which makes it unique."""
    return f"{clean(label, NAME_LENGTH - _RUN_ID_LENGTH - 1) or 'run'}-{run_id}"


@lru_cache(maxsize=1024)
def context_name(namespace: str, flow: str) -> str:
    """Name of the context of a flow. Ends in a hash, since two flows may differ in characters that no name can hold."""
    return f"{clean(f'{namespace}-{flow}', NAME_LENGTH - 9) or 'flow'}-{_digest([namespace, flow])[:8]}"


def artifact_name(label: str, arn: str) -> str:
    """Name of an artifact: as much of its label's end as fits, and the start of its hash, since SageMaker wants it unique."""
    return f"{clean(label[-64:], 64) or 'artifact'}-{arn.rpartition('/')[2][:12]}"


def clean(text: str, length: int) -> str:
    """Letters, digits and single dashes of ``text``, at most ``length``; empty when it has none of the first two."""
    return _UNFIT.sub("-", text).strip("-")[:length].strip("-")


@lru_cache(maxsize=4096)
def dataset_uri(namespace: str, name: str) -> str:
    """URI of an OpenLineage dataset, as its naming table means it: ``file`` + ``/a b`` is ``file:///a%20b``, ``s3://b`` + ``k`` is ``s3://b/k``.

    Not cut to fit: see ``fit_uri``.
    """
    if namespace == "file":
        return f"file://{quote(name)}"
    if "://" not in namespace:
        return f"{namespace}:{name}" if namespace else name
    return namespace + name if namespace.endswith("/") or name.startswith("/") else f"{namespace}/{name}"


@dataclass(frozen=True, slots=True)
class ValueName:
    """What the URI of a value in memory says.

    Attributes:
        handle: the value without its namespace (``task-run/ID/result``): a replay may have another than the run it repeats.
        run_id: the run it belongs to.
        kind: a result; an input of a step that came from nowhere known; what a step left of an object that it was given, and
            that has changed since; what a flow run was called with.
        name: of the parameter; empty for a result.
    """

    handle: str
    run_id: str
    kind: Literal["result", "argument", "input", "parameter"]
    name: str


@lru_cache(maxsize=65_536)
def value_name(uri: str) -> ValueName | None:
    """What the URI of a value in memory says; None for the URI of anything else."""
    match = _VALUE_URI.fullmatch(uri)
    if match is None:
        return None
    kind = cast("Literal['argument', 'input', 'parameter'] | None", match["kind"])
    return ValueName(match["handle"], match["run"], kind or "result", match["name"] or "")


def fit_uri(uri: str) -> str:
    """A URI that fits: line breaks escaped; a longer one ends in its hash, so that it stays the only one of its kind."""
    if len(uri) <= URI_LENGTH and is_one_line(uri):
        return uri
    escaped = _LINE_BREAK.sub(lambda match: quote(match[0]), uri)
    if len(escaped) <= URI_LENGTH:
        return escaped
    tail = f"#sha256={hashlib.sha256(escaped.encode()).hexdigest()}"
    return escaped[: URI_LENGTH - len(tail)] + tail


def fit_id(text: str) -> str:
    """A version or fingerprint that fits; a longer one is named by its hash."""
    text = _in_one_line(text)
    return text if len(text) <= TYPE_LENGTH else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def fit_text(text: str, length: int = PROPERTY_LENGTH) -> str:
    """One line that fits; what is cut off ends in an ellipsis."""
    text = _in_one_line(text)
    return text if len(text) <= length else text[: length - 1] + _CUT


def fit_metadata(text: str) -> str:
    """The same for metadata properties."""
    return fit_text(text, METADATA_LENGTH)


def fit_json(value: object, length: int = PROPERTY_LENGTH) -> str:
    """Compact JSON that fits and stays JSON: long texts in it are cut first, then entries are left out from the end.

    What was left out is said by a last entry ``"…"``: how many there were. The whole stands in the run record.
    """
    text = _json(value)
    if len(text) <= length:
        return text
    value = _shorten(value, 100)
    text = _json(value)
    if len(text) <= length or not isinstance(value, Mapping | list):
        return text
    low, high = 0, len(value)
    while low < high:  # the most entries that still fit
        middle = (low + high + 1) // 2
        if len(_json(_leave_out(value, middle))) <= length:
            low = middle
        else:
            high = middle - 1
    return _json(_leave_out(value, low))


def _leave_out(value: Mapping[str, object] | list[object], kept: int) -> object:
    missing = len(value) - kept
    if isinstance(value, Mapping):
        return {**{key: value[key] for key in list(value)[:kept]}, _CUT: missing}
    return [*value[:kept], {_CUT: missing}]


def _shorten(value: object, length: int) -> object:
    if isinstance(value, str):
        return fit_text(value, length)
    if isinstance(value, Mapping):
        return {fit_text(str(key), length): _shorten(item, length) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shorten(item, length) for item in value]
    return value


def _json(value: object) -> str:
    """Text in which line breaks cannot occur: orjson escapes the ASCII ones, the others are taken out."""
    return _in_one_line(orjson.dumps(value).decode())


def _in_one_line(text: str) -> str:
    return text if is_one_line(text) else _LINE_BREAK.sub(" ", text)


def _digest(parts: Sequence[object]) -> str:
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()
