"""Delivery: a durable spool on disk, and a courier that takes events to the graph and to the user's own OpenLineage receivers.

Knows events and the graph's projection; must not know Prefect. ``delivery.transport`` is imported by whoever names it: it needs
openlineage-python's client.
"""

from __future__ import annotations

from lineage_flows.delivery.courier import Courier, DeliveryReport, ReceiverReport, deliver_once
from lineage_flows.delivery.openlineage import OpenLineageReceiver, openlineage_receivers
from lineage_flows.delivery.receivers import GRAPH, GraphReceiver, Receiver
from lineage_flows.delivery.spool import ParkedEvent, Spool, SpooledEvent

__all__ = [
    "GRAPH",
    "Courier",
    "DeliveryReport",
    "GraphReceiver",
    "OpenLineageReceiver",
    "ParkedEvent",
    "Receiver",
    "ReceiverReport",
    "Spool",
    "SpooledEvent",
    "deliver_once",
    "openlineage_receivers",
]
