"""An entity of the graph on one line: its type, what it is called, the start of its fingerprint.

Knows the graph's model; must not know walks or verbs. Imports rich only through the helpers of ``tables``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from lineage_flows.cli.tables import cell, state
from lineage_flows.graph.model import Action, Artifact
from lineage_flows.ui.text import clip, count, preview_text, short, short_type

if TYPE_CHECKING:
    from rich.text import Text

    from lineage_flows.graph.model import Entity

__all__ = ["RUNS", "entity_line", "entity_name", "is_code", "maker_phrase", "value_part"]

_CODE = frozenset({"SourceCode", "SourceTree", "Environment", "Image"})
RUNS = frozenset({"FlowRun", "Replay"})
"""Types of the actions that are runs of flows."""
_VALUE = re.compile(r"prefect://[^/]+/(?:task-run|flow-run)/[^/]+/(?P<part>.+)", re.DOTALL)
_TYPE_STYLES = {
    "Model": "bold magenta",
    "Metrics": "bold green",
    "DataSet": "bold yellow",
    "TimeSeries": "bold cyan",
    "Figure": "bold cyan",
    "FlowRun": "bold blue",
    "Replay": "bold blue",
}
_NAME = 64
_PREVIEW = 32


def entity_line(entity: Entity) -> Text:
    """Type, name, short fingerprint; of a run its state as well."""
    line = cell(entity.type, _TYPE_STYLES.get(entity.type, "bold"))
    line.append(" ").append_text(cell(entity_name(entity)))
    if isinstance(entity, Artifact) and entity.fingerprint:
        line.append(" ").append_text(cell(short(entity.fingerprint), "cyan"))
    if isinstance(entity, Action):
        line.append(" ").append_text(cell(short(entity.source_id), "cyan"))
        if (named := entity.properties.get("state", "Completed")) != "Completed":
            line.append(" ").append_text(state(named))
    return line


def entity_name(entity: Entity) -> str:
    """What a reader calls an entity: a run's name, a file's path, the type and (when small) content of a value."""
    if isinstance(entity, Action):
        flow = entity.properties.get("flow")
        own = entity.properties.get("name") or entity.name
        return clip(f"{flow} / {own}" if entity.type in RUNS and flow else entity.label, _NAME)
    if isinstance(entity, Artifact):
        return _artifact_name(entity)
    return clip(entity.label, _NAME)


def maker_phrase(made: Artifact, maker: Action) -> str:
    """``result of fit_model (Training)``, ``written by evaluate (Postprocessing)``: how an artifact came to be."""
    part = value_part(made)
    how = f"{part.replace('/', ' ', 1)} of" if part else "written by"
    of_run = maker.type in RUNS
    who = entity_name(maker) if of_run else clip(maker.label, _NAME)
    return f"{clip(how, _NAME)} {who}" + ("" if of_run else f" ({maker.type})")


def value_part(entity: Entity) -> str:
    """Of a value in memory, which part of its run it is: ``result``, ``parameter/NAME``, ``input/NAME``; else empty."""
    value = _VALUE.fullmatch(entity.source_uri)
    return value["part"] if value else ""


def is_code(entity: Entity) -> bool:
    """Whether an entity is code or environment: what a run ran on, no data."""
    return isinstance(entity, Artifact) and entity.artifact_type in _CODE


def _artifact_name(artifact: Artifact) -> str:
    if artifact.artifact_type in _CODE:
        commit = artifact.metadata.commit_id
        return f"commit {short(commit, 10)}" if commit else clip(_code_name(artifact), _NAME)
    if artifact.source_uri.startswith("file://"):
        return _tail(artifact.source_uri.removeprefix("file://"))
    part = value_part(artifact)
    if not part:
        return clip(artifact.label, _NAME)
    what = _preview(artifact) or short_type(artifact.properties.get("pythonType") or artifact.label)
    _, _, parameter = part.partition("/")
    return clip(f"{parameter} = {what}", _NAME) if parameter else what


def _code_name(artifact: Artifact) -> str:
    name = artifact.properties.get("name")
    if name:
        return name
    files = artifact.properties.get("files")
    return f"of {count(int(files), 'file')}" if files and files.isdecimal() else ""


def _preview(artifact: Artifact) -> str:
    text = artifact.properties.get("preview")
    if not text:
        return ""
    try:
        return clip(preview_text(json.loads(text)), _PREVIEW)
    except (ValueError, RecursionError):
        return clip(text, _PREVIEW)


def _tail(path: str) -> str:
    """A path that is cut is cut at its start: its end is what tells it from others."""
    return clip(path, _NAME) if len(path) <= _NAME else "…" + clip(path[-(_NAME - 1) :], _NAME - 1)
