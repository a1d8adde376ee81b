"""The embedded keeper: a graph in one SQLite file, for many threads and processes at once.

Knows the model, the keeper's protocol and SQLite; must not know what an event is.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson

from lineage_flows.errors import GraphError, HomeError
from lineage_flows.graph import rows, schema
from lineage_flows.graph.identity import action_arn, context_arn
from lineage_flows.graph.keeper import Claim, Direction, Link
from lineage_flows.graph.model import Action, Artifact, Association, AssociationType, Context, Entity, LineageType
from lineage_flows.graph.writer import write

__all__ = ["EmbeddedKeeper", "open_embedded"]

_abandoned: list[sqlite3.Connection] = []
"""Connections inherited over a fork: neither used nor closed, since closing one would tidy up the parent's log."""

_T = TypeVar("_T")

_NEWEST = "ORDER BY created DESC, arn"
_ALL = -1


def open_embedded(path: str | os.PathLike[str], *, read_only: bool = False) -> EmbeddedKeeper:
    """Open the graph in a file; it is made when it is missing.

    Args:
        path: the SQLite file.
        read_only: never write, nor make anything. A missing graph then reads as empty, until there is one.

    Raises:
        HomeError: the folder cannot be written, or is full.
        KeeperUnavailableError: the file is not a graph, cannot be read, is damaged, or of a newer release.
    """
    keeper = EmbeddedKeeper(Path(path), read_only=read_only)
    keeper.check()
    return keeper


