"""Jobs and model packages of elsewhere: kept, found by Search, described, and their lineage walked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lineage_flows.endpoint.backend import Quotas
from lineage_flows.endpoint.documents import KEPT
from lineage_flows.errors import GraphError
from tests.endpoint.kit import client, refuses

HOME = "arn:aws:sagemaker:us-east-1:123456789012"
MODEL = "s3://bucket/out/fit-1/output/model.tar.gz"
CREATED = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def job(name: str = "fit-1", **members: Any) -> dict[str, Any]:
    """As boto3's describe_training_job gives it."""
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"{HOME}:training-job/{name}",
        "TrainingJobStatus": "Completed",
        "SecondaryStatus": "Completed",
        "HyperParameters": {"depth": "6", "objective": "reg:squarederror"},
        "AlgorithmSpecification": {
            "TrainingImage": "123.dkr.ecr.us-east-1.amazonaws.com/xgb:1",
            "TrainingInputMode": "File",
        },
        "InputDataConfig": [
            {
                "ChannelName": channel,
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://bucket/{channel}"}},
            }
            for channel in ("train", "validation")
        ],
        "ModelArtifacts": {"S3ModelArtifacts": f"s3://bucket/out/{name}/output/model.tar.gz"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "CreationTime": CREATED,
        "LastModifiedTime": CREATED,
        "TrainingStartTime": CREATED,
        "ResponseMetadata": {"HTTPStatusCode": 200},
        **members,
    }


def test_from_the_path_of_a_model_to_the_job_that_made_it(sagemaker, endpoint):
    tagged = job(Tags=[{"Key": "sagemaker:pipeline-execution-arn", "Value": "arn:p"}])
    assert endpoint.keep("TrainingJob", [tagged, job("fit-2")]) == [
        f"{HOME}:training-job/fit-{number}" for number in (1, 2)
    ]
    by_model = {"Name": "ModelArtifacts.S3ModelArtifacts", "Operator": "Equals", "Value": MODEL}
    (result,) = sagemaker.search(Resource="TrainingJob", SearchExpression={"Filters": [by_model]})["Results"]
    found = result["TrainingJob"]
    assert found["TrainingJobName"] == "fit-1"
    assert found["HyperParameters"] == {"depth": "6", "objective": "reg:squarederror"}
    assert found["CreationTime"] == CREATED
    described = sagemaker.describe_training_job(TrainingJobName="fit-1")
    assert described["InputDataConfig"] == found["InputDataConfig"] == job()["InputDataConfig"]
    assert sagemaker.list_tags(ResourceArn=found["TrainingJobArn"])["Tags"] == tagged["Tags"]
    with refuses("ResourceNotFound"):
        sagemaker.describe_training_job(TrainingJobName="fit-3")


def test_a_job_brings_the_lineage_that_sagemaker_makes_of_it(sagemaker, endpoint):
    known = sagemaker.create_artifact(Source={"SourceUri": "s3://bucket/train"}, ArtifactType="Prices")["ArtifactArn"]
    for _ in range(2):  # again makes nothing twice
        endpoint.keep("TrainingJob", [job()])
    (model,) = sagemaker.list_artifacts(SourceUri=MODEL)["ArtifactSummaries"]
    answer = sagemaker.query_lineage(StartArns=[model["ArtifactArn"]], Direction="Ascendants", IncludeEdges=True)
    types = sorted((vertex["LineageType"], vertex["Type"]) for vertex in answer["Vertices"])
    assert types == [
        ("Artifact", "DataSet"),
        ("Artifact", "Image"),
        ("Artifact", "Model"),
        ("Artifact", "Prices"),
        ("TrialComponent", "TrainingJob"),
    ]
    assert known in {vertex["Arn"] for vertex in answer["Vertices"]}
    assert sorted(edge["AssociationType"] for edge in answer["Edges"]) == ["ContributedTo"] * 3 + ["Produced"]
    component = sagemaker.describe_trial_component(TrialComponentName="fit-1-aws-training-job")
    assert component["Source"]["SourceArn"] == f"{HOME}:training-job/fit-1"
    assert component["Parameters"] == {"depth": {"NumberValue": 6.0}, "objective": {"StringValue": "reg:squarederror"}}
    assert component["Status"] == {"PrimaryStatus": "Completed"}
    by_source = {"Name": "Source.SourceArn", "Operator": "Equals", "Value": f"{HOME}:training-job/fit-1"}
    (result,) = sagemaker.search(Resource="ExperimentTrialComponent", SearchExpression={"Filters": [by_source]})[
        "Results"
    ]
    detail = result["TrialComponent"]["SourceDetail"]["TrainingJob"]
    assert (detail["TrainingJobName"], detail["CreationTime"]) == ("fit-1", CREATED)


