"""A flow that trains in SageMaker: the job stands between its data and its model in valid events, graph and replay."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from moto.server import ThreadedMotoServer

from lineage_flows.delivery import Spool
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.query import downstream, upstream
from lineage_flows.records import FlowRecord
from tests.support.flows import Ran, flow_environment, run_script
from tests.support.openlineage import check

pytestmark = pytest.mark.server

FLOW = """
import boto3
from prefect import flow, task

def sagemaker():
    return boto3.client("sagemaker", endpoint_url=ENDPOINT, region_name="us-east-1")

@task
def start(name):
    sagemaker().create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": "desk:7", "TrainingInputMode": "File"},
        RoleArn="arn:aws:iam::123456789012:role/training",
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": "s3://desk/train"}}}],
        OutputDataConfig={"S3OutputPath": "s3://desk/models"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        HyperParameters={"depth": "5"},
    )

@task
def wait(name):
    answer = sagemaker().describe_training_job(TrainingJobName=name)
    assert answer["TrainingJobStatus"] == "Completed"
    return answer["ModelArtifacts"]["S3ModelArtifacts"]

@flow
def training(name):
    started = start(name)
    return wait(name, wait_for=[started])

if __name__ == "__main__":
    training("nightly")
"""
JOB = "arn:aws:sagemaker:us-east-1:123456789012:training-job/nightly"
MODEL = "s3://desk/models/nightly/output/model.tar.gz"


@pytest.fixture(scope="module")
def ran(prefect_server: object, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("sagemaker")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    source = FLOW.replace("ENDPOINT", repr(f"http://{host}:{port}"))
    try:
        done = run_script(source, folder / "project", folder / "home", **keys)
    finally:
        server.stop()
    assert done.code == 0, done.err
    return done


def test_the_job_is_in_valid_events(ran: Ran) -> None:
    with closing(Spool(ran.home / "spool.db")) as spool:
        payloads = [item.event.payload for item in spool.pending("nobody", 1_000)]
    assert check(payloads) == []
    ends = {event["job"]["name"]: event for event in map(orjson.loads, payloads) if event["eventType"] == "COMPLETE"}
    outputs = {f"{item['namespace']}:{item['name']}": item for item in ends["training.start"]["outputs"]}
    facet = outputs[JOB]["facets"]["lineageFlows_artifact"]
    assert (facet["artifactType"], facet["givenProperties"]["hyperparameters"]) == ("Job", {"depth": "5"})
    assert [record.capture_errors for record in ran.records()] == [()] * len(ran.records())


def test_the_graph_leads_from_the_model_over_the_job_to_its_data_and_back(ran: Ran) -> None:
    with closing(open_embedded(ran.home / "graph.db", read_only=True)) as graph:
        (model,) = graph.list_artifacts(source_uri=MODEL)
        (job,) = graph.list_artifacts(source_uri=JOB)
        (data,) = graph.list_artifacts(source_uri="s3://desk/train")
        assert (model.type, job.type, data.type) == ("Model", "Job", "DataSet")
        assert json.loads(job.properties["givenProperties"])["image"] == "desk:7"
        above = {node.entity.arn for node in upstream(graph, model.arn).nodes}
        below = {node.entity.arn for node in downstream(graph, data.arn).nodes}
    assert {job.arn, data.arn} <= above
    assert {job.arn, model.arn} <= below


def test_a_replay_starts_no_job_again(ran: Ran, tmp_path: Path) -> None:
    """Nothing listens any more at the endpoint: what the steps gave was kept in place of the calls."""
    (run_id,) = (record.run_id for record in ran.records() if isinstance(record, FlowRecord))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lineage-flows"), "replay", run_id, "--json"],
        cwd=tmp_path,
        env=flow_environment(ran.home, AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing"),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["verdict"] == "identical", done.stderr
    assert {step["verdict"] for step in answer["steps"]} == {"restored"}
