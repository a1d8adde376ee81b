"""An account of AWS on loopback: moto's server, with infra/ deployed into it and what moto leaves out of CloudFormation and IAM."""

from __future__ import annotations

import functools
import json
import os
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.loaders import Loader, create_loader
from moto.cloudformation import parsing
from moto.cloudformation.models import cloudformation_backends
from moto.core.responses import ActionResult
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse
from moto.kms.models import KmsBackend
from moto.server import ThreadedMotoServer

from tests.support.iam import evaluate

__all__ = ["ACCOUNT", "REGION", "Cloud", "account"]

ACCOUNT, REGION = "123456789012", "eu-central-1"
INFRA = Path(__file__).resolve().parents[2] / "infra"
ADMIN = {"AWS_ACCESS_KEY_ID": "AKIAADMINADMINADMIN0", "AWS_SECRET_ACCESS_KEY": "testing"}


class Cloud:
    """The account, with stacks in it."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = url
        self._patch = monkeypatch
        self.use({})

    def use(self, credentials: Mapping[str, str]) -> None:
        """Make these the credentials of this process; the administrator's when there are none."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            self._patch.delenv(name)
        environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            **(credentials or ADMIN),
        }
        for name, value in environment.items():
            self._patch.setenv(name, value)
        self._session = boto3.session.Session()

    def client(self, service: str) -> Any:
        """A client of the present credentials."""
        return self._session.client(service)

    def deploy(self, template: str = "lineage.yaml", name: str = "lineage", **parameters: str) -> dict[str, str]:
        """Deploy a template of infra/; the outputs by name."""
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=(INFRA / template).read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        found = {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}
        for resource in self._listed(name):
            if resource["ResourceType"] == "AWS::IAM::Role":
                # Moto leaves out which policies a template attaches to a role.
                for policy in self.properties(resource["LogicalResourceId"], name).get("ManagedPolicyArns", []):
                    self.client("iam").attach_role_policy(RoleName=resource["PhysicalResourceId"], PolicyArn=policy)
        if "BucketName" in found:
            self._keep_bucket(name, found["BucketName"])
        return found

    def resources(self, name: str = "lineage") -> dict[str, str]:
        """The resources of a stack and their types."""
        return {item["LogicalResourceId"]: item["ResourceType"] for item in self._listed(name)}

    def _listed(self, name: str) -> list[dict[str, Any]]:
        """The resources that moto knows; of others it lists nothing."""
        listed = self.client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
        return [item for item in listed if "ResourceType" in item]

    def properties(self, resource: str, name: str = "lineage") -> dict[str, Any]:
        """What CloudFormation made of a resource's properties for the parameters of the stack."""
        backend = cloudformation_backends[ACCOUNT][REGION]
        resources = backend.get_stack(name).resource_map
        return parsing.clean_json(resources._resource_json_map[resource], resources)["Properties"]

    def policies(self, role_arn: str) -> list[dict[str, Any]]:
        """The documents of a role, read back from IAM."""
        iam = self.client("iam")
        name = role_arn.rpartition("/")[2]
        found = []
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            found.append(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            found.append(self.document(policy["PolicyArn"]))
        return found

    def document(self, policy_arn: str) -> dict[str, Any]:
        """The document of a managed policy."""
        iam = self.client("iam")
        version = iam.get_policy(PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
        return iam.get_policy_version(PolicyArn=policy_arn, VersionId=version)["PolicyVersion"]["Document"]

    def trust(self, role_arn: str) -> dict[str, Any]:
        """Who may assume a role."""
        return self.client("iam").get_role(RoleName=role_arn.rpartition("/")[2])["Role"]["AssumeRolePolicyDocument"]

    def bucket_policy(self, name: str = "lineage") -> dict[str, Any]:
        """The policy of a stack's bucket."""
        return self.properties("BucketPolicy", name)["PolicyDocument"]

    def put_bucket_policy(self, name: str = "lineage") -> None:
        """Let moto have the policy, too. It holds it against requests without looking at conditions, and so refuses them all."""
        document = json.dumps(self.bucket_policy(name))
        bucket = self.properties("BucketPolicy", name)["Bucket"]
        self.client("s3").put_bucket_policy(Bucket=bucket, Policy=document)

    def play(self, role_arn: str) -> None:
        """Take on a role."""
        said = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="test")["Credentials"]
        self.use(
            {
                "AWS_ACCESS_KEY_ID": said["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": said["SecretAccessKey"],
                "AWS_SESSION_TOKEN": said["SessionToken"],
            }
        )

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Let moto refuse what a caller's policies do not allow, by action (it looks at neither resources nor conditions)."""
        self._enforce_after("0")
        try:
            yield
        finally:
            self._enforce_after("1e12")

    def _enforce_after(self, requests: str) -> None:
        url, headers = f"{self.url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        with urllib.request.urlopen(urllib.request.Request(url, requests.encode(), headers)) as answer:
            assert answer.status == 200

    def _keep_bucket(self, stack: str, bucket: str) -> None:
        """Moto makes a bucket of a template, and leaves out how it is kept: make it again as the template says, by the API."""
        s3 = self.client("s3")
        wanted = self.properties("Bucket", stack)
        known = {
            "BucketName",
            "VersioningConfiguration",
            "OwnershipControls",
            "PublicAccessBlockConfiguration",
            "BucketEncryption",
            "ObjectLockEnabled",
            "ObjectLockConfiguration",
            "LoggingConfiguration",
            "LifecycleConfiguration",
            "Tags",
        }
        assert set(wanted) <= known
        s3.delete_bucket(Bucket=bucket)
        s3.create_bucket(
            Bucket=bucket,
            CreateBucketConfiguration={"LocationConstraint": REGION},
            ObjectLockEnabledForBucket=bool(wanted.get("ObjectLockEnabled")),
        )
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=wanted["VersioningConfiguration"])
        s3.put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration=wanted["PublicAccessBlockConfiguration"]
        )
        (encryption,) = wanted["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        default = {
            key: value for key, value in encryption["ServerSideEncryptionByDefault"].items() if value is not None
        }
        s3.put_bucket_encryption(
            Bucket=bucket,
            ServerSideEncryptionConfiguration={
                "Rules": [
                    {
                        "ApplyServerSideEncryptionByDefault": default,
                        "BucketKeyEnabled": bool(encryption.get("BucketKeyEnabled")),
                    }
                ]
            },
        )
        if lock := wanted.get("ObjectLockConfiguration"):
            retention = lock["Rule"]["DefaultRetention"]
            s3.put_object_lock_configuration(
                Bucket=bucket,
                ObjectLockConfiguration={
                    "ObjectLockEnabled": lock["ObjectLockEnabled"],
                    "Rule": {"DefaultRetention": {**retention, "Days": int(retention["Days"])}},
                },
            )
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket,
            LifecycleConfiguration={"Rules": list(map(_api_rule, wanted["LifecycleConfiguration"]["Rules"]))},
        )


