"""What an export has found so far, on disk: which entities, which places of walks, and the steps between these.

Knows SQLite; must not know the rules of walks. A graph may be larger than memory: here it is kept, made unique and sorted by a
database file that nobody else sees and that goes when the export ends.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from lineage_flows.graph.keeper import Direction
from lineage_flows.graph.model import Entity

__all__ = ["START", "Scratch", "Stop"]

START = "start"
"""The way of the place at which the walk from a thing begins, where that is not simply the thing itself."""

_PRAGMAS = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;"
"""The cache is 64 MB: with SQLite's own of 2 MB an export waits for the disk half of its time."""

_TABLES = """
CREATE TABLE entity (arn TEXT PRIMARY KEY, kind TEXT NOT NULL, created TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX entity_kind ON entity (kind, arn);
CREATE INDEX entity_created ON entity (created, arn);
CREATE TABLE stop (
    id INTEGER PRIMARY KEY,
    direction TEXT NOT NULL,
    arn TEXT NOT NULL,
    way TEXT NOT NULL,
    detail TEXT NOT NULL,
    key BLOB NOT NULL UNIQUE    -- hash of all of these: an index of the texts themselves would be larger than the table
);
CREATE INDEX stop_start ON stop (direction, arn) WHERE way = 'start';
CREATE TABLE step (source INTEGER NOT NULL, destination INTEGER NOT NULL, PRIMARY KEY (source, destination)) WITHOUT ROWID;
CREATE TABLE stands (stop INTEGER NOT NULL, arn TEXT NOT NULL, PRIMARY KEY (stop, arn)) WITHOUT ROWID;
"""
_PAGE = 500
_REMEMBERED = 20_000
"""So many numbers of places are known without asking; one place leads to the next."""


class Stop(NamedTuple):
    """A place of a walk, as ``places.Place``, with ways of the export's own (``walks``)."""

    arn: str
    way: str = ""
    detail: str = ""


