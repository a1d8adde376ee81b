"""What is upstream and downstream of a thing, asked of a graph that was loaded into Neptune: in Gremlin and in openCypher.

Knows the labels of an export; must not know how a statement is sent. The walks lie in the database as edges (``walks``), so that a
statement only follows them. It gives the ARNs that ``query.upstream`` and ``query.downstream`` meet, the start among them.

openCypher takes parameters. Neptune takes none for Gremlin (its manual: "does not support Gremlin variables or parameterization
in scripts"), so there an ARN becomes part of the text, and only one of harmless characters does: no escape is relied on, which
Groovy and Neptune's own grammar do not read alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lineage_flows.errors import GraphError
from lineage_flows.graph.keeper import Direction
from lineage_flows.graph.neptune.export import DOWNSTREAM, PLACE, STANDS_FOR, UPSTREAM

__all__ = [
    "Statement",
    "forget_walks",
    "gremlin",
    "opencypher",
    "opencypher_meets",
    "opencypher_steps",
    "walk_opencypher",
]

_LABEL: dict[Direction, str] = {"up": UPSTREAM, "down": DOWNSTREAM}
_ENTITIES = '"Artifact", "Action", "Context"'
_HARMLESS = re.compile(r"[A-Za-z0-9:/._+=@,-]+")
_MOST_IDS = 1000
"""So many places are asked about in one statement."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement and the values of its parameters, which are sent beside it and are no part of it."""

    text: str
    parameters: Mapping[str, object] = field(default_factory=dict)


def gremlin(arn: str, direction: Direction) -> str:
    """The ARNs of everything that is upstream (``up``) or downstream (``down``) of an entity, in no order.

    Each place is come to once (``dedup`` inside ``repeat``), so that what many ways lead to is not walked many times.

    Raises:
        GraphError: the ARN has characters that no ARN of AWS or of the embedded graph has.
    """
    follow = f'__.out("{_LABEL[direction]}").dedup()'
    met = f'coalesce(__.out("{STANDS_FOR}"), __.identity()).hasLabel({_ENTITIES}).dedup().id()'
    return f"g.V({_literal(arn)}).emit().repeat({follow}).{met}"


def opencypher(arn: str, direction: Direction) -> Statement:
    """The ARNs (column ``arn``, in their order) of everything that is upstream or downstream of an entity, in one statement.

    openCypher's ``*`` finds every *path*, of which there may be very many more than things: made for the lineage of a few dozen
    steps. ``walk_opencypher`` takes each place once, in several statements.
    """
    return Statement(
        f"MATCH (start)-[:{_LABEL[direction]}*0..]->(place)-[:{STANDS_FOR}*0..1]->(found) "
        f"WHERE id(start) = $arn AND NOT found:{PLACE} RETURN DISTINCT id(found) AS arn ORDER BY arn",
        {"arn": arn},
    )


def opencypher_steps(ids: Iterable[str], direction: Direction) -> Statement:
    """The ids (column ``id``) of the places to which walks go on from these."""
    return Statement(
        f"MATCH (place)-[:{_LABEL[direction]}]->(next) WHERE id(place) IN $ids RETURN DISTINCT id(next) AS id ORDER BY id",
        {"ids": sorted(ids)},
    )


def opencypher_meets(ids: Iterable[str]) -> Statement:
    """The ARNs (column ``id``) of the entities for which these places stand."""
    return Statement(
        f"MATCH (place)-[:{STANDS_FOR}]->(found) WHERE id(place) IN $ids RETURN DISTINCT id(found) AS id ORDER BY id",
        {"ids": sorted(ids)},
    )


def walk_opencypher(
    send: Callable[[Statement], Iterable[Mapping[str, object]]], arn: str, direction: Direction
) -> list[str]:
    """The ARNs of everything that is upstream or downstream of an entity, sorted; a statement or two for each step of the way.

    Args:
        send: sends a statement and gives its rows.
        arn: the entity. One that is not in the database has nothing but itself.
        direction: which of the two.
    """
    seen, level, met = {arn}, {arn}, set[str]()
    while level:
        places = {place for place in level if _is_place(place)}
        met |= level - places
        met |= {str(row["id"]) for ids in _parts(places) for row in send(opencypher_meets(ids))}
        found = {str(row["id"]) for ids in _parts(level) for row in send(opencypher_steps(ids, direction))}
        level = found - seen
        seen |= level
    return sorted(met)


def forget_walks() -> tuple[tuple[str, ...], tuple[Statement, ...]]:
    """What removes the walks of earlier loads, and leaves entities and associations: in Gremlin, and in openCypher.

    To be sent, one after the other, before a graph that has grown is loaded again: the loader adds and never removes, and what a
    later run made known may have changed where a walk goes.
    """
    labels = ", ".join(f'"{label}"' for label in (UPSTREAM, DOWNSTREAM, STANDS_FOR))
    in_gremlin = (f"g.E().hasLabel({labels}).drop()", f'g.V().hasLabel("{PLACE}").drop()')
    kinds = f"{UPSTREAM}|{DOWNSTREAM}|{STANDS_FOR}"
    return in_gremlin, (
        Statement(f"MATCH ()-[step:{kinds}]->() DELETE step"),
        Statement(f"MATCH (place:{PLACE}) DELETE place"),
    )


def _is_place(vertex: str) -> bool:
    return not vertex.startswith("arn:")


def _literal(arn: str) -> str:
    if _HARMLESS.fullmatch(arn) is None:
        raise GraphError(
            f"{arn[:120]!r} cannot be asked about in Gremlin",
            why="Neptune takes no parameters there, and it has characters that are not safe in the text of a statement",
            fix="ask in openCypher",
        )
    return f'"{arn}"'


def _parts(ids: set[str]) -> Iterable[list[str]]:
    ordered = sorted(ids)
    return (ordered[begin : begin + _MOST_IDS] for begin in range(0, len(ordered), _MOST_IDS))
