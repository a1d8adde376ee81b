"""Replays a run from what lineage recorded of it, and fails when the outcome is another, so that automations can react.

The run is named, or found: by the model that was used, or by strategy and day, as an event ``desk.trading-loss`` tells them.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State
from pydantic import AwareDatetime, Field

from lineage_flows import lineage
from lineage_flows.capture.internal import internal
from lineage_flows.errors import ReplayError
from lineage_flows.losses import day_of
from lineage_flows.replay import ReplayReport, replay_run
from lineage_flows.replay.asked import Asked


def _name() -> str:
    given = flow_run.parameters
    meant = given.get("run") or " ".join(
        str(given[name]) for name in ("strategy", "model", "date", "at") if given.get(name)
    )
    return f"replay {meant}".strip()


@flow(name="replay", flow_run_name=_name)
@internal
def replay(
    run: str | None = "",  # not None: Prefect's form shows a field to write in at once
    *,
    strategy: str | None = "",
    model: str | None = "",
    date: dt.date | None = None,
    at: AwareDatetime | None = None,
    code: str | None = "",
    from_step: str | None = "",
    what_if: dict[str, Any] | None = None,
    clock: Literal["now", "captured", "frozen"] = "now",
    timeout: Annotated[float, Field(gt=0)] | None = None,
    environment: Literal["auto", "current", "rebuild"] = "auto",
) -> State:
    """Execute a run again in a process of its own, and compare every step.

    Args:
        run: Run id, the start of one, or run name. Empty: the run is found by what follows.
        strategy: Name of a flow or of a deployment, or a tag of its runs.
        model: ARN, URI or path of the model that was used.
        date: A day in UTC: the last run that had completed by its end is meant. Empty: the latest.
        at: In place of a day a moment: the last run that had completed by then is meant.
        code: A folder whose code is executed in place of the captured code.
        from_step: Only this step, and what depends on it, is executed; the others get their captured results.
        what_if: Parameters that the flow is called with in place of what it had, by name.
        clock: The time that the code sees: the present, the original's, or the original's standing still at each step's start.
        timeout: Seconds after which the replay is stopped.
        environment: What it runs on: whichever is the run's, what is installed here, or the run's environment rebuilt.

    Returns:
        Completed with the report when the replay is identical or equal within tolerance; Failed, with one line that says where
        and why they part, when it is different or cannot be done or compared.
    """
    report = replay_run(
        run or _found(strategy, model, date, at),
        code_path=Path(code) if code else None,
        clock=clock,
        timeout=timeout,
        environment=environment,
        asked=Asked(from_step or None, parameters=what_if or {}),
    )
    create_table_artifact(
        key="replay-verdict", table=_table(report), description=f"**{report.verdict}**: {report.summary}"
    )
    answer = report.model_dump(mode="json")
    if report.exit_code != 0:
        return Failed(message=report.summary, data=answer)
    return Completed(message=f"{report.verdict}: {report.summary}", data=answer)


def _found(strategy: str | None, model: str | None, day: dt.date | None, at: dt.datetime | None) -> str:
    """Id of the run that stood behind a number.

    Raises:
        ReplayError: nothing says which run is meant, or two things do.
    """
    if not (strategy or model):
        raise ReplayError("no run is named", fix="give a run, a strategy or a model")
    if day and at:
        raise ReplayError("a day and a moment are given", fix="give one of them")
    since, until = day_of(day) if day else (None, at)
    with lineage() as graph:
        found = graph.run_in_force(strategy=strategy or None, model=model or None, until=until, since=since)
    chosen = found.run
    log = get_run_logger()
    log.info("replaying %s / %s (%s), which completed at %s", chosen.flow, chosen.name, chosen.run_id, chosen.ended)
    for other in found.others:
        log.info("in force then too: %s (%s), which completed at %s", other.name, other.run_id, other.ended)
    return chosen.run_id


def _table(report: ReplayReport) -> list[dict[str, str]]:
    return [
        {
            "step": f"{step.task}#{step.index}",
            "verdict": step.verdict,
            "causes": ", ".join(step.causes),
            "details": "; ".join(step.details),
        }
        for step in report.steps
    ]


if __name__ == "__main__":
    import sys

    replay(sys.argv[1])
