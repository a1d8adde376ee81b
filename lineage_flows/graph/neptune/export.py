"""The export of a graph, or of what is upstream or downstream of a thing, as a folder that Neptune's bulk loader takes.

Knows keepers by their protocol and the folder that is written; must not know where the folder goes. Nothing larger than a
neighbourhood is held in memory: a graph is read, made unique and sorted by way of a database on disk (``scratch``). The same
graph gives the same bytes.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, get_args, runtime_checkable

from pydantic import BaseModel, ConfigDict

from lineage_flows.errors import GraphError
from lineage_flows.graph.keeper import Direction, Keeper
from lineage_flows.graph.model import Association, Entity
from lineage_flows.graph.neptune import tables
from lineage_flows.graph.neptune.publish import published
from lineage_flows.graph.neptune.scratch import Scratch
from lineage_flows.graph.neptune.tables import Format, Kind, line
from lineage_flows.graph.neptune.walks import explore

__all__ = ["DOWNSTREAM", "PLACE", "STANDS_FOR", "UPSTREAM", "Counts", "Exported", "export", "write_folder"]

PLACE = "Place"
"""Label of the vertices that are no entities but places of walks."""

UPSTREAM, DOWNSTREAM = "Upstream", "Downstream"
"""Labels of the edges that a walk upstream or downstream follows, in the direction it goes."""

STANDS_FOR = "StandsFor"
"""Label of the edge from a place to an entity that a walk has met when it has come there."""

_WALK: dict[Direction, str] = {"up": UPSTREAM, "down": DOWNSTREAM}
_KINDS: tuple[Kind, ...] = get_args(Kind)
_FILES: dict[Kind, str] = {"Artifact": "artifacts.csv", "Action": "actions.csv", "Context": "contexts.csv"}
_PAGE = 500


class Counts(BaseModel):
    """How much an export holds. ``places`` and ``steps`` are vertices and edges of walks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entities: int
    associations: int
    places: int
    steps: int


class Exported(Counts):
    """An export.

    Attributes:
        target: the folder or URL, as Neptune's loader is to be told it.
        format: the load format.
        start: ARN of what it was made for; None for the whole graph.
        direction: ``up``, ``down``; None for the whole graph.
    """

    target: str
    format: Format
    start: str | None = None
    direction: Direction | None = None


def export(
    keeper: Keeper,
    target: str | os.PathLike[str],
    style: Format,
    start: str | None = None,
    direction: Direction | None = None,
) -> Exported:
    """Export a graph, whole or not at all.

    Args:
        keeper: the graph.
        target: a folder, or a URL that fsspec knows (``s3://bucket/prefix``), where nothing is yet.
        style: the load format.
        start: see ``write_folder``.
        direction: see ``write_folder``.

    Raises:
        GraphError: the graph cannot be read, there is nothing in it, or the target cannot be written or has something in it.
    """

    def write(folder: Path) -> Counts:
        counts = write_folder(keeper, folder, style, start, direction)
        if not counts.entities:
            raise GraphError("there is nothing to export", why="the graph is empty", fix="see `lineage-flows doctor`")
        return counts

    where, counts = published(target, write)
    return Exported(target=where, format=style, start=start, direction=direction, **counts.model_dump())


@runtime_checkable
class _Paged(Protocol):
    """A keeper that can be read from one end to the other without holding it all."""

    def entities_after(self, arn: str, limit: int) -> list[Entity]: ...


