"""The projection: OpenLineage events into a graph, by the mapping of docs/graph.md.

Knows events as they come in and the keeper's protocol; must not know how a graph is kept. Each event is read by itself, and
what it says is merged by the keeper's law, so that order and repetition of events do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lineage_flows.errors import EventError
from lineage_flows.graph.actions import Projected, project_run
from lineage_flows.graph.datasets import dataset_claim, dataset_images, dataset_links
from lineage_flows.graph.incoming import read_event
from lineage_flows.graph.keeper import Keeper

if TYPE_CHECKING:
    from lineage_flows.events.event import Event

__all__ = ["project"]


def project(events: Iterable[Event | Mapping[str, Any]], keeper: Keeper) -> None:
    """Project events of any OpenLineage producer into a graph: all of them, in one transaction, or none.

    Args:
        events: in any order; those that were projected before change nothing.
        keeper: the graph.

    Raises:
        EventError: one of them is malformed and will always be; the message says which (counted from 0). None was projected.
        GraphError: the graph cannot be written now.
        HomeError: its folder is full or not writable.
    """
    whole = Projected()
    for position, event in enumerate(events):
        try:
            said = _project_one(event)
        except EventError as error:
            raise EventError(f"event {position} of the batch: {error.what}", why=error.why, fix=error.fix) from error
        whole.claims += said.claims
        whole.links += said.links
    if whole.claims:
        keeper.upsert(whole.claims, whole.links)


def _project_one(event: Event | Mapping[str, Any]) -> Projected:
    incoming = read_event(event)
    said = Projected() if incoming.run_id is None else project_run(incoming, incoming.run_id)
    for dataset in incoming.datasets:
        claim = dataset_claim(dataset, incoming)
        said.claims.append(claim)
        if incoming.run_id is not None:
            said.links.extend(dataset_links(dataset, claim, incoming.run_id, incoming))
            for image, link in dataset_images(dataset, claim, incoming.run_id, incoming):
                said.claims.append(image)
                said.links.append(link)
    return said
