from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.errors import UnknownReferenceError
from lineage_flows.graph.columns import _links, column_properties, columns_of, trace_column
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.incoming import Dataset
from lineage_flows.graph.keeper import PROPERTY, Keeper
from lineage_flows.graph.model import Artifact
from lineage_flows.graph.project import project
from lineage_flows.record_base import ColumnEdge, ColumnSource
from lineage_flows.records import Column, RunRecord, StepRecord, ValueRef, value_uri
from tests.graph.kit import events_of
from tests.support.records import NAMESPACE, backtest_flow, fingerprint, prices_file, step, taken


def identity(output: str, parameter: str, column: str) -> ColumnEdge:
    source = ColumnSource(namespace="inmemory://", name=parameter, column=column)
    return ColumnEdge(output=output, inputs=(source,), how="identity", known_by="content")


def frame(name: str, *edges: ColumnEdge, columns: tuple[str, ...] = ("close", "day")) -> ValueRef:
    return ValueRef(
        fingerprint=fingerprint(name),
        type="pandas.DataFrame",
        kind="DataSet",
        shape=(100, len(columns)),
        columns=tuple(Column(name=column, type="float64") for column in columns),
        column_lineage=edges,
    )


def chain() -> tuple[StepRecord, ...]:
    """Two mapped loads of one task, a merge of both, and a step that renames."""
    path = prices_file().path
    read = ColumnEdge(
        output="close",
        inputs=(ColumnSource(namespace="file", name=path, column="price"),),
        how="transformation",
    )
    one = step(0, "load", output=frame("one", read), datasets=(prices_file(),))
    other = step(1, "load", output=frame("other"))
    merged = frame("merged", identity("close_a", "a", "close"), identity("close_b", "b", "close"))
    merge = step(2, "merge", inputs=(taken("a", one.output, one), taken("b", other.output, other)), output=merged)
    renamed = frame("renamed", identity("left", "data", "close_a"), identity("right", "data", "close_b"))
    return one, other, merge, step(3, "rename", inputs=(taken("data", merge.output, merge),), output=renamed)


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    keeper = open_embedded(tmp_path / "graph.db")
    project(events_of(RunRecord(flow=backtest_flow(), steps=chain())), keeper)
    return keeper


def arn(keeper: Keeper, record: StepRecord) -> str:
    (found,) = keeper.list_artifacts(source_uri=value_uri(NAMESPACE, "task-run", record.run_id, "result"))
    return found.arn


def test_a_column_is_followed_through_renames_to_the_one_producer_of_two_of_the_same_name(keeper: Keeper) -> None:
    one, other, merge, rename = chain()
    trace = trace_column(keeper, arn(keeper, rename), "left")
    (file,) = keeper.list_artifacts(source_uri=prices_file().uri)
    assert [(link.source_arn, link.source_column, link.how, link.depth) for link in trace.links] == [
        (arn(keeper, merge), "close_a", "identity", 1),
        (arn(keeper, one), "close", "identity", 2),
        (file.arn, "price", "transformation", 3),
    ]
    assert trace.complete
    assert [entity.arn for entity in trace.entities] == [arn(keeper, x) for x in (rename, merge, one)] + [file.arn]
    (*_, last) = trace_column(keeper, arn(keeper, rename), "right").links
    assert last.source_arn == arn(keeper, other)


def test_a_column_of_which_nothing_is_known_has_no_links(keeper: Keeper) -> None:
    _, other, _, rename = chain()
    assert trace_column(keeper, arn(keeper, rename), "nothing").links == ()
    assert trace_column(keeper, arn(keeper, other), "close").links == ()
    assert columns_of(keeper, arn(keeper, other)) == ()
    with pytest.raises(UnknownReferenceError):
        trace_column(keeper, "arn:aws:sagemaker:local:000000000000:artifact/none", "x")


def test_what_holds_for_all_columns_is_said_of_each(tmp_path: Path) -> None:
    join = ColumnEdge(output="", inputs=(ColumnSource(namespace="inmemory://", name="a", column="day"),), how="join")
    one = step(0, "load", output=frame("one"))
    made = step(1, "join", inputs=(taken("a", one.output, one),), output=frame("j", join, identity("x", "a", "close")))
    keeper = open_embedded(tmp_path / "graph.db")
    project(events_of(RunRecord(flow=backtest_flow(), steps=(one, made))), keeper)
    trace = trace_column(keeper, arn(keeper, made), "x")
    assert {(link.column, link.source_column, link.how) for link in trace.links} == {
        ("", "day", "join"),
        ("x", "close", "identity"),
    }


