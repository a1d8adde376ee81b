"""What ``replay`` and ``diff`` share: rules of tolerance as they are typed, and a table of what lies how far apart.

Knows records of comparisons; must not know how they are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineage_flows.errors import SettingsError
from lineage_flows.policy import RuleError
from lineage_flows.tolerances import tolerances_of_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

    from lineage_flows.records import StepComparison, ValueDifference
    from lineage_flows.tolerances import ToleranceRule

__all__ = ["given_tolerances", "values_shown"]

_MOST_ROWS = 20
_OF_ONE = 5


def given_tolerances(texts: Iterable[str]) -> tuple[ToleranceRule, ...]:
    """The rules of ``--tolerance``.

    Raises:
        SettingsError: one of them cannot be read.
    """
    try:
        return tuple(rule for text in texts for rule in tolerances_of_text(text, "--tolerance"))
    except RuleError as error:
        raise SettingsError(f"--tolerance: {error.where}", error.value, error.allowed) from None


def values_shown(
    steps: Iterable[StepComparison], results: Iterable[ValueDifference], tolerances: Iterable[str]
) -> Iterator[RenderableType]:
    """What was compared part by part and is not identical, a line a part; nothing when there is none."""
    from lineage_flows.cli.tables import grid, heading, note, verdict
    from lineage_flows.compare.saying import figures, pair
    from lineage_flows.ui.text import clip

    values = [(f"{step.task}#{step.index}", value) for step in steps for value in step.values]
    values += [("flow", value) for value in results]
    rows = []
    for label, value in values:
        for part in value.parts[:_OF_ONE]:
            cell = part.cells[0] if part.cells else None
            name = "/".join([value.name, part.where.lstrip("/")] if part.where else [value.name])
            change = pair(cell.old, cell.new) + (f" (at {cell.at})" if cell.at else "") if cell else ""
            said = "; ".join(text for text in (change, part.note.partition("\n")[0]) if text)
            amount = f"{part.differing:,} of {part.compared:,}" if part.compared else ""
            # The default is not repeated in every line.
            held = part.tolerance.rule if part.tolerance and part.tolerance.rule != "default" else ""
            rows.append((label, name, verdict(part.verdict), amount, figures(part), clip(said, 120), clip(held, 60)))
    if rows:
        yield heading("values")
        columns = ("step", "value", "verdict", "differ", "apart by", "what differs most", "tolerance")
        width = len(columns) if any(row[-1] for row in rows) else len(columns) - 1
        yield grid(columns[:width], [row[:width] for row in rows[:_MOST_ROWS]])
        if len(rows) > _MOST_ROWS:
            yield note(f"and {len(rows) - _MOST_ROWS} more parts; --json has them")
    yield from (note(f"tolerance {rule}") for rule in tolerances)
