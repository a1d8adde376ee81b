"""The training job behind a model in S3, asked for at an endpoint that keeps descriptions of jobs, as an account does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lineage_flows.cli import main
from lineage_flows.endpoint.server import Endpoint
from lineage_flows.graph.jobs import JobChannel
from lineage_flows.graph.sagemaker.client import Client
from lineage_flows.graph.sagemaker.jobs import training_job_of

MODEL = "s3://desk/models/nightly/output/model.tar.gz"
ARN = "arn:aws:sagemaker:eu-central-1:123456789012:training-job"


def described(name: str, model: str, hour: int = 1, **more: Any) -> dict[str, Any]:
    """As boto3's describe_training_job gives it."""
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"{ARN}/{name}",
        "TrainingJobStatus": "Completed",
        "SecondaryStatus": "Completed",
        "CreationTime": datetime(2026, 1, 30, hour, tzinfo=UTC),
        "ModelArtifacts": {"S3ModelArtifacts": model},
        "AlgorithmSpecification": {"TrainingImage": "desk:7", "TrainingInputMode": "File"},
        "HyperParameters": {"depth": "5", "api_token": "hunter2-hunter2"},
        "InputDataConfig": [
            {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://desk/in"}}},
            {"ChannelName": "disk", "DataSource": {"FileSystemDataSource": {
                "FileSystemId": "fs-12345678901", "FileSystemAccessMode": "ro", "FileSystemType": "EFS", "DirectoryPath": "/x"}}},
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://desk/models"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 10},
        **more,
    }  # fmt: skip


@pytest.fixture
def kept(endpoint: Endpoint) -> Endpoint:
    others = [described(f"other-{number}", f"s3://desk/other/{number}") for number in range(3)]
    endpoint.keep("TrainingJob", [*others, described("first", MODEL, 1), described("nightly", MODEL, 2)])
    return endpoint


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINEAGE_FLOWS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LINEAGE_FLOWS_KEEPER", "sagemaker")
    return tmp_path / "home"


def test_the_newest_job_that_made_the_model(kept: Endpoint) -> None:
    job = training_job_of(Client(), MODEL)
    assert job is not None
    assert (job.name, job.status, job.created_at) == ("nightly", "Completed", "2026-01-30T02:00:00.000000Z")
    assert (job.image, job.output, job.model) == ("desk:7", "s3://desk/models", MODEL)
    assert (job.instance_type, job.instance_count) == ("ml.m5.large", 2)
    assert job.channels == (JobChannel(name="train", uri="s3://desk/in"), JobChannel(name="disk"))
    assert job.hyperparameters == {"api_token": "***", "depth": "5"}
    assert kept.calls["Search"] == 1


def test_a_model_of_no_job(kept: Endpoint) -> None:
    assert training_job_of(Client(), MODEL + "x") is None


def test_upstream_of_a_model_that_no_flow_has_told_of(
    kept: Endpoint, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upstream", MODEL]) == 0
    out = capsys.readouterr().out
    for said in ("SageMaker training job nightly (Completed)", "image desk:7", "train s3://desk/in", "depth = 5", ARN):
        assert said in out
    assert "hunter2" not in out
    assert main(["upstream", MODEL, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["training_job"]["hyperparameters"]["depth"] == "5"


def test_upstream_of_what_nobody_knows_is_unknown(
    kept: Endpoint, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upstream", MODEL + "x"]) == 2
    assert "training job" not in capsys.readouterr().out
