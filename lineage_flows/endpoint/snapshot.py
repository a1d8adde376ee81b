"""Reads over one transaction: entities, associations and tags as the operations ask for them.

Knows the graph's tables and the endpoint's own; must not know what an operation takes in or gives out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from lineage_flows.endpoint.tables import EDGES, ENDS
from lineage_flows.graph import rows
from lineage_flows.graph.model import Action, Entity, LineageType

__all__ = ["Edge", "End", "Snapshot", "Stored"]

SELECT_STORED = """SELECT e.arn, e.lineage, e.name, e.source_uri, e.sources, e.created, e.modified, e.layers,
(SELECT n.modified FROM endpoint_note n WHERE n.key = e.arn) FROM entity e"""


@dataclass(frozen=True, slots=True)
class Stored:
    """An entity of the graph, and when it was last modified by an event or over the API."""

    entity: Entity
    modified: str


@dataclass(frozen=True, slots=True)
class End:
    """What an association can begin or end at.

    Attributes:
        kind: ``Artifact``, ``Action``, ``Context``, or one of the kinds of ``endpoint_other``.
        type: the entity's own type (``DataSet``).
    """

    arn: str
    kind: str
    type: str
    name: str | None
    created: str


@dataclass(frozen=True, slots=True)
class Edge:
    """An association by the ARNs of its ends. ``type`` is one of SageMaker's association types."""

    source: str
    destination: str
    type: str
    created: str


class Snapshot:
    """The graph as one transaction sees it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def entity(self, arn: str) -> Stored | None:
        """An artifact, action or context by ARN."""
        row = self.connection.execute(f"{SELECT_STORED} WHERE e.arn = ?", [arn]).fetchone()
        return None if row is None else stored(row)

    def entities(self, arns: Iterable[str]) -> dict[str, Stored]:
        """Artifacts, actions and contexts by ARN; those that are not known are left out."""
        found = self.connection.execute(
            f"{SELECT_STORED} WHERE e.arn IN (SELECT value FROM json_each(?))",  # noqa: S608 - a constant
            [_texts(arns)],
        )
        return {row[0]: stored(row) for row in found}

    def end(self, arn: str) -> End | None:
        """Whatever can be the end of an association, by ARN."""
        return self.ends([arn]).get(arn)

    def ends(self, arns: Iterable[str]) -> dict[str, End]:
        """The same for several; those that are not known are left out."""
        found = self.connection.execute(
            f"SELECT arn, kind, type, name, created FROM ({ENDS}) WHERE arn IN (SELECT value FROM json_each(?))",  # noqa: S608 - constants
            [_texts(arns)],
        )
        return {row[0]: End(*row) for row in found}

    def edges(self, *, sources: Iterable[str] | None = None, destinations: Iterable[str] | None = None) -> list[Edge]:
        """Associations that begin at one of ``sources`` and end at one of ``destinations``, by source, destination and type."""
        conditions, values = ["1"], []
        for column, arns in (("source", sources), ("destination", destinations)):
            if arns is not None:
                conditions.append(f"{column} IN (SELECT value FROM json_each(?))")  # noqa: S608 - columns are ours
                values.append(_texts(arns))
        found = self.connection.execute(
            f"SELECT source, destination, type, created FROM ({EDGES}) WHERE {' AND '.join(conditions)} "  # noqa: S608 - constants
            "ORDER BY source, destination, type",
            values,
        )
        return [Edge(*row) for row in found]

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of a resource, by key."""
        found = self.connection.execute("SELECT key, value FROM endpoint_tag WHERE arn = ? ORDER BY key", [arn])
        return dict(found.fetchall())

    def count(self, kind: str, *, made_here: bool) -> int:
        """How many artifacts, actions, contexts or associations there are; of them those that the API made, or all."""
        if made_here:
            query, values = "SELECT count(*) FROM endpoint_note WHERE made AND kind = ?", [kind]
        elif kind == "Association":
            query, values = f"SELECT count(*) FROM ({EDGES})", []  # noqa: S608 - constants
        else:
            query, values = "SELECT count(*) FROM entity WHERE arn IS NOT NULL AND lineage = ?", [kind]
        return int(self.connection.execute(query, values).fetchone()[0])

    def page(
        self,
        lineage: LineageType,
        conditions: Sequence[tuple[str, Sequence[object]]],
        order: str,
        limit: int,
        *,
        few: bool = False,
    ) -> list[Stored]:
        """Entities of a kind that meet every condition (SQL over ``e``, with its values), in an order.

        ``few`` says that a condition leaves few of them: SQLite is then kept from walking all in their order to find those.
        """
        where = " AND ".join(
            ["e.arn IS NOT NULL", f"{'+' if few else ''}e.lineage = ?", *(text for text, _ in conditions)]
        )
        values = [value for _, given in conditions for value in given]
        found = self.connection.execute(
            f"{SELECT_STORED} WHERE {where} ORDER BY {order} LIMIT ?", [lineage, *values, limit]
        )
        return [stored(row) for row in found]


def stored(row: Sequence[Any]) -> Stored:
    """An entity from a row of ``SELECT_STORED``."""
    arn, lineage, name, source_uri, sources, created, modified, layers, noted = row
    entity = rows.entity((arn, lineage, name, source_uri, sources, created, modified, layers))
    latest = entity.modified_at if isinstance(entity, Action) else created
    return Stored(entity, max(latest, noted or ""))


def _texts(values: Iterable[str]) -> str:
    return orjson.dumps(list(values)).decode()
