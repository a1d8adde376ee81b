"""Draws the plan of a replay: for people who have to decide whether its verdict will mean something."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.replay import ReplayPlan

__all__ = ["shown_plan"]

_STYLES = {"identical": "bold green", "may differ": "bold yellow", "impossible": "bold red"}
_MOST_DIFFERENCES = 12


def shown_plan(plan: ReplayPlan) -> Iterator[RenderableType]:
    """The plan as a terminal shows it; the last line is the answer."""
    from rich.text import Text

    from lineage_flows.cli.tables import cell, facts, grid, heading, note
    from lineage_flows.ui.text import count

    yield facts(
        [
            ("run", f"{plan.flow} / {plan.run_name} ({plan.run_id})"),
            ("files", f"{count(plan.files, 'file')} restored"),
            ("environment", _environment(plan)),
        ]
    )
    if plan.missing:
        yield heading("what is missing")
        rows = [(item.what, item.why, item.fix, "no" if item.fatal else "yes") for item in plan.missing]
        yield grid(("missing", "because", "what to do", "possible without"), rows)
    if plan.steps:
        yield heading(count(len(plan.steps), "step"))
        steps = [
            (
                str(step.index),
                step.task,
                step.action,
                cell(step.expected, _STYLES[step.expected].removeprefix("bold ")),
                "; ".join(step.reasons) or "everything it used was captured",
            )
            for step in plan.steps
        ]
        yield grid(("#", "task", "is", "expected", "because"), steps, right=("#",))
    if plan.reasons:
        yield heading("what else may make a difference")
        yield from (cell(f"  {reason}") for reason in plan.reasons)
    differences = plan.environment.differences
    if differences:
        yield heading("what is installed here is not what the run had")
        yield from (cell(f"  {item}") for item in differences[:_MOST_DIFFERENCES])
        if len(differences) > _MOST_DIFFERENCES:
            yield note(f"  and {len(differences) - _MOST_DIFFERENCES} more (all with --json)")
    yield from (note(text) for text in plan.notes)
    yield Text()
    yield cell(plan.summary, _STYLES[plan.expected])


def _environment(plan: ReplayPlan) -> str:
    found = plan.environment
    if found.problem:
        return f"cannot be had: {found.problem}"
    if found.chosen == "current":
        return f"what is installed here: {found.reason}"
    packages = "the run's packages" if found.packages is None else f"the run's {found.packages} packages"
    return f"{packages}, rebuilt{' already' if found.ready else ' first'}: {found.reason}"
