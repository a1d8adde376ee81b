"""Entities and associations of the graph's file as a walk of QueryLineage asks for them: a level at a time, and light.

Knows the graph's tables and the endpoint's own; must not know what is asked. CROSS JOIN keeps the order of the loops as written:
from the ARNs asked for, over an index, to the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import orjson

from lineage_flows.endpoint import others
from lineage_flows.endpoint.query_lineage import Edge, Node
from lineage_flows.endpoint.snapshot import Snapshot

__all__ = ["StoredLineage"]

_NODES = """SELECT e.arn, e.lineage, e.type, e.created,
    max(CASE e.lineage WHEN 'Action' THEN e.modified ELSE e.created END, ifnull(n.modified, ''))
FROM json_each(:arns) j CROSS JOIN entity e ON e.arn = j.value LEFT JOIN endpoint_note n ON n.key = e.arn
UNION ALL
SELECT o.arn, o.kind, o.type, o.created, o.modified
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

    def __init__(self, snapshot: Snapshot, *, properties: bool) -> None:
        """Read over a transaction.

        Args:
            snapshot: of it.
            properties: whether the entities' properties are asked for, which most queries do not.
        """
        self._snapshot = snapshot
        self._properties = properties
        # SQLite gives out every text anew. An answer that is kept should have each ARN once, and not once an association.
        self._texts: dict[str, str] = {}

    def nodes(self, arns: Collection[str]) -> Mapping[str, Node]:
        """See ``LineageSource``."""
        found = self._snapshot.connection.execute(_NODES, {"arns": _texts(arns)}).fetchall()
        held = self._held(arns) if self._properties else {}
        return {
            arn: Node(arn, kind, _type(kind, type_), created, modified, held.get(arn, {}))
            for arn, kind, type_, created, modified in found
        }

    def edges(self, arns: Collection[str], *, up: bool) -> Iterator[Edge]:
        """See ``LineageSource``."""
        one = self._texts.setdefault
        for source, destination, type_ in self._snapshot.connection.execute(
            _UP if up else _DOWN, {"arns": _texts(arns)}
        ):
            yield Edge(one(source, source), one(destination, destination), one(type_, type_))

    def _held(self, arns: Collection[str]) -> dict[str, Mapping[str, str]]:
        held: dict[str, Mapping[str, str]] = {
            arn: stored.entity.properties for arn, stored in self._snapshot.entities(arns).items()
        }
        condition = ("o.arn IN (SELECT value FROM json_each(?))", [_texts(arns)])
        for other in others.listed(self._snapshot, "TrialComponent", [condition]):
            held[other.arn] = _parameters(other.body.get("Parameters", {}))
        return held


def _type(kind: str, type_: str) -> str | None:
    """QueryLineage speaks of a TrainingJob where lists of associations speak of a SageMakerTrainingJob (D)."""
    return (type_.removeprefix("SageMaker") if kind == "TrialComponent" else type_) or None


def _parameters(given: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """A component's parameters as texts; numbers as short as they can be (I)."""
    return {
        key: f"{value:.15g}" if isinstance(value, float) else str(value)
        for key, held in given.items()
        for value in held.values()
    }


def _texts(arns: Collection[str]) -> str:
    return orjson.dumps(list(arns)).decode()
