"""What a replay found, as a record: each step beside the original's, and each value beside the value it should be.

Knows pydantic alone; must not know how anything is compared.
"""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from lineage_flows.record_base import Frozen

__all__ = [
    "Cause",
    "CellDifference",
    "ComparedBy",
    "PartDifference",
    "ReplayInfo",
    "ReplayOutcome",
    "StepComparison",
    "StepVerdict",
    "ToleranceUsed",
    "ValueDifference",
    "Verdict",
]

Verdict = Literal["identical", "equivalent", "different", "not compared"]
"""Bit for bit the same; equal within tolerance; not that; or nothing of both sides was there to be held beside each other."""

StepVerdict = Literal["identical", "equivalent", "different", "not compared", "restored", "missing", "added"]
Cause = Literal["code", "parameters", "inputs", "environment", "unexplained"]

ComparedBy = Literal["fingerprint", "preview", "content", "picture", "nothing"]
"""What decided: fingerprints alone; the small values that the records hold; the kept values themselves; pictures of them."""


class ToleranceUsed(Frozen):
    """A tolerance that held for a value or a part of it, and the rule that set it (``default`` when none did)."""

    relative: float = 0.0
    absolute: float = 0.0
    ulps: int = 0
    rule: str = "default"


class CellDifference(Frozen):
    """One place where two values differ: a row's label, a position, a line; with what stands there in the one and in the other.

    Numbers are numbers (NaN and infinities are text); anything else is short text without secrets.
    """

    at: str = ""
    old: JsonValue = None
    new: JsonValue = None


class PartDifference(Frozen):
    """A part of a value that is not the same: a number, a column, an attribute, or the shape of it.

    Attributes:
        where: its path in the value (``/prices/close``); empty for the whole.
        verdict: whether it is equal within tolerance or different.
        note: what it is, where that is no figure ("column removed", "float64 became float32", lines of text).
        differing: how many numbers or cells of it differ, and
        compared: of how many.
        beyond: how many of those that differ do so by more than the tolerance.
        absolute: largest absolute difference between two numbers of it, None when no figure can be given.
        relative: largest relative one, as a share of the larger magnitude of the two.
        ulps: largest number of representable numbers between the two.
        unlike: how many of the differing have NaN or an infinity on one side only, and so no distance.
        cells: the one that differs most, then the first ones that differ.
        tolerance: what held for it, where numbers were compared.
    """

    where: str = ""
    verdict: Literal["equivalent", "different"] = "different"
    note: str = ""
    differing: int = 0
    compared: int = 0
    beyond: int = 0
    absolute: float | None = None
    relative: float | None = None
    ulps: int | None = None
    unlike: int = 0
    cells: tuple[CellDifference, ...] = ()
    tolerance: ToleranceUsed | None = None


class ValueDifference(Frozen):
    """A value of one run beside the value of the other that it should be. Only those that are not identical are recorded.

    Attributes:
        name: ``output``, or ``input NAME``.
        verdict: what came of it.
        by: what decided.
        type: class of the original's value.
        kind: kind of artifact it is.
        differing: how many numbers and cells differ in all its parts, and
        compared: of how many that were compared.
        absolute: largest absolute difference between two numbers anywhere in it; None when no figure can be given.
        relative: largest relative one.
        ulps: largest one in representable numbers.
        parts: what differs, the worst first.
        left_out: how many more parts differ than are listed.
        note: why it was not compared, or not wholly.
    """

    name: str = "output"
    verdict: Verdict
    by: ComparedBy = "fingerprint"
    type: str = ""
    kind: str = ""
    differing: int = 0
    compared: int = 0
    absolute: float | None = None
    relative: float | None = None
    ulps: int | None = None
    parts: tuple[PartDifference, ...] = ()
    left_out: int = 0
    note: str = ""


class StepComparison(Frozen):
    """One step of a replay beside the same step of the original. ``values`` are those of its values that are not identical."""

    task: str
    index: int
    verdict: StepVerdict
    flow: str = ""
    causes: tuple[Cause, ...] = ()
    details: tuple[str, ...] = ()
    original_run_id: str | None = None
    replay_run_id: str | None = None
    values: tuple[ValueDifference, ...] = ()


class ReplayOutcome(Frozen):
    """What a replay found.

    ``first_divergence`` is the position in ``steps`` of the first that is different, ``first_inexact`` of the first that is equal
    within tolerance only; None when there is none. ``values`` is the flow's own result, when it is not identical. ``tolerances``
    are the rules that were set, as they are written; the default stands behind them.
    """

    run_id: str
    replay_run_id: str
    verdict: Verdict
    steps: tuple[StepComparison, ...]
    result: StepVerdict
    first_divergence: int | None = None
    notes: tuple[str, ...] = ()
    first_inexact: int | None = None
    values: tuple[ValueDifference, ...] = ()
    tolerances: tuple[str, ...] = ()


class ReplayInfo(Frozen):
    """Says that a flow run repeats another; ``outcome`` is known at its end."""

    replay_of: str
    requested_by: str = ""
    workspace: str = ""
    outcome: ReplayOutcome | None = None
