"""The verb ``deliver``: takes what is left in the spool to whom it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import DONE, FAILED, Answer, AsJson, progress_bar
from lineage_flows.cli.opened import chosen_settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lineage_flows.delivery import DeliveryReport, ParkedEvent

__all__ = ["deliver"]

_TIMEOUT = 60.0


def deliver(
    context: typer.Context,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds at most for each receiver.")] = _TIMEOUT,
    as_json: AsJson = False,
) -> Answer:
    """Deliver the events that are left in the spool, and drop what everybody has had for a month.

    Exit code 0 when nothing is left, 2 when something is.
    """
    from lineage_flows.delivery import DeliveryReport, deliver_once
    from lineage_flows.runtime import open_spool, receivers

    settings = chosen_settings(context)
    settings.check_home()
    if not (settings.home / "spool.db").exists():
        nothing = DeliveryReport(receivers=())
        return Answer(_document(nothing, [], 0), lambda: ["No event has been accepted yet."], as_json)
    spool = open_spool(settings)
    try:
        wanted = receivers(settings)
        with _progress() as on_progress:
            report = deliver_once(spool, wanted, settings.home, timeout=timeout, on_progress=on_progress)
        parked = spool.parked()
        pruned = spool.prune([receiver.name for receiver in wanted]) if report.complete else 0
    finally:
        spool.close()
    document = _document(report, parked, pruned)
    return Answer(document, lambda: _shown(report, parked, pruned), as_json, DONE if report.complete else FAILED)


def _document(report: DeliveryReport, parked: list[ParkedEvent], pruned: int) -> dict[str, object]:
    refused = [
        {"receiver": item.receiver, "run_id": item.event.run_id, "kind": item.event.kind, "reason": item.reason}
        for item in parked
    ]
    return {"complete": report.complete, "receivers": list(report.receivers), "refused": refused, "pruned": pruned}


def _shown(report: DeliveryReport, parked: list[ParkedEvent], pruned: int) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import cell, grid, heading, note
    from lineage_flows.ui.text import clip, count

    if not report.receivers:
        yield cell("Nobody receives events: the keeper is not the embedded graph, and OpenLineage is not configured.")
    else:
        yield grid(
            ("receiver", "delivered", "left", "last failure"),
            [(to.name, str(to.delivered), str(to.left), clip(to.error or "", 200)) for to in report.receivers],
            right=("delivered", "left"),
        )
    if parked:
        yield heading(f"{count(len(parked), 'event')} refused for good, kept in the spool")
        rows = [(item.receiver, item.event.run_id, item.event.kind, clip(item.reason, 200)) for item in parked[:20]]
        yield grid(("receiver", "run id", "event", "reason"), rows, whole=("run id",))
    if pruned:
        yield note(f"{count(pruned, 'event')} that everybody has had for a month dropped")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    with progress_bar("delivering") as advance:
        yield lambda receiver, done, total: advance(f"to {receiver}", done, total)
