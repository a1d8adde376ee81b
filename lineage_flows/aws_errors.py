"""Errors of boto3: one table of what each means, and what to do about those that any caller can do the same about.

Knows the names and codes of errors, and not boto3 itself: it looks at what an error says of itself. ``explained`` is for what
asks AWS a question; the keeper's own reading (``graph.sagemaker.problems``) goes by the same table, and knows beside it what waits
and what is delivered again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from lineage_flows.errors import AwsError
from lineage_flows.permissions import denied_call

__all__ = ["CREDENTIALS", "Kind", "Said", "explained", "fix_of", "kind_of", "no_credentials", "said_by"]

Kind = Literal[
    "none", "expired", "clock", "unaccepted", "profile", "credentials",
    "region", "elsewhere", "absent", "bodiless", "unreachable", "failing", "throttled", "unknown call", "garbled",
    "missing", "invalid", "conflict", "limit", "denied",
]  # fmt: skip
"""``none``, ``expired``, ``clock``, ``unaccepted``, ``profile``, ``credentials``: no credentials; old ones; good ones of a machine
whose clock is wrong; some that AWS does not know or take; a profile that is not there; credentials that cannot be had for another
reason. ``region``: none is configured. ``elsewhere``: it lies in another region. ``absent``: there is no such place.
``bodiless``: refused without a word. ``unreachable``: no answer. ``failing``: a failure on AWS's side. ``throttled``: too many
calls. ``unknown call``, ``garbled``: what answers does not know the call, or makes no sense. ``missing``: what was spoken of is
not there. ``invalid``: it can never be taken as it is. ``conflict``: somebody else is changing it. ``limit``: a quota.
``denied``: a permission is missing."""

CREDENTIALS: Final[frozenset[Kind]] = frozenset({"none", "expired", "clock", "unaccepted", "profile", "credentials"})

_NAMES: Final[dict[Kind, tuple[str, ...]]] = {
    "none": ("NoCredentialsError", "PartialCredentialsError", "NoAuthTokenError", "ConfigNotFound"),
    "expired": (
        "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired",
        "SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError", "SSOError",
    ),
    "clock": ("RequestTimeTooSkewed", "RequestInTheFuture", "RequestExpired"),
    "unaccepted": (
        "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure", "SignatureDoesNotMatch",
        "InvalidSignatureException", "IncompleteSignature", "IncompleteSignatureException", "InvalidToken",
        "MissingAuthenticationToken", "MissingAuthenticationTokenException",
    ),
    "profile": ("ProfileNotFound",),
    "credentials": (
        "CredentialRetrievalError", "RefreshWithMFAUnsupportedError", "MetadataRetrievalError", "LoginTokenLoadError",
    ),
    "region": ("NoRegionError", "InvalidRegionError"),
    "elsewhere": ("PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
    "absent": ("NoSuchBucket", "404"),
    # An answer to HEAD has no body that would say more (D).
    "bodiless": ("400",),
    "unreachable": (
        "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError", "ProxyConnectionError",
        "SSLError",
    ),
    "failing": (
        "RequestTimeout", "RequestTimeoutException", "InternalFailure", "InternalError", "InternalServerError",
        "InternalServerException", "ServiceUnavailable", "ServiceUnavailableException",
    ),
    "throttled": (
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
        "RequestLimitExceeded", "TooManyRequestsException", "SlowDown",
    ),
    "unknown call": ("UnknownOperation", "UnknownOperationException", "InvalidAction", "NotImplemented"),
    "garbled": ("ResponseParserError", "UnknownServiceError", "InvalidEndpointConfigurationError"),
    # Of the codes below SageMaker's service model declares ResourceNotFound, ConflictException and ResourceLimitExceeded.
    "missing": ("ResourceNotFound", "ResourceNotFoundException"),
    "invalid": (
        "ValidationException", "ValidationError", "SerializationException", "ParamValidationError", "UnsupportedTLSVersionWarning",
    ),
    "conflict": ("ConflictException", "ResourceInUse"),
    "limit": ("ResourceLimitExceeded", "ServiceQuotaExceededException"),
    "denied": ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "OptInRequired"),
}  # fmt: skip
"""Codes of AWS's errors, and names of botocore's exceptions."""

_KINDS: Final[dict[str, Kind]] = {name: kind for kind, names in _NAMES.items() for name in names}

_TELLING: Final[tuple[tuple[str, Kind], ...]] = (
    # A signature that is too old is called invalid, and its text says "Signature expired" or "not yet current" (D).
    ("signature expired", "clock"),
    ("not yet current", "clock"),
    ("skewed", "clock"),
    ("expired", "expired"),
)
"""What the text of an error about credentials says of them, the first that fits; codes are often the same for all of them."""

_SIGN_IN: Final = "run `aws configure` or `aws sso login`, or set AWS_PROFILE"


@dataclass(frozen=True, slots=True)
class _Advice:
    """What to say of a kind.

    Attributes:
        what: what happened; empty: what was tried cannot be done.
        why: the reason, with ``{code}`` and ``{text}`` for what AWS says.
        fix: what to do.
    """

    what: str
    why: str
    fix: str


_ADVICE: Final[dict[Kind, _Advice]] = {
    "none": _Advice(
        "there are no AWS credentials",
        "{text}",
        "give AWS credentials: run `aws configure` or `aws sso login`, set AWS_PROFILE, or AWS_ACCESS_KEY_ID with "
        "AWS_SECRET_ACCESS_KEY, or use the machine's role",
    ),
    "expired": _Advice(
        "the AWS credentials have expired", "{text}", "sign in again (`aws sso login`), or renew the credentials"
    ),
    "clock": _Advice(
        "the clock of this machine is wrong",
        "{text}",
        "set the clock (NTP): AWS refuses what was signed more than five minutes ago or ahead",
    ),
    "unaccepted": _Advice(
        "AWS refuses the credentials", "{code}: {text}", f"look which are meant, and in which AWS_REGION; {_SIGN_IN}"
    ),
    "profile": _Advice("the AWS profile does not exist", "{text}", "correct AWS_PROFILE"),
    "credentials": _Advice("there are no AWS credentials", "{text}", f"look where they come from; {_SIGN_IN}"),
    "region": _Advice("no AWS region is set", "{text}", "set AWS_REGION, or `region` of the profile"),
    "unreachable": _Advice("", "{text}", "look at AWS_REGION, AWS_ENDPOINT_URL and the network (VPC endpoint, proxy)"),
    "elsewhere": _Advice("", "it lies in another region ({text})", "set AWS_REGION to that of the bucket"),
    "absent": _Advice("", "it is not there", "correct LINEAGE_FLOWS_STORE_URL, or deploy infra/lineage.yaml"),
    "bodiless": _Advice("", "{text}", "look whether AWS_REGION is right and the credentials are still good"),
    "failing": _Advice("", "AWS failed ({code}: {text})", "try again in a minute"),
    "throttled": _Advice("", "AWS asks for patience ({code})", "try again in a minute"),
    "unknown call": _Advice(
        "", "what answers does not know the call ({code})", "look whether it is AWS that answers (AWS_ENDPOINT_URL)"
    ),
    "garbled": _Advice(
        "", "what answers makes no sense ({code})", "look whether it is AWS that answers (AWS_ENDPOINT_URL)"
    ),
}
"""Of the kinds that are not here there is no more to say than AWS itself says."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an error says of itself.

    Attributes:
        code: AWS's, or the name of botocore's exception.
        text: in words, without what may be a credential.
        answered: whether it is an answer; else botocore itself raised it.
        status: of HTTP; 0 when there is none.
        names: of the exception's class and those it is derived from, the nearest first.
    """

    code: str
    text: str
    answered: bool
    status: int
    names: tuple[str, ...]


def said_by(error: BaseException) -> Said:
    """Read an error of boto3, or any other."""
    names = tuple(base.__name__ for base in type(error).__mro__)
    response: Any = getattr(error, "response", None)
    if not isinstance(response, dict):
        if "CredentialRetrievalError" in names:
            # Its text may hold what a helper program printed; that is not for a screen.
            provider = getattr(error, "kwargs", {}).get("provider", "a provider")
            return Said(names[0], f"{provider} gave none", False, 0, names)
        return Said(names[0], str(error), False, 0, names)
    error_said = response.get("Error")
    said = error_said if isinstance(error_said, dict) else {}
    text = str(said.get("Message") or "").partition("The Canonical String")[0]  # which holds the session's token
    status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    return Said(str(said.get("Code") or ""), text, True, status if isinstance(status, int) else 0, names)


def kind_of(said: Said) -> Kind | None:
    """What an error means; None when the table does not know it."""
    candidates = (said.code,) if said.answered else said.names
    kind = next((_KINDS[name] for name in candidates if name in _KINDS), None)
    if kind in {"unaccepted", "credentials"}:
        lower = said.text.casefold()
        return next((told for words, told in _TELLING if words in lower), kind)
    return kind


def fix_of(kind: Kind) -> str:
    """What to do about a kind, whoever met it; empty when that depends on who did."""
    advice = _ADVICE.get(kind)
    return advice.fix if advice is not None else ""


def no_credentials(why: str) -> AwsError:
    """The error of a session without credentials."""
    return _error("none", why, "", "")


def explained(error: BaseException, what: str, *, service: str = "sagemaker", resource: str = "") -> AwsError:
    """Any error of boto3 as one with what, why and fix; of a denied call, a ``PermissionDeniedError``.

    Args:
        error: what boto3 raised.
        what: what was tried, in words that follow "cannot".
        service: IAM's prefix of the service, for a denied call whose message does not name the action.
        resource: what it was about, for the same.
    """
    denied = denied_call(error, service=service, resource=resource)
    if denied is not None:
        return denied
    said = said_by(error)
    code = said.code or said.names[0]
    text = " ".join((said.text or code).split())
    kind = kind_of(said)
    if kind in _ADVICE:
        return _error(kind, text, code, what)
    if said.answered and not said.text:
        why, fix = (
            f"{code}, HTTP status {said.status or None}",
            "look whether it is AWS that answers (AWS_ENDPOINT_URL)",
        )
        return AwsError(f"cannot {what}", why=why, fix=fix)
    return AwsError(f"cannot {what}", why=f"{code}: {text}", fix="see AWS's documentation of this error")


def _error(kind: Kind, text: str, code: str, tried: str) -> AwsError:
    advice = _ADVICE[kind]
    return AwsError(advice.what or f"cannot {tried}", why=advice.why.format(code=code, text=text), fix=advice.fix)
