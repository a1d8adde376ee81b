"""Errors of boto3 as errors with what, why and fix: one table, the first rule that fits decides.

Knows the names and codes of errors, and not boto3 itself: it looks at what an error says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lineage_flows.errors import AwsError
from lineage_flows.permissions import denied_call

__all__ = ["explained", "no_credentials"]

_SIGN_IN: Final = "run `aws configure` or `aws sso login`, or set AWS_PROFILE"


@dataclass(frozen=True, slots=True)
class _Rule:
    """What errors mean.

    Attributes:
        names: codes of AWS's errors and names of botocore's exceptions.
        what: what happened; empty: what was tried cannot be done.
        why: the reason, with ``{code}`` and ``{text}`` for what AWS says.
        fix: what to do.
        texts: the rule fits only when AWS's text holds one of these; always when there are none.
    """

    names: frozenset[str]
    what: str
    why: str
    fix: str
    texts: tuple[str, ...] = ()


_REFUSED: Final = frozenset(
    [
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "AuthFailure",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "IncompleteSignature",
        "InvalidToken",
    ]
)
_RULES: Final = (
    _Rule(
        frozenset({"NoCredentialsError", "PartialCredentialsError", "NoAuthTokenError", "ConfigNotFound"}),
        "there are no AWS credentials",
        "{text}",
        _SIGN_IN,
    ),
    _Rule(
        frozenset(
            [
                "ExpiredToken",
                "ExpiredTokenException",
                "TokenRefreshRequired",
                "SSOTokenLoadError",
                "UnauthorizedSSOTokenError",
                "TokenRetrievalError",
                "SSOError",
            ]
        ),
        "the AWS credentials have expired",
        "{text}",
        "sign in again (`aws sso login`), or renew them",
    ),
    # A signature that is too old is called invalid, and its text says "Signature expired" or "not yet current" (D).
    _Rule(
        frozenset({"RequestTimeTooSkewed", "RequestInTheFuture", "RequestExpired"}),
        "the clock of this machine is wrong",
        "{text}",
        "set the clock (NTP); AWS allows five minutes",
    ),
    _Rule(
        _REFUSED,
        "the clock of this machine is wrong",
        "{text}",
        "set the clock (NTP); AWS allows five minutes",
        ("Signature expired", "not yet current"),
    ),
    _Rule(_REFUSED, "AWS refuses the credentials", "{code}: {text}", f"look which are meant; {_SIGN_IN}"),
    _Rule(frozenset({"ProfileNotFound"}), "the AWS profile does not exist", "{text}", "correct AWS_PROFILE"),
    _Rule(
        frozenset({"NoRegionError", "InvalidRegionError"}),
        "no AWS region is set",
        "{text}",
        "set AWS_REGION, or `region` of the profile",
    ),
    _Rule(
        frozenset(
            [
                "EndpointConnectionError",
                "ConnectTimeoutError",
                "ReadTimeoutError",
                "ConnectionClosedError",
                "ProxyConnectionError",
                "SSLError",
            ]
        ),
        "",
        "{text}",
        "look at AWS_REGION, AWS_ENDPOINT_URL and the network (VPC endpoint, proxy)",
    ),
    _Rule(
        frozenset(["PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"]),
        "",
        "it lies in another region ({text})",
        "set AWS_REGION to that of the bucket",
    ),
    _Rule(
        frozenset({"NoSuchBucket", "404"}),
        "",
        "it is not there",
        "correct LINEAGE_FLOWS_STORE_URL, or deploy infra/lineage.yaml",
    ),
    # An answer to HEAD has no body that would say more (D).
    _Rule(frozenset({"400"}), "", "{text}", "look whether AWS_REGION is right and the credentials are still good"),
    _Rule(
        frozenset(
            {"Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown", "RequestLimitExceeded"}
        ),
        "",
        "AWS asks for patience ({code})",
        "try again in a minute",
    ),
    _Rule(
        frozenset({"UnknownOperationException", "InvalidAction", "NotImplemented"}),
        "",
        "what answers does not know the call ({code})",
        "look whether it is AWS that answers (AWS_ENDPOINT_URL)",
    ),
)


def no_credentials(why: str) -> AwsError:
    """The error of a session without credentials."""
    return AwsError("there are no AWS credentials", why=why, fix=_SIGN_IN)


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
    name = type(error).__name__
    if name == "CredentialRetrievalError":
        # Its text may hold what a helper program printed; that is not for a screen.
        return no_credentials(f"{getattr(error, 'kwargs', {}).get('provider', 'a provider')} gave none")
    response = getattr(error, "response", None)
    said = response.get("Error", {}) if isinstance(response, dict) else {}
    code = str(said.get("Code") or name)
    text = " ".join(str(said.get("Message") or error).split())
    for rule in _RULES:
        if rule.names & {code, name} and (not rule.texts or any(part in text for part in rule.texts)):
            return AwsError(rule.what or f"cannot {what}", why=rule.why.format(code=code, text=text), fix=rule.fix)
    if isinstance(response, dict) and not said.get("Message"):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        why, fix = f"{code}, HTTP status {status}", "look whether it is AWS that answers (AWS_ENDPOINT_URL)"
        return AwsError(f"cannot {what}", why=why, fix=fix)
    return AwsError(f"cannot {what}", why=f"{code}: {text}", fix="see AWS's documentation of this error")
