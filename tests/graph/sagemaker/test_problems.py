"""What botocore's errors mean, and what a reader is told to do."""

from __future__ import annotations

import http.server
import threading
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from lineage_flows.errors import KeeperUnavailableError, SageMakerError
from lineage_flows.graph.sagemaker import open_sagemaker
from lineage_flows.graph.sagemaker.client import Client
from lineage_flows.graph.sagemaker.problems import explain, says_exists
from tests.conftest import free_port
from tests.graph.sagemaker.double import Double, refusal


@pytest.mark.parametrize(
    ("error", "problem", "fix"),
    [
        (refusal("ValidationException", "Action with name x already exists"), "exists", ""),
        (refusal("ValidationException", "1 validation error detected"), "invalid", "report it"),
        (refusal("ResourceNotFound", "none"), "missing", "deliver"),
        (refusal("ConflictException", "busy"), "conflict", "later"),
        (refusal("ResourceLimitExceeded", "3000"), "limit", "quota"),
        (refusal("AccessDeniedException", "not authorized"), "denied", "allow sagemaker:CreateAction on action/x"),
        (refusal("ThrottlingException", "Rate exceeded"), "throttled", "later"),
        (refusal("SomethingNew", "?", 503), "away", "network"),
        (refusal("SomethingNew", "?", 429), "throttled", "later"),
        (refusal("404", "<html>", 404), "stranger", "AWS_ENDPOINT_URL_SAGEMAKER"),
        (refusal("UnrecognizedClientException", "token"), "credentials", "AWS_PROFILE"),
        (refusal("ExpiredTokenException", "expired"), "credentials", "renew"),
        (refusal("InvalidSignatureException", "Signature expired: 2020 is now earlier"), "credentials", "clock"),
        (refusal("InvalidSignatureException", "Signature not yet current"), "credentials", "clock"),
        (NoCredentialsError(), "credentials", "AWS_ACCESS_KEY_ID"),
        (EndpointConnectionError(endpoint_url="http://x"), "away", "network"),
        (ConnectTimeoutError(endpoint_url="http://x"), "away", "network"),
        (ReadTimeoutError(endpoint_url="http://x"), "away", "network"),
        (ParamValidationError(report="no"), "invalid", "report it"),
    ],
)
def test_each_error_says_what_it_is_and_what_to_do(error: Exception, problem: str, fix: str) -> None:
    found = explain(error, "CreateAction", "action/x", "eu-central-1 at http://x")
    assert found.problem == problem
    assert fix in found.fix
    assert "CreateAction" in str(found)
    assert "action/x" in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(("operation", "role"), [("CreateAction", "writer"), ("ListActions", "reader")])
def test_a_denial_names_the_role_that_has_it(operation: str, role: str) -> None:
    assert f"the role `{role}` of infra/" in explain(refusal("AccessDeniedException"), operation, "*", "here").fix


def test_only_a_refusal_that_says_so_means_that_it_exists() -> None:
    assert says_exists("ValidationException", "An artifact with this source ALREADY EXISTS")
    assert not says_exists("ValidationException", "1 validation error")
    assert not says_exists("ThrottlingException", "already exists")


@pytest.mark.parametrize("answer", [b"{}", b"<html>hello</html>", b"[1]"])
def test_an_endpoint_that_is_not_sagemaker_is_told_so(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", f"http://127.0.0.1:{server.server_port}")
    try:
        with pytest.raises(SageMakerError) as caught:
            open_sagemaker(None).list_contexts()
        assert caught.value.problem == "stranger"
        assert "AWS_ENDPOINT_URL_SAGEMAKER" in caught.value.fix
    finally:
        server.shutdown()
        server.server_close()


def test_an_endpoint_that_is_not_there_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from botocore.config import Config

    url = f"http://127.0.0.1:{free_port()}"
    config = Config(retries={"total_max_attempts": 1})
    client = Client(lambda: boto3.client("sagemaker", "eu-central-1", endpoint_url=url, config=config))
    with pytest.raises(SageMakerError) as caught:
        client.call("ListActions", "*")
    assert caught.value.problem == "away"


def test_without_credentials_or_region_it_says_what_to_set(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SageMakerError, match="Give AWS credentials"):
        open_sagemaker(None).list_contexts()
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(KeeperUnavailableError, match="Set AWS_REGION"):
        open_sagemaker(None)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(KeeperUnavailableError, match="nobody"):
        open_sagemaker(None)


def test_no_secret_of_an_error_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = CredentialRetrievalError(provider="custom-process", error_msg="vault: token hvs.SUPERSECRET refused")
    signed = refusal(
        "InvalidSignatureException",
        "The request signature we calculated does not match. The Canonical String for this request should have been"
        " 'POST / x-amz-security-token:IQoJb3JpZ2luX2VjSESSIONTOKEN'",
    )
    for error in (printed, signed):
        said = str(explain(error, "CreateAction", "action/x", "eu-central-1"))
        assert "SUPERSECRET" not in said
        assert "SESSIONTOKEN" not in said
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", f"http://svc:PASSW0RD@127.0.0.1:{free_port()}")
    client = Client()
    assert "PASSW0RD" not in client.place + client.home
    with pytest.raises(SageMakerError) as caught:
        client.call("ListActions", "*")
    assert "PASSW0RD" not in str(caught.value)


def test_a_denial_speaks_of_the_action_that_was_denied() -> None:
    """A Create that is tagged needs AddTags, and is denied for want of it."""
    said = "User: me is not authorized to perform: sagemaker:AddTags on resource: arn:aws:sagemaker:r:1:artifact/x"
    error = explain(refusal("AccessDeniedException", said), "CreateArtifact", "artifact/*", "r")
    assert "allow sagemaker:AddTags on arn:aws:sagemaker:r:1:artifact/x" in error.fix


def test_a_list_that_never_ends_is_given_up() -> None:
    class Endless(Double):
        def list_actions(self, **_: Any) -> dict[str, Any]:
            return {"ActionSummaries": [], "NextToken": "again"}

    with pytest.raises(SageMakerError, match="is not SageMaker"):
        list(Client(Endless).listed("ListActions", "ActionSummaries"))