def write_folder(
    keeper: Keeper,
    folder: Path,
    style: Format,
    start: str | None = None,
    direction: Direction | None = None,
) -> Counts:
    """Write the files of an export into a folder.

    Args:
        keeper: the graph.
        folder: an empty folder, of which nobody takes anything before this returns.
        style: the load format.
        start: ARN of a known entity: only it and what is upstream or downstream of it. None: the whole graph.
        direction: of the walk from ``start``; None without one.

    Raises:
        GraphError: the graph cannot be read.
        OSError: the folder cannot be written.
    """
    # Beside the folder and not in it: whatever lies in it is loaded.
    beside = tempfile.TemporaryDirectory(prefix=".lineage-flows-", dir=folder.parent)
    with _room(folder.parent), beside as aside, closing(Scratch(Path(aside))) as scratch, keeper.snapshot():
        keys: dict[str, set[str]] = {kind: set() for kind in _KINDS}
        if start is None or direction is None:
            for entities in _all_entities(keeper):
                scratch.add_entities(entities)
                _note_keys(entities, keys)
            for way in get_args(Direction):
                explore(keeper, scratch, way, None)
        else:
            explore(keeper, scratch, direction, start)
            for arns in _paged(scratch.met()):
                found = list(keeper.get(arns).values())
                scratch.add_entities(found)
                _note_keys(found, keys)
        return _Writer(keeper, scratch, folder, style).write(keys)


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """Say what is meant when the database beside an export cannot grow; the graph's own errors are told already."""
    try:
        yield
    except sqlite3.Error as error:
        raise GraphError(
            "the export cannot be sorted on disk",
            why=str(error),
            fix=f"make room under {folder}, and for temporary files",
        ) from error


class _Writer:
    """Writes what has been found, file by file; a file without records is not written."""

    def __init__(self, keeper: Keeper, scratch: Scratch, folder: Path, style: Format) -> None:
        self._keeper = keeper
        self._scratch = scratch
        self._folder = folder
        self._style = style

    def write(self, keys: dict[str, set[str]]) -> Counts:
        entities = sum(self._entities(kind, keys[kind]) for kind in _KINDS)
        table, row = tables.association_table(self._style)
        associations = self._file(
            "associations.csv",
            table,
            (row(edge) for arns in self._scratch.entities() for edge in self._known_ends(arns)),
        )
        places = self._file(
            "places.csv",
            tables.place_table(self._style),
            (line((place, PLACE), rest) for place, *rest in self._scratch.places()),
        )
        steps = sum(
            self._edges(f"{label.lower()}.csv", label, self._scratch.edges(way)) for way, label in _WALK.items()
        )
        steps += self._edges("stands-for.csv", STANDS_FOR, self._scratch.standing())
        return Counts(entities=entities, associations=associations, places=places, steps=steps)

    def _entities(self, kind: Kind, keys: Iterable[str]) -> int:
        table, row = tables.entity_table(kind, keys, self._style)
        rows = (row(entity) for arns in self._scratch.entities(kind) for entity in self._keeper.get(arns).values())
        return self._file(_FILES[kind], table, rows)

    def _known_ends(self, arns: list[str]) -> Iterator[Association]:
        edges = self._keeper.associations(sources=arns)
        known = self._scratch.known({edge.destination_arn for edge in edges})
        return (edge for edge in edges if edge.destination_arn in known)

    def _edges(self, name: str, label: str, ends: Iterable[tuple[str, str]]) -> int:
        # Of two places there is at most one edge of a label, so the ends make the id.
        rows = (
            line((tables.edge_id(source, destination, label), source, destination, label))
            for source, destination in ends
        )
        return self._file(name, tables.edge_table(self._style), rows)

    def _file(self, name: str, table: tables.Table, rows: Iterable[str]) -> int:
        count = 0
        path = self._folder / name
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(table.header)
            for row in rows:
                file.write(row)
                count += 1
        if not count:
            path.unlink()
        return count


def _all_entities(keeper: Keeper) -> Iterator[list[Entity]]:
    """Every entity, some at a time; of a keeper that cannot be paged through, each kind at once."""
    if not isinstance(keeper, _Paged):
        yield list(keeper.list_artifacts())
        yield list(keeper.list_actions())
        yield list(keeper.list_contexts())
        return
    last = ""
    while found := keeper.entities_after(last, _PAGE):
        yield found
        last = found[-1].arn


def _note_keys(entities: Iterable[Entity], keys: dict[str, set[str]]) -> None:
    for entity in entities:
        keys[entity.lineage_type].update(filter(tables.is_column, entity.properties))


def _paged(arns: Iterable[str]) -> Iterator[list[str]]:
    page: list[str] = []
    for arn in arns:
        page.append(arn)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page
