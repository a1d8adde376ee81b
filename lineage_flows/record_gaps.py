"""The completeness ledger of a run as a record: what was observed of it, how much of that lineage covers, and each gap by name.

Knows pydantic alone; must not know how anything is observed.
"""

from __future__ import annotations

from typing import Literal

from lineage_flows.record_base import Frozen

__all__ = ["Gap", "GapKind", "Ledger", "Tally"]

GapKind = Literal[
    "file", "object", "connection", "request", "process", "entropy", "clock", "variable", "thread", "library"
]
"""What a run can reach past its inputs, as far as it is watched; docs/gaps.md says how each is, and its limits."""


class Tally(Frozen):
    """How much of one kind was observed, and how much of that lineage covers.

    Counted are files and objects by version, connections, programs and draws by event, variables by name, and places in code that
    read the clock.
    """

    kind: GapKind
    observed: int
    covered: int


class Gap(Frozen):
    """Something a run did that its lineage does not hold.

    ``what`` says it as the second half of a sentence whose subject is the run ("connects to db.example:5432"); it holds no secret.
    ``consequence`` is what that means for a replay. ``count`` is how many times it was observed. ``unrestorable`` is the entry of
    ``StepRecord.unrestorable`` that tells of the same thing, empty when there is none.
    """

    kind: GapKind
    what: str
    consequence: str
    count: int = 1
    unrestorable: str = ""


class Ledger(Frozen):
    """The ledger of one run. ``left_out`` is how many times something was observed that is in none of the gaps by name."""

    tallies: tuple[Tally, ...] = ()
    gaps: tuple[Gap, ...] = ()
    left_out: int = 0