def _api_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A lifecycle rule of CloudFormation as the API has it."""
    known = {"Id", "Status", "Prefix", "ExpirationInDays", "ExpiredObjectDeleteMarker"}
    known |= {"NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"}
    assert set(rule) <= known
    found: dict[str, Any] = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "ExpirationInDays" in rule:
        found["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if rule.get("ExpiredObjectDeleteMarker"):
        found["Expiration"] = {"ExpiredObjectDeleteMarker": True}
    if version := rule.get("NoncurrentVersionExpiration"):
        found["NoncurrentVersionExpiration"] = {"NoncurrentDays": int(version["NoncurrentDays"])}
    if upload := rule.get("AbortIncompleteMultipartUpload"):
        found["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": int(upload["DaysAfterInitiation"])}
    return found


def _simulate(self: IamResponse) -> ActionResult:
    """``SimulatePrincipalPolicy``, which moto does not have: the policies of the role it keeps, by IAM's rules."""
    backend = iam_backends[ACCOUNT]["aws"]
    arn = self._get_param("PolicySourceArn")
    role = backend.get_role_by_arn(arn)
    documents = [backend.get_role_policy(role.name, name)[1] for name in backend.list_role_policies(role.name)]
    for policy in backend.list_attached_role_policies(role.name)[0]:
        documents += [version.document for version in policy.versions if version.is_default]
    policies = [json.loads(document) if isinstance(document, str) else document for document in documents]
    context = {item["ContextKeyName"]: item["ContextKeyValues"] for item in self._get_param("ContextEntries") or []}
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": evaluate(policies, action, resource, context),
            "MatchedStatements": [],
            "MissingContextValues": [],
        }
        for action in self._get_param("ActionNames")
        for resource in self._get_param("ResourceArns") or ["*"]
    ]
    # In pages, as IAM answers.
    start = int(self._get_param("Marker") or 0)
    page = results[start : start + 25]
    more = start + 25 < len(results)
    answer: dict[str, Any] = {"EvaluationResults": page, "IsTruncated": more}
    if more:
        answer["Marker"] = str(start + 25)
    return ActionResult(answer)


def _tag_key(self: KmsBackend, *given: Any, **named: Any) -> Any:
    """Moto hands the tags of a template's key to what expects the API's names for them."""
    values = [_api_tags(item) for item in given]
    return _create_key(self, *values, **{name: _api_tags(item) for name, item in named.items()})


def _api_tags(value: Any) -> Any:
    is_tags = isinstance(value, list) and all(
        isinstance(item, dict) and set(item) == {"Key", "Value"} for item in value
    )
    return [{"TagKey": item["Key"], "TagValue": item["Value"]} for item in value] if is_tags else value


_create_key = KmsBackend.create_key


def _without_no_value(node: Any, resources: Any) -> Any:
    """CloudFormation leaves ``AWS::NoValue`` out of lists; moto puts None there."""
    found = _clean_json(node, resources)
    return [item for item in found if item is not None] if isinstance(node, list) else found


_clean_json = parsing.clean_json


def _load_model(_: Loader, *names: str, **more: str) -> Any:
    return _model_of(names, tuple(more.items()))


@functools.cache
def _model_of(names: tuple[str, ...], more: tuple[tuple[str, str], ...]) -> Any:
    return _load(_loader, *names, **dict(more))


_load = Loader.load_service_model
_loader = create_loader()


@contextmanager
def account() -> Iterator[str]:
    """An empty account; its endpoint's URL."""
    patch = pytest.MonkeyPatch()
    patch.setattr(IamResponse, "simulate_principal_policy", _simulate, raising=False)
    # Each session of boto3 reads the service models anew, SageMaker's takes a second: here once for all.
    patch.setattr(Loader, "load_service_model", _load_model)
    patch.setattr(parsing, "clean_json", _without_no_value)
    patch.setattr(KmsBackend, "create_key", _tag_key)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        url = f"http://{host}:{port}"
        # All servers of a process are one: what an earlier account had is not of this one.
        with urllib.request.urlopen(f"{url}/moto-api/reset", data=b"") as answer:
            assert answer.status == 200
        yield url
    finally:
        server.stop()
        patch.undo()
