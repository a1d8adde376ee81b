"""Executes a run again from what lineage recorded alone, in a process of its own; proves every step equal or says which is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineage_flows.replay.outlook import plan_replay
    from lineage_flows.replay.planned import ReplayPlan
    from lineage_flows.replay.report import ReplayReport
    from lineage_flows.replay.run import replay_run

__all__ = ["ReplayPlan", "ReplayReport", "plan_replay", "replay_run"]


def __getattr__(name: str) -> object:
    """Loaded when asked for: the child process must install its redirector before anything that touches files is imported."""
    if name == "replay_run":
        from lineage_flows.replay.run import replay_run

        return replay_run
    if name == "plan_replay":
        from lineage_flows.replay.outlook import plan_replay

        return plan_replay
    if name == "ReplayPlan":
        from lineage_flows.replay.planned import ReplayPlan

        return ReplayPlan
    if name == "ReplayReport":
        from lineage_flows.replay.report import ReplayReport

        return ReplayReport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
