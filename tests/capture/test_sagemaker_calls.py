"""Jobs, model packages and endpoints of SageMaker (moto's server on loopback) as a step's datasets, through boto3."""

from __future__ import annotations

import uuid
from typing import Any

import boto3
import botocore.exceptions
import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.capture.adapters import sagemaker_calls
from lineage_flows.capture.adapters.sagemaker_calls import SageMakerCall, told_operations
from lineage_flows.capture.files import FileLog, Touched
from lineage_flows.records import DatasetRef
from tests.support.dict_store import DictStore
from tests.support.watched import touched

pytestmark = pytest.mark.usefixtures("libraries_watched")

ROLE = "arn:aws:iam::123456789012:role/training"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/desk:7"
HOST = "arn:aws:sagemaker:us-east-1:123456789012"


@pytest.fixture
def sagemaker(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    return boto3.client("sagemaker", endpoint_url=endpoint, region_name="us-east-1")


@pytest.fixture
def name() -> str:
    return f"job-{uuid.uuid4().hex[:8]}"


def channel(name: str, uri: str) -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}


def train(client: Any, name: str, **more: Any) -> str:
    answer = client.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        RoleArn=ROLE,
        InputDataConfig=[channel("train", "s3://desk/train/"), channel("validation", "s3://desk/validation.csv")],
        OutputDataConfig={"S3OutputPath": "s3://desk/models"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        HyperParameters={"depth": "5", "rate": "0.1"},
        **more,
    )
    return str(answer["TrainingJobArn"])


def sides(found: Touched) -> dict[tuple[str, str], DatasetRef]:
    assert found.errors == ()
    return {(item.direction, item.uri): item for item in found.datasets}


def test_a_training_job_with_its_channels_and_its_output(sagemaker: Any, name: str) -> None:
    found = touched(lambda: train(sagemaker, name))
    datasets = sides(found)
    arn = f"{HOST}:training-job/{name}"
    assert set(datasets) == {
        ("write", arn),
        ("read", "s3://desk/train/"),
        ("read", "s3://desk/validation.csv"),
        ("write", "s3://desk/models"),
    }
    job = datasets["write", arn]
    assert (job.namespace, job.name, job.kind) == (HOST, f"training-job/{name}", "Job")
    assert job.via == ("botocore.CreateTrainingJob",)
    assert job.properties == {
        "job": "TrainingJob",
        "image": IMAGE,
        "trialComponent": f"{name}-aws-training-job",
        "hyperparameters": {"depth": "5", "rate": "0.1"},
        "instanceType": "ml.m5.large",
        "instanceCount": 2,
    }
    train_data = datasets["read", "s3://desk/train/"]
    assert (train_data.namespace, train_data.name, train_data.fingerprint) == ("s3://desk", "train/", None)
    assert train_data.note == f"not fingerprinted: {name} reads it in SageMaker"
    assert train_data.properties == {"channel": "train", "s3DataType": "S3Prefix"}
    # A replay must not start the job again: what the step gave is kept in its place.
    assert {"call sagemaker.CreateTrainingJob", "object s3://desk/train/"} <= set(found.unrestorable)


def test_what_a_job_has_made_is_known_where_its_end_is_seen(
    sagemaker: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sagemaker_calls, "_started", {})
    train(sagemaker, name)  # by nobody's step
    arn = f"{HOST}:training-job/{name}"

    def wait() -> None:
        for _ in range(3):
            assert sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Completed"

    watcher = sides(touched(wait))
    assert set(watcher) == {("read", arn)}  # who looks at a job has made nothing
    model = f"s3://desk/models/{name}/output/model.tar.gz"
    assert watcher["read", arn].properties["model"] == model
    assert watcher["read", arn].properties["status"] == "Completed"

    other = f"{name}-b"
    touched(lambda: train(sagemaker, other))
    waiting = sides(touched(lambda: sagemaker.describe_training_job(TrainingJobName=other)))
    made = f"s3://desk/models/{other}/output/model.tar.gz"
    assert set(waiting) == {("read", f"{HOST}:training-job/{other}"), ("write", made)}
    assert waiting["write", made].kind == "Model"


def test_one_step_that_starts_a_job_and_waits_for_it(sagemaker: Any, name: str) -> None:
    def work() -> None:
        train(sagemaker, name)
        sagemaker.describe_training_job(TrainingJobName=name)

    found = sides(touched(work))
    assert ("read", f"{HOST}:training-job/{name}") not in found  # it has made the job itself
    assert {uri for direction, uri in found if direction == "write"} == {
        f"{HOST}:training-job/{name}",
        "s3://desk/models",
        f"s3://desk/models/{name}/output/model.tar.gz",
    }


