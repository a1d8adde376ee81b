"""Replays a run from what lineage recorded of it, and fails when the outcome is another, so that automations can react."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.states import Completed, Failed, State

from lineage_flows.capture.internal import internal
from lineage_flows.replay import ReplayReport, replay_run


@flow(name="replay", flow_run_name="replay {run}")
@internal
def replay(
    run: str,
    code: str | None = None,
    timeout: float | None = None,
    environment: Literal["current", "rebuild", "auto"] = "auto",
) -> State:
    """Execute a run again in a process of its own, and compare every step.

    Args:
        run: run id, the start of one, or run name.
        code: a folder whose code is executed in place of the captured code.
        timeout: seconds after which the replay is stopped.
        environment: what it runs on: what is installed here, the run's environment rebuilt, or whichever is the run's.

    Returns:
        Completed with the report when the replay is identical or equal within tolerance; Failed, with one line that says where
        and why they part, when it is different or cannot be done.
    """
    report = replay_run(run, code_path=Path(code) if code else None, timeout=timeout, environment=environment)
    create_table_artifact(
        key="replay-verdict", table=_table(report), description=f"**{report.verdict}**: {report.summary}"
    )
    answer = report.model_dump(mode="json")
    if report.verdict == "different":
        return Failed(message=report.summary, data=answer)
    return Completed(message=f"{report.verdict}: {report.summary}", data=answer)


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
