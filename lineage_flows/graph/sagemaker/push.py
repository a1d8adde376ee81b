"""Brings SageMaker up to what the cache holds: new entities first, then changed ones, then associations whose ends stand.

Knows the cache and single writes; must not know how a thing is said to AWS. Only what the cache says is due is called for, so that
a run costs its new entities, its new associations and its changes of status, and nothing that is known is listed or described.
One failure holds back nothing but itself, unless the next call would meet the same.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, get_args

from lineage_flows.errors import LineageError, SageMakerError
from lineage_flows.graph.model import Action, LineageType
from lineage_flows.graph.sagemaker import wire
from lineage_flows.graph.sagemaker.account import Account, doubt
from lineage_flows.graph.sagemaker.cache import Cache
from lineage_flows.graph.sagemaker.client import WORKERS, Client
from lineage_flows.graph.sagemaker.detail import Detail, is_kept
from lineage_flows.graph.sagemaker.entries import DueEdge, DueEntity, There
from lineage_flows.graph.sagemaker.parallel import in_parallel
from lineage_flows.graph.sagemaker.problems import EVERYWHERE
from lineage_flows.graph.sagemaker.quotas import near_limits
from lineage_flows.graph.sagemaker.sorting import Awaited, Ready, sort_edges
from lineage_flows.graph.sagemaker.turn import turn
from lineage_flows.graph.sagemaker.writing import Outcome, bring, find_run, is_there, join

__all__ = ["Options", "push"]

_log = logging.getLogger("lineage_flows.graph")

_AT_ONCE: Final = 500
_POISONED: Final = 10
"""Attempts after which what fails for reasons of its own is put aside."""
_OUTAGE: Final = 5
"""Failures that are no fault of what was sent, after which a push ends: SageMaker throttles, or is away."""
_PATIENT: Final = frozenset({"limit", "denied", "refused"})
"""Problems of single things, or of a kind of them, that the next push meets again: no reason to stop taking events."""
_FULL_FOR: Final = 300.0
"""Seconds for which a reached quota is not tried again: somebody has to raise it, or prune."""
_FIRST_WAIT: Final = 60.0
_LONGEST_WAIT: Final = 3600.0
_NAMESPACE: Final = re.compile(r"prefect://([^/]+)/")


@dataclass(frozen=True, slots=True)
class Options:
    """How the keeper writes.

    Attributes:
        detail: every step, or runs only.
        fall_back: whether to keep runs only once a quota is nearly used up.
        quotas: how many of each kind the account may have.
        tags: on everything that is created.
    """

    detail: Detail = "steps"
    fall_back: bool = False
    quotas: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def push(cache: Cache, client: Client, options: Options) -> None:
    """Do what is due.

    Raises:
        LineageError: some of it could not be done now; it stays due.
    """
    with turn(cache.path.with_suffix(".lock")):
        _Push(cache, client, options).run()


class _Push:
    """One push: what it has met so far."""

    def __init__(self, cache: Cache, client: Client, options: Options) -> None:
        self._cache = cache
        self._client = client
        self._options = options
        self._detail: Detail = options.detail
        self._later: list[LineageError] = []
        self._tried: set[int | tuple[int, int]] = set()
        self._outages = 0
        self._full = cache.full(time.time(), _FULL_FOR)
        self._forgotten: set[int] = set()
        self._done = False
        self._account = _account(cache, client)
        self._asked = False
        self._doubted: list[DueEntity] = []

    def run(self) -> None:
        """Go on until a round has nothing left that it can do."""
        if near_limits(self._cache.counts(), self._options.quotas) and self._options.fall_back:
            self._detail = "runs"
        going_on = True
        while going_on:
            while self._entities():
                pass
            going_on = self._edges()
        # What is merged is due, on disk: a quota that is full, or one call's failure, holds back no other run's events.
        waits = [problem for problem in self._later if getattr(problem, "problem", None) not in _PATIENT]
        if waits:
            raise waits[0]
        if self._later:
            _log.warning("lineage: some of the graph waits to be written to SageMaker: %s", self._later[0])

    def _entities(self) -> bool:
        found = self._cache.due_entities(_AT_ONCE + len(self._tried))
        if found and all(item.id in self._tried for item in found):
            return False
        todo: list[DueEntity] = []
        for item in found:
            if item.id in self._tried:
                continue
            if _stands_so(item) or (item.there is None and not is_kept(item.entity, self._detail)):
                self._cache.settle(item.id, item.mark)
            else:
                todo.append(item)
        todo = self._make_sure(todo)
        # New ones first: what is associated with them waits for nothing else. A kind at a time: one may be at its quota.
        for kind in get_args(LineageType):
            self._bring([item for item in todo if item.there is None and item.entity.lineage_type == kind])
        self._bring([item for item in todo if item.there is not None])
        return bool(found)

    def _make_sure(self, items: Sequence[DueEntity]) -> list[DueEntity]:
        """Bring one after the other until an answer shows whose account is called: several at once could land in another's.

        Returns:
            Those that are still to be brought.
        """
        left = sorted(items, key=_shows_late)
        while left and not self._account.is_sure:
            self._bring([left.pop(0)])
        if self._account.is_sure:
            left += self._doubted
        else:
            self._tried.update(item.id for item in self._doubted)
            self._later += [doubt(item.entity.source_uri) for item in self._doubted]
        self._doubted.clear()
        return left

    def _bring(self, items: Sequence[DueEntity]) -> None:
        full = [item for item in items if item.there is None and item.entity.lineage_type in self._full]
        self._tried.update(item.id for item in full)
        items = [item for item in items if item.id not in self._tried]
        for item, outcome, error in in_parallel(self._bring_one, items, WORKERS):
            if outcome is not None:
                self._done = True
                self._note(item, outcome)
            elif error is not None:
                self._entity_failed(item, error)
                if item.there is None and item.entity.lineage_type in self._full:
                    break

    def _bring_one(self, item: DueEntity) -> Outcome:
        return bring(self._client, item.entity, item.there, self._options.tags)

    def _note(self, item: DueEntity, outcome: Outcome) -> None:
        if outcome.there is None:
            if self._sure():
                self._forget([item.id])
            else:
                self._doubted.append(item)
            return
        self._cache.stands(item.id, outcome.there, item.mark)
        if outcome.problem is not None:
            self._cache.put_aside(item.id, str(outcome.problem))
            self._say(outcome.problem)

    def _entity_failed(self, item: DueEntity, error: BaseException) -> None:
        self._tried.add(item.id)
        problem = self._sort_out(error)
        if problem.problem == "limit":
            self._is_full(item.entity.lineage_type, problem)
        elif self._is_poison(item, problem):
            self._park(item, problem)
        else:
            if self._counts(problem):
                self._cache.failed(item)
            self._later.append(problem)

    def _edges(self) -> bool:
        now = time.time()
        if "Association" in self._full:
            return False
        found = self._cache.due_edges(_AT_ONCE + len(self._tried), now)
        found = [edge for edge in found if (edge.source, edge.destination) not in self._tried]
        if not found:
            return False
        edges = sort_edges(self._cache, found, self._detail)
        for edge in edges.held:
            self._cache.failed(edge, after=now + _LONGEST_WAIT)
        self._tried.update((edge.source, edge.destination) for edge in edges.unmade)
        self._cache.drop(edges.left_out)
        self._cache.lost(edges.lost)
        self._join(edges.ready)
        found_some = self._look_up(edges.unknown, now)
        self._cache.want(edges.wanted)
        return bool(edges.ready or edges.wanted) or found_some

    def _join(self, ready: Sequence[Ready]) -> None:
        standing = self._cache.standing([item.pair for item in ready])
        self._cache.joined((item.edge, item.pair) for item in ready if item.pair in standing)
        todo: dict[tuple[int, int], Ready] = {}
        doubles: list[Ready] = []
        for item in ready:
            if item.pair in standing:
                continue
            if todo.setdefault(item.pair, item) is not item:
                doubles.append(item)
        gone: set[int] = set()
        for item, vanished, error in in_parallel(self._join_one, list(todo.values()), WORKERS):
            if error is not None:
                self._edge_failed(item, error)
                if "Association" in self._full:
                    break
            elif vanished and not self._sure():
                self._tried.add(item.key)
                self._later.append(doubt(" and ".join(item.arns)))
            elif vanished:
                if item.is_lost_with(vanished):
                    self._cache.lost([item.edge])
                    gone.update(number for number in vanished if number == item.caused_by)
                else:
                    gone.update(vanished)  # several associations may have met the same
            else:
                self._done = True
                self._cache.joined([(item.edge, item.pair)])
        self._forget(sorted(gone))
        # The others find it standing.
        self._tried.update(item.key for item in doubles if todo[item.pair].key in self._tried)

    def _forget(self, numbers: Sequence[int]) -> None:
        """What has vanished is made anew, once in a push.

        Raises:
            SageMakerError: it vanishes again: that is no deletion but reads that lag.
        """
        if self._forgotten.intersection(numbers):
            raise SageMakerError(
                "SageMaker does not see yet what it has taken",
                problem="away",
                fix="nothing: it is looked for again later",
            )
        self._forgotten.update(numbers)
        for number in numbers:
            self._cache.forget(number)

    def _join_one(self, item: Ready) -> list[int]:
        """Rows of the ends that turned out to have vanished; none when the association stands."""
        source, destination = item.arns
        try:
            join(self._client, source, destination, item.edge.type)
        except SageMakerError as error:
            if error.problem != "missing":
                raise
            ends = (item.source, item.destination)
            vanished = [
                end.id
                for end, arn in zip(ends, item.arns, strict=True)
                if not is_there(self._client, end.entity.lineage_type if end.entity else "Action", arn)
            ]
            if not vanished:  # reads lag behind writes: it is there, and AddAssociation does not see it yet
                raise
            return vanished
        return []

    def _edge_failed(self, item: Ready, error: BaseException) -> None:
        self._tried.add(item.key)
        problem = self._sort_out(error)
        if problem.problem == "limit":
            self._is_full("Association", problem)
        elif self._is_poison(item.edge, problem):
            self._park(item.edge, problem)
        else:
            if self._counts(problem):
                self._cache.failed(item.edge)
            self._later.append(problem)

    def _is_full(self, kind: str, problem: SageMakerError) -> None:
        """A quota is reached: nothing more of that kind is tried for a while."""
        self._full.add(kind)
        self._cache.note_full(kind, time.time() + _FULL_FOR)
        self._later.append(problem)

    def _look_up(self, unknown: Mapping[int, Sequence[Awaited]], now: float) -> bool:
        """Look for runs that another machine delivered: whether one was found. The others are looked for again, ever less often."""
        found = False
        for awaited, arn, error in in_parallel(self._look_up_one, [items[0] for items in unknown.values()], WORKERS):
            if error is not None:
                self._later.append(self._sort_out(error))
                self._tried.update((item.edge.source, item.edge.destination) for item in unknown[awaited.end.id])
            elif arn is not None and self._sure():  # a run of that URI may stand in another account, too
                self._cache.stands(awaited.end.id, There(arn, "", wire.Fixed(""), {}, ()), None)
                found = True
            else:
                for item in unknown[awaited.end.id]:
                    pause = min(_FIRST_WAIT * 2.0 ** min(item.edge.attempts, 16), _LONGEST_WAIT)
                    self._cache.failed(item.edge, after=now + pause)
        return found

    def _look_up_one(self, awaited: Awaited) -> str | None:
        namespace = _NAMESPACE.match(awaited.other.entity.source_uri) if awaited.other.entity is not None else None
        handle = awaited.end.handle or ""
        if namespace is None:
            return None
        return find_run(self._client, handle.removeprefix("run:"), namespace[1])

    def _sure(self) -> bool:
        """Whether it is certain that the account in which our things stand is called; asks for it once, where nothing has shown it.

        Raises:
            KeeperUnavailableError: it is another.
        """
        if not self._account.is_sure and not self._asked:
            self._asked = True
            self._account.ask(self._client)
        return self._account.is_sure

    def _sort_out(self, error: BaseException) -> SageMakerError:
        """What an error means for the push.

        Raises:
            BaseException: it is not worth going on.
        """
        if not isinstance(error, SageMakerError):
            raise error
        if _is_doubtful(error):
            self._sure()
        if not self._account.is_sure and _is_silence(error):
            self._outages += _OUTAGE // 2  # one at a time is tried here, and each waits as long
        if error.problem in {"throttled", "away"} or (error.problem == "denied" and not _is_own(error)):
            self._outages += 1
        if error.problem == "refused" and not self._done:
            self._outages += 1  # nothing has passed: it is the way that is closed, and not a single thing
        if self._outages >= _OUTAGE or error.problem in EVERYWHERE - {"denied"}:
            raise error
        return error

    def _counts(self, problem: SageMakerError) -> bool:
        """Whether a failure counts against what was sent: a refusal does when something else has passed the same way."""
        if _is_doubtful(problem) and not self._account.is_sure:
            return False
        return _is_own(problem) and (self._done or problem.problem != "refused")

    def _is_poison(self, item: DueEntity | DueEdge, problem: SageMakerError) -> bool:
        if _is_doubtful(problem) and not self._account.is_sure:
            return False
        return problem.problem == "invalid" or (self._counts(problem) and item.attempts + 1 >= _POISONED)

    def _park(self, item: DueEntity | DueEdge, problem: SageMakerError) -> None:
        self._cache.failed(item, parked=str(problem))
        self._say(problem)

    @staticmethod
    def _say(problem: SageMakerError) -> None:
        _log.warning("lineage: SageMaker does not take something, it was put aside: %s", problem)


def _account(cache: Cache, client: Client) -> Account:
    """What is known of the account that a client calls; raises KeeperUnavailableError when it is another than the cache's."""
    number = client.account_number
    if client.account is None:
        client.account = Account(cache)
    client.account.expect(number)
    return client.account


def _shows_late(item: DueEntity) -> int:
    """How soon bringing an entity shows whose account is called: before it writes, with one thing that is new, or not for sure."""
    if item.there is None:
        return 1
    return 2 if isinstance(item.entity, Action) and item.there.digest else 0


def _is_doubtful(problem: SageMakerError) -> bool:
    """Whether another account might say so of what stands in ours (by which code it does is unknown)."""
    return problem.problem in {"missing", "denied", "invalid"} and not problem.operation.startswith("Create")


def _is_silence(problem: SageMakerError) -> bool:
    """Whether nothing answered."""
    return problem.problem == "away" and getattr(problem.__cause__, "response", None) is None


def _is_own(problem: SageMakerError) -> bool:
    """Whether a failure may be the fault of what was sent, so that it counts against it."""
    return problem.problem in {"conflict", "missing", "exists", "refused"} or (
        problem.problem == "denied" and problem.operation.startswith(("Update", "Add"))
    )


def _stands_so(item: DueEntity) -> bool:
    there = item.there
    return there is not None and there.digest == wire.digest(wire.state_of(item.entity, there.fixed, there.others))
