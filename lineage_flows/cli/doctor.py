"""The verb ``doctor``: looks whether everything is in place, and says what to do where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from lineage_flows.cli.answer import DONE, FAILED, Answer, AsJson
from lineage_flows.cli.opened import chosen_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.cli.checks import Check

__all__ = ["doctor"]


def doctor(context: typer.Context, as_json: AsJson = False) -> Answer:
    """Check plugin, Prefect, home, store, keeper and spool; every finding comes with what to do."""
    from lineage_flows.cli.checks import examine

    checks = examine(chosen_settings(context))
    worst = next((outcome for outcome in ("failed", "warning") if any(c.outcome == outcome for c in checks)), "ok")
    document = {"outcome": worst, "checks": checks}
    return Answer(document, lambda: _shown(checks), as_json, FAILED if worst == "failed" else DONE)


def _shown(checks: list[Check]) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import cell, grid, note, verdict

    yield grid(("check", "", "found"), [(check.name, verdict(check.outcome), check.found) for check in checks])
    for check in checks:
        if check.fix:
            yield cell(f"{check.name}: {check.fix}")
    if all(check.outcome == "ok" for check in checks):
        yield note("Everything is in place.")
