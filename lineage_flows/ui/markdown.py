"""Writes the page that a run gets in Prefect's UI: what it was at a glance, then the particulars.

Knows the records and markdown; must not know Prefect, or how the page gets there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineage_flows.ledger import gaps_of
from lineage_flows.ui.escape import code, prose, table
from lineage_flows.ui.mermaid import flowchart
from lineage_flows.ui.summary import (
    Given,
    capture_errors,
    code_text,
    given_out,
    metrics,
    replay_sentence,
    run_sentence,
    touched,
    touched_by,
)
from lineage_flows.ui.text import count, dataset_name, listing, number, short, short_type, size_text, value_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lineage_flows.records import ReplayOutcome, RunRecord

__all__ = ["render_run"]

_MOST_ROWS = 100
_OPEN_ROWS = 12
"""A table with more rows than this is folded away behind its title."""
_QUIET_STEPS = 40
"""In a run of more steps than this, results that are mere values are not listed."""
_SHOWN_ERRORS = 10
_VERDICT_MARKS = {
    "identical": "✓\u00a0identical",
    "equivalent": "≈\u00a0equivalent",
    "different": "✗\u00a0different",
    "not compared": "?\u00a0not\u00a0compared",
    "restored": "↺\u00a0restored",
    "missing": "−\u00a0missing",
    "added": "+\u00a0added",
}
"""How a verdict reads in a table, for a step as for a whole run; the space is one that does not break."""


def render_run(record: RunRecord, *, command: str) -> str:
    """The page of a run, as markdown with a mermaid picture; no text in it can break out of its place.

    Args:
        record: the run, at its end.
        command: what a reader types to execute the run again.
    """
    particulars = [
        _picture(record),
        _metrics(record),
        _inputs(record),
        _outputs(record),
        _facts(record),
        _capture_errors(record),
        _gaps(record),
        _command(command),
    ]
    outcome = record.flow.replay.outcome if record.flow.replay else None
    if outcome is not None:
        parts = [_title(record), _verdicts(outcome), _folded("The replay's own lineage", particulars)]
    else:
        parts = [_title(record), *particulars]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(record: RunRecord) -> str:
    flow = record.flow
    outcome = flow.replay.outcome if flow.replay else None
    # Of a replay the verdict is what a reader came for: "Completed" over a different result would mislead.
    status = f"Replay {outcome.verdict}" if outcome is not None else flow.state or "Unfinished"
    title = f"## {prose(status)} · {prose(flow.flow_name)} / {prose(flow.run_name)}"
    sentences = [prose(sentence, 400) for sentence in (replay_sentence(record), run_sentence(record)) if sentence]
    if flow.error is not None:
        sentences.insert(0, f"**{prose(short_type(flow.error.type))}**: {prose(flow.error.message, 300)}")
    return "\n\n".join([title, *sentences])


def _verdicts(outcome: ReplayOutcome) -> str:
    rows: list[tuple[str, ...]] = [
        (
            f"{prose(step.task)}{f' #{step.index}' if step.index > 0 else ''}",
            _VERDICT_MARKS[step.verdict],
            prose(listing(list(step.causes))) if step.causes else "",
            prose("; ".join(step.details), 120),
        )
        for step in outcome.steps
    ]
    # What differs is what a reader came for: it may not be among the rows that are cut off.
    if len(rows) > _MOST_ROWS:
        same = [step.verdict in ("identical", "restored") for step in outcome.steps]
        order = sorted(range(len(rows)), key=same.__getitem__)
        kept = sorted(order[:_MOST_ROWS])
        rows = [rows[position] for position in kept] + [_more(len(rows) - _MOST_ROWS, "step", 4)]
    rows.append(("**result of the flow**", _VERDICT_MARKS[outcome.result], "", ""))
    notes = "\n".join(f"- {prose(note, 300)}" for note in outcome.notes[:_SHOWN_ERRORS])
    header = ("step", "verdict", "because\u00a0of", "what")
    return "### Verdict\n\n" + table(header, rows) + (f"\n\n{notes}" if notes else "")


def _picture(record: RunRecord) -> str:
    return f"```mermaid\n{flowchart(record)}\n```" if record.steps or record.flow.datasets else ""


def _metrics(record: RunRecord) -> str:
    rows = [(prose(name), code(number(amount)), prose(step)) for step, name, amount in metrics(record)]
    return _section("Metrics", ("metric", "value:", "step"), rows, "metric")


def _inputs(record: RunRecord) -> str:
    rows = [
        (prose(taken.name), code(value_text(taken.value)), "flow parameter", _fingerprint(taken.value.fingerprint))
        for taken in record.flow.parameters
    ]
    rows += _files(record, "read")
    return _section("Inputs", ("input", "what", "read by", "fingerprint"), rows, "input")


def _outputs(record: RunRecord) -> str:
    rows = [
        (
            _giver(given),
            code(value_text(given.value)),
            _fingerprint(given.value.fingerprint),
        )
        for given in given_out(record)
        if given.step is None or given.value.kind != "Value" or len(record.steps) <= _QUIET_STEPS
    ]
    rows += [(by, f"{name}, {size}", fingerprint) for name, size, by, fingerprint in _files(record, "write")]
    return _section("Outputs", ("made by", "what", "fingerprint"), rows, "output")


def _giver(given: Given) -> str:
    if given.step is None:
        return "result of the flow"
    return prose(given.by) + (f" #{given.step.index}" if given.step.index > 0 else "")


def _files(record: RunRecord, direction: str) -> list[tuple[str, str, str, str]]:
    names = touched_by(record)
    return [
        (
            prose(dataset_name(file)),
            size_text(file.size) if file.size is not None else "file",
            prose(listing(names[file.uri, file.fingerprint, file.direction], limit=3)),
            _fingerprint(file.fingerprint),
        )
        for file in touched(record)
        if file.direction == direction
    ]


def _facts(record: RunRecord) -> str:
    flow = record.flow
    environment = f"Python {flow.environment.python} on {flow.environment.platform}" if flow.environment else ""
    said = [f"Code: {prose(code_text(flow), 160)}."]
    said += [f"Environment: {prose(environment, 120)}."] if environment else []
    return " ".join(said)


def _capture_errors(record: RunRecord) -> str:
    errors = capture_errors(record)
    if not errors:
        return ""
    lines = [f"- {prose(where)}: {prose(text, 300)}" for where, text in errors[:_SHOWN_ERRORS]]
    if len(errors) > _SHOWN_ERRORS:
        lines.append(f"- and {len(errors) - _SHOWN_ERRORS} more")
    return f"### ⚠ {count(len(errors), 'capture error')}: this lineage is not whole\n\n" + "\n".join(lines)


def _gaps(record: RunRecord) -> str:
    found = [(item.name, gap) for item in gaps_of(record) for gap in item.gaps]
    if not found:
        return ""
    where = list(dict.fromkeys(prose(name) for name, _ in found))
    # Many runs have the same small gaps each day: one line says that there are some, the command says which.
    command = code(f"lineage-flows show {record.flow.run_id} --gaps", 100)
    return f"{count(len(found), 'gap')} in the lineage, of {listing(where, limit=3)}. See them with {command}."


def _command(command: str) -> str:
    return f"Execute this run again and compare every step: {code(command, 400)}"


def _section(title: str, header: Sequence[str], rows: Sequence[tuple[str, ...]], noun: str) -> str:
    if not rows:
        return ""
    shown = list(rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        shown.append(_more(len(rows) - _MOST_ROWS, noun, len(header)))
    if len(rows) > _OPEN_ROWS:
        return _folded(f"{title} ({len(rows)})", [table(header, shown)])
    return f"### {title}\n\n" + table(header, shown)


def _more(amount: int, noun: str, width: int) -> tuple[str, ...]:
    return (f"… {count(amount, 'more ' + noun)}", *[""] * (width - 1))


def _folded(title: str, parts: list[str]) -> str:
    body = "\n\n".join(part for part in parts if part)
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def _fingerprint(fingerprint: str | None) -> str:
    return code(short(fingerprint)) if fingerprint else "-"
