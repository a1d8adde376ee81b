"""What went wrong with a call to SageMaker: one place that reads botocore's errors and says what follows from them.

Knows botocore's errors by name and shape, so that it need not be loaded for this module to be. Of the codes below AWS's service
model declares ResourceNotFound, ConflictException and ResourceLimitExceeded; the others are common to AWS's services, and are
matched by ``Error.Code``.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from lineage_flows.errors import SageMakerError
from lineage_flows.permissions import denied_call, roles_with
from lineage_flows.redaction import redact

__all__ = ["EVERYWHERE", "Problem", "explain", "no_answer_of", "says_exists"]

Problem = Literal[
    "exists",
    "missing",
    "invalid",
    "refused",
    "conflict",
    "limit",
    "denied",
    "throttled",
    "away",
    "credentials",
    "stranger",
]
"""``exists``: what was to be made is there. ``missing``: what was spoken of is not. ``invalid``: it can never be taken as it is.
``refused``: something on the way refused it, in words of its own. ``conflict``: somebody else is changing it. ``limit``: the
account's quota. ``denied``: a permission is missing. ``throttled``: too many calls. ``away``: no answer, or a failure on AWS's
side. ``credentials``: none, expired, wrong, or the clock is. ``stranger``: what answers is not SageMaker."""

EVERYWHERE: Final = frozenset({"denied", "credentials", "stranger"})
"""Problems that the next call will have as well, so that it need not be made."""

_CODES: Final[dict[str, Problem]] = {
    "ResourceNotFound": "missing",
    "ResourceNotFoundException": "missing",
    "ConflictException": "conflict",
    "ResourceInUse": "conflict",
    "ResourceLimitExceeded": "limit",
    "ServiceQuotaExceededException": "limit",
    "ValidationException": "invalid",
    "ValidationError": "invalid",
    "SerializationException": "invalid",
    "AccessDenied": "denied",
    "AccessDeniedException": "denied",
    "UnauthorizedOperation": "denied",
    "NotAuthorized": "denied",
    "OptInRequired": "denied",
    "Throttling": "throttled",
    "ThrottlingException": "throttled",
    "ThrottledException": "throttled",
    "RequestThrottled": "throttled",
    "RequestThrottledException": "throttled",
    "RequestLimitExceeded": "throttled",
    "TooManyRequestsException": "throttled",
    "SlowDown": "throttled",
    "RequestTimeout": "away",
    "RequestTimeoutException": "away",
    "InternalFailure": "away",
    "InternalError": "away",
    "InternalServerError": "away",
    "InternalServerException": "away",
    "ServiceUnavailable": "away",
    "ServiceUnavailableException": "away",
    "ExpiredToken": "credentials",
    "ExpiredTokenException": "credentials",
    "RequestExpired": "credentials",
    "UnrecognizedClientException": "credentials",
    "InvalidClientTokenId": "credentials",
    "InvalidAccessKeyId": "credentials",
    "InvalidSignatureException": "credentials",
    "SignatureDoesNotMatch": "credentials",
    "IncompleteSignature": "credentials",
    "IncompleteSignatureException": "credentials",
    "MissingAuthenticationToken": "credentials",
    "MissingAuthenticationTokenException": "credentials",
    "RequestTimeTooSkewed": "credentials",
    "UnknownOperation": "stranger",
    "UnknownOperationException": "stranger",
    "InvalidAction": "stranger",
}

_CREDENTIAL_ERRORS: Final = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
    "SSOTokenLoadError",
    "NoAuthTokenError",
    "ProfileNotFound",
    "RefreshWithMFAUnsupportedError",
    "MetadataRetrievalError",
    "LoginTokenLoadError",
)
_UNSPEAKABLE: Final = {"CredentialRetrievalError": "the configured source of credentials failed"}
"""Errors whose text is what another program printed, which may be a credential."""
_BAD_INPUT: Final = ("ParamValidationError", "UnsupportedTLSVersionWarning")
_STRANGERS: Final = (
    "ResponseParserError",
    "UnknownServiceError",
    "InvalidEndpointConfigurationError",
    # Of an answer that is JSON and nothing that SageMaker says, botocore's parser raises what Python does.
    "AttributeError",
    "LookupError",
    "TypeError",
    "ValueError",
)

_DISLIKED: Final = frozenset({400, 403, 406, 413, 414, 422, 431})

_FIXES: Final[dict[Problem, str]] = {
    "exists": "",
    "missing": "deliver again with `lineage-flows deliver`, which makes it anew",
    "invalid": "report it, with the reason; `lineage-flows deliver` offers it again after an upgrade",
    "refused": "look at what stands between this machine and AWS (a proxy, a firewall)",
    "conflict": "try again later",
    "limit": "have the quota raised (Service Quotas, Amazon SageMaker), prune old runs, or set LINEAGE_FLOWS_SAGEMAKER_DETAIL=runs",
    "throttled": "nothing: what waits is delivered later",
    "away": "check the network and AWS_ENDPOINT_URL_SAGEMAKER; what waits is delivered later",
    "stranger": "check AWS_ENDPOINT_URL_SAGEMAKER and AWS_REGION",
}


def explain(error: BaseException, operation: str, resource: str, place: str) -> SageMakerError:
    """Our error for one of botocore's.

    Args:
        error: what the call raised.
        operation: the call.
        resource: what it was about, in words or as the resource of a policy (``action/backtest-…``).
        place: where it went, for the message.
    """
    response: Any = getattr(error, "response", None)
    said = response.get("Error", {}) if isinstance(response, dict) else {}
    code, message = str(said.get("Code") or ""), str(said.get("Message") or "")
    if isinstance(response, dict):
        problem = _of_response(code, message, response)
    else:
        problem = _of_client(type(error))
        code, message = type(error).__name__, str(error)
    if code in _UNSPEAKABLE:
        message = _UNSPEAKABLE[code]
    message = redact(message.partition("The Canonical String")[0])  # which holds the session's token
    what = f"SageMaker ({place}) did not do {operation} on {resource}"
    why = " ".join(f"{code}: {message}".split())[:500]
    denied = denied_call(error, resource=resource) if problem == "denied" else None
    if denied is not None and "perform" in message:  # AWS names what it denied, which may be AddTags, of a Create
        operation_denied, resource = denied.action.partition(":")[2], denied.resource or resource
    else:
        operation_denied = operation
    fix = _fix(problem, operation_denied, resource, code, message)
    return SageMakerError(what, problem=problem, operation=operation, why=why, fix=fix)


def no_answer_of(operation: str, field: str, place: str) -> SageMakerError:
    """The error of an answer without what SageMaker's always has."""
    return SageMakerError(
        f"what answers {operation} at {place} is not SageMaker",
        problem="stranger",
        operation=operation,
        why=f"its answer has no {field}",
        fix=_FIXES["stranger"],
    )


