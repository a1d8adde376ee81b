"""The verb ``export``: the graph as files for Amazon Neptune, and their load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.opened import opened
from lineage_flows.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.graph.keeper import Direction
    from lineage_flows.graph.neptune.export import Exported
    from lineage_flows.graph.neptune.load import Loaded

__all__ = ["export"]

_PATIENCE = 3600.0


def export(  # noqa: PLR0917 - a verb's options
    context: typer.Context,
    target: Annotated[
        str, typer.Option("--to", help="Folder or s3://bucket/prefix, where nothing is yet.", metavar="PLACE")
    ],
    style: Annotated[Literal["gremlin", "opencypher"], typer.Option("--format", help="Neptune's load format.")],
    reference: Annotated[
        str | None, typer.Argument(help="Export only this, and what is up or down of it.", show_default=False)
    ] = None,
    up: Annotated[bool, typer.Option("--up", help="What it was made from.")] = False,
    down: Annotated[bool, typer.Option("--down", help="What was made from it.")] = False,
    load: Annotated[
        str | None,
        typer.Option("--load", help="Load it into the cluster at this endpoint.", metavar="URL", show_default=False),
    ] = None,
    iam_role: Annotated[
        str | None,
        typer.Option(help="Role by which Neptune reads the bucket.", metavar="ARN", show_default=False),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Region of cluster and bucket.", metavar="NAME", show_default=False)
    ] = None,
    patience: Annotated[float, typer.Option(min=0.0, help="Seconds to wait for the load.")] = _PATIENCE,
    as_json: AsJson = False,
) -> Answer:
    """Write the graph as files that Amazon Neptune's bulk loader takes, and load them if told so."""
    direction = _direction(reference, up, down)
    if load is None and (iam_role or region):
        raise SettingsError("--load", load, "an endpoint, where a role or a region is given")
    if load is not None:
        # What is wrong with these is said before anything is written.
        from lineage_flows.graph.neptune.load import check_load

        check_load(target, endpoint=load, iam_role=iam_role or "", region=region)
    with opened(context) as graph:
        exported = graph.export(target, style, reference, direction)
        loaded = None
        if load is not None:
            loaded = graph.load_into_neptune(
                exported, endpoint=load, iam_role=iam_role or "", region=region, patience=patience
            )
    document = {"exported": exported, "loaded": loaded}
    return Answer(document, lambda: _shown(exported, loaded), as_json)


def _direction(reference: str | None, up: bool, down: bool) -> Direction | None:
    if reference is None:
        if up or down:
            raise SettingsError("--up or --down", True, "nothing without a REFERENCE: everything is exported")
        return None
    if up == down:
        raise SettingsError("--up or --down", up, "one of the two, with a REFERENCE")
    return "up" if up else "down"


def _shown(exported: Exported, loaded: Loaded | None) -> Iterator[RenderableType]:
    yield (
        f"{exported.entities} entities and {exported.associations} associations, with {exported.places} places "
        f"and {exported.steps} steps of walks, are in"
    )
    yield exported.target
    if loaded is not None:
        yield (
            f"Neptune loaded {loaded.records} records in {loaded.seconds} s ({loaded.duplicates} were there already): "
            f"load {loaded.load_id}"
        )
