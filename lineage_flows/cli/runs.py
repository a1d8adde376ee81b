"""The verb ``runs``: what has been captured."""

from __future__ import annotations

from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.opened import chosen_settings, opened, undelivered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.text import Text

    from lineage_flows.api import RunSummary

__all__ = ["runs"]

_LIMIT = 50
_SHORTEST = 8


def runs(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")] = _LIMIT,
    flow: Annotated[str | None, typer.Option(help="Only runs of this flow.", show_default=False)] = None,
    kind: Annotated[
        Literal["run", "replay"] | None, typer.Option(help="Only runs, or only replays.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> Answer:
    """List the runs that were captured, newest first."""
    with opened(context) as graph:
        found = graph.runs(limit=limit, flow=flow, kind=kind)
    return Answer(found, lambda: _shown(found, limit, undelivered(chosen_settings(context))), as_json)


def _shown(found: list[RunSummary], limit: int, waiting: int) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import grid, note, state
    from lineage_flows.ui.text import count, duration, duration_text, moment

    if waiting:
        yield note(f"{count(waiting, 'event')} not in the graph yet: bring them there with `lineage-flows deliver`.")
    if not found and waiting:
        return
    if not found:
        yield note("No run has been captured yet. Turn capture on with `lineage-flows init`, then run a flow.")
        return
    ids = _distinct([run.run_id for run in found])
    yield grid(
        ("run", "flow", "name", "state", "started (UTC)", "took", "replay"),
        [
            (
                ids[run.run_id],
                run.flow,
                run.name,
                state(run.state),
                moment(run.started),
                duration_text(duration(run.started, run.ended)),
                _replay(run),
            )
            for run in found
        ],
        whole=("run", "started (UTC)"),
        right=("took",),
    )
    if len(found) == limit:
        yield note(f"These are the newest {limit}; more with --limit.")


def _replay(run: RunSummary) -> Text | str:
    from lineage_flows.cli.tables import cell, verdict
    from lineage_flows.ui.text import short

    if run.kind != "replay":
        return ""
    said = cell(f"of {short(run.replay_of)}")
    return said if run.verdict is None else said.append(": ").append_text(verdict(run.verdict))


def _distinct(ids: list[str]) -> dict[str, str]:
    """The shortest starts of ids, at least eight characters, that tell each from all others; ids made in one minute start alike."""
    lengths = dict.fromkeys(ids, _SHORTEST)
    ordered = sorted(lengths)
    for first, second in pairwise(ordered):
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))) + 1
        lengths[first] = max(lengths[first], common)
        lengths[second] = max(lengths[second], common)
    return {run_id: run_id[:length].rstrip("-") for run_id, length in lengths.items()}
