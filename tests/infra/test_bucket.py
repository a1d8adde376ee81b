"""The bucket as deployed: what it keeps, what it refuses, and the product's store in it."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from lineage_flows.content import open_store
from lineage_flows.errors import ContentError
from tests.infra.conftest import EVERYBODY
from tests.support.cloud import ACCOUNT
from tests.support.iam import evaluate

ADMIN = f"arn:aws:iam::{ACCOUNT}:role/administrator"
EVERYTHING = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
TLS = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}


@pytest.fixture(scope="module")
def locked(empty):
    """A stack with Object Lock, without a pruner, whose blobs may be written over."""
    return empty.deploy(name="locked", BucketName="locked", ObjectLock="GOVERNANCE", RetentionDays="30", WriteOnce="no")


def test_a_version_is_kept_when_another_is_put_over_it_or_it_is_deleted(cloud):
    s3, bucket = cloud.client("s3"), cloud.outputs["BucketName"]
    for body in (b"one", b"two"):
        s3.put_object(Bucket=bucket, Key="blobs/versions", Body=body)
    s3.delete_object(Bucket=bucket, Key="blobs/versions")
    versions = s3.list_object_versions(Bucket=bucket, Prefix="blobs/versions")
    assert len(versions["Versions"]) == 2
    assert len(versions["DeleteMarkers"]) == 1


def test_it_is_private_encrypted_and_cleared(cloud):
    s3, bucket = cloud.client("s3"), cloud.outputs["BucketName"]
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    stored = s3.put_object(Bucket=bucket, Key="blobs/encrypted", Body=b"x")
    assert stored["ServerSideEncryption"] == "aws:kms"
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == cloud.outputs["KeyArn"]
    rules = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert rules["versions-that-are-gone"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert rules["uploads-that-were-broken-off"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert (rules["probes"]["Filter"]["Prefix"], rules["probes"]["Expiration"]["Days"]) == ("blobs/tmp/", 1)
    assert cloud.outputs["StoreUrl"] == f"s3://{bucket}/blobs"


def test_with_a_lock_nothing_is_deleted_before_its_time(empty, locked):
    s3, bucket = empty.client("s3"), locked["BucketName"]
    version = s3.put_object(Bucket=bucket, Key="blobs/locked", Body=b"x")["VersionId"]
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=bucket, Key="blobs/locked", VersionId=version)
    assert s3.head_object(Bucket=bucket, Key="blobs/locked")["ObjectLockMode"] == "GOVERNANCE"


def ask(cloud, outputs, action, context, principal=ADMIN, key="blobs/ab"):
    """What the bucket's policy says to somebody whom IAM allows everything."""
    bucket = outputs["BucketName"]
    stack = "locked" if bucket == "locked" else "lineage"
    arn = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    return evaluate([EVERYTHING, cloud.bucket_policy(stack)], action, arn, context, principal=principal)


def test_it_speaks_tls_only(cloud):
    assert ask(cloud, cloud.outputs, "s3:GetObject", TLS) == "allowed"
    assert ask(cloud, cloud.outputs, "s3:GetObject", {**TLS, "aws:SecureTransport": "false"}) == "explicitDeny"
    assert ask(cloud, cloud.outputs, "s3:GetObject", {**TLS, "s3:TlsVersion": "1.1"}) == "explicitDeny"
    assert ask(cloud, cloud.outputs, "s3:ListBucket", {**TLS, "aws:SecureTransport": "false"}, key="") == "explicitDeny"


@pytest.mark.parametrize("action", ["s3:DeleteObject", "s3:DeleteObjectVersion"])
def test_only_the_pruner_deletes_whatever_iam_allows_others(cloud, empty, locked, action):
    assert ask(cloud, cloud.outputs, action, TLS) == "explicitDeny"
    assert ask(cloud, cloud.outputs, action, TLS, cloud.outputs["WriterRoleArn"]) == "explicitDeny"
    assert ask(cloud, cloud.outputs, action, TLS, cloud.outputs["PrunerRoleArn"]) == "allowed"
    assert ask(empty, locked, action, TLS) == "explicitDeny", "without a pruner nobody deletes"


def test_a_blob_is_written_only_under_a_name_that_is_free(cloud, empty, locked):
    making = {**TLS, "s3:ObjectCreationOperation": "true"}
    assert ask(cloud, cloud.outputs, "s3:PutObject", making) == "explicitDeny"
    assert ask(cloud, cloud.outputs, "s3:PutObject", {**making, "s3:if-none-match": "*"}) == "allowed"
    # The parts of a large upload.
    assert ask(cloud, cloud.outputs, "s3:PutObject", {**TLS, "s3:ObjectCreationOperation": "false"}) == "allowed"
    assert ask(empty, locked, "s3:PutObject", making) == "allowed", "WriteOnce=no"


def test_the_store_works_as_a_writer_and_a_writer_cannot_delete(cloud, tmp_path):
    bucket = cloud.outputs["BucketName"]
    large = tmp_path / "large"
    large.write_bytes(b"12345678" * (2 << 20))
    cloud.play(cloud.outputs["WriterRoleArn"])
    with cloud.enforced():
        store = open_store(cloud.outputs["StoreUrl"])
        digest, _ = store.put(b"prices")
        assert store.get(digest) == b"prices"
        assert store.has(digest)
        assert not store.has("sha256:" + "0" * 64)
        assert store.get(store.put_file(large)[0]) == large.read_bytes()
        store.check()
        for forget in (
            lambda: cloud.client("s3").delete_object(Bucket=bucket, Key="blobs/x"),
            lambda: cloud.client("s3").delete_object(Bucket=bucket, Key="blobs/x", VersionId="1"),
            lambda: cloud.client("s3").put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
            ),
        ):
            with pytest.raises(ClientError, match="AccessDenied"):
                forget()
    cloud.use({})
    (left,) = cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix="blobs/tmp/")["Contents"]
    assert left["Size"] == 16, "the probe, which the bucket's own rule drops"


def test_a_reader_reads_and_cannot_write(cloud):
    digest, _ = open_store(cloud.outputs["StoreUrl"]).put(b"read me")
    cloud.play(cloud.outputs["ReaderRoleArn"])
    with cloud.enforced():
        store = open_store(cloud.outputs["StoreUrl"])
        assert store.get(digest) == b"read me"
        with pytest.raises(ContentError, match="roles writer, replayer and registrar of infra/ have s3:PutObject"):
            store.put(b"from a reader")


def test_a_pruner_deletes_and_cannot_write(cloud):
    s3, bucket = cloud.client("s3"), cloud.outputs["BucketName"]
    version = s3.put_object(Bucket=bucket, Key="blobs/old", Body=b"x")["VersionId"]
    cloud.play(cloud.outputs["PrunerRoleArn"])
    with cloud.enforced():
        cloud.client("s3").delete_object(Bucket=bucket, Key="blobs/old", VersionId=version)
        with pytest.raises(ClientError, match="AccessDenied"):
            cloud.client("s3").put_object(Bucket=bucket, Key="blobs/new", Body=b"x")
    cloud.use({})
    assert "Versions" not in s3.list_object_versions(Bucket=bucket, Prefix="blobs/old")


def test_a_name_is_generated_unless_one_is_given(cloud, locked):
    assert locked["BucketName"] == "locked"
    assert cloud.outputs["BucketName"] != "locked"
    assert EVERYBODY.get("BucketName") is None
