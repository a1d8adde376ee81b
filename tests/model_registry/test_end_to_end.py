"""A flow that trains and registers: from the version to the file it was made of and back, once, and never again in a replay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest

from lineage_flows import lineage
from lineage_flows.delivery import Spool
from lineage_flows.records import FlowRecord
from lineage_flows.settings import load_settings
from tests.support.cloud import ACCOUNT, REGION, Cloud
from tests.support.flows import Ran, flow_environment, run_script
from tests.support.openlineage import check

pytestmark = pytest.mark.server

FLOW = """
import sys
import pandas as pd
from prefect import flow, task
from sklearn.linear_model import Ridge
import lineage_flows

@task
def load(path):
    return pd.read_csv(path)

@task(tags=["training"])
def fit(prices):
    return Ridge(alpha=0.5).fit(prices[["x"]], prices["y"])

@task
def register(model):
    done = lineage_flows.register_model(model, group="Desk-Ridge", description="nightly", metrics={"r2": 0.875})
    print("REGISTERED", done.model_dump_json(), flush=True)
    return done.version

@flow
def nightly(path, where):
    model = fit(load(path))
    if where == "task":
        return register(model)
    done = lineage_flows.register_model(model, group="Desk-Flow", image="111122223333.dkr.ecr.eu-central-1.amazonaws.com/r:1")
    print("REGISTERED", done.model_dump_json(), flush=True)
    return done.version

if __name__ == "__main__":
    nightly(sys.argv[1], sys.argv[2])
"""
PACKAGE = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package"


def prices(folder: Path) -> Path:
    path = folder / "prices.csv"
    path.write_text("x,y\n1,2.1\n2,3.9\n3,6.2\n4,8.1\n")
    return path


def said(out: str) -> dict[str, Any]:
    (line,) = [line for line in out.splitlines() if line.startswith("REGISTERED")]
    return json.loads(line.removeprefix("REGISTERED "))


def registry_environment(cloud: Cloud) -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name.startswith("AWS_")} | {
        "LINEAGE_FLOWS_SAGEMAKER_MODELS_URL": "s3://models-of-desk/team"
    }


@pytest.fixture(scope="module", params=["task", "flow"])
def ran(
    request: pytest.FixtureRequest, prefect_server: object, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    folder = tmp_path_factory.mktemp(f"registry-{request.param}")
    path = prices(folder)
    done = run_script(
        FLOW, folder / "project", folder / "home", str(path), request.param, **registry_environment(cloud)
    )
    assert done.code == 0, done.err
    assert [record.capture_errors for record in done.records()] == [()] * len(done.records())
    return done


def test_a_version_leads_to_file_and_code_and_the_file_to_the_version(ran: Ran) -> None:
    done = said(ran.out)
    arn = done["arn"]
    assert (done["version"], done["created"], done["approval"]) == (1, True, "PendingManualApproval")
    with lineage(load_settings(home=ran.home)) as graph:
        (package,) = graph.resolve(arn)
        assert graph.resolve(f"{done['group']}/1") == (package,)
        assert package.source_types == ()  # type: ignore[union-attr]
        above = graph.upstream(arn)
        labels = {(node.entity.type, node.entity.label) for node in above.nodes}
        types = {node.entity.type for node in above.nodes}
        (csv,) = [node.entity for node in above.nodes if node.entity.source_uri.endswith("/prices.csv")]
        assert {"DataSet", "Model", "SourceCode", "SourceTree", "Environment"} <= types, labels
        assert arn in {node.entity.source_uri for node in graph.downstream(csv.source_uri).nodes}
        assert graph.path(csv.source_uri, arn).entities[-1].source_uri == arn
        (model,) = graph.resolve(done["source_uri"])
        assert model.arn in {node.entity.arn for node in above.nodes}
        assert graph.registered() == [package]
        assert graph.registered(of=csv.source_uri) == [package]
        assert graph.registered("another-group") == []


def test_the_version_in_the_registry_names_its_run(ran: Ran, cloud: Cloud) -> None:
    done = said(ran.out)
    found = cloud.client("sagemaker").describe_model_package(ModelPackageName=done["arn"])
    properties = found["CustomerMetadataProperties"]
    steps = {step.task_name: step.run_id for step in ran.steps()}
    (flow,) = [record for record in ran.records() if isinstance(record, FlowRecord)]
    assert properties["lineage-flows.run-id"] == flow.run_id == done["run_id"]
    assert properties["lineage-flows.step-id"] == steps["fit"] == done["step_id"]
    assert properties["lineage-flows.task"] == "fit"
    assert properties["lineage-flows.content"] == done["content"]
    assert properties["lineage-flows.artifact"] == done["source_uri"]
    assert found["ModelApprovalStatus"] == "PendingManualApproval"
    tags = cloud.client("sagemaker").list_tags(
        ResourceArn=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package-group/{done['group']}"
    )["Tags"]
    assert {"Key": "managed-by", "Value": "lineage-flows"} in tags
    if done["group"] == "Desk-Ridge":
        assert found["ModelPackageDescription"] == "nightly"
        assert properties["metric.r2"] == "0.875"
        assert done["model_data"] is None
        return
    (container,) = found["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == done["model_data"]
    bucket, _, key = done["model_data"].removeprefix("s3://").partition("/")
    body = cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=BytesIO(body)) as tar:
        assert tar.getnames() == ["model.pkl"]


def test_it_is_said_once_in_valid_events(ran: Ran) -> None:
    with closing(Spool(ran.home / "spool.db")) as spool:
        payloads = [item.event.payload for item in spool.pending("nobody", 1_000)]
    assert check(payloads) == []
    ends = [event for event in map(orjson.loads, payloads) if event["eventType"] == "COMPLETE"]
    arn = said(ran.out)["arn"]
    outputs = [item["name"] for event in ends for item in event["outputs"] if item["namespace"].startswith("arn:")]
    assert outputs == [arn.rpartition(":")[2]]


def test_a_replay_registers_nothing(ran: Ran, cloud: Cloud, tmp_path: Path) -> None:
    done = said(ran.out)
    (flow,) = [record for record in ran.records() if isinstance(record, FlowRecord)]
    environment = flow_environment(
        ran.home, **{**registry_environment(cloud), "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    )
    program = str(Path(sys.executable).parent / "lineage-flows")
    replay = subprocess.run(
        [program, "replay", flow.run_id, "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    answer = json.loads(replay.stdout)
    assert answer.get("verdict") == "identical", replay.stdout + replay.stderr
    listed = cloud.client("sagemaker").list_model_packages(ModelPackageGroupName=done["group"])
    assert len(listed["ModelPackageSummaryList"]) == 1
    with lineage(load_settings(home=ran.home)) as graph:
        makers = graph._keeper.associations(destinations=[graph.resolve(done["arn"])[0].arn], types=("Produced",))
    assert len(makers) == 1
