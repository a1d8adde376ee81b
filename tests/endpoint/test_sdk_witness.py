"""SageMaker's own SDK reads what flows recorded, and writes beside it: an independent client that knows nothing of this project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import networkx as nx
import pytest
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.lineage import action as sdk_action
from sagemaker.core.lineage import artifact as sdk_artifact
from sagemaker.core.lineage import association as sdk_association
from sagemaker.core.lineage import context as sdk_context
from sagemaker.core.lineage.query import (
    LineageEntityEnum,
    LineageFilter,
    LineageQuery,
    LineageQueryDirectionEnum,
    LineageSourceEnum,
)
from sagemaker.core.lineage.visualizer import LineageTableVisualizer

from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.model import Action, Artifact, Context, Entity
from lineage_flows.graph.project import project
from tests.endpoint.kit import client
from tests.graph.kit import events_of
from tests.support.records import backtest_record

RECORD = backtest_record()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def graph(fast_home: Path) -> Any:
    """A recorded run in the graph that the endpoint serves."""
    keeper = open_embedded(fast_home / "graph.db")
    project(events_of(RECORD), keeper)
    yield keeper
    keeper.close()


@pytest.fixture
def session(graph: Keeper, endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    boto = boto3.Session(region_name="us-east-1")
    return Session(boto_session=boto, sagemaker_client=client(endpoint.url))


def entities(graph: Keeper) -> dict[str, Entity]:
    found: list[Entity] = [*graph.list_artifacts(), *graph.list_actions(), *graph.list_contexts()]
    return {entity.arn: entity for entity in found}


def the_model(graph: Keeper) -> Artifact:
    (model,) = graph.list_artifacts(artifact_types=["Model"])
    return model


LOADS: dict[type, Callable[[Any, Any], Any]] = {
    Artifact: lambda one, session: sdk_artifact.Artifact.load(artifact_arn=one.arn, sagemaker_session=session),
    Action: lambda one, session: sdk_action.Action.load(action_name=one.name, sagemaker_session=session),
    Context: lambda one, session: sdk_context.Context.load(context_name=one.name, sagemaker_session=session),
}


def test_every_entity_is_loaded_as_the_graph_has_it(graph: Keeper, session: Any) -> None:
    known = entities(graph)
    assert {type(one) for one in known.values()} == set(LOADS)
    for one in known.values():
        loaded = LOADS[type(one)](one, session)
        kind = one.lineage_type.lower()
        assert getattr(loaded, f"{kind}_arn") == one.arn
        assert getattr(loaded, f"{kind}_name") == one.name
        assert getattr(loaded, f"{kind}_type") == one.type
        assert loaded.source.source_uri == one.source_uri
        assert loaded.properties == one.properties
        if isinstance(one, Artifact):
            found = [(item["SourceIdType"], item["Value"]) for item in loaded.source.source_types or ()]
            assert found == [(item.type, item.value) for item in one.source_types]
        if isinstance(one, Action):
            assert loaded.status == one.status


def test_lists_and_associations_are_the_graphs(graph: Keeper, session: Any) -> None:
    known = entities(graph)
    listed = [
        *(item.artifact_arn for item in sdk_artifact.Artifact.list(sagemaker_session=session)),
        *(item.action_arn for item in sdk_action.Action.list(sagemaker_session=session)),
        *(item.context_arn for item in sdk_context.Context.list(sagemaker_session=session)),
    ]
    assert sorted(listed) == sorted(known)
    found = set()
    for arn in known:
        for edge in sdk_association.Association.list(source_arn=arn, sagemaker_session=session):
            found.add((edge.source_arn, edge.destination_arn, edge.association_type))
            assert (edge.source_type, edge.destination_type) == (
                known[edge.source_arn].type,
                known[edge.destination_arn].type,
            )
    edges = {(edge.source_arn, edge.destination_arn, edge.association_type) for edge in graph.associations()}
    assert found == edges


@pytest.mark.parametrize("direction", [LineageQueryDirectionEnum.ASCENDANTS, LineageQueryDirectionEnum.DESCENDANTS])
def test_a_query_reaches_what_the_associations_reach(graph: Keeper, session: Any, direction: Any) -> None:
    edges = [(edge.source_arn, edge.destination_arn) for edge in graph.associations()]
    reach = nx.DiGraph(edges)
    reached = nx.ancestors if direction == LineageQueryDirectionEnum.ASCENDANTS else nx.descendants
    for arn in entities(graph):
        expected = reached(reach, arn) if arn in reach else set()
        result = LineageQuery(session).query(start_arns=[arn], direction=direction, max_depth=10)
        assert {vertex.arn for vertex in result.vertices} - {arn} == expected
        assert {(edge.source_arn, edge.destination_arn) for edge in result.edges} <= set(edges)


def test_a_filtered_query_and_its_objects(graph: Keeper, session: Any) -> None:
    model = the_model(graph)
    wanted = LineageFilter(entities=[LineageEntityEnum.ARTIFACT], sources=[LineageSourceEnum.DATASET])
    result = LineageQuery(session).query(
        start_arns=[model.arn],
        query_filter=wanted,
        direction=LineageQueryDirectionEnum.ASCENDANTS,
        include_edges=False,
    )
    (prices,) = result.vertices
    dataset = prices.to_lineage_object()
    assert isinstance(dataset, sdk_artifact.Artifact)
    assert dataset.source.source_uri == next(
        one.source_uri for one in graph.list_artifacts(artifact_types=["DataSet"]) if one.arn == prices.arn
    )
    whole = LineageQuery(session).query(start_arns=[model.arn], direction=LineageQueryDirectionEnum.BOTH)
    drawn = whole._get_visualization_elements()
    assert {node[0] for node in drawn["nodes"]} == {vertex.arn for vertex in whole.vertices}


def test_the_table_of_the_visualizer(graph: Keeper, session: Any) -> None:
    model = the_model(graph)
    table = LineageTableVisualizer(session)._get_associations_dataframe(model.arn)
    assert sorted(zip(table["Direction"], table["Type"], table["Association Type"], strict=True)) == [
        ("Input", "Training", "Produced"),
        ("Output", "Processing", "ContributedTo"),
    ]


def test_what_the_sdk_writes_is_joined_to_what_flows_recorded(graph: Keeper, session: Any) -> None:
    model = the_model(graph)
    review = sdk_action.Action.create(
        action_name="review-of-risk",
        source_uri="https://desk/review/7",
        source_type="Review",
        action_type="Approval",
        status="InProgress",
        properties={"by": "risk"},
        sagemaker_session=session,
    )
    sdk_association.Association.create(
        source_arn=model.arn,
        destination_arn=review.action_arn,
        association_type="ContributedTo",
        sagemaker_session=session,
    )
    review.status, review.properties = "Completed", {"by": "risk", "verdict": "fine"}
    review.save()
    (approval,) = graph.list_actions(action_types=["Approval"])
    assert (approval.status, approval.properties) == ("Completed", {"by": "risk", "verdict": "fine"})
    below = LineageQuery(session).query(
        start_arns=[model.arn], direction=LineageQueryDirectionEnum.DESCENDANTS, max_depth=1
    )
    assert review.action_arn in {vertex.arn for vertex in below.vertices}
    review.delete(disassociate=True)
    assert graph.list_actions(action_types=["Approval"]) == []
    assert all(edge.destination_arn != review.action_arn for edge in graph.associations())


def test_the_example_of_the_article(graph: Keeper, fast_home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo.associations", "--home", str(fast_home)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    model = the_model(graph)
    associations, upstream, downstream = re.split(r"Upstream|Downstream", done.stdout)
    rows = [tuple(cell.strip() for cell in line.strip("│").split("│")) for line in associations.splitlines()]
    (made,) = [row for row in rows if "Produced" in row]
    assert (made[1], made[3], made[4]) == ("Training", model.name, "Model")
    known = {one.source_uri for one in graph.list_artifacts(artifact_types=["DataSet"])}
    assert any(uri in upstream for uri in known)
    assert "RunRecord" in downstream


def test_the_example_says_when_there_is_no_model(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo.associations", "--home", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "no artifact of the type Model" in done.stderr
