"""Joins what a job of SageMaker names by a URI alone with the objects in S3 that steps wrote there, or read from there.

Knows the embedded graph's tables. A job says which folder it reads, and no version of what lies in it: its data is an
artifact without source types. What a step writes is an object in a version. That the object lies in the folder, or is the same
under the same URI, is true whenever it was written, so that these associations are a function of the set of events; which of
several versions a job saw is a question of time, and for who walks the graph (``origins``).

- an object that was written, to what a run that started a job read: ``SameAs`` under one URI, ``ContributedTo`` inside a folder;
- what a job writes, to an object that was read: likewise. The folder of a *training* job's output is shared by many jobs, and each
  writes below its own name (D): there it is the job that contributed to the object.

A folder ends at a slash. SageMaker takes ``s3://b/train`` for any key that begins so (D): of ``s3://b/train-old/x`` nothing is
said here.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from lineage_flows.graph.deletions import parted
from lineage_flows.graph.keeper import Claim

__all__ = ["is_joined", "join_objects", "may_be_joined"]

_S3: Final = "s3://"
_JOB: Final = re.compile(
    r"arn:[^:]+:sagemaker:[^:]*:[^:]*:(?P<kind>training|processing|transform)-job/(?P<name>.+)", re.DOTALL
)
_JOBS: Final = "j.source_uri GLOB 'arn:*:sagemaker:*-job/*'"


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    uri: str
    created: str


@dataclass(frozen=True, slots=True)
class _Named(_Row):
    """What a job names by its URI.

    Attributes:
        is_read: whether a run read it that started a job.
        jobs: of each run that wrote it, by a job or looking at one: rows and ARNs.
    """

    is_read: bool
    jobs: tuple[tuple[tuple[int, str], ...], ...]


def may_be_joined(uri: str) -> bool:
    """Whether what has this URI may be one end of such a join; of nearly all there is, it may not."""
    return uri.startswith((_S3, "arn:"))


def is_joined(source: str, destination: str) -> bool:
    """Whether an association between artifacts of these URIs is such a join, and not one that somebody made over an API."""
    if source == destination:
        return may_be_joined(source)
    if _JOB.fullmatch(source) and destination.startswith(_S3):
        return True
    return source.startswith(_S3) and (_lies_in(source, destination) or _lies_in(destination, source))


def join_objects(connection: sqlite3.Connection, claims: Sequence[Claim]) -> None:
    """Make the associations that follow from a batch which has been written, inside its transaction.

    Args:
        connection: of the graph.
        claims: the batch's.
    """
    arns = [claim.arn for claim in claims if claim.lineage == "Artifact" and may_be_joined(claim.source_uri)]
    if not arns or not _has_jobs(connection):
        return
    found = connection.execute(
        "SELECT id, source_uri, created, sources = '[]' FROM entity WHERE arn IN (SELECT value FROM json_each(?))",
        [_json(sorted(set(arns)))],
    ).fetchall()
    things = [(_Row(number, uri, created), plain) for number, uri, created, plain in found if uri.startswith(_S3)]
    jobs = [number for number, uri, _, _ in found if _JOB.fullmatch(uri)]
    named = {row.id: row for row, plain in things if plain} | {row.id: row for row in _data_of(connection, jobs)}
    for row in _qualified(connection, named.values()):
        _store(connection, _edges(row, _versions_in(connection, row.uri)))
    for version in [row for row, plain in things if not plain]:
        around = _named_around(connection, version.uri)
        flags = _flags(connection, [version])
        for row in _qualified(connection, around) if around else ():
            _store(connection, _edges(row, flags))


def _edges(named: _Named, versions: Iterable[tuple[_Row, bool, bool]]) -> Iterator[tuple[int, int, str, str]]:
    """Associations between what a job names and versions of objects, each with whether it was written and read."""
    for version, is_written, is_read in versions:
        created = max(named.created, version.created)
        same = version.uri == named.uri
        if not same and not _lies_in(version.uri, named.uri):
            continue
        kind = "SameAs" if same else "ContributedTo"
        if named.is_read and is_written:
            yield version.id, named.id, kind, created
        if not is_read:
            continue
        for jobs in named.jobs:
            trained = {number: found["name"] for number, arn in jobs if (found := _training(arn))}
            # Which of its jobs wrote the folder no run says: where one of them trains, it may be where it does.
            if same or not trained:
                yield named.id, version.id, kind, created
                continue
            for number, name in trained.items():
                if _lies_in(version.uri.casefold(), f"{named.uri.rstrip('/')}/{name}".casefold()):
                    yield (
                        number,
                        version.id,
                        "ContributedTo",
                        version.created,
                    )  # an ARN has the name in small letters (I)


def _training(arn: str) -> re.Match[str] | None:
    """The parts of a training job's ARN; None of another's."""
    found = _JOB.fullmatch(arn)
    return found if found is not None and found["kind"] == "training" else None


def _lies_in(uri: str, folder: str) -> bool:
    """Whether an object lies in a folder, to any depth. A bucket is one too."""
    inside = folder if folder.endswith("/") else f"{folder}/"
    return len(uri) > len(inside) > len(_S3) + 1 and uri.startswith(inside)


def _folders(uri: str) -> list[str]:
    """The URI itself, and every folder it lies in, each with and without the slash at its end."""
    found = [uri]
    for match in re.finditer("/", uri):
        if match.start() > len(_S3):
            found += [uri[: match.start()], uri[: match.end()]]
    return found


def _has_jobs(connection: sqlite3.Connection) -> bool:
    """Whether any job is known; of most graphs none is, and nothing else is looked for then."""
    query = f"SELECT 1 FROM entity j WHERE j.source_uri >= 'arn:' AND j.source_uri < 'arn;' AND {_JOBS} LIMIT 1"  # noqa: S608 - a constant
    return connection.execute(query).fetchone() is not None


def _data_of(connection: sqlite3.Connection, jobs: Sequence[int]) -> list[_Row]:
    """What is named without a version by the runs that have to do with these jobs."""
    if not jobs:
        return []
    rows = connection.execute(
        """WITH run(id) AS (
            SELECT source FROM association WHERE destination IN (SELECT value FROM json_each(?1)) AND type = 'Produced'
            UNION SELECT destination FROM association WHERE source IN (SELECT value FROM json_each(?1)) AND type = 'ContributedTo')
        SELECT e.id, e.source_uri, e.created FROM (
            SELECT a.source AS id FROM run JOIN association a ON a.destination = run.id AND a.type = 'ContributedTo'
            UNION SELECT a.destination FROM run JOIN association a ON a.source = run.id AND a.type = 'Produced') d
        JOIN entity e ON e.id = d.id WHERE e.sources = '[]' AND e.source_uri >= 's3://' AND e.source_uri < 's30'""",
        [_json(jobs)],
    )
    return [_Row(*row) for row in rows]


def _named_around(connection: sqlite3.Connection, uri: str) -> list[_Row]:
    rows = connection.execute(
        """SELECT id, source_uri, created FROM entity
        WHERE source_uri IN (SELECT value FROM json_each(?)) AND sources = '[]' AND +lineage = 'Artifact'""",
        [_json(_folders(uri))],
    )
    return [_Row(*row) for row in rows]


def _qualified(connection: sqlite3.Connection, rows: Iterable[_Row]) -> Iterator[_Named]:
    """Those of these that a job names, with what it does to them."""
    for row in rows:
        read = connection.execute(
            f"""SELECT 1 FROM association a JOIN association p ON p.source = a.destination AND p.type = 'Produced'
            JOIN entity j ON j.id = p.destination WHERE a.source = ? AND a.type = 'ContributedTo' AND {_JOBS} LIMIT 1""",  # noqa: S608 - a constant
            [row.id],
        ).fetchone()
        jobs = connection.execute(
            f"""WITH run(id) AS (SELECT source FROM association WHERE destination = ?1 AND type = 'Produced')
            SELECT run.id, j.id, j.source_uri FROM run JOIN association p ON p.source = run.id AND p.type = 'Produced'
            JOIN entity j ON j.id = p.destination WHERE {_JOBS}
            UNION SELECT run.id, j.id, j.source_uri FROM run
            JOIN association c ON c.destination = run.id AND c.type = 'ContributedTo'
            JOIN entity j ON j.id = c.source WHERE {_JOBS} ORDER BY 1, 2""",  # noqa: S608 - constants
            [row.id],
        ).fetchall()
        if read or jobs:
            of_runs: dict[int, list[tuple[int, str]]] = {}
            for run, number, arn in jobs:
                of_runs.setdefault(run, []).append((number, arn))
            yield _Named(row.id, row.uri, row.created, read is not None, tuple(map(tuple, of_runs.values())))


def _versions_in(connection: sqlite3.Connection, uri: str) -> list[tuple[_Row, bool, bool]]:
    """The versions of the object of a URI, and of those in it as a folder."""
    folder = uri if uri.endswith("/") else f"{uri}/"
    rows = connection.execute(
        """SELECT id, source_uri, created FROM entity
        WHERE (source_uri = ?1 OR source_uri > ?2 AND source_uri < ?3) AND sources <> '[]' AND +lineage = 'Artifact'""",
        [uri, folder, f"{folder[:-1]}0"],  # what follows a slash in the order of characters
    )
    return _flags(connection, [_Row(*row) for row in rows])


def _flags(connection: sqlite3.Connection, rows: Sequence[_Row]) -> list[tuple[_Row, bool, bool]]:
    """Rows with whether any run has written and read them."""
    ids = _json([row.id for row in rows])
    written = connection.execute(
        "SELECT destination FROM association WHERE destination IN (SELECT value FROM json_each(?)) AND type = 'Produced'",
        [ids],
    )
    is_written = {number for (number,) in written}
    read = connection.execute(
        """SELECT a.source FROM association a JOIN entity e ON e.id = a.destination
        WHERE a.source IN (SELECT value FROM json_each(?)) AND a.type = 'ContributedTo' AND e.lineage = 'Action'""",
        [ids],
    )
    is_read = {number for (number,) in read}
    return [(row, row.id in is_written, row.id in is_read) for row in rows]


def _store(connection: sqlite3.Connection, edges: Iterable[tuple[int, int, str, str]]) -> None:
    found = list(dict.fromkeys(edges))
    deleted = parted(connection, [edge[:2] for edge in found])
    connection.executemany(
        """INSERT INTO association (source, destination, type, uses, created) VALUES (?, ?, ?, '[]', ?)
        ON CONFLICT DO UPDATE SET created = excluded.created WHERE excluded.created <> created""",
        [edge for edge in found if edge[:2] not in deleted],
    )


def _json(values: object) -> str:
    return orjson.dumps(values).decode()
