"""The verb ``replay-all``: replays every run of a strategy within some days, and says which are not what they were."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lineage_flows.cli.answer import Answer, AsJson, progress_bar
from lineage_flows.cli.compared import given_tolerances
from lineage_flows.cli.opened import chosen_settings, opened
from lineage_flows.cli.replay import Code
from lineage_flows.errors import LineageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.api import RunSummary
    from lineage_flows.replay.many import ManyReplayed

__all__ = ["replay_all"]

_ENDED = frozenset({"Completed", "Failed", "Stopped"})


def replay_all(
    context: typer.Context,
    strategy: Annotated[
        str, typer.Argument(help="Name of a flow or a deployment, or a tag of runs.", show_default=False)
    ],
    *,
    since: Annotated[
        str | None,
        typer.Option(help="Only runs that began on this day (2026-07-01, in UTC) or later.", show_default=False),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Only runs that began on this day or earlier.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Only so many, the newest.", show_default=False)
    ] = None,
    code: Code = None,
    clock: Annotated[
        Literal["now", "captured", "frozen"], typer.Option(help="The time that the code sees, as for replay.")
    ] = "now",
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Give each up after so many seconds.", show_default=False)
    ] = None,
    tolerance: Annotated[
        list[str] | None, typer.Option(help="As for replay.", metavar="WHAT:FIGURES", show_default=False)
    ] = None,
    env: Annotated[
        Literal["current", "rebuild", "auto"], typer.Option(help="What they run on, as for replay.")
    ] = "auto",
    as_json: AsJson = False,
) -> Answer:
    """Replay all runs of a strategy, oldest first, and say which are not what they were.

    Exit code 0 when all are identical or equal within tolerance, 1 when one is different, else 2 when one could not be done.
    """
    from lineage_flows.replay.many import replay_many

    settings = chosen_settings(context)
    tolerances = given_tolerances(tolerance or ())
    first, last = _day(since, "--since"), _day(until, "--until")
    with opened(context) as graph:
        chosen = [run for run in graph.runs_of(strategy) if run.status in _ENDED and _within(run, first, last)]
    if limit is not None:
        chosen = chosen[:limit]
    if not chosen:
        raise LineageError(
            f"no run of {strategy!r} ended within these days", fix="list what there is with `lineage-flows runs`"
        )
    chosen.reverse()  # the newest come first out of the graph
    with progress_bar("restoring") as on_run:
        found = replay_many(
            chosen,
            on_run=on_run,
            settings=settings,
            code_path=code,
            clock=clock,
            timeout=timeout,
            tolerances=tolerances,
            environment=env,
        )
    return Answer(found, lambda: _shown(found), as_json, found.exit_code)


def _day(text: str | None, option: str) -> dt.date | None:
    try:
        return None if text is None else dt.date.fromisoformat(text)
    except ValueError:
        raise LineageError(f"{option} {text!r} is no day", fix="write it as 2026-07-01") from None


def _within(run: RunSummary, first: dt.date | None, last: dt.date | None) -> bool:
    if run.started is None:
        return first is None and last is None
    day = dt.datetime.fromisoformat(run.started).astimezone(dt.UTC).date()
    return (first is None or day >= first) and (last is None or day <= last)


def _shown(found: ManyReplayed) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import cell, grid, verdict
    from lineage_flows.ui.text import count, moment

    rows = [
        (
            run.run_id,
            run.name,
            moment(run.started),
            verdict(run.verdict) if run.verdict is not None else cell("not done", "bold yellow"),
            run.summary,
        )
        for run in found.runs
    ]
    yield grid(("run", "name", "started (UTC)", "verdict", "what was found"), rows, whole=("run", "started (UTC)"))
    verdicts = [run.verdict or "not done" for run in found.runs]
    said = ", ".join(f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts))
    style = {0: "bold green", 1: "bold red"}.get(found.exit_code, "bold yellow")
    yield cell(f"{count(len(verdicts), 'run')}: {said}", style)
