"""Replays many runs one after the other: all backtests of last quarter, say. One that cannot be done holds up no other.

Knows single replays; must not know how runs are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import computed_field

from lineage_flows.errors import LineageError
from lineage_flows.record_base import Frozen
from lineage_flows.records import Cause, Verdict
from lineage_flows.replay.run import replay_run

if TYPE_CHECKING:
    from lineage_flows.graph.runs import RunSummary
    from lineage_flows.replay.report import ReplayReport

__all__ = ["ManyReplayed", "Replayed", "replay_many"]


class Replayed(Frozen):
    """What came of one of many.

    Attributes:
        run_id: the run that was replayed.
        name: its name.
        started: when it began; RFC 3339 in UTC.
        verdict: what was found; None when it could not be replayed.
        summary: in one line, what was found, or why it could not be done.
        first_divergence: ``task#index`` of the first step that is different.
        causes: of that.
        replay_run_id: the flow run that repeated it; its report is found by it.
    """

    run_id: str
    name: str
    started: str | None
    verdict: Verdict | None
    summary: str
    first_divergence: str | None = None
    causes: tuple[Cause, ...] = ()
    replay_run_id: str | None = None


class ManyReplayed(Frozen):
    """What came of all of them, in the order in which they were replayed."""

    runs: tuple[Replayed, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def exit_code(self) -> Literal[0, 1, 2]:
        """For scripts: 1 when one is different, else 2 when one could not be done or compared, else 0."""
        verdicts = {run.verdict for run in self.runs}
        return 1 if "different" in verdicts else 2 if verdicts & {None, "not compared"} else 0


def replay_many(
    runs: Sequence[RunSummary],
    *,
    on_run: Callable[[str, int, int], None] | None = None,
    **options: Any,  # noqa: ANN401 - those of ``replay_run``
) -> ManyReplayed:
    """Replay runs, one after the other, each in a process and a workspace of its own.

    Args:
        runs: which, in which order.
        on_run: called with the name of the run that starts now ("" at the end), how many are done, and how many there are.
        options: as ``replay_run`` takes them, for each.
    """
    found = []
    for done, run in enumerate(runs):
        if on_run is not None:
            on_run(run.name, done, len(runs))
        try:
            found.append(_done(run, replay_run(run.run_id, **options)))
        except Exception as error:  # noqa: BLE001 - whatever it was, it was this one's: a full disk may be free for the next
            why = str(error) if isinstance(error, LineageError) else f"{type(error).__name__}: {error}"
            found.append(Replayed(run_id=run.run_id, name=run.name, started=run.started, verdict=None, summary=why))
    if on_run is not None:
        on_run("", len(runs), len(runs))
    return ManyReplayed(runs=tuple(found))


def _done(run: RunSummary, report: ReplayReport) -> Replayed:
    first = report.steps[report.first_divergence] if report.first_divergence is not None else None
    return Replayed(
        run_id=run.run_id,
        name=run.name,
        started=run.started,
        verdict=report.verdict,
        summary=report.summary,
        first_divergence=f"{first.task}#{first.index}" if first is not None else None,
        causes=first.causes if first is not None else (),
        replay_run_id=report.replay_run_id,
    )
