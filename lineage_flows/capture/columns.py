"""Which columns of what a step gives out are columns of what went in, said only where it is certain.

Knows frames and series of pandas and polars, the tokens of their columns, and what was made from which. A column is claimed to be
another one when their contents are equal and it is also known that the one comes from the other: since they lie in the same memory,
or since the frame was made from the other frame and from nothing unknown, and nobody could have come by that content otherwise.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from lineage_flows.capture.derivation import UNKNOWN, Mark, components, table
from lineage_flows.capture.operations import InputMark, Operation, aggregated, operations, whole_edges
from lineage_flows.content import Columns
from lineage_flows.content.walk import ColumnLook, Memory
from lineage_flows.record_base import ColumnBasis, ColumnEdge, ColumnSource

__all__ = ["InputColumns"]

_MEMORY = "inmemory://"
_MOST_COLUMNS = 1000
"""Of a frame with more nothing is said."""
_MOST_OPERATIONS = 256
"""Joins and groupings of one attempt that are remembered."""
_MOST_HASHED = 8
"""How often one column that went in is hashed again, to see that it is still what it was: a loop is not to pay for each turn."""
_MOST_LOOKS = 1000
"""Columns that are looked at in joins and groupings of one attempt, some 0.3 ms each in small frames."""
_HEAD = 256
_TELLING = 10
"""Distinct values among the first ``_HEAD`` by which a content is told from one that came about by itself."""

_PLAIN = {
    ("builtins", "NoneType"),
    ("builtins", "float"),
    ("builtins", "int"),
    ("builtins", "str"),
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("decimal", "Decimal"),
    ("pandas", "NaTType"),
    ("pandas", "Timedelta"),
    ("pandas", "Timestamp"),
}
"""Types whose comparison runs nobody's code."""

_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})

_Frame = Any


class _Taken:
    """A frame that went in.

    Attributes:
        name: the parameter, and the path in it (``frames/0``).
        frame: the object.
        mark: by which what is made from it can be told.
        labels: of its columns; None of one whose label is no text, or not the only one of its kind.
        looks: at its columns when it went in.
        looked: how often a column was looked at again since, by its place.
    """

    __slots__ = ("frame", "labels", "looked", "looks", "mark", "name")

    def __init__(self, name: str, frame: _Frame, labels: list[str | None], looks: list[ColumnLook], mark: Mark) -> None:
        self.name = name
        self.frame = weakref.ref(frame)
        self.mark = mark
        self.labels = labels
        self.looks = looks
        self.looked: Counter[int] = Counter()

    def lies(self) -> list[Memory | None]:
        """Where its columns lie now; nothing when it is gone."""
        frame = self.frame()
        return [] if frame is None else _memory(frame)

    def lies_at(self, place: int) -> Memory | None:
        """Where one column of a pandas frame lies now."""
        frame = self.frame()
        if frame is None or _is_polars(frame) or (_is_frame(frame) and place >= frame.shape[1]):
            return None
        from lineage_flows.content.frames import column_memory

        return column_memory(frame.iloc[:, place] if _is_frame(frame) else frame)


