"""The verb ``deliver``: takes what is left in the spool to whom it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from lineage_flows.cli.answer import DONE, FAILED, Answer, AsJson, progress_bar
from lineage_flows.cli.discard import as_documents, discard_from, shown_discarded
from lineage_flows.cli.opened import chosen_settings
from lineage_flows.graph.opening import Held

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lineage_flows.delivery import DeliveryReport, ParkedEvent
    from lineage_flows.delivery.discards import DiscardedEvent

__all__ = ["deliver"]

_TIMEOUT = 60.0


def deliver(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(help="With --discard: run ids, or ids as --parked shows them.", show_default=False),
    ] = None,
    *,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds at most for each receiver.")] = _TIMEOUT,
    parked_only: Annotated[bool, typer.Option("--parked", help="Only show what was put aside, and why.")] = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="Give up what was put aside: all of it, or what is named.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --discard: do not ask.")] = False,
    as_json: AsJson = False,
) -> Answer:
    """Deliver the events that are left in the spool, and drop what everybody has had for a month.

    What SageMaker would not take is offered again, too. Exit code 0 when nothing is left, 2 when something is.
    """
    if what and not discard:
        raise typer.BadParameter("only with --discard is something named")
    if discard and parked_only:
        raise typer.BadParameter("--parked shows, --discard gives up: say one of them")
    from lineage_flows.delivery import DeliveryReport, deliver_once
    from lineage_flows.graph.opening import held_back
    from lineage_flows.runtime import open_spool, receivers

    settings = chosen_settings(context)
    settings.check_home()
    if discard and (settings.home / "spool.db").exists():
        return discard_from(settings, what or (), sure=yes, as_json=as_json)
    if not (settings.home / "spool.db").exists():
        nothing = DeliveryReport(receivers=())
        return Answer(_document(nothing, [], 0, Held()), lambda: ["No event has been accepted yet."], as_json)
    spool = open_spool(settings)
    try:
        if parked_only:
            return _put_aside(spool.parked(), spool.discards.all(), held_back(settings), as_json)
        wanted = receivers(settings)
        with _progress() as on_progress:
            report = deliver_once(spool, wanted, settings.home, timeout=timeout, on_progress=on_progress)
        parked = spool.parked()
        pruned = spool.prune([receiver.name for receiver in wanted]) if report.complete else 0
    finally:
        spool.close()
    held = held_back(settings)
    document = _document(report, parked, pruned, held)
    done = report.complete and not held.parked and not held.undone
    return Answer(document, lambda: _shown(report, parked, pruned, held), as_json, DONE if done else FAILED)


def _put_aside(parked: list[ParkedEvent], discarded: list[DiscardedEvent], held: Held, as_json: bool) -> Answer:
    document: dict[str, object] = {
        "refused": _refused(parked),
        **_held(held),
        "discarded": as_documents(discarded, held.discarded),
    }

    def shown() -> Iterator[RenderableType]:
        yield from _shown_parked(parked, held)
        if discarded or held.discarded:
            yield from shown_discarded(discarded, held.discarded, "discarded by hand")

    return Answer(document, shown, as_json, FAILED if parked or held.parked else DONE)


def _held(held: Held) -> dict[str, object]:
    return {
        "parked": [{"id": item.id, "what": item.what, "reason": item.reason} for item in held.parked],
        "undone": held.undone,
        "waiting": held.waiting,
        "awaited": held.awaited,
    }


def _document(report: DeliveryReport, parked: list[ParkedEvent], pruned: int, held: Held) -> dict[str, object]:
    document = {"complete": report.complete, "receivers": list(report.receivers), "refused": _refused(parked)}
    return {**document, "pruned": pruned, **_held(held)}


def _refused(parked: list[ParkedEvent]) -> list[dict[str, object]]:
    return [
        {
            "id": f"{item.receiver}/{item.seq}",
            "receiver": item.receiver,
            "run_id": item.event.run_id,
            "kind": item.event.kind,
            "reason": item.reason,
        }
        for item in parked
    ]


def _shown_parked(parked: list[ParkedEvent], held: Held) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import cell, grid, heading
    from lineage_flows.ui.text import clip, count

    if not parked and not held.parked:
        yield cell("Nothing was put aside.")
    if parked:
        yield heading(f"{count(len(parked), 'event')} refused for good, kept in the spool")
        rows = [
            (f"{item.receiver}/{item.seq}", item.event.run_id, item.event.kind, clip(item.reason, 200))
            for item in parked[:20]
        ]
        yield grid(("id", "run id", "event", "reason"), rows, whole=("id", "run id"))
    if held.parked:
        yield heading(f"{count(len(held.parked), 'thing')} that SageMaker would not take, kept in the home")
        things = [
            row for item in held.parked[:20] for row in ((item.id, clip(item.what, 200)), ("", clip(item.reason, 400)))
        ]
        yield grid(("id", "what, and why"), things, whole=("id",))


def _shown(report: DeliveryReport, parked: list[ParkedEvent], pruned: int, held: Held) -> Iterator[RenderableType]:
    from lineage_flows.cli.tables import grid, note
    from lineage_flows.ui.text import clip, count

    yield grid(
        ("receiver", "delivered", "left", "last failure"),
        [(to.name, str(to.delivered), str(to.left), clip(to.error or "", 200)) for to in report.receivers],
        right=("delivered", "left"),
    )
    if parked or held.parked:
        yield from _shown_parked(parked, held)
    if held.undone:
        yield note(f"{count(held.undone, 'thing')} still to be written to SageMaker")
    if held.waiting:
        yield note(f"{count(held.waiting, 'association')} waiting for a run that is not known yet")
    if held.awaited:
        things = count(held.awaited, "job or endpoint", "jobs and endpoints")
        yield note(f"{things} of which SageMaker has not shown yet what it makes of them itself")
    if pruned:
        yield note(f"{count(pruned, 'event')} that everybody has had for a month dropped")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    with progress_bar("delivering") as advance:
        yield lambda receiver, done, total: advance(f"to {receiver}", done, total)
