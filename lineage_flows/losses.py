"""Reports of trading losses: an event in Prefect that says which run stood behind the loss, so that an automation replays it.

Knows Prefect's client; must not know the graph, nor how a replay is done. https://docs.prefect.io/v3/concepts/events
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, model_validator

from lineage_flows.errors import DeliveryError
from lineage_flows.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["LOSS_EVENT", "Loss", "day_of", "emit_loss", "listeners"]

LOSS_EVENT: Final = "desk.trading-loss"
"""Name of the event. Any program may emit one: its payload is what ``Loss`` holds, and a run, a model or a strategy is enough."""

_TIMEOUT: Final = 30.0
_PAGE: Final = 200


class Loss(BaseModel):
    """A trading loss, and what stood behind it.

    Attributes:
        run: id of the flow run that made the number.
        strategy: name of the flow, deployment or tag whose run it was.
        model: reference to the model that was used.
        date: day of the loss, in UTC; the run in force at its end is meant.
        at: moment of the loss, in place of a date.
        amount: what was lost, in ``currency``.
        currency: ISO 4217, where it is known.
        note: whatever the reader should know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str | None = None
    strategy: str | None = None
    model: str | None = None
    date: dt.date | None = None
    at: AwareDatetime | None = None
    amount: Decimal | None = None
    currency: str | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Loss:
        if not (self.run or self.strategy or self.model):
            raise ValueError("a run, a strategy or a model is needed: what stood behind the loss")
        if self.date is not None and self.at is not None:
            raise ValueError("a date or a moment, not both")
        if self.amount is not None and not self.amount.is_finite():
            raise ValueError("an amount is a number")
        return self


def day_of(date: dt.date) -> tuple[dt.datetime, dt.datetime]:
    """Beginning and end of a day in UTC: what the product shows, everywhere."""
    begin = dt.datetime.combine(date, dt.time.min, dt.UTC)
    return begin, begin + dt.timedelta(days=1)


def emit_loss(loss: Loss, *, flow: str | None = None, deployment_id: str | None = None) -> str:
    """Emit the event and wait for the server to have it.

    Its resource is ``desk.strategy.NAME``; the flow run is related to it, so that the run's page in Prefect's UI shows the event.

    Args:
        loss: with a run, when that is known.
        flow: name of the run's flow: what a strategy without a name of its own is called by.
        deployment_id: of the run's deployment.

    Returns:
        The event's id.

    Raises:
        DeliveryError: there is no server, or it did not take the event.
    """
    from prefect.events.schemas.events import Event

    name = loss.strategy or flow or loss.model or loss.run or ""
    related = [
        {"prefect.resource.id": f"prefect.{kind}.{number}", "prefect.resource.role": kind}
        for kind, number in (("flow-run", loss.run), ("deployment", deployment_id))
        if number
    ]
    event = Event.model_validate(
        {
            "occurred": dt.datetime.now(dt.UTC),
            "event": LOSS_EVENT,
            "resource": {
                "prefect.resource.id": f"desk.strategy.{name}",
                "prefect.resource.name": name,
                "prefect.resource.role": "strategy",
            },
            "related": related,
            "payload": _payload(loss),
        }
    )
    _request("/events", [event.model_dump(mode="json")])
    return str(event.id)


def _payload(loss: Loss) -> dict[str, object]:
    """What everybody reads who may look at the server's events."""
    shown = loss if loss.note is None else loss.model_copy(update={"note": redact(loss.note)})
    return shown.model_dump(mode="json", exclude_none=True)


def listeners() -> list[str]:
    """Names of the server's automations that the event starts, as far as they are enabled.

    Raises:
        DeliveryError: there is no server, or it does not answer.
    """
    found: list[str] = []
    offset = 0
    while True:
        page = _request("/automations/filter", {"limit": _PAGE, "offset": offset})
        if not isinstance(page, list) or not page:
            return found
        found += [str(one.get("name")) for one in page if one.get("enabled") and _expected(one.get("trigger") or {})]
        offset += len(page)


def _expected(trigger: Mapping[str, object]) -> bool:
    return any(LOSS_EVENT in (one.get("expect") or ()) for one in _flat(trigger))  # type: ignore[operator]


def _flat(trigger: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """A trigger and those it is composed of."""
    yield trigger
    inner = trigger.get("triggers")
    for one in inner if isinstance(inner, list) else ():
        yield from _flat(one)


def _request(path: str, body: object) -> object:
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise DeliveryError(
            "there is no Prefect server to tell",
            why="PREFECT_API_URL is not set",
            fix="set it, or replay the run at once with `lineage-flows replay`",
        )
    try:
        with get_client(sync_client=True, httpx_settings={"timeout": _TIMEOUT}) as client:
            answer = client.request("POST", path, json=body)  # type: ignore[arg-type]  # no method of the client's does it
            answer.raise_for_status()
    except (httpx.HTTPError, RuntimeError, OSError) as error:
        raise DeliveryError(
            "the Prefect server did not take it",
            why=" ".join(str(error).split()) or type(error).__name__,
            fix="check PREFECT_API_URL and that the server runs",
        ) from error
    return answer.json() if answer.content else None
