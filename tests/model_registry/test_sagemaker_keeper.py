"""The same with the graph in SageMaker: the version's artifact there has the ARN for its URI, and its lineage is read there."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from lineage_flows import lineage, register_model
from lineage_flows.endpoint.server import Endpoint
from lineage_flows.records import FlowRecord
from lineage_flows.settings import load_settings
from tests.model_registry.test_end_to_end import FLOW, prices, registry_environment, said
from tests.support.cloud import Cloud
from tests.support.flows import run_script
from tests.support.router import routed

pytestmark = pytest.mark.server


def test_from_the_version_to_the_file_and_back(
    prefect_server: object, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = prices(tmp_path)
    with Endpoint(tmp_path / "there") as there, routed(there.url, cloud.url) as url:
        here = {"AWS_ENDPOINT_URL_SAGEMAKER": url, "LINEAGE_FLOWS_KEEPER": "sagemaker"}
        source = FLOW.replace('group="Desk-Ridge"', 'group="Desk-Keeper"')
        ran = run_script(
            source, tmp_path / "project", tmp_path / "home", str(path), "task", **registry_environment(cloud), **here
        )
        assert ran.code == 0, ran.err
        arn = said(ran.out)["arn"]
        for name, text in here.items():
            monkeypatch.setenv(name, text)
        settings = load_settings(home=ran.home)
        with lineage(settings) as graph:
            (package,) = graph.resolve("Desk-Keeper/1")
            assert (package.source_uri, package.source_types) == (arn, ())  # type: ignore[union-attr]
            assert package.arn.startswith("arn:aws:sagemaker:")
            above = {node.entity.source_uri for node in graph.upstream(arn).nodes}
            csv = next(uri for uri in above if uri.endswith("/prices.csv"))
            assert said(ran.out)["source_uri"] in above
            assert [item.source_uri for item in graph.registered(of=csv)] == [arn]
        # From outside of the flow, by a reference that is read from SageMaker.
        (flow,) = [record for record in ran.records() if isinstance(record, FlowRecord)]
        done = register_model(flow.run_id, group="Desk-Later", settings=settings)
        assert (done.version, done.created, done.run_id) == (1, True, flow.run_id)
        with lineage(settings) as graph:
            assert csv in {node.entity.source_uri for node in graph.upstream("desk-later/1").nodes}
            assert {item.source_uri for item in graph.registered(of=csv)} == {arn, done.arn}
        listed = boto3.client("sagemaker", endpoint_url=there.url).list_artifacts(SourceUri=done.arn)
        assert len(listed["ArtifactSummaries"]) == 1
