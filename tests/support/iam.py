"""IAM's rules of evaluation, offline, for policy documents without variables: what moto leaves out (resources and conditions).

Written from AWS's documentation (policy evaluation logic, condition operators), and tested by its examples. There is a well-kept
library for this in TypeScript, and none in Python.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

__all__ = ["Verdict", "evaluate", "matching", "matching_arn", "statements"]

Verdict = Literal["allowed", "explicitDeny", "implicitDeny"]
Context = Mapping[str, "str | bool | Iterable[str]"]


def evaluate(
    policies: Iterable[Mapping[str, Any]],
    action: str,
    resource: str,
    context: Context | None = None,
    *,
    principal: str | None = None,
) -> Verdict:
    """What identity policies, resource policies, or a trust policy say of one request.

    Args:
        policies: documents; those with a ``Principal`` are resource policies.
        action: ``s3:GetObject``.
        resource: an ARN, or ``*`` for an action that takes none.
        context: condition keys, of any case, and their values.
        principal: ARN or service of the caller, for resource policies; ``aws:PrincipalArn`` is set from it.
    """
    keys = {key.casefold(): _listed(value) for key, value in (context or {}).items()}
    if principal is not None and principal.startswith("arn:"):
        keys.setdefault("aws:principalarn", [principal])
    verdict: Verdict = "implicitDeny"
    for policy in policies:
        for statement in statements(policy):
            if _applies(statement, action, resource, keys, principal):
                if statement["Effect"] == "Deny":
                    return "explicitDeny"
                verdict = "allowed"
    return verdict


def statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The statements of a document; a single one need not be in a list."""
    found = policy["Statement"]
    return [found] if isinstance(found, dict) else list(found)


def matching(pattern: str, text: str) -> bool:
    """Whether ``*`` and ``?`` of a pattern fit; case counts."""
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), text) is not None


def matching_arn(pattern: str, arn: str) -> bool:
    """Whether an ARN fits part by part: a wildcard does not reach over a colon of the first five parts."""
    wanted, parts = pattern.split(":", 5), arn.split(":", 5)
    return len(wanted) == len(parts) and all(map(matching, wanted, parts))


def _applies(
    statement: Mapping[str, Any], action: str, resource: str, keys: Mapping[str, list[str]], principal: str | None
) -> bool:
    unknown = set(statement) - {"Sid", "Effect", "Action", "Resource", "Condition", "Principal"}
    assert not unknown, f"not evaluated here: {unknown}"
    if not any(matching(wanted.casefold(), action.casefold()) for wanted in _listed(statement["Action"])):
        return False
    resources = _listed(statement.get("Resource", "*"))  # a trust policy has none: the role is meant
    if not any(wanted == "*" or matching(wanted, resource) for wanted in resources):
        return False
    if "Principal" in statement and not _is_principal(statement["Principal"], principal):
        return False
    conditions = statement.get("Condition") or {}
    return all(
        _holds(operator, key, _listed(values), keys)
        for operator, block in conditions.items()
        for key, values in block.items()
    )


def _is_principal(wanted: object, principal: str | None) -> bool:
    if wanted == "*":
        return True
    assert isinstance(wanted, dict)
    listed = [item for values in wanted.values() for item in _listed(values)]
    if principal is None:
        return False
    account = re.match(r"arn:[^:]+:iam::(\d{12}):", principal)
    return "*" in listed or principal in listed or (account is not None and f"arn:aws:iam::{account[1]}:root" in listed)


def _holds(operator: str, key: str, wanted: list[str], keys: Mapping[str, list[str]]) -> bool:
    """One key of one operator. A missing key fits negated operators, ``…IfExists``, ``Null`` and ``ForAllValues``."""
    given = keys.get(key.casefold())
    if operator == "Null":
        return (given is None) == (wanted[0].casefold() == "true")
    quantifier, _, name = operator.rpartition(":")
    name, if_exists = name.removesuffix("IfExists"), name.endswith("IfExists")
    compare, negated = _OPERATORS[name]
    if given is None:
        return if_exists or negated or quantifier == "ForAllValues"

    def fits(value: str) -> bool:
        return any(compare(pattern, value) for pattern in wanted) != negated

    if quantifier == "ForAllValues":
        return all(map(fits, given))
    if quantifier == "ForAnyValue":
        return any(map(fits, given))
    assert len(given) == 1, f"{key} has several values, and {operator} takes one"
    return fits(given[0])


def _equal(wanted: str, given: str) -> bool:
    return wanted == given


def _equal_bool(wanted: str, given: str) -> bool:
    return wanted.casefold() == given.casefold()


_OPERATORS: dict[str, tuple[Callable[[str, str], bool], bool]] = {
    "StringEquals": (_equal, False),
    "StringNotEquals": (_equal, True),
    "StringLike": (matching, False),
    "StringNotLike": (matching, True),
    "Bool": (_equal_bool, False),
    "ArnEquals": (matching_arn, False),
    "ArnLike": (matching_arn, False),
    "ArnNotEquals": (matching_arn, True),
    "ArnNotLike": (matching_arn, True),
    "NumericLessThan": (lambda wanted, given: float(given) < float(wanted), False),
}
"""How an operator compares a policy's value with the request's, and whether it is a negated one."""


def _listed(value: object) -> list[str]:
    values = value if isinstance(value, list | tuple | set) else [value]
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in values]
