"""What a replay tells: the verdict, step by step, and what a script makes of it; and what passes between the two processes.

Knows records and changes, and how figures are said.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import computed_field

from lineage_flows.compare.changes import Change
from lineage_flows.compare.saying import figures, said
from lineage_flows.record_base import Frozen
from lineage_flows.records import BlobRef, ReplayOutcome, StepComparison, StepVerdict, ValueDifference, Verdict

__all__ = ["ChildResult", "Failure", "ReplayReport"]


_COUNTED: tuple[StepVerdict, ...] = ("identical", "equivalent", "restored", "not compared")


class ReplayReport(Frozen):
    """What came of replaying a run.

    Attributes:
        run_id: the run that was replayed.
        run_name: its name.
        flow: its flow.
        replay_run_id: the flow run that repeated it.
        verdict: identical; equivalent (numbers within the tolerance); different; or not compared, when nothing was.
        steps: every step beside the original's, in the original's order of submission.
        result: the verdict on what the flow itself returned or raised.
        first_divergence: position in ``steps`` of the first step that is different; None when none is.
        notes: what the reader of the verdict should know.
        environment: what differs between the original's environment and this one.
        workspace: the folder it ran in, when it was kept.
        first_inexact: position in ``steps`` of the first step that is equal within tolerance only; None when none is.
        values: the flow's own result beside the original's, in figures, when it is not identical.
        tolerances: the rules of tolerance that were set; the default stands behind them.
        report: the page that tells all this, in the store; None when none could be made.
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
    first_inexact: int | None = None
    values: tuple[ValueDifference, ...] = ()
    tolerances: tuple[str, ...] = ()
    report: BlobRef | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def exit_code(self) -> Literal[0, 1, 2]:
        """For scripts: 0 when identical or equal within tolerance, 1 when different, 2 when nothing of it could be compared.

        What could not be done is an exception.
        """
        return 1 if self.verdict == "different" else 2 if self.verdict == "not compared" else 0

    @property
    def summary(self) -> str:
        """One line: where the first difference lies and why; else how many steps are the same."""
        if self.verdict == "different" and self.first_divergence is not None:
            step = self.steps[self.first_divergence]
            causes = ", ".join(step.causes) or "unexplained"
            detail = f" ({step.details[0]})" if step.details else ""
            apart = next((f"; {said(value)}" for value in step.values if value.verdict == "different"), "")
            apart = "" if apart.removeprefix("; ") in step.details[:1] else apart
            return (
                f"first divergence at step {step.task}#{step.index}: {step.verdict}, because of {causes}{detail}{apart}"
            )
        if self.verdict == "different":
            return "all steps the same, and the flow's own result differs"
        if not self.steps:
            return f"no steps, and the flow's own result is {self.result}"
        counts = Counter(step.verdict for step in self.steps)
        first, *others = [verdict for verdict in _COUNTED if counts[verdict]]
        more = "".join(f", {counts[verdict]} {verdict}" for verdict in others)
        furthest = self._furthest
        apart = f"; numbers lie apart by at most {figures(furthest)}" if furthest is not None else ""
        return f"{counts[first]} of {len(self.steps)} steps {first}{more}{apart}"

    @property
    def _furthest(self) -> ValueDifference | None:
        """Of all values that are equal within tolerance only, the one whose numbers lie furthest apart."""
        values = (value for values in (*(step.values for step in self.steps), self.values) for value in values)
        known = [value for value in values if value.verdict == "equivalent" and value.relative is not None]
        return max(known, key=lambda value: value.relative or 0.0, default=None)


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
