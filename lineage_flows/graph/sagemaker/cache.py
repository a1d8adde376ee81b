"""What the keeper knows without asking: an embedded graph of its own, what of it stands in SageMaker, and what is still to be done.

Knows SQLite and the embedded graph's tables; must not know a call. The graph's own transaction notes by triggers what it changed,
so that a batch is merged *and* due at the same moment: whatever ends the process afterwards, the next one goes on where it stopped.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, cast

import orjson

from lineage_flows.errors import KeeperUnavailableError
from lineage_flows.graph import rows, schema
from lineage_flows.graph.embedded import EmbeddedKeeper
from lineage_flows.graph.keeper import Claim, Link
from lineage_flows.graph.sagemaker.entries import DueEdge, DueEntity, End, There
from lineage_flows.graph.sagemaker.tables import END, create
from lineage_flows.graph.sagemaker.wire import Fixed

__all__ = ["Cache"]

_FULL: Final = "full:"
_abandoned: list[sqlite3.Connection] = []
"""Connections inherited over a fork; see ``embedded``."""


class Cache:
    """The keeper's file. Safe for threads, processes and forks.

    Args:
        path: the SQLite file.

    Raises:
        HomeError, KeeperUnavailableError: as ``open_embedded``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._graph = EmbeddedKeeper(path)
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._pid = os.getpid()
        with self.transaction():
            pass

    def merge(self, claims: Sequence[Claim], links: Sequence[Link]) -> None:
        """Merge a batch by the keepers' law; what it changes is due. Raises as ``Keeper.upsert``."""
        with self.transaction():  # the triggers are there, also in a file that was put in the place of another
            pass
        self._graph.upsert(claims, links)

    def bind(self, key: Literal["place", "account"], value: str) -> None:
        """Note whose this cache is; what stands in one account and region must not be taken for what stands in another.

        Raises:
            KeeperUnavailableError: it is another's.
        """
        with self.transaction() as connection:
            connection.execute("INSERT INTO place VALUES (?, ?) ON CONFLICT DO NOTHING", (key, value))
            (held,) = connection.execute("SELECT value FROM place WHERE key = ?", (key,)).fetchone()
        if held != value:
            raise KeeperUnavailableError(
                f"the lineage of this home stands in another {'region' if key == 'place' else 'account'} of SageMaker",
                why=f"it is {held}, and the present configuration means {value}",
                fix=f"correct AWS_REGION, AWS_PROFILE and AWS_ENDPOINT_URL_SAGEMAKER, or move {self.path} away to begin anew there",
            )

    def bound(self, key: Literal["place", "account"]) -> str | None:
        """Whose this cache is; None while that was not noted."""
        with self.transaction() as connection:
            found = connection.execute("SELECT value FROM place WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def note_full(self, kind: str, until: float) -> None:
        """The account may have no more of a kind (``Association``, or an entity's); it is not tried until a moment (Unix)."""
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO place VALUES (?, ?)", (f"{_FULL}{kind}", str(until)))

    def full(self, now: float, longest: float) -> set[str]:
        """The kinds of which ``note_full`` said so; for longer than ``longest`` only a clock that was ahead did."""
        with self.transaction() as connection:
            found = connection.execute("SELECT key, value FROM place WHERE key LIKE ?", (f"{_FULL}%",)).fetchall()
        return {key.removeprefix(_FULL) for key, until in found if now < float(until) <= now + longest}

    def due_entities(self, limit: int) -> list[DueEntity]:
        """Entities to look at, first come first; those that are parked aside."""
        with self.transaction() as connection:
            found = connection.execute(
                f"{END} WHERE e.id IN (SELECT id FROM due WHERE parked IS NULL ORDER BY id LIMIT ?) ORDER BY e.id",  # noqa: S608
                (limit,),
            ).fetchall()
            attempts = dict(connection.execute("SELECT id, attempts FROM due WHERE parked IS NULL"))
        ends = [(_end(row), row[15]) for row in found]
        return [
            DueEntity(end.id, end.entity, end.there, mark, attempts.get(end.id, 0))
            for end, mark in ends
            if end.entity is not None
        ]

    def due_edges(self, limit: int, now: float) -> list[DueEdge]:
        """Associations to look at now."""
        with self.transaction() as connection:
            found = connection.execute(
                """SELECT source, destination, type, attempts, cause FROM due_edge LEFT JOIN restored USING (source, destination)
                WHERE parked IS NULL AND after <= ? LIMIT ?""",
                (now, limit),
            ).fetchall()
        return [DueEdge(*row) for row in found]

    def ends(self, ids: Iterable[int]) -> dict[int, End]:
        """Rows by their number."""
        return self._ends("e.id IN (SELECT value FROM json_each(?))", list(set(ids)))

    def runs(self, handles: Iterable[str]) -> dict[str, End]:
        """The actions of runs by ``run:ID``, as far as there is a row for them."""
        wanted = "e.handle IN (SELECT value FROM json_each(?)) AND +e.lineage = 'Action'"
        return {str(end.handle): end for end in self._ends(wanted, sorted(set(handles))).values()}

    def standing(self, pairs: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of these pairs between which an association stands."""
        with self.transaction() as connection:
            found = connection.execute(
                """SELECT t.source, t.destination FROM json_each(?) j CROSS JOIN there_edge t
                ON t.source = j.value ->> 0 AND t.destination = j.value ->> 1""",
                (orjson.dumps(pairs).decode(),),
            ).fetchall()
        return {(source, destination) for source, destination in found}

    def stands(self, number: int, there: There, mark: int | None) -> None:
        """An entity stands as ``there`` says; it is due no more unless it has changed since ``mark``."""
        fixed = orjson.dumps([there.fixed.type, there.fixed.metadata]).decode()
        row = (number, there.arn, there.digest, fixed, _text(there.others), _text(sorted(there.held)))
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO there VALUES (?, ?, ?, ?, ?, ?)", row)
            connection.execute("UPDATE due_edge SET after = 0 WHERE source = ?1 OR destination = ?1", (number,))
            self._settle(connection, number, mark)

    def settle(self, number: int, mark: int | None) -> None:
        """There is nothing to do about an entity, unless it has changed since ``mark``."""
        with self.transaction() as connection:
            self._settle(connection, number, mark)

    def forget(self, number: int) -> None:
        """An entity stands there no more, and nothing that was associated with it: it is made anew, and its associations restored.

        One whose other end turns out to be gone as well is ``lost``, unless that end is made anew for reasons of its own.
        """
        with self.transaction() as connection:
            connection.execute("DELETE FROM there WHERE id = ?", (number,))
            connection.execute("INSERT INTO due (id) VALUES (?) ON CONFLICT DO NOTHING", (number,))
            connection.execute("DELETE FROM restored WHERE ?1 IN (source, destination) AND cause <> ?1", (number,))
            connection.execute(
                """INSERT INTO restored (source, destination, cause) SELECT source, destination, ?1 FROM there_edge t
                WHERE (source = ?1 OR destination = ?1) AND NOT EXISTS
                (SELECT 1 FROM due_edge d WHERE d.source = t.source AND d.destination = t.destination)
                ON CONFLICT DO NOTHING""",
                (number,),
            )
            connection.execute(
                """INSERT OR IGNORE INTO due_edge (source, destination, type)
                SELECT source, destination, type FROM there_edge WHERE source = ?1 OR destination = ?1""",
                (number,),
            )
            connection.execute("DELETE FROM there_edge WHERE source = ?1 OR destination = ?1", (number,))

    def lost(self, edges: Iterable[DueEdge]) -> None:
        """Associations that were to be restored went with their other end, too: they are again what comes back with that one."""
        with self.transaction() as connection:
            for edge in edges:
                row = (edge.source, edge.destination, edge.type)
                connection.execute("INSERT OR IGNORE INTO there_edge VALUES (?, ?, ?)", row)
                self._drop(connection, edge)

    def want(self, numbers: Iterable[int]) -> None:
        """Entities are to be looked at: something waits for them."""
        with self.transaction() as connection:
            connection.executemany(
                "INSERT INTO due (id) VALUES (?) ON CONFLICT DO NOTHING", [(number,) for number in numbers]
            )

    def joined(self, edges: Iterable[tuple[DueEdge, tuple[int, int]]]) -> None:
        """Associations stand, between these rows."""
        with self.transaction() as connection:
            for edge, pair in edges:
                connection.execute("INSERT OR IGNORE INTO there_edge VALUES (?, ?, ?)", (*pair, edge.type))
                self._drop(connection, edge)

    def drop(self, edges: Iterable[DueEdge]) -> None:
        """Associations are not kept at this detail."""
        with self.transaction() as connection:
            for edge in edges:
                self._drop(connection, edge)

    def failed(self, item: DueEntity | DueEdge, *, parked: str | None = None, after: float = 0) -> None:
        """An attempt failed: it waits until ``after``, or is put aside for a reason."""
        with self.transaction() as connection:
            if isinstance(item, DueEntity):
                connection.execute(
                    "UPDATE due SET attempts = attempts + 1, parked = ? WHERE id = ? AND mark = ?",
                    (parked, item.id, item.mark),
                )
            else:
                connection.execute(
                    """UPDATE due_edge SET attempts = attempts + 1, parked = ?, after = ?
                    WHERE source = ? AND destination = ?""",
                    (parked, after, item.source, item.destination),
                )

    def put_aside(self, number: int, reason: str) -> None:
        """An entity stands, and not as it is here: why."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO due (id, parked) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET parked = excluded.parked",
                (number, reason),
            )

    def retry(self) -> None:
        """What was put aside or waits is looked at with the next delivery."""
        with self.transaction() as connection:
            connection.execute("UPDATE due SET parked = NULL, attempts = 0 WHERE parked IS NOT NULL")
            connection.execute("UPDATE due_edge SET parked = NULL, attempts = 0, after = 0")
            connection.execute("DELETE FROM place WHERE key LIKE ?", (f"{_FULL}%",))

    def counts(self) -> dict[str, int]:
        """How many of each kind stand there by this home's doing: ``Artifact``, ``Action``, ``Context``, ``Association``."""
        with self.transaction() as connection:
            found = dict(
                connection.execute("SELECT e.lineage, count(*) FROM there JOIN entity e USING (id) GROUP BY 1")
            )
            (found["Association"],) = connection.execute("SELECT count(*) FROM there_edge").fetchone()
        return found

    def backlog(self, now: float) -> tuple[int, int]:
        """How much could be done now and is not, and how many associations wait for an end; what is parked aside."""
        with self.transaction() as connection:
            undone, waiting = connection.execute(
                """SELECT (SELECT count(*) FROM due WHERE parked IS NULL)
                + (SELECT count(*) FROM due_edge WHERE parked IS NULL AND after <= ?1),
                (SELECT count(*) FROM due_edge WHERE parked IS NULL AND after > ?1)""",
                (now,),
            ).fetchone()
        return undone, waiting

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._graph.close()
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    @staticmethod
    def _settle(connection: sqlite3.Connection, number: int, mark: int | None) -> None:
        connection.execute("DELETE FROM due WHERE id = ?1 AND (?2 IS NULL OR mark = ?2)", (number, mark))

    @staticmethod
    def _drop(connection: sqlite3.Connection, edge: DueEdge) -> None:
        for table in ("due_edge", "restored"):
            ends = (edge.source, edge.destination)
            connection.execute(f"DELETE FROM {table} WHERE source = ? AND destination = ?", ends)  # noqa: S608 - constants

    def _ends(self, where: str, values: list[Any]) -> dict[int, End]:
        with self.transaction() as connection:
            found = connection.execute(f"{END} WHERE {where}", (_text(values),)).fetchall()
        return {row[0]: _end(row) for row in found}

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction on the file that has the cache's name now."""
        with self._lock, schema.translated(self.path):
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _connected(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            if self._connection is not None:
                _abandoned.append(self._connection)
            self._connection, self._pid = None, os.getpid()
        file = self._identity()
        if self._connection is None or file != self._file:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            connection = schema.connect(self.path)
            try:
                create(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self._file = self._identity()
        return self._connection

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _end(row: Sequence[Any]) -> End:
    """An end from a row of ``tables.END``."""
    number, arn, lineage, name, uri, sources, created, modified, layers, handle, there_arn, *rest = row
    told, fixed, others, held, mark, parked, unwanted = rest
    entity = rows.entity((arn, lineage, name, uri, sources, created, modified, layers)) if arn is not None else None
    there = None
    if there_arn is not None:
        kind, metadata = orjson.loads(fixed)
        there = There(there_arn, told, Fixed(kind, metadata), orjson.loads(others), tuple(orjson.loads(held)))
    return End(number, entity, handle, there, mark is not None, cast("str | None", parked), bool(unwanted))


def _text(value: object) -> str:
    return orjson.dumps(value).decode()
