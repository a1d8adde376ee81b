"""``show --gaps``: the completeness ledger of a run or a step, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from lineage_flows.api import RunGaps

__all__ = ["ledger_document", "shown_ledger"]


def ledger_document(found: tuple[RunGaps, ...]) -> dict[str, object]:
    """The ledger for ``--json``."""
    from lineage_flows.ledger import NOT_WATCHED, WATCHED

    return {
        "gaps": sum(len(item.gaps) for item in found),
        "watched": WATCHED,
        "not_watched": NOT_WATCHED,
        "ledgers": list(found),
    }


def shown_ledger(found: tuple[RunGaps, ...]) -> Iterator[RenderableType]:
    """The ledger as tables: what was observed of each, then every gap with what it means for a replay."""
    from lineage_flows.cli.tables import grid, heading, note
    from lineage_flows.ledger import NOT_WATCHED, WATCHED
    from lineage_flows.ui.text import count

    yield grid(
        ("where", "observed", "covered", "gaps"),
        [
            (_name(item), _observed(item), _covered(item), str(len(item.gaps)) if item.watched else "-")
            for item in found
        ],
        right=("gaps",),
    )
    rows = [
        (_name(item), gap.what, str(gap.count) if gap.count > 1 else "", gap.consequence)
        for item in found
        for gap in item.gaps
    ]
    if rows:
        yield heading(count(len(rows), "gap"))
        yield grid(("where", "what", "times", "consequence"), rows, right=("times",))
    for item in found:
        if item.left_out:
            yield note(f"{_name(item)}: observed {count(item.left_out, 'more time')}, not named one by one.")
    blind = [f"{_name(item)} ({item.why})" for item in found if not item.watched]
    if blind:
        yield note(f"Not watched: {', '.join(blind)}.")
    if not rows and any(item.watched for item in found):
        yield note("Nothing was missed at the levels watched.")
    yield note(f"Watched: {WATCHED}. Cannot be seen: {NOT_WATCHED}.")


def _name(item: RunGaps) -> str:
    if not item.is_step:
        return f"flow {item.name}"
    return f"{item.name} #{item.index}" if item.index > 0 else item.name


def _observed(item: RunGaps) -> str:
    from lineage_flows.ui.text import count

    if not item.watched:
        return item.why
    return (
        ", ".join(count(tally.observed, *_NOUNS.get(tally.kind, (tally.kind,))) for tally in item.tallies) or "nothing"
    )


def _covered(item: RunGaps) -> str:
    seen = sum(tally.observed for tally in item.tallies)
    return f"{sum(tally.covered for tally in item.tallies)} of {seen}" if seen else "-"


_NOUNS = {
    "entropy": ("draw of entropy", "draws of entropy"),
    "clock": ("place that reads the clock", "places that read the clock"),
    "library": ("library not watched", "libraries not watched"),
    "process": ("program", "programs"),
    "variable": ("variable read", "variables read"),
    "thread": ("stray thread", "stray threads"),
}
