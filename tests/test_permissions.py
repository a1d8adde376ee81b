"""The table of permissions, and what is said of a denied call."""

from __future__ import annotations

import re
from pathlib import Path

import boto3
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

import lineage_flows
from lineage_flows.errors import AwsError, LineageError
from lineage_flows.permissions import ROLES, VERBS, Places, denied_call, denied_error, of_role, of_verb, roles_with

PLACES = Places(
    "eu-central-1", "111122223333", bucket="b", prefix="team/blobs", key="arn:aws:kms:x", role="arn:aws:iam::1:role/r"
)
PACKAGE = Path(lineage_flows.__file__).parent


def refusal(code="AccessDeniedException", message="", operation="CreateArtifact"):
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}, operation
    )


@pytest.fixture(scope="module")
def operations():
    """The operations of the services, by IAM's prefix of the service."""
    session = boto3.session.Session(region_name="eu-central-1")
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return {
        name: set(session.client(name, **keys).meta.service_model.operation_names)
        for name in ("sagemaker", "s3", "kms", "iam")
    }


def test_every_action_is_one_of_aws(operations):
    # IAM calls these otherwise than the operations they permit (AWS's Service Authorization Reference).
    others = {
        "s3:ListBucket",
        "s3:ListBucketVersions",
        "s3:GetObjectVersion",
        "s3:DeleteObjectVersion",
        "s3:GetBucketObjectLockConfiguration",
        "s3:GetBucketPublicAccessBlock",
        "s3:GetEncryptionConfiguration",
    }
    for items in VERBS.values():
        for item in items:
            service, _, name = item.action.partition(":")
            assert name in operations[service] or item.action in others, item


def test_every_call_of_sagemaker_in_the_product_is_in_the_table(operations):
    """A call of the product needs a permission, and so a line in the table: by a client's method, or by the operation's name.

    Not meant are the local endpoint, which answers calls, and capture, which sees those of flows.
    """
    known = {item.action.partition(":")[2] for items in VERBS.values() for item in items}
    methods = {xform_name(name): name for name in operations["sagemaker"]}
    calls = re.compile(r"client\w*(?:\(\))?\.(\w+)\(|\.get_paginator\(\s*[\"'](\w+)[\"']")
    called = set()
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] not in {"endpoint", "capture", "permissions.py"}:
            text = path.read_text()
            called |= {methods[name] for pair in calls.findall(text) for name in pair if name in methods}
            called |= set(re.findall(r"[\"']([A-Z]\w+)[\"']", text)) & operations["sagemaker"]
    assert "ListArtifacts" in called
    assert called - known == set()


def test_each_verb_and_role_names_a_permission_once():
    for verb in VERBS:
        assert len(of_verb(verb)) == len(set(of_verb(verb))) > 0
    for role, verbs in ROLES.items():
        assert set(of_role(role)) == {item for verb in verbs for item in VERBS[verb]}


def test_arns_and_contexts():
    arns = {item.arn(PLACES) for items in VERBS.values() for item in items}
    assert "arn:aws:s3:::b" in arns
    assert "arn:aws:s3:::b/team/blobs/lineage-flows-doctor" in arns
    assert "arn:aws:sagemaker:eu-central-1:111122223333:artifact/lineage-flows-doctor" in arns
    assert "arn:aws:s3:::b/team/models/lineage-flows-doctor" in arns
    nothing = Places("eu-central-1", "111122223333")
    for item in of_role("writer"):
        assert (item.arn(nothing) is None) == (item.resource in {"bucket", "object", "key", "role"})
        assert ("aws:RequestTag/managed-by" in item.context(PLACES)) == (item.scope == "new")
        assert ("aws:ResourceTag/managed-by" in item.context(PLACES)) == (item.scope == "ours")
    china = Places("cn-north-1", "111122223333", partition="aws-cn", key="k")
    (decrypt,) = {item for item in of_role("reader") if item.action == "kms:Decrypt"}
    key = "arn:aws:kms:eu-west-1:111122223333:key/x"
    abroad = Places("eu-central-1", "111122223333", key=key)
    assert decrypt.context(abroad) == {"kms:ViaService": ["s3.eu-west-1.amazonaws.com"]}
    assert decrypt.context(china) == {"kms:ViaService": ["s3.cn-north-1.amazonaws.com.cn"]}


def test_who_has_an_action():
    assert roles_with("sagemaker:CreateArtifact") == ("writer", "replayer", "registrar")
    assert roles_with("SageMaker:updatecontext") == ("writer", "registrar")
    assert roles_with("sagemaker:CreateModelPackage") == ("registrar",)
    assert roles_with("sagemaker:UpdateModelPackage") == ()
    assert roles_with("s3:DeleteObjectVersion") == ("pruner",)
    assert roles_with("sagemaker:CreateEndpoint") == ()


def test_a_denied_call_names_action_resource_and_role():
    message = (
        "User: arn:aws:sts::111122223333:assumed-role/x/y is not authorized to perform: sagemaker:UpdateContext on resource: "
        "arn:aws:sagemaker:eu-central-1:111122223333:context/backtest because no identity-based policy allows the "
        "sagemaker:UpdateContext action"
    )
    error = denied_call(refusal(message=message))
    assert isinstance(error, AwsError)
    assert (error.action, error.roles) == ("sagemaker:UpdateContext", ("writer", "registrar"))
    assert error.resource == "arn:aws:sagemaker:eu-central-1:111122223333:context/backtest"
    assert str(error) == (
        "AWS denied sagemaker:UpdateContext on arn:aws:sagemaker:eu-central-1:111122223333:context/backtest: no identity-based "
        "policy allows the sagemaker:UpdateContext action. "
        "The roles writer and registrar of infra/ have sagemaker:UpdateContext; see `lineage-flows doctor --aws`"
    )


@pytest.mark.parametrize(
    ("code", "operation", "service", "action", "resource"),
    [
        ("AccessDeniedException", "CreateArtifact", "sagemaker", "sagemaker:CreateArtifact", "artifact/*"),
        ("AccessDenied", "PutObject", "s3", "s3:PutObject", "bucket's objects or bucket's models"),
        ("403", "HeadObject", "s3", "s3:GetObject", "bucket's objects"),
        ("403", "HeadBucket", "s3", "s3:ListBucket", "bucket"),
        ("AccessDenied", "UploadPart", "s3", "s3:PutObject", "bucket's objects or bucket's models"),
        ("AccessDeniedException", "QueryLineage", "sagemaker", "sagemaker:QueryLineage", ""),
    ],
)
def test_where_aws_names_neither_the_operation_does(code, operation, service, action, resource):
    error = denied_call(refusal(code, "Access Denied", operation), service=service)
    assert error is not None
    assert (error.action, error.resource) == (action, resource)
    assert error.roles


def test_what_no_role_has_is_said_so():
    error = denied_error("sagemaker:CreateEndpoint")
    assert "no role of infra/ has sagemaker:CreateEndpoint" in error.fix
    assert error.resource == ""


@pytest.mark.parametrize(
    "error",
    [
        refusal("ThrottlingException", "Rate exceeded"),
        refusal("ValidationException", "… is not authorized to perform: x:y"),
        ValueError("no response"),
        ClientError({}, "X"),
    ],
)
def test_what_is_no_denial_is_none(error):
    assert denied_call(error) is None


@given(st.text(max_size=300), st.text(max_size=30))
def test_any_message_makes_one_line(message, operation):
    error = denied_call(refusal(message=message, operation=operation))
    assert isinstance(error, LineageError)
    assert error.action
    assert "\n" not in str(error)
