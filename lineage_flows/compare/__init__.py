"""Compares runs: which steps are the same, what differs, and why; shared by ``diff`` and ``replay``."""

from __future__ import annotations

from lineage_flows.compare.changes import (
    Change,
    CodeDifference,
    FileChange,
    FunctionChange,
    MetricChange,
    RunDifference,
)
from lineage_flows.compare.difference import Comparison, compare_runs, compare_steps
from lineage_flows.compare.judge import Judge
from lineage_flows.compare.names import Folders
from lineage_flows.compare.steps import FlowPair, Pair, align, align_flows
from lineage_flows.compare.values import Scope, ValueComparison, compare_refs, compare_values

__all__ = [
    "Change",
    "CodeDifference",
    "Comparison",
    "FileChange",
    "FlowPair",
    "Folders",
    "FunctionChange",
    "Judge",
    "MetricChange",
    "Pair",
    "RunDifference",
    "Scope",
    "ValueComparison",
    "align",
    "align_flows",
    "compare_refs",
    "compare_runs",
    "compare_steps",
    "compare_values",
]
