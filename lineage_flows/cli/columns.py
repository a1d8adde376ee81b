"""Columns on the terminal: where one comes from, and an artifact with what is certain of its columns.

Knows the API and rich; must not know how it was found out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineage_flows.errors import UnknownReferenceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.tree import Tree

    from lineage_flows.api import ColumnLink, ColumnTrace, Lineage
    from lineage_flows.graph.model import Artifact

__all__ = ["ShownArtifact", "draw_trace", "shown_artifact"]

_MOST_COLUMNS = 200
_MOST_PROPERTY = 200
_OWN_SECTION = frozenset({"columns", "columnLineage", "columnSources"})


@dataclass(frozen=True, slots=True)
class ShownArtifact:
    """A dataset or value: its facts, its columns, and what those were made from."""

    artifact: Artifact
    links: tuple[ColumnLink, ...]
    sources: dict[str, Artifact]

    @property
    def document(self) -> dict[str, object]:
        """It as JSON."""
        from lineage_flows.cli.search import described

        return {**described(self.artifact), "column_lineage": list(self.links)}

    def shown(self) -> Iterator[RenderableType]:
        """It as a person sees it."""
        from lineage_flows.cli.entities import entity_line
        from lineage_flows.cli.tables import facts, grid, heading, note
        from lineage_flows.ui.text import clip, count, moment

        yield entity_line(self.artifact)
        properties = self.artifact.properties.items()
        said = [(key, clip(text, _MOST_PROPERTY)) for key, text in properties if key not in _OWN_SECTION]
        since = ("since", f"{moment(self.artifact.created_at)} UTC")
        yield facts([("uri", self.artifact.source_uri), ("arn", self.artifact.arn), since, *said])
        rows = self.rows()
        if rows:
            yield heading(count(len(rows), "column"))
            yield grid(("column", "type", "made from"), rows[:_MOST_COLUMNS])
            if len(rows) > _MOST_COLUMNS:
                yield note(f"and {len(rows) - _MOST_COLUMNS} more; all with --json.")

    def rows(self) -> list[tuple[str, str, str]]:
        """Every column with its type and what it was certainly made from."""
        types = _types(self.artifact)
        made: dict[str, list[str]] = {}
        for link in self.links:
            made.setdefault(link.column, []).append(_source(link, self.sources))
        names = list(dict.fromkeys([*types, *made]))
        return [(name or "(all)", types.get(name, ""), ", ".join(made.get(name, []))) for name in names]


def shown_artifact(graph: Lineage, reference: str) -> ShownArtifact | None:
    """The one dataset or value that a reference means; None when it means a run, or nothing."""
    from lineage_flows.errors import AmbiguousReferenceError
    from lineage_flows.graph.model import Artifact

    try:
        found = graph.resolve(reference)
    except (UnknownReferenceError, AmbiguousReferenceError):
        return None  # the run's own look-up says so in its words
    if len(found) != 1 or not isinstance(found[0], Artifact):
        return None
    links = graph.columns(found[0].arn)
    sources = {}
    for arn in dict.fromkeys(link.source_arn for link in links):
        if arn is not None:
            (entity,) = graph.resolve(arn)
            if isinstance(entity, Artifact):
                sources[arn] = entity
    return ShownArtifact(found[0], links, sources)


def draw_trace(trace: ColumnTrace) -> Tree:
    """Where a column comes from, as a tree; what is met again is named and not repeated."""
    from rich.tree import Tree

    from lineage_flows.cli.tables import cell

    entities = {entity.arn: entity for entity in trace.entities}
    below: dict[tuple[str, str], list[ColumnLink]] = {}
    everywhere: dict[str, list[ColumnLink]] = {}
    for link in trace.links:
        if link.column:
            below.setdefault((link.arn, link.column), []).append(link)
        else:
            everywhere.setdefault(link.arn, []).append(link)
    root = Tree(cell(_place(trace.column, entities[trace.start]), "bold"), guide_style="dim")
    drawn: set[tuple[str, str]] = set()
    waiting = [(root, trace.start, trace.column)]
    while waiting:
        branch, arn, column = waiting.pop()
        if (arn, column) in drawn:
            continue
        drawn.add((arn, column))
        links = below.get((arn, column), []) + everywhere.get(arn, [])
        for link in dict.fromkeys(links):
            child = branch.add(cell(_source(link, entities)))
            if link.source_arn is not None:
                waiting.append((child, link.source_arn, link.source_column))
    return root


def _source(link: ColumnLink, entities: dict[str, Artifact]) -> str:
    entity = entities.get(link.source_arn or "")
    place = _place(link.source_column, entity) if entity else f"{link.source_column} of {link.source_uri}"
    return f"{place} ({link.how})"


def _place(column: str, artifact: Artifact) -> str:
    return f"{column} of {artifact.label}"


def _types(artifact: Artifact) -> dict[str, str]:
    import json

    try:
        found = json.loads(artifact.properties.get("columns", "{}"))
    except ValueError:
        return {}
    return {name: str(kind) for name, kind in found.items() if name != "…"} if isinstance(found, dict) else {}
