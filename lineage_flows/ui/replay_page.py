"""Writes the report of a replay as one HTML page that needs nothing else: to be read, printed and filed.

Knows records and words for a reader who is no engineer; must not know how a replay is done or compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lineage_flows.compare.saying import figures, pair
from lineage_flows.ui.text import clip, count, duration, duration_text, listing, moment, plain, value_text

if TYPE_CHECKING:
    from pydantic import JsonValue

    from lineage_flows.compare import Change
    from lineage_flows.records import Cause, ReplayOutcome, RunRecord, StepComparison, ValueDifference

__all__ = ["replay_page"]

_MOST_STEPS: Final = 500
_MOST_VALUES: Final = 60
_MOST_ROWS: Final = 500
_LONG: Final = 600
_MARKS: Final = {
    "identical": "✓",
    "equivalent": "≈",
    "different": "✗",
    "not compared": "?",
    "restored": "↺",
    "missing": "−",
    "added": "+",
}
_BECAUSE: Final[dict[Cause, str]] = {
    "code": "Code that it runs is not the same.",
    "parameters": "A parameter that it was given is not the same.",
    "inputs": "Data that it was given is not the same.",
    "environment": "What it runs on is not the same.",
    "unexplained": "Nothing that was recorded explains it.",
}


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    verdict: str
    causes: str
    details: str


@dataclass(frozen=True, slots=True)
class _Value:
    name: str
    verdict: str
    amount: str
    figures: str
    change: str
    tolerance: str


@dataclass(frozen=True, slots=True)
class _Table:
    """``hashes`` are the columns that hold hashes; ``more`` says what was left out."""

    title: str
    names: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    hashes: frozenset[int]
    more: str = ""


@dataclass(frozen=True, slots=True)
class _Divergence:
    step: str
    because: str
    details: list[str] = field(default_factory=list)


def replay_page(
    original: RunRecord,
    replay: RunRecord,
    outcome: ReplayOutcome,
    environment: Sequence[Change],
    *,
    record_digest: str,
    made_at: str,
    version: str,
) -> str:
    """The page, whole: no script, nothing that is loaded from anywhere, and no text of a flow can break out of its place.

    Args:
        original: the run that was replayed.
        replay: the run that repeated it, as far as it is known when it has been compared.
        outcome: what was found.
        environment: what of the two environments differs.
        record_digest: hash of the original's run record, by which the graph names it; empty when it is not known.
        made_at: now, RFC 3339.
        version: of this package.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    engine = Environment(
        loader=PackageLoader("lineage_flows", "ui"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    flow = original.flow
    ordered = list(_steps(outcome.steps))
    values = list(_values(outcome))
    return engine.get_template("replay_page.html.j2").render(
        title=f"Replay of {clip(flow.flow_name, 80)} / {clip(flow.run_name, 80)}",
        verdict=outcome.verdict,
        sentence=_sentence(outcome),
        divergence=_divergence(outcome),
        asked=_asked(original, replay, outcome),
        notes=[plain(note) for note in outcome.notes],
        steps=ordered[:_MOST_STEPS],
        more_steps=_left(ordered, _MOST_STEPS, "step"),
        result=outcome.result,
        values=values[:_MOST_VALUES],
        more_values=_left(values, _MOST_VALUES, "part"),
        environment=[
            {"name": plain(change.name), "old": _shown(change.old), "new": _shown(change.new)} for change in environment
        ],
        evidence=_evidence(original, replay, record_digest),
        tables=[_read(original), _parameters(original), _results(original, replay, outcome)],
        marks=_MARKS,
        version=version,
        made_at=moment(made_at),
    )


def _sentence(outcome: ReplayOutcome) -> str:
    steps = count(len(outcome.steps), "step")
    again = "The run was executed again from what was recorded of it"
    if outcome.verdict == "identical":
        executed = sum(step.verdict == "identical" for step in outcome.steps)
        restored = sum(step.verdict == "restored" for step in outcome.steps)
        said = f"{again}, and came out the same: {executed} of {steps} to the last bit"
        return f"{said}, {restored} restored from what they had given out." if restored else f"{said}."
    if outcome.verdict == "equivalent":
        return f"{again}, and came out the same within the tolerance below, though not every number to the last bit."
    if outcome.verdict == "different":
        return f"{again}, and did not come out the same."
    return f"{again}, and nothing of it could be held beside the original."


def _divergence(outcome: ReplayOutcome) -> _Divergence | None:
    if outcome.verdict != "different":
        return None
    if outcome.first_divergence is None or outcome.first_divergence >= len(outcome.steps):
        return _Divergence("the flow's own result", "All of its steps are the same.")
    step = outcome.steps[outcome.first_divergence]
    because = " ".join(_BECAUSE[cause] for cause in step.causes) or _BECAUSE["unexplained"]
    return _Divergence(_name(step), because, [clip(detail, _LONG) for detail in step.details])


def _asked(original: RunRecord, replay: RunRecord, outcome: ReplayOutcome) -> list[tuple[str, str]]:
    flow, again = original.flow, replay.flow
    who = again.replay.requested_by if again.replay else ""
    seconds = duration_text(duration(flow.started, flow.ended))
    rows = [
        ("Original", f"{plain(flow.flow_name)} / {plain(flow.run_name)} ({flow.run_id})"),
        ("It ran", f"{moment(flow.started)} (UTC), {seconds}, and ended {plain(flow.state or 'without an end')}"),
        ("Replay", again.run_id),
        ("Asked for by", plain(who)),
        ("Replayed", f"{moment(again.started)} (UTC)"),
        ("Tolerances", listing([plain(rule) for rule in outcome.tolerances], limit=20) if outcome.tolerances else ""),
    ]
    return [(name, text) for name, text in rows if text]


def _name(step: StepComparison) -> str:
    return clip(step.task, 80) + (f" #{step.index}" if step.index > 0 else "")


def _steps(steps: Iterable[StepComparison]) -> Iterator[_Step]:
    for step in steps:
        yield _Step(
            _name(step),
            step.verdict,
            listing(list(step.causes)) if step.causes else "",
            clip("; ".join(step.details), _LONG),
        )


def _values(outcome: ReplayOutcome) -> Iterator[_Value]:
    named = [(_name(step), value) for step in outcome.steps for value in step.values]
    for owner, value in [*named, *(("the flow", value) for value in outcome.values)]:
        label = f"{owner}: {plain(value.name)}"
        if not value.parts:
            yield _Value(
                label, value.verdict, _amount(value.differing, value.compared), figures(value), _note(value), ""
            )
        for part in value.parts:
            cell = part.cells[0] if part.cells else None
            change = (
                (clip(pair(cell.old, cell.new), 120) + (f" (at {clip(cell.at, 60)})" if cell.at else ""))
                if cell
                else ""
            )
            said = "; ".join(text for text in (change, clip(part.note, _LONG)) if text)
            name = f"{label}/{plain(part.where.lstrip('/'))}" if part.where else label
            rule = plain(part.tolerance.rule) if part.tolerance else ""
            yield _Value(name, part.verdict, _amount(part.differing, part.compared), figures(part), said, rule)


def _note(value: ValueDifference) -> str:
    return clip(value.note, _LONG)


def _amount(differing: int, compared: int) -> str:
    return f"{differing:,} of {compared:,}" if compared else ""


def _left(items: Sequence[object], shown: int, noun: str) -> str:
    return f"and {count(len(items) - shown, noun)} more, in the run record" if len(items) > shown else ""


def _shown(value: JsonValue) -> str:
    return "none" if value is None else clip(str(value), _LONG)


def _evidence(original: RunRecord, replay: RunRecord, record_digest: str) -> list[tuple[str, str]]:
    flow, again = original.flow, replay.flow
    code, now = flow.code, again.code
    commit = (
        f"{code.commit}{' with changes that were not committed' if code.dirty else ''}" if code and code.commit else ""
    )
    rows = [
        ("Run record of the original", record_digest),
        ("Commit", plain(commit)),
        ("Source tree then", code.digest if code else ""),
        ("Source tree now", now.digest if now else ""),
        ("Environment then", flow.environment.digest if flow.environment else ""),
        ("Environment now", again.environment.digest if again.environment else ""),
    ]
    return [(name, text) for name, text in rows if text]


def _read(original: RunRecord) -> _Table:
    found = {
        (dataset.uri, dataset.fingerprint or dataset.note or ""): None
        for datasets in (
            *(flow.datasets for flow in (original.flow, *original.subflows)),
            *(step.datasets for step in original.steps),
        )
        for dataset in datasets
        if dataset.direction == "read"
    }
    rows = [(plain(uri), fingerprint) for uri, fingerprint in found]
    return _table("Data that the original read", ("data", "content"), rows, {1})


def _parameters(original: RunRecord) -> _Table:
    rows = [
        (plain(taken.name), value_text(taken.value), taken.value.fingerprint or "")
        for taken in original.flow.parameters
    ]
    return _table("Parameters", ("parameter", "value", "content"), rows, {2})


def _results(original: RunRecord, replay: RunRecord, outcome: ReplayOutcome) -> _Table:
    then = {step.run_id: step for step in original.steps}
    now = {step.run_id: step for step in replay.steps}
    rows = []
    for step in outcome.steps:
        old, new = then.get(step.original_run_id or ""), now.get(step.replay_run_id or "")
        hashes = [side.output.fingerprint or "" if side and side.output else "" for side in (old, new)]
        rows.append((_name(step), hashes[0], hashes[1]))
    return _table("What each step gave out", ("step", "then", "now"), rows, {1, 2})


def _table(title: str, names: tuple[str, ...], rows: Sequence[tuple[str, ...]], hashes: set[int]) -> _Table:
    more = f" of {len(rows)}; the others are in the run record" if len(rows) > _MOST_ROWS else ""
    return _Table(title, names, rows[:_MOST_ROWS], frozenset(hashes), more)
