"""The verb ``wheels``: keeps wheels of what is installed here in the store, for the day an index has lost them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import DONE, FAILED, Answer, AsJson
from lineage_flows.cli.opened import chosen_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.replay.wheels import WheelsReport

__all__ = ["wheels"]


def wheels(
    context: typer.Context,
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PACKAGE]...",
            help="Names with * and ?; by default those of the setting keep_wheels, else all that came from no index.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> Answer:
    """Keep wheels of packages that are installed here in the store, so that replays can install them without an index.

    They are made of the installed files. Exit code 2 when one cannot be made; the others are kept.
    """
    from lineage_flows.content import open_store
    from lineage_flows.replay.wheels import keep_wheels

    settings = chosen_settings(context)
    settings.check_home()
    report = keep_wheels(patterns or (), settings, open_store(settings.blobs_url))
    return Answer(report, lambda: _shown(report), as_json, FAILED if report.refused else DONE)


def _shown(report: WheelsReport) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import cell, grid, note
    from lineage_flows.ui.text import count, short, size_text

    if report.kept:
        rows = [
            (wheel.name, wheel.version, size_text(wheel.blob.size), short(wheel.blob.digest)) for wheel in report.kept
        ]
        yield grid(("package", "version", "size", "blob"), rows, right=("size",))
    yield note(f"{count(len(report.kept), 'wheel')} in the store, {report.added} of them new")
    for name, why in report.refused:
        yield cell(f"{name}: no wheel can be made of it: {why}", "red")
