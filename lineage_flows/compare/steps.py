"""Pairs the steps of two runs: which step of the one is the same step of the other.

Knows records only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lineage_flows.records import FlowRecord, InputRef, RunRecord, StepRecord

__all__ = ["FlowPair", "Pair", "align", "align_flows", "input_key"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pair:
    """A step of the original and the same step of the other run; one side is None when there is none.

    ``flow`` is the path of flow names from the root flow to the step's own, joined by ``/``.
    """

    original: StepRecord | None
    other: StepRecord | None
    flow: str

    @property
    def task(self) -> str:
        """The task's name."""
        return self._step.task_name

    @property
    def index(self) -> int:
        """Rank among the steps of the same flow run and task name, the original's where there is one."""
        return self._step.index

    @property
    def _step(self) -> StepRecord:
        step = self.original or self.other
        assert step is not None
        return step


@dataclass(frozen=True, slots=True)
class FlowPair:
    """A flow run of the original and the same flow run of the other; one side is None when there is none."""

    original: FlowRecord | None
    other: FlowRecord | None
    flow: str


def align(original: RunRecord, other: RunRecord) -> list[Pair]:
    """Pair all steps of two runs.

    Flow runs are paired first, from the root down; then, inside a pair of flow runs, the steps of one task name:
    those with equal inputs in order of submission, what is left by order of submission alone.

    Returns:
        Pairs in the original's order of submission; a step that only the other run has stands after the one it followed.
    """
    ours, theirs = _by_flow(original), _by_flow(other)
    pairs: list[Pair] = []
    for flow in align_flows(original, other):
        left = ours.get(flow.original.run_id, []) if flow.original else []
        right = theirs.get(flow.other.run_id, []) if flow.other else []
        matched = _match(left, right, name=lambda step: step.task_name, key=lambda step: input_key(step.inputs))
        pairs.extend(Pair(a, b, flow.flow) for a, b in matched)
    return _in_order(pairs, original.steps, other.steps)


def align_flows(original: RunRecord, other: RunRecord) -> list[FlowPair]:
    """Pair the flow runs of two runs, roots first; subflows of a pair by flow name, then parameters, then order."""
    ours, theirs = _children(original), _children(other)
    found: list[FlowPair] = []
    waiting = deque([FlowPair(original.flow, other.flow, original.flow.flow_name)])
    while waiting:
        pair = waiting.popleft()
        found.append(pair)
        left = ours.pop(pair.original.run_id, []) if pair.original else []
        right = theirs.pop(pair.other.run_id, []) if pair.other else []
        matched = _match(left, right, name=lambda flow: flow.flow_name, key=lambda flow: input_key(flow.parameters))
        waiting.extend(FlowPair(a, b, f"{pair.flow}/{(a or b).flow_name}") for a, b in matched)  # type: ignore[union-attr]
    return found


def input_key(inputs: Iterable[InputRef]) -> tuple[tuple[str, str | None], ...]:
    """What makes two calls the same call: parameter names and the fingerprints of their values."""
    return tuple((item.name, item.value.fingerprint) for item in inputs)


def _by_flow(record: RunRecord) -> dict[str, list[StepRecord]]:
    """Steps by flow run; those of a flow run that left no record (its process was killed) count as the root's."""
    known = {record.flow.run_id, *(flow.run_id for flow in record.subflows)}
    found: dict[str, list[StepRecord]] = {}
    for step in record.steps:
        found.setdefault(step.flow_run_id if step.flow_run_id in known else record.flow.run_id, []).append(step)
    return found


def _children(record: RunRecord) -> dict[str, list[FlowRecord]]:
    """Subflows by parent; one that the root cannot be reached from counts as the root's child."""
    parents = {flow.run_id: flow.parent_run_id for flow in record.subflows}
    root = record.flow.run_id
    found: dict[str, list[FlowRecord]] = {}
    for flow in record.subflows:
        at: str | None = flow.run_id
        seen: set[str] = set()
        while at is not None and at != root and at not in seen:
            seen.add(at)
            at = parents.get(at)
        found.setdefault((flow.parent_run_id if at == root else None) or root, []).append(flow)
    return found


def _match(
    left: Sequence[T], right: Sequence[T], *, name: Callable[[T], str], key: Callable[[T], Hashable]
) -> list[tuple[T | None, T | None]]:
    """Pair by name; inside a name by equal key in order, then the rest by order."""
    equal: dict[tuple[str, Hashable], deque[int]] = {}
    for j, item in enumerate(right):
        equal.setdefault((name(item), key(item)), deque()).append(j)
    matched: dict[int, int] = {}
    for i, item in enumerate(left):
        if candidates := equal.get((name(item), key(item))):
            matched[i] = candidates.popleft()
    taken = set(matched.values())
    rest: dict[str, deque[int]] = {}
    for j, item in enumerate(right):
        if j not in taken:
            rest.setdefault(name(item), deque()).append(j)
    for i, item in enumerate(left):
        if i not in matched and (candidates := rest.get(name(item))):
            matched[i] = candidates.popleft()
    alone = sorted(j for candidates in rest.values() for j in candidates)
    return [(item, right[matched[i]] if i in matched else None) for i, item in enumerate(left)] + [
        (None, right[j]) for j in alone
    ]


def _in_order(pairs: list[Pair], ours: Sequence[StepRecord], theirs: Sequence[StepRecord]) -> list[Pair]:
    by_original = {pair.original.run_id: pair for pair in pairs if pair.original}
    by_other = {pair.other.run_id: pair for pair in pairs if pair.other}
    first: list[Pair] = []
    following: dict[str, list[Pair]] = {}
    last: str | None = None
    for step in theirs:
        pair = by_other[step.run_id]
        if pair.original is not None:
            last = pair.original.run_id
        elif last is None:
            first.append(pair)
        else:
            following.setdefault(last, []).append(pair)
    ordered = first
    for step in ours:
        ordered.append(by_original[step.run_id])
        ordered.extend(following.get(step.run_id, ()))
    return ordered
