"""The verb ``search``: what is called so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.opened import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.api import Entity

__all__ = ["search"]

_LIMIT = 50


def search(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="Words, all of which are looked for.", show_default=False)],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")] = _LIMIT,
    as_json: AsJson = False,
) -> Answer:
    """Find runs, steps, data and code by words in their name, URI, type or properties."""
    with opened(context) as graph:
        found = graph.search(text, limit=limit)
    return Answer([described(entity) for entity in found], lambda: _shown(found, text, limit), as_json)


def described(entity: Entity) -> dict[str, object]:
    """An entity as JSON: its own fields, and the type and label that all kinds have."""
    kind = {"lineage_type": entity.lineage_type, "type": entity.type, "label": entity.label}
    return kind | entity.model_dump()


def _shown(found: list[Entity], text: str, limit: int) -> Iterator[RenderableType]:
    from lineage_flows.cli.entities import entity_line
    from lineage_flows.cli.tables import cell, note
    from lineage_flows.ui.text import moment, plain

    if not found:
        yield note(f"Nothing holds {text!r}.")
        return
    for entity in found:
        yield entity_line(entity).append_text(cell(f"  since {moment(entity.created_at)} UTC", "dim"))
        yield f"  {plain(_handle(entity))}"
    if len(found) == limit:
        yield note(f"These are the newest {limit}; more with --limit.")


def _handle(entity: Entity) -> str:
    """What to give to another verb to mean this entity."""
    from lineage_flows.graph.model import Action

    return entity.source_id or entity.arn if isinstance(entity, Action) else entity.source_uri
