"""An OpenLineage transport into the lineage graph, so that any producer's runs stand beside those of flows.

Knows the client's transport interface and the graph's projection. In a producer's openlineage.yml, by import path::

    transport:
      type: lineage_flows.delivery.transport.GraphTransport
      home: ~/.lineage-flows        # optional; else LINEAGE_FLOWS_HOME or the default

An event is in the graph when ``emit`` returns; it does not go through the spool, whose events also go to the receivers of the
user's OpenLineage configuration, this one among them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attr
from openlineage.client.serde import Serde
from openlineage.client.transport import Config, Transport

from lineage_flows.delivery.receivers import GraphReceiver
from lineage_flows.settings import load_settings

if TYPE_CHECKING:
    from openlineage.client.client import Event

    from lineage_flows.graph.keeper import Keeper

__all__ = ["GraphConfig", "GraphTransport"]


@attr.define
class GraphConfig(Config):
    """Configuration of the transport.

    Attributes:
        home: folder of the graph; None takes it from the settings.
    """

    home: str | None = None

    @classmethod
    def from_dict(cls, params: dict[str, Any]) -> GraphConfig:
        """Read the configuration.

        Raises:
            ValueError: ``home`` is no text.
        """
        home = params.get("home")
        if home is not None and not isinstance(home, str):
            raise ValueError(f"`home` of the lineage_flows transport is {home!r}; allowed is the path of a folder")
        return cls(home=home)


class GraphTransport(Transport):
    """Projects each event into the graph. Safe for threads, processes and forks."""

    kind = "lineage_flows"
    config_class = GraphConfig

    def __init__(self, config: GraphConfig) -> None:
        self.config = config
        self._graph = GraphReceiver(self._open)

    def emit(self, event: Event) -> None:
        """Write what an event says into the graph.

        Raises:
            EventError: it is not an OpenLineage event.
            DeliveryError: the graph, or the settings that say where it is, cannot be used.
        """
        self._graph.project([Serde.to_dict(event)])

    def close(self, timeout: float = -1) -> bool:
        """Close the graph; always True, since an event that was emitted is in it."""
        self._graph.close()
        return True

    def _open(self) -> Keeper:
        from lineage_flows.graph.opening import open_graph

        given = {"home": Path(self.config.home)} if self.config.home else {}
        return open_graph(load_settings(**given))
