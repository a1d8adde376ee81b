"""The verb ``replay``: executes a run again and says whether everything came out the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lineage_flows.cli.answer import Answer, AsJson, progress_bar
from lineage_flows.cli.compared import given_tolerances, values_shown
from lineage_flows.cli.diff import steps_table
from lineage_flows.cli.opened import chosen_settings
from lineage_flows.errors import LineageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import JsonValue
    from rich.console import RenderableType

    from lineage_flows.replay import ReplayReport

__all__ = ["Code", "replay"]

Code = Annotated[
    Path | None,
    typer.Option(
        help="Run the code of this folder in place of the captured code.",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]
"""What the verbs that replay share."""


def replay(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="Run id or its start, or run name.", show_default=False)],
    *,
    code: Code = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the folder it runs in, to look into it.")] = False,
    clock: Annotated[
        Literal["now", "captured", "frozen"],
        typer.Option(
            help="The time that the code sees: the present, the original's, or the original's standing still at each step's start."
        ),
    ] = "now",
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Give up after so many seconds.", show_default=False)
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            help="How far numbers may lie apart and still count as equal, as metrics:rel=1e-9 or "
            "task=fit_*,name=coef_:abs=1e-12,ulps=4; may be given more than once.",
            metavar="WHAT:FIGURES",
            show_default=False,
        ),
    ] = None,
    env: Annotated[
        Literal["current", "rebuild", "auto"],
        typer.Option(
            help="Run on what is installed here, on the run's environment rebuilt, or on whichever is the run's."
        ),
    ] = "auto",
    from_step: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Execute only this step (task, task#2, run name or id) and what depends on it.",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Execute only this step; may be given more than once.", show_default=False)
    ] = None,
    changed: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="What if: call the flow with this parameter in place of what it had; JSON, or text. May be given more than once.",
            metavar="NAME=VALUE",
            show_default=False,
        ),
    ] = None,
    allow_live: Annotated[
        bool,
        typer.Option(
            "--allow-live", help="What if: let steps read what was not captured for other inputs as it is now."
        ),
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be done and what to expect; run nothing.")
    ] = False,
    as_json: AsJson = False,
) -> Answer:
    """Execute a run again from what lineage recorded alone, and compare every step.

    Exit code 0 when it is identical or equal within tolerance, 1 when it is different, 2 when it could not be done or compared;
    with --plan 0 when it can be done, and 2 when it cannot.
    """
    from lineage_flows.replay import plan_replay, replay_run
    from lineage_flows.replay.asked import Asked

    settings = chosen_settings(context)
    tolerances = given_tolerances(tolerance or ())
    asked = Asked(from_step, tuple(only or ()), _parameters(changed or ()), allow_live)
    if plan:
        from lineage_flows.cli.replay_plan import shown_plan

        found = plan_replay(run, settings=settings, code_path=code, environment=env, asked=asked)
        return Answer(found, lambda: shown_plan(found), as_json, found.exit_code)
    with progress_bar("restoring") as on_progress:
        report = replay_run(
            run,
            settings=settings,
            code_path=code,
            keep=keep,
            clock=clock,
            timeout=timeout,
            on_progress=on_progress,
            tolerances=tolerances,
            environment=env,
            asked=asked,
        )
    return Answer(report, lambda: _shown(report), as_json, report.exit_code)


def _parameters(given: Sequence[str]) -> dict[str, JsonValue]:
    """Values by name: JSON where it is some, else text.

    Raises:
        LineageError: one has no name.
    """
    found: dict[str, JsonValue] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise LineageError(f"--set {text!r} names no parameter", fix="write --set NAME=VALUE")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def _shown(report: ReplayReport) -> Iterator[RenderableType]:
    from rich.text import Text

    from lineage_flows.cli.tables import cell, facts, grid, heading, note, verdict

    replayed = report.replay_run_id or ""
    yield facts([("run", f"{report.flow} / {report.run_name} ({report.run_id})"), ("replay", replayed)])
    yield Text()
    yield steps_table(report.steps)
    yield from values_shown(report.steps, report.values, report.tolerances)
    if report.environment:
        yield heading("environment")
        rows = [(change.name, str(change.old or "-"), str(change.new or "-")) for change in report.environment]
        yield grid(("name", "then", "now"), rows)
    yield from (note(text) for text in report.notes)
    if report.workspace:
        yield note(f"The folder it ran in is kept: {report.workspace}")
    yield Text.assemble("\nresult of the flow: ", verdict(report.result))
    yield cell(report.summary, {0: "bold green", 1: "bold red"}.get(report.exit_code, "bold yellow"))
