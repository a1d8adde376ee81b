"""Holds two values beside each other, down through everything they consist of, and collects what differs, with its place.

Knows numbers, texts, containers and objects; other kinds of value come with handlers (``handlers``). Must not know runs.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import enum
import pathlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lineage_flows.compare.gaps import Gaps, measure, number_gaps
from lineage_flows.compare.parts import (
    as_arrays,
    attributes_of,
    common_start,
    is_missing,
    is_number,
    other_form,
    state_of,
)
from lineage_flows.compare.showing import LONGEST, cell, listed, shown_text
from lineage_flows.content.describe import path_step
from lineage_flows.content.guard import attempt, say
from lineage_flows.content.naming import comes_from, is_secret, shown_name
from lineage_flows.content.registry import find_look
from lineage_flows.record_replay import CellDifference, PartDifference, ToleranceUsed, Verdict
from lineage_flows.redaction import redact
from lineage_flows.tolerances import ToleranceRule, choose

if TYPE_CHECKING:
    import numpy as np

__all__ = ["MOST_PARTS", "At", "Handler", "Label", "Scope", "Walk"]

MOST_PARTS = 20
"""Parts that are listed; the others are counted."""
_MOST_KEPT = 5_000
_MOST_NODES = 1_000_000
"""Parts that are looked at one by one. Arrays and columns of numbers count as one each."""
_DEEPEST = 60
_LINES = 12
_MOST_TEXT = 200_000
"""Characters of a text up to which its lines are laid side by side."""
_AS_ARRAY = 16
_CELLS = 4
_FIGURES = ("differing", "compared", "beyond", "absolute", "relative", "ulps", "unlike")

_PLAIN = (
    *(str, bytes, bytearray, bool, type, range, type(None), set, frozenset),
    *(dt.date, dt.time, dt.timedelta, pathlib.PurePath, uuid.UUID, enum.Enum),
)

Label = Callable[[int], str]
Columns = tuple[Any, Any]
"""What gives a value for a position, twice."""

Handler = Callable[["Walk", Any, Any, str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """What is compared, as the rules of tolerance go by it.

    Attributes:
        rules: those that were set.
        flow: name of the flow.
        task: name of the task; None for the flow's own result.
        types: kind and class of the whole value.
    """

    rules: tuple[ToleranceRule, ...] = ()
    flow: str = ""
    task: str | None = None
    types: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class At:
    """Where a column or array stands in a value.

    Attributes:
        where: its path.
        label: names a position in it.
        note: what else is to be said of it.
    """

    where: str
    label: Label = str
    note: str = ""


class Walk:
    """One comparison. ``parts`` fills with what differs; remembers the pairs it is inside of, so that cycles end.

    ``reformed`` is whether something equal was met in another form (0.0 and -0.0, 1 and 1.0): it explains why two values without a
    part that differs have two fingerprints. Where nothing explains that, they differ in what nobody looked at.
    """

    def __init__(self, scope: Scope, handlers: Sequence[tuple[Callable[[Any], bool], Handler]] = ()) -> None:
        self.parts: list[PartDifference] = []
        self.left_out = 0
        self.compared = 0
        self.differing = 0
        self.cut = ""
        self.reformed = False
        self._scope = scope
        self._handlers = handlers
        self._types = [name.lower() for name in scope.types]
        self._by_type = any(rule.match.type for rule in scope.rules)
        self._by_name = any(rule.match.name for rule in scope.rules)
        self._rules: dict[tuple[str, tuple[str, ...]], ToleranceRule] = {}
        self._inside: set[tuple[int, int]] = set()
        self._nodes = 0

    @property
    def verdict(self) -> Verdict:
        """The worst that was found so far."""
        if self.cut or any(part.verdict == "different" for part in self.parts):
            return "different"
        return "equivalent" if self.parts else "identical"

    # ------------------------------------------------------------------------------------------------ going down

    def compare(self, a: Any, b: Any, where: str = "", depth: int = 0) -> None:  # noqa: ANN401 - any value at all
        """Compare two values; what they do when they are looked at is noted, not raised."""
        if a is b or self.cut:
            return
        self._nodes += 1
        if depth > _DEEPEST:
            self.differ(where, "nested too deeply to compare")
            return
        if self._nodes > _MOST_NODES:
            self.cut = f"comparing stopped after {_MOST_NODES:,} parts"
            return
        key = (id(a), id(b))
        if key in self._inside:
            return
        self._inside.add(key)
        names = self._named_types(a)
        self._types.extend(names)
        try:
            _, error = attempt(self._compare, a, b, where, depth)
            if error is not None:
                self.differ(where, f"cannot be compared: {say(error)}")
        finally:
            self._inside.discard(key)
            del self._types[len(self._types) - len(names) :]

    def _compare(self, a: Any, b: Any, where: str, depth: int) -> None:  # noqa: ANN401 - any value at all
        if is_secret(type(a)) or is_secret(type(b)):
            self.differ(where, "a secret is never looked at")
            return
        self._own(a, b, where, depth)
        if is_number(a) and is_number(b):
            self.reformed = self.reformed or other_form(a, b)
            self._gaps(number_gaps(a, b, self.rule(where).tolerance), ((a,), (b,)), At(where, lambda _: ""))
        elif isinstance(a, Mapping) and isinstance(b, Mapping):
            self._mappings(a, b, where, depth)
        elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
            self._sequences(a, b, where, depth)
        elif (handler := next((act for fits, act in self._handlers if fits(a) and fits(b)), None)) is not None:
            handler(self, a, b, where)
        elif type(a) is not type(b):
            both = all(isinstance(item, _PLAIN) or is_number(item) for item in (a, b))
            cells = (cell("", a, b, where),) if both else ()
            self.differ(where, f"{shown_name(type(a))} became {shown_name(type(b))}", *cells)
        elif isinstance(a, _PLAIN) or comes_from(type(a), "numpy", "generic"):
            self._plain(a, b, where)
        else:
            self._objects(a, b, where, depth)

    def _own(self, a: Any, b: Any, where: str, depth: int) -> None:  # noqa: ANN401 - any value at all
        """Compare what values carry beside their content: attributes of a dict's, a number's, an array's or a frame's subclass."""
        mine, theirs = attributes_of(a), attributes_of(b)
        if mine or theirs:
            self._mappings(mine, theirs, where, depth)

    def items(self, pairs: Mapping[str, tuple[Any, Any]], where: str, depth: int = 0) -> None:
        """Compare named parts."""
        for name, (x, y) in pairs.items():
            self.compare(x, y, f"{where}/{path_step(name)}", depth + 1)

    def named(self, a: Mapping[Any, Any], b: Mapping[Any, Any], where: str, depth: int = 0) -> None:
        """Compare what two mappings have in common, and note what only one has."""
        self._mappings(a, b, where, depth)

    def _mappings(self, a: Mapping[Any, Any], b: Mapping[Any, Any], where: str, depth: int) -> None:
        if type(a) is not type(b):
            self.differ(where, f"{shown_name(type(a))} became {shown_name(type(b))}")
        for mine, theirs, word in ((a, b, "removed"), (b, a, "added")):
            odd = [key for key in mine if key not in theirs]
            if odd:
                self.differ(where, f"keys {word}: {listed(odd)}")
        for key, item in a.items():
            if key in b:
                self.compare(
                    item, b[key], f"{where}/{path_step(key if isinstance(key, str | int) else str(key))}", depth + 1
                )

    def _sequences(self, a: Any, b: Any, where: str, depth: int) -> None:  # noqa: ANN401 - lists and tuples
        if type(a) is not type(b):
            self.differ(where, f"{shown_name(type(a))} became {shown_name(type(b))}")
        elif len(a) != len(b):
            self.differ(where, f"{len(a)} items became {len(b)}")
        fields = getattr(a, "_fields", None)
        if len(a) >= _AS_ARRAY and all(type(item) is float for items in (a, b) for item in items):
            import numpy as np

            size = min(len(a), len(b))
            self.numbers(np.array(a[:size]), np.array(b[:size]), At(where))
            return
        for place, (x, y) in enumerate(zip(a, b, strict=False)):
            self.compare(x, y, f"{where}/{fields[place] if fields else place}", depth + 1)

    def _objects(self, a: Any, b: Any, where: str, depth: int) -> None:  # noqa: ANN401 - any object
        if dataclasses.is_dataclass(a):
            names = [field.name for field in dataclasses.fields(a)]
            self.items({name: (getattr(a, name, None), getattr(b, name, None)) for name in names}, where, depth)
            more = [
                {key: it for key, it in getattr(item, "__dict__", {}).items() if key not in names} for item in (a, b)
            ]
            self._mappings(more[0], more[1], where, depth)
            return
        (mine, _), (theirs, _) = attempt(state_of, a), attempt(state_of, b)
        if mine is None or theirs is None:
            self.differ(where, f"{shown_name(type(a))} cannot be looked into")
        else:
            self.named(mine, theirs, where, depth)

    def _plain(self, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - one of ``_PLAIN``
        same = a == b or (a != a and b != b)  # noqa: PLR0124 - NaT, which is not equal to itself
        self.compared += 1
        if same and getattr(a, "tzinfo", None) == getattr(b, "tzinfo", None):
            return
        self.differing += 1
        if isinstance(a, str) and "\n" in a + b:
            self.texts(a, b, where)
        elif isinstance(a, bytes | bytearray):
            place = common_start(a, b)
            self.differ(where, f"bytes differ from {place:,} on ({len(a):,} became {len(b):,})", count=1)
        elif isinstance(a, set | frozenset):
            lost, gained = sorted(map(shown_text, a - b)), sorted(map(shown_text, b - a))
            said = [f"{word}: {listed(items)}" for word, items in (("removed", lost), ("added", gained)) if items]
            self.differ(where, f"members {'; '.join(said)}", count=1)
        else:
            self.differ(where, "", cell("", a, b, where), count=1)

    # ------------------------------------------------------------------------------------------------ what is noted

    def differ(self, where: str, note: str, *cells: CellDifference, count: int = 0) -> None:
        """Note that a part is different, whatever the tolerance."""
        self.add(
            PartDifference(where=where, note=redact(note), cells=cells, differing=count, compared=count, beyond=count)
        )

    def alike(self, where: str, note: str) -> None:
        """Note that a part has another form and the same values: equal for use, not identical."""
        self.add(PartDifference(where=where, verdict="equivalent", note=redact(note)))

    def texts(self, a: str, b: str, where: str) -> None:
        """Note two texts that differ, with the first lines that do."""
        if len(a) + len(b) > _MOST_TEXT:
            place = common_start(a, b)
            self.differ(
                where, f"texts differ from character {place} on (line {a.count(chr(10), 0, place) + 1})", count=1
            )
            return
        lines = list(difflib.unified_diff(a.splitlines(), b.splitlines(), "then", "now", lineterm="", n=0))[2:]
        kept = [redact(line)[: 2 * LONGEST] for line in lines[:_LINES]]
        more = f"\n({len(lines) - _LINES} more lines)" if len(lines) > _LINES else ""
        self.differ(where, "lines differ:\n" + "\n".join(kept) + more, count=1)

    def numbers(self, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], at: At) -> None:
        """Compare two arrays of numbers of one shape; positions are those of C's order."""
        self.reformed = self.reformed or other_form(a, b)
        self._gaps(measure(a, b, self.rule(at.where).tolerance), (a.reshape(-1), b.reshape(-1)), at)

    def cells(self, a: Sequence[Any], b: Sequence[Any], at: At) -> None:
        """Compare two columns of any Python values, position by position: numbers together, text by equality, others one by one."""
        places: list[int] = []
        wrong: list[int] = []
        self.compared += len(a)
        for place, (x, y) in enumerate(zip(a, b, strict=True)):
            if x is y or (type(x) is str and x == y):
                continue
            if is_missing(x) and is_missing(y):
                self.reformed = True
                continue
            if is_number(x) and is_number(y):
                places.append(place)
            elif all(isinstance(item, _PLAIN) or is_number(item) for item in (x, y)):
                if type(x) is not type(y) or x != y or getattr(x, "tzinfo", None) != getattr(y, "tzinfo", None):
                    wrong.append(place)
            else:
                self.compared -= 1
                self.compare(x, y, f"{at.where}/{path_step(at.label(place))}")
        if places:
            self.compared -= len(places)
            pairs = [(a[place], b[place]) for place in places]
            both = as_arrays(pairs)
            if both is not None:
                self.numbers(*both, dataclasses.replace(at, label=lambda place: at.label(places[place])))
            else:
                for place, (x, y) in zip(places, pairs, strict=True):
                    self.compare(x, y, f"{at.where}/{path_step(at.label(place))}")
        self.places(wrong, (a, b), len(a), at)

    def places(self, wrong: Sequence[int] | np.ndarray[Any, Any], columns: Columns, total: int, at: At) -> None:
        """Note the positions at which two columns differ, whatever the tolerance.

        Args:
            wrong: the positions; nothing is noted when there is none.
            columns: what gives what stands at a position, in the one and in the other.
            total: how many positions were compared.
            at: what they are of.
        """
        if not len(wrong):
            return
        self.differing += len(wrong)
        first = [int(place) for place in wrong[:_CELLS]]
        cells = tuple(cell(at.label(place), columns[0][place], columns[1][place], at.where) for place in first)
        found = {"differing": len(wrong), "compared": total, "beyond": len(wrong)}
        self.add(PartDifference(where=at.where, note=redact(at.note), cells=cells, **found))

    def _gaps(self, found: Gaps, columns: Columns, at: At) -> None:
        self.count(found.compared, found.differing)
        if not found.differing:
            if at.note:
                self.alike(at.where, at.note)
            return
        order = dict.fromkeys([*([found.worst] if found.worst is not None else []), *found.first])
        figures = {name: getattr(found, name) for name in _FIGURES}
        self.add(
            PartDifference(
                where=at.where,
                verdict="different" if found.beyond else "equivalent",
                note=redact(at.note),
                cells=tuple(cell(at.label(it), columns[0][it], columns[1][it], at.where) for it in order),
                tolerance=self.used(at.where),
                **figures,
            )
        )

    def add(self, part: PartDifference) -> None:
        """Note a part that differs."""
        if (clean := redact(part.where)) != part.where:
            part = part.model_copy(update={"where": clean})
        if len(self.parts) < _MOST_KEPT:
            self.parts.append(part)
        else:
            self.left_out += 1
            if part.verdict == "different":
                self.cut = self.cut or f"comparing stopped after {_MOST_KEPT:,} parts that differ"

    # ------------------------------------------------------------------------------------------------ tolerance

    def rule(self, where: str) -> ToleranceRule:
        """The rule of tolerance that decides for the part at ``where``."""
        key = (where if self._by_name else "", tuple(self._types))
        known = self._rules.get(key)
        if known is None:
            if len(self._rules) > _MOST_KEPT:
                self._rules.clear()
            scope = self._scope
            known = self._rules[key] = choose(scope.rules, scope.flow, scope.task, self._types, key[0])
        return known

    def used(self, where: str) -> ToleranceUsed:
        """The same as a report says it."""
        rule = self.rule(where)
        said = "default" if rule.origin == "default" else f"{rule} ({rule.origin})"
        held = rule.tolerance
        return ToleranceUsed(relative=held.relative, absolute=held.absolute, ulps=held.ulps, rule=said)

    def count(self, compared: int, differing: int) -> None:
        """Take in how many cells or pixels were compared, and how many of them differ."""
        self.compared += compared
        self.differing += differing

    def _named_types(self, value: Any) -> tuple[str, ...]:  # noqa: ANN401 - any value
        """What a rule may call a part: its kind, its class with and without the module."""
        if not self._by_type or type(value) in (int, float, str, bool, type(None)):
            return ()
        title, _ = attempt(shown_name, type(value))
        look = find_look(type(value))
        seen = attempt(look, value)[0] if look is not None else None
        kind = getattr(seen, "kind", None)
        names = (title or "", (title or "").rpartition(".")[2], kind or "")
        return tuple(name.lower() for name in names if name)
