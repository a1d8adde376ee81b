"""What is awaited of SageMaker: what it makes of its own accord of jobs and endpoints that a flow started, and what was found.

Knows SQLite and the tables of the cache beside which its own stand; must not know a call. A home whose flows have nothing to do
with SageMaker's own things never gets the tables.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import orjson

from lineage_flows.graph import schema
from lineage_flows.graph.model import AssociationType

__all__ = ["Awaited", "Foreign", "Store", "Way", "Wish", "opened"]

Way = Literal["component", "in", "out", "same"]
"""How a thing of SageMaker's own hangs together with ours of the same URI.

``component``: ours, the job, went into it. ``in``: a job read it, so that it is what we wrote. ``out``: a job wrote it, so that
what we read is it. ``same``: it is ours under another kind.
"""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS awaited (            -- things of ours of which SageMaker makes something itself, by their row in entity
    id INTEGER PRIMARY KEY,
    since REAL NOT NULL,                        -- when it was first looked for (Unix)
    after REAL NOT NULL DEFAULT 0,              -- not to be looked for again before
    attempts INTEGER NOT NULL DEFAULT 0,
    found INTEGER NOT NULL DEFAULT 0,           -- whether something was
    settled INTEGER NOT NULL DEFAULT 0,         -- no more is to come
    parked TEXT
);
CREATE TABLE IF NOT EXISTS foreign_thing (      -- what SageMaker made itself
    arn TEXT NOT NULL,
    way TEXT NOT NULL,
    uri TEXT NOT NULL,
    PRIMARY KEY (arn, way)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS foreign_edge (       -- associations with it, by ARN
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    stands INTEGER NOT NULL DEFAULT 0,          -- 1 when it does, 2 when somebody gave it up
    after REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    parked TEXT,
    PRIMARY KEY (source, destination)
) WITHOUT ROWID;
"""
_OURS: Final = """FROM entity e CROSS JOIN there t ON t.id = e.id
WHERE +e.lineage = 'Artifact' AND e.source_uri >= 'arn:' AND e.source_uri < 'arn;'"""
_WATCHED: Final = re.compile(
    r"arn:[^:]+:sagemaker:(?P<region>[^:]*):[^:]*:"
    r"(?P<kind>(training|processing|transform)-job|endpoint|model-package|feature-group|pipeline(?=/[^/]+/execution/))/.+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Awaited:
    """A thing of ours of which SageMaker makes something.

    Attributes:
        id: its row.
        arn: by which SageMaker knows it, and which is its URI here.
        region: of that.
        kind: ``training-job``, ``endpoint`` and the like.
        since: when it was first looked for (Unix).
        attempts: how often it was looked for.
        found: whether something has been found.
    """

    id: int
    arn: str
    region: str
    kind: str
    since: float
    attempts: int
    found: bool

    @property
    def is_job(self) -> bool:
        """Whether it is a job, of which SageMaker makes a trial component."""
        return self.kind.endswith("-job")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A thing that SageMaker made itself, and the URI under which it may be one of ours."""

    arn: str
    way: Way
    uri: str


@dataclass(frozen=True, slots=True)
class Wish:
    """An association to make between one of ours and one of SageMaker's own."""

    source: str
    destination: str
    type: AssociationType
    attempts: int


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """The store of a cache, for the length of a block.

    Raises:
        HomeError, KeeperUnavailableError: as ``open_embedded``.
    """
    connection = schema.connect(path)
    try:
        with schema.translated(path):
            yield Store(connection)
    finally:
        connection.close()


class Store:
    """Awaited things, found things, and associations between the two. Each method is a transaction of its own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._made = _is_made(connection)

    def notice(self, now: float) -> None:
        """Begin to wait for what SageMaker makes of things of ours that stand by now."""
        known = " AND e.id NOT IN (SELECT id FROM awaited)" if self._made else ""
        found = self._connection.execute(f"SELECT e.id, e.source_uri {_OURS}{known}").fetchall()
        watched = [number for number, uri in found if _WATCHED.fullmatch(uri)]
        if not watched:
            return
        if not self._made:
            self._connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
            self._made = True
        with self._writing() as connection:
            rows = [(number, now) for number in watched]
            connection.executemany("INSERT OR IGNORE INTO awaited (id, since) VALUES (?, ?)", rows)

    def due(self, now: float, limit: int) -> list[Awaited]:
        """What is to be looked for now."""
        if not self._made:
            return []
        rows = self._connection.execute(
            """SELECT a.id, e.source_uri, a.since, a.attempts, a.found FROM awaited a JOIN entity e ON e.id = a.id
            WHERE NOT a.settled AND a.parked IS NULL AND a.after <= ? ORDER BY a.after, a.id LIMIT ?""",
            (now, limit),
        )
        found = []
        for number, arn, since, attempts, any_found in rows:
            match = _WATCHED.fullmatch(arn)
            if match is not None:
                found.append(Awaited(number, arn, match["region"], match["kind"], since, attempts, bool(any_found)))
        return found

    def unknown(self, arns: Iterable[str]) -> list[str]:
        """Those of these ARNs that are neither ours nor known to be SageMaker's own."""
        rows = self._connection.execute(
            """SELECT value FROM json_each(?) WHERE value NOT IN (SELECT arn FROM there)
            AND value NOT IN (SELECT arn FROM foreign_thing) ORDER BY value""",
            (orjson.dumps(sorted(set(arns))).decode(),),
        )
        return [arn for (arn,) in rows]

    def uris(self, arns: Iterable[str]) -> dict[str, str]:
        """The URIs of those of these that are known to be SageMaker's own."""
        rows = self._connection.execute(
            "SELECT arn, uri FROM foreign_thing WHERE arn IN (SELECT value FROM json_each(?))",
            (orjson.dumps(sorted(set(arns))).decode(),),
        )
        return dict(rows.fetchall())

    def found(self, things: Iterable[Foreign]) -> None:
        """SageMaker has made these; what is ours itself is left out."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO foreign_thing SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM there WHERE arn = ?1)",
                [(thing.arn, thing.way, thing.uri) for thing in things],
            )

    def looked(self, item: Awaited, *, found: bool, settled: bool, after: float = 0, parked: str | None = None) -> None:
        """A look is over: whether anything has been found so far, whether no more is to come, and when to look again."""
        with self._writing() as connection:
            connection.execute(
                """UPDATE awaited SET attempts = attempts + 1, found = found OR ?, settled = ?, after = ?, parked = ?
                WHERE id = ?""",
                (found, settled, after, parked, item.id),
            )

    def wishes(self, now: float, limit: int) -> list[Wish]:
        """Associations to make now.

        Of the versions of an object those that some run of ours wrote are what a job read, and those that one read may be what a
        job wrote.
        """
        if not self._made:
            return []
        rows = self._connection.execute(
            """WITH pair AS (
                SELECT t.arn AS ours, f.arn AS theirs, f.way AS way FROM foreign_thing f
                CROSS JOIN entity e ON e.source_uri = f.uri AND +e.lineage = 'Artifact' CROSS JOIN there t ON t.id = e.id
                WHERE t.arn <> f.arn AND (e.sources = '[]' OR f.way IN ('component', 'same')
                OR (f.way = 'in' AND EXISTS (SELECT 1 FROM association a WHERE a.destination = e.id AND a.type = 'Produced'))
                OR (f.way = 'out' AND EXISTS (SELECT 1 FROM association a JOIN entity r ON r.id = a.destination
                    WHERE a.source = e.id AND a.type = 'ContributedTo' AND r.lineage = 'Action')))
            ), wish AS (
                SELECT iif(way = 'out', theirs, ours) AS source, iif(way = 'out', ours, theirs) AS destination,
                iif(way = 'component', 'ContributedTo', 'SameAs') AS type FROM pair
            )
            SELECT w.source, w.destination, w.type, coalesce(x.attempts, 0) FROM wish w
            LEFT JOIN foreign_edge x ON x.source = w.source AND x.destination = w.destination
            WHERE x.source IS NULL OR (NOT x.stands AND x.parked IS NULL AND x.after <= ?)
            ORDER BY 1, 2 LIMIT ?""",
            (now, limit),
        )
        return [Wish(*row) for row in rows]

    def made(self, wish: Wish) -> None:
        """An association stands."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO foreign_edge (source, destination, stands) VALUES (?, ?, 1)",
                (wish.source, wish.destination),
            )

    def failed(self, wish: Wish, *, after: float = 0, parked: str | None = None) -> None:
        """An association could not be made: when to try again, or why not."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO foreign_edge (source, destination, attempts, after, parked) VALUES (?, ?, ?, ?, ?)",
                (wish.source, wish.destination, wish.attempts + 1, after, parked),
            )

    def waiting(self) -> int:
        """How many things are awaited of which nothing has been found yet."""
        if not self._made:
            return 0
        query = "SELECT count(*) FROM awaited WHERE NOT found AND NOT settled AND parked IS NULL"
        (number,) = self._connection.execute(query).fetchone()
        return int(number)

    def retry(self, now: float) -> None:
        """All that waits or was given up is looked for with the next delivery."""
        if not self._made:
            return
        with self._writing() as connection:
            connection.execute(
                """UPDATE awaited SET after = 0, attempts = 0, parked = NULL, since = iif(parked IS NULL, since, ?)
                WHERE NOT settled""",
                (now,),
            )
            connection.execute("UPDATE foreign_edge SET after = 0, attempts = 0, parked = NULL WHERE NOT stands")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def parked_joins(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """What is awaited no more, or could not be associated: what names it, what it is, and why."""
    if not _is_made(connection):
        return []
    things = connection.execute(
        """SELECT 'join/' || a.id, 'what SageMaker makes of ' || e.source_uri, a.parked FROM awaited a JOIN entity e ON e.id = a.id
        WHERE a.parked IS NOT NULL ORDER BY a.id"""
    ).fetchall()
    edges = connection.execute(
        "SELECT source, destination, parked FROM foreign_edge WHERE parked IS NOT NULL ORDER BY 1, 2"
    ).fetchall()
    return [*things, *((_edge_id(*ends), " and ".join(ends), why) for *ends, why in edges)]


def give_up_join(connection: sqlite3.Connection, name: str) -> bool:
    """Somebody gives up what ``parked_joins`` names: whether it was still there."""
    number = name.removeprefix("join/")
    if number.isdecimal():
        query = "UPDATE awaited SET settled = 1, parked = NULL WHERE id = ? AND parked IS NOT NULL"
        return connection.execute(query, (int(number),)).rowcount > 0
    for ends in connection.execute("SELECT source, destination FROM foreign_edge WHERE parked IS NOT NULL").fetchall():
        if _edge_id(*ends) == name:
            query = "UPDATE foreign_edge SET stands = 2, parked = NULL WHERE source = ? AND destination = ?"
            return connection.execute(query, ends).rowcount > 0
    return False


def _edge_id(source: str, destination: str) -> str:
    return f"join/x{sha256(f'{source} {destination}'.encode()).hexdigest()[:12]}"  # with a letter: no row's number


def _is_made(connection: sqlite3.Connection) -> bool:
    made = "SELECT count(*) FROM sqlite_schema WHERE name = 'foreign_edge'"
    return bool(connection.execute(made).fetchone() != (0,))
