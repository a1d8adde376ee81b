"""Writes a batch of claims and links into the embedded graph's tables, inside a transaction that the caller holds.

Knows the tables and the law of ``keeper.merge``; must not know what an event is. A plus before a column keeps SQLite from taking
the index of that column where another one leads straight to the rows; CROSS JOIN keeps the order of the loops as written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson

from lineage_flows.errors import GraphError
from lineage_flows.graph import rows
from lineage_flows.graph.deletions import COLUMNS, undeleted
from lineage_flows.graph.joins import join_objects
from lineage_flows.graph.keeper import META, PROPERTY, Claim, Layers, Link, flatten, merge
from lineage_flows.graph.model import Use

__all__ = ["write"]


def write(
    connection: sqlite3.Connection, claims: Sequence[Claim], links: Sequence[Link], *, joining: bool = True
) -> None:
    """Merge claims into entities and add what is new of links; see ``deletions`` for what somebody deleted.

    Args:
        connection: in a transaction.
        claims: of the batch.
        links: of the batch.
        joining: whether to make the associations that follow from it (``joins``).

    Raises:
        EventError: an entity would break a limit of the model.
        GraphError: a link names an artifact or context that nobody claimed.
    """
    claims, links = undeleted(connection, claims, links)
    entities = _load(connection, claims)
    touched = [state for state in (_fold(entities, claim) for claim in claims) if state is not None]
    _store(connection, {id(state): state for state in touched}.values())
    twins = [link for link in links if link.type == "SameAs"]
    _store_links(connection, [link for link in links if link.type != "SameAs"])
    _store_twins(connection, twins, {claim.handle for claim in claims if claim.lineage == "Artifact" and claim.handle})
    if joining:
        join_objects(connection, claims)


@dataclass(slots=True)
class _State:
    """An entity as it is being written."""

    lineage: str
    arn: str
    name: str | None
    source_uri: str
    sources: str
    handle: str | None
    created: str
    modified: str
    id: int | None = None
    layers: Layers = field(default_factory=list)


def _load(connection: sqlite3.Connection, claims: Iterable[Claim]) -> dict[str, _State]:
    """Known entities by what identifies them: the handle of an action, the ARN of others."""
    keys = {_key(claim): claim.lineage for claim in claims}
    runs = _texts(key for key, lineage in keys.items() if lineage == "Action")
    others = _texts(key for key, lineage in keys.items() if lineage != "Action")
    found = connection.execute(
        """SELECT id, lineage, arn, name, source_uri, sources, handle, created, modified, layers FROM entity
        WHERE handle IN (SELECT value FROM json_each(?)) AND +lineage = 'Action'
        UNION ALL
        SELECT id, lineage, arn, name, source_uri, sources, handle, created, modified, layers FROM entity
        WHERE arn IN (SELECT value FROM json_each(?))""",
        [runs, others],
    ).fetchall()
    states = {}
    for number, lineage, arn, name, uri, sources, handle, created, modified, layers in found:
        state = _State(lineage, arn, name, uri, sources, handle, created, modified, number)
        state.layers = [(stamp, facts) for stamp, facts in orjson.loads(layers)]
        states[handle if lineage == "Action" else arn] = state
    return states


def _fold(entities: dict[str, _State], claim: Claim) -> _State | None:
    """Merge one claim; None when it says nothing new."""
    key = _key(claim)
    state = entities.get(key)
    if state is None or not state.arn:
        number = None if state is None else state.id
        sources = orjson.dumps(claim.sources).decode()
        state = _State(
            claim.lineage,
            claim.arn,
            claim.name,
            claim.source_uri,
            sources,
            claim.handle,
            claim.time,
            claim.time,
            number,
        )
        state.layers = merge([], claim.stamp, claim.facts)
        entities[key] = state
        return state
    merged = merge(state.layers, claim.stamp, claim.facts)
    created = min(state.created, claim.time)
    # What an artifact is does not change with time, so being seen again is no modification of it, and costs no write.
    modified = max(state.modified, claim.time) if claim.lineage == "Action" else created
    if merged is state.layers and created == state.created and modified == state.modified:
        return None
    state.layers, state.created, state.modified = merged, created, modified
    return state


def _store(connection: sqlite3.Connection, states: Iterable[_State]) -> None:
    new, changed = [], []
    for state in states:
        layers = orjson.dumps(state.layers).decode()
        rows.check(
            (
                state.arn,
                state.lineage,
                state.name,
                state.source_uri,
                state.sources,
                state.created,
                state.modified,
                layers,
            )
        )
        facts = flatten(state.layers)
        name = state.name or facts.get("name")
        columns = (
            state.arn,
            state.handle,
            state.lineage,
            facts.get("type", ""),
            name,
            state.source_uri,
            state.sources,
            state.created,
            state.modified,
            facts.get(f"{PROPERTY}flow"),
            facts.get(f"{PROPERTY}name") if state.lineage == "Action" else None,
            facts.get(f"{PROPERTY}parentRunId"),
            facts.get(f"{META}commit_id") if state.lineage == "Action" else None,
            layers,
            rows.words(name, state.source_uri, facts),
        )
        if state.id is None:
            new.append(columns)
        else:
            changed.append((*columns, state.id))
    connection.executemany(_INSERT, new)
    connection.executemany(_UPDATE, changed)


_INSERT = f"INSERT INTO entity ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - constants
_UPDATE = f"UPDATE entity SET {', '.join(f'{column} = ?' for column in COLUMNS)} WHERE id = ?"  # noqa: S608 - constants


def _store_links(connection: sqlite3.Connection, links: Sequence[Link]) -> None:
    if not links:
        return
    ids = _resolve(connection, {end for link in links for end in (link.source, link.destination)})
    edges: dict[tuple[int, int, str], tuple[str, tuple[Use, ...]]] = {}
    for link in links:
        key: tuple[int, int, str] = (ids[link.source], ids[link.destination], link.type)
        created, uses = edges.get(key, (link.time, ()))
        edges[key] = (min(created, link.time), uses + link.uses)
    known = connection.execute(
        """SELECT a.source, a.destination, a.type, a.created, a.uses FROM json_each(?) j CROSS JOIN association a
        ON a.source = j.value ->> 0 AND a.destination = j.value ->> 1 AND a.type = j.value ->> 2""",
        [orjson.dumps(list(edges)).decode()],
    ).fetchall()
    held = {(source, destination, kind): (created, uses) for source, destination, kind, created, uses in known}
    changed = []
    for key, (time, uses) in edges.items():
        created, text = held.get(key, (time, "[]"))
        joined = rows.dump_uses(rows.load_uses(text) + uses, key[2]) if uses else text
        if key not in held or (time, joined) != (created, text):
            changed.append((*key, joined, min(time, created)))
    connection.executemany("INSERT OR REPLACE INTO association VALUES (?, ?, ?, ?, ?)", changed)


_RUN_IDS = "SELECT handle, id FROM entity WHERE handle IN (SELECT value FROM json_each(?)) AND +lineage = 'Action'"


def _resolve(connection: sqlite3.Connection, ends: set[str]) -> dict[str, int]:
    """Row ids of a batch's ends; an action that is not known yet gets a row that shows only once it is."""
    runs = {end for end in ends if end.startswith("run:")}
    found = dict(
        connection.execute(
            _RUN_IDS,
            [_texts(runs)],
        )
    )
    awaited = sorted(runs - found.keys())
    connection.executemany(
        "INSERT INTO entity (handle, lineage) VALUES (?, 'Action')", [(handle,) for handle in awaited]
    )
    if awaited:
        found.update(
            connection.execute(
                _RUN_IDS,
                [_texts(awaited)],
            )
        )
    arns = ends - runs
    found.update(
        connection.execute("SELECT arn, id FROM entity WHERE arn IN (SELECT value FROM json_each(?))", [_texts(arns)])
    )
    unknown = sorted(ends - found.keys())
    if unknown:
        raise GraphError(f"{unknown[0]} cannot be linked", why="nothing of that name is in the graph or the batch")
    return found


