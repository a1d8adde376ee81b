"""The verbs ``upstream``, ``downstream`` and ``path``: where things come from and what came of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.opened import opened
from lineage_flows.cli.search import described
from lineage_flows.errors import UnknownReferenceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.api import ColumnTrace, LineagePath, TrainingJob, Walk

__all__ = ["downstream", "path", "upstream"]

_REFERENCE = "Run id or its start, run name, ARN, file or dataset URI, GROUP/VERSION, or commit:SHA."

Reference = Annotated[str, typer.Argument(help=_REFERENCE, show_default=False)]
Depth = Annotated[
    int | None, typer.Option("--depth", "-d", min=0, help="Follow at most so many edges.", show_default=False)
]


def upstream(
    context: typer.Context,
    reference: Reference,
    depth: Depth = None,
    column: Annotated[
        str | None, typer.Option("--column", help="Where this column comes from, instead.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> Answer:
    """Show everything that a thing was made from, as a tree; of a run, of all that it gave out."""
    if column is not None:
        with opened(context) as graph:
            trace = graph.column_origins(reference, column)
        return Answer(trace, lambda: _trace_shown(trace), as_json)
    with opened(context) as graph:
        job = graph.training_job(reference)
        try:
            walks = [graph.upstream(entity.arn, depth) for entity in graph.resolve(reference)]
        except UnknownReferenceError:
            if job is None:
                raise
            walks = []  # a model of which no flow has told
    return _walked(walks, as_json) if job is None else _with_job(walks, job, as_json)


def downstream(context: typer.Context, reference: Reference, depth: Depth = None, as_json: AsJson = False) -> Answer:
    """Show everything that was made from a thing, as a tree; of a run, from all that it gave out."""
    with opened(context) as graph:
        walks = [graph.downstream(entity.arn, depth) for entity in graph.resolve(reference)]
    return _walked(walks, as_json)


def path(
    context: typer.Context,
    a: Annotated[str, typer.Argument(help=_REFERENCE, show_default=False)],
    b: Annotated[str, typer.Argument(help="The other end.", show_default=False)],
    as_json: AsJson = False,
) -> Answer:
    """Show the shortest way that data took between two things."""
    with opened(context) as graph:
        found = graph.path(a, b)
    document = {"entities": [described(entity) for entity in found.entities], "edges": list(found.edges)}
    return Answer(document, lambda: _path_shown(found), as_json)


def _walked(walks: list[Walk], as_json: bool) -> Answer:
    """One walk; of a commit, one for each of its runs."""
    documents = [_document(walk) for walk in walks]
    return Answer(documents[0] if len(documents) == 1 else documents, lambda: _trees(walks), as_json)


def _with_job(walks: list[Walk], job: TrainingJob, as_json: bool) -> Answer:
    """The walk from a model in S3, if the graph has it, and the job that made it in SageMaker."""
    document = _document(walks[0]) if walks else {}

    def shown() -> Iterator[RenderableType]:
        from lineage_flows.cli.jobs import draw_job

        yield from _trees(walks)
        yield draw_job(job)

    return Answer({**document, "training_job": job}, shown, as_json)


def _document(walk: Walk) -> dict[str, object]:
    nodes = [{"depth": node.depth, **described(node.entity)} for node in walk.nodes]
    return {
        "direction": walk.direction,
        "start": walk.start,
        "complete": walk.complete,
        "nodes": nodes,
        "edges": list(walk.edges),
    }


def _trees(walks: list[Walk]) -> Iterator[RenderableType]:
    from lineage_flows.cli.tree import draw_walk

    for position, walk in enumerate(walks):
        if position:
            yield ""
        yield draw_walk(walk)


def _trace_shown(trace: ColumnTrace) -> Iterator[RenderableType]:
    from lineage_flows.cli.columns import draw_trace
    from lineage_flows.cli.tables import note

    yield draw_trace(trace)
    if not trace.links:
        yield note("Nothing is certain of what this column was made from.")
    elif not trace.complete:
        yield note("There is more than the graph keeps; see the run record.")


def _path_shown(found: LineagePath) -> Iterator[RenderableType]:
    from rich.text import Text

    from lineage_flows.cli.entities import entity_line
    from lineage_flows.cli.tables import note

    if not found.entities:
        yield note("No data went from one to the other.")
    for position, entity in enumerate(found.entities):
        yield Text.assemble(("  → " if position else "", "dim"), entity_line(entity))
