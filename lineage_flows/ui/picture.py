"""What a picture of a run shows: its nodes and arrows, folded until they can be taken in at a glance.

Knows the records; must not know how a picture is written down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from lineage_flows.ui.text import (
    clip,
    count,
    dataset_name,
    duration,
    duration_text,
    number,
    short,
    short_type,
    size_text,
    total,
)

if TYPE_CHECKING:
    from lineage_flows.records import DatasetRef, FlowRecord, RunRecord, Source, StepRecord, ValueRef

__all__ = ["Detail", "Node", "NodeKind", "Picture", "draw", "producers"]

Detail = Literal["steps", "tasks", "kinds"]
NodeKind = Literal["step", "flow", "file", "Model", "Metrics", "TimeSeries", "Figure", "DataSet"]

MOST_STEPS = 12
"""More nodes than this, and runs of one task become one node."""
MOST_TASKS = 30
"""More nodes than this even then, and only the kinds of steps are left."""

_ALWAYS_SHOWN = frozenset({"Model", "Metrics"})
_SHOWN_WHEN_FINAL = frozenset({"TimeSeries", "Figure", "DataSet"})
_LABEL = 26
_METRICS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Node:
    """A box of the picture: its first line is what it is called, the others say more about it.

    ``trouble`` marks a step that did not complete, or that a replay found different.
    """

    kind: NodeKind
    lines: tuple[str, ...]
    trouble: bool = False


@dataclass(slots=True)
class Picture:
    """Nodes by key and arrows between them, in the order they were met; an arrow is False when no data flows."""

    detail: Detail
    nodes: dict[Hashable, Node] = field(default_factory=dict)
    arrows: dict[tuple[Hashable, Hashable], bool] = field(default_factory=dict)

    def connect(self, start: Hashable, end: Hashable, *, data: bool = True) -> None:
        """Draw an arrow, unless it would lead from a node to itself; data outweighs mere order."""
        if start != end:
            self.arrows[start, end] = self.arrows.get((start, end), False) or data


def draw(record: RunRecord) -> Picture:
    """The picture of a run, in the greatest detail that stays readable."""
    picture = _Painter(record, "steps").paint()
    if len(picture.nodes) > MOST_STEPS:
        picture = _Painter(record, "tasks").paint()
    if len(picture.nodes) > MOST_TASKS:
        picture = _Painter(record, "kinds").paint()
    return picture


def producers(record: RunRecord) -> Callable[[Iterable[Source]], tuple[str, ...]]:
    """A function that names the steps (run ids, sorted by first mention) that made what some sources stand for.

    Results and parameters of subflows are followed to the steps behind them; a parameter of the root flow has none.
    """
    steps = {step.run_id for step in record.steps}
    flows = {flow.run_id: flow for flow in (record.flow, *record.subflows)}

    def follow(sources: Iterable[Source], seen: frozenset[str]) -> Iterator[str]:
        for source in sources:
            if source.run_id in steps:
                yield source.run_id
            elif source.run_id in flows and source.uri not in seen:
                yield from follow(_behind(flows[source.run_id], source), seen | {source.uri})

    return lambda sources: tuple(dict.fromkeys(follow(sources, frozenset())))


def _behind(flow: FlowRecord, source: Source) -> tuple[Source, ...]:
    part = source.uri.partition(f"/{flow.run_id}/")[2]
    name = part.removeprefix("parameter/")
    if name == part:
        return flow.result_sources
    return tuple(behind for parameter in flow.parameters if parameter.name == name for behind in parameter.sources)


class _Painter:
    """Paints one record in one detail."""

    def __init__(self, record: RunRecord, detail: Detail) -> None:
        self.record = record
        self.detail: Detail = detail
        self.picture = Picture(detail)
        self.behind = producers(record)
        self.keys = {step.run_id: self.step_key(step) for step in record.steps}
        self.differing = _differing(record)
        self.consumed: dict[str, list[Hashable]] = {}

    def paint(self) -> Picture:
        """Steps first, then what they took from outside and gave out, then the arrows among them."""
        self.paint_steps()
        self.find_consumers()
        self.paint_files()
        self.paint_outputs()
        self.paint_order()
        return self.picture

    def step_key(self, step: StepRecord) -> Hashable:
        if self.detail == "steps":
            return ("step", step.run_id)
        return ("task", step.flow_name, step.task_name) if self.detail == "tasks" else ("kind", step.kind)

    def paint_steps(self) -> None:
        groups: dict[Hashable, list[StepRecord]] = {}
        for step in self.record.steps:
            groups.setdefault(self.keys[step.run_id], []).append(step)
        names = Counter((step.flow_name, step.task_name) for step in self.record.steps)
        for key, steps in groups.items():
            self.picture.nodes[key] = self.step_node(steps, repeated=names[steps[0].flow_name, steps[0].task_name] > 1)

    def step_node(self, steps: list[StepRecord], *, repeated: bool) -> Node:
        first = steps[0]
        name: str = first.kind if self.detail == "kinds" else first.task_name
        lines: tuple[str, ...]
        if len(steps) == 1 and self.detail != "kinds":
            name, rank = clip(name, _LABEL), f" #{first.index}" if repeated and first.index >= 0 else ""
            fingerprint = [short(first.output.fingerprint)] if first.output and first.output.fingerprint else []
            facts = [duration_text(duration(first.started, first.ended)), *fingerprint]
            lines = (name + rank, " · ".join(facts))
        else:
            lines = (clip(name, _LABEL), f"× {len(steps)}" if self.detail == "tasks" else count(len(steps), "step"))
        failed = [step.state for step in steps if step.state_type not in ("COMPLETED", "")]
        differing = sum(step.run_id in self.differing for step in steps)
        if failed:
            lines += (clip(failed[0], _LABEL) if len(steps) == 1 else f"{len(failed)} not completed",)
        if differing:
            lines += ("different" if len(steps) == 1 else f"{differing} different",)
        return Node("step", lines, trouble=bool(failed or differing))

    def find_consumers(self) -> None:
        for step in self.record.steps:
            for producer in self.behind(source for taken in step.inputs for source in taken.sources):
                self.consumed.setdefault(producer, []).append(self.keys[step.run_id])

    def paint_files(self) -> None:
        touched = [(self.keys[step.run_id], touch) for step in self.record.steps for touch in step.datasets]
        for flow in (self.record.flow, *self.record.subflows):
            if flow.datasets:
                key = ("flow", {"steps": flow.run_id, "tasks": flow.flow_name, "kinds": ""}[self.detail])
                label = flow.flow_name if self.detail != "kinds" else "flows"
                self.picture.nodes[key] = Node("flow", (clip(label, _LABEL), "outside its steps"))
                touched += [(key, touch) for touch in flow.datasets]
        for files, readers, writers in self.folded(_by_version(touched)):
            node: Hashable = ("file", files[0].uri, files[0].fingerprint, readers, writers)
            self.picture.nodes[node] = _file_node(files)
            for reader in readers:
                self.picture.connect(node, reader)
            for writer in writers:
                self.picture.connect(writer, node)

    def folded(
        self, versions: Iterable[tuple[DatasetRef, tuple[Hashable, ...], tuple[Hashable, ...]]]
    ) -> Iterator[tuple[list[DatasetRef], tuple[Hashable, ...], tuple[Hashable, ...]]]:
        """Files that the same nodes read and wrote are one node, except in full detail."""
        groups: dict[Hashable, list[DatasetRef]] = {}
        sides: dict[Hashable, tuple[tuple[Hashable, ...], tuple[Hashable, ...]]] = {}
        for position, (file, readers, writers) in enumerate(versions):
            by_direction = (bool(readers), bool(writers))
            key: Hashable = {"steps": position, "tasks": (readers, writers), "kinds": by_direction}[self.detail]
            groups.setdefault(key, []).append(file)
            before = sides.get(key, ((), ()))
            sides[key] = (_union(before[0], readers), _union(before[1], writers))
        for key, files in groups.items():
            yield files, *sides[key]

    def paint_outputs(self) -> None:
        groups: dict[Hashable, list[tuple[StepRecord, ValueRef]]] = {}
        made: set[str] = set()
        for step in self.record.steps:
            if step.output is None:
                continue
            # What a step only passes on is drawn where it was made.
            passed_on = step.output.fingerprint in made
            made |= {step.output.fingerprint} if step.output.fingerprint else set()
            consumers = self.consumed.get(step.run_id, [])
            kind = step.output.kind
            if not passed_on and (kind in _ALWAYS_SHOWN or (kind in _SHOWN_WHEN_FINAL and not consumers)):
                key: Hashable = ("output", self.keys[step.run_id], kind)
                groups.setdefault(key, []).append((step, step.output))
                self.picture.connect(self.keys[step.run_id], key)
                for consumer in consumers:
                    if consumer != self.keys[step.run_id]:
                        self.picture.connect(key, consumer)
            else:
                for consumer in consumers:
                    self.picture.connect(self.keys[step.run_id], consumer)
        for key, outputs in groups.items():
            self.picture.nodes[key] = _output_node([value for _, value in outputs])

    def paint_order(self) -> None:
        for step in self.record.steps:
            known = set(self.behind(source for taken in step.inputs for source in taken.sources))
            for earlier in step.upstream:
                if earlier in self.keys and earlier not in known:
                    self.picture.connect(self.keys[earlier], self.keys[step.run_id], data=False)


def _differing(record: RunRecord) -> frozenset[str]:
    outcome = record.flow.replay.outcome if record.flow.replay else None
    if outcome is None:
        return frozenset()
    return frozenset(
        step.replay_run_id for step in outcome.steps if step.verdict == "different" and step.replay_run_id is not None
    )


def _by_version(
    touched: Iterable[tuple[Hashable, DatasetRef]],
) -> Iterator[tuple[DatasetRef, tuple[Hashable, ...], tuple[Hashable, ...]]]:
    """Each version of a file once, with the nodes that read it and those that wrote it."""
    files: dict[tuple[str, str | None], DatasetRef] = {}
    sides: dict[tuple[str, str | None], Mapping[str, dict[Hashable, None]]] = {}
    for node, file in touched:
        version = (file.uri, file.fingerprint)
        files.setdefault(version, file)
        sides.setdefault(version, {"read": {}, "write": {}})[file.direction].setdefault(node)
    for version, file in files.items():
        yield file, tuple(sides[version]["read"]), tuple(sides[version]["write"])


def _file_node(files: list[DatasetRef]) -> Node:
    if len(files) == 1:
        file = files[0]
        facts = [size_text(file.size)] if file.size is not None else []
        facts += [short(file.fingerprint)] if file.fingerprint else []
        return Node("file", (clip(dataset_name(file), _LABEL), " · ".join(facts)))
    return Node("file", (count(len(files), "file"), size_text(total(file.size for file in files))))


def _output_node(values: list[ValueRef]) -> Node:
    first = values[0]
    kind: NodeKind = first.kind if first.kind != "Value" else "DataSet"
    if len(values) > 1:
        plural = {"Metrics": "sets of metrics", "TimeSeries": "time series", "DataSet": "data sets"}
        return Node(kind, (f"{len(values)} {plural.get(kind, kind.lower() + 's')}",))
    if kind == "Metrics":
        return Node(kind, tuple(_metric_lines(first)) or ("metrics", short(first.fingerprint)))
    facts = [" × ".join(map(str, first.shape))] if first.shape and kind != "Model" else []
    facts += [short(first.fingerprint)] if first.fingerprint else []
    return Node(kind, (clip(short_type(first.type), _LABEL), " · ".join(facts)))


def _metric_lines(value: ValueRef) -> Iterator[str]:
    if not isinstance(value.preview, dict):
        return
    for position, (name, amount) in enumerate(value.preview.items()):
        if position == _METRICS_SHOWN:
            yield f"{len(value.preview) - position} more"
            return
        shown = number(amount) if isinstance(amount, int | float) else short_type(type(amount).__name__)
        yield f"{clip(name, _LABEL - 8)} {shown}"


def _union(first: tuple[Hashable, ...], second: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    return tuple(dict.fromkeys((*first, *second)))
