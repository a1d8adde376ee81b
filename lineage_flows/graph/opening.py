"""Opens the graph that the settings name, whichever keeper it is.

Knows the settings and the keepers; loads only the keeper that is asked for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineage_flows.settings import Settings

if TYPE_CHECKING:
    from lineage_flows.graph.keeper import Keeper
    from lineage_flows.graph.sagemaker import SageMakerKeeper
    from lineage_flows.graph.sagemaker.cache import Cache
    from lineage_flows.graph.sagemaker.discarding import DiscardedThing
    from lineage_flows.graph.sagemaker.entries import ParkedCall

__all__ = ["GRAPH_FILE", "SAGEMAKER_FILE", "Held", "held_back", "open_cache", "open_graph", "open_sagemaker_graph"]

GRAPH_FILE = "graph.db"
"""The embedded graph, in the home."""

SAGEMAKER_FILE = "sagemaker.db"
"""What this home has put into SageMaker, in the home."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a home has not brought to SageMaker.

    Attributes:
        parked: what SageMaker would not take, and why.
        undone: how many entities and associations could be written now.
        waiting: how many associations wait for a run that is not known yet, or for what was put aside.
        near: quotas of which four fifths are used, in words.
        awaited: of how many jobs and the like SageMaker has not shown yet what it makes of them itself.
        discarded: what a person gave up of it.
    """

    parked: tuple[ParkedCall, ...] = ()
    undone: int = 0
    waiting: int = 0
    near: tuple[str, ...] = ()
    awaited: int = 0
    discarded: tuple[DiscardedThing, ...] = ()


def held_back(settings: Settings) -> Held:
    """What a home has not brought to SageMaker; asks nobody else.

    Raises:
        HomeError, KeeperUnavailableError: the home's own file cannot be read.
    """
    cache = open_cache(settings)
    if cache is None:
        return Held()
    from lineage_flows.graph.sagemaker.awaited import opened
    from lineage_flows.graph.sagemaker.discarding import discarded, parked
    from lineage_flows.graph.sagemaker.quotas import near_limits

    try:
        near = near_limits(cache.counts(), settings.all_quotas, warn=False)
        with opened(cache.path) as awaited:
            waiting = awaited.waiting()
        put_aside, given_up = tuple(parked(cache)), tuple(discarded(cache))
        return Held(put_aside, *cache.backlog(time.time()), tuple(near), waiting, given_up)
    finally:
        cache.close()


def open_cache(settings: Settings) -> Cache | None:
    """What the SageMaker keeper of a home knows; None when there is none.

    Raises:
        HomeError, KeeperUnavailableError: the home's own file cannot be read.
    """
    path = settings.home / SAGEMAKER_FILE
    if settings.keeper != "sagemaker" or not path.exists():
        return None
    from lineage_flows.graph.sagemaker.cache import Cache

    return Cache(path)


def open_graph(settings: Settings, *, read_only: bool = False) -> Keeper:
    """Open the graph.

    Args:
        settings: which keeper, and where.
        read_only: never write, nor make anything.

    Raises:
        HomeError: the home cannot be written, or is full.
        KeeperUnavailableError: the keeper cannot be opened.
    """
    if settings.keeper == "sagemaker":
        return open_sagemaker_graph(settings, read_only=read_only)
    from lineage_flows.graph.embedded import open_embedded

    return open_embedded(settings.home / GRAPH_FILE, read_only=read_only)


def open_sagemaker_graph(settings: Settings, *, read_only: bool = False) -> SageMakerKeeper:
    """Open the graph in SageMaker, whatever keeper the settings name; raises as ``open_graph``."""
    from lineage_flows.graph.sagemaker import Options, open_sagemaker

    options = Options(
        detail=settings.sagemaker_detail,
        fall_back=settings.sagemaker_fall_back,
        quotas=settings.all_quotas,
        tags=settings.all_tags,
    )
    cache = None if read_only else settings.home / SAGEMAKER_FILE
    return open_sagemaker(cache, options=options, namespace=settings.namespace)
