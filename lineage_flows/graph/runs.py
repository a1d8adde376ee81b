"""The runs of a graph as a list: what a flow run or a replay is known by, from its action alone.

Knows the model and keepers by their protocol.
"""

from __future__ import annotations

from typing import Literal, cast, get_args

import orjson
from pydantic import BaseModel, ConfigDict

from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.model import Action, ActionStatus
from lineage_flows.records import Verdict

__all__ = ["RUN_TYPES", "RunKind", "RunSummary", "run_summary", "runs"]

RunKind = Literal["run", "replay"]

RUN_TYPES: dict[RunKind, str] = {"run": "FlowRun", "replay": "Replay"}
"""What kind of run an action of a type is."""


class RunSummary(BaseModel):
    """A flow run or a replay.

    Attributes:
        run_id: Prefect's flow-run id.
        root_run_id: the flow run at the top; the same for a run that no other started.
        parent_run_id: the flow run that started this one.
        flow: name of the flow.
        name: name of the run.
        kind: ``run`` or ``replay``.
        state: Prefect's name of its state; ``Running`` while no end of it is known.
        status: the same in SageMaker's words.
        started, ended: RFC 3339 in UTC; None when not known.
        replay_of: the run that a replay repeats.
        verdict: what a replay found.
        report_digest: the page that tells what a replay found, in the store.
        first_divergence: position of the first step that a replay found different; None when there is none.
        deployment, deployment_id, work_pool: what started it.
        nominal_start: when it was scheduled for.
        created_by: who started it.
        attempt: how often it was begun.
        level: the capture level.
        tags: sorted.
        commit, repository, branch, dirty: the code it ran.
        capture_errors: how many facts about the flow run itself could not be recorded.
        error: why it failed.
        record_digest, record_size: the run record's blob; None until the run has ended.
        arn: its action.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    root_run_id: str
    parent_run_id: str | None = None
    flow: str
    name: str
    kind: RunKind
    state: str
    status: ActionStatus
    started: str | None = None
    ended: str | None = None
    replay_of: str | None = None
    verdict: Verdict | None = None
    first_divergence: int | None = None
    report_digest: str | None = None
    deployment: str | None = None
    deployment_id: str | None = None
    work_pool: str | None = None
    nominal_start: str | None = None
    created_by: str | None = None
    attempt: int = 1
    level: str | None = None
    tags: tuple[str, ...] = ()
    commit: str | None = None
    repository: str | None = None
    branch: str | None = None
    dirty: bool | None = None
    capture_errors: int = 0
    error: str | None = None
    record_digest: str | None = None
    record_size: int | None = None
    arn: str


def runs(
    keeper: Keeper,
    *,
    limit: int | None = None,
    flow: str | None = None,
    kind: RunKind | None = None,
    subflows: bool = False,
) -> list[RunSummary]:
    """The runs of a graph, newest first.

    Args:
        keeper: the graph.
        limit: at most so many.
        flow: only of the flow of this name.
        kind: only runs, or only replays.
        subflows: also runs that another run started.
    """
    kinds = [RUN_TYPES[kind]] if kind is not None else list(RUN_TYPES.values())
    found = keeper.list_actions(action_types=kinds, flow=flow, roots_only=not subflows, limit=limit)
    return [run_summary(action) for action in found]


def run_summary(action: Action) -> RunSummary:
    """The summary of a flow run's or replay's action."""
    facts = action.properties
    run_id = action.source_id or ""
    return RunSummary(
        run_id=run_id,
        root_run_id=facts.get("rootRunId", run_id),
        parent_run_id=facts.get("parentRunId"),
        flow=facts.get("flow", ""),
        name=facts.get("name", ""),
        kind="replay" if action.type == RUN_TYPES["replay"] else "run",
        state=facts.get("state", "Unknown"),
        status=action.status,
        started=facts.get("started"),
        ended=facts.get("ended"),
        replay_of=facts.get("replayOf"),
        verdict=_verdict(facts.get("verdict")),
        first_divergence=_number(facts.get("firstDivergence")),
        report_digest=_report(facts.get("about")),
        deployment=facts.get("deploymentName"),
        deployment_id=facts.get("deploymentId"),
        work_pool=facts.get("workPool"),
        nominal_start=facts.get("nominalStart"),
        created_by=facts.get("createdBy"),
        attempt=_number(facts.get("attempt")) or 1,
        level=facts.get("level"),
        tags=_texts(facts.get("tags")),
        commit=action.metadata.commit_id,
        repository=action.metadata.repository,
        branch=facts.get("branch"),
        dirty=None if "dirty" not in facts else facts["dirty"] == "true",
        capture_errors=_number(facts.get("captureErrors")) or 0,
        error=facts.get("error"),
        record_digest=facts.get("runRecord"),
        record_size=_number(facts.get("runRecordSize")),
        arn=action.arn,
    )


def _report(about: str | None) -> str | None:
    try:
        found = orjson.loads(about or "{}")
    except orjson.JSONDecodeError:  # somebody else's property
        return None
    digest = found.get("report") if isinstance(found, dict) else None
    return digest if isinstance(digest, str) else None


def _verdict(text: str | None) -> Verdict | None:
    return cast("Verdict", text) if text in get_args(Verdict) else None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _texts(text: str | None) -> tuple[str, ...]:
    """A list of texts that was made to fit: what was left out of it is said by an object at its end."""
    return tuple(sorted(item for item in orjson.loads(text) if isinstance(item, str))) if text else ()
