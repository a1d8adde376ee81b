"""What a person gives up of what was to be written to SageMaker: things that were put aside, or all that waits of a run.

Knows the cache's tables; calls nobody. A thing that was discarded, and does not stand there, is not made because something is to be
associated with it; what it was to be associated with stands without it. Something new that is said of it makes it due again (a
trigger of ``tables``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lineage_flows.graph.identity import value_name
from lineage_flows.graph.rows import entity as entity_of
from lineage_flows.graph.sagemaker.awaited import give_up_join, parked_joins
from lineage_flows.graph.sagemaker.cache import Cache
from lineage_flows.graph.sagemaker.detail import run_of
from lineage_flows.graph.sagemaker.entries import ParkedCall

__all__ = ["DiscardableThing", "DiscardedThing", "discard", "discarded", "left", "parked"]

_WAITS: Final = "it was waiting to be written"
_HUNG: Final = "it was to be associated with what was discarded"
# An artifact is what its URI says; its name is decoration.
_ENTITIES: Final = """SELECT e.id, e.lineage || ' ' || iif(e.lineage = 'Artifact', e.source_uri, e.name), d.parked
    FROM due d JOIN entity e USING (id) ORDER BY e.id"""
_EDGES: Final = """SELECT d.source, d.destination,
    COALESCE(iif(s.lineage = 'Artifact', s.source_uri, s.name), s.handle) || ' ' || d.type || ' '
    || COALESCE(iif(e.lineage = 'Artifact', e.source_uri, e.name), e.handle), d.parked
    FROM due_edge d JOIN entity s ON s.id = d.source JOIN entity e ON e.id = d.destination"""
_ROW: Final = "SELECT arn, lineage, name, source_uri, sources, created, modified, layers FROM entity WHERE id = ?"


@dataclass(frozen=True, slots=True)
class DiscardableThing:
    """An entity or an association that was not written.

    Attributes:
        rows: its row in the cache; of an association those of its ends; of a join with what SageMaker made itself none.
        what: in words.
        reason: why it was put aside; None of one that waits.
        join: what names the join.
    """

    rows: tuple[int, ...]
    what: str
    reason: str | None
    join: str = ""

    @property
    def id(self) -> str:
        """By which a person names it."""
        return self.join or f"{'entity' if len(self.rows) == 1 else 'association'}/{'-'.join(map(str, self.rows))}"


@dataclass(frozen=True, slots=True)
class DiscardedThing:
    """What is not written any more, and why it had not been; ``time`` is RFC 3339 in UTC."""

    what: str
    reason: str
    time: str
    who: str


def left(cache: Cache, run_id: str | None = None) -> list[DiscardableThing]:
    """What was not written: what was put aside, and what waits.

    Args:
        cache: the keeper's.
        run_id: only what is of this run: its action, its steps, its values, its record, and associations with these.
    """
    with cache.transaction() as connection:
        things = [DiscardableThing((row[0],), *row[1:]) for row in connection.execute(_ENTITIES)]
        things += [
            DiscardableThing((row[0], row[1]), *row[2:])
            for row in connection.execute(f"{_EDGES} ORDER BY d.source, d.destination")
        ]
        if run_id is None:
            joins = [DiscardableThing((), what, reason, join) for join, what, reason in parked_joins(connection)]
            return [*things, *joins]
        of_run = _rows_of(connection, run_id, {row for thing in things for row in thing.rows})
    return [thing for thing in things if of_run.intersection(thing.rows)]


def parked(cache: Cache) -> list[ParkedCall]:
    """What was put aside."""
    return [ParkedCall(item.what, item.reason, item.id) for item in left(cache) if item.reason is not None]


def discard(cache: Cache, things: Iterable[DiscardableThing], who: str) -> list[DiscardedThing]:
    """Give things up, with the associations that wait for them; those that were written meanwhile are left out."""
    time = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    done: list[DiscardedThing] = []
    with cache.transaction() as connection:
        for thing in sorted(things, key=lambda item: -len(item.rows)):
            if thing.join:
                done += _discard_join(connection, thing)
            else:
                done += _discard_edge(connection, thing) if len(thing.rows) == 2 else _discard_entity(connection, thing)
        done = [DiscardedThing(item.what, item.reason, time, who) for item in done]
        connection.executemany(
            "INSERT INTO discarded VALUES (?, ?, ?, ?)",
            [(item.what, item.reason, item.time, item.who) for item in done],
        )
    return done


def discarded(cache: Cache) -> list[DiscardedThing]:
    """What was ever discarded, in the order in which it was."""
    with cache.transaction() as connection:
        rows = connection.execute("SELECT what, reason, time, who FROM discarded ORDER BY rowid").fetchall()
    return [DiscardedThing(*row) for row in rows]


def _discard_join(connection: sqlite3.Connection, thing: DiscardableThing) -> list[DiscardedThing]:
    gone = give_up_join(connection, thing.join)
    return [DiscardedThing(thing.what, thing.reason or _WAITS, "", "")] if gone else []


def _discard_edge(connection: sqlite3.Connection, thing: DiscardableThing) -> list[DiscardedThing]:
    for table in ("restored", "due_edge"):
        query = f"DELETE FROM {table} WHERE source = ? AND destination = ?"  # noqa: S608 - constants
        gone = connection.execute(query, thing.rows).rowcount
    return [DiscardedThing(thing.what, thing.reason or _WAITS, "", "")] if gone else []


def _discard_entity(connection: sqlite3.Connection, thing: DiscardableThing) -> list[DiscardedThing]:
    if not connection.execute("DELETE FROM due WHERE id = ?", thing.rows).rowcount:
        return []
    done = [DiscardedThing(thing.what, thing.reason or _WAITS, "", "")]
    if connection.execute("SELECT 1 FROM there WHERE id = ?", thing.rows).fetchone() is None:
        connection.execute("INSERT OR IGNORE INTO unwanted VALUES (?)", thing.rows)
        hung = connection.execute(f"{_EDGES} WHERE ?1 IN (d.source, d.destination)", thing.rows).fetchall()
        for source, destination, what, _ in hung:
            done += _discard_edge(connection, DiscardableThing((source, destination), what, _HUNG))
    return done


def _rows_of(connection: sqlite3.Connection, run_id: str, rows: set[int]) -> set[int]:
    """Those of some rows that are of a run."""
    # A step's state names its run: found by the text, and then by the property.
    steps = {
        step[0]
        for step in connection.execute(
            "SELECT substr(handle, 5), id FROM entity WHERE lineage = 'Action' AND instr(layers, ?)", (run_id,)
        ).fetchall()
        if _step_of(connection, step[1]) == run_id
    }
    runs = {run_id, *steps}
    return {row for row in rows if _is_of(connection, row, runs)}


def _step_of(connection: sqlite3.Connection, row: int) -> str | None:
    found = connection.execute(_ROW, (row,)).fetchone()
    return None if found is None or found[0] is None else run_of(entity_of(found))


def _is_of(connection: sqlite3.Connection, row: int, runs: set[str]) -> bool:
    lineage, handle, uri = connection.execute(
        "SELECT lineage, handle, source_uri FROM entity WHERE id = ?", (row,)
    ).fetchone()
    if lineage == "Action":
        return str(handle or "").removeprefix("run:") in runs
    value = value_name(uri)
    return (value is not None and value.run_id in runs) or any(uri.endswith(f"/flow-run/{run}/record") for run in runs)
