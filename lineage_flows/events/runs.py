"""This project's run facets: what Prefect knows of a flow run or task run that OpenLineage has no word for.

Knows the records; must not know datasets. The JSON schemas beside this module, in ``schemas/``, say the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from lineage_flows.events.event import EventKind
from lineage_flows.events.facets import Facet, Facets, error_text
from lineage_flows.events.text import masked, utc, without_credentials
from lineage_flows.events.values import parameter_text
from lineage_flows.records import (
    AttemptRef,
    BlobRef,
    EnvironmentRef,
    FlowRecord,
    FunctionRef,
    ReplayInfo,
    SourceTree,
    StepComparison,
    StepRecord,
)

__all__ = ["flow_run", "ledger", "task_run"]

MOST_GAPS = 100
"""Gaps that one event names; the run record names all."""


def flow_run(
    facets: Facets, kind: EventKind, record: FlowRecord, *, run_record: BlobRef | None, image: str | None
) -> Facet:
    """The facet ``lineageFlows_flowRun``."""
    deployment = record.deployment
    return facets.make(
        "lineageFlows_flowRun",
        kind="run" if record.replay is None else "replay",
        flow=record.flow_name,
        name=masked(record.run_name),
        **_state(kind, record),
        level=record.level,
        tags=list(record.tags),
        flowRunId=record.run_id,
        rootRunId=record.root_run_id,
        parentRunId=record.parent_run_id,
        parentStepId=record.parent_step_id,
        deploymentId=deployment.id if deployment else None,
        deploymentName=deployment.name if deployment else None,
        workPool=deployment.work_pool if deployment else None,
        createdBy=record.created_by,
        nominalStart=_time(record.nominal_start),
        parameters={item.name: parameter_text(item.value) for item in record.parameters},
        code=_code(record.code),
        environment=_environment(record.environment),
        image=image,
        runRecord=None if run_record is None else {"digest": run_record.digest, "size": run_record.size},
        replay=_replay(record.replay),
        rolledBack=list(record.rolled_back) or None,
        captureErrors=len(record.capture_errors),
    )


def task_run(facets: Facets, kind: EventKind, record: StepRecord) -> Facet:
    """The facet ``lineageFlows_taskRun``."""
    return facets.make(
        "lineageFlows_taskRun",
        kind=record.kind,
        task=record.task_name,
        name=masked(record.run_name),
        **_state(kind, record),
        flow=record.flow_name,
        flowRunId=record.flow_run_id,
        rootRunId=record.root_run_id,
        parentStepId=record.parent_step_id,
        cached=record.cached,
        cachedFrom=record.cached_from.run_id if record.cached_from else None,
        restored=record.restored,
        function=_function(record.function),
        unrestorable=list(record.unrestorable),
        captureErrors=len(record.capture_errors),
        tags=list(record.tags),
    )


def ledger(facets: Facets, record: StepRecord | FlowRecord) -> Facet | None:
    """The facet ``lineageFlows_ledger``; None where nothing was observed, or the run has not ended."""
    found = record.ledger
    if found is None or not (found.tallies or found.gaps):
        return None
    return facets.make(
        "lineageFlows_ledger",
        tallies=[_present(kind=item.kind, observed=item.observed, covered=item.covered) for item in found.tallies],
        gaps=[
            _present(kind=gap.kind, what=gap.what, consequence=gap.consequence, count=gap.count)
            for gap in found.gaps[:MOST_GAPS]
        ],
        leftOut=found.left_out + sum(gap.count for gap in found.gaps[MOST_GAPS:]),
    )


def _state(kind: EventKind, record: StepRecord | FlowRecord) -> Facet:
    started = kind == "START"
    return {
        "state": record.state or ("Running" if started else None),
        "stateType": record.state_type or ("RUNNING" if started else None),
        "attempt": record.attempt,
        "attempts": _attempts(record.attempts),
        "started": _time(record.started),
        "ended": _time(record.ended),
    }


def _attempts(attempts: Iterable[AttemptRef]) -> list[Facet]:
    return [
        _present(
            attempt=item.attempt,
            state=item.state,
            started=_time(item.started),
            ended=_time(item.ended),
            error=error_text(item.error) if item.error else None,
        )
        for item in attempts
    ]


def _code(code: SourceTree | None) -> Facet | None:
    if code is None:
        return None
    return _present(
        digest=code.digest,
        format=code.format,
        blob=code.blob.digest if code.blob else None,
        commit=code.commit,
        remote=None if code.remote is None else without_credentials(code.remote),
        branch=code.branch,
        dirty=code.dirty,
        root=code.root,
        files=code.files,
    )


def _environment(environment: EnvironmentRef | None) -> Facet | None:
    if environment is None:
        return None
    return _present(
        digest=environment.digest,
        blob=environment.blob.digest if environment.blob else None,
        python=environment.python,
        platform=environment.platform,
    )


def _function(function: FunctionRef) -> Facet:
    return _present(
        name=function.name,
        module=function.module,
        path=function.path,
        line=function.line,
        digest=function.digest,
        blob=function.blob.digest if function.blob else None,
    )


def _replay(replay: ReplayInfo | None) -> Facet | None:
    if replay is None:
        return None
    outcome = replay.outcome
    return _present(
        replayOf=replay.replay_of,
        requestedBy=replay.requested_by,
        verdict=outcome.verdict if outcome else None,
        result=outcome.result if outcome else None,
        firstDivergence=outcome.first_divergence if outcome else None,
        report=outcome.report.digest if outcome and outcome.report else None,
        steps=[_compared(step) for step in outcome.steps] if outcome else [],
    )


def _compared(step: StepComparison) -> Facet:
    return _present(
        task=step.task,
        index=step.index,
        flow=step.flow or None,
        verdict=step.verdict,
        causes=list(step.causes),
        originalRunId=step.original_run_id,
        replayRunId=step.replay_run_id,
    )


def _time(text: str | None) -> str | None:
    return None if text is None else utc(text)


def _present(**fields: object) -> Facet:
    return {name: value for name, value in fields.items() if value is not None}
