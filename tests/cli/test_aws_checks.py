"""``doctor --aws`` against an account on loopback: infra/ deployed into moto, and a SageMaker that answers as it is told."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lineage_flows import aws
from lineage_flows.cli.aws_checks import examine_aws
from lineage_flows.endpoint.server import serve
from lineage_flows.permissions import ROLES, denied_error
from lineage_flows.settings import load_settings
from tests.conftest import free_port
from tests.infra.conftest import EVERYBODY
from tests.support.cloud import ACCOUNT, REGION, Cloud, account


class SageMaker:
    """Answers every call with one status and one document."""

    def __init__(self) -> None:
        self.answers()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.asked.append(self.headers.get("X-Amz-Target", ""))
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answers(self, status: int = 200, body: bytes = b'{"ArtifactSummaries": []}') -> None:
        self.status, self.body, self.asked = status, body, []

    def refuses(self, code: str, message: str) -> None:
        self.answers(400, json.dumps({"__type": code, "message": message}).encode())


@pytest.fixture(scope="module")
def sagemaker() -> Iterator[SageMaker]:
    found = SageMaker()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture(scope="module")
def deployed() -> Iterator[Cloud]:
    """The account with a stack; its bucket has its policy."""
    with account() as url, pytest.MonkeyPatch.context() as patch:
        cloud = Cloud(url, patch)
        cloud.outputs = cloud.deploy(Encryption="aws:kms", ObjectLock="COMPLIANCE", **EVERYBODY)
        cloud.put_bucket_policy()
        cloud.client("s3").create_bucket(Bucket="plain", CreateBucketConfiguration={"LocationConstraint": REGION})
        yield cloud


@pytest.fixture
def cloud(deployed, sagemaker, home, monkeypatch) -> Cloud:
    """The account as its administrator sees it, and the settings pointed at it."""
    deployed.use({})
    sagemaker.answers()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", sagemaker.url)
    monkeypatch.setenv("LINEAGE_FLOWS_STORE_URL", deployed.outputs["StoreUrl"])
    return deployed


def play(cloud: Cloud, sagemaker: SageMaker, role: str, monkeypatch) -> None:
    cloud.play(cloud.outputs[f"{role.capitalize()}RoleArn"])
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", sagemaker.url)


def found(role=None):
    return {check.name: check for check in examine_aws(load_settings(), role)}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_of_infra_lacks_nothing_and_the_bucket_is_as_promised(cloud, sagemaker, monkeypatch, role):
    play(cloud, sagemaker, role, monkeypatch)
    seen = found(role)
    assert {name: check.outcome for name, check in seen.items()} == dict.fromkeys(seen, "ok")
    assert (
        f"assumed-role/{cloud.outputs[f'{role.capitalize()}RoleArn'].rpartition('/')[2]}"
        in seen["AWS credentials"].found
    )
    assert seen["AWS permissions"].found == f"all that the role {role} of infra/ needs, by IAM's policies"
    assert seen["bucket versions"].found == "kept"
    assert "refuses" in seen["bucket TLS"].found
    assert seen["Object Lock"].found == "COMPLIANCE, 365 days"
    assert cloud.outputs["KeyArn"] in seen["bucket encryption"].found
    assert sagemaker.asked == ["SageMaker.ListArtifacts"]


@pytest.mark.parametrize(
    ("role", "other", "lacks"),
    [
        ("reader", "writer", "s3:PutObject"),
        ("writer", "pruner", "sagemaker:DeleteArtifact"),
        ("writer", "reader", "sagemaker:QueryLineage"),
        ("replayer", "writer", "sagemaker:UpdateContext"),
        ("pruner", "writer", "sagemaker:CreateArtifact"),
    ],
)
def test_what_a_role_lacks_of_another_is_named(cloud, sagemaker, monkeypatch, role, other, lacks):
    play(cloud, sagemaker, role, monkeypatch)
    check = found(other)["AWS permissions"]
    assert check.outcome == "failed"
    assert lacks in check.found
    assert f"assume the role {other} of infra/lineage.yaml" in check.fix


def test_without_a_role_named_it_says_which_can_be_played(cloud, sagemaker, monkeypatch):
    play(cloud, sagemaker, "replayer", monkeypatch)
    assert "the roles reader and replayer of infra/" in found()["AWS permissions"].found


def test_a_role_that_can_play_none_fails_and_names_what_is_nearest(cloud, sagemaker, monkeypatch):
    iam = cloud.client("iam")
    trust = cloud.trust(cloud.outputs["ReaderRoleArn"])
    role = iam.create_role(RoleName="bare", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    cloud.play(role["Arn"])
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", sagemaker.url)
    check = found()["AWS permissions"]
    assert check.outcome == "failed"
    assert check.found.startswith("no role can be played; reader lacks")
    assert "no policy allows it" in check.found


def test_a_role_whose_policies_may_not_be_asked_for_is_unknown_and_not_guessed(cloud, sagemaker, monkeypatch):
    play(cloud, sagemaker, "writer", monkeypatch)
    deny = {"Effect": "Deny", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": deny}
    name = cloud.outputs["WriterRoleArn"].rpartition("/")[2]
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    played = {key: os.environ[key] for key in names}
    cloud.use({})
    iam = cloud.client("iam")
    iam.put_role_policy(RoleName=name, PolicyName="deny", PolicyDocument=json.dumps(policy))
    cloud.use(played)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", sagemaker.url)
    try:
        with cloud.enforced():
            check = found("writer")["AWS permissions"]
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="deny")
    assert check.outcome == "warning"
    assert check.found.startswith("unknown: IAM may not be asked")
    assert "iam:SimulatePrincipalPolicy" in check.found


@pytest.mark.parametrize("known", [("aws:kms", "alias/blobs"), None])
def test_a_key_that_iam_cannot_be_asked_about_is_unknown(cloud, sagemaker, monkeypatch, known):
    play(cloud, sagemaker, "writer", monkeypatch)
    real = aws.bucket

    def bucket(session, name):
        unknown = aws.Unknown(denied_error("s3:GetEncryptionConfiguration"))
        return dataclasses.replace(real(session, name), encryption=known or unknown)

    monkeypatch.setattr(aws, "bucket", bucket)
    seen = found("writer")
    assert seen["AWS permissions"].outcome == "warning"
    assert "on the bucket's key" in seen["AWS permissions"].found
    assert seen["bucket encryption"].outcome == ("ok" if known else "warning")


def test_what_depends_on_something_else_is_unknown():
    decide = aws._decision
    assert decide({"EvalDecision": "implicitDeny", "MissingContextValues": ["aws:SourceIp"]}).outcome == "unknown"
    assert "aws:SourceIp" in decide({"EvalDecision": "implicitDeny", "MissingContextValues": ["aws:SourceIp"]}).why
    assert decide({"EvalDecision": "explicitDeny", "MissingContextValues": ["x"]}).outcome == "denied"
    assert decide(None).outcome == "unknown"
    refused = {"EvalDecision": "implicitDeny", "OrganizationsDecisionDetail": {"AllowedByOrganizations": False}}
    assert decide(refused).why == "the organization does not allow it"
    bounded = {
        "EvalDecision": "implicitDeny",
        "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False},
    }
    assert decide(bounded).why == "the permissions boundary does not allow it"


def test_a_bucket_that_is_kept_badly_is_warned_of(cloud, monkeypatch):
    monkeypatch.setenv("LINEAGE_FLOWS_STORE_URL", "s3://plain/blobs")
    seen = found()
    assert seen["bucket"].outcome == "ok"
    for name in ("bucket versions", "bucket TLS", "bucket privacy"):
        assert seen[name].outcome == "warning"
        assert "infra/lineage.yaml" in seen[name].fix
    assert seen["Object Lock"].found.startswith("off")


def test_a_bucket_that_is_not_there_fails(cloud, monkeypatch):
    monkeypatch.setenv("LINEAGE_FLOWS_STORE_URL", "s3://no-such-bucket-here/blobs")
    check = found()["bucket"]
    assert check.outcome == "failed"
    assert "it is not there" in check.found
    assert "LINEAGE_FLOWS_STORE_URL" in check.fix


def test_blobs_in_a_folder_need_no_bucket(cloud, monkeypatch, home):
    monkeypatch.setenv("LINEAGE_FLOWS_STORE_URL", str(home / "blobs"))
    seen = found()
    assert seen["bucket"].found.startswith("none")
    assert "bucket TLS" not in seen


def test_a_policy_that_covers_half_does_not_count_as_tls_only():
    def refuses(**change):
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        return aws._refuses_plain(json.dumps({"Statement": [{**statement, **change}]}), "b")

    assert refuses()
    assert refuses(Principal={"AWS": "*"}, Resource="*", Condition={"Bool": {"AWS:SecureTransport": False}})
    for change in (
        {"Resource": "arn:aws:s3:::b/*"},
        {"Resource": ["arn:aws:s3:::c", "arn:aws:s3:::c/*"]},
        {"Action": "s3:GetObject"},
        {"Effect": "Allow"},
        {"Principal": {"AWS": "arn:aws:iam::1:root"}},
        {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {"Condition": {"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"a": "b"}}},
        {"Condition": {}},
    ):
        assert not refuses(**change), change


def test_no_credentials(cloud, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    seen = found()
    assert list(seen) == ["AWS credentials"]
    assert seen["AWS credentials"].outcome == "failed"
    assert "there are no AWS credentials" in seen["AWS credentials"].found
    assert "aws sso login" in seen["AWS credentials"].fix


def test_a_profile_that_does_not_exist(cloud, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "the AWS profile does not exist" in found()["AWS credentials"].found


def test_no_region(cloud, monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    seen = found()
    assert seen["AWS region"].outcome == "failed"
    assert "AWS_REGION" in seen["AWS region"].fix
    assert "SageMaker" not in seen


def test_a_region_that_is_none_and_one_that_is_not_the_buckets(cloud, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-nowhere-7")
    assert found()["AWS region"].outcome == "warning"
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    seen = found()
    assert seen["AWS region"].outcome == "ok"
    assert seen["bucket"].outcome == "warning"
    assert REGION in seen["bucket"].found


@pytest.mark.parametrize(
    ("code", "message", "what", "fix"),
    [
        (
            "ExpiredTokenException",
            "The security token is expired",
            "the AWS credentials have expired",
            "sign in",
        ),
        (
            "UnrecognizedClientException",
            "The security token is invalid.",
            "AWS refuses the credentials",
            "AWS_PROFILE",
        ),
        (
            "InvalidSignatureException",
            "Signature expired: 20260101T000000Z is now earlier than 20260101T001500Z",
            "the clock",
            "NTP",
        ),
        ("ThrottlingException", "Rate exceeded", "patience", "minute"),
        ("UnknownOperationException", "", "does not know the call", "AWS_ENDPOINT_URL"),
        (
            "AccessDeniedException",
            "User: arn:aws:sts::1:assumed-role/x/y is not authorized to perform: sagemaker:ListArtifacts because no identity-based "
            "policy allows the sagemaker:ListArtifacts action",
            "AWS denied sagemaker:ListArtifacts: no identity-based policy allows",
            "roles reader, writer, replayer, registrar and pruner of infra/ have sagemaker:ListArtifacts",
        ),
    ],
)
def test_what_sagemaker_refuses_is_said_with_what_to_do(cloud, sagemaker, code, message, what, fix):
    sagemaker.refuses(code, message)
    check = found()["SageMaker"]
    assert check.outcome == "failed"
    assert what in check.found
    assert fix in check.fix


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"{}", b"[]", b'"x"'])
def test_an_endpoint_that_is_not_sagemaker(cloud, sagemaker, body):
    sagemaker.answers(200, body)
    check = found()["SageMaker"]
    assert check.outcome == "failed"
    assert "AWS_ENDPOINT_URL" in check.fix


def test_the_products_own_endpoint_answers_as_sagemaker_does(cloud, monkeypatch, tmp_path):
    with serve(tmp_path / "home") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", url)
        assert aws.ask_sagemaker(aws.session()) == url


def test_an_endpoint_that_is_not_there(cloud, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", f"http://127.0.0.1:{free_port()}")
    check = found()["SageMaker"]
    assert check.outcome == "failed"
    assert "cannot ask SageMaker" in check.found


def test_the_root_user_is_warned_of(cloud, monkeypatch):
    who = aws.Caller(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", None, "IAM keeps no policies of its own for root", "env")
    monkeypatch.setattr(aws, "caller", lambda session: who)
    seen = found()
    assert seen["AWS credentials"].outcome == "warning"
    assert seen["AWS permissions"].outcome == "warning"
    assert seen["AWS permissions"].found.startswith("unknown")


def test_the_program_shows_and_prints_it(cloud, sagemaker, monkeypatch, call):
    play(cloud, sagemaker, "writer", monkeypatch)
    said = call("doctor", "--aws", "--role", "writer", "--json")
    checks = {check["name"]: check for check in said.document["checks"]}
    assert checks["AWS permissions"]["outcome"] == "ok"
    assert "home" in checks
    shown = call("doctor", "--role", "pruner").out
    assert "pruner lacks" in " ".join(shown.split())
    secrets = [os.environ[name] for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
    assert not [secret for secret in secrets if secret in said.out + shown]


def test_without_the_option_nothing_of_aws_is_loaded_or_asked(home):
    script = (
        "import sys; from lineage_flows.cli import main; main(['doctor', '--json']); "
        "loaded = {name.partition('.')[0] for name in sys.modules} & {'boto3', 'botocore', 's3fs'}; "
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "AWS" not in {word for check in json.loads(done.stdout)["checks"] for word in check["name"].split()}
