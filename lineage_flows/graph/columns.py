"""Columns in the graph: how an artifact keeps from which columns its own were made, and where a column comes from.

Knows OpenLineage's facet as it comes in, the keeper's protocol and the model; must not know how it was found out. SageMaker's
artifacts have no columns, so it is kept in two properties, as much as fits: the whole stands in the run record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from lineage_flows.errors import UnknownReferenceError
from lineage_flows.graph.identity import dataset_uri, fit_json, fit_uri
from lineage_flows.graph.incoming import Dataset, Facet
from lineage_flows.graph.keeper import PROPERTY, Keeper
from lineage_flows.graph.model import ARTIFACT_PROPERTY_LENGTH, Artifact

__all__ = ["ColumnLink", "ColumnTrace", "column_properties", "columns_of", "trace_column"]

EDGES, SOURCES = "columnLineage", "columnSources"
ALL = ""
"""Stands for all columns: what filters, joins and groupings have to do with."""

_SOURCE_URI = "lineageFlows_sourceUri"
_CUT = "…"
_MOST_LINKS = 1000


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnLink(_Frozen):
    """A column and one that it was made from.

    Attributes:
        arn: of the artifact that has the column.
        column: the column; empty for all of the artifact.
        how: ``identity``, ``transformation``, ``aggregation``; or ``filter``, ``join`` …, by which rows were chosen.
        source_uri: of the data that it was made from.
        source_column: the column there.
        source_arn: that data in the graph; None when it is not there, or is not told from other data of that URI.
        depth: how many links it is away from the column that was asked about, from 1 on.
    """

    arn: str
    column: str
    how: str
    source_uri: str
    source_column: str
    source_arn: str | None = None
    depth: int = 1


class ColumnTrace(_Frozen):
    """Where a column comes from, as far as it is certain.

    Attributes:
        start: ARN of the artifact asked about.
        column: the column asked about.
        entities: every artifact met, the start first.
        links: nearest first.
        complete: False when an artifact on the way kept less than was known, or the trace was cut.
    """

    start: str
    column: str
    entities: tuple[Artifact, ...]
    links: tuple[ColumnLink, ...]
    complete: bool = True


def column_properties(dataset: Dataset) -> dict[str, str | None]:
    """What an output's facet ``columnLineage`` says, as properties. Odd fields of other producers are passed over."""
    facet = dataset.facet("columnLineage")
    if facet is None:
        return {}
    places: dict[str, int] = {}
    edges: dict[str, list[list[object]]] = {}
    for output, used in _fields(facet):
        namespace, name, column = used.text("namespace"), used.text("name"), used.text("field")
        if namespace is None or name is None or column is None:
            continue
        uri = fit_uri(used.text(_SOURCE_URI) or dataset_uri(namespace, name))
        place = places.setdefault(uri, len(places))
        ways = [way.text("subtype") or way.text("type") or "" for way in used.objects("transformations")]
        edges.setdefault(output, []).extend([way.lower(), place, column] for way in dict.fromkeys(ways or ["direct"]))
    if not edges:
        return {}
    return {
        f"{PROPERTY}{EDGES}": fit_json(edges, ARTIFACT_PROPERTY_LENGTH),
        f"{PROPERTY}{SOURCES}": fit_json(list(places), ARTIFACT_PROPERTY_LENGTH),
    }


def columns_of(keeper: Keeper, arn: str) -> tuple[ColumnLink, ...]:
    """What every column of an artifact was made from, as far as it is kept.

    Raises:
        UnknownReferenceError: no such artifact.
    """
    with keeper.snapshot():
        return tuple(_links(keeper, _artifact(keeper, arn), None, 1))


def trace_column(keeper: Keeper, arn: str, column: str) -> ColumnTrace:
    """Where a column of an artifact comes from, from artifact to artifact.

    Args:
        keeper: the graph.
        arn: of the artifact.
        column: its name; in a container the component's path and the column (``/train/close``).

    Raises:
        UnknownReferenceError: no such artifact.
    """
    with keeper.snapshot():
        start = _artifact(keeper, arn)
        entities, found = {arn: start}, list[ColumnLink]()
        seen, level, depth, complete = {(arn, column)}, [(start, column)], 0, True
        while level and complete:
            depth += 1
            below: list[tuple[Artifact, str]] = []
            for artifact, wanted in level:
                complete = complete and _is_whole(artifact)
                for link in _links(keeper, artifact, wanted, depth):
                    found.append(link)
                    if link.source_arn is None or (link.source_arn, link.source_column) in seen:
                        continue
                    seen.add((link.source_arn, link.source_column))
                    source = entities.setdefault(link.source_arn, _artifact(keeper, link.source_arn))
                    below.append((source, link.source_column))
            level = below
            complete = complete and len(found) <= _MOST_LINKS
    return ColumnTrace(
        start=arn, column=column, entities=tuple(entities.values()), links=tuple(found), complete=complete
    )


def _fields(facet: Facet) -> Iterator[tuple[str, Facet]]:
    """Every output column, or all of them, with a column it was made from."""
    fields = facet.object("fields")
    for output in facet.mapping("fields"):
        used = fields.object(output) if fields is not None and output != ALL else None
        if used is not None:
            yield from ((output, one) for one in used.objects("inputFields"))
    yield from ((ALL, one) for one in facet.objects("dataset"))


def _links(keeper: Keeper, artifact: Artifact, wanted: str | None, depth: int) -> Iterator[ColumnLink]:
    """Of one column, with what is said of all of them; of every column when none is named."""
    edges, uris = _kept(artifact, EDGES), _kept(artifact, SOURCES)
    if not isinstance(edges, dict) or not isinstance(uris, list):
        return
    known: dict[str, str | None] = {}
    for column, listed in edges.items():
        if column == _CUT or not isinstance(listed, list) or (wanted not in {None, column} and column != ALL):
            continue
        for how, place, source_column in listed:
            uri = uris[place] if place < len(uris) and isinstance(uris[place], str) else ""
            if uri not in known:
                known[uri] = _source(keeper, artifact.arn, uri) if uri else None
            yield ColumnLink(
                arn=artifact.arn,
                column=column,
                how=how,
                source_uri=uri,
                source_column=source_column,
                source_arn=known[uri],
                depth=depth,
            )


def _source(keeper: Keeper, arn: str, uri: str) -> str | None:
    """The one artifact of a URI that went into what made an artifact."""
    makers = [edge.source_arn for edge in keeper.associations(destinations=[arn], types=("Produced",))]
    taken = keeper.associations(destinations=makers, types=("ContributedTo",)) if makers else []
    entities = keeper.get(sorted({edge.source_arn for edge in taken}))
    found = [entity.arn for entity in entities.values() if entity.source_uri == uri]
    return found[0] if len(found) == 1 else None


def _kept(artifact: Artifact, key: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return orjson.loads(artifact.properties.get(key, "null"))
    except orjson.JSONDecodeError:
        return None


def _is_whole(artifact: Artifact) -> bool:
    edges = _kept(artifact, EDGES)
    return not isinstance(edges, dict) or _CUT not in edges


def _artifact(keeper: Keeper, arn: str) -> Artifact:
    found = keeper.get([arn]).get(arn)
    if not isinstance(found, Artifact):
        raise UnknownReferenceError(arn)
    return found
