"""Why a step differs: which of code, parameters, inputs or environment is not the same there, in words a reader can act on.

Knows records and the parts of a comparison; must not know how a verdict is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lineage_flows.compare.calls import Sources, own_definition, reachable
from lineage_flows.compare.changes import Change
from lineage_flows.compare.environment import said
from lineage_flows.compare.judge import Judged
from lineage_flows.compare.names import Folders, short
from lineage_flows.compare.sources import changed_lines
from lineage_flows.compare.steps import FlowPair, Pair
from lineage_flows.records import (
    Cause,
    DatasetRef,
    FlowRecord,
    FunctionRef,
    InputRef,
    RandomStates,
    RunRecord,
    StepRecord,
    ValueRef,
)

__all__ = ["Causes", "Explained"]

_ORDER: tuple[Cause, ...] = ("code", "parameters", "inputs", "environment", "unexplained")
_MOST = 6
_PARAMETER = re.compile(r"/flow-run/(?P<run>[^/]+)/parameter/(?P<name>[^/]+)$")


@dataclass(slots=True)
class Explained:
    """The causes of a difference so far, and the sentence for each."""

    causes: set[Cause] = field(default_factory=set)
    details: list[str] = field(default_factory=list)

    def add(self, cause: Cause, detail: str) -> None:
        """Note a cause; the same sentence is kept once."""
        self.causes.add(cause)
        if detail and detail not in self.details:
            self.details.append(detail)

    @property
    def ordered(self) -> tuple[Cause, ...]:
        """The causes in the order reports give them."""
        return tuple(cause for cause in _ORDER if cause in self.causes)


@dataclass(slots=True)
class Causes:
    """Explains the steps of two runs, one after the other in order of submission.

    Attributes:
        original: the one run.
        other: the other run.
        flows: their flow runs, paired.
        folders: of the one run and of the other.
        sources: the project's files of the one run and of the other, None where they were not kept.
        environment: what differs between the two environments.
    """

    original: RunRecord
    other: RunRecord
    flows: Sequence[FlowPair]
    folders: tuple[Folders, Folders]
    sources: tuple[Sources | None, Sources | None] = (None, None)
    environment: tuple[Change, ...] = ()
    _differing: dict[str, str] = field(default_factory=dict)
    _outputs: list[tuple[str, ValueRef, ValueRef]] = field(default_factory=list)
    _reach: dict[tuple[str | None, str], list[str]] = field(default_factory=dict)

    def step(self, pair: Pair, judged: Judged) -> Explained:
        """Explain one step; call it for every pair in order, so that later steps can be explained by earlier ones."""
        found = Explained()
        label = f"{pair.task}#{pair.index}"
        if judged.verdict not in {"identical", "restored"}:
            if pair.original is None or pair.other is None:
                self._only_once(pair, found)
            else:
                self._both(pair.original, pair.other, judged, found)
            for step in (pair.original, pair.other):
                if step is not None:
                    self._differing[step.run_id] = label
        old, new = (step.output if step is not None else None for step in (pair.original, pair.other))
        if old is not None and new is not None and old.fingerprint != new.fingerprint:
            self._outputs.append((label, old, new))
        return found

    def result(self, judged: Judged) -> Explained:
        """Explain the flow's own result, after all its steps."""
        found = Explained()
        if judged.verdict in {"identical", "restored"}:
            return found
        root = self.flows[0]
        self._flow_code(root, found)
        self._flow_parameters(root, found)
        for label in self._labels(self._differing):
            found.add("inputs", f"step {label} differs")
        self._rest(found, self.original.flow, self.other.flow)
        return found

    # ------------------------------------------------------------------------------------------------ one step

    def _both(self, a: StepRecord, b: StepRecord, judged: Judged, found: Explained) -> None:
        self._code(f"step {a.task_name}", a.function, b.function, found)
        for name in judged.inputs:
            self._input(name, a, b, found)
        self._read_files(a.datasets, b.datasets, found)
        origin = not (found.causes & {"parameters", "inputs"})
        if origin:
            self._rest(found, a, b)

    def _only_once(self, pair: Pair, found: Explained) -> None:
        flow = self._flow_of(pair)
        self._flow_code(flow, found)
        self._flow_parameters(flow, found)
        for label in self._labels(self._differing)[:1]:
            found.add("inputs", f"the flow went another way after step {label} differed")
        if not found.causes:
            step = pair.original or pair.other
            assert step is not None
            self._rest(found, step, step)

    def _input(self, name: str, a: StepRecord, b: StepRecord, found: Explained) -> None:
        old, new = _named(a.inputs, name), _named(b.inputs, name)
        if old is None or new is None:
            found.add("code", f"input `{name}` exists in only one of the runs")
            return
        change = f"input `{name}`{_said(old.value, new.value)}"
        if self._trace(old, new, change, found):
            return
        flow = self._flow_of(Pair(a, b, ""))
        before = len(found.causes)
        self._flow_parameters(flow, found, because=change)
        self._flow_code(flow, found, because=change)
        for label in self._labels(b.upstream):
            found.add("inputs", f"{change} comes after step {label}, which differs")
        if len(found.causes) == before:
            for label in self._labels(self._differing)[:1]:
                found.add("inputs", f"{change}; step {label} before it differs")
        if len(found.causes) == before and flow.original and flow.other:
            self._read_files(flow.original.datasets, flow.other.datasets, found)
        if len(found.causes) == before:
            found.add("unexplained", f"{change}; the flow made it anew each time (a clock, a random number, an id?)")

    def _trace(self, old: InputRef, new: InputRef, change: str, found: Explained) -> bool:
        """Whether it is known where a value came from, and that is what differs."""
        known = False
        for source in (*old.sources, *new.sources):
            if source.run_id in self._differing:
                found.add("inputs", f"{change} comes from step {self._differing[source.run_id]}, which differs")
                known = True
            elif (parameter := _PARAMETER.search(source.uri)) is not None:
                flow = self._flow_named(parameter["run"])
                known = (flow is not None and self._parameter(flow, parameter["name"], found)) or known
        return known or self._from_equal_value(old.value, new.value, change, found)

    def _from_equal_value(self, old: ValueRef, new: ValueRef, change: str, found: Explained) -> bool:
        """Small values have no recorded source: a parameter or output that changed in just the same way gave this one."""
        root = self.flows[0]
        for item in root.original.parameters if root.original else ():
            other = _named(root.other.parameters if root.other else (), item.name)
            if other is not None and _same_change((item.value, other.value), (old, new)):
                return self._parameter(root, item.name, found)
        for label, before, after in self._outputs:
            if _same_change((before, after), (old, new)):
                found.add("inputs", f"{change} comes from step {label}, which differs")
                return True
        return False

    def _parameter(self, flow: FlowPair, name: str, found: Explained) -> bool:
        """Whether a flow's parameter differs; a subflow's is followed to where the flow above took it from."""
        if flow.original is None or flow.other is None:
            return False
        old, new = _named(flow.original.parameters, name), _named(flow.other.parameters, name)
        if old is None or new is None or old.value.fingerprint == new.value.fingerprint:
            return False
        change = f"parameter `{name}` of flow {flow.original.flow_name}{_said(old.value, new.value)}"
        if flow is self.flows[0] or not self._trace(old, new, change, found):
            found.add("parameters", change)
        return True

    def _read_files(self, a: Iterable[DatasetRef], b: Iterable[DatasetRef], found: Explained) -> None:
        mine, theirs = _first_reads(a, self.folders[0]), _first_reads(b, self.folders[1])
        for name in sorted(mine.keys() & theirs.keys()):
            if mine[name] != theirs[name]:
                found.add("inputs", f"file {short(name)} had other content")
        for name in sorted(theirs.keys() - mine.keys())[:_MOST]:
            found.details.append(f"it read {short(name)}, which the original did not")

    # ------------------------------------------------------------------------------------------------ flows

    def _flow_of(self, pair: Pair) -> FlowPair:
        for step in (pair.original, pair.other):
            if step is not None and (flow := self._flow_named(step.flow_run_id)) is not None:
                return flow
        return self.flows[0]

    def _flow_named(self, run_id: str) -> FlowPair | None:
        known = ((flow, run.run_id) for flow in self.flows for run in (flow.original, flow.other) if run is not None)
        return next((flow for flow, known_id in known if known_id == run_id), None)

    def _labels(self, run_ids: Iterable[str]) -> list[str]:
        """The steps among some runs that differ, each once."""
        return list(dict.fromkeys(self._differing[run_id] for run_id in run_ids if run_id in self._differing))[:_MOST]

    def _flow_parameters(self, flow: FlowPair, found: Explained, because: str = "") -> None:
        """Every parameter of a flow that differs, as the possible reason of a change."""
        inner = Explained()
        for item in flow.original.parameters if flow.original else ():
            self._parameter(flow, item.name, inner)
        for cause in inner.causes:
            for detail in inner.details:
                found.add(cause, f"{because}; {detail}" if because else detail)

    def _flow_code(self, flow: FlowPair, found: Explained, because: str = "") -> None:
        if flow.original is None or flow.other is None:
            return
        inner = Explained()
        self._code(f"flow {flow.original.flow_name}", flow.original.function, flow.other.function, inner, deep=False)
        for detail in inner.details:
            found.add("code", f"{detail}: {because}" if because else detail)

    # ------------------------------------------------------------------------------------------------ code, environment

    def _code(self, who: str, a: FunctionRef, b: FunctionRef, found: Explained, *, deep: bool = True) -> None:
        """The function itself, then everything of the project that it can reach."""
        if a.digest is not None and b.digest is not None and a.digest != b.digest:
            found.add("code", f"code of {who}{self._place(b)}")
        if deep:
            for detail in self._reachable_changes(a, b):
                found.add("code", f"{detail}, which {who} can call")

    def _place(self, function: FunctionRef) -> str:
        """Where a function stands in the second run, and which of its lines changed."""
        if not function.path:
            return ""
        name = self.folders[1].name(function.path)
        old, new = self.sources
        lines = f"line {function.line}" if function.line else ""
        if old is not None and new is not None and name in old.files and name in new.files:
            own = own_definition(new, name, function.name, function.line)
            within = (own.first_line, own.last_line) if own else None
            changed = changed_lines(old.files[name], new.files[name], within)
            lines = f"lines {changed}" if changed else lines
        return f" ({short(name)}{', ' + lines if lines else ''})"

    def _reachable_changes(self, a: FunctionRef, b: FunctionRef) -> list[str]:
        old, new = self.sources
        if old is None or new is None or not a.path or not b.path:
            return []
        key = (b.path, b.name)
        if key not in self._reach:
            before = reachable(old, self.folders[0].name(a.path), a.name, a.line)
            after = reachable(new, self.folders[1].name(b.path), b.name, b.line)
            self._reach[key] = []
            own = own_definition(new, self.folders[1].name(b.path), b.name, b.line)
            for where in sorted(before.keys() | after.keys()):
                mine, theirs = before.get(where), after.get(where)
                if theirs == own or (mine and theirs and mine.code == theirs.code):
                    continue
                at = theirs or mine
                assert at is not None
                what = f"`{at.name}`" if at.name else "module-level code"
                lines = f"{at.first_line}-{at.last_line}" if at.last_line > at.first_line else str(at.first_line)
                gone = "" if theirs else ", which is gone"
                self._reach[key].append(f"code of {what} ({short(at.path)}, lines {lines}{gone})")
        return self._reach[key][:_MOST]

    def _rest(self, found: Explained, a: StepRecord | FlowRecord, b: StepRecord | FlowRecord) -> None:
        """Where nothing that went in explains it: the environment, or hints at what is not restored."""
        if self.environment:
            for line in said(self.environment):
                found.add("environment", line)
        if found.causes:
            return
        found.add("unexplained", "")
        found.details.extend(_hints(a, b, self.original))


