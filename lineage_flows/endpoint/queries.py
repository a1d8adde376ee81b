"""QueryLineage and Search: requests into walks and expressions, and what they find into answers.

Knows the members of requests and answers; the rules are in ``query_lineage``, ``searching`` and ``search_pages``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lineage_flows.endpoint import query_lineage, search_pages
from lineage_flows.endpoint.answering import told
from lineage_flows.endpoint.backend import Answer, Backend, Handler, Request
from lineage_flows.endpoint.errors import not_found, validation
from lineage_flows.endpoint.lineage_source import StoredLineage
from lineage_flows.endpoint.paging import Window, scope_of, turn_page
from lineage_flows.endpoint.query_lineage import Filters, Node, Place, Query, walk
from lineage_flows.endpoint.search_pages import Key, Ranking, Search, key_of_texts, texts_of_key, turn
from lineage_flows.endpoint.search_properties import RESOURCES, record_shape
from lineage_flows.endpoint.search_records import records_of
from lineage_flows.endpoint.searching import Record

__all__ = ["OPERATIONS"]

MOST_TYPE = 40
"""Letters of a vertex's type: the answer has room for fewer than an entity's own type may have (D; what becomes of the rest U)."""


def query(backend: Backend, request: Request) -> Answer:
    """QueryLineage. Pages that follow are of the answer whose first page was given out, as long as that is kept."""
    starts = request.get("StartArns")
    if not starts:
        raise validation("StartArns must have one ARN.")
    if request.get("MaxResults", 1) < 1 or request.get("MaxDepth", 0) < 0:  # the model has no least values (U)
        raise validation("MaxResults must be at least 1, and MaxDepth at least 0.")
    wanted = Query(
        starts[0],
        request.get("Direction", "Both"),
        request.get("IncludeEdges", False),
        _filters(request.get("Filters", {})),
        request.get("MaxDepth", query_lineage.MAX_DEPTH),
    )
    kept = backend.walked.get(wanted) if "NextToken" in request else None
    answer = _walked(backend, wanted) if kept is None else kept
    after: Place | None = None

    def fetch(window: Window) -> list[tuple[Place, Node]]:
        nonlocal after
        if window.values:
            depth, arn = map(str, window.values)
            after = int(depth), arn
        return answer.vertices(after, window.limit)

    page = turn_page(
        "QueryLineage",
        {"MaxResults": query_lineage.MAX_RESULTS, **request},
        columns=("depth", "arn"),
        secret=backend.store.secret,
        fetch=fetch,
        position=lambda item: (str(item[0][0]), item[0][1]),
    )
    if page.token is not None and kept is None:
        backend.walked.keep(wanted, answer)
    edges = answer.edges(after, page.items[-1][0] if page.token else None)
    return {
        "Vertices": [_vertex(node) for _, node in page.items],
        "Edges": [
            {"SourceArn": edge.source, "DestinationArn": edge.destination, "AssociationType": edge.type}
            for edge in edges
        ],
        "NextToken": page.token,
    }


def find(backend: Backend, request: Request) -> Answer:
    """Search, newest first unless told otherwise. What is not kept here (endpoints, pipelines …) is nowhere found.

    The first page reads all there are of the resource; each page that follows reads what it hands out, by the places that the first
    one found, as long as these are kept.
    """
    resource = request["Resource"]
    # No other account's resources can be discovered here, and CrossAccount asks for those only (D).
    here = resource in RESOURCES and request.get("CrossAccountFilterOption", "SameAccount") == "SameAccount"
    scope = scope_of("Search", request)
    ranking = Ranking([], descending=True)

    with backend.store.reading(lagging=True) as snapshot:

        def fetch(window: Window) -> list[tuple[Key, Record]]:
            nonlocal ranking
            if not here:
                return []
            wanted, own = _search(request), RESOURCES[resource][1]
            kept = backend.searched.get(scope) if window.values else None
            everything: dict[str, Record] = {}
            if kept is None:
                everything = {str(record[own]): record for record in records_of(snapshot, resource)}
                kept = wanted.ranked(everything.values())
                if len(kept) > window.limit - 1:
                    backend.searched.keep(scope, kept)
            ranking = kept

            def read(arns: Sequence[str]) -> Mapping[str, Record]:
                return everything or {str(record[own]): record for record in records_of(snapshot, resource, arns)}

            return turn(wanted, kept, key_of_texts(window.values) if window.values else None, window.limit, read)

        page = turn_page(
            "Search",
            {"MaxResults": search_pages.MAX_RESULTS, **request},
            columns=("has", "number", "text", "arn"),
            secret=backend.store.secret,
            fetch=fetch,
            position=lambda item: texts_of_key(item[0]),
        )
    return {
        "Results": [{RESOURCES[resource][0]: told(record_shape(resource), record)} for _, record in page.items],
        "NextToken": page.token,
        "TotalHits": {"Value": len(ranking), "Relation": "EqualTo"},
    }


def _search(request: Request) -> Search:
    return Search(
        request["Resource"],
        expression=request.get("SearchExpression"),
        visibility=request.get("VisibilityConditions", ()),
        sort_by=request.get("SortBy", ""),
        descending=request.get("SortOrder", "Descending") == "Descending",
    )


def _walked(backend: Backend, wanted: Query) -> query_lineage.Answer:
    with backend.store.reading(lagging=True) as snapshot:
        answer = walk(StoredLineage(snapshot, properties=bool(wanted.filters.properties)), wanted)
        if answer is not None:
            return answer
        if snapshot.end(wanted.start) is None:
            raise not_found(f"{wanted.start} does not exist.")
    return query_lineage.Answer({}, (), ())  # an experiment


def _filters(given: Request) -> Filters:
    return Filters(
        types=frozenset(given.get("Types", ())),
        lineage_types=frozenset(given.get("LineageTypes", ())),
        created_before=given.get("CreatedBefore"),
        created_after=given.get("CreatedAfter"),
        modified_before=given.get("ModifiedBefore"),
        modified_after=given.get("ModifiedAfter"),
        properties=frozenset(given.get("Properties", {}).items()),
    )


def _vertex(node: Node) -> Answer:
    vertex = {"Arn": node.arn, "LineageType": node.lineage_type}
    return vertex if node.type is None else {**vertex, "Type": node.type[:MOST_TYPE]}


OPERATIONS: dict[str, Handler] = {"QueryLineage": query, "Search": find}
