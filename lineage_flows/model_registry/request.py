"""The request that makes a model package: what stands in it, and whether SageMaker can take it.

Knows SageMaker's service model, from which all limits come; must not know who sends the request.

What AWS documents (D), what is inferred (I): a package of a group takes no tags, it has those of the group (D). ``SourceUri`` is
"the URI of the source for the model package" (D); AWS's own SDK gives it URIs that are no ARNs, and never together with an
``InferenceSpecification``, which "is not allowed" (I). A model's data is one ``.tar.gz`` in S3 (D).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, Final

from lineage_flows.endpoint.errors import ServiceError
from lineage_flows.endpoint.shapes import input_shape
from lineage_flows.endpoint.validation import read_request
from lineage_flows.errors import RegistrationError
from lineage_flows.graph.identity import fit_metadata
from lineage_flows.model_registry.registered import Wanted
from lineage_flows.model_registry.subject import Subject
from lineage_flows.permissions import MANAGED_BY
from lineage_flows.redaction import is_secret_name, redact

__all__ = [
    "ARTIFACT",
    "CONTENT",
    "OWN",
    "REGISTERED_BY",
    "REGISTERED_IN",
    "check",
    "check_wanted",
    "group_request",
    "package_request",
    "plain_metrics",
    "token_of",
]

OWN: Final = "lineage-flows."
"""How the names of our own properties of a package begin."""

ARTIFACT: Final = f"{OWN}artifact"
CONTENT: Final = f"{OWN}content"
REGISTERED_BY: Final = f"{OWN}registered-by"
REGISTERED_IN: Final = f"{OWN}registered-in"
_METRIC: Final = "metric."
_TOKEN: Final = 36
_MAP: Final = re.compile(r"Value '\{.*?\}' at (?=')")
"""Of an error about a map: all of it, in which a caller's texts stand."""
_TEXTS: Final = re.compile(r"[^\w.:/=+\-@ ]")


def check_wanted(wanted: Wanted) -> None:
    """Look at what is asked for, before anything is read or written.

    Raises:
        RegistrationError: SageMaker would refuse it, or it says two things at once.
    """
    if type(wanted.group) is not str or not wanted.group:
        raise RegistrationError("a model cannot be registered without a group", fix="give group, the name of a group")
    for name, value in wanted.metrics.items():
        if not _is_number(value):
            raise RegistrationError(f"the metric {name!r} is {value!r}", fix="give metrics as finite numbers by name")
    for name, text in wanted.properties.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise RegistrationError(f"the property {name!r} is no text", fix="give properties as texts by name")
        if name.startswith((OWN, _METRIC)):
            raise RegistrationError(f"the property {name!r} has a name of lineage's own", fix="call it otherwise")
        if is_secret_name(name) or redact(text) != text:
            raise RegistrationError(
                f"the property {name!r} holds a secret, by its name or its looks",
                fix="leave it out: whoever may read the registry would see it",
            )
    if wanted.artifact_uri is not None and not str(wanted.artifact_uri).startswith("s3://"):
        raise RegistrationError(f"{wanted.artifact_uri!r} is not in S3", fix="give artifact_uri as s3://…/model.tar.gz")
    if (wanted.content_types or wanted.response_types) and not wanted.image:
        raise RegistrationError("types of content are those of a container", fix="give image, too")
    check("CreateModelPackageGroup", group_request(wanted, {}))
    nothing = Subject(content="lf1:" + "0" * 64)
    check("CreateModelPackage", package_request(wanted, nothing, wanted.artifact_uri, "", {}))


def check(operation: str, request: Mapping[str, Any]) -> None:
    """Hold a request against SageMaker's own description of it.

    Raises:
        RegistrationError: a length, pattern, count or type is not as SageMaker wants it.
    """
    try:
        read_request(input_shape(operation), dict(request))
    except ServiceError as error:
        why = redact(_MAP.sub("the value at ", " ".join(error.message.split())))
        raise RegistrationError("the model cannot be registered like this", why=why, fix="correct it") from None


def group_request(wanted: Wanted, tags: Mapping[str, str]) -> dict[str, Any]:
    """Of ``CreateModelPackageGroup``; its tags are those of all its versions."""
    named = {**tags, MANAGED_BY[0]: MANAGED_BY[1]}
    return {
        "ModelPackageGroupName": wanted.group,
        "Tags": [{"Key": key, "Value": value} for key, value in named.items()],
    }


def package_request(
    wanted: Wanted, subject: Subject, model_data: str | None, namespace: str, pointers: Mapping[str, str]
) -> dict[str, Any]:
    """Of ``CreateModelPackage``, without its token.

    Args:
        wanted: how it is to be registered.
        subject: the model.
        model_data: where its data lies in S3, if it does.
        namespace: of the runs.
        pointers: more of our own properties.
    """
    request: dict[str, Any] = {
        "ModelPackageGroupName": wanted.group,
        "ModelApprovalStatus": wanted.approval,
        "CustomerMetadataProperties": _properties(wanted, subject, model_data, pointers),
    }
    if wanted.description:
        request["ModelPackageDescription"] = wanted.description
    said = {
        "CommitId": subject.commit,
        "Repository": subject.repository,
        "GeneratedBy": "lineage-flows",
        "ProjectId": namespace or None,
    }
    request["MetadataProperties"] = {key: fit_metadata(text) for key, text in said.items() if text}
    if wanted.image:
        container = {"Image": wanted.image, **({"ModelDataUrl": model_data} if model_data else {})}
        request["InferenceSpecification"] = {
            "Containers": [container],
            **({"SupportedContentTypes": list(wanted.content_types)} if wanted.content_types else {}),
            **({"SupportedResponseMIMETypes": list(wanted.response_types)} if wanted.response_types else {}),
        }
    elif source := model_data or subject.source_uri:
        request["SourceUri"] = source
    return request


def token_of(request: Mapping[str, Any], *more: object) -> str:
    """The token by which SageMaker knows a request that is sent again: the same for the same request."""
    said = json.dumps([request, *map(str, more)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:_TOKEN]


def plain_metrics(wanted: Wanted) -> dict[str, int | float]:
    """The metrics as Python's own numbers: the text of numpy's, ``np.float64(0.5)``, is no number to anybody who reads it."""
    return {name: int(value) if isinstance(value, Integral) else float(value) for name, value in wanted.metrics.items()}


def _properties(
    wanted: Wanted, subject: Subject, model_data: str | None, pointers: Mapping[str, str]
) -> dict[str, str]:
    """What the caller says, and where in the lineage the model stands: what is too long for it is left out, and found by run id."""
    own = {
        "content": subject.content,
        "artifact": subject.source_uri,
        "run-id": subject.run_id,
        "step-id": subject.step_id,
        "flow": subject.flow,
        "task": subject.task,
        "commit": subject.commit,
        "model-data": model_data,
        **pointers,
    }
    found = {**wanted.properties, **{f"{_METRIC}{name}": repr(value) for name, value in plain_metrics(wanted).items()}}
    for name, text in own.items():
        if text and len(text) <= _longest_value() and not _TEXTS.search(text):
            found[f"{OWN}{name}"] = text
    return found


def _is_number(value: object) -> bool:
    """Whether it is a finite number: Python's own, or a scalar of numpy's, as most metrics are."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


@lru_cache(maxsize=1)
def _longest_value() -> int:
    return int(input_shape("CreateModelPackage").members["CustomerMetadataProperties"].value.metadata["max"])
