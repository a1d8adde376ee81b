"""An endpoint that runs: opened, served from a thread, closed.

Knows how the parts are put together; must not know any operation.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lineage_flows.endpoint.backend import Backend, Quotas
from lineage_flows.endpoint.documents import keep_documents
from lineage_flows.endpoint.faults import Dice, Faults
from lineage_flows.endpoint.lag import Lag
from lineage_flows.endpoint.service import Service
from lineage_flows.endpoint.shapes import operation_names
from lineage_flows.endpoint.store import Store
from lineage_flows.endpoint.wire import WireServer
from lineage_flows.errors import SettingsError

__all__ = ["Endpoint", "serve"]


class Endpoint:
    """SageMaker's lineage operations over the graph of a home, on a port. To be used in a ``with`` statement, or closed.

    Attributes:
        url: where it listens, for ``AWS_ENDPOINT_URL_SAGEMAKER``.
    """

    def __init__(
        self,
        home: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Faults | None = None,
        quotas: Quotas | None = None,
        allowed_hosts: Collection[str] = (),
    ) -> None:
        """Open the graph and listen.

        Args:
            home: the lineage home, whose ``graph.db`` is made when it is missing.
            host: the address to listen on.
            port: 0 for any that is free.
            faults: none when None.
            quotas: AWS's when None.
            allowed_hosts: names beside those of loopback under which the endpoint may be called.

        Raises:
            HomeError: the home cannot be written, or is full.
            KeeperUnavailableError: its graph cannot be opened, or botocore is missing.
            SettingsError: nothing can listen there.
        """
        operation_names()  # botocore's model takes a moment to read: now, and not in the first request
        self._dice = Dice(faults or Faults())
        lag = Lag(self._dice.faults.lag_seconds, lambda: self._dice.falls("lag")) if self._dice.faults.lag else None
        self._store = Store(home / "graph.db", lag=lag)
        self._backend = Backend(self._store, quotas or Quotas())
        service = Service(self._backend)
        try:
            self._server = WireServer((host, port), service, self._dice, allowed_hosts={host, *allowed_hosts} - {""})
        except (OSError, OverflowError) as error:
            self._store.close()
            why = getattr(error, "strerror", None) or str(error)
            raise SettingsError("endpoint", f"{host}:{port}", f"an address that is free here ({why})") from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="lineage-flows endpoint",
            daemon=True,
        )
        self._thread.start()

    @property
    def calls(self) -> Counter[str]:
        """How often each operation was called, whatever became of it."""
        return Counter(self._server.calls)

    @property
    def faults_made(self) -> Counter[str]:
        """How many faults of each kind there were."""
        return Counter(self._dice.made)

    def keep(self, resource: str, descriptions: Iterable[Mapping[str, Any]]) -> list[str]:
        """Keep what SageMaker ran or registered elsewhere, with its lineage; see ``documents.keep_documents``."""
        return keep_documents(self._backend, resource, descriptions)

    def close(self) -> None:
        """Stop listening, let what is being carried out end, and close the graph."""
        self._server.stop()
        self._thread.join()
        self._store.close()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def serve(
    home: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    faults: Faults | None = None,
    quotas: Quotas | None = None,
) -> Iterator[str]:
    """An endpoint for the length of a block; gives its URL. See ``Endpoint``, which also counts calls and faults."""
    with Endpoint(home, host=host, port=port, faults=faults, quotas=quotas) as endpoint:
        yield endpoint.url
