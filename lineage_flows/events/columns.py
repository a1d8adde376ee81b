"""Which column was made from which, as OpenLineage's facet ``columnLineage``.

Knows the records and how OpenLineage says it; must not know how it was found out, nor what datasets are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from lineage_flows.events.facets import Facet, Facets
from lineage_flows.record_base import ColumnBasis, ColumnEdge, ColumnHow, ColumnSource

__all__ = ["MEMORY", "SOURCE_URI", "Finder", "Found", "column_lineage"]

MEMORY: Final = "inmemory://"
"""Namespace of values that live in memory only, by OpenLineage's naming table."""


class Found(NamedTuple):
    """A column as an event calls it; ``uri`` is the artifact's: many task runs give out values of one name."""

    namespace: str
    name: str
    field: str
    uri: str | None = None


Finder = Callable[[ColumnSource], Found | None]
"""Gives what the event calls a source; None when it lists no such dataset."""

SOURCE_URI: Final = "lineageFlows_sourceUri"
"""This project's own field on OpenLineage's ``InputField``, which may have any: the artifact of the graph that is meant."""

_MOST_FIELDS = 1000

_DIRECT: Final = frozenset({"identity", "transformation", "aggregation"})

_BASES: Final[dict[ColumnBasis, str]] = {
    "memory": "unchanged: both columns lie in the same memory",
    "content": "unchanged: equal content, in a value made from the one that went in",
    "statement": "as the query says",
    "operation": "seen when it was done, with the column that went in, unchanged",
}


def column_lineage(facets: Facets, edges: Iterable[ColumnEdge], find: Finder) -> Facet | None:
    """The facet ``columnLineage`` of one output; None when nothing is known of any column.

    Args:
        facets: makes the facet.
        edges: what is known of the output's columns.
        find: what a source is called in the event; what is not listed there is left out.
    """
    fields: dict[str, list[Facet]] = {}
    whole: list[Facet] = []
    for edge in edges:
        found = [one for one in map(find, edge.inputs) if one is not None]
        listed = [_input_field(one, edge.how, edge.known_by) for one in found]
        if not listed:
            continue
        if not edge.output:
            whole += listed
        elif edge.output in fields or len(fields) < _MOST_FIELDS:
            fields.setdefault(edge.output, []).extend(listed)
    if not fields and not whole:
        return None
    return facets.make(
        "columnLineage",
        fields={output: {"inputFields": _joined(listed)} for output, listed in fields.items()},
        dataset=_joined(whole) or None,
    )


def _input_field(found: Found, how: ColumnHow, basis: ColumnBasis) -> Facet:
    transformation = {
        "type": "DIRECT" if how in _DIRECT else "INDIRECT",
        "subtype": how.upper(),
        "description": _BASES[basis],
        "masking": False,
    }
    field: Facet = {"namespace": found.namespace, "name": found.name, "field": found.field}
    if found.uri is not None:
        field[SOURCE_URI] = found.uri
    return field | {"transformations": [transformation]}


def _joined(listed: list[Facet]) -> list[Facet]:
    """One entry for each column that went in, with all it was used for, in the order they were said."""
    found: dict[tuple[object, ...], Facet] = {}
    for item in listed:
        known = found.setdefault((item["namespace"], item["name"], item["field"], item.get(SOURCE_URI)), item)
        said, more = known["transformations"], item["transformations"]
        if known is not item and isinstance(said, list) and isinstance(more, list):
            said += [one for one in more if one not in said]
    return list(found.values())
