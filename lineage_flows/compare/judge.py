"""The verdict on one step: are its inputs, its output, the files it wrote and its error those of the original?

Knows records and the comparison of values; must not know causes.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from lineage_flows.compare.names import Folders, short
from lineage_flows.compare.saying import said
from lineage_flows.compare.steps import Pair
from lineage_flows.compare.values import ValueComparison, compare_refs, scope_of, worst
from lineage_flows.record_base import REGISTRATION
from lineage_flows.records import (
    DatasetRef,
    ErrorRef,
    FlowRecord,
    InputRef,
    StepRecord,
    StepVerdict,
    ValueDifference,
    ValueRef,
    Verdict,
)
from lineage_flows.tolerances import ToleranceRule

__all__ = ["Judge", "Judged"]

_RANDOM = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b0x[0-9a-f]{6,16}\b")
"""Run ids, and the addresses that the default ``repr`` of an object shows."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on a step, what of it differs in words, the names of the inputs that differ, and what differs in figures."""

    verdict: StepVerdict
    details: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    values: tuple[ValueDifference, ...] = ()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came out of a step or flow."""

    verdict: Verdict
    details: tuple[str, ...] = ()
    value: ValueDifference | None = None


@dataclass(frozen=True, slots=True)
class Judge:
    """How two runs are compared.

    Attributes:
        original: folders of the one run, by which its files are named.
        other: folders of the other.
        read: reads a blob by digest, for a numeric comparison; None compares fingerprints and previews.
        trust_pickle: whether values stored as pickles may be loaded; only in a replay that the user asked for.
        tolerances: how far numbers may lie apart, where it is not as far as by default.
    """

    original: Folders
    other: Folders
    read: Callable[[str], bytes] | None = None
    trust_pickle: bool = False
    tolerances: tuple[ToleranceRule, ...] = ()
    _outputs: dict[str, Verdict] = field(default_factory=dict)

    def step(self, pair: Pair) -> Judged:
        """The verdict on a pair of steps; ask for every pair in order, since inputs are judged by the outputs they were."""
        a, b = pair.original, pair.other
        if a is None or b is None:
            return Judged("missing" if b is None else "added")
        inputs, derived, seen = self._inputs(a, b)
        outcome = self._outcome(a, b)
        self._outputs.update({a.run_id: outcome.verdict, b.run_id: outcome.verdict})
        put_in = worst(inputs.values())
        # What went in says nothing of what came out; where that could not be compared, only a difference is certain.
        verdict = outcome.verdict if put_in == "identical" else worst([put_in, outcome.verdict])
        details = outcome.details
        if outcome.verdict == "not compared" and put_in == "equivalent":
            verdict = "not compared"
        elif verdict == "equivalent" and derived and _left_nothing(a) and _left_nothing(b):
            verdict = "not compared"
            details = (*details, f"input {', '.join(derived)} is not kept, and nothing shows what the step made of it")
        changed = tuple(name for name, found in inputs.items() if found not in {"identical", "not compared"})
        values = (*((outcome.value,) if outcome.value else ()), *seen)
        if (b.restored or (b.cached and not a.cached)) and verdict in {"identical", "not compared"}:
            source = "its captured result was used" if b.restored else "Prefect's cache answered"
            return Judged("restored", (f"{source}; it was not executed",))
        if b.restored:
            details = ("its captured result was used although its inputs differ", *details)
        return Judged(verdict, details, changed, values)

    def result(self, a: FlowRecord, b: FlowRecord) -> Judged:
        """The verdict on what the flow itself gave out."""
        outcome = self._outcome(a, b)
        return Judged(outcome.verdict, outcome.details, values=(outcome.value,) if outcome.value else ())

    def _inputs(
        self, a: StepRecord, b: StepRecord
    ) -> tuple[dict[str, Verdict], tuple[str, ...], tuple[ValueDifference, ...]]:
        """The verdict on each input; which of them were derived; and what is known in figures of those that are not identical."""
        mine, theirs = {item.name: item for item in a.inputs}, {item.name: item for item in b.inputs}
        found: dict[str, Verdict] = {}
        derived: list[str] = []
        seen: list[ValueDifference] = []
        for name in dict.fromkeys([*mine, *theirs]):
            old, new = mine.get(name), theirs.get(name)
            compared = self._values(a, old.value if old else None, new.value if new else None)
            found[name] = compared.verdict
            if compared.found is not None and compared.found.by not in {"fingerprint", "nothing"}:
                seen.append(compared.found.model_copy(update={"name": f"input {name}"}))
            elif compared.verdict == "different" and old is not None and new is not None:
                known = self._from_equivalent(old, new)
                found[name] = "equivalent" if known else "different"
                derived.extend([name] if known == "derived" else [])
        return found, tuple(derived), tuple(seen)

    def _from_equivalent(self, old: InputRef, new: InputRef) -> Literal["same", "derived"] | None:
        """Whether an input, which is not kept, differs only as far as is known from the outputs it came from.

        Of what the flow's own code computed from outputs that are equal within tolerance, nothing is known but that: it differs,
        and what the step made of it shows whether that matters. The step is at best equal within tolerance for it.
        """
        sources = [[self._outputs.get(source.run_id) for source in item.sources] for item in (old, new)]
        if not all(verdicts and set(verdicts) <= {"identical", "equivalent"} for verdicts in sources):
            return None
        if not any({"derivation", "mutation"} & set(source.known_by) for item in (old, new) for source in item.sources):
            return "same"
        return "derived" if all("equivalent" in verdicts for verdicts in sources) else None

    def _outcome(self, a: StepRecord | FlowRecord, b: StepRecord | FlowRecord) -> _Outcome:
        """What came out: the error, the value, the files written."""
        if a.error is not None or b.error is not None:
            same = self._same_error(a.error, b.error)
            return _Outcome("identical") if same else _Outcome("different", (_said_errors(a.error, b.error),))
        if a.state_type != b.state_type:
            return _Outcome("different", (f"ended {a.state or a.state_type}, now {b.state or b.state_type}",))
        value = self._values(a, _output(a), _output(b))
        found = value.found
        if found is not None and isinstance(a, FlowRecord):
            found = found.model_copy(update={"name": "result"})
        written, file_details = self._written(a.datasets, b.datasets) if _ran(a) and _ran(b) else (None, ())
        details = (*((said(found),) if found is not None else ()), *file_details)
        verdicts: list[Verdict] = [value.verdict, *((written,) if written else ())]
        return _Outcome(worst(verdicts), details, found)

    def _values(self, record: StepRecord | FlowRecord, a: ValueRef | None, b: ValueRef | None) -> ValueComparison:
        task = record.task_name if isinstance(record, StepRecord) else None
        scope = scope_of(self.tolerances, record.flow_name, task, a)
        return compare_refs(a, b, read=self.read, trust_pickle=self.trust_pickle, scope=scope)

    def _same_error(self, a: ErrorRef | None, b: ErrorRef | None) -> bool:
        if a is None or b is None:
            return a is b
        return [self.original.unnamed(_RANDOM.sub("?", text)) for text in (a.type, a.message)] == [
            self.other.unnamed(_RANDOM.sub("?", text)) for text in (b.type, b.message)
        ]

    def _written(self, a: Iterable[DatasetRef], b: Iterable[DatasetRef]) -> tuple[Verdict | None, tuple[str, ...]]:
        """Compare the files that were written, by name; temporary files, whose names are random, by content alone."""
        mine, theirs = _last_writes(a, self.original), _last_writes(b, self.other)
        if not mine and not theirs:
            return None, ()
        details = []
        comparable = False
        for name in sorted(mine.keys() & theirs.keys()):
            if mine[name] is None and theirs[name] is None:
                continue
            comparable = True
            if mine[name] != theirs[name]:
                details.append(f"file {short(name)} has other content")
        for alone, others, words in ((mine, theirs, "was not written"), (theirs, mine, "was written in addition")):
            contents = {others[name] for name in others.keys() - alone.keys() if _is_temporary(name)}
            for name in sorted(alone.keys() - others.keys()):
                if _is_temporary(name) and (alone[name] is None or alone[name] in contents):
                    continue
                comparable = True
                details.append(f"file {short(name)} {words}")
        if not comparable:
            return None, ()
        return ("different" if details else "identical"), tuple(details)


def _output(record: StepRecord | FlowRecord) -> ValueRef | None:
    return record.output if isinstance(record, StepRecord) else record.result


def _left_nothing(record: StepRecord) -> bool:
    """Whether a step gave out nothing and wrote nothing that could show what it did."""
    gave = record.output is not None and record.output.type != "NoneType"
    return not gave and not any(item.direction == "write" for item in record.datasets)


def _ran(record: StepRecord | FlowRecord) -> bool:
    """Whether the function was executed, and so wrote what it writes; not when its result was in a cache."""
    return not (isinstance(record, StepRecord) and (record.cached or record.restored))


def _last_writes(datasets: Iterable[DatasetRef], folders: Folders) -> dict[str, str | None]:
    """What was written; a version in the model registry has a name of its own each time, and a replay makes none."""
    found: dict[str, str | None] = {}
    for item in sorted(datasets, key=lambda dataset: dataset.order):
        if item.direction == "write" and item.via != (REGISTRATION,):
            found[folders.name(item.path)] = item.content_id
    return found


def _is_temporary(name: str) -> bool:
    return any(name.startswith(folder + "/") for folder in {"/tmp", "/var/tmp", tempfile.gettempdir()})  # noqa: S108 - compared, not used


def _said_errors(a: ErrorRef | None, b: ErrorRef | None) -> str:
    def said(error: ErrorRef | None) -> str:
        return "returned" if error is None else f"raised {error.type}: {' '.join(error.message.split())[:200]}"

    return f"the original {said(a)}, this run {said(b)}"