def test_processing_and_transform_jobs(sagemaker: Any, name: str) -> None:
    def process() -> None:
        sagemaker.create_processing_job(
            ProcessingJobName=name,
            AppSpecification={"ImageUri": IMAGE},
            RoleArn=ROLE,
            ProcessingResources={
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
            },
            ProcessingInputs=[
                {
                    "InputName": "raw",
                    "S3Input": {"S3Uri": "s3://desk/raw", "LocalPath": "/in", "S3DataType": "S3Prefix"},
                }
            ],
            ProcessingOutputConfig={
                "Outputs": [
                    {
                        "OutputName": "clean",
                        "S3Output": {"S3Uri": "s3://desk/clean", "LocalPath": "/out", "S3UploadMode": "EndOfJob"},
                    }
                ]
            },
        )
        sagemaker.describe_processing_job(ProcessingJobName=name)

    found = sides(touched(process))
    assert set(found) == {
        ("write", f"{HOST}:processing-job/{name}"),
        ("read", "s3://desk/raw"),
        ("write", "s3://desk/clean"),
    }
    assert found["write", f"{HOST}:processing-job/{name}"].properties["image"] == IMAGE
    assert found["write", "s3://desk/clean"].properties == {"output": "clean"}

    def transform() -> None:
        sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName="desk-model",
            TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://desk/batch"}}},
            TransformOutput={"S3OutputPath": "s3://desk/scores"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )

    found = sides(touched(transform))
    assert {(direction, uri) for direction, uri in found} == {
        ("write", f"{HOST}:transform-job/{name}"),
        ("read", "s3://desk/batch"),
        ("write", "s3://desk/scores"),
    }
    assert found["write", f"{HOST}:transform-job/{name}"].properties["model"] == "desk-model"


def test_model_package_model_and_endpoint(sagemaker: Any, name: str) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName=name)

    def register() -> None:
        sagemaker.create_model_package(
            ModelPackageGroupName=name,
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={
                "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://desk/models/m/output/model.tar.gz"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )

    found = sides(touched(register))
    package = f"{HOST}:model-package/{name}/1"
    assert set(found) == {("write", package), ("read", "s3://desk/models/m/output/model.tar.gz")}
    assert found["write", package].kind == "Model"
    assert found["write", package].properties == {
        "images": [IMAGE],
        "group": name,
        "approval": "PendingManualApproval",
    }

    def deploy() -> None:
        sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, "ModelPackageName": package}
        )
        variant = {
            "VariantName": "a",
            "ModelName": name,
            "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.large",
            "InitialVariantWeight": 1.0,
        }
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    found = sides(touched(deploy))
    assert {(direction, uri.rpartition(":")[2]) for direction, uri in found} == {
        ("read", f"model-package/{name}/1"),
        ("write", f"model/{name}"),
        ("write", f"endpoint-config/{name}"),
        ("write", f"endpoint/{name}"),
    }
    kinds = {item.name.partition("/")[0]: item.kind for item in found.values()}
    assert kinds == {"model-package": "Model", "model": "Model", "endpoint-config": "Endpoint", "endpoint": "Endpoint"}


def test_a_refused_call_raises_as_ever_and_started_nothing(sagemaker: Any, name: str) -> None:
    def work() -> None:
        with pytest.raises(botocore.exceptions.ClientError, match="Could not find"):
            sagemaker.describe_training_job(TrainingJobName=name)
        with pytest.raises(botocore.exceptions.ParamValidationError):
            sagemaker.create_training_job(TrainingJobName=name)

    found = touched(work)
    assert (found.datasets, found.errors) == ((), ())
    assert "call sagemaker.DescribeTrainingJob" in found.unrestorable


def test_secrets_among_hyperparameters_are_masked(sagemaker: Any, name: str) -> None:
    def work() -> None:
        sagemaker.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"AlgorithmName": "desk", "TrainingInputMode": "File"},
            RoleArn=ROLE,
            OutputDataConfig={"S3OutputPath": "s3://desk/models"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            HyperParameters={"source": "postgres://me:hunter2@db/desk", "password": "hunter2"},
        )

    found = touched(work)
    assert found.errors == ()
    assert "hunter2" not in repr(found.datasets)


def test_a_step_before_anything_is_recorded_costs_no_call(sagemaker: Any, name: str) -> None:
    """Nothing is asked of SageMaker that the flow does not ask."""
    asked: list[str] = []
    sagemaker.meta.events.register("before-call.sagemaker", lambda model, **_: asked.append(model.name))
    touched(lambda: train(sagemaker, name))
    assert asked == ["CreateTrainingJob"]


def test_every_operation_is_one_of_sagemaker() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    assert told_operations() <= set(model.operation_names)


MEMBERS = [
    "TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "InputDataConfig", "DataSource", "S3DataSource", "S3Uri",
    "AlgorithmSpecification", "OutputDataConfig", "S3OutputPath", "ModelArtifacts", "S3ModelArtifacts", "Containers",
    "PrimaryContainer", "InferenceSpecification", "ModelPackageArn", "ModelArn", "ProductionVariants", "EndpointArn",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.text(max_size=8) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from(sorted(told_operations())),
    st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=6),
    st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=6),
)
def test_what_another_version_takes_or_answers_never_raises(
    operation: str, params: dict[str, Any], answer: dict[str, Any]
) -> None:
    log = FileLog(DictStore(), size_cap=1 << 10)
    SageMakerCall(log, "botocore", operation, params).answered(answer, None)
    found = log.close()
    assert all(error.startswith(f"recording {operation}: ") for error in found.errors), "what is not understood is said"
    assert {item.via for item in found.datasets} <= {(f"botocore.{operation}",)}
    assert f"call sagemaker.{operation}" in found.unrestorable
