"""SageMaker's model registry and S3 as what a registration calls.

Knows boto3, and loads it when something is registered; must not know lineage. What AWS says of a refusal is told as action,
resource and role. Nothing here draws random numbers: a flow's own would come out otherwise.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from lineage_flows.aws import session
from lineage_flows.aws_errors import explained
from lineage_flows.errors import AwsError, RegistrationError

__all__ = ["Registry", "Version", "archive_uri", "split_uri"]

_SECONDS: Final = {"connect_timeout": 5, "read_timeout": 60, "retries": {"total_max_attempts": 1, "mode": "standard"}}
"""botocore's own retries draw from the process's random numbers."""
_PAUSES: Final = (0.5, 1.0, 2.0)
_PASSING: Final = frozenset(
    [
        *("ThrottlingException", "Throttling", "TooManyRequestsException", "SlowDown", "RequestLimitExceeded"),
        *("InternalFailure", "InternalError", "ServiceUnavailable", "ServiceUnavailableException", "503", "500"),
        *("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"),
    ]
)
"""Errors that may be over in a moment. All calls may be made again: a package is made under a token, an archive under its hash."""
_LOOKED_THROUGH: Final = 100
"""So many versions of a group, the newest, are looked through for the same model: each costs a call."""
_LARGEST_PUT: Final = 5 << 30
"""What one PutObject takes (D)."""
_GONE: Final = frozenset({"Failed", "Deleting"})

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Version:
    """A model package as SageMaker describes it."""

    arn: str
    number: int
    approval: str
    properties: Mapping[str, str]
    images: tuple[str, ...]
    model_data: str | None


class Registry:
    """The model registry of the region and account of boto3's own configuration.

    Raises:
        AwsError: boto3 is not installed, there are no credentials or no region. Of each method also: it was refused, or AWS does
            not answer. PermissionDeniedError: it may not be done.
    """

    def __init__(self) -> None:
        from botocore.config import Config

        self._session = session()
        self._config = Config(**_SECONDS)
        self._client = _asked("speak to SageMaker", lambda: self._session.client("sagemaker", config=self._config))

    def ensure_group(self, request: Mapping[str, Any]) -> bool:
        """Make a group, unless there is one of that name; whether it was made."""
        name = str(request["ModelPackageGroupName"])
        resource = f"model-package-group/{name}"
        if self._has_group(name, resource):
            return False
        try:
            self._call(f"make the group {name}", resource, self._client.create_model_package_group, request, _There)
        except _There:
            return False
        return True

    def _has_group(self, name: str, resource: str) -> bool:
        asked = {"ModelPackageGroupName": name}
        try:
            self._call(
                f"look for the group {name}", resource, self._client.describe_model_package_group, asked, _Missing
            )
        except _Missing:
            return False
        return True

    def versions(self, group: str) -> Iterator[Version]:
        """The newest versions of a group, newest first; those that are being deleted, or failed, left out."""
        asked = {
            "ModelPackageGroupName": group,
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
            "MaxResults": _LOOKED_THROUGH,
        }
        resource = f"model-package-group/{group}"
        found = self._call(f"list the versions of {group}", resource, self._client.list_model_packages, asked)
        for item in found["ModelPackageSummaryList"]:
            if item.get("ModelPackageStatus") not in _GONE:
                yield self.version(item["ModelPackageArn"])

    def version(self, arn: str) -> Version:
        """One version, by its ARN."""
        asked = {"ModelPackageName": arn}
        said = self._call(f"describe {arn}", arn, self._client.describe_model_package, asked)
        containers = (said.get("InferenceSpecification") or {}).get("Containers") or []
        data = next((item["ModelDataUrl"] for item in containers if item.get("ModelDataUrl")), None)
        source = said.get("SourceUri") or ""
        return Version(
            arn,
            int(said.get("ModelPackageVersion") or arn.rpartition("/")[2]),
            str(said.get("ModelApprovalStatus") or ""),
            dict(said.get("CustomerMetadataProperties") or {}),
            tuple(item["Image"] for item in containers if item.get("Image")),
            data or (source if source.startswith("s3://") else None),
        )

    def create(self, request: Mapping[str, Any]) -> str:
        """Make a version; its ARN."""
        group = request["ModelPackageGroupName"]
        resource = f"model-package/{group}/*"
        answer = self._call(f"register a version of {group}", resource, self._client.create_model_package, request)
        return str(answer["ModelPackageArn"])

    def upload(self, archive: bytes, uri: str) -> tuple[str | None, str | None]:
        """Put an archive to its place, unless it is there; what S3 calls this version of it: ETag and version.

        Raises:
            RegistrationError: it is more than S3 takes at once.
        """
        if len(archive) > _LARGEST_PUT:
            fix = "put it there yourself and give artifact_uri"
            raise RegistrationError(f"the model's archive has {len(archive)} bytes", why="S3 takes 5 GB", fix=fix)
        bucket, key = split_uri(uri)
        s3 = self._s3()
        request = {"Bucket": bucket, "Key": key, "Body": archive, "IfNoneMatch": "*"}
        try:
            answer = self._call(f"put {uri}", f"{bucket}/{key}", s3.put_object, request, _There, service="s3")
        except _There:
            return self.head(uri) or (None, None)
        return _named(answer)

    def head(self, uri: str) -> tuple[str | None, str | None] | None:
        """ETag and version of an object; None when it is not there.

        Raises:
            PermissionDeniedError: that is not to be told.
        """
        bucket, key = split_uri(uri)
        asked = {"Bucket": bucket, "Key": key}
        try:
            return _named(self._call(f"look at {uri}", uri, self._s3().head_object, asked, _Missing, service="s3"))
        except _Missing:
            return None

    def _s3(self) -> Any:  # noqa: ANN401 - boto3 has no types
        return _asked("speak to S3", lambda: self._session.client("s3", config=self._config))

    def _call(
        self,
        what: str,
        resource: str,
        method: Callable[..., Mapping[str, Any]],
        request: Mapping[str, Any],
        expected: type[_Said] | None = None,
        *,
        service: str = "sagemaker",
    ) -> Mapping[str, Any]:
        return _asked(what, lambda: method(**request), expected, service=service, resource=resource)


def archive_uri(archive: bytes, url: str) -> str:
    """Where an archive goes: under its hash, below a URL in S3."""
    digest = hashlib.sha256(archive).hexdigest()
    return f"{url.rstrip('/')}/{digest[:2]}/{digest}/model.tar.gz"


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class _Said(Exception):  # noqa: N818 - an answer, not an error
    """An error of AWS that answers what was asked."""


class _There(_Said):
    """What was to be made is there already."""


class _Missing(_Said):
    """What was asked for is not there."""


def _asked(
    what: str,
    ask: Callable[[], _Answer],
    expected: type[_Said] | None = None,
    *,
    service: str = "sagemaker",
    resource: str = "",
) -> _Answer:
    """The answer, or the error in the product's words; asked again where that may help.

    Raises:
        _Said: ``expected``, when AWS's error says that.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    for pause in (*_PAUSES, None):
        try:
            return ask()
        except (BotoCoreError, ClientError, OSError, ValueError) as error:
            response = error.response if isinstance(error, ClientError) else {}
            said = response.get("Error", {})
            code, message = str(said.get("Code") or type(error).__name__), str(said.get("Message") or "")
            if pause is not None and code in _PASSING:
                time.sleep(pause)
                continue
            if expected is not None and _MEANT[expected](code, message):
                raise expected from error
            raise explained(error, what, service=service, resource=resource) from error
    raise AwsError(f"cannot {what}")  # unreachable: the last turn returns or raises


def _is_there(code: str, message: str) -> bool:
    """Of S3 documented (412, and 409 while another puts it); of groups inferred: AWS declares no error for a name that is taken."""
    if code in {"PreconditionFailed", "ConditionalRequestConflict", "412"}:
        return True
    return code in {"ValidationException", "ConflictException", "ResourceInUse"} and "already exist" in message.lower()


def _is_missing(code: str, message: str) -> bool:
    """Inferred: DescribeModelPackageGroup declares no error at all, and in practice answers ValidationException."""
    if code in {"404", "NoSuchKey", "NotFound", "ResourceNotFound", "ResourceNotFoundException"}:
        return True
    said = message.lower()
    return code == "ValidationException" and any(
        part in said for part in ("does not exist", "not exist", "not found", "could not find", "cannot find")
    )


_MEANT: Final[dict[type[_Said], Callable[[str, str], bool]]] = {_There: _is_there, _Missing: _is_missing}


def _named(answer: Mapping[str, Any]) -> tuple[str | None, str | None]:
    etag = str(answer.get("ETag") or "").strip('"') or None
    version = answer.get("VersionId")
    return etag, None if version in (None, "null") else str(version)
