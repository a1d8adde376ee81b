"""The verb ``diff``: two runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.compared import given_tolerances, values_shown
from lineage_flows.cli.opened import opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import JsonValue
    from rich.console import RenderableType
    from rich.text import Text

    from lineage_flows.compare import Change, CodeDifference, RunDifference
    from lineage_flows.records import StepComparison

__all__ = ["diff", "steps_table"]

_LONGEST_DIFF = 200
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def diff(
    context: typer.Context,
    a: Annotated[str, typer.Argument(help="The one run: id, its start, or name.", show_default=False)],
    b: Annotated[str, typer.Argument(help="The other run.", show_default=False)],
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            help="How far numbers may lie apart and still count as equal, as of replay.",
            metavar="WHAT:FIGURES",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> Answer:
    """Compare two runs: what went in, code, environment, metrics, and every step with its causes."""
    with opened(context) as graph:
        difference = graph.diff(a, b, tolerances=given_tolerances(tolerance or ()))
    return Answer(difference, lambda: _shown(difference), as_json)


def _shown(found: RunDifference) -> Iterator[RenderableType]:
    from rich.text import Text

    from lineage_flows.cli.tables import facts, heading, note, verdict

    yield facts([("a", found.a), ("b", found.b), ("verdict", verdict(found.verdict))])
    yield from _changes("parameters", found.parameters)
    yield from _changes("inputs", found.inputs)
    yield from _code(found.code)
    yield from _changes("environment", found.environment)
    yield from _metrics(found)
    if found.steps:
        yield heading("steps")
        yield steps_table(found.steps)
    yield from values_shown(found.steps, found.values, found.tolerances)
    yield Text.assemble("\nresult of the flow: ", verdict(found.result))
    yield from (note(text) for text in found.notes)


def steps_table(steps: Iterable[StepComparison]) -> RenderableType:
    """Steps with their verdicts and causes, in order."""
    from lineage_flows.cli.tables import grid, verdict
    from lineage_flows.ui.text import clip, listing

    return grid(
        ("index", "task", "verdict", "because of", "what"),
        [
            (
                str(step.index),
                step.task,
                verdict(step.verdict),
                listing(list(step.causes)) if step.causes else "",
                clip("; ".join(step.details), 300),
            )
            for step in steps
        ],
        right=("index",),
    )


def _changes(title: str, changes: Iterable[Change]) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import grid, heading

    rows = [(change.name, _value(change.old), _value(change.new)) for change in changes]
    if rows:
        yield heading(title)
        yield grid(("name", "a", "b"), rows)


def _value(value: JsonValue) -> str:
    from lineage_flows.ui.text import clip, preview_text, short

    if value is None:
        return "-"
    if isinstance(value, str):
        return short(value) if value.startswith(("lf1:", "sha256:")) else clip(value, 80)
    return clip(preview_text(value), 80)


def _code(code: CodeDifference) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import facts, grid, heading

    if not (code.tree or code.functions or code.commit_a != code.commit_b):
        return
    yield heading("code")
    commits = [("commit", f"{code.commit_a or '-'} → {code.commit_b or '-'}")] if code.commit_a != code.commit_b else []
    if code.tree and not code.files:
        commits.append(("files", "differ, but were not kept in both runs"))
    if commits:
        yield facts(commits)
    if code.files:
        yield grid(("file", "", "lines"), [(change.path, change.status, change.lines) for change in code.files])
    for function in code.functions:
        where = f"{function.path}:{function.line}" if function.path and function.line else function.path or ""
        yield facts([(f"function {function.name}", where or "changed")])
        yield from _unified(function.diff)


def _unified(diff_text: str) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    from lineage_flows.cli.tables import cell, note

    lines = diff_text.splitlines()
    shown = Text("\n").join(_diff_line(cell(line.expandtabs(4))) for line in lines[:_LONGEST_DIFF])
    if lines:
        yield Padding(shown, (0, 0, 0, 4))
    if len(lines) > _LONGEST_DIFF:
        yield note(f"    … {len(lines) - _LONGEST_DIFF} more lines: see --json")


def _diff_line(line: Text) -> Text:
    if not line.plain.startswith(("+++", "---")):
        line.stylize(_DIFF_STYLES.get(line.plain[:1], ""))
    return line


def _metrics(found: RunDifference) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import grid, heading
    from lineage_flows.ui.text import number

    def shown(amount: float | None, sign: str = "") -> str:
        return "-" if amount is None else (sign if amount > 0 else "") + number(amount)

    if found.metrics:
        yield heading("metrics")
        yield grid(
            ("metric", "a", "b", "b - a", "step"),
            [
                (metric.name, shown(metric.a), shown(metric.b), shown(metric.delta, "+"), metric.step)
                for metric in found.metrics
            ],
            right=("a", "b", "b - a"),
        )
