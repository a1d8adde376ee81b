"""Joins what a flow started in SageMaker with what SageMaker makes of it itself: trial components, its own artifacts and contexts.

Knows calls and the store of what is awaited. SageMaker makes its things seconds to minutes after a job has begun, and some when it
has ended, so that they are looked for again and again, ever less often, whenever something is delivered. It costs no call where no
flow has started anything. Nothing of this holds back a delivery: what fails waits, or is put aside with its reason.

Of a job its trial component is looked for by the job's ARN, not by the name that SageMaker gives it: how a name that is too long is
cut is not documented (U). What the component is associated with is SageMaker's own, and which job it is of is certain.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from lineage_flows.errors import SageMakerError
from lineage_flows.graph.sagemaker.awaited import Awaited, Foreign, Store, Way, Wish, opened
from lineage_flows.graph.sagemaker.client import WORKERS, Client
from lineage_flows.graph.sagemaker.parallel import in_parallel
from lineage_flows.graph.sagemaker.turn import turn
from lineage_flows.graph.sagemaker.writing import describe, join

__all__ = ["join_foreign"]

_log = logging.getLogger("lineage_flows.graph")

_AT_ONCE: Final = 100
_FIRST_WAIT: Final = 60.0
_LONGEST_WAIT: Final = 6 * 3600.0
_WHILE_IT_RUNS: Final = 600.0
"""How long to wait at most for what else a job makes that is known to run."""
_PATIENCE: Final = 7 * 86400.0
"""How long a trial component is waited for. SageMaker makes it when the job begins."""
_LONGEST_JOB: Final = 30 * 86400.0
"""After which no more is expected of a job (a training job runs for 28 days at most: D)."""
_SETTLES: Final = 600.0
"""How long after a job's end its last artifacts may come (I: seconds to minutes)."""
_POISONED: Final = 10
_OVER: Final = frozenset({"Completed", "Failed", "Stopped"})
_STOPPING: Final = frozenset({"throttled", "away", "credentials", "stranger"})
"""Problems that the next call will most likely have as well."""
_KINDS: Final = ("Context", "Action", "Artifact")


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at SageMaker has shown of one thing.

    Attributes:
        things: of SageMaker's own, with the URI under which they may be ours.
        ends: artifacts that a trial component is associated with, by ARN and way; what they are is not known yet.
        over: whether no more is to come.
    """

    things: tuple[Foreign, ...] = ()
    ends: tuple[tuple[str, Way], ...] = ()
    over: bool = False


def join_foreign(path: Path, client: Client) -> None:
    """Look for what is due and make the associations that follow. Never raises what SageMaker says; that waits in the store.

    Args:
        path: the cache.
        client: who is called.

    Raises:
        HomeError, KeeperUnavailableError, GraphError: the cache cannot be read or written.
    """
    with opened(path) as store:
        now = time.time()
        store.notice(now)
        if not store.due(now, 1) and not store.wishes(now, 1):
            return
        with turn(path.with_suffix(".lock")):
            if _look_around(store, client, now):
                _associate(store, client, now)


def _look_around(store: Store, client: Client, now: float) -> bool:
    """Look for all that is due; False when there is no point in calling on."""
    region = client.place.partition(" ")[0]
    due: list[Awaited] = []
    for item in store.due(now, _AT_ONCE):
        if item.region == region:
            due.append(item)
        else:  # its lineage stands in its own region, and nothing can be associated over there
            store.looked(item, found=False, settled=True)
    for item, look, failure in in_parallel(lambda item: _look(client, item, now), due, WORKERS):
        error = failure
        if look is not None:
            try:
                _note(store, client, item, look, now)
            except SageMakerError as problem:
                error = problem
        if error is not None and not _look_failed(store, item, error, now):
            return False
    return True


def _look(client: Client, item: Awaited, now: float) -> _Look:
    if not item.is_job:
        return _Look(tuple(_known_by(client, item.arn)))
    things: list[Foreign] = []
    ends: list[tuple[str, Way]] = []
    over = True
    for summary in client.listed("ListTrialComponents", "TrialComponentSummaries", SourceArn=item.arn):
        if (summary.get("TrialComponentSource") or {}).get("SourceArn") != item.arn:
            continue
        arn = str(summary["TrialComponentArn"])
        things.append(Foreign(arn, "component", item.arn))
        for near, far, way in (("DestinationArn", "SourceArn", "in"), ("SourceArn", "DestinationArn", "out")):
            found = client.listed("ListAssociations", "AssociationSummaries", **{near: arn})
            ends += [(str(edge[far]), "in" if way == "in" else "out") for edge in found if _is_artifact(str(edge[far]))]
        over = over and _is_over(summary, now)
    return _Look(tuple(things), tuple(ends), over and bool(things))


def _known_by(client: Client, arn: str) -> list[Foreign]:
    """What SageMaker keeps of its own under the ARN of a thing of ours: an endpoint is a context, and so on.

    As which of the three is documented of endpoints and model packages alone, so that all are asked for.
    """
    found: list[Foreign] = []
    for kind in _KINDS:
        for summary in client.listed(f"List{kind}s", f"{kind}Summaries", SourceUri=arn):
            source = summary.get("Source") or {}
            if source.get("SourceUri") == arn and not source.get("SourceTypes"):
                found.append(Foreign(str(summary[f"{kind}Arn"]), "same", arn))
    return found


def _note(store: Store, client: Client, item: Awaited, look: _Look, now: float) -> None:
    """Keep what a look has shown.

    Raises:
        SageMakerError: what an artifact is could not be read now.
    """
    store.found(look.things)
    unknown = store.unknown(arn for arn, _ in look.ends)
    sources: dict[str, str] = store.uris(arn for arn, _ in look.ends)
    for arn, uri, error in in_parallel(lambda arn: _uri_of(client, arn), unknown, WORKERS):
        if error is not None:
            raise error
        if uri:
            sources[arn] = uri
    store.found(Foreign(arn, way, sources[arn]) for arn, way in look.ends if arn in sources)
    found = item.found or bool(store.uris(thing.arn for thing in look.things))
    over = look.over if item.is_job else found
    waited = now - item.since
    if not over and waited > (_LONGEST_JOB if found else _PATIENCE):
        if item.is_job and not found:
            days = round(_PATIENCE / 86400)
            why = f"SageMaker has shown no trial component of it for {days} days; `lineage-flows deliver` looks again"
            store.looked(item, found=False, settled=False, parked=why)
            return
        over = True
    pause = min(_pause(item.attempts), _WHILE_IT_RUNS if found else _LONGEST_WAIT)
    store.looked(item, found=found, settled=over, after=now + pause)


def _uri_of(client: Client, arn: str) -> str:
    """The URI of an artifact without source types; empty of one with them, or one that is gone."""
    try:
        source: dict[str, Any] = describe(client, "Artifact", arn).get("Source") or {}
    except SageMakerError as error:
        if error.problem == "missing":
            return ""
        raise
    return "" if source.get("SourceTypes") else str(source.get("SourceUri") or "")


def _look_failed(store: Store, item: Awaited, error: BaseException, now: float) -> bool:
    """A look failed: it is made again later, or given up. False when there is no point in calling on.

    Raises:
        BaseException: it is not SageMaker's.
    """
    if not isinstance(error, SageMakerError):
        raise error
    given_up = error.problem in {"denied", "invalid"} or (
        error.problem not in _STOPPING and item.attempts + 1 >= _POISONED
    )
    parked = str(error) if given_up else None
    store.looked(item, found=False, settled=False, after=now + _pause(item.attempts), parked=parked)
    _log.warning("lineage: what SageMaker makes of %s cannot be looked for now: %s", item.arn, error)
    return error.problem not in _STOPPING


def _associate(store: Store, client: Client, now: float) -> None:
    while wishes := store.wishes(now, _AT_ONCE):
        for wish, _, error in in_parallel(lambda wish: _join(client, wish), wishes, WORKERS):
            if error is None:
                store.made(wish)
            elif not _wish_failed(store, wish, error, now):
                return


def _join(client: Client, wish: Wish) -> None:
    join(client, wish.source, wish.destination, wish.type)


def _wish_failed(store: Store, wish: Wish, error: BaseException, now: float) -> bool:
    if not isinstance(error, SageMakerError):
        raise error
    given_up = error.problem in {"denied", "invalid"} or (
        error.problem not in {*_STOPPING, "limit"} and wish.attempts + 1 >= _POISONED
    )
    parked = str(error) if given_up else None
    store.failed(wish, after=now + _pause(wish.attempts), parked=parked)
    _log.warning("lineage: what SageMaker made itself cannot be joined now: %s", error)
    return error.problem not in _STOPPING


def _is_over(component: dict[str, Any], now: float) -> bool:
    """Whether a job has ended long enough ago for all that it left to be there."""
    if (component.get("Status") or {}).get("PrimaryStatus") not in _OVER:
        return False
    ended = component.get("EndTime") or component.get("LastModifiedTime")
    return not isinstance(ended, datetime) or ended.timestamp() + _SETTLES < now


def _is_artifact(arn: str) -> bool:
    return arn.rpartition(":")[2].startswith("artifact/")


def _pause(attempts: int) -> float:
    return float(min(_FIRST_WAIT * 2.0 ** min(attempts, 16), _LONGEST_WAIT))
