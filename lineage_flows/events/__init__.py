"""Events: records said as OpenLineage run events, with the project's own facets and their shipped schemas."""

from lineage_flows.events.build import EventBuilder
from lineage_flows.events.event import TERMINAL, Event, EventKind, Sink

__all__ = ["TERMINAL", "Event", "EventBuilder", "EventKind", "Sink"]
