"""What is said of a replay before it runs: its steps, what is missing, what it would run on, and what to expect.

Knows nothing but its own form; ``outlook`` finds out what is said.
"""

from __future__ import annotations

from typing import Literal

from pydantic import computed_field

from lineage_flows.record_base import Frozen

__all__ = ["EnvironmentOutlook", "Expected", "Missing", "ReplayPlan", "StepOutlook"]

Expected = Literal["identical", "may differ", "impossible"]
"""What a replay is expected to come to. ``may differ``: something it depends on was not recorded, or cannot be given back."""


class Missing(Frozen):
    """Something that a replay needs and that is not there.

    Attributes:
        what: as the second half of a sentence that begins with "missing is".
        why: the reason, empty when ``what`` says it all.
        fix: what to do; empty when nothing can be done.
        fatal: whether the replay is impossible without it; otherwise it is done and may differ.
    """

    what: str
    why: str = ""
    fix: str = ""
    fatal: bool = True


class StepOutlook(Frozen):
    """What becomes of one step.

    Attributes:
        task: its task.
        index: its rank among the steps of that name.
        flow: the flow it belongs to.
        run_id: of the original.
        action: whether its code is executed, or its captured result is used in place of that.
        expected: what it is expected to come to.
        reasons: why, a sentence each.
    """

    task: str
    index: int
    flow: str
    run_id: str
    action: Literal["executed", "restored"]
    expected: Expected
    reasons: tuple[str, ...] = ()


class EnvironmentOutlook(Frozen):
    """What a replay would run on.

    Attributes:
        asked: ``current``, ``rebuild`` or ``auto``.
        chosen: what comes of that.
        reason: why.
        differences: what is installed here and was another then, Python first.
        packages: how many packages the run had; None when that was not recorded.
        ready: whether the environment is there already, and nothing is built.
        problem: why it cannot be had; empty when nothing is known against it. Whether an index still has a package, only a
            rebuild can tell.
    """

    asked: str
    chosen: Literal["current", "rebuild"]
    reason: str
    differences: tuple[str, ...] = ()
    packages: int | None = None
    ready: bool = True
    problem: str = ""


class ReplayPlan(Frozen):
    """What a replay would do.

    Attributes:
        run_id: the run that would be replayed.
        run_name: its name.
        flow: its flow.
        expected: what it is expected to come to, as a whole.
        steps: every step of the original, in order of submission.
        reasons: why the flow's own code may come out differently.
        missing: what is not there.
        environment: what it would run on.
        files: how many files it restores.
        notes: what else the reader should know.
    """

    run_id: str
    run_name: str
    flow: str
    expected: Expected
    steps: tuple[StepOutlook, ...]
    reasons: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()
    environment: EnvironmentOutlook
    files: int = 0
    notes: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def exit_code(self) -> Literal[0, 2]:
        """For scripts: 0 when the replay can be done, 2 when it cannot."""
        return 2 if self.expected == "impossible" else 0

    @property
    def summary(self) -> str:
        """One line for whoever has to decide: can it be done, and what will it show."""
        counts = {action: sum(step.action == action for step in self.steps) for action in ("executed", "restored")}
        done = f"{counts['executed']} of {len(self.steps)} steps are executed, {counts['restored']} restored"
        if self.expected == "impossible":
            first = next(item for item in self.missing if item.fatal)
            return f"this run cannot be replayed: {first.what}"
        if self.expected == "identical":
            return f"this run can be replayed, and should come out identical: {done}"
        doubtful = sum(step.expected == "may differ" for step in self.steps)
        whose = f"{doubtful} of them" if doubtful else "the run"
        return f"this run can be replayed: {done}; {whose} may come out differently"
