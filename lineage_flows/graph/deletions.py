"""What was deleted from the embedded graph by hand, so that events that are delivered again do not make it again.

Knows the tables and the law of ``keeper.merge``; must not know who deletes. A graph is a function of the set of events, and
delivery is at least once: without a memory, whatever a person deleted would be back with the next repetition. The rule is that of
the SageMaker keeper on AWS: what was said of a thing by then stays deleted; something that had not been said (a new fact, or an
association that had not been there) makes it again, as it was. An association that was deleted is not made again by events: each
belongs to one run, so that what names it is a repetition.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from lineage_flows.graph.keeper import GIVEN, Claim, Link, merge

__all__ = ["COLUMNS", "bury", "forget", "key_of", "part", "parted", "undeleted"]

COLUMNS: Final = (
    "arn", "handle", "lineage", "type", "name", "source_uri", "sources", "created", "modified", "flow", "run_name", "parent",
    "commit_id", "layers", "words",
)  # fmt: skip
"""Of an entity's row, without its number."""

_LAYERS: Final = COLUMNS.index("layers")
_HANDLE: Final = COLUMNS.index("handle")

_TABLE: Final = """CREATE TABLE IF NOT EXISTS deletion (
    key TEXT PRIMARY KEY,   -- of an entity what events know it by (ARN, or a run's handle); of an association both, a space between
    row TEXT                -- of an entity: its columns when it was deleted, as JSON
) WITHOUT ROWID"""
"""Made with the first deletion: most graphs have none, and their layout stays what it was."""


def bury(connection: sqlite3.Connection, arn: str) -> None:
    """Remember an entity that is about to be deleted, with all its associations that are left; not one of which no event spoke."""
    connection.execute(_TABLE)
    row = connection.execute(f"SELECT id, {', '.join(COLUMNS)} FROM entity WHERE arn = ?", [arn]).fetchone()  # noqa: S608 - constants
    if row is None:
        return
    number, columns = row[0], row[1:]
    ends = connection.execute("SELECT source, destination FROM association WHERE ? IN (source, destination)", [number])
    _part(connection, ends.fetchall())
    if all(stamp.startswith(GIVEN) for stamp, _ in orjson.loads(columns[_LAYERS])):
        return
    key = key_of(columns[2], columns[0], columns[1])
    connection.execute("INSERT OR REPLACE INTO deletion VALUES (?, ?)", [key, orjson.dumps(columns).decode()])


def part(connection: sqlite3.Connection, source: str, destination: str) -> None:
    """Remember that the associations from one entity to another, by their ARNs, are about to be deleted."""
    connection.execute(_TABLE)
    query = """SELECT a.source, a.destination FROM association a JOIN entity s ON s.id = a.source
        JOIN entity d ON d.id = a.destination WHERE s.arn = ? AND d.arn = ?"""
    _part(connection, connection.execute(query, [source, destination]).fetchall())


def forget(connection: sqlite3.Connection, key: str) -> None:
    """Forget that an entity was deleted, by what events know it by: somebody has made another of its name."""
    if _any(connection):
        connection.execute("DELETE FROM deletion WHERE key = ?", [key])


def key_of(lineage: str, arn: str | None, handle: str | None) -> str:
    """What events know an entity by: an action by its run, others by their ARNs."""
    return handle if lineage == "Action" and handle else arn or ""


def parted(connection: sqlite3.Connection, pairs: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of these pairs of artifacts, by their rows, between which somebody has deleted the association."""
    if not pairs or not _any(connection):
        return set()
    query = """SELECT s.id, d.id FROM json_each(?) j JOIN entity s ON s.id = j.value ->> 0 JOIN entity d ON d.id = j.value ->> 1
        JOIN deletion x ON x.key = s.arn || ' ' || d.arn"""
    return set(connection.execute(query, [orjson.dumps(pairs).decode()]).fetchall())


def undeleted(
    connection: sqlite3.Connection, claims: Sequence[Claim], links: Sequence[Link]
) -> tuple[Sequence[Claim], Sequence[Link]]:
    """What of a batch does not only repeat what was deleted. What it says anew of a deleted thing brings that thing back first."""
    if not _any(connection):
        return claims, links
    said = {key_of(claim.lineage, claim.arn, claim.handle) for claim in claims}
    pairs = {f"{link.source} {link.destination}" for link in links}
    ends = {end for link in links for end in (link.source, link.destination)}
    query = "SELECT key, row FROM deletion WHERE key IN (SELECT value FROM json_each(?))"
    found = dict(connection.execute(query, [orjson.dumps(sorted(said | pairs | ends)).decode()]).fetchall())
    if not found:
        return claims, links
    links = [link for link in links if f"{link.source} {link.destination}" not in found]
    rows = {key: orjson.loads(row) for key, row in found.items() if row is not None}
    back = {end for link in links for end in (link.source, link.destination)} & rows.keys()
    back |= {
        key
        for claim in claims
        if (key := key_of(claim.lineage, claim.arn, claim.handle)) in rows and _says_more(claim, rows[key])
    }
    _restore(connection, {key: rows[key] for key in back})
    gone = rows.keys() - back
    return [claim for claim in claims if key_of(claim.lineage, claim.arn, claim.handle) not in gone], links


def _says_more(claim: Claim, row: Sequence[str]) -> bool:
    layers = [(stamp, facts) for stamp, facts in orjson.loads(row[_LAYERS])]
    return merge(layers, claim.stamp, claim.facts) != layers


def _restore(connection: sqlite3.Connection, rows: dict[str, Sequence[str | None]]) -> None:
    for key, row in rows.items():
        # Links of later runs may have waited for the run that was deleted: they get their end back.
        awaited = connection.execute(
            "SELECT id FROM entity WHERE handle = ? AND arn IS NULL", [row[_HANDLE]]
        ).fetchone()
        if awaited is None:  # IGNORE: who does not know of deletions may have made it meanwhile
            marks = ", ".join("?" * len(COLUMNS))
            connection.execute(f"INSERT OR IGNORE INTO entity ({', '.join(COLUMNS)}) VALUES ({marks})", row)  # noqa: S608 - constants
        else:
            sets = ", ".join(f"{column} = ?" for column in COLUMNS)
            connection.execute(f"UPDATE entity SET {sets} WHERE id = ?", [*row, awaited[0]])  # noqa: S608 - constants
        connection.execute("DELETE FROM deletion WHERE key = ?", [key])


def _part(connection: sqlite3.Connection, ends: Iterable[tuple[int, int]]) -> None:
    for source, destination in ends:
        ids = [source, destination]
        known = {
            number: (lineage, arn, handle)
            for number, lineage, arn, handle in connection.execute(
                "SELECT id, lineage, arn, handle FROM entity WHERE id IN (?, ?)", ids
            )
        }
        keys = [" ".join(key_of(*known[number]) for number in ids)]
        handles = [handle for number in ids if known[number][0] == "Artifact" and (handle := known[number][2])]
        if len(handles) == len(ids):  # two values; that they are the same is said by their handles
            keys.append(" ".join(handles))
            connection.execute("DELETE FROM twin WHERE replayed = ? AND original = ?", handles)
        connection.executemany("INSERT OR REPLACE INTO deletion VALUES (?, NULL)", [(key,) for key in keys])


def _any(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'deletion'").fetchone() is not None
