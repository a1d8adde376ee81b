"""The user's own OpenLineage receivers: whatever openlineage.yml or ``OPENLINEAGE_*`` name, through openlineage-python's client.

Knows the client; must not know the spool. The client is imported in the courier's thread, at the first event: it takes most of a
second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lineage_flows.delivery.forks import guard_forks
from lineage_flows.delivery.openlineage_config import configured, transports
from lineage_flows.errors import DeliveryError, EventError
from lineage_flows.events import Event

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient

__all__ = ["OpenLineageReceiver", "openlineage_receivers"]

_NAME = "openlineage"
_CLOSE_SECONDS = 1.0
_SEND_SECONDS = 30.0

REFUSED = frozenset({400, 413, 414, 415, 422})
"""HTTP answers that say that this event will never be taken. Others (no access, not found, too many) can be mended."""


class OpenLineageReceiver:
    """Hands events to one transport of the user's OpenLineage configuration, with its filters, tags and variables.

    Args:
        name: stable name: ``openlineage``, or with several transports ``openlineage:NAME``.
        transport: configuration of the transport; None looks for it at the first event.
    """

    # One at a time: a failure in the middle of a batch would send again what was sent before it.
    batch = 1

    def __init__(self, name: str = _NAME, transport: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self._transport = transport
        self._client: OpenLineageClient | None = None
        guard_forks(self)

    def receive(self, events: Sequence[Event]) -> None:
        """Emit each event.

        Raises:
            EventError: the receiver answered that it will never take it.
            DeliveryError: configuration, client or transport failed; the event can be emitted again later.
        """
        for event in events:
            try:
                self._emit(event)
            except (DeliveryError, EventError):
                raise
            except Exception as error:  # noqa: BLE001 - transports are other people's code, and raise what they like
                self._lost(error)

    def close(self) -> None:
        """Close the client's transport."""
        client, self._client = self._client, None
        if client is not None:
            client.close(timeout=_CLOSE_SECONDS)

    def before_fork(self) -> None:
        """See ``ForkSafe``."""

    def after_fork_in_parent(self) -> None:
        """See ``ForkSafe``."""

    def after_fork_in_child(self) -> None:
        """A connection is the parent's: two processes on one would mix their requests."""
        self._client = None

    def _emit(self, event: Event) -> None:
        from lineage_flows.delivery.client_events import run_event

        if self._client is None:
            self._client = _connected(self._transport)
        try:
            said = run_event(event.payload)
        except ValueError as error:
            raise EventError(f"{self.name} cannot be given an event", why=str(error)) from error
        self._client.emit(said)
        if not _confirmed(self._client.transport):
            raise TimeoutError("the transport did not confirm the event")

    def _lost(self, error: Exception) -> None:
        response = getattr(error, "response", None)
        why = f"{type(error).__name__}: {error}"[:500]
        if getattr(response, "status_code", None) in REFUSED:
            raise EventError(f"{self.name} refuses an event", why=why) from error
        raise DeliveryError(
            f"an event cannot be sent to {self.name}",
            why=why,
            fix="check the transport in your OpenLineage configuration; the event stays in the spool",
        ) from error


def openlineage_receivers() -> list[OpenLineageReceiver]:
    """A receiver for each transport of the user's configuration, so that one that is out holds back no other.

    None when there is no configuration (the client would print to the console), or OPENLINEAGE_DISABLED says so. What is wrong
    with a configuration shows at the first event: a flow does not fail for it.
    """
    if not configured():
        return []
    several = transports()
    if several is None:
        return [OpenLineageReceiver()]
    return [OpenLineageReceiver(f"{_NAME}:{name}", transport) for name, transport in several.items()]


def _connected(transport: Mapping[str, Any] | None) -> OpenLineageClient:
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport import get_default_factory

    from lineage_flows.delivery.openlineage_config import environment_kept, for_courier, transport_config

    with environment_kept():
        config = for_courier(transport if transport is not None else transport_config())
        return OpenLineageClient(transport=get_default_factory().create(config))


def _confirmed(transport: Any) -> bool:  # noqa: ANN401 - any transport
    """Whether the event has left, of transports that send in the background (Kafka), wrapped in others or not."""
    while (inner := getattr(transport, "transport", None)) is not None:
        transport = inner
    wait = getattr(transport, "wait_for_completion", None)
    return wait is None or bool(wait(timeout=_SEND_SECONDS))
