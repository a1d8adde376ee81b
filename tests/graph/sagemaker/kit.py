"""Keepers over the double, and graphs as they compare: without ARNs, times of writing and uses, which SageMaker does not have."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lineage_flows.events import Event
from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.model import Action, Artifact, Context, Entity
from lineage_flows.graph.project import project
from lineage_flows.graph.sagemaker import Options, SageMakerKeeper, open_sagemaker
from lineage_flows.graph.sagemaker.client import Client
from tests.graph.kit import _folder
from tests.graph.sagemaker.double import Double

_numbers = itertools.count()


def new_cache() -> Path:
    """A file of its own for a cache, in memory where there is such a folder."""
    return Path(_folder.name, f"sagemaker-{next(_numbers)}.db")


def keeper_over(double: Double, cache: Path | None = None, **options: Any) -> SageMakerKeeper:
    """A keeper that writes to a double."""
    return open_sagemaker(cache or new_cache(), options=Options(**options), client=Client(lambda: double))


def deliver(keeper: Keeper, events: Iterable[Event], batch: int = 1000) -> None:
    """Project events in batches."""
    listed = list(events)
    for begin in range(0, len(listed), batch):
        project(listed[begin : begin + batch], keeper)


Identity = tuple[str, ...]


def identity(entity: Entity) -> Identity:
    """What an entity is, whatever its ARN."""
    if isinstance(entity, Artifact):
        return ("Artifact", entity.source_uri, *(f"{item.type}={item.value}" for item in entity.source_types))
    return (entity.lineage_type, entity.name)


def said(entity: Entity) -> dict[str, Any]:
    """All that is said of an entity but its ARN and the times at which it was written."""
    return entity.model_dump(exclude={"arn", "created_at", "modified_at"})


def plain(keeper: Keeper) -> tuple[dict[Identity, dict[str, Any]], set[tuple[Identity, str, Identity]]]:
    """A whole graph, for comparison between keepers."""
    with keeper.snapshot():
        entities: list[Artifact | Action | Context] = [
            *keeper.list_artifacts(),
            *keeper.list_actions(),
            *keeper.list_contexts(),
        ]
        by_arn = {entity.arn: entity for entity in entities}
        edges = {
            (identity(by_arn[edge.source_arn]), edge.association_type, identity(by_arn[edge.destination_arn]))
            for edge in keeper.associations()
        }
    assert len({identity(entity) for entity in entities}) == len(entities)
    return {identity(entity): said(entity) for entity in entities}, edges
