"""What can be found out about AWS from here: who asks, what they may, how the bucket is kept, whether SageMaker answers.

Knows boto3, and loads it only when something is asked; must not know how findings are shown. Nothing is changed in AWS, and what
cannot be found out is said to be unknown, with the reason. No credential leaves this module.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from lineage_flows.aws_errors import explained, no_credentials
from lineage_flows.errors import AwsError, LineageError
from lineage_flows.permissions import Permission, Places

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Bucket", "Caller", "Decision", "Unknown", "ask_sagemaker", "bucket", "caller", "decisions", "session"]

_SECONDS: Final = {"connect_timeout": 5, "read_timeout": 15, "retries": {"total_max_attempts": 3, "mode": "standard"}}
"""A person waits for the answer: nothing is waited for longer than that, three times."""

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose credentials these are.

    Attributes:
        account: twelve digits.
        arn: as STS says it.
        principal: the ARN of the role or user that IAM keeps policies for; None where there is none that can be asked about.
        why_not: why there is none; empty otherwise.
        source: where boto3 found the credentials (``env``, ``shared-credentials-file``, …).
    """

    account: str
    arn: str
    principal: str | None
    why_not: str
    source: str

    @property
    def partition(self) -> str:
        """``aws``, or that of China or GovCloud."""
        return self.arn.split(":")[1]


@dataclass(frozen=True, slots=True)
class Decision:
    """What IAM says of one permission: ``unknown`` where it depends on what was not given; ``why`` says it in words."""

    outcome: Literal["allowed", "denied", "unknown"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """What could not be found out, and why."""

    error: LineageError


@dataclass(frozen=True, slots=True)
class Bucket:
    """How a bucket is kept; each fact may be unknown.

    Attributes:
        region: where it lies.
        versioned: whether versions are kept.
        tls_only: whether its policy refuses requests without TLS.
        private: whether all four blocks of public access are on.
        lock: mode and days of Object Lock (``GOVERNANCE, 365 days``); ``on, without a default`` or empty when it is off.
        encryption: the algorithm (``AES256``, ``aws:kms``), and the key's ARN when there is one of the account's own.
    """

    region: str | None
    versioned: bool | Unknown
    tls_only: bool | Unknown
    private: bool | Unknown
    lock: str | Unknown
    encryption: tuple[str, str | None] | Unknown


def session() -> Any:  # noqa: ANN401 - boto3 has no types
    """A session of boto3, by its own configuration (AWS_PROFILE, AWS_REGION, …).

    Raises:
        AwsError: boto3 is not installed, or the profile does not exist.
    """
    try:
        import boto3
    except ImportError as error:
        raise AwsError("boto3 is not installed", why=str(error), fix="pip install 'lineage-flows[aws]'") from error
    # boto3 alone does not read AWS_REGION.
    region = os.environ.get("AWS_REGION") or None
    return _asked("open a session", lambda: boto3.session.Session(region_name=region))


def caller(opened: Any) -> Caller:  # noqa: ANN401
    """Whose credentials the session has.

    Raises:
        AwsError: there are none, or they are refused.
    """
    credentials = _asked("find credentials", opened.get_credentials)
    if credentials is None:
        raise no_credentials("boto3 found none in the environment, in its files, or on this machine")
    # Any region does: an answer of STS is the same in all.
    sts = _client(opened, "sts", region=opened.region_name or "us-east-1")
    said = _asked("ask STS who calls", sts.get_caller_identity)
    arn = str(said["Arn"])
    principal, why_not = _principal(opened, arn)
    return Caller(str(said["Account"]), arn, principal, why_not, str(getattr(credentials, "method", "")))


def _principal(opened: Any, arn: str) -> tuple[str | None, str]:  # noqa: ANN401
    """The role or user behind an ARN of STS; of a role, the ARN of STS leaves out the path."""
    kind, _, name = arn.split(":", 5)[5].partition("/")
    if kind == "user":
        return arn, ""
    if kind != "assumed-role":
        return None, f"IAM keeps no policies of its own for {kind}"
    role = name.partition("/")[0]
    try:
        found = _asked("ask IAM for the role", lambda: _client(opened, "iam").get_role(RoleName=role))
    except LineageError as error:
        return None, f"IAM does not tell which role {role} is: {error.what}"
    return str(found["Role"]["Arn"]), ""


def decisions(
    opened: Any,  # noqa: ANN401
    who: Caller,
    permissions: Iterable[Permission],
    places: Places,
) -> dict[Permission, Decision]:
    """What IAM says of each permission, by the policies of the caller, their boundary and those of the organization.

    Policies of a bucket or key, of a session, and of a VPC endpoint are not part of what IAM simulates (D). Permissions on what
    there is none of (no bucket, no key) are left out.

    Raises:
        AwsError: IAM cannot be asked. PermissionDeniedError: it may not be.
    """
    if who.principal is None:
        raise AwsError("permissions are not known", why=who.why_not, fix="try what you want to do")
    iam = _client(opened, "iam")
    groups: dict[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], list[tuple[Permission, str]]] = {}
    for item in permissions:
        arn = item.arn(places)
        if arn is not None:
            context = tuple((key, tuple(values)) for key, values in sorted(item.context(places).items()))
            groups.setdefault((item.action.partition(":")[0], context), []).append((item, arn))
    found: dict[Permission, Decision] = {}
    for (_, context), items in groups.items():
        answers = _simulated(iam, who.principal, items, dict(context))
        found.update({item: _decision(answers.get((item.action.casefold(), arn))) for item, arn in items})
    return found


