"""Opens the graph that the settings name, whichever keeper it is.

Knows the settings and the keepers; loads only the keeper that is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineage_flows.settings import Settings

if TYPE_CHECKING:
    from lineage_flows.graph.keeper import Keeper
    from lineage_flows.graph.sagemaker import SageMakerKeeper

__all__ = ["GRAPH_FILE", "SAGEMAKER_FILE", "open_graph", "open_sagemaker_graph"]

GRAPH_FILE = "graph.db"
"""The embedded graph, in the home."""

SAGEMAKER_FILE = "sagemaker.db"
"""What this home has put into SageMaker, in the home."""


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