def test_what_sagemaker_makes_itself_counts_against_no_quota(start):
    endpoint = start(quotas=Quotas(artifacts=1, associations=1))
    endpoint.keep("TrainingJob", [job()])
    made = client(endpoint.url)
    made.create_artifact(Source={"SourceUri": "s3://bucket/own"}, ArtifactType="DataSet")
    with refuses("ResourceLimitExceeded"):
        made.create_artifact(Source={"SourceUri": "s3://bucket/more"}, ArtifactType="DataSet")


def test_model_packages_and_their_groups_are_found_and_described(sagemaker, endpoint):
    group = {
        "ModelPackageGroupName": "alpha",
        "ModelPackageGroupArn": f"{HOME}:model-package-group/alpha",
        "CreationTime": "2026-03-01T10:00:00+00:00",  # as the CLI prints it
        "CreatedBy": {},
        "ModelPackageGroupStatus": "Completed",
    }
    package = {
        "ModelPackageName": "alpha",
        "ModelPackageGroupName": "alpha",
        "ModelPackageVersion": 3,
        "ModelPackageArn": f"{HOME}:model-package/alpha/3",
        "CreationTime": CREATED.timestamp(),
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "ModelApprovalStatus": "Approved",
    }
    endpoint.keep("ModelPackageGroup", [group])
    endpoint.keep("ModelPackage", [package])
    approved = {"Name": "ModelApprovalStatus", "Operator": "Equals", "Value": "Approved"}
    version = {"Name": "ModelPackageVersion", "Operator": "GreaterThan", "Value": "2"}
    results = sagemaker.search(Resource="ModelPackage", SearchExpression={"Filters": [approved, version]})["Results"]
    assert [result["ModelPackage"]["ModelPackageArn"] for result in results] == [package["ModelPackageArn"]]
    (found,) = sagemaker.search(Resource="ModelPackageGroup")["Results"]
    assert found["ModelPackageGroup"]["CreationTime"] == CREATED
    assert sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])["ModelPackageVersion"] == 3
    assert sagemaker.describe_model_package_group(ModelPackageGroupName="alpha")["CreationTime"] == CREATED


def test_secrets_of_a_description_are_not_kept(sagemaker, endpoint, fast_home):
    told = job(
        Environment={"DB_PASSWORD": "hunter2-and-more", "MODE": "fast"},
        HyperParameters={"api_key": "sk-verysecretvalue", "url": "postgres://u:pa55word@host/db", "depth": "6"},
        FailureReason="cannot connect to postgres://u:0therword@host/db",
    )
    endpoint.keep("TrainingJob", [told])
    found = sagemaker.describe_training_job(TrainingJobName="fit-1")
    assert (found["Environment"]["MODE"], found["HyperParameters"]["depth"]) == ("fast", "6")
    assert set(found["HyperParameters"]) == {"api_key", "url", "depth"}
    written = b"".join(path.read_bytes() for path in fast_home.iterdir())
    for secret in (b"hunter2", b"verysecret", b"pa55word", b"0therword"):
        assert secret not in written


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"StoppingCondition": None}, "it has no StoppingCondition"),
        ({"TrainingJobArn": None}, "it has no TrainingJobArn"),
        ({"TrainingJobStatus": "Sideways"}, "enum value set"),
        ({"CreationTime": "yesterday"}, "yesterday"),
        ({"InputDataConfig": 3}, "can not be converted"),
        ({"InputDataConfig": [3]}, "can not be converted"),
    ],
)
def test_what_is_no_description_is_refused_and_nothing_is_kept(sagemaker, endpoint, members, message):
    with pytest.raises(GraphError, match=message):
        endpoint.keep("TrainingJob", [job(), {**job("fit-2"), **members}])
    assert sagemaker.search(Resource="TrainingJob")["Results"] == []
    assert sagemaker.list_artifacts()["ArtifactSummaries"] == []


def test_only_some_resources_are_kept(endpoint):
    assert set(KEPT) == {"TrainingJob", "ModelPackage", "ModelPackageGroup"}
    with pytest.raises(GraphError, match="documents of Experiment cannot be kept"):
        endpoint.keep("Experiment", [])
