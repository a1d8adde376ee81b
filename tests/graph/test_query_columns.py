"""Columns that queries wrote: followed in the graph from table to table, whatever their databases are called."""

from __future__ import annotations

import pytest

from lineage_flows.graph.columns import trace_column
from lineage_flows.record_base import ColumnEdge, ColumnSource, ObjectFacts
from lineage_flows.records import DatasetRef, RunRecord
from tests.graph.kit import events_of, graph_of
from tests.support.records import backtest_flow, step

PLACES = [
    ("postgres://db:5432", "desk.public.", "postgres://db:5432/desk.public."),
    ("bigquery", "project.desk.", "bigquery/project.desk."),
    ("postgres", "", "postgres/"),
    ("file", "/data/a b+c~ü/", "file:///data/a%20b%2Bc~%C3%BC/"),
]


@pytest.mark.parametrize(("namespace", "before", "uri"), PLACES)
def test_a_column_is_followed_from_table_to_table(namespace: str, before: str, uri: str) -> None:
    def table(name: str, direction: str, *edges: ColumnEdge) -> DatasetRef:
        return DatasetRef(
            namespace=namespace,
            name=before + name,
            uri=uri + name,
            path=uri + name,
            direction=direction,  # type: ignore[arg-type]
            fingerprint=None,
            facts=ObjectFacts(statements=("INSERT",)),
            column_lineage=edges,
        )

    def edge(output: str, name: str, column: str) -> ColumnEdge:
        source = ColumnSource(namespace=namespace, name=before + name, column=column)
        return ColumnEdge(output=output, inputs=(source,), how="aggregation")

    derive = step(
        0, "derive", datasets=(table("prices", "read"), table("signals", "write", edge("level", "prices", "close")))
    )
    report = step(
        1, "report", datasets=(table("signals", "read"), table("totals", "write", edge("total", "signals", "level")))
    )
    keeper = graph_of(events_of(RunRecord(flow=backtest_flow(), steps=(derive, report))))
    (start,) = keeper.list_artifacts(source_uri=f"{uri}totals")
    found = [
        (link.source_uri, link.source_column, link.depth) for link in trace_column(keeper, start.arn, "total").links
    ]
    assert found == [(f"{uri}signals", "level", 1), (f"{uri}prices", "close", 2)]