class Scratch:
    """The database. Use it from one thread; ``close`` it before its folder goes."""

    def __init__(self, folder: Path) -> None:
        self._numbers: dict[bytes, int] = {}
        # As it is thrown away at the end, nothing of it has to outlive a crash.
        self._connection = sqlite3.connect(folder / "scratch.db", isolation_level=None)
        self._connection.executescript(f"{_PRAGMAS} {_TABLES} BEGIN;")

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    # Entities

    def add_entities(self, entities: Iterable[Entity]) -> None:
        """Entities of the export."""
        rows = ((entity.arn, entity.lineage_type, entity.created_at) for entity in entities)
        self._connection.executemany("INSERT OR IGNORE INTO entity VALUES (?, ?, ?)", rows)

    def entities_as_made(self) -> Iterator[list[tuple[str, str]]]:
        """ARN and kind, in the order in which things were made, so that what belongs together comes together; some at a time."""
        last = ("", "")
        while True:
            query = "SELECT created, arn, kind FROM entity WHERE (created, arn) > (?, ?) ORDER BY created, arn LIMIT ?"
            found = self._connection.execute(query, (*last, _PAGE)).fetchall()
            if not found:
                return
            last = found[-1][:2]
            yield [(arn, kind) for _, arn, kind in found]

    def entities(self, kind: str | None = None) -> Iterator[list[str]]:
        """ARNs in their order, some at a time; of one kind, if that is given."""
        last = ""
        condition = "kind = ? AND arn > ?" if kind else "? IS NULL AND arn > ?"
        query = f"SELECT arn FROM entity WHERE {condition} ORDER BY arn LIMIT ?"  # noqa: S608 - only constants are put in
        while True:
            found = [arn for (arn,) in self._connection.execute(query, (kind, last, _PAGE)).fetchall()]
            if not found:
                return
            last = found[-1]
            yield found

    def known(self, arns: Iterable[str]) -> set[str]:
        """Which of these are entities of the export."""
        return {
            arn for arn in arns if self._connection.execute("SELECT 1 FROM entity WHERE arn = ?", (arn,)).fetchone()
        }

    # Places

    def add_stop(self, direction: Direction, stop: Stop) -> int:
        """The number of a place, which it is given when it is new."""
        key = hashlib.blake2b("\0".join((direction, *stop)).encode(), digest_size=16).digest()
        number = self._numbers.get(key)
        if number is None:
            new = "INSERT OR IGNORE INTO stop (direction, arn, way, detail, key) VALUES (?, ?, ?, ?, ?)"
            self._connection.execute(new, (direction, *stop, key))
            (number,) = self._connection.execute("SELECT id FROM stop WHERE key = ?", (key,)).fetchone()
            if len(self._numbers) >= _REMEMBERED:
                self._numbers.clear()
            self._numbers[key] = number
        return number

    def add_steps(self, direction: Direction, source: int, stops: Iterable[Stop]) -> None:
        """Where a walk goes on from a place."""
        pairs = [(source, self.add_stop(direction, stop)) for stop in stops]
        self._connection.executemany("INSERT OR IGNORE INTO step VALUES (?, ?)", pairs)

    def add_standing(self, stop: int, arns: Iterable[str]) -> None:
        """Which entities a walk has met when it has come to a place."""
        self._connection.executemany("INSERT OR IGNORE INTO stands VALUES (?, ?)", [(stop, arn) for arn in arns])

    def stops_after(self, direction: Direction, last: int, limit: int) -> list[tuple[int, Stop]]:
        """Places with greater numbers than ``last``, at most so many, in the order of their numbers."""
        query = "SELECT id, arn, way, detail FROM stop WHERE direction = ? AND id > ? ORDER BY id LIMIT ?"
        rows = self._connection.execute(query, (direction, last, limit)).fetchall()
        return [(number, Stop(*stop)) for number, *stop in rows]

    # What is written

    def met(self) -> Iterator[str]:
        """ARNs of everything that walks meet."""
        query = "SELECT arn FROM stands UNION SELECT arn FROM stop WHERE way = '' ORDER BY 1"
        for (arn,) in self._connection.execute(query):
            yield arn

    def places(self) -> Iterator[tuple[str, str, str, str]]:
        """The places that are vertices of their own: id, direction, ARN and way."""
        query = f"SELECT direction, arn, way, detail FROM stop WHERE NOT ({_plain('stop')}) ORDER BY 1, 2, 3, 4"  # noqa: S608
        for direction, arn, way, detail in self._connection.execute(query):
            yield place_id(direction, Stop(arn, way, detail)), direction, arn, way

    def edges(self, direction: Direction) -> Iterator[tuple[str, str]]:
        """Ids of the vertices at the ends of each step of the walks of a direction.

        From an entity whose walk begins elsewhere, a step leads there.
        """
        query = "SELECT arn FROM stop WHERE direction = ? AND way = ? ORDER BY arn"
        for (arn,) in self._connection.execute(query, (direction, START)):
            yield arn, place_id(direction, Stop(arn, START))
        query = f"""SELECT a.arn, a.way, a.detail, {_plain("a")}, b.arn, b.way, b.detail, {_plain("b")}
            FROM step JOIN stop a ON a.id = step.source JOIN stop b ON b.id = step.destination
            WHERE a.direction = ? ORDER BY a.arn, a.way, a.detail, b.arn, b.way, b.detail"""  # noqa: S608 - only constants
        for row in self._connection.execute(query, (direction,)):
            source, destination = Stop(*row[:3]), Stop(*row[4:7])
            yield (
                source.arn if row[3] else place_id(direction, source),
                destination.arn if row[7] else place_id(direction, destination),
            )

    def standing(self) -> Iterator[tuple[str, str]]:
        """Ids of the places that are vertices of their own, each with the ARN of an entity that it stands for."""
        query = f"""SELECT direction, stop.arn, way, detail, stop.arn FROM stop WHERE way = '' AND NOT ({_plain("stop")})
            UNION SELECT direction, stop.arn, way, detail, stands.arn FROM stands JOIN stop ON stop.id = stands.stop
            ORDER BY 1, 2, 3, 4, 5"""  # noqa: S608 - only constants are put in
        for direction, arn, way, detail, stands in self._connection.execute(query):
            yield place_id(direction, Stop(arn, way, detail)), stands


def _plain(stop: str) -> str:
    """The condition that a place is an entity and nothing else, and so its vertex: walks from it begin nowhere else."""
    begins = f"other.direction = {stop}.direction AND other.arn = {stop}.arn AND other.way = '{START}'"
    return f"{stop}.way = '' AND NOT EXISTS (SELECT 1 FROM stop other WHERE {begins})"  # noqa: S608 - only constants


def place_id(direction: str, stop: Stop) -> str:
    """The id of a place's vertex. No ARN begins so."""
    digest = hashlib.sha256("\0".join((direction, *stop)).encode()).hexdigest()
    return f"place:{direction}:{digest[:40]}"