def _simulated(
    iam: Any,  # noqa: ANN401
    principal: str,
    items: list[tuple[Permission, str]],
    context: Mapping[str, tuple[str, ...]],
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """IAM's results for all actions on all resources of a group, by both."""
    request: dict[str, Any] = {
        "PolicySourceArn": principal,
        "ActionNames": sorted({item.action for item, _ in items}),
        "ResourceArns": sorted({arn for _, arn in items}),
        "ContextEntries": [
            {
                "ContextKeyName": key,
                "ContextKeyValues": list(values),
                "ContextKeyType": "stringList" if key == "aws:TagKeys" else "string",
            }
            for key, values in context.items()
        ],
    }
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    while True:
        answer = _asked("ask IAM what is allowed", partial(iam.simulate_principal_policy, **request))
        for result in answer["EvaluationResults"]:
            action = str(result["EvalActionName"]).casefold()
            found[action, str(result.get("EvalResourceName", "*"))] = result
            for one in result.get("ResourceSpecificResults", []):
                found[action, str(one["EvalResourceName"])] = {"EvalDecision": one["EvalResourceDecision"], **one}
        if not answer.get("IsTruncated"):
            return found
        request["Marker"] = answer["Marker"]


def _decision(result: Mapping[str, Any] | None) -> Decision:
    """What a result of IAM means; no more is read out of it than it says."""
    if result is None:
        return Decision("unknown", "IAM gave no answer")
    if result.get("EvalDecision") == "allowed":
        return Decision("allowed")
    if result.get("EvalDecision") == "explicitDeny":
        return Decision("denied", "a policy denies it")
    if missing := result.get("MissingContextValues"):
        return Decision("unknown", f"it depends on {', '.join(map(str, missing))}")
    why = "no policy allows it"
    if (result.get("OrganizationsDecisionDetail") or {}).get("AllowedByOrganizations") is False:
        why = "the organization does not allow it"
    elif (result.get("PermissionsBoundaryDecisionDetail") or {}).get("AllowedByPermissionsBoundary") is False:
        why = "the permissions boundary does not allow it"
    return Decision("denied", why)


def bucket(opened: Any, name: str) -> Bucket:  # noqa: ANN401
    """How a bucket is kept.

    Raises:
        AwsError: it is not there, or cannot be reached. PermissionDeniedError: it may not be looked at.
    """
    s3 = _client(opened, "s3")
    head = _asked(
        f"reach the bucket {name}", lambda: s3.head_bucket(Bucket=name), service="s3", resource=f"the bucket {name}"
    )
    region = head.get("BucketRegion") or head["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")

    def fact(read: Callable[[], _Answer], missing: str = "", otherwise: _Answer | None = None) -> _Answer | Unknown:
        try:
            return _asked(f"look at the bucket {name}", read, service="s3", missing=missing)
        except _Missing:
            assert otherwise is not None
            return otherwise
        except LineageError as error:
            return Unknown(error)

    return Bucket(
        region=region,
        versioned=fact(lambda: s3.get_bucket_versioning(Bucket=name).get("Status") == "Enabled"),
        tls_only=fact(
            lambda: _refuses_plain(s3.get_bucket_policy(Bucket=name)["Policy"], name),
            "NoSuchBucketPolicy",
            otherwise=False,
        ),
        private=fact(
            lambda: all(
                s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].get(block)
                for block in _BLOCKS
            ),
            "NoSuchPublicAccessBlockConfiguration",
            otherwise=False,
        ),
        lock=fact(
            lambda: _lock(s3.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"]),
            "ObjectLockConfigurationNotFoundError",
            otherwise="",
        ),
        encryption=fact(
            lambda: _encryption(s3.get_bucket_encryption(Bucket=name)),
            "ServerSideEncryptionConfigurationNotFoundError",
            otherwise=("", None),
        ),
    )


_BLOCKS: Final = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def _refuses_plain(policy: str, name: str) -> bool:
    """Whether a bucket policy denies everybody everything on bucket and objects that comes without TLS."""
    covered: set[str] = set()
    statements = json.loads(policy).get("Statement", [])
    for item in [statements] if isinstance(statements, dict) else statements:
        condition = item.get("Condition") or {}
        keys = {key.casefold(): value for key, value in (condition.get("Bool") or {}).items()}
        plain = set(condition) == {"Bool"} and set(keys) == {"aws:securetransport"}
        if (
            item.get("Effect") == "Deny"
            and item.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
            and plain
            and _texts(keys["aws:securetransport"]) == {"false"}
            and _texts(item.get("Action")) & {"s3:*", "*"}
        ):
            covered |= {resource.rpartition(":::")[2] for resource in _texts(item.get("Resource"))}
    return bool(covered & {"*"}) or (bool(covered & {name, f"{name}*"}) and bool(covered & {f"{name}/*", f"{name}*"}))


def _texts(value: object) -> set[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return {str(item).lower() if isinstance(item, bool) else str(item) for item in values}


def _lock(configuration: Mapping[str, Any]) -> str:
    if configuration.get("ObjectLockEnabled") != "Enabled":
        return ""
    rule = (configuration.get("Rule") or {}).get("DefaultRetention")
    if not rule:
        return "on, without a default"
    return (
        f"{rule.get('Mode')}, {rule['Days']} days"
        if rule.get("Days")
        else f"{rule.get('Mode')}, {rule.get('Years')} years"
    )


def _encryption(answer: Mapping[str, Any]) -> tuple[str, str | None]:
    rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    return str(rule["SSEAlgorithm"]), rule.get("KMSMasterKeyID")


def ask_sagemaker(opened: Any) -> str:  # noqa: ANN401
    """Ask SageMaker for one artifact.

    Returns:
        The URL that answered.

    Raises:
        AwsError: it does not answer, or what answers is not SageMaker. PermissionDeniedError: it may not be asked.
    """
    client = _client(opened, "sagemaker")
    url = str(client.meta.endpoint_url)
    foreign = AwsError(
        f"{url} is not SageMaker", why="its answer has no list of artifacts", fix="correct AWS_ENDPOINT_URL_SAGEMAKER"
    )
    try:
        answer = _asked(f"ask SageMaker at {url}", lambda: client.list_artifacts(MaxResults=1))
    except (AttributeError, TypeError) as error:  # botocore itself stumbles over JSON that is no object
        raise foreign from error
    # And it makes an empty answer of an object that has nothing of what it looks for.
    if "ArtifactSummaries" not in answer:
        raise foreign
    return url


class _Missing(Exception):  # noqa: N818 - an answer, not an error
    """What was asked for is not configured."""


def _client(opened: Any, service: str, *, region: str | None = None) -> Any:  # noqa: ANN401
    from botocore.config import Config

    return _asked(f"speak to {service}", lambda: opened.client(service, region_name=region, config=Config(**_SECONDS)))


def _asked(
    what: str, ask: Callable[[], _Answer], *, service: str = "sagemaker", resource: str = "", missing: str = ""
) -> _Answer:
    """The answer, or the error in the product's words.

    Raises:
        _Missing: with ``missing``, for an error of that code.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return ask()
    except (BotoCoreError, ClientError, OSError, ValueError) as error:
        if missing and isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") == missing:
            raise _Missing from error
        raise explained(error, what, service=service, resource=resource) from error
