"""Entities and associations as rows of Neptune's two CSV formats.

Knows the model and what Neptune's manual documents of its load formats (Gremlin's and openCypher's):

- RFC 4180 in UTF-8; a double quote inside a quoted field is doubled; no other escape means anything.
- A blank field is no value, ``""`` is an empty text. Spaces around an unquoted field are dropped. So every text is quoted.
- A type stands after the column's name. Of a vertex in the Gremlin format a column is ``set`` unless it says ``(single)``.
- A semicolon separates values in columns of arrays, and labels. Neither is used here: a semicolon is then a character like others.
- A moment has whole seconds at most, so each is written twice: as a moment, and exactly, as text.
- A column's name has no space, comma or line break, and a colon only after a backslash.

Must not know where rows go.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import orjson

from lineage_flows.graph.model import Action, Artifact, Association, Context, Entity

__all__ = [
    "FORMATS",
    "Format",
    "Kind",
    "Table",
    "association_table",
    "edge_id",
    "edge_table",
    "entity_table",
    "is_column",
    "line",
    "place_table",
]

Format = Literal["gremlin", "opencypher"]
"""Which of Neptune's load formats; a graph that was loaded by either is asked in both languages."""

FORMATS: tuple[Format, ...] = get_args(Format)

Kind = Literal["Artifact", "Action", "Context"]

MOST_COLUMNS = 256
"""So many properties of a kind of entity have columns of their own; those that come later in the alphabet are in one, as JSON."""

_COLUMN = re.compile(r"[A-Za-z0-9_.-]{1,120}")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z")
_SYSTEM = {
    "gremlin": {"vertex": ("~id", "~label"), "edge": ("~id", "~from", "~to", "~label")},
    "opencypher": {"vertex": (":ID", ":LABEL"), "edge": (":ID", ":START_ID", ":END_ID", ":TYPE")},
}
_MOMENT_TYPE = {"gremlin": "Date", "opencypher": "DateTime"}


@dataclass(frozen=True, slots=True)
class Table:
    """One file of an export: its header line, and how a row is made.

    Attributes:
        header: the first line.
        columns: names of its property columns, without types.
    """

    header: str
    columns: tuple[str, ...]


def line(system: Iterable[str], values: Iterable[str | None] = ()) -> str:
    """One record: every text in quotes, None blank, ended by a line feed."""
    return ",".join([*map(_quoted, system), *("" if value is None else _quoted(value) for value in values)]) + "\n"


def is_column(key: str) -> bool:
    """Whether a property can have a column of its own name."""
    return _COLUMN.fullmatch(key) is not None


def entity_table(kind: Kind, keys: Iterable[str], style: Format) -> tuple[Table, Callable[[Entity], str]]:
    """The file of one kind of entity, and what makes a row of it.

    Args:
        kind: which kind.
        keys: of every property that an entity of the export has.
        style: the load format.
    """
    own = sorted({key for key in keys if is_column(key)})[:MOST_COLUMNS]
    fields = _FIELDS[kind]
    columns = [
        *(f"{name}:{_typed(name, style)}" for name in fields),
        *(f"property_{key}:{_text(style)}" for key in own),
    ]
    columns.append(f"otherProperties:{_text(style)}")
    named = frozenset(own)

    def row(entity: Entity) -> str:
        properties = entity.properties
        values = [read(entity) for read in fields.values()]
        values += [properties.get(key) for key in own]
        rest = {key: value for key, value in properties.items() if key not in named}
        values.append(_json(rest) if rest else None)
        return line((entity.arn, kind), values)

    names = (*fields, *(f"property_{key}" for key in own), "otherProperties")
    return Table(_header("vertex", columns, style), names), row


def place_table(style: Format) -> Table:
    """The file of the places of walks (``walks``)."""
    columns = [f"{name}:{_text(style)}" for name in ("direction", "entity", "way")]
    return Table(_header("vertex", columns, style), ("direction", "entity", "way"))


