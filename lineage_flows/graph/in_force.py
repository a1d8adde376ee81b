"""Which run stood behind a number on a day: the run in force of a strategy, or the run that made a model.

Knows the model, keepers by their protocol, and what is asked of a graph; must not know why somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict

from lineage_flows.errors import GraphError, UnknownReferenceError
from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.model import Action, Artifact
from lineage_flows.graph.packages import package_name
from lineage_flows.graph.query import upstream
from lineage_flows.graph.reference import resolve_one
from lineage_flows.graph.runs import RUN_TYPES, RunSummary, run_summary, runs

__all__ = ["InForce", "run_in_force", "runs_of_strategy"]

_TAG: Final = "strategy:"
"""What a tag may begin with that names a strategy."""


class InForce(BaseModel):
    """The run that stood behind a number.

    Attributes:
        run: the run.
        others: runs that were in force too since the moment asked about as ``since``, newest first; without one, those that
            completed in the same moment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: RunSummary
    others: tuple[RunSummary, ...] = ()


def run_in_force(
    keeper: Keeper,
    *,
    strategy: str | None = None,
    model: str | None = None,
    until: datetime | None = None,
    since: datetime | None = None,
) -> InForce:
    """The last run that had completed by a moment: of a strategy, or of those that made a model. Replays do not count.

    Args:
        keeper: the graph.
        strategy: name of a flow, or of a deployment (``backtest``, ``flow/deployment``), or a tag of runs (``momentum`` or
            ``strategy:momentum``): the first of these that any run has.
        model: a reference to what a run made: an ARN, a URI, a path. With a strategy, only that strategy's runs count.
        until: the moment, with its time zone; None for now.
        since: an earlier moment: what else was in force between the two is told as well.

    Raises:
        UnknownReferenceError: nothing is called so.
        AmbiguousReferenceError: the model's reference fits more than one thing.
        GraphError: no such run had completed by then.
    """
    if strategy is None and model is None:
        raise ValueError("a strategy or a model is needed")
    found: Sequence[RunSummary]
    if model is None:
        found, what = runs_of_strategy(keeper, strategy or ""), f"strategy {strategy!r}"
    else:
        found, what = _behind(keeper, model), f"model {model!r}"
        if strategy is not None:
            found = _named(found, strategy)
            what += f" and strategy {strategy!r}"
    return _last(found, what, until or datetime.now(UTC), since)


def _last(found: Iterable[RunSummary], what: str, until: datetime, since: datetime | None) -> InForce:
    done = sorted(
        ((_moment(run.ended), run) for run in found if run.status == "Completed" and run.ended is not None),
        key=lambda item: (item[0], item[1].run_id),
    )
    by_then = [item for item in done if item[0] <= until]
    if not by_then:
        why = f"the first one completed at {done[0][1].ended}" if done else "none has completed at all"
        raise GraphError(
            f"no run of {what} had completed by {until.astimezone(UTC).isoformat(timespec='seconds')}",
            why=why,
            fix="give a later moment, or the run itself; `lineage-flows runs` lists them",
        )
    before = [item for item in by_then if since is None or item[0] <= since]
    within = [run for ended, run in by_then if since is not None and ended > since]
    chosen = by_then[-1][1]
    # Of runs that completed in the very same moment none is the last.
    others = (*reversed(within), *(run for ended, run in reversed(before) if ended == before[-1][0]))
    return InForce(run=chosen, others=tuple(run for run in others if run.run_id != chosen.run_id))


def runs_of_strategy(keeper: Keeper, strategy: str) -> list[RunSummary]:
    """The runs of a strategy, newest first; replays aside. For its names see ``run_in_force``.

    Raises:
        UnknownReferenceError: no run has one of that name.
    """
    known = runs(keeper, flow=strategy, kind="run") or runs(keeper, kind="run")
    found = _named(known, strategy)
    if not found:
        names = {name for run in known for name in _names(run) if name}
        near = get_close_matches(strategy, names, n=3)
        fix = f"did you mean {' or '.join(near)}?" if near else "list what there is with `lineage-flows runs`"
        error = UnknownReferenceError(strategy, fix=fix)
        error.what = f"no run is of a flow, a deployment or a tag called {strategy!r}"
        raise error
    return found


def _named(found: Iterable[RunSummary], strategy: str) -> list[RunSummary]:
    """The runs of a strategy, by the first way of naming it that any has."""
    listed = list(found)
    ways = (
        [run for run in listed if run.flow == strategy],
        [run for run in listed if run.deployment and strategy in {run.deployment, f"{run.flow}/{run.deployment}"}],
        [run for run in listed if {strategy, f"{_TAG}{strategy}"}.intersection(run.tags)],
    )
    return next((way for way in ways if way), [])


def _names(run: RunSummary) -> tuple[str, ...]:
    return run.flow, run.deployment or "", *(tag.removeprefix(_TAG) for tag in run.tags)


def _behind(keeper: Keeper, reference: str) -> list[RunSummary]:
    """The runs that made a thing: those of the nearest steps upstream of it; of a flow run itself, that one."""
    with keeper.snapshot():
        entity = resolve_one(keeper, reference)
        if isinstance(entity, Action):
            return _roots(keeper, [entity])
        if isinstance(entity, Artifact) and (run_id := _maker_of_version(entity)) is not None:
            named = keeper.list_actions(run_id=run_id, action_types=[RUN_TYPES["run"]])
            if named:
                return [run_summary(root) for root in named]
        walk = upstream(keeper, entity.arn)
        depths: dict[int, list[Action]] = {}
        for node in walk.nodes:
            if isinstance(node.entity, Action):
                depths.setdefault(node.depth, []).append(node.entity)
        for depth in sorted(depths):
            if found := _roots(keeper, depths[depth]):
                return found
    raise GraphError(
        f"no run that made {reference!r} is known",
        why="nothing upstream of it is a step of a flow run",
        fix=f"see what is known of it with `lineage-flows upstream {reference}`",
    )


def _maker_of_version(entity: Artifact) -> str | None:
    """The run that made the model of a registered version, which its registration names: another run may have registered it."""
    if package_name(entity.source_uri) is None:
        return None
    given = orjson.loads(entity.properties.get("givenProperties") or "{}")
    run_id = given.get("runId") if isinstance(given, dict) else None
    return str(run_id) if run_id else None


def _roots(keeper: Keeper, actions: Iterable[Action]) -> list[RunSummary]:
    """The flow runs at the top that actions belong to, replays aside."""
    found: dict[str, RunSummary] = {}
    for action in actions:
        run_id = action.properties.get("rootRunId") or action.properties.get("flowRunId") or action.source_id
        if not run_id or run_id in found:
            continue
        for root in keeper.list_actions(run_id=run_id, action_types=[RUN_TYPES["run"]]):
            found[run_id] = run_summary(root)
    return list(found.values())


def _moment(text: str | None) -> datetime:
    return datetime.fromisoformat(text or "").astimezone(UTC)
