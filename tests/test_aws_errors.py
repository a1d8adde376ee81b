"""What boto3's errors are said to be."""

from __future__ import annotations

from typing import get_args

import pytest
from botocore import exceptions as boto
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows import aws_errors
from lineage_flows.aws_errors import explained, fix_of, kind_of, said_by
from lineage_flows.errors import AwsError, PermissionDeniedError
from lineage_flows.graph.sagemaker import problems


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
        (boto.RefreshWithMFAUnsupportedError(), "there are no AWS credentials", "AWS_PROFILE"),
        (refusal("UnrecognizedClientException", "The token is expired"), "the AWS credentials have expired", "sign in"),
        (refusal("InternalFailure"), "cannot look", "a minute"),
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


def test_the_token_of_a_session_is_not_shown():
    text = "The Canonical String for this request should have been 'x-amz-security-token:IQoSESSIONTOKEN'"
    for message in (f"The signature does not match. {text}", text):
        found = explained(refusal("SignatureDoesNotMatch", message), "look")
        assert "SESSIONTOKEN" not in str(found)
        assert found.what == "AWS refuses the credentials"


def test_one_table_says_what_each_code_and_exception_means_and_both_readers_go_by_it():
    """Every name is that of one kind, and the keeper has something to do about each kind."""
    names = [name for names in aws_errors._NAMES.values() for name in names]
    assert len(names) == len(set(names))
    assert set(aws_errors._NAMES) == set(get_args(aws_errors.Kind)) == set(problems._MEANS)
    for kind, of_kind in aws_errors._NAMES.items():
        for name in of_kind:
            assert kind_of(said_by(refusal(name))) == kind
            found = problems.explain(refusal(name), "ListActions", "*", "here")
            assert found.problem == problems._MEANS[kind] or name.isdigit()
            if kind in aws_errors.CREDENTIALS:
                assert (
                    found.fix.casefold() == fix_of(kind).casefold() == explained(refusal(name), "look").fix.casefold()
                )


@given(st.text(max_size=40), st.text(max_size=200))
def test_any_error_is_explained(code, message):
    found = explained(refusal(code, message), "look")
    assert found.what
    assert found.fix