class InputColumns:
    """The columns that went into one attempt of a step."""

    def __init__(self) -> None:
        self._told = True
        self._strip = ""
        self._marks: set[Mark] = set()
        self._taken: list[_Taken] = []
        self._by_token: defaultdict[bytes, list[tuple[_Taken, int]]] = defaultdict(list)
        self._by_memory: dict[Memory, list[tuple[_Taken, int]]] | None = None
        self._operations: list[Operation] = []
        self._looks_left = _MOST_LOOKS

    def add(self, parameter: str, value: object, columns: Columns, *, strip: str = "") -> None:
        """A value goes in for a parameter; what is made from its frames from now on can be told.

        Args:
            parameter: its name.
            value: the value.
            columns: in it.
            strip: with which it was looked at, see ``fingerprint``.
        """
        self._told = self._told and _is_told(value)
        self._strip = strip
        self._by_memory = None
        for path, frame, labels, looks in _frames(value, columns):
            taken = _Taken(parameter + path, frame, labels, looks, InputMark(self))
            self._taken.append(taken)
            self._marks |= {*table.of(frame), taken.mark}
            table.add(frame, frozenset({taken.mark}))
            for place, look in enumerate(looks):
                self._by_token[look.token].append((taken, place))

    def release(self) -> None:
        """The attempt has ended: what is made from its inputs from now on is not its doing."""
        for taken in self._taken:
            frame = taken.frame()
            if frame is not None:
                table.discard(frame, frozenset({taken.mark}))
        self._told = True
        self._marks.clear()
        self._taken.clear()
        self._by_token.clear()
        self._by_memory = None
        self._operations = []
        self._looks_left = _MOST_LOOKS

    @property
    def asks(self) -> bool:
        """Whether it is worth saying what is done with what went in."""
        return bool(self._taken) and self._looks_left > 0 and len(self._operations) < _MOST_OPERATIONS

    def source(self, column: _Frame) -> ColumnSource | None:
        """The column that went in, when a column of pandas is it: it lies there still, and is what it was.

        Memory alone does not say so: what is written into it stays where it is. None where two that went in are meant.
        """
        from lineage_flows.content.frames import column_memory

        self._looks_left -= 1
        memory = column_memory(column)
        if memory is None or str(column.dtype) == "object":  # to hash objects would run the user's code
            return None
        if self._by_memory is None:
            self._by_memory = _by_memory(self._taken)
        lain = self._by_memory.get(memory, ())
        found = [(taken, place) for taken, place in lain if taken.lies_at(place) == memory]
        if len(found) != 1:
            return None
        ((taken, place),) = found
        label = taken.labels[place]
        if label is None or taken.looked[place] >= _MOST_HASHED:
            return None
        taken.looked[place] += 1
        if self.look(column) != taken.looks[place]:
            return None
        return ColumnSource(namespace=_MEMORY, name=taken.name, column=label)

    def look(self, column: _Frame) -> ColumnLook:
        """A column of pandas as it is now, seen as those that went in were.

        Raises:
            ContentError: it has no token.
        """
        from lineage_flows.content.frames import column_look

        return column_look(column, self._strip)

    def did(self, result: object, operation: Operation) -> None:
        """An object has come out of an operation."""
        self._operations.append(operation)
        table.add(result, frozenset({operation}))

    def edges(self, output: object, columns: Columns, *, alone: bool) -> tuple[ColumnEdge, ...]:
        """What is certain of the columns of a step's output.

        Args:
            output: what it gives out.
            columns: in it.
            alone: whether it got at nothing but its parameters: what it read elsewhere may hold equal columns.
        """
        lies: dict[_Taken, list[Memory | None]] = {}
        frames = list(_frames(output, columns)) if self._taken else []
        whole = all(len(looks) <= _MOST_COLUMNS for *_, looks in frames)
        found = list(whole_edges(self._operations, [frame for _, frame, *_ in frames])) if whole else []
        for path, frame, labels, looks in frames:
            if len(looks) > _MOST_COLUMNS:
                continue
            # An operation is none that could bring in equal columns: what went into it has marks of its own.
            marks = frozenset(mark for mark in table.of(frame) if not isinstance(mark, Operation))
            done = operations(self._operations, frame)
            # Whatever else went into the frame may hold equal columns: it has to be made from nothing but what is known here.
            known = (
                marks if alone and self._told and UNKNOWN not in marks and marks <= self._marks else frozenset[Mark]()
            )
            for place, (label, look) in enumerate(zip(labels, looks, strict=True)):
                if label is None:
                    continue
                output_name = f"{path}/{label}" if path else label
                if (made_of := aggregated(done, look)) is not None:
                    found.append(
                        ColumnEdge(output=output_name, inputs=(made_of,), how="aggregation", known_by="operation")
                    )
                    continue
                equal = self._by_token.get(look.token)
                if not equal:
                    continue
                same = [(taken, at) for taken, at in equal if _in_one_memory(look, taken, at, lies)]
                basis: ColumnBasis = "memory"
                if not same and len(equal) == 1 and equal[0][0].mark in known:
                    same, basis = equal, "content"
                if len(same) != 1 or (column := same[0][0].labels[same[0][1]]) is None:
                    continue
                if basis == "content" and not _is_telling(frame, place, renamed=column != label):
                    continue
                source = ColumnSource(namespace=_MEMORY, name=same[0][0].name, column=column)
                found.append(ColumnEdge(output=output_name, inputs=(source,), how="identity", known_by=basis))
        return tuple(found)


