"""The frozen data classes a comparison of two runs consists of.

Knows records only.
"""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from lineage_flows.record_base import Frozen
from lineage_flows.records import StepComparison, StepVerdict, ValueDifference, Verdict

__all__ = ["Change", "CodeDifference", "FileChange", "FunctionChange", "MetricChange", "RunDifference"]


class Change(Frozen):
    """One thing that is not the same in two runs. A side is None where there was none of it."""

    what: Literal["parameter", "dataset", "environment"]
    name: str
    old: JsonValue = None
    new: JsonValue = None


class MetricChange(Frozen):
    """A number that both runs gave out under one name, or only one of them.

    ``step`` is ``task#index`` or ``result`` for the flow's own; ``delta`` is ``b - a``, None where a side is missing.
    """

    step: str
    name: str
    a: float | None
    b: float | None
    delta: float | None = None


class FileChange(Frozen):
    """A source file that differs. ``lines`` are those of the second run that changed, as ``10-14, 20``."""

    path: str
    status: Literal["added", "removed", "changed"]
    lines: str = ""


class FunctionChange(Frozen):
    """The function of a step or flow whose own source differs. ``diff`` is unified, empty when a source was not kept."""

    name: str
    path: str | None = None
    line: int | None = None
    diff: str = ""


class CodeDifference(Frozen):
    """How the code of two runs differs. ``tree`` says whether the source trees do; commits are given where known."""

    tree: bool
    commit_a: str | None = None
    commit_b: str | None = None
    files: tuple[FileChange, ...] = ()
    functions: tuple[FunctionChange, ...] = ()


class RunDifference(Frozen):
    """Two runs side by side.

    ``first_divergence`` is the position in ``steps`` of the first that is different, ``first_inexact`` of the first that is equal
    within tolerance only; None when there is none. ``values`` is the flow's result, when it is not identical; ``tolerances`` are
    the rules that were set.
    """

    a: str
    b: str
    verdict: Verdict
    parameters: tuple[Change, ...] = ()
    inputs: tuple[Change, ...] = ()
    code: CodeDifference
    environment: tuple[Change, ...] = ()
    metrics: tuple[MetricChange, ...] = ()
    steps: tuple[StepComparison, ...] = ()
    result: StepVerdict
    first_divergence: int | None = None
    notes: tuple[str, ...] = ()
    first_inexact: int | None = None
    values: tuple[ValueDifference, ...] = ()
    tolerances: tuple[str, ...] = ()
