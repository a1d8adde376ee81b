"""Why a step differs: which of code, parameters, inputs or environment is not the same there, in words a reader can act on.

Knows records and the parts of a comparison; must not know how a verdict is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lineage_flows.compare.absent import NEVER_RECORDED, only_in_main, unrecorded_file
from lineage_flows.compare.calls import own_definition, reachable
from lineage_flows.compare.changes import Change
from lineage_flows.compare.code import ComparedCode, changed_default, untied
from lineage_flows.compare.environment import said
from lineage_flows.compare.inputs import change_said, first_reads, is_literally, named, same_change, touched
from lineage_flows.compare.judge import Judged
from lineage_flows.compare.names import Folders, short
from lineage_flows.compare.sources import changed_lines
from lineage_flows.compare.steps import FlowPair, Pair
from lineage_flows.compare.unexplained import hints
from lineage_flows.records import (
    Cause,
    DatasetRef,
    FlowRecord,
    FunctionRef,
    InputRef,
    RunRecord,
    StepRecord,
    ValueRef,
)

__all__ = ["Causes", "Explained"]

_ORDER: tuple[Cause, ...] = ("code", "parameters", "inputs", "environment", "unexplained")
_MOST = 6
_SAME = frozenset({"identical", "restored", "not compared"})
"""Verdicts that there is nothing to explain of."""
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
        code: what is known of the code of the one run and of the other.
        environment: what differs between the two environments.
    """

    original: RunRecord
    other: RunRecord
    flows: Sequence[FlowPair]
    folders: tuple[Folders, Folders]
    code: ComparedCode = field(default_factory=ComparedCode)
    environment: tuple[Change, ...] = ()
    _differing: dict[str, str] = field(default_factory=dict)
    _outputs: list[tuple[str, ValueRef, ValueRef]] = field(default_factory=list)
    _reach: dict[tuple[str | None, str, bool], list[str]] = field(default_factory=dict)

    def step(self, pair: Pair, judged: Judged) -> Explained:
        """Explain one step; call it for every pair in order, so that later steps can be explained by earlier ones."""
        found = Explained()
        label = f"{pair.task}#{pair.index}"
        if judged.verdict not in _SAME:
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
        if judged.verdict in _SAME:
            return found
        root = self.flows[0]
        self._flow_code(root, found)
        self._flow_parameters(root, found)
        for label in self._labels(self._differing):
            found.add("inputs", f"step {label} differs")
        if not self._absent(self.original.flow, self.other.flow, found):
            self._rest(found, "the flow", self.original.flow, self.other.flow)
        return found

    # ------------------------------------------------------------------------------------------------ one step

    def _both(self, a: StepRecord, b: StepRecord, judged: Judged, found: Explained) -> None:
        who = f"step {a.task_name}"
        self._code(who, a.function, b.function, found)
        for name in judged.inputs:
            self._input(name, a, b, found)
        self._read_files(a.datasets, b.datasets, found)
        if self._absent(a, b, found):
            return
        origin = not (found.causes & {"parameters", "inputs"})
        if origin:
            self._rest(found, who, a, b)

    def _absent(self, a: StepRecord | FlowRecord, b: StepRecord | FlowRecord, found: Explained) -> bool:
        """Whether it ended for want of something that a replay does not have: then that explains it, and nothing else."""
        if b.error is None or (a.error is not None and a.error.type == b.error.type):
            return False
        name = only_in_main(b.error, self.code.script, self.other.flow.entry.path)
        if name is not None:
            found.add("code", name)
            return True
        if not self.folders[1].strip or not b.error.type.endswith("FileNotFoundError"):
            return False
        path = unrecorded_file(b.error.message, self.original, self.folders[1])
        if path is not None:
            found.add("inputs", f"file {path} was never recorded: {NEVER_RECORDED}")
        return path is not None

    def _only_once(self, pair: Pair, found: Explained) -> None:
        flow = self._flow_of(pair)
        self._flow_code(flow, found)
        self._flow_parameters(flow, found)
        for label in self._labels(self._differing)[:1]:
            found.add("inputs", f"the flow went another way after step {label} differed")
        if not found.causes:
            step = pair.original or pair.other
            assert step is not None
            self._rest(found, f"step {step.task_name}", step, step)

    def _input(self, name: str, a: StepRecord, b: StepRecord, found: Explained) -> None:
        old, new = named(a.inputs, name), named(b.inputs, name)
        if old is None or new is None:
            found.add("code", f"input `{name}` exists in only one of the runs")
            return
        change = f"input `{name}`{change_said(old.value, new.value)}"
        if self._trace(old, new, change, found) or self._default(name, a, b, (old.value, new.value), found):
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
            self._elsewhere(f"flow {a.flow_name}", flow, found, because=change)
        if len(found.causes) == before:
            found.add("unexplained", f"{change}; the flow made it anew each time (a clock, a random number, an id?)")

    def _default(
        self, name: str, a: StepRecord, b: StepRecord, values: tuple[ValueRef, ValueRef], found: Explained
    ) -> bool:
        """Whether an input is the default of its parameter in both runs, and the two defaults differ."""
        old, new = self.code.old, self.code.new
        if old is None or new is None or not a.function.path or not b.function.path:
            return False
        before = (old, self.folders[0].name(a.function.path), a.function.name, a.function.line)
        after = (new, self.folders[1].name(b.function.path), b.function.name, b.function.line)
        change = changed_default(before, after, name)
        if change is None or not all(is_literally(*pair) for pair in zip(values, change, strict=True)):
            return False
        found.add("code", f"the default of `{name}` changed {change[0]} → {change[1]}{self._place(b.function)}")
        return True

    def _trace(self, old: InputRef, new: InputRef, change: str, found: Explained) -> bool:
        """Whether it is known where a value came from, and that is what differs."""
        known = False
        for source in (*old.sources, *new.sources):
            if source.run_id in self._differing:
                # What a step may have changed in place, as well as the flow's own code, is only said to have been there.
                how = "was changed after it went into" if source.known_by == ("mutation",) else "comes from"
                found.add("inputs", f"{change} {how} step {self._differing[source.run_id]}, which differs")
                known = True
            elif (parameter := _PARAMETER.search(source.uri)) is not None:
                flow = self._flow_named(parameter["run"])
                known = (flow is not None and self._parameter(flow, parameter["name"], found)) or known
        return known or self._from_equal_value(old.value, new.value, change, found)

    def _from_equal_value(self, old: ValueRef, new: ValueRef, change: str, found: Explained) -> bool:
        """Small values have no recorded source: a parameter or output that changed in just the same way gave this one."""
        root = self.flows[0]
        for item in root.original.parameters if root.original else ():
            other = named(root.other.parameters if root.other else (), item.name)
            if other is not None and same_change((item.value, other.value), (old, new)):
                return self._parameter(root, item.name, found)
        for label, before, after in self._outputs:
            if same_change((before, after), (old, new)):
                found.add("inputs", f"{change} comes from step {label}, which differs")
                return True
        return False

    def _parameter(self, flow: FlowPair, name: str, found: Explained) -> bool:
        """Whether a flow's parameter differs; a subflow's is followed to where the flow above took it from."""
        if flow.original is None or flow.other is None:
            return False
        old, new = named(flow.original.parameters, name), named(flow.other.parameters, name)
        if old is None or new is None or old.value.fingerprint == new.value.fingerprint:
            return False
        change = f"parameter `{name}` of flow {flow.original.flow_name}{change_said(old.value, new.value)}"
        if flow is self.flows[0] or not self._trace(old, new, change, found):
            found.add("parameters", change)
        return True

    def _read_files(self, a: Iterable[DatasetRef], b: Iterable[DatasetRef], found: Explained, by: str = "") -> None:
        mine, theirs = first_reads(a, self.folders[0]), first_reads(b, self.folders[1])
        for name in sorted(mine.keys() & theirs.keys()):
            if mine[name] != theirs[name]:
                found.add("inputs", f"file {short(name)}{by} had other content")
        for name in sorted(theirs.keys() - mine.keys())[:_MOST] if not by else ():
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
        self._code(f"flow {flow.original.flow_name}", flow.original.function, flow.other.function, inner, flow=True)
        for detail in inner.details:
            found.add("code", f"{detail}: {because}" if because else detail)

    # ------------------------------------------------------------------------------------------------ code, environment

    def _code(self, who: str, a: FunctionRef, b: FunctionRef, found: Explained, *, flow: bool = False) -> None:
        """The function itself, then everything of the project that it can reach; a flow, not through its steps."""
        if a.digest is not None and b.digest is not None and a.digest != b.digest:
            found.add("code", f"code of {who}{self._place(b)}")
        for detail in self._reachable_changes(a, b, flow=flow):
            found.add("code", f"{detail}, which {who} can call")

    def _place(self, function: FunctionRef) -> str:
        """Where a function stands in the second run, and which of its lines changed."""
        if not function.path:
            return ""
        name = self.folders[1].name(function.path)
        old, new = self.code.old, self.code.new
        lines = f"line {function.line}" if function.line else ""
        if old is not None and new is not None and name in old.files and name in new.files:
            own = own_definition(new, name, function.name, function.line)
            within = (own.first_line, own.last_line) if own else None
            changed = changed_lines(old.files[name], new.files[name], within)
            lines = f"lines {changed}" if changed else lines
        return f" ({short(name)}{', ' + lines if lines else ''})"

    def _reachable_changes(self, a: FunctionRef, b: FunctionRef, *, flow: bool = False) -> list[str]:
        old, new = self.code.old, self.code.new
        if old is None or new is None or not a.path or not b.path:
            return []
        key = (b.path, b.name, flow)
        if key not in self._reach:
            steps = self._definitions(steps=True) if flow else frozenset()
            before = reachable(old, self.folders[0].name(a.path), a.name, a.line, without=steps)
            after = reachable(new, self.folders[1].name(b.path), b.name, b.line, without=steps)
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

    def _definitions(self, *, steps: bool) -> frozenset[tuple[str, str]]:
        """File and name of the definitions that the steps of both runs are, or their flows."""
        found = set()
        runs = ((self.original, self.code.old, self.folders[0]), (self.other, self.code.new, self.folders[1]))
        for record, sources, folders in runs:
            members = record.steps if steps else (record.flow, *record.subflows)
            for function in {member.function for member in members}:
                name = folders.name(function.path or "")
                own = own_definition(sources, name, function.name, function.line) if sources is not None else None
                if own is not None:
                    found.add((name, own.name))
        return frozenset(found)

    def _elsewhere(self, who: str, flow: FlowPair, found: Explained, because: str = "") -> None:
        """What changed and cannot be tied to a step: code that it does not reach by name, files that flow or module read."""
        inner = Explained()
        for pair in [self.flows[0], *([flow] if flow is not self.flows[0] else [])]:
            if pair.original is not None and pair.other is not None:
                by = f", which flow {pair.original.flow_name} or its module read,"
                self._read_files(pair.original.datasets, pair.other.datasets, inner, by)
        for detail in inner.details:
            found.add("inputs", f"{because}; {detail}" if because else detail)
        old, new = self.code.old, self.code.new
        if old is None or new is None:
            return
        entry = self.folders[1].name(self.other.flow.entry.path or "")
        known = self._definitions(steps=True) | self._definitions(steps=False)
        for detail in untied(old, new, entry, known, _MOST):
            doubt = f"{detail} changed; it is not reachable by name from {who}, so that it may not be the cause"
            found.add("code", f"{because}; {doubt}" if because else doubt)

    def _rest(self, found: Explained, who: str, a: StepRecord | FlowRecord, b: StepRecord | FlowRecord) -> None:
        """Where nothing that went in explains it: what cannot be tied to it, the environment, or what was not compared."""
        if not found.causes:
            flow = self._flow_named(a.flow_run_id) if isinstance(a, StepRecord) else None
            self._elsewhere(who, flow or self.flows[0], found)
        if self.environment:
            for line in said(self.environment):
                found.add("environment", line)
        if found.causes:
            return
        found.add("unexplained", "")
        runs = (self.original, self.other)
        names = {
            folders.name(item.path) for run, folders in zip(runs, self.folders, strict=True) for item in touched(run)
        }
        found.details.extend(hints(a, b, runs, self.code, names))
