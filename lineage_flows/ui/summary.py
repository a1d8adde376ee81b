"""One sentence that says what a run was, and the lists of what it took in and gave out.

Knows the records; must not know markdown or terminals.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineage_flows.ui.text import clip, count, duration, duration_text, listing, plain, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lineage_flows.records import ArtifactKind, DatasetRef, FlowRecord, RunRecord, StepRecord, ValueRef

__all__ = ["Given", "capture_errors", "given_out", "metrics", "replay_sentence", "run_sentence", "touched"]

_NOUNS: dict[ArtifactKind, tuple[str, str]] = {
    "Model": ("model", "models"),
    "Metrics": ("set of metrics", "sets of metrics"),
    "TimeSeries": ("time series", "time series"),
    "Figure": ("figure", "figures"),
    "DataSet": ("data set", "data sets"),
}


@dataclass(frozen=True, slots=True)
class Given:
    """A value that a step (or, without a step, the flow) gave out."""

    by: str
    value: ValueRef
    step: StepRecord | None = None


def run_sentence(record: RunRecord) -> str:
    """What happened, in one sentence: steps, what was read and given out, how long it took."""
    steps = count(len(record.steps), "step")
    if record.subflows:
        steps += f" in {count(len(record.subflows) + 1, 'flow')}"
    seconds = duration_text(duration(record.flow.started, record.flow.ended))
    said = [f"{steps} in {seconds}" if seconds != "-" else steps]
    files = touched(record)
    read = sum(file.direction == "read" for file in files)
    written = len(files) - read
    said += [f"read {count(read, 'file')}"] if read else []
    said += [f"wrote {count(written, 'file')}"] if written else []
    values = [given.value for given in given_out(record) if given.step is not None]
    # A value that a step only passed on counts once.
    kinds = Counter(kind for kind, _ in {(value.kind, value.fingerprint or id(value)) for value in values})
    made = [count(kinds[kind], *nouns) for kind, nouns in _NOUNS.items() if kinds[kind]]
    said += [f"gave out {listing(made)}"] if made else []
    restored = sum(step.restored for step in record.steps)
    said += [f"{count(restored, 'step')} restored, not run"] if restored else []
    return "; ".join(said) + "."


def replay_sentence(record: RunRecord) -> str:
    """What a replay found, in one sentence; empty for a run that is no replay."""
    info = record.flow.replay
    if info is None:
        return ""
    if info.outcome is None:
        return f"Replay of {plain(info.replay_of)}: not compared."
    outcome = info.outcome
    same = sum(step.verdict in ("identical", "restored") for step in outcome.steps)
    close = sum(step.verdict == "equivalent" for step in outcome.steps)
    said = f"{outcome.verdict.capitalize()}: {same} of {count(len(outcome.steps), 'step')} identical"
    said += f", {close} equal within tolerance" if close else ""
    if outcome.first_divergence is not None and outcome.first_divergence < len(outcome.steps):
        first = outcome.steps[outcome.first_divergence]
        causes = listing(list(first.causes)) if first.causes else ""
        said += f"; first different: {clip(first.task, 40)}" + (f" (by {causes})" if causes else "")
    return f"{said}. Replay of {plain(info.replay_of)}."


def touched(record: RunRecord) -> list[DatasetRef]:
    """Every version of a file once for each direction, in the order of the run; what flows touched comes first."""
    versions: dict[tuple[str, str | None, str], DatasetRef] = {}
    for holder in _holders(record):
        for file in holder.datasets:
            versions.setdefault((file.uri, file.fingerprint, file.direction), file)
    return list(versions.values())


def touched_by(record: RunRecord) -> dict[tuple[str, str | None, str], list[str]]:
    """The names of the steps (or flows) that touched each version of a file, by URI, fingerprint and direction."""
    names: dict[tuple[str, str | None, str], dict[str, None]] = {}
    for holder in _holders(record):
        name = getattr(holder, "task_name", None) or holder.flow_name
        for file in holder.datasets:
            names.setdefault((file.uri, file.fingerprint, file.direction), {}).setdefault(name)
    return {version: list(by) for version, by in names.items()}


def given_out(record: RunRecord) -> list[Given]:
    """What steps gave out, in order, and last the flow's own result; nothing for None."""
    outputs = [Given(step.task_name, step.output, step) for step in record.steps if step.output is not None]
    if record.flow.result is not None:
        outputs.append(Given(record.flow.flow_name, record.flow.result))
    return [given for given in outputs if given.value.type not in ("NoneType", "builtins.NoneType")]


def metrics(record: RunRecord) -> list[tuple[str, str, float]]:
    """Every number among the run's metrics: step (with its index when the task ran more than once), name, number.

    Metrics that a step only passed on, unchanged, are those of the step that made them.
    """
    repeated = Counter((step.flow_name, step.task_name) for step in record.steps)
    found, seen = [], set()
    for given in given_out(record):
        step, preview, fingerprint = given.step, given.value.preview, given.value.fingerprint
        if step is None or given.value.kind != "Metrics" or not isinstance(preview, dict) or fingerprint in seen:
            continue
        seen |= {fingerprint} if fingerprint else set()
        name = f"{given.by} #{step.index}" if repeated[step.flow_name, step.task_name] > 1 else given.by
        found += [
            (name, key, amount)
            for key, amount in preview.items()
            if isinstance(amount, int | float) and not isinstance(amount, bool)
        ]
    return found


def capture_errors(record: RunRecord) -> list[tuple[str, str]]:
    """Where capture failed and with what message, flows before steps."""
    found = [(flow.flow_name, text) for flow in (record.flow, *record.subflows) for text in flow.capture_errors]
    return found + [(step.task_name, text) for step in record.steps for text in step.capture_errors]


def code_text(flow: FlowRecord) -> str:
    """The code in one phrase: ``9f2c1ab on main, with changes that were not committed``."""
    tree = flow.code
    if tree is None:
        return "not recorded"
    where = f"commit {short(tree.commit, 10)}" if tree.commit else f"tree {short(tree.digest, 10)}"
    where += f" on {clip(tree.branch, 40)}" if tree.branch else ""
    if tree.dirty:
        where += ", with changes that were not committed"
    if tree.blob is None:
        where += "; not kept" + (f": {clip(tree.note, 80)}" if tree.note else "")
    return where


def _holders(record: RunRecord) -> Iterator[FlowRecord | StepRecord]:
    yield record.flow
    yield from record.subflows
    yield from record.steps
