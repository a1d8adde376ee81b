"""What a replay tells: the verdict, step by step, and what a script makes of it; and what passes between the two processes.

Knows records and changes only.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import computed_field

from lineage_flows.compare.changes import Change
from lineage_flows.record_base import Frozen
from lineage_flows.records import ReplayOutcome, StepComparison, StepVerdict, Verdict

__all__ = ["ChildResult", "Failure", "ReplayReport"]


_GOOD: tuple[StepVerdict, ...] = ("identical", "equivalent", "restored")


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
        """One line: where the first difference lies and why; else how many steps are the same."""
        if self.verdict == "different" and self.first_divergence is not None:
            step = self.steps[self.first_divergence]
            causes = ", ".join(step.causes) or "unexplained"
            detail = f" ({step.details[0]})" if step.details else ""
            return f"first divergence at step {step.task}#{step.index}: {step.verdict}, because of {causes}{detail}"
        if self.verdict == "different":
            return "all steps the same, and the flow's own result differs"
        if not self.steps:
            return f"no steps, and the flow's own result is {self.result}"
        counts = Counter(step.verdict for step in self.steps)
        first, *others = [verdict for verdict in _GOOD if counts[verdict]]
        more = "".join(f", {counts[verdict]} {verdict}" for verdict in others)
        return f"{counts[first]} of {len(self.steps)} steps {first}{more}"


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