def _by_memory(frames: list[_Taken]) -> dict[Memory, list[tuple[_Taken, int]]]:
    found: dict[Memory, list[tuple[_Taken, int]]] = {}
    for taken in frames:
        for place, look in enumerate(taken.looks):
            if look.memory is not None:
                found.setdefault(look.memory, []).append((taken, place))
    return found


def _in_one_memory(look: ColumnLook, taken: _Taken, place: int, lies: dict[_Taken, list[Memory | None]]) -> bool:
    """Whether a column lies where one that went in lay, and still lies: so no address can have been used twice."""
    if look.memory is None or look.memory != taken.looks[place].memory:
        return False
    if taken not in lies:
        lies[taken] = taken.lies()
    now = lies[taken]
    return place < len(now) and look.memory == now[place]


def _is_told(value: object, depth: int = 3) -> bool:
    """Whether a value holds no columns but those of frames that are looked at: an array, a list or a model may hold equal ones."""
    cls = type(value)
    if cls in _SCALARS or isinstance(value, _kinds()):
        return True
    parts = list(value.values()) if cls is dict else list(value) if cls in {list, tuple} else None  # type: ignore[attr-defined, call-overload]
    if parts is None or not depth or len(parts) > _HEAD or sum(type(part) in _SCALARS for part in parts) >= _TELLING:
        return False
    return all(_is_told(part, depth - 1) for part in parts)


def _frames(value: object, columns: Columns) -> Iterator[tuple[str, _Frame, list[str | None], list[ColumnLook]]]:
    """The frames and series in a value whose columns were looked at: path, object, labels, looks."""
    if not columns:
        return
    for path, frame in components(value, _kinds()):
        looks = columns.get(id(frame))
        if looks:
            labels = _labels(frame)
            if len(labels) == len(looks):
                yield path, frame, labels, looks


def _kinds() -> tuple[type, ...]:
    """Frames and series of the libraries that are loaded."""
    found: list[type] = []
    for name in ("pandas", "polars"):
        module = sys.modules.get(name)
        found += [kind for kind in map(vars(module).get, ("DataFrame", "Series")) if kind] if module else []
    return tuple(found)


def _is_frame(frame: _Frame) -> bool:
    return hasattr(frame, "columns")


def _is_polars(frame: _Frame) -> bool:
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(frame, (polars.DataFrame, polars.Series))


def _labels(frame: _Frame) -> list[str | None]:
    labels = list(frame.columns) if _is_frame(frame) else [frame.name]
    texts = [label if type(label) is str and label else None for label in labels]
    often = Counter(texts)
    return [label if often[label] == 1 else None for label in texts]


def _memory(frame: _Frame) -> list[Memory | None]:
    """Where the columns of a frame lie."""
    if _is_polars(frame):
        from lineage_flows.content.polars_frames import column_memory as polars_memory

        return [polars_memory(column) for column in (frame.iter_columns() if _is_frame(frame) else [frame])]
    from lineage_flows.content.frames import column_memory

    return [column_memory(column) for _, column in frame.items()] if _is_frame(frame) else [column_memory(frame)]


def _is_telling(frame: _Frame, place: int, *, renamed: bool) -> bool:
    """Whether nobody comes by such a content in another way than by taking it over.

    Constants, flags and numbers in equal steps (of rows, of days) are made anew all the time. Whole numbers and dates come about
    in many ways too (ranks, calendars), so that those also have to have kept their name.
    """
    column = frame.iloc[:_HEAD, place] if _is_frame(frame) else frame.iloc[:_HEAD]
    head = column.tolist()
    kinds = {type(value) for value in head}
    if not {(kind.__module__.partition(".")[0], kind.__name__) for kind in kinds} <= _PLAIN:
        return False  # to compare objects would run the user's code
    values = [value for value in head if value is not None and value == value]  # noqa: PLR0124 - not NaN or NaT
    if len(set(values)) < _TELLING:
        return False
    if kinds <= {str, type(None), float} and all(type(value) is str for value in values):
        return True
    try:
        if renamed and not all(type(value) is float for value in values):
            return False
        first = values[1] - values[0]
        return any(abs(b - a - first) > abs(first) * 1e-9 for a, b in itertools.pairwise(values))
    except (TypeError, ArithmeticError):
        return False  # of kinds that cannot be subtracted from each other
