"""Which permissions of AWS the product needs, as data: by what it does, and by the role of ``infra/`` that has them.

Knows the names of IAM's actions, and neither boto3 nor who calls it. The roles' policies in ``infra/lineage.yaml`` are tested
against these tables, ``doctor --aws`` asks IAM about them, and an error of a denied call names the role that has the action.

What AWS documents (D) and what is inferred (I) or unknown (U): that List*, QueryLineage and Search take no resource, that the
others take ``artifact/…``, ``action/…`` and ``context/…``, which are scoped by ``aws:ResourceTag``, that Create* needs AddTags
and honours ``aws:RequestTag`` and ``aws:TagKeys``, and that AddTags honours ``sagemaker:TaggingAction``: D (Service
Authorization Reference). That both ends of an association are checked, each with its own tags: I. Which tags a call is checked
with that makes a resource and tags it at once: U, so that no rule of ours rests on ``aws:ResourceTag`` there. That
CreateModelPackage takes package and group, and honours ``sagemaker:ModelApprovalStatus``: D. That a package has the tags of its
group, and may be given none: D; whether a call on a package is checked with those: U, so that no rule rests on that either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from lineage_flows.errors import PermissionDeniedError

__all__ = [
    "MANAGED_BY",
    "ROLES",
    "VERBS",
    "Permission",
    "Places",
    "Role",
    "Scope",
    "Verb",
    "denied_call",
    "denied_error",
    "of_role",
    "of_verb",
    "roles_with",
]

MANAGED_BY: Final = ("managed-by", "lineage-flows")
"""The tag of all that the product makes in SageMaker; the roles know their own by it."""

Scope = Literal["any", "new", "ours", "unmanaged", "pending"]
"""Of which resources: all; those made by the very call, with our tag; those with our tag; those without the tag ``managed-by``;
those made by the very call as waiting for approval."""

Verb = Literal["capture", "deliver", "ask", "replay", "register", "prune", "check"]
Role = Literal["writer", "reader", "replayer", "registrar", "pruner"]

_SAMPLE: Final = "lineage-flows-doctor"
"""Stands for a name or a hash where IAM is asked about one resource of a kind; nothing needs to be called so."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where resources lie, for their ARNs.

    Attributes:
        region: of SageMaker.
        account: twelve digits.
        bucket: of the blobs; None when they lie elsewhere.
        prefix: of the blobs' keys in it, without slashes at its ends.
        key: ARN of the KMS key the bucket is encrypted by; None without one.
        role: ARN of the caller's own role; None for a caller that is none.
        partition: ``aws``, ``aws-cn`` or ``aws-us-gov``.
    """

    region: str
    account: str
    bucket: str | None = None
    prefix: str = ""
    key: str | None = None
    role: str | None = None
    partition: str = "aws"


@dataclass(frozen=True, slots=True)
class Permission:
    """One action on one kind of resource.

    Attributes:
        action: as IAM writes it, ``sagemaker:CreateArtifact``.
        resource: a kind of SageMaker's (``artifact``), ``bucket``, ``object``, ``model-data``, ``key``, ``role``, or ``*`` where
            the action takes no resource.
        scope: which resources of that kind.
    """

    action: str
    resource: str
    scope: Scope = "any"

    @property
    def shown(self) -> str:
        """``sagemaker:CreateArtifact on artifact/*``, and its scope in words."""
        where = "" if self.resource == "*" else f" on {self.resource}/*"
        where = f" on the {_NAMES[self.resource]}" if self.resource in _NAMES else where
        return f"{self.action}{where}{_SCOPES[self.scope]}"

    def arn(self, places: Places) -> str | None:
        """An ARN of a resource of this kind, or ``*``; None where there is none of the kind (no bucket, no key, no role)."""
        if self.resource == "*":
            return "*"
        if self.resource in {"key", "role"}:
            return places.key if self.resource == "key" else places.role
        if self.resource in {"bucket", "object", "model-data"}:
            if places.bucket is None:
                return None
            bucket = f"arn:{places.partition}:s3:::{places.bucket}"
            prefix = places.prefix
            if self.resource == "model-data":  # as ``Settings.models_url`` has it
                prefix = "/".join(part for part in (prefix.rpartition("/")[0], "models") if part)
            key = "/".join(part for part in (prefix, _SAMPLE) if part)
            return bucket if self.resource == "bucket" else f"{bucket}/{key}"
        return f"arn:{places.partition}:sagemaker:{places.region}:{places.account}:{self.resource}/{_SAMPLE}"

    def context(self, places: Places) -> dict[str, list[str]]:
        """The condition keys, with their values, that a call of the product is made with."""
        key, value = MANAGED_BY
        if self.resource == "key":
            # The key is used by S3 alone, in the caller's name, and in the key's own region.
            region = (places.key or "").split(":")[3:4] or [places.region]
            return {"kms:ViaService": [f"s3.{region[0]}.{_DOMAINS.get(places.partition, 'amazonaws.com')}"]}
        if self.scope == "ours":
            return {f"aws:ResourceTag/{key}": [value]}
        if self.scope == "pending":
            return {"sagemaker:ModelApprovalStatus": ["PendingManualApproval"]}
        if self.scope != "new":
            return {}
        found = {f"aws:RequestTag/{key}": [value], "aws:TagKeys": [key]}
        if self.action == "sagemaker:AddTags":
            made = "".join(part.capitalize() for part in self.resource.split("-"))
            found["sagemaker:TaggingAction"] = [f"Create{made}"]
        return found


_DOMAINS: Final = {"aws-cn": "amazonaws.com.cn"}
_NAMES: Final = {
    "bucket": "bucket",
    "object": "bucket's objects",
    "model-data": "bucket's models",
    "key": "bucket's KMS key",
    "role": "role itself",
}
_SCOPES: Final[dict[Scope, str]] = {
    "any": "",
    "new": " with the tag of lineage-flows in the request",
    "ours": " that has the tag of lineage-flows",
    "unmanaged": " that nobody's tag claims",
    "pending": " that waits for approval",
}


def _each(actions: tuple[str, ...], resource: str, scope: Scope = "any") -> tuple[Permission, ...]:
    return tuple(Permission(action, resource, scope) for action in actions)


_KINDS: Final = ("artifact", "action", "context")
_FOREIGN: Final = ("artifact", "action", "context", "experiment-trial-component")
"""What SageMaker makes itself and lineage is joined to: the other end of an association."""

_LISTING: Final = _each(
    ("sagemaker:ListArtifacts", "sagemaker:ListActions", "sagemaker:ListContexts", "sagemaker:ListAssociations"), "*"
)
_DESCRIBING: Final = tuple(Permission(f"sagemaker:Describe{kind.capitalize()}", kind) for kind in _KINDS)
_READING: Final = (
    Permission("s3:GetObject", "object"),
    # Without it S3 answers "denied" in place of "not there".
    Permission("s3:ListBucket", "bucket"),
    Permission("kms:Decrypt", "key"),
)
_CREATE: Final = tuple(
    Permission(f"sagemaker:{action}", kind, "new")
    for kind in _KINDS
    for action in (f"Create{kind.capitalize()}", "AddTags")
)
_ASSOCIATE: Final = (
    *(Permission("sagemaker:AddAssociation", kind, "ours") for kind in _KINDS),
    *(Permission("sagemaker:AddAssociation", kind, "unmanaged") for kind in _FOREIGN),
)
_CAPTURE: Final = (
    *_READING,
    Permission("s3:PutObject", "object"),
    Permission("s3:AbortMultipartUpload", "object"),
    Permission("kms:GenerateDataKey", "key"),
)
_UPDATE: Final = tuple(Permission(f"sagemaker:Update{kind.capitalize()}", kind, "ours") for kind in _KINDS)
_ASK: Final = (
    *_LISTING,
    Permission("sagemaker:QueryLineage", "*"),
    Permission("sagemaker:Search", "*"),
    *_DESCRIBING,
    # SageMaker's own jobs, where lineage is joined to them.
    Permission("sagemaker:DescribeTrialComponent", "experiment-trial-component"),
    Permission("sagemaker:DescribeTrainingJob", "training-job"),
    Permission("sagemaker:DescribeProcessingJob", "processing-job"),
    Permission("sagemaker:DescribeTransformJob", "transform-job"),
    *_READING,
    # A version that another was put over is still there.
    Permission("s3:GetObjectVersion", "object"),
    Permission("s3:ListBucketVersions", "bucket"),
)
_DELIVER: Final = (
    *_CREATE,
    *_UPDATE,
    *_ASSOCIATE,
    *_DESCRIBING,
    *_LISTING,
    # By the job that it is of; takes no resource (D).
    Permission("sagemaker:ListTrialComponents", "*"),
)

VERBS: Final[dict[Verb, tuple[Permission, ...]]] = {
    "capture": _CAPTURE,
    "deliver": _DELIVER,
    "ask": _ASK,
    # A replay records itself as any run does, and changes nothing about the flow it is a run of.
    "replay": (*_CAPTURE, *(item for item in _DELIVER if item.action != "sagemaker:UpdateContext")),
    "register": (
        Permission("sagemaker:CreateModelPackageGroup", "model-package-group", "new"),
        Permission("sagemaker:AddTags", "model-package-group", "new"),
        Permission("sagemaker:DescribeModelPackageGroup", "model-package-group"),
        Permission("sagemaker:ListModelPackages", "*"),
        Permission("sagemaker:DescribeModelPackage", "model-package"),
        # Both are checked, each by itself (I). Who registers does not approve.
        Permission("sagemaker:CreateModelPackage", "model-package", "pending"),
        Permission("sagemaker:CreateModelPackage", "model-package-group", "pending"),
        Permission("s3:PutObject", "model-data"),
        *_READING,
        Permission("kms:GenerateDataKey", "key"),
    ),
    "prune": (
        *(Permission(f"sagemaker:Delete{kind.capitalize()}", kind, "ours") for kind in _KINDS),
        *(Permission("sagemaker:DeleteAssociation", kind, "ours") for kind in _KINDS),
        *(Permission("sagemaker:DeleteAssociation", kind, "unmanaged") for kind in _FOREIGN),
        *_DESCRIBING,
        *_LISTING,
        *_READING,
        *_each(("s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion"), "object"),
        Permission("s3:ListBucketVersions", "bucket"),
    ),
    "check": (
        Permission("sagemaker:ListArtifacts", "*"),
        *_each(
            (
                "s3:ListBucket",
                "s3:GetBucketVersioning",
                "s3:GetBucketPolicy",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketObjectLockConfiguration",
                "s3:GetEncryptionConfiguration",
            ),
            "bucket",
        ),
        *_each(("iam:GetRole", "iam:SimulatePrincipalPolicy"), "role"),
    ),
}
"""What the product calls, by what it does: keep blobs, write the graph, answer questions, replay, register models, forget, and
``doctor --aws``."""

ROLES: Final[dict[Role, tuple[Verb, ...]]] = {
    "reader": ("ask", "check"),
    "writer": ("capture", "deliver", "check"),
    "replayer": ("ask", "replay", "check"),
    # A writer that may also register: most workers make no model that anybody is to use. Nobody here approves.
    "registrar": ("capture", "deliver", "register", "check"),
    "pruner": ("prune", "check"),
}
"""What each role of ``infra/`` may, least first."""


def of_verb(verb: Verb) -> tuple[Permission, ...]:
    """What a verb needs, each once, in a fixed order."""
    return tuple(dict.fromkeys(VERBS[verb]))


def of_role(role: Role) -> tuple[Permission, ...]:
    """What a role has, each once, in a fixed order."""
    return tuple(dict.fromkeys(item for verb in ROLES[role] for item in VERBS[verb]))


def roles_with(action: str) -> tuple[Role, ...]:
    """The roles that have an action, whatever its resource, the one that may least first; none when the product never calls it."""
    wanted = action.casefold()
    return tuple(role for role in ROLES if any(item.action.casefold() == wanted for item in of_role(role)))


def denied_error(action: str, resource: str = "", *, why: str = "") -> PermissionDeniedError:
    """The error of a denied call: which action on which resource, and which role of ``infra/`` has it.

    Args:
        action: as IAM writes it, ``sagemaker:CreateArtifact``.
        resource: its ARN as AWS gave it; empty when it is not known.
        why: what AWS says of the reason, in its words.
    """
    roles = roles_with(action)
    return PermissionDeniedError(action, resource or _shape(action), roles=roles, why=why)


_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled", "403"}
)
_NOT_AUTHORIZED: Final = re.compile(
    r"not authorized to perform: (?P<action>[\w-]+:\w+)(?: on resource: (?P<resource>\S+))?"
)
_REASON: Final = re.compile(r"\bbecause (?P<reason>.+)", re.DOTALL)
_OPERATIONS: Final = {
    "HeadObject": "s3:GetObject",
    "HeadBucket": "s3:ListBucket",
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "CopyObject": "s3:PutObject",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
}
"""Operations whose permission has another name than they have (D)."""


def denied_call(
    error: BaseException, *, service: str = "sagemaker", resource: str = ""
) -> PermissionDeniedError | None:
    """What a boto3 error says of a denied call; None when it says anything else.

    AWS names the action and mostly the resource in its message. S3 names neither: there it is known by the operation.

    Args:
        error: a ``ClientError`` of botocore (or of anything that has its ``response`` and ``operation_name``).
        service: IAM's prefix of the service, for when the message does not name the action.
        resource: what the call was about, for when the message does not name it.
    """
    response = getattr(error, "response", None)
    said = response.get("Error") if isinstance(response, dict) else None
    if not isinstance(said, dict) or str(said.get("Code", "")) not in _DENIED:
        return None
    message = " ".join(str(said.get("Message") or "").split())
    operation = "".join(str(getattr(error, "operation_name", "") or "").split())
    named = _NOT_AUTHORIZED.search(message)
    action = (
        named["action"] if named else _OPERATIONS.get(operation, f"{service}:{operation}" if operation else service)
    )
    reason = _REASON.search(message)
    found = (named["resource"] or "").rstrip(".,") if named else ""
    return denied_error(action, found or resource, why=reason["reason"] if reason else "")


def _shape(action: str) -> str:
    """What an action is about when AWS does not say: ``artifact/*``; empty when it takes no resource or is not ours."""
    kinds = [
        item.resource for items in VERBS.values() for item in items if item.action == action and item.resource != "*"
    ]
    shapes = dict.fromkeys(_NAMES.get(kind, f"{kind}/*") for kind in kinds)
    return " or ".join(shapes)
