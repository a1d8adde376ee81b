"""AddAssociation, DeleteAssociation and ListAssociations.

Knows the members of requests and answers, and the columns that are sorted and filtered by. Between two things there is one
association at most (U: DeleteAssociation takes no type, so that it could not say which of several).
"""

from __future__ import annotations

from typing import Any

from lineage_flows.endpoint.assumptions import DEFAULT_ASSOCIATION_TYPE, already_exists
from lineage_flows.endpoint.backend import Answer, Backend, Handler, Request
from lineage_flows.endpoint.entities import full_quota
from lineage_flows.endpoint.errors import not_found
from lineage_flows.endpoint.moments import epoch_seconds
from lineage_flows.endpoint.paging import Window, turn_page
from lineage_flows.endpoint.tables import ENDS

__all__ = ["OPERATIONS"]

_ROWS = f"""SELECT s.arn AS source, d.arn AS destination, s.type AS source_type, d.type AS destination_type, a.type AS type,
s.name AS source_name, d.name AS destination_name, a.created AS created
FROM association a JOIN entity s ON s.id = a.source JOIN entity d ON d.id = a.destination
WHERE s.arn IS NOT NULL AND d.arn IS NOT NULL
UNION ALL
SELECT l.source, l.destination, s.type, d.type, l.type, s.name, d.name, l.created
FROM endpoint_link l JOIN ({ENDS}) s ON s.arn = l.source JOIN ({ENDS}) d ON d.arn = l.destination"""  # noqa: S608 - constants

_MEMBERS = (
    "SourceArn", "DestinationArn", "SourceType", "DestinationType", "AssociationType", "SourceName", "DestinationName",
    "CreationTime",
)  # fmt: skip
"""The members of an answer, in the order of the columns of ``_ROWS``."""

_FILTERS = {
    "SourceArn": "source = ?",
    "DestinationArn": "destination = ?",
    "SourceType": "source_type = ?",
    "DestinationType": "destination_type = ?",
    "AssociationType": "type = ?",
    "CreatedAfter": "created >= ?",
    "CreatedBefore": "created <= ?",
}
_SORTED_BY = {
    "SourceArn": "source",
    "DestinationArn": "destination",
    "SourceType": "source_type",
    "DestinationType": "destination_type",
    "CreationTime": "created",
}


def add_association(backend: Backend, request: Request) -> Answer:
    """An edge from one thing to another, both of which have to be there."""
    source, destination = request["SourceArn"], request["DestinationArn"]
    with backend.store.writing() as change:
        known = change.ends([source, destination])
        for arn in (source, destination):
            if arn not in known:
                raise not_found(f"{arn} does not exist.")
        if change.edges(sources=[source], destinations=[destination]):
            raise already_exists(f"An association from {source} to {destination}")
        full_quota(backend, change, "Association")
        change.link(source, destination, request.get("AssociationType", DEFAULT_ASSOCIATION_TYPE), backend.now())
    return {"SourceArn": source, "DestinationArn": destination}


def delete_association(backend: Backend, request: Request) -> Answer:
    """Delete what leads from one thing to another."""
    source, destination = request["SourceArn"], request["DestinationArn"]
    with backend.store.writing() as change:
        if not change.edges(sources=[source], destinations=[destination]):
            raise not_found(f"There is no association from {source} to {destination}.")
        change.unlink(source, destination)
    return {"SourceArn": source, "DestinationArn": destination}


def list_associations(backend: Backend, request: Request) -> Answer:
    """Associations that meet every filter, newest first unless told otherwise."""
    conditions = [_FILTERS[member] for member in request if member in _FILTERS]
    values = [value for member, value in request.items() if member in _FILTERS]
    sorted_by = request.get("SortBy", "CreationTime")
    columns = (_SORTED_BY[sorted_by], "source", "destination", "type")

    with backend.store.reading(lagging=True) as snapshot:

        def fetch(window: Window) -> list[dict[str, Any]]:
            where = " AND ".join([*conditions, window.condition])
            query = f"SELECT * FROM ({_ROWS}) WHERE {where} ORDER BY {window.order} LIMIT ?"  # noqa: S608 - constants
            found = snapshot.connection.execute(query, [*values, *window.values, window.limit])
            return [dict(zip(_MEMBERS, row, strict=True)) for row in found]

        page = turn_page(
            "ListAssociations",
            request,
            columns=columns,
            secret=backend.store.secret,
            fetch=fetch,
            position=lambda row: (row[sorted_by], row["SourceArn"], row["DestinationArn"], row["AssociationType"]),
        )
    return {"AssociationSummaries": [_listed(row) for row in page.items], "NextToken": page.token}


def _listed(row: dict[str, Any]) -> Answer:
    answer = {**row, "CreationTime": epoch_seconds(row["CreationTime"]), "CreatedBy": {}}
    return {key: value for key, value in answer.items() if value is not None}


OPERATIONS: dict[str, Handler] = {
    "AddAssociation": add_association,
    "DeleteAssociation": delete_association,
    "ListAssociations": list_associations,
}
