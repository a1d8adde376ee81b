"""Artifacts, actions and contexts over boto3."""

from __future__ import annotations

from tests.endpoint.kit import refuses


def test_what_is_created_is_described(sagemaker):
    source = {"SourceUri": "s3://desk/prices.parquet", "SourceTypes": [{"SourceIdType": "S3ETag", "Value": "abc"}]}
    made = sagemaker.create_artifact(
        ArtifactName="prices",
        Source=source,
        ArtifactType="DataSet",
        Properties={"rows": "252"},
        MetadataProperties={"CommitId": "9f2c1ab"},
    )
    found = sagemaker.describe_artifact(ArtifactArn=made["ArtifactArn"])
    assert found["ArtifactName"] == "prices"
    assert found["Source"] == source
    assert found["ArtifactType"] == "DataSet"
    assert found["Properties"] == {"rows": "252"}
    assert found["MetadataProperties"] == {"CommitId": "9f2c1ab"}
    assert found["CreationTime"] == found["LastModifiedTime"]
    with refuses("ValidationException", "already exists"):
        sagemaker.create_artifact(Source=source, ArtifactType="Model")
