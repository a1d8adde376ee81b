"""An OpenLineage transport into the lineage graph, so that any producer's runs stand beside those of flows.

Knows the client's transport interface and the graph's projection. In a producer's openlineage.yml, by import path::

    transport:
      type: lineage_flows.delivery.transport.GraphTransport
      home: ~/.lineage-flows        # optional; else LINEAGE_FLOWS_HOME or the default

An event is in the graph when ``emit`` returns; it does not go through the spool, whose events also go to the receivers of the
user's OpenLineage configuration, this one among them.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attr
from openlineage.client.serde import Serde
from openlineage.client.transport import Config, Transport

from lineage_flows.delivery.forks import guard_forks
from lineage_flows.settings import load_settings

if TYPE_CHECKING:
    from openlineage.client.client import Event

    from lineage_flows.graph.keeper import Keeper

__all__ = ["GraphConfig", "GraphTransport"]

_FORK_WAIT_SECONDS = 5.0


@attr.define
class GraphConfig(Config):
    """Configuration of the transport.

    Attributes:
        home: folder of the embedded graph; None takes it from the settings.
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
    """Projects each event into the embedded graph. Safe for threads, processes and forks."""

    kind = "lineage_flows"
    config_class = GraphConfig

    def __init__(self, config: GraphConfig) -> None:
        self.config = config
        self._keeper: Keeper | None = None
        self._lock = threading.Lock()
        self._held = False
        guard_forks(self)

    def emit(self, event: Event) -> None:
        """Write what an event says into the graph.

        Raises:
            EventError: it is not an OpenLineage event.
            LineageError: the graph, or the settings that say where it is, cannot be used.
        """
        from lineage_flows.graph.project import project

        document = Serde.to_dict(event)
        with self._lock:
            if self._keeper is None:
                self._keeper = self._open()
            project([document], self._keeper)

    def close(self, timeout: float = -1) -> bool:
        """Close the graph; always True, since an event that was emitted is in it."""
        with self._lock:
            self._drop()
        return True

    def before_fork(self) -> None:
        """See ``ForkSafe``."""
        self._held = self._lock.acquire(timeout=_FORK_WAIT_SECONDS)
        if self._held:
            self._drop()

    def after_fork_in_parent(self) -> None:
        """See ``ForkSafe``."""
        if self._held:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """See ``ForkSafe``."""
        self._keeper, self._lock = None, threading.Lock()

    def _open(self) -> Keeper:
        from lineage_flows.graph.embedded import open_embedded

        home = Path(self.config.home).expanduser() if self.config.home else load_settings().home
        return open_embedded(home / "graph.db")

    def _drop(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()