class EmbeddedKeeper:
    """A ``Keeper`` over an SQLite file. Safe for threads, processes and forks."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.url = path.absolute().as_uri()
        self._read_only = read_only
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._pid = os.getpid()
        self._depth = 0

    def check(self) -> None:
        """Open the graph now, so that what is wrong with it shows at once.

        Raises:
            HomeError: as ``open_embedded``.
            KeeperUnavailableError: as ``open_embedded``.
        """
        with self._lock:
            self._connected()

    def upsert(self, claims: Iterable[Claim], links: Iterable[Link] = ()) -> None:
        """See ``Keeper``."""
        claims, links = list(claims), list(links)
        if self._read_only:
            raise HomeError(f"the lineage graph {self.path} was opened for reading only", fix="open it for writing")
        with self._lock:
            if self._depth:
                raise GraphError("a graph cannot be written inside a snapshot of it", fix="end the snapshot first")
            connection = self._connected()
            with schema.translated(self.path):
                connection.execute("BEGIN IMMEDIATE")
                try:
                    write(connection, claims, links)
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:  # SQLite itself has rolled back when the disk is full
                        connection.execute("ROLLBACK")
                    raise

    def get(self, arns: Iterable[str]) -> dict[str, Entity]:
        """See ``Keeper``."""
        wanted = list(arns)
        found = self._entities("WHERE arn IN (SELECT value FROM json_each(?))", [_texts(wanted)])
        by_arn = {entity.arn: entity for entity in found}
        return {arn: by_arn[arn] for arn in wanted if arn in by_arn}

    def entities_after(self, arn: str, limit: int) -> list[Entity]:
        """Entities in the order of their ARNs, from the first that comes after ``arn``: to read a whole graph in pages."""
        return self._entities("WHERE arn > ? ORDER BY arn LIMIT ?", [arn, limit])

    def list_artifacts(
        self, *, source_uri: str | None = None, artifact_types: Sequence[str] = (), limit: int | None = None
    ) -> list[Artifact]:
        """See ``Keeper``."""
        where = _Where("arn IS NOT NULL", _lineage("Artifact", by_index=source_uri is None))
        where.equal("source_uri", source_uri)
        where.among("type", artifact_types)
        return [entity for entity in self._listed(where, limit) if isinstance(entity, Artifact)]

    def list_actions(
        self,
        *,
        run_id: str | None = None,
        action_types: Sequence[str] = (),
        flow: str | None = None,
        run_name: str | None = None,
        commit: str | None = None,
        name: str | None = None,
        roots_only: bool = False,
        limit: int | None = None,
    ) -> list[Action]:
        """See ``Keeper``."""
        some_other = any(value is not None for value in (run_id, run_name, commit, name))
        where = _Where("arn IS NOT NULL", _lineage("Action", by_index=not some_other))
        where.starts("handle", None if run_id is None else f"run:{run_id}")
        where.among("type", action_types)
        where.equal("flow", flow)
        where.equal("run_name", run_name)
        where.starts("commit_id", commit)
        where.equal("arn", None if name is None else action_arn(name))
        if roots_only:
            where.add("parent IS NULL")
        return [entity for entity in self._listed(where, limit) if isinstance(entity, Action)]

    def list_contexts(self, *, name: str | None = None, limit: int | None = None) -> list[Context]:
        """See ``Keeper``."""
        where = _Where("arn IS NOT NULL", _lineage("Context", by_index=name is None))
        where.equal("arn", None if name is None else context_arn(name))
        return [entity for entity in self._listed(where, limit) if isinstance(entity, Context)]

    def associations(
        self,
        *,
        sources: Iterable[str] | None = None,
        destinations: Iterable[str] | None = None,
        types: Sequence[AssociationType] = (),
    ) -> list[Association]:
        """See ``Keeper``."""
        where = _Where("s.arn IS NOT NULL AND d.arn IS NOT NULL")
        for column, arns in (("a.source", sources), ("a.destination", destinations)):
            if arns is not None:
                where.add(
                    f"{column} IN (SELECT id FROM entity WHERE arn IN (SELECT value FROM json_each(?)))",  # noqa: S608 - a constant
                    _texts(arns),
                )
        where.among("a.type", types)
        return self._read(
            f"{rows.SELECT_ASSOCIATION} WHERE {where.text} {rows.ASSOCIATION_ORDER}", where.values, rows.association
        )

    def closure(self, arns: Iterable[str], direction: Direction, types: Sequence[AssociationType]) -> list[Association]:
        """See ``Keeper``."""
        near, far = ("destination", "source") if direction == "up" else ("source", "destination")
        kinds = _texts(types)
        # UNION, not UNION ALL: what was seen is not seen again, so that cycles end. CROSS JOIN fixes the order of the loops.
        query = f"""
            WITH RECURSIVE seen (id) AS (
                SELECT id FROM entity WHERE arn IN (SELECT value FROM json_each(?))
                UNION
                SELECT e.{far} FROM seen CROSS JOIN association e ON e.{near} = seen.id
                WHERE e.type IN (SELECT value FROM json_each(?))
            )
            SELECT s.arn, d.arn, a.type, a.uses, a.created
            FROM seen CROSS JOIN association a ON a.{near} = seen.id
            JOIN entity s ON s.id = a.source JOIN entity d ON d.id = a.destination
            WHERE a.type IN (SELECT value FROM json_each(?)) AND s.arn IS NOT NULL AND d.arn IS NOT NULL
            {rows.ASSOCIATION_ORDER}"""  # noqa: S608 - only constants are put in
        return self._read(query, [_texts(arns), kinds, kinds], rows.association)

    def search(self, text: str, *, limit: int | None = None) -> list[Entity]:
        """See ``Keeper``."""
        where = _Where("arn IS NOT NULL")
        for word in text.casefold().split():
            where.add("instr(words, ?)", word)
        return self._listed(where, limit)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See ``Keeper``."""
        with self._lock:
            connection = self._connected()
            if not self._depth:
                with schema.translated(self.path):
                    connection.execute("BEGIN")
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth and connection.in_transaction:
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """See ``Keeper``."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    def _listed(self, where: _Where, limit: int | None) -> list[Entity]:
        return self._entities(
            f"WHERE {where.text} {_NEWEST} LIMIT ?", [*where.values, _ALL if limit is None else limit]
        )

    def _entities(self, rest: str, values: Sequence[object]) -> list[Entity]:
        return self._read(f"{rows.SELECT_ENTITY} {rest}", values, rows.entity)

    def _read(self, query: str, values: Sequence[object], make: Callable[[Any], _T]) -> list[_T]:
        with self._lock:
            connection = self._connected()
            with schema.translated(self.path):
                found = connection.execute(query, values).fetchall()
        try:
            return [make(row) for row in found]
        except (ValueError, KeyError, TypeError) as error:  # SQLite does not notice every damaged byte
            raise schema.damaged(self.path, f"a row cannot be read: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        """The connection of this process to the file that has the graph's name now."""
        if self._pid != os.getpid():
            if self._connection is not None:
                _abandoned.append(self._connection)
            self._connection, self._pid, self._depth = None, os.getpid(), 0
        if self._depth and self._connection is not None:
            return self._connection
        file = self._identity()
        if self._connection is None or file != self._file:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._connection = self._open()
            self._file = self._identity()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        if not self._read_only:
            return schema.connect(self.path)
        return schema.connect_reading(self.path) or schema.connect_empty()

    def _identity(self) -> tuple[int, int] | None:
        """Tells the file from one that was put in its place; a graph that was moved away must not be written to."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


class _Where:
    """Conditions joined by AND, with their values."""

    def __init__(self, *conditions: str) -> None:
        self._conditions = list(conditions)
        self.values: list[object] = []

    @property
    def text(self) -> str:
        return " AND ".join(self._conditions)

    def add(self, condition: str, *values: object) -> None:
        self._conditions.append(condition)
        self.values.extend(values)

    def equal(self, column: str, value: str | None) -> None:
        if value is not None:
            self.add(f"{column} = ?", value)

    def among(self, column: str, values: Sequence[str]) -> None:
        if values:
            self.add(f"{column} IN (SELECT value FROM json_each(?))", _texts(values))  # noqa: S608 - columns are ours

    def starts(self, column: str, prefix: str | None) -> None:
        """A range, which an index serves; LIKE would take ``%`` and ``_`` in the prefix for patterns."""
        if prefix is not None:
            self.add(f"{column} >= ? AND {column} < ?", prefix, prefix + "\U0010ffff")


def _lineage(kind: LineageType, *, by_index: bool) -> str:
    """The condition on the kind of entity. A plus keeps SQLite from its index where a better one serves another condition."""
    return f"{'' if by_index else '+'}lineage = '{kind}'"


def _texts(values: Iterable[str]) -> str:
    return orjson.dumps(list(values)).decode()
