"""Entities and associations of the graph's file as a walk of QueryLineage asks for them: a level at a time, and light.

Knows the graph's tables and the endpoint's own; must not know what is asked. CROSS JOIN keeps the order of the loops as written:
from the ARNs asked for, over an index, to the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

import orjson

from lineage_flows.endpoint.query_lineage import Edge, Node
from lineage_flows.graph.keeper import PROPERTY, Layers, flatten

__all__ = ["StoredLineage"]

_NODES = """SELECT e.arn, e.lineage, e.type, e.created,
    max(CASE e.lineage WHEN 'Action' THEN e.modified ELSE e.created END, ifnull(n.modified, '')),
    CASE WHEN :whole THEN e.layers END
FROM json_each(:arns) j CROSS JOIN entity e ON e.arn = j.value LEFT JOIN endpoint_note n ON n.key = e.arn
UNION ALL
SELECT o.arn, o.kind, o.type, o.created, o.modified, CASE WHEN :whole THEN o.body END
FROM json_each(:arns) j CROSS JOIN endpoint_other o ON o.arn = j.value WHERE o.kind = 'TrialComponent'"""

_UP = """SELECT s.arn, d.arn, a.type
FROM json_each(:arns) j CROSS JOIN entity d ON d.arn = j.value
CROSS JOIN association a ON a.destination = d.id CROSS JOIN entity s ON s.id = a.source WHERE s.arn IS NOT NULL
UNION ALL
SELECT l.source, l.destination, l.type FROM json_each(:arns) j CROSS JOIN endpoint_link l ON l.destination = j.value"""

_DOWN = """SELECT s.arn, d.arn, a.type
FROM json_each(:arns) j CROSS JOIN entity s ON s.arn = j.value
CROSS JOIN association a ON a.source = s.id CROSS JOIN entity d ON d.id = a.destination WHERE d.arn IS NOT NULL
UNION ALL
SELECT l.source, l.destination, l.type FROM json_each(:arns) j CROSS JOIN endpoint_link l ON l.source = j.value"""


class StoredLineage:
    """The graph of one transaction, for ``query_lineage.walk``.

    An experiment may be an association's end, and is none of the kinds that a query can answer with (D): a walk ends before it (U).
    """

    def __init__(self, connection: sqlite3.Connection, *, properties: bool) -> None:
        """Read over a transaction.

        Args:
            connection: in that transaction.
            properties: whether the entities' properties are asked for, which most queries do not.
        """
        self._connection = connection
        self._properties = properties

    def nodes(self, arns: Collection[str]) -> Mapping[str, Node]:
        """See ``LineageSource``."""
        found = self._connection.execute(_NODES, {"arns": _texts(arns), "whole": self._properties})
        return {row[0]: _node(row) for row in found}

    def edges(self, arns: Collection[str], *, up: bool) -> Iterator[Edge]:
        """See ``LineageSource``."""
        for row in self._connection.execute(_UP if up else _DOWN, {"arns": _texts(arns)}):
            yield Edge(*row)


def _node(row: tuple[Any, ...]) -> Node:
    arn, kind, type_, created, modified, whole = row
    if kind != "TrialComponent":
        return Node(arn, kind, type_ or None, created, modified, _properties(whole) if whole else {})
    # QueryLineage speaks of a TrainingJob where lists of associations speak of a SageMakerTrainingJob (D).
    type_ = type_.removeprefix("SageMaker")
    return Node(arn, kind, type_, created, modified, _parameters(whole) if whole else {})


def _properties(layers: str) -> dict[str, str]:
    facts = flatten(cast("Layers", [(stamp, said) for stamp, said in orjson.loads(layers)]))
    return {key[len(PROPERTY) :]: value for key, value in facts.items() if key.startswith(PROPERTY)}


def _parameters(body: str) -> dict[str, str]:
    """A component's parameters as texts; numbers in their shortest form (I)."""
    given: dict[str, dict[str, Any]] = orjson.loads(body).get("Parameters", {})
    return {key: f"{value:g}" if isinstance(value, float) else str(value) for key, held in given.items() for value in held.values()}


def _texts(arns: Collection[str]) -> str:
    return orjson.dumps(list(arns)).decode()