def says_exists(code: str, message: str) -> bool:
    """Whether a refusal to create means that the thing is there already.

    Inferred, from AWS's own SDK and its tests: that a repeated Create is refused is documented, by which code is not. This is the
    only place that knows; who relies on it looks the thing up by its identity, so that a wrong guess costs a lookup and no more.
    """
    return (
        code in {"ValidationException", "ConflictException", "ResourceInUse"} and "already exist" in message.casefold()
    )


def _of_response(code: str, message: str, response: dict[str, Any]) -> Problem:
    if says_exists(code, message):
        return "exists"
    if code in _CODES:
        return _CODES[code]
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    if status in {429}:
        return "throttled"
    if status >= 500:
        return "away"
    if "not authorized" in message:
        return "denied"
    # What is no code of AWS's but a status: a proxy or firewall, which may dislike a single payload.
    return "refused" if code.isdigit() and status in _DISLIKED else "stranger"


def _of_client(kind: type[BaseException]) -> Problem:
    """Of an error that botocore itself raised; by name, of the class or one it is derived from."""
    names = {base.__name__ for base in kind.__mro__}
    if names.intersection(_CREDENTIAL_ERRORS):
        return "credentials"
    if names.intersection(_BAD_INPUT):
        return "invalid"
    return "stranger" if names.intersection(_STRANGERS) else "away"


def _fix(problem: Problem, operation: str, resource: str, code: str, message: str) -> str:
    if problem == "denied":
        action = f"sagemaker:{operation}"
        has_it = [f": the role `{role}` of infra/ has it" for role in roles_with(action)[:1]]
        return f"allow {action} on {resource} to the caller{''.join(has_it)}"
    if problem == "credentials":
        return _credentials_fix(code, message)
    return _FIXES[problem]


def _credentials_fix(code: str, message: str) -> str:
    lower = message.casefold()
    if (
        code == "RequestTimeTooSkewed"
        or "signature expired" in lower
        or "not yet current" in lower
        or "skewed" in lower
    ):
        return "set this machine's clock: AWS refuses what was signed minutes ago or ahead"
    if "expired" in lower or code.startswith("Expired") or code == "RequestExpired":
        return "log in again, or renew the credentials"
    if code in {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}:
        return "give AWS credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, or the machine's role"
    return "check the credentials, AWS_PROFILE and AWS_REGION"
