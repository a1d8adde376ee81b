"""The verdict on one step: are its inputs, its output, the files it wrote and its error those of the original?

Knows records and the comparison of values; must not know causes.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lineage_flows.compare.names import Folders, short
from lineage_flows.compare.steps import Pair
from lineage_flows.compare.values import ATOL, RTOL, ValueComparison, compare_refs, worst
from lineage_flows.record_base import REGISTRATION
from lineage_flows.records import DatasetRef, ErrorRef, FlowRecord, InputRef, StepRecord, StepVerdict, ValueRef, Verdict

__all__ = ["Judge", "Judged"]

_RANDOM = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b0x[0-9a-f]{6,16}\b")
"""Run ids, and the addresses that the default ``repr`` of an object shows."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on a step, what of it differs in words, and the names of the inputs that differ."""

    verdict: StepVerdict
    details: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    comparable: bool = True


@dataclass(frozen=True, slots=True)
class Judge:
    """How two runs are compared.

    Attributes:
        original: folders of the one run, by which its files are named.
        other: folders of the other.
        read: reads a blob by digest, for a numeric comparison; None compares fingerprints and previews.
        trust_pickle: whether values stored as pickles may be loaded; only in a replay that the user asked for.
        rtol: relative tolerance of numbers.
        atol: absolute tolerance of numbers.
    """

    original: Folders
    other: Folders
    read: Callable[[str], bytes] | None = None
    trust_pickle: bool = False
    rtol: float = RTOL
    atol: float = ATOL
    _outputs: dict[str, Verdict] = field(default_factory=dict)

    def step(self, pair: Pair) -> Judged:
        """The verdict on a pair of steps; ask for every pair in order, since inputs are judged by the outputs they were."""
        a, b = pair.original, pair.other
        if a is None or b is None:
            return Judged("missing" if b is None else "added")
        inputs = self._inputs(a.inputs, b.inputs)
        outcome, details, comparable = self._outcome(a, b)
        self._outputs.update({a.run_id: outcome, b.run_id: outcome})
        verdict = worst([*inputs.values(), outcome])
        changed = tuple(name for name, found in inputs.items() if found != "identical")
        if (b.restored or (b.cached and not a.cached)) and verdict == "identical":
            source = "its captured result was used" if b.restored else "Prefect's cache answered"
            return Judged("restored", (f"{source}; it was not executed",))
        if b.restored:
            details = ("its captured result was used although its inputs differ", *details)
        return Judged(verdict, details, changed, comparable)

    def result(self, a: FlowRecord, b: FlowRecord) -> Judged:
        """The verdict on what the flow itself gave out."""
        outcome, details, comparable = self._outcome(a, b)
        return Judged(outcome, details, comparable=comparable)

    def _inputs(self, a: Iterable[InputRef], b: Iterable[InputRef]) -> dict[str, Verdict]:
        mine, theirs = {item.name: item for item in a}, {item.name: item for item in b}
        found: dict[str, Verdict] = {}
        for name in dict.fromkeys([*mine, *theirs]):
            old, new = mine.get(name), theirs.get(name)
            compared = self._values(old.value if old else None, new.value if new else None)
            found[name] = "identical" if compared is None else compared.verdict
            if found[name] == "different" and old is not None and new is not None and self._from_equivalent(old, new):
                found[name] = "equivalent"
        return found

    def _from_equivalent(self, old: InputRef, new: InputRef) -> bool:
        """Inputs are not kept, so they cannot be compared number by number; but the outputs they came from were compared.

        What the flow's own code computed from outputs is not what was compared.
        """
        if any({"derivation", "mutation"} & set(source.known_by) for item in (old, new) for source in item.sources):
            return False
        sources = [[self._outputs.get(source.run_id) for source in item.sources] for item in (old, new)]
        return all(verdicts and set(verdicts) <= {"identical", "equivalent"} for verdicts in sources)

    def _outcome(self, a: StepRecord | FlowRecord, b: StepRecord | FlowRecord) -> tuple[Verdict, tuple[str, ...], bool]:
        """What came out: the error, the value, the files written; and whether anything could be compared at all."""
        if a.error is not None or b.error is not None:
            same = self._same_error(a.error, b.error)
            return ("identical", (), True) if same else ("different", (_said_errors(a.error, b.error),), True)
        if a.state_type != b.state_type:
            return "different", (f"ended {a.state or a.state_type}, now {b.state or b.state_type}",), True
        value = self._values(_output(a), _output(b))
        written, file_details = self._written(a.datasets, b.datasets) if _ran(a) and _ran(b) else (None, ())
        details = (*((_said_value(value),) if value and value.verdict != "identical" else ()), *file_details)
        if value is None and written is None:
            return "identical", ("its output cannot be compared: it has no fingerprint",), False
        return worst([*((value.verdict,) if value else ()), *((written,) if written else ())]), details, True

    def _values(self, a: ValueRef | None, b: ValueRef | None) -> ValueComparison | None:
        return compare_refs(a, b, read=self.read, trust_pickle=self.trust_pickle, rtol=self.rtol, atol=self.atol)

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


def _said_value(value: ValueComparison) -> str:
    where = f" at {value.where}" if value.where else ""
    if value.largest is not None:
        return f"output differs by up to {value.largest:.3g}{where}"
    return f"output differs{where}" + (f" ({value.note})" if value.note else "")