def _store_twins(connection: sqlite3.Connection, twins: Sequence[Link], values: set[str]) -> None:
    """Keep what was said to be the same, and join those of it that are known by now and have the same content."""
    connection.executemany(
        """INSERT INTO twin VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET created = excluded.created
        WHERE excluded.created < created""",
        [(twin.source, twin.destination, twin.time) for twin in twins],
    )
    handles = _texts(values | {twin.source for twin in twins})
    connection.execute(
        """INSERT INTO association
        SELECT l.id, r.id, 'SameAs', '[]', t.created
        FROM (SELECT * FROM twin WHERE replayed IN (SELECT value FROM json_each(:handles))
              UNION SELECT * FROM twin WHERE original IN (SELECT value FROM json_each(:handles))) t
        CROSS JOIN entity l ON l.handle = t.replayed
        CROSS JOIN entity r ON r.handle = t.original
        WHERE +l.lineage = 'Artifact' AND +r.lineage = 'Artifact' AND l.sources = r.sources AND l.sources <> '[]'
        ON CONFLICT DO UPDATE SET created = excluded.created WHERE excluded.created < created""",
        {"handles": handles},
    )


def _key(claim: Claim) -> str:
    return claim.handle if claim.lineage == "Action" and claim.handle else claim.arn


def _texts(values: Iterable[str]) -> str:
    return orjson.dumps(sorted(values)).decode()
