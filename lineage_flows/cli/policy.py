"""The verb ``policy``: which rule decides what is captured of a flow or task, and why that one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.opened import chosen_settings
from lineage_flows.policy import SETTABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.policy import Decision, Rule

__all__ = ["policy"]


def policy(
    context: typer.Context,
    flow: Annotated[str, typer.Argument(help="Name of the flow.", show_default=False)],
    task: Annotated[str | None, typer.Option(help="Name of a task in it.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            help="A tag of the task run, or of the flow run without --task; may be repeated.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> Answer:
    """Say what holds for a flow, or a task in it, and which rule decides each setting."""
    settings = chosen_settings(context)
    decision = settings.decision(flow, task=task, tags=tuple(tag or ()))
    fitting = sorted(
        (rule for rule in settings.all_rules if rule.match.fits(flow, task, tag or ())),
        key=lambda rule: rule.match.specificity,
        reverse=True,
    )
    document = {
        "flow": flow,
        "task": task,
        "tags": list(tag or ()),
        "settings": {
            name: {"value": _value(decision, name), "decided_by": _origin(decision, name)} for name in SETTABLE
        },
        "rules": [{"origin": rule.origin, "match": str(rule.match)} for rule in fitting],
    }
    return Answer(document, lambda: _shown(decision, fitting), as_json)


def _value(decision: Decision, name: str) -> object:
    value = getattr(decision, name)
    return list(value) if isinstance(value, tuple) else value


def _origin(decision: Decision, name: str) -> str:
    rule = decision.why.get(name)
    return rule.origin if rule is not None else "the project's setting"


def _shown(decision: Decision, fitting: list[Rule]) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import grid, heading, note

    rows = []
    for name in SETTABLE:
        value, rule = _value(decision, name), decision.why.get(name)
        text = ", ".join(map(str, value)) or "-" if isinstance(value, list) else str(value).lower()
        rows.append((name, text, _origin(decision, name), str(rule.match) if rule is not None else ""))
    yield grid(("setting", "value", "decided by", "which is for"), rows)
    if not fitting:
        yield note("No rule fits: the project's settings hold.")
        return
    yield heading("rules that fit, the most specific first")
    yield grid(("rule", "for", "sets"), [(rule.origin, str(rule.match), _sets(rule)) for rule in fitting])


def _sets(rule: Rule) -> str:
    return ", ".join(name for name in SETTABLE if getattr(rule, name) is not None)
