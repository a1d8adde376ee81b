"""Two runs side by side: what went in, what code and environment made of it, what came out, and where they part first.

Knows records and the parts of a comparison; must not know where records come from.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from lineage_flows.compare.causes import Causes, Explained
from lineage_flows.compare.changes import Change, CodeDifference, FunctionChange, MetricChange, RunDifference
from lineage_flows.compare.code import ComparedCode
from lineage_flows.compare.environment import environment_changes
from lineage_flows.compare.judge import Judge, Judged
from lineage_flows.compare.names import Folders
from lineage_flows.compare.sources import file_changes, read_tree, unified
from lineage_flows.compare.steps import FlowPair, Pair, align, align_flows
from lineage_flows.errors import ContentError
from lineage_flows.records import (
    DatasetRef,
    Environment,
    EnvironmentRef,
    FlowRecord,
    FunctionRef,
    RunRecord,
    StepComparison,
    StepVerdict,
    ValueDifference,
    ValueRef,
    Verdict,
)
from lineage_flows.tolerances import ToleranceRule

__all__ = ["Comparison", "compare_runs", "compare_steps", "environment_difference", "overall"]

Read = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing every step and the result of two runs."""

    verdict: Verdict
    steps: tuple[StepComparison, ...]
    result: StepVerdict
    first_divergence: int | None
    notes: tuple[str, ...]
    first_inexact: int | None = None
    values: tuple[ValueDifference, ...] = ()


def compare_runs(
    a: RunRecord, b: RunRecord, *, read: Read | None = None, tolerances: Iterable[ToleranceRule] = ()
) -> RunDifference:
    """All that differs between two runs of a flow.

    Args:
        a: the one run.
        b: the other run.
        read: reads a blob by its digest; with None, contents (source files, kept values) are not compared.
        tolerances: how far numbers may lie apart, where it is not as far as by default.
    """
    trees = (_tree(a, read), _tree(b, read))
    compared = ComparedCode.of(*trees, script=Folders.of(b).name(b.flow.entry.path or ""))
    environment = environment_difference(a, b, read)
    judge = Judge(Folders.of(a), Folders.of(b), read=read, tolerances=tuple(tolerances))
    found = compare_steps(a, b, judge, code=compared, environment=environment)
    pairs, flows = align(a, b), align_flows(a, b)
    code = _code(a, b, trees, [*_functions(flows), *_functions(pairs)], read)
    notes = list(found.notes)
    if a.flow.flow_name != b.flow.flow_name:
        notes.append(f"these are runs of different flows: {a.flow.flow_name} and {b.flow.flow_name}")
    return RunDifference(
        a=a.flow.run_id,
        b=b.flow.run_id,
        verdict=found.verdict,
        parameters=_parameters(a.flow, b.flow),
        inputs=_inputs(a, b, judge),
        code=code,
        environment=environment,
        metrics=tuple(_metrics(pairs, a.flow, b.flow)),
        steps=found.steps,
        result=found.result,
        first_divergence=found.first_divergence,
        notes=tuple(notes),
        first_inexact=found.first_inexact,
        values=found.values,
        tolerances=tuple(map(str, judge.tolerances)),
    )