def _hints(a: StepRecord | FlowRecord, b: StepRecord | FlowRecord, original: RunRecord) -> list[str]:
    """What is known to make runs differ though code, parameters, inputs and environment are the same."""
    hints: list[str] = []
    if isinstance(a, StepRecord):
        hints.extend(f"it read what cannot be served again: {item}" for item in a.unrestorable[:_MOST])
        beside = [
            step.task_name
            for step in original.steps
            if step.run_id != a.run_id and step.flow_run_id == a.flow_run_id and _overlap(a, step)
        ]
        if beside and (_draws(a.random) or _draws(b.random)):
            hints.append(f"it ran at the same time as {beside[0]}, and threads share the global random generators")
    if isinstance(a, StepRecord) and a.random is None:
        hints.append("the original's random state was not recorded")
    return hints or [
        "code, parameters, inputs and environment are the same; a clock, the order of threads, or the order of sets of "
        "text (fixed by PYTHONHASHSEED) can still differ"
    ]


def _draws(states: RandomStates | None) -> bool:
    return states is not None and (states.python is not None or states.numpy is not None)


def _overlap(a: StepRecord, b: StepRecord) -> bool:
    if not (a.started and a.ended and b.started and b.ended):
        return False
    return a.started < b.ended and b.started < a.ended


