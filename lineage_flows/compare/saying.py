"""Says in a few words how two values differ, for a reader who knows the numbers and not the code.

Knows the records of a comparison only. Texts and labels of data are not repeated here, numbers and names of parts are: what is said
goes where the data itself may not.
"""

from __future__ import annotations

from pydantic import JsonValue

from lineage_flows.record_replay import CellDifference, PartDifference, ValueDifference

__all__ = ["LEVELS", "figures", "pair", "said"]

LEVELS = "levels"
"""How what is said of a picture ends."""
_MOST = 3
_SMALL = 6


def said(found: ValueDifference) -> str:
    """One line on a value that is not identical: ``output differs: sharpe 1.2345 → 1.2346 (rel 8.1e-05)``."""
    name = found.name
    if found.verdict == "not compared":
        return f"{name} not compared: {found.note}"
    if found.verdict == "equivalent":
        if not found.differing:
            return f"{name} equal within tolerance: {found.note or _forms(found)}"
        return f"{name} equal within tolerance: {_share(found)}, by at most {figures(found) or 'nothing'}"
    parts = [part for part in found.parts if part.verdict == "different"]
    told = [_part(part, preview=found.by == "preview") for part in parts[:_MOST]]
    more = len(parts) - _MOST + found.left_out
    said_so = "; ".join([*told, *([f"and {more:,} more" if more > 0 else ""] if more > 0 else [])])
    return f"{name} differs" + (f": {said_so}" if said_so else "") + (f" ({found.note})" if found.note else "")


def figures(found: ValueDifference | PartDifference) -> str:
    """How far numbers lie apart: ``rel 1.2e-14, 54 ulps``; the absolute difference where nothing relative is known."""
    told = []
    if found.relative is not None:
        told.append(f"rel {found.relative:.2g}")
    elif found.absolute is not None:
        told.append(f"abs {found.absolute:.3g}")
    if found.ulps is not None and found.ulps < 1_000_000:
        told.append(f"{found.ulps:,} {'ulp' if found.ulps == 1 else 'ulps'}")
    return ", ".join(told)


def pair(old: JsonValue, new: JsonValue) -> str:
    """Two values side by side; numbers in as many digits as it takes to tell them apart."""
    if isinstance(old, float | int) and isinstance(new, float | int) and not isinstance(old, bool):
        digits = next((count for count in range(_SMALL, 18) if f"{old:.{count}g}" != f"{new:.{count}g}"), 17)
        return f"{_number(old, digits)} → {_number(new, digits)}"
    return f"{old} → {new}"


def _part(part: PartDifference, *, preview: bool) -> str:
    name = part.where.lstrip("/").replace("~1", "/").replace("~0", "~")
    cell = part.cells[0] if part.cells else None
    if part.compared <= 1 and cell is not None and _sayable(cell, preview=preview):
        measured = figures(part)
        change = f"{pair(cell.old, cell.new)}" + (f" ({measured})" if measured else "")
        return f"{name} {change}".strip()
    if part.compared <= 1 or (not part.differing and part.note):
        note = part.note.partition("\n")[0].rstrip(":")
        return f"{name} {note}".strip() if note else f"{name} is not the same".strip()
    if part.compared and part.note.endswith(LEVELS):
        return f"{name} {part.note}".strip()  # of a picture, which says it all
    words = [f"{part.differing:,} of {part.compared:,} differ"]
    if part.unlike:
        words.append(f"{part.unlike:,} of them NaN or infinite on one side only")
    if part.note:
        words.append(part.note.partition("\n")[0].rstrip(":"))
    if cell is not None and _sayable(cell, preview=preview):
        words.append(f"most {pair(cell.old, cell.new)}")
    measured = figures(part)
    return f"{name}: ".lstrip(": ") + ", ".join(words) + (f" (up to {measured})" if measured else "")


def _sayable(cell: CellDifference, *, preview: bool) -> bool:
    """Whether a change may be told anywhere: numbers, and what the records show of small values anyway."""
    return preview or all(isinstance(item, int | float) for item in (cell.old, cell.new))


def _share(found: ValueDifference) -> str:
    return f"{found.differing:,} of {found.compared:,} numbers differ" if found.compared > 1 else "it differs"


def _forms(found: ValueDifference) -> str:
    return "; ".join(f"{part.where.lstrip('/')} {part.note}".strip() for part in found.parts[:_MOST])


def _number(number: float, digits: int) -> str:
    return str(number) if isinstance(number, int) else f"{number:.{digits}g}"
