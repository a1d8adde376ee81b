"""The verb ``report``: the report of a replay, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.opened import opened
from lineage_flows.errors import LineageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

__all__ = ["report"]


def report(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(help="A replay, or a run that was replayed: its newest replay.", show_default=False)
    ],
    file: Annotated[Path, typer.Argument(help="Where to write the page.", dir_okay=False, metavar="FILE.html")] = Path(
        "report.html"
    ),
    as_json: AsJson = False,
) -> Answer:
    """Write the report of a replay as one HTML page, as it was kept when the replay ended; its hash is on the graph."""
    with opened(context) as graph:
        summary, page = graph.report(run)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise LineageError(
            f"{file} cannot be written", why=error.strerror or str(error), fix="give another file"
        ) from None
    document = {
        "file": str(file.absolute()),
        "report": summary.report_digest,
        "replay": summary.run_id,
        "run": summary.replay_of,
        "verdict": summary.verdict,
    }
    return Answer(document, lambda: _shown(document), as_json)


def _shown(document: dict[str, str | None]) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import facts

    yield facts([(name, value or "") for name, value in document.items()])
