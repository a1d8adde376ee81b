"""A flow that writes data to S3, trains on it in SageMaker and reads the model, delivered to a SageMaker that ran the job."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from lineage_flows.endpoint.server import Endpoint
from lineage_flows.graph.model import Action
from lineage_flows.graph.query import upstream
from lineage_flows.graph.sagemaker import open_sagemaker
from tests.support.flows import Ran, flow_environment, run_script

pytestmark = pytest.mark.server

FLOW = """
import boto3
from prefect import flow, task

def client(service):
    return boto3.client(service, endpoint_url=ENDPOINT, region_name="us-east-1")

@task
def prepare():
    client("s3").put_object(Bucket="desk", Key="train/train.csv", Body=b"a,b\\n1,2\\n")

@task
def start():
    client("sagemaker").create_training_job(
        TrainingJobName="Nightly",
        AlgorithmSpecification={"TrainingImage": "desk/xgb:7", "TrainingInputMode": "File"},
        RoleArn="arn:aws:iam::123456789012:role/training",
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": "s3://desk/train/"}}}],
        OutputDataConfig={"S3OutputPath": "s3://desk/models/"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        HyperParameters={"depth": "5"},
    )

@task
def score():
    body = client("s3").get_object(Bucket="desk", Key="models/Nightly/output/model.tar.gz")["Body"]
    return len(body.read())

@flow
def training():
    prepared = prepare.submit()
    prepared.wait()
    started = start.submit(wait_for=[prepared])
    started.wait()
    return score.submit(wait_for=[started]).result()

if __name__ == "__main__":
    training()
"""
MODEL = "s3://desk/models/Nightly/output/model.tar.gz"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True)
class Trained:
    """A run of the flow, and SageMaker as it was delivered to."""

    ran: Ran
    endpoint: Endpoint
    job: dict[str, Any]


@pytest.fixture(scope="module")
def trained(prefect_server: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("joined")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    given = {"region_name": "us-east-1", "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    s3 = boto3.client("s3", endpoint_url=url, **given)
    s3.create_bucket(Bucket="desk")
    s3.put_object(Bucket="desk", Key="models/Nightly/output/model.tar.gz", Body=b"what the job leaves")
    with Endpoint(folder / "there") as endpoint:
        more = {"AWS_ENDPOINT_URL_SAGEMAKER": endpoint.url, "LINEAGE_FLOWS_KEEPER": "sagemaker", **KEYS}
        try:
            done = run_script(FLOW.replace("ENDPOINT", repr(url)), folder / "project", folder / "home", **more)
            assert done.code == 0, done.err
            described = boto3.client("sagemaker", endpoint_url=url, **given).describe_training_job(
                TrainingJobName="Nightly"
            )
        finally:
            server.stop()
        yield Trained(done, endpoint, described)


def test_from_the_score_the_way_leads_over_sagemakers_own_job_to_the_task_that_wrote_its_data(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    environment = flow_environment(trained.ran.home, AWS_ENDPOINT_URL_SAGEMAKER=trained.endpoint.url, **KEYS)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    keeper = open_sagemaker(trained.ran.home / "sagemaker.db")
    try:
        keeper.deliver()
        assert keeper.parked() == []
        trained.endpoint.keep("TrainingJob", [trained.job])  # SageMaker shows only now what it made of the job
        keeper.deliver()
        (score,) = keeper.list_actions(action_types=["Processing"], run_name=trained.ran.step("score").run_name)
        walk = upstream(keeper, score.arn)
        met = {node.entity.source_uri: node.entity for node in walk.nodes}
        assert {MODEL, "s3://desk/train/", "s3://desk/train/train.csv", "desk/xgb:7"} <= set(met)
        steps = {node.entity.properties.get("task") for node in walk.nodes}
        assert {"score", "start", "prepare"} <= steps
        components = [node.entity for node in walk.nodes if "trial-component" in node.entity.arn]
        assert [component.name for component in components] == ["Nightly-aws-training-job"]
        (component,) = components
        assert isinstance(component, Action)
        assert '"depth":5' in component.properties["parameters"]
        edges = {(edge.source_arn, edge.destination_arn): edge.association_type for edge in walk.edges}
        own, version = sorted(keeper.list_artifacts(source_uri=MODEL), key=lambda item: len(item.source_types))
        assert edges[component.arn, own.arn] == "Produced"
        assert edges[own.arn, version.arn] == "SameAs"
    finally:
        keeper.close()


def test_nothing_of_it_changed_the_flow(trained: Trained) -> None:
    assert [record.capture_errors for record in trained.ran.records()] == [()] * len(trained.ran.records())


def test_the_program_shows_it_from_the_models_uri(trained: Trained) -> None:
    trained.endpoint.keep("TrainingJob", [trained.job])
    more = {"AWS_ENDPOINT_URL_SAGEMAKER": trained.endpoint.url, "LINEAGE_FLOWS_KEEPER": "sagemaker", **KEYS}
    environment = flow_environment(trained.ran.home, **more, COLUMNS="250")
    program = str(Path(sys.executable).parent / "lineage-flows")
    for words in (["deliver"], ["upstream", MODEL]):
        done = subprocess.run(
            [program, *words], env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
    for shown in ("Nightly-aws-training-job", "TrainingJob", "prepare", "train/train.csv", "desk/xgb:7"):
        assert shown in done.stdout
