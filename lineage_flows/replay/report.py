"""What a replay tells: the verdict, step by step, and what a script makes of it; and what passes between the two processes.

Knows records and changes only.
"""

from __future__ import annotations

from typing import Literal

from pydantic import computed_field

from lineage_flows.compare.changes import Change
from lineage_flows.records import Frozen, ReplayOutcome, StepComparison, StepVerdict, Verdict

__all__ = ["ChildResult", "Failure", "ReplayReport"]


class ReplayReport(Frozen):
    """What came of replaying a run.

    Attributes:
        run_id: the run that was replayed.
        run_name: its name.
        flow: its flow.
        replay_run_id: the flow run that repeated it.
        verdict: identical; equivalent (numbers within the tolerance); or different.
        steps: every step beside the original's, in the original's order of submission.
        result: the verdict on what the flow itself returned or raised.
        first_divergence: position in ``steps`` of the first step that differs; None when none does.
        notes: what the reader of the verdict should know.
        environment: what differs between the original's environment and this one.
        workspace: the folder it ran in, when it was kept.
    """

    run_id: str
    run_name: str
    flow: str
    replay_run_id: str | None
    verdict: Verdict
    steps: tuple[StepComparison, ...]
    result: StepVerdict
    first_divergence: int | None = None
    notes: tuple[str, ...] = ()
    environment: tuple[Change, ...] = ()
    workspace: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def exit_code(self) -> Literal[0, 1]:
        """For scripts: 0 when identical or equal within tolerance, 1 when different. What could not be done is an exception."""
        return 1 if self.verdict == "different" else 0

    @property
    def summary(self) -> str:
        """One line: how many steps are the same, or where the first difference lies and why."""
        total = len(self.steps)
        if self.first_divergence is not None:
            step = self.steps[self.first_divergence]
            causes = ", ".join(step.causes) or "unexplained"
            detail = f" ({step.details[0]})" if step.details else ""
            return f"first divergence at step {step.task}#{step.index}: {step.verdict}, because of {causes}{detail}"
        if self.verdict == "different":
            return f"{total} of {total} steps the same, and the flow's own result differs"
        restored = sum(step.verdict == "restored" for step in self.steps)
        same = f"{total - restored} of {total} steps {self.verdict}"
        return same + (f", {restored} restored" if restored else "")


class Failure(Frozen):
    """An error of the child, as the parent raises it again."""

    kind: str
    what: str
    why: str = ""
    fix: str = ""


class ChildResult(Frozen):
    """What the child leaves behind: an outcome, or why there is none."""

    outcome: ReplayOutcome | None = None
    environment: tuple[Change, ...] = ()
    failure: Failure | None = None
