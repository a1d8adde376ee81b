"""What boto3's errors are said to be."""

from __future__ import annotations

import pytest
from botocore import exceptions as boto
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.aws_errors import explained
from lineage_flows.errors import AwsError, PermissionDeniedError


def refusal(code, message="because"):
    said = {"Code": code, "Message": message} if message else {"Code": code}
    return boto.ClientError({"Error": said, "ResponseMetadata": {"HTTPStatusCode": 400}}, "ListArtifacts")


@pytest.mark.parametrize(
    ("error", "what", "fix"),
    [
        (boto.NoCredentialsError(), "there are no AWS credentials", "aws sso login"),
        (boto.PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"), "there are no", "AWS_PROFILE"),
        (boto.UnauthorizedSSOTokenError(), "the AWS credentials have expired", "aws sso login"),
        (boto.SSOTokenLoadError(error_msg="x"), "the AWS credentials have expired", "aws sso login"),
        (boto.ProfileNotFound(profile="x"), "the AWS profile does not exist", "AWS_PROFILE"),
        (boto.NoRegionError(), "no AWS region is set", "AWS_REGION"),
        (boto.EndpointConnectionError(endpoint_url="https://x"), "cannot look", "AWS_ENDPOINT_URL"),
        (boto.ConnectTimeoutError(endpoint_url="https://x"), "cannot look", "network"),
        (boto.ReadTimeoutError(endpoint_url="https://x"), "cannot look", "network"),
        (boto.SSLError(endpoint_url="https://x", error="x"), "cannot look", "proxy"),
        (refusal("ExpiredToken"), "the AWS credentials have expired", "sign in"),
        (refusal("InvalidClientTokenId"), "AWS refuses the credentials", "AWS_PROFILE"),
        (refusal("SignatureDoesNotMatch", "Signature not yet current: 2026"), "the clock", "NTP"),
        (refusal("SignatureDoesNotMatch", "The request signature we calculated"), "AWS refuses", "AWS_PROFILE"),
        (refusal("RequestTimeTooSkewed"), "the clock", "five minutes"),
        (refusal("PermanentRedirect"), "cannot look", "AWS_REGION to that of the bucket"),
        (refusal("NoSuchBucket"), "cannot look", "LINEAGE_FLOWS_STORE_URL"),
        (refusal("400", "Bad Request"), "cannot look", "AWS_REGION"),
        (refusal("ThrottlingException"), "cannot look", "a minute"),
        (refusal("Strange", ""), "cannot look", "AWS_ENDPOINT_URL"),
        (refusal("Strange"), "cannot look", "documentation"),
        (ValueError("Invalid endpoint: x"), "cannot look", "documentation"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_error_says_what_why_and_what_to_do(error, what, fix):
    found = explained(error, "look")
    assert isinstance(found, AwsError)
    assert found.what.startswith(what)
    assert found.why
    assert fix in found.fix


def test_a_denied_call_is_one():
    found = explained(refusal("AccessDeniedException", ""), "look")
    assert isinstance(found, PermissionDeniedError)
    assert found.action == "sagemaker:ListArtifacts"


def test_what_a_helper_program_printed_is_not_shown():
    found = explained(boto.CredentialRetrievalError(provider="custom-process", error_msg="token=s3cr3t"), "look")
    assert "custom-process" in str(found)
    assert "s3cr3t" not in str(found)


@given(st.text(max_size=40), st.text(max_size=200))
def test_any_error_is_explained(code, message):
    found = explained(refusal(code, message), "look")
    assert found.what
    assert found.fix
