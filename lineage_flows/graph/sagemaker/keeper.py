"""The SageMaker keeper: claims are merged in a cache of this home by the keepers' one law, and SageMaker is brought up to it.

Knows the cache, the push and the reads; must not know what an event is. Nothing is asked that this home has written itself, and
what it was not able to write waits in the cache, on disk, for the next delivery.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lineage_flows.errors import GraphError, HomeError
from lineage_flows.graph.jobs import TrainingJob
from lineage_flows.graph.keeper import Claim, Direction, Link
from lineage_flows.graph.model import Action, Artifact, Association, AssociationType, Context, Entity
from lineage_flows.graph.sagemaker.awaited import opened
from lineage_flows.graph.sagemaker.cache import Cache
from lineage_flows.graph.sagemaker.client import Client
from lineage_flows.graph.sagemaker.discarding import parked
from lineage_flows.graph.sagemaker.entries import ParkedCall
from lineage_flows.graph.sagemaker.jobs import training_job_of
from lineage_flows.graph.sagemaker.joins import join_foreign
from lineage_flows.graph.sagemaker.push import Options, push
from lineage_flows.graph.sagemaker.reading import Reader

__all__ = ["SageMakerKeeper", "open_sagemaker"]


def open_sagemaker(
    cache: Path | None,
    *,
    options: Options | None = None,
    namespace: str = "prefect",
    client: Client | None = None,
) -> SageMakerKeeper:
    """Open the graph of the account and region that boto3 is configured for.

    Args:
        cache: the file of what is known; it is made when it is missing. None opens for reading only.
        options: how it is written.
        namespace: of this home's jobs, by which the URI of a run is known.
        client: who is called; boto3's own configuration when None.

    Raises:
        HomeError: the cache's folder cannot be written, or is full.
        KeeperUnavailableError: boto3 is not installed, no region is configured, or the cache is of another region.
    """
    client = client or Client()
    held = Cache(cache) if cache is not None else None
    try:
        if held is not None:
            held.bind("place", client.home)
        return SageMakerKeeper(client, held, options or Options(), namespace)
    except BaseException:
        if held is not None:
            held.close()
        raise


class SageMakerKeeper:
    """A ``Keeper`` over SageMaker's API. Safe for threads, processes and forks.

    ARNs are AWS's. ``created_at`` is when SageMaker was told, not when it happened. Associations have no ``uses``.
    """

    def __init__(self, client: Client, cache: Cache | None, options: Options, namespace: str) -> None:
        self.url = f"sagemaker:{client.place}"
        self._client = client
        self._cache = cache
        self._options = options
        self._namespace = namespace
        self._snapshot = threading.local()

    def upsert(self, claims: Iterable[Claim], links: Iterable[Link] = ()) -> None:
        """See ``Keeper``. When this raises GraphError the batch is merged, on disk, and due; a repetition goes on with it.

        What SageMaker will never take is put aside (``parked``), and does not raise.
        """
        cache = self._written()
        if getattr(self._snapshot, "reader", None) is not None:
            raise GraphError("a graph cannot be written inside a snapshot of it", fix="end the snapshot first")
        cache.merge(list(claims), list(links))
        push(cache, self._client, self._options)
        join_foreign(cache.path, self._client)

    def deliver(self) -> None:
        """Try again all that waits or was put aside.

        Raises:
            GraphError: some of it could not be done now.
        """
        cache = self._written()
        cache.retry()
        with opened(cache.path) as awaited:
            awaited.retry(time.time())
        push(cache, self._client, self._options)
        join_foreign(cache.path, self._client)

    def silent_for(self) -> float:
        """Seconds for which SageMaker has answered nothing that was asked; 0 when nothing is."""
        return self._client.silent_seconds

    def parked(self) -> list[ParkedCall]:
        """What SageMaker would not take, or has not shown of its own things, and why."""
        return parked(self._written())

    def backlog(self) -> tuple[int, int]:
        """How much could be written now and is not, and how many associations wait for a run that is not known yet."""
        return self._written().backlog(time.time())

    def counts(self) -> dict[str, int]:
        """How many of each kind this home has put into SageMaker."""
        return self._written().counts()

    def get(self, arns: Iterable[str]) -> dict[str, Entity]:
        """See ``Keeper``."""
        return self._reader().get(arns)

    def list_artifacts(
        self, *, source_uri: str | None = None, artifact_types: Sequence[str] = (), limit: int | None = None
    ) -> list[Artifact]:
        """See ``Keeper``."""
        return self._reader().list_artifacts(source_uri=source_uri, artifact_types=artifact_types, limit=limit)

    def list_actions(
        self,
        *,
        run_id: str | None = None,
        action_types: Sequence[str] = (),
        flow: str | None = None,
        run_name: str | None = None,
        commit: str | None = None,
        name: str | None = None,
        roots_only: bool = False,
        limit: int | None = None,
    ) -> list[Action]:
        """See ``Keeper``."""
        return self._reader().list_actions(
            run_id=run_id,
            action_types=action_types,
            flow=flow,
            run_name=run_name,
            commit=commit,
            name=name,
            roots_only=roots_only,
            limit=limit,
        )

    def list_contexts(self, *, name: str | None = None, limit: int | None = None) -> list[Context]:
        """See ``Keeper``."""
        return self._reader().list_contexts(name=name, limit=limit)

    def associations(
        self,
        *,
        sources: Iterable[str] | None = None,
        destinations: Iterable[str] | None = None,
        types: Sequence[AssociationType] = (),
    ) -> list[Association]:
        """See ``Keeper``."""
        return self._reader().associations(sources=sources, destinations=destinations, types=types)

    def closure(self, arns: Iterable[str], direction: Direction, types: Sequence[AssociationType]) -> list[Association]:
        """See ``Keeper``."""
        return self._reader().closure(arns, direction, types)

    def search(self, text: str, *, limit: int | None = None) -> list[Entity]:
        """See ``Keeper``; only names, URIs, types and source ids are looked through."""
        return self._reader().search(text, limit=limit)

    def training_job(self, uri: str) -> TrainingJob | None:
        """See ``jobs.training_job_of``."""
        return training_job_of(self._client, uri)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See ``Keeper``. Within the block each thing is read once; what is read late may be newer than what was read early."""
        outer = getattr(self._snapshot, "reader", None)
        self._snapshot.reader = outer or Reader(self._client, self._namespace)
        try:
            yield
        finally:
            self._snapshot.reader = outer

    def close(self) -> None:
        """See ``Keeper``."""
        self._client.close()
        if self._cache is not None:
            self._cache.close()

    def _reader(self) -> Reader:
        held: Reader | None = getattr(self._snapshot, "reader", None)
        return held or Reader(self._client, self._namespace)

    def _written(self) -> Cache:
        if self._cache is None:
            raise HomeError("the lineage graph in SageMaker was opened for reading only", fix="open it for writing")
        return self._cache