def _named(inputs: Iterable[InputRef], name: str) -> InputRef | None:
    return next((item for item in inputs if item.name == name), None)


def _same_change(a: tuple[ValueRef, ValueRef], b: tuple[ValueRef, ValueRef]) -> bool:
    before, after = a[0].fingerprint, a[1].fingerprint
    return (
        before is not None
        and after is not None
        and before != after
        and (before, after) == (b[0].fingerprint, b[1].fingerprint)
    )


def _said(old: ValueRef, new: ValueRef) -> str:
    """A change in words: the values where they are short, else only that it changed."""
    if old.preview is not None and new.preview is not None:
        before, after = repr(old.preview), repr(new.preview)
        if len(before) + len(after) <= 120 and before != after:
            return f" {before} → {after}"
    if old.shape != new.shape:
        return f" (shape {old.shape} → {new.shape})"
    return ""


def _first_reads(datasets: Iterable[DatasetRef], folders: Folders) -> dict[str, str | None]:
    """Name -> what was read, of the files whose first touch was a read."""
    first: dict[str, DatasetRef] = {}
    for item in sorted(datasets, key=lambda dataset: dataset.order):
        first.setdefault(folders.name(item.path), item)
    return {name: item.fingerprint for name, item in first.items() if item.direction == "read"}
