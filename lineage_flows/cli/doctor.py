"""The verb ``doctor``: looks whether everything is in place, and says what to do where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import DONE, FAILED, Answer, AsJson
from lineage_flows.cli.opened import chosen_settings
from lineage_flows.permissions import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.cli.checks import Check

__all__ = ["doctor"]


def doctor(
    context: typer.Context,
    aws: Annotated[
        bool, typer.Option("--aws", help="Also look at AWS: credentials, permissions, bucket, SageMaker.")
    ] = False,
    role: Annotated[
        Role | None,
        typer.Option(
            help="With --aws, the role of infra/ that these credentials should be able to play.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> Answer:
    """Check plugin, Prefect, home, store, keeper and spool; every finding comes with what to do."""
    from lineage_flows.cli.checks import examine

    settings = chosen_settings(context)
    checks = examine(settings)
    if aws or role is not None:
        from lineage_flows.cli.aws_checks import examine_aws

        checks += examine_aws(settings, role)
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