def association_table(style: Format) -> tuple[Table, Callable[[Association], str]]:
    """The file of associations, and what makes a row of it."""
    # Of an edge a column is single in any case, and saying so is only documented for vertices.
    columns = [f"createdAt:{_MOMENT_TYPE[style]}", "createdAtExact:String", "uses:String"]

    def row(edge: Association) -> str:
        uses = [use.model_dump(mode="json", exclude_defaults=True) for use in edge.uses]
        ends = (edge.source_arn, edge.destination_arn, edge.association_type)
        values = (_seconds(edge.created_at), edge.created_at, _json(uses) if uses else None)
        return line((edge_id(*ends), *ends), values)

    return Table(_header("edge", columns, style), ("createdAt", "createdAtExact", "uses")), row


def edge_table(style: Format) -> Table:
    """A file of edges that have nothing but their ends and their label."""
    return Table(_header("edge", (), style), ())


def edge_id(source: str, destination: str, label: str) -> str:
    """The id of an edge: of its ends and its label, so that the same edge always has the same.

    Neptune wants ids of edges to be unique over all loads.
    """
    return "edge:" + hashlib.sha256("\0".join((source, destination, label)).encode()).hexdigest()


def _header(what: Literal["vertex", "edge"], columns: Sequence[str], style: Format) -> str:
    return ",".join((*_SYSTEM[style][what], *columns)) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(style: Format) -> str:
    """The type of a text of a vertex. The openCypher format knows no cardinality."""
    return "String(single)" if style == "gremlin" else "String"


def _typed(name: str, style: Format) -> str:
    if name not in {"createdAt", "modifiedAt"}:
        return _text(style)
    return "Date(single)" if style == "gremlin" else "DateTime"


def _seconds(moment: str) -> str | None:
    """A moment to the second, which is as exact as Neptune documents it; None of what is no moment in UTC."""
    found = _MOMENT.fullmatch(moment)
    return f"{found[1]}Z" if found else None


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _metadata(name: str) -> Callable[[Entity], str | None]:
    def read(entity: Entity) -> str | None:
        return None if isinstance(entity, Context) else getattr(entity.metadata, name)

    return read


def _field(name: str) -> Callable[[Entity], str | None]:
    def read(entity: Entity) -> str | None:
        value = getattr(entity, name)
        return None if value is None else str(value)

    return read


def _source_types(entity: Entity) -> str | None:
    if not isinstance(entity, Artifact) or not entity.source_types:
        return None
    return _json([{"type": source.type, "value": source.value} for source in entity.source_types])


def _modified(entity: Entity) -> str | None:
    return _seconds(entity.modified_at) if isinstance(entity, Action) else None


_COMMON: dict[str, Callable[[Entity], str | None]] = {
    "type": _field("type"),
    "name": _field("name"),
    "displayName": _field("label"),
    "sourceUri": _field("source_uri"),
    "createdAt": lambda entity: _seconds(entity.created_at),
    "createdAtExact": _field("created_at"),
}
_METADATA: dict[str, Callable[[Entity], str | None]] = {
    "commitId": _metadata("commit_id"),
    "repository": _metadata("repository"),
    "generatedBy": _metadata("generated_by"),
    "projectId": _metadata("project_id"),
}
_SOURCE: dict[str, Callable[[Entity], str | None]] = {
    "sourceType": _field("source_type"),
    "sourceId": _field("source_id"),
    "description": _field("description"),
}
_FIELDS: dict[Kind, dict[str, Callable[[Entity], str | None]]] = {
    "Artifact": {**_COMMON, "fingerprint": _field("fingerprint"), "sourceTypes": _source_types, **_METADATA},
    "Action": {
        **_COMMON,
        **_SOURCE,
        "status": _field("status"),
        "modifiedAt": _modified,
        "modifiedAtExact": _field("modified_at"),
        **_METADATA,
    },
    "Context": {**_COMMON, **_SOURCE},
}
"""What the columns of a kind of entity hold, by their names, in their order."""