def compare_steps(
    original: RunRecord,
    other: RunRecord,
    judge: Judge,
    *,
    code: ComparedCode | None = None,
    environment: tuple[Change, ...] = (),
) -> Comparison:
    """Every step of a run beside the same step of another, the flow's result, and the verdict over all.

    Args:
        original: the run that is the measure.
        other: the run that is held against it.
        judge: how values and files are compared.
        code: the project's files of the two runs, for telling which code differs; None when nothing is known of them.
        environment: what differs between their environments.
    """
    flows, folders = align_flows(original, other), (judge.original, judge.other)
    causes = Causes(original, other, flows, folders, code or ComparedCode(), environment)
    steps: list[StepComparison] = []
    notes: list[str] = []
    for pair in align(original, other):
        judged = judge.step(pair)
        explained = causes.step(pair, judged)
        steps.append(
            StepComparison(
                task=pair.task,
                index=pair.index,
                verdict=judged.verdict,
                flow=pair.flow,
                causes=explained.ordered,
                details=_in_order(explained, judged),
                original_run_id=pair.original.run_id if pair.original else None,
                replay_run_id=pair.other.run_id if pair.other else None,
                values=judged.values,
            )
        )
        if judged.verdict == "not compared":
            notes.append(f"step {pair.task}#{pair.index}: {'; '.join(judged.details)}")
    result = judge.result(original.flow, other.flow)
    explained = causes.result(result)
    if result.verdict != "identical":
        notes.extend(f"flow result: {detail}" for detail in (*result.details, *explained.details))
    # A flow that gives out nothing gives out nothing each time: that is no comparison where there are steps.
    empty = original.flow.result is None or original.flow.result.type == "NoneType"
    results = [result.verdict] if not (steps and empty and result.verdict == "identical") else []
    verdict = overall([*(step.verdict for step in steps), *results])
    return Comparison(
        verdict,
        tuple(steps),
        result.verdict,
        _first(steps, "different", "missing", "added"),
        tuple(notes),
        _first(steps, "equivalent"),
        result.values,
    )


def environment_difference(original: RunRecord, other: RunRecord, read: Read | None) -> tuple[Change, ...]:
    """What differs between the environments of two runs; without their blobs, as far as the records themselves say."""
    a, b = original.flow.environment, other.flow.environment
    if a is None or b is None or a.digest == b.digest:
        return ()
    old, new = _load_environment(a, read), _load_environment(b, read)
    if old is not None and new is not None:
        return environment_changes(old, new)
    known = (("Python", a.python, b.python), ("platform", a.platform, b.platform))
    changes = [Change(what="environment", name=name, old=x, new=y) for name, x, y in known if x != y]
    return tuple(changes) or (Change(what="environment", name="digest", old=a.digest, new=b.digest),)


def overall(verdicts: Iterable[StepVerdict]) -> Verdict:
    """The verdict over many: different when one is (or a step is missing or added), else equivalent when one is, else identical.

    What was not compared changes nothing, unless nothing was.
    """
    found = set(verdicts)
    if found & {"different", "missing", "added"}:
        return "different"
    if "equivalent" in found:
        return "equivalent"
    return "not compared" if found == {"not compared"} else "identical"


def _in_order(explained: Explained, judged: Judged) -> tuple[str, ...]:
    """The cause, how far values lie apart, then the rest: what a reader has not the room for is at the end."""
    causes = [] if "unexplained" in explained.causes else explained.details[:1]
    return (*causes, *judged.details, *explained.details[len(causes) :])


def _first(steps: list[StepComparison], *verdicts: StepVerdict) -> int | None:
    """The position of the first step with one of these verdicts."""
    return next((i for i, step in enumerate(steps) if step.verdict in verdicts), None)


def _load_environment(ref: EnvironmentRef | None, read: Read | None) -> Environment | None:
    """The environment that a run record names; None when it was not kept or is gone."""
    if ref is None or ref.blob is None or read is None:
        return None
    try:
        return Environment.model_validate_json(read(ref.blob.digest))
    except (ContentError, ValueError):
        return None


def _parameters(a: FlowRecord, b: FlowRecord) -> tuple[Change, ...]:
    old = {item.name: item.value for item in a.parameters}
    new = {item.name: item.value for item in b.parameters}
    return tuple(
        Change(what="parameter", name=name, old=_shown(old.get(name)), new=_shown(new.get(name)))
        for name in dict.fromkeys([*old, *new])
        if _fingerprint(old.get(name)) != _fingerprint(new.get(name))
    )