def test_more_columns_than_fit_are_counted(tmp_path: Path) -> None:
    names = [f"a_rather_long_name_of_a_column_{number}" for number in range(900)]
    one = step(0, "load", output=frame("one"))
    edges = tuple(identity(name, "a", name) for name in names)
    made = step(1, "wide", inputs=(taken("a", one.output, one),), output=frame("wide", *edges))
    keeper = open_embedded(tmp_path / "graph.db")
    project(events_of(RunRecord(flow=backtest_flow(), steps=(one, made))), keeper)
    (artifact,) = keeper.get([arn(keeper, made)]).values()
    kept = orjson.loads(artifact.properties["columnLineage"])  # type: ignore[union-attr]
    assert len(artifact.properties["columnLineage"]) <= 4096  # type: ignore[union-attr]
    assert len(kept) - 1 + kept["…"] == 900
    assert not trace_column(keeper, artifact.arn, names[0]).complete
    assert len(columns_of(keeper, artifact.arn)) == len(kept) - 1


@pytest.mark.parametrize(
    "facet",
    [
        {"fields": None},
        {"fields": {"a": None, "b": {"inputFields": "no"}, "c": {"inputFields": [{"namespace": 1}]}}},
        {"fields": {"a": {"inputFields": [{"namespace": "x", "name": "y"}]}}, "dataset": [1]},
        "no",
    ],
)
def test_an_odd_facet_of_another_producer_is_passed_over(tmp_path: Path, facet: object) -> None:
    keeper = open_embedded(tmp_path / "graph.db")
    event = {
        "eventType": "COMPLETE", "eventTime": "2026-01-01T00:00:00Z", "producer": "x:y",
        "run": {"runId": "01935c2e-7a10-7c3e-9d1a-5b6f0a4c1eff"}, "job": {"namespace": "n", "name": "j"},
        "inputs": [], "outputs": [{"namespace": "db", "name": "t", "facets": {"columnLineage": facet}}],
    }  # fmt: skip
    project([event], keeper)
    (table,) = keeper.list_artifacts(source_uri="db:t")
    assert "columnLineage" not in table.properties


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FIELD = st.fixed_dictionaries(
    {"namespace": st.text(), "name": st.text(), "field": st.text()},
    optional={"transformations": st.lists(JSON) | JSON, "lineageFlows_sourceUri": st.text()},
)
FACET = st.fixed_dictionaries(
    {"fields": st.dictionaries(st.text(), st.fixed_dictionaries({"inputFields": st.lists(FIELD) | JSON})) | JSON},
    optional={"dataset": st.lists(FIELD) | JSON},
)


@given(FACET)
def test_any_facet_gives_properties_that_fit_and_can_be_read(facet: dict[str, object]) -> None:
    found = column_properties(Dataset("n", "d", {"columnLineage": facet}, is_output=True))
    for text in found.values():
        assert text is not None
        assert len(text) <= 4096
        orjson.loads(text)
    properties = {key.removeprefix(PROPERTY): text for key, text in found.items() if text is not None}
    artifact = Artifact(
        arn="arn:aws:sagemaker:local:000000000000:artifact/x",
        source_uri="n:d",
        created_at="2026-01-01T00:00:00.000000Z",
        artifact_type="DataSet",
        properties=properties,
    )
    with TemporaryDirectory() as folder, closing(open_embedded(Path(folder) / "graph.db")) as keeper:
        assert bool(list(_links(keeper, artifact, None, 1))) == bool(found)


def test_a_column_made_from_itself_ends(tmp_path: Path) -> None:
    keeper = open_embedded(tmp_path / "graph.db")
    table = {"namespace": "postgres://db", "name": "t"}
    used = {**table, "field": "a", "transformations": [{"type": "DIRECT", "subtype": "TRANSFORMATION"}]}
    event = {
        "eventType": "COMPLETE", "eventTime": "2026-01-01T00:00:00Z", "producer": "x:y",
        "run": {"runId": "01935c2e-7a10-7c3e-9d1a-5b6f0a4c1eff"}, "job": {"namespace": "n", "name": "j"},
        "inputs": [table],
        "outputs": [{**table, "facets": {"columnLineage": {"fields": {"a": {"inputFields": [used]}}}}}],
    }  # fmt: skip
    project([event], keeper)
    (found,) = keeper.list_artifacts(source_uri="postgres://db/t")
    (link,) = trace_column(keeper, found.arn, "a").links
    assert (link.source_arn, link.how) == (found.arn, "transformation")
