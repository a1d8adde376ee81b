"""A whole JSON document (an event, a record) without secrets: the one gate through which everything written passes.

Knows the fields of events and records by name; what a secret is, only ``redaction`` knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from lineage_flows.redaction import MASK, is_known, is_secret_name, may_hold_secret, redact, redact_name

__all__ = ["document", "documents"]

_FIXED = frozenset(
    [
        # Of events.
        *(
            "eventType",
            "eventTime",
            "producer",
            "schemaURL",
            "_producer",
            "_schemaURL",
            "runId",
            "namespace",
            "contentType",
        ),
        *("language", "sequence_trigger_rule", "sourceType", "artifactType", "role", "rule", "kind", "level", "state"),
        *(
            "stateType",
            "knownBy",
            "flowRunId",
            "rootRunId",
            "parentRunId",
            "parentStepId",
            "deploymentId",
            "nominalStart",
        ),
        *(
            "nominalStartTime",
            "nominalEndTime",
            "started",
            "ended",
            "touched",
            "replayOf",
            "originalRunId",
            "replayRunId",
        ),
        *(
            "verdict",
            "result",
            "causes",
            "digest",
            "fingerprint",
            "blob",
            "format",
            "version",
            "datasetVersion",
            "pythonType",
        ),
        *(
            "programmingLanguage",
            "openlineageAdapterVersion",
            "integration",
            "processingType",
            "jobType",
            "flow",
            "task",
        ),
        *("module", "via", "etag", "type"),
        # Of records.
        *(
            "run_id",
            "flow_run_id",
            "root_run_id",
            "parent_run_id",
            "parent_step_id",
            "state_type",
            "direction",
            "known_by",
        ),
        *("source", "id", "nominal_start", "replay_of", "original_run_id", "replay_run_id", "flow_name", "task_name"),
        *("prefect_version", "upstream", "python", "platform", "first_divergence", "qualname", "working_directory"),
        *("import_roots", "entropy", "commit", "root"),
    ]
)
"""Fields that are chosen from a list, are made of ids, hashes and times, or name code: a secret has no place there."""

_NAMES = frozenset(["name", "uri", "sourceUri", "path", "url", "repoUrl", "remote", "repo_url", "sourceCode"])
_OPEN = frozenset({"preview", "parameters", "variables"})
_OF_CODE = frozenset({"job", "function", "entry", "modules", "producer"})
_OURS = ("prefect://", "urn:lineage-flows:")
_DEEPEST = 200


def document(data: bytes) -> bytes:
    """A JSON document (an event, a record) with every secret in it masked; the same bytes when there is none.

    What is chosen from a list, and ids, hashes, times and the names of code, stays as it is whatever secrets this process knows:
    a masked state or run id would make the document unreadable.
    """
    if not may_hold_secret(data):
        return data
    try:
        before = json.loads(data)
    except (ValueError, RecursionError):
        return data  # who reads it will say so; nothing of ours writes such a document
    after = _clean(before, "", "", 0)
    if after == before:
        return data
    return json.dumps(after, separators=(",", ":"), ensure_ascii=True).encode()


def documents(parts: Iterable[bytes]) -> list[bytes]:
    """Several documents, each as ``document`` gives it; looked through together, which costs little more than one."""
    parts = list(parts)
    return [document(part) for part in parts] if may_hold_secret(b',"'.join(parts)) else parts


def _clean(value: object, key: str, parent: str, depth: int) -> object:
    if isinstance(value, str):
        return _text(value, key, parent)
    if depth > _DEEPEST:
        return value
    if isinstance(value, dict):
        return _open_mapping(value, key, depth) if key in _OPEN else _mapping(value, key, depth)
    if isinstance(value, list):
        # What lies in a list of parameters is described field by field; what lies in a preview is the user's own.
        inside = "" if key == "parameters" else key
        return [_clean(item, inside, parent, depth + 1) for item in value]
    if key in _OPEN and isinstance(value, int) and not isinstance(value, bool) and is_known(_decimal(value)):
        return MASK
    return value


def _open_mapping(value: dict[str, object], key: str, depth: int) -> dict[str, object]:
    """A mapping whose keys are the user's own."""
    cleaned: dict[str, object] = {}
    for name, item in value.items():
        hidden = isinstance(item, str) and item != "<secret>" and is_secret_name(name)
        cleaned[redact(name)] = MASK if hidden else _clean(item, key, key, depth + 1)
    return cleaned


def _mapping(value: dict[str, object], key: str, depth: int) -> dict[str, object]:
    cleaned = {name: _clean(item, name, key, depth + 1) for name, item in value.items()}
    if value.get("namespace") == "inmemory://":
        cleaned["name"] = value.get("name")  # made of names of flows and tasks
    return cleaned


def _text(text: str, key: str, parent: str) -> str:
    if key in _FIXED:
        return text
    if key in _NAMES:
        return text if parent in _OF_CODE or text.startswith(_OURS) else redact_name(text)
    return redact(text)


def _decimal(number: int) -> str:
    try:
        return str(number)
    except ValueError:  # longer than Python writes
        return ""