def _inputs(a: RunRecord, b: RunRecord, judge: Judge) -> tuple[Change, ...]:
    """Files that were read before the run had written them."""
    old, new = _external(a, judge.original), _external(b, judge.other)
    return tuple(
        Change(what="dataset", name=name, old=old.get(name), new=new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def _external(record: RunRecord, folders: Folders) -> dict[str, str | None]:
    flows = [item for flow in (record.flow, *record.subflows) for item in flow.datasets]
    touched: list[DatasetRef] = [*flows, *(item for step in record.steps for item in step.datasets)]
    first: dict[str, DatasetRef] = {}
    for item in sorted(touched, key=lambda dataset: dataset.order):
        first.setdefault(folders.name(item.path), item)
    return {name: item.content_id for name, item in first.items() if item.direction == "read"}


def _code(
    a: RunRecord,
    b: RunRecord,
    trees: tuple[Mapping[str, bytes] | None, Mapping[str, bytes] | None],
    functions: list[tuple[str, FunctionRef, FunctionRef]],
    read: Read | None,
) -> CodeDifference:
    old, new = a.flow.code, b.flow.code
    changed: dict[str, FunctionChange] = {}
    for name, mine, theirs in functions:
        if (
            mine.digest is not None
            and theirs.digest is not None
            and mine.digest != theirs.digest
            and name not in changed
        ):
            before, after = _source(mine, read), _source(theirs, read)
            diff = unified(before, after, mine.name) if before is not None and after is not None else ""
            changed[name] = FunctionChange(name=name, path=theirs.path, line=theirs.line, diff=diff)
    files = file_changes(trees[0], trees[1]) if trees[0] is not None and trees[1] is not None else ()
    # Two forms of one tree (a bundle, plain files) have different digests: where both can be read, their files decide.
    differs = bool(files) if None not in trees else _digest(a) != _digest(b)
    return CodeDifference(
        tree=differs,
        commit_a=old.commit if old else None,
        commit_b=new.commit if new else None,
        files=files,
        functions=tuple(changed.values()),
    )


def _functions(pairs: Iterable[Pair | FlowPair]) -> list[tuple[str, FunctionRef, FunctionRef]]:
    return [
        (pair.task if isinstance(pair, Pair) else pair.flow, pair.original.function, pair.other.function)
        for pair in pairs
        if pair.original is not None and pair.other is not None
    ]


def _source(function: FunctionRef, read: Read | None) -> str | None:
    if function.blob is None or read is None:
        return None
    try:
        return read(function.blob.digest).decode("utf-8", "replace")
    except ContentError:
        return None


def _tree(record: RunRecord, read: Read | None) -> dict[str, bytes] | None:
    return read_tree(record.flow.code, read) if record.flow.code is not None and read is not None else None


def _digest(record: RunRecord) -> str | None:
    return record.flow.code.digest if record.flow.code else None


def _metrics(pairs: Iterable[Pair], a: FlowRecord, b: FlowRecord) -> Iterator[MetricChange]:
    """Numbers among the outputs, that differ or that only one run has, by step and name."""
    outputs = [(f"{pair.task}#{pair.index}", _output(pair.original), _output(pair.other)) for pair in pairs]
    for step, old, new in [*outputs, ("result", a.result, b.result)]:
        mine, theirs = dict(_numbers(old)), dict(_numbers(new))
        for name in dict.fromkeys([*mine, *theirs]):
            x, y = mine.get(name), theirs.get(name)
            if x != y and not (x is not None and y is not None and math.isnan(x) and math.isnan(y)):
                delta = y - x if x is not None and y is not None else None
                yield MetricChange(step=step, name=name, a=x, b=y, delta=delta)


def _output(step: object) -> ValueRef | None:
    return getattr(step, "output", None)


def _numbers(value: ValueRef | None) -> Iterator[tuple[str, float]]:
    preview = value.preview if value is not None else None
    if isinstance(preview, dict):
        for name, item in preview.items():
            if _is_number(item):
                yield name, float(item)  # type: ignore[arg-type]
    elif _is_number(preview):
        yield "value", float(preview)  # type: ignore[arg-type]


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _fingerprint(value: ValueRef | None) -> str | None:
    return None if value is None else value.fingerprint or f"none:{value.type}"


def _shown(value: ValueRef | None) -> JsonValue:
    if value is None:
        return None
    return value.preview if value.preview is not None else value.fingerprint
