"""The verb ``loss``: reports a trading loss to Prefect, with the run that stood behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import Answer, AsJson
from lineage_flows.cli.opened import opened
from lineage_flows.errors import LineageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.api import InForce, RunSummary
    from lineage_flows.losses import Loss

__all__ = ["loss"]


def loss(
    context: typer.Context,
    run: Annotated[
        str | None, typer.Argument(help="The run that stood behind the loss, if it is known.", show_default=False)
    ] = None,
    *,
    strategy: Annotated[
        str | None, typer.Option(help="Name of a flow or a deployment, or a tag of its runs.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that was used: its ARN, URI or path.", show_default=False)
    ] = None,
    date: Annotated[
        str | None, typer.Option(help="Day of the loss (2026-11-20), in UTC.", metavar="DATE", show_default=False)
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help="Moment of the loss, in place of a day (2026-11-20T14:30-05:00).", show_default=False),
    ] = None,
    amount: Annotated[str | None, typer.Option(help="What was lost.", show_default=False)] = None,
    currency: Annotated[str | None, typer.Option(help="Of the amount (USD).", show_default=False)] = None,
    note: Annotated[str | None, typer.Option(help="What the reader should know.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only find the run, and tell nobody.")] = False,
    as_json: AsJson = False,
) -> Answer:
    """Report a trading loss: find the run behind it and emit the event ``desk.trading-loss``, which starts its replay.

    Without a run, the last one of the strategy (or of those that made the model) is meant that had completed by the end of the day.
    """
    from lineage_flows.losses import emit_loss, listeners

    given = _given(
        run=run, strategy=strategy, model=model, date=date, at=at, amount=amount, currency=currency, note=note
    )
    found = _found(context, given)
    reported = given.model_copy(update={"run": found.run.run_id})
    event, heard = None, None
    if not dry_run:
        event = emit_loss(reported, flow=found.run.flow, deployment_id=found.run.deployment_id)
        heard = listeners()
    document = {
        "event": event,
        "loss": reported.model_dump(mode="json", exclude_none=True),
        "run": found.run,
        "others": list(found.others),
        "starts": heard,
    }
    return Answer(document, lambda: _shown(found, event, heard), as_json)


def _given(**values: str | None) -> Loss:
    """The loss as it was typed.

    Raises:
        LineageError: a value is none of its kind, or nothing says what stood behind the loss.
    """
    from pydantic import ValidationError

    from lineage_flows.losses import Loss

    try:
        return Loss.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{first['loc'][0]}: " if first["loc"] else ""
        why = f"{option}{_plain(first['msg'])}"
        raise LineageError("the loss cannot be reported", why=why, fix="see `lineage-flows loss --help`") from None


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


def _found(context: typer.Context, given: Loss) -> InForce:
    from lineage_flows.api import InForce
    from lineage_flows.losses import day_of

    with opened(context) as graph:
        if given.run:
            return InForce(run=graph.run(given.run))
        since, until = day_of(given.date) if given.date else (None, given.at)
        return graph.run_in_force(strategy=given.strategy, model=given.model, until=until, since=since)


def _shown(found: InForce, event: str | None, heard: list[str] | None) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import facts, grid, heading, note
    from lineage_flows.ui.text import moment

    run = found.run
    yield facts(
        [
            ("run", f"{run.flow} / {run.name} ({run.run_id})"),
            ("completed (UTC)", moment(run.ended)),
            ("event", event or "not sent"),
        ]
    )
    if found.others:
        yield heading("in force then too")
        yield grid(("run", "name", "completed (UTC)"), [_row(other) for other in found.others], whole=("run",))
        yield note("If one of these is meant, name it, or give the moment with --at.")
    if heard:
        yield note(f"It starts: {', '.join(heard)}.")
    elif heard is not None:
        yield note(
            "No automation waits for it: deploy flows/replay.py with its trigger (`prefect deploy --name replay`)."
        )
    else:
        yield note(f"Replay it at once with `lineage-flows replay {run.run_id}`.")


def _row(run: RunSummary) -> tuple[str, str, str]:
    from lineage_flows.ui.text import moment

    return run.run_id, run.name, moment(run.ended)
