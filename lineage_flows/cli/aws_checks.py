"""What ``doctor --aws`` looks at: credentials, region, permissions, the bucket of the blobs, SageMaker.

Knows what each finding means and what to do about it; must not know how AWS is asked. What could not be found out is a warning that
says so, and never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lineage_flows import aws
from lineage_flows.cli.checks import Check, Finding
from lineage_flows.errors import LineageError, PermissionDeniedError
from lineage_flows.permissions import ROLES, Permission, Places, Role, of_role
from lineage_flows.ui.text import clip, count, listing

if TYPE_CHECKING:
    from collections.abc import Callable

    from lineage_flows.settings import Settings

__all__ = ["examine_aws"]


@dataclass(slots=True)
class _Place:
    """What the checks have in common, and what the earlier of them found out."""

    settings: Settings
    role: Role | None
    session: Any = None
    caller: aws.Caller | None = None
    region: str | None = None
    bucket: aws.Bucket | None = None

    @property
    def store(self) -> tuple[str, str] | None:
        """Bucket and prefix of the blobs; None when they lie elsewhere."""
        parts = urlsplit(self.settings.blobs_url)
        return (parts.netloc, parts.path.strip("/")) if parts.scheme in {"s3", "s3a"} and parts.netloc else None


def examine_aws(settings: Settings, role: Role | None = None) -> list[Check]:
    """Every check of AWS, in order; one that needs what an earlier one did not find is left out.

    Args:
        settings: which bucket is meant.
        role: of ``infra/``, which the credentials should be able to play; any of them when None.
    """
    place = _Place(settings, role)
    found = [_guarded("AWS credentials", _credentials, place)]
    if place.caller is None:
        return found
    found.append(_guarded("AWS region", _region, place))
    found += _of_bucket(place)
    if place.region is not None:
        found.append(_guarded("AWS permissions", _permissions, place))
        found.append(_guarded("SageMaker", _sagemaker, place))
    return found


def _guarded(name: str, check: Callable[[_Place], Finding], place: _Place) -> Check:
    try:
        outcome, found, fix = check(place)
    except LineageError as error:
        outcome, found, fix = "failed", _said(error), error.fix
    return Check(name=name, outcome=outcome, found=clip(found, 400), fix=clip(fix, 400))


def _said(error: LineageError) -> str:
    return ": ".join(text for text in (error.what, error.why) if text)


def _credentials(place: _Place) -> Finding:
    place.session = aws.session()
    place.caller = aws.caller(place.session)
    who = place.caller
    source = f", by {who.source}" if who.source else ""
    if who.arn.endswith(":root"):
        return "warning", f"the root user of account {who.account}{source}", "use a role of infra/ instead"
    return "ok", f"{who.arn}{source}", ""


def _region(place: _Place) -> Finding:
    place.region = place.session.region_name
    if place.region is None:
        return "failed", "no AWS region is set", "set AWS_REGION, or `region` of the profile"
    assert place.caller is not None
    known = place.session.get_available_regions("sagemaker", partition_name=place.caller.partition)
    if place.region not in known:
        return (
            "warning",
            f"{place.region} is no region of SageMaker that this version of boto3 knows",
            "correct AWS_REGION, or upgrade boto3 if the region is new",
        )
    return "ok", place.region, ""


def _of_bucket(place: _Place) -> list[Check]:
    """The bucket, and how it is kept."""
    found = [_guarded("bucket", _bucket, place)]
    kept = place.bucket
    if kept is None:
        return found
    checks: dict[str, Callable[[_Place], Finding]] = {
        "bucket versions": lambda _: _flag(
            kept.versioned, "kept", "not kept: what is overwritten or deleted is gone", "switch versioning on"
        ),
        "bucket TLS": lambda _: _flag(
            kept.tls_only,
            "its policy refuses requests without TLS",
            "its policy lets requests without TLS through",
            "deny them",
        ),
        "bucket privacy": lambda _: _flag(
            kept.private, "public access is blocked", "public access is not blocked", "switch all four blocks on"
        ),
        "bucket encryption": lambda _: _encryption(kept),
        "Object Lock": lambda _: _lock(kept),
    }
    return found + [_guarded(name, check, place) for name, check in checks.items()]


def _bucket(place: _Place) -> Finding:
    if place.store is None:
        return "ok", f"none: the blobs lie in {place.settings.blobs_url}", ""
    name, _ = place.store
    place.bucket = kept = aws.bucket(place.session, name)
    if place.region and kept.region and kept.region != place.region:
        return (
            "warning",
            f"{name} answers, but lies in {kept.region}, and the region is {place.region}",
            "set AWS_REGION to that of the bucket, or move the bucket: transfers between regions are slow and cost",
        )
    return "ok", f"{name} answers{f', in {kept.region}' if kept.region else ''}", ""


def _flag(value: bool | aws.Unknown, good: str, bad: str, what: str) -> Finding:
    if isinstance(value, aws.Unknown):
        return _unknown(value)
    return ("ok", good, "") if value else ("warning", bad, f"{what}, as infra/lineage.yaml does")


def _unknown(value: aws.Unknown) -> Finding:
    return "warning", f"unknown: {_said(value.error)}", value.error.fix


def _encryption(kept: aws.Bucket) -> Finding:
    if isinstance(kept.encryption, aws.Unknown):
        return _unknown(kept.encryption)
    algorithm, key = kept.encryption
    if not algorithm:
        return "warning", "none is set", "set one, as infra/lineage.yaml does"
    return "ok", f"{algorithm}{f', by {key}' if key else ''}", ""


def _lock(kept: aws.Bucket) -> Finding:
    if isinstance(kept.lock, aws.Unknown):
        return _unknown(kept.lock)
    return "ok", kept.lock or "off (an option: ObjectLock of infra/lineage.yaml)", ""


def _permissions(place: _Place) -> Finding:
    """Which roles the credentials can play, by what IAM says of each permission."""
    assert place.caller is not None
    wanted: tuple[Role, ...] = (place.role,) if place.role else tuple(ROLES)
    needed = {role: of_role(role) for role in wanted}
    every = dict.fromkeys(item for items in needed.values() for item in items)
    try:
        said = aws.decisions(place.session, place.caller, every, _places(place, place.caller))
    except PermissionDeniedError as error:
        return "warning", f"unknown: IAM may not be asked ({error.what})", error.fix
    except LineageError as error:
        return "warning", f"unknown: {_said(error)}", error.fix
    lacking = {role: [item for item in needed[role] if _is(said, item, "denied")] for role in wanted}
    unknown = {role: [item for item in needed[role] if _is(said, item, "unknown")] for role in wanted}
    whole = [role for role in wanted if not lacking[role] and not unknown[role]]
    perhaps = [role for role in wanted if not lacking[role] and unknown[role]]
    if whole:
        found = f"all that {_named(whole)} of infra/ needs, by IAM's policies"
        if unasked := _unasked(place, [item for role in whole for item in needed[role] if item not in said]):
            return "warning", f"{found}; but what is allowed on {unasked} is unknown", "see what is said of the bucket"
        return "ok", found, ""
    if perhaps:
        open_ones = unknown[perhaps[0]]
        return (
            "warning",
            f"of {perhaps[0]} nothing is denied, and {count(len(open_ones), 'permission')} cannot be told: "
            f"{_shown(open_ones, said)}",
            "try what you want to do",
        )
    nearest = min(wanted, key=lambda role: len(lacking[role]))
    missing = lacking[nearest]
    return (
        "failed",
        f"no role can be played; {nearest} lacks {_shown(missing, said)}"
        if place.role is None
        else f"{nearest} lacks {_shown(missing, said)}",
        f"assume the role {nearest} of infra/lineage.yaml, or attach its policy",
    )


def _unasked(place: _Place, left_out: list[Permission]) -> str:
    """What IAM could not be asked about, though it is there or may be: in words; empty when there is none."""
    kinds = {item.resource for item in left_out}
    kept = place.bucket
    if "key" in kinds and place.store is not None:
        algorithm, key = ("", "?") if kept is None or isinstance(kept.encryption, aws.Unknown) else kept.encryption
        # A key of AWS's own (no name, or S3's) needs no permission of the caller.
        if key is not None:
            return f"the bucket's key{f' ({algorithm}, {key})' if algorithm else ''}"
    return ""


def _is(said: dict[Permission, aws.Decision], item: Permission, outcome: str) -> bool:
    return item in said and said[item].outcome == outcome


def _named(roles: list[Role]) -> str:
    return f"the role{'s' if len(roles) > 1 else ''} {listing(list(roles))}"


def _shown(items: list[Permission], said: dict[Permission, aws.Decision]) -> str:
    return listing([f"{item.shown} ({said[item].why})" for item in items], limit=4)


def _places(place: _Place, who: aws.Caller) -> Places:
    name, prefix = place.store or (None, "")
    kept = place.bucket
    encryption = kept.encryption if kept is not None and not isinstance(kept.encryption, aws.Unknown) else ("", None)
    is_role = who.principal is not None and ":role/" in who.principal
    return Places(
        region=str(place.region),
        account=who.account,
        bucket=name,
        prefix=prefix,
        # A key may be named by its id or an alias, too, which IAM does not take.
        key=encryption[1] if (encryption[1] or "").startswith("arn:") else None,
        role=who.principal if is_role else None,
        partition=who.partition,
    )


def _sagemaker(place: _Place) -> Finding:
    return "ok", f"{aws.ask_sagemaker(place.session)} answers", ""
