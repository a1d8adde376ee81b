"""What went wrong with a call to SageMaker, and what follows from it for what is to be delivered.

Knows what each of botocore's errors means (``aws_errors``), so that botocore need not be loaded for this module to be. What to do
about credentials is said there for everybody; what to do about all else is said here, where something waits to be delivered.
"""

from __future__ import annotations

from typing import Final, Literal

from lineage_flows.aws_errors import CREDENTIALS, Kind, Said, fix_of, kind_of, said_by
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

_MEANS: Final[dict[Kind, Problem]] = {
    "none": "credentials",
    "expired": "credentials",
    "clock": "credentials",
    "unaccepted": "credentials",
    "profile": "credentials",
    "credentials": "credentials",
    "region": "stranger",
    "elsewhere": "stranger",
    "absent": "stranger",
    "bodiless": "refused",
    "unreachable": "away",
    "failing": "away",
    "throttled": "throttled",
    "unknown call": "stranger",
    "garbled": "stranger",
    "missing": "missing",
    "invalid": "invalid",
    "conflict": "conflict",
    "limit": "limit",
    "denied": "denied",
}
"""What the keeper makes of each kind of error."""

_PARSER: Final = frozenset({"AttributeError", "LookupError", "TypeError", "ValueError"})
"""Of an answer that is JSON and nothing that SageMaker says, botocore's parser raises what Python does."""

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
    said = said_by(error)
    kind = kind_of(said)
    problem = _problem(said, kind)
    message = redact(said.text)
    what = f"SageMaker ({place}) did not do {operation} on {resource}"
    why = " ".join(f"{said.code}: {message}".split())[:500]
    denied = denied_call(error, resource=resource) if problem == "denied" else None
    if denied is not None and "perform" in message:  # AWS names what it denied, which may be AddTags, of a Create
        operation_denied, resource = denied.action.partition(":")[2], denied.resource or resource
    else:
        operation_denied = operation
    fix = fix_of(kind) if kind in CREDENTIALS else _fix(problem, operation_denied, resource)
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


def _problem(said: Said, kind: Kind | None) -> Problem:
    if says_exists(said.code, said.text):
        return "exists"
    # What is no code of AWS's but a status is of a proxy or firewall.
    if kind is not None and not said.code.isdigit():
        return _MEANS[kind]
    if said.answered:
        return _of_status(said)
    return "stranger" if _PARSER.intersection(said.names) else "away"


def _of_status(said: Said) -> Problem:
    """Of an answer whose code is none that is known."""
    if said.status == 429:
        return "throttled"
    if said.status >= 500:
        return "away"
    if "not authorized" in said.text:
        return "denied"
    # What is no code of AWS's may dislike a single payload.
    return "refused" if said.code.isdigit() and said.status in _DISLIKED else "stranger"


def _fix(problem: Problem, operation: str, resource: str) -> str:
    if problem == "denied":
        action = f"sagemaker:{operation}"
        has_it = [f": the role `{role}` of infra/ has it" for role in roles_with(action)[:1]]
        return f"allow {action} on {resource} to the caller{''.join(has_it)}"
    return _FIXES[problem]
