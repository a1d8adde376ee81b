"""ListArtifacts, ListActions and ListContexts.

Knows the members of requests and answers, and the columns that are sorted and filtered by.
"""

from __future__ import annotations

from functools import partial

from lineage_flows.endpoint.backend import Answer, Backend, Handler, Request
from lineage_flows.endpoint.entities import KINDS, Kind, summary
from lineage_flows.endpoint.paging import Window, turn_page
from lineage_flows.endpoint.snapshot import Snapshot, Stored

__all__ = ["OPERATIONS"]

_FILTERS = {"SourceUri": "e.source_uri = ?", "CreatedAfter": "e.created >= ?", "CreatedBefore": "e.created <= ?"}
"""Both ends of a span of time are part of it (D: "on or after", "on or before")."""

_COLUMNS = {"CreationTime": ("e.created", "e.arn"), "Name": ("e.name", "e.arn")}


def list_entities(kind: Kind, backend: Backend, request: Request) -> Answer:
    """List*: newest first unless told otherwise."""
    filters = {**_FILTERS, kind.type: "e.type = ?"}
    conditions = [(filters[member], [value]) for member, value in request.items() if member in filters]
    by_name = request.get("SortBy") == "Name"

    def fetch(snapshot: Snapshot, window: Window) -> list[Stored]:
        within = (window.condition, window.values)
        few = "SourceUri" in request
        return snapshot.page(kind.lineage, [*conditions, within], window.order, window.limit, few=few)

    def position(stored: Stored) -> tuple[str, str]:
        entity = stored.entity
        return (entity.name or "") if by_name else entity.created_at, entity.arn

    with backend.store.reading(lagging=True) as snapshot:
        page = turn_page(
            f"List{kind.lineage}s",
            request,
            columns=_COLUMNS["Name" if by_name else "CreationTime"],
            secret=backend.store.secret,
            fetch=partial(fetch, snapshot),
            position=position,
        )
    return {f"{kind.lineage}Summaries": [_listed(kind, stored) for stored in page.items], "NextToken": page.token}


def _listed(kind: Kind, stored: Stored) -> Answer:
    return {key: value for key, value in summary(kind, stored).items() if value is not None}


OPERATIONS: dict[str, Handler] = {f"List{kind.lineage}s": partial(list_entities, kind) for kind in KINDS}
