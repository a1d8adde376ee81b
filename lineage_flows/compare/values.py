"""Compares two values: identical, equal within a numeric tolerance, or different, and where they differ most.

Knows content (fingerprints, loading) and records; must not know runs.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lineage_flows.content import fingerprint, load_value
from lineage_flows.errors import ContentError
from lineage_flows.records import ValueRef, Verdict

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ATOL", "RTOL", "ValueComparison", "compare_refs", "compare_values", "worst"]

RTOL = 1e-9
"""Relative tolerance: other CPU kernels and thread counts change the last few of a double's sixteen digits."""
ATOL = 1e-12
"""Absolute tolerance, for numbers that should be zero."""

_ORDER: tuple[Verdict, ...] = ("identical", "equivalent", "different")
_DEPTH = 60


@dataclass(frozen=True, slots=True)
class ValueComparison:
    """What came of a comparison.

    ``largest`` is the largest absolute difference between two numbers, None when no numbers differ or something else does;
    ``where`` the path (``/sharpe``, ``/0/prices``) of the first part that differs most. Empty for the value as a whole.
    """

    verdict: Verdict
    largest: float | None = None
    where: str = ""
    note: str = ""


_SAME = ValueComparison("identical")


def worst(verdicts: Iterator[Verdict] | tuple[Verdict, ...] | list[Verdict]) -> Verdict:
    """The worst of several verdicts; identical when there is none."""
    return max(verdicts, key=_ORDER.index, default="identical")


def compare_values(a: object, b: object, *, rtol: float = RTOL, atol: float = ATOL) -> ValueComparison:
    """Compare two values by fingerprint, then number by number.

    Integers, text, times and shapes must be equal; numbers of which at least one is a float may differ within the tolerance
    (``|a - b| <= atol + rtol * |b|``; NaN equals NaN). Of the same kind of object, its state is compared.
    """
    mine, theirs = fingerprint(a), fingerprint(b)
    if mine is not None and mine == theirs:
        return _SAME
    found = _Walk(rtol, atol).compare(a, b, "", 0)
    # Equal number by number and yet another fingerprint: another dtype, -0.0 for 0.0. Equal for use, not identical.
    return dataclasses.replace(found, verdict="equivalent") if found.verdict == "identical" else found


def compare_refs(
    a: ValueRef | None,
    b: ValueRef | None,
    *,
    read: Callable[[str], bytes] | None = None,
    trust_pickle: bool = False,
    rtol: float = RTOL,
    atol: float = ATOL,
) -> ValueComparison | None:
    """Compare two recorded values as far as the records allow: fingerprints, then previews, then what was kept of them.

    Args:
        a: the one value, None when there was none.
        b: the other value.
        read: reads a blob by digest; None compares without the contents.
        trust_pickle: load values that were stored as pickles; only for a replay that the user asked for.
        rtol: relative tolerance.
        atol: absolute tolerance.

    Returns:
        None when the values cannot be compared (no fingerprint on either side).
    """
    if a is None or b is None:
        return _SAME if a is b else ValueComparison("different", note="only one of the two runs gave a value")
    if a.fingerprint is None and b.fingerprint is None:
        return _SAME if a.rule == b.rule == "secret" else None
    if a.fingerprint == b.fingerprint:
        return _SAME
    if a.type != b.type and {a.kind, b.kind} == {"Value"} and not (_is_number(a.preview) and _is_number(b.preview)):
        return ValueComparison("different", note=f"{a.type} became {b.type}")
    contents = _contents(a, b, read, trust_pickle=trust_pickle)
    if contents is None:
        return ValueComparison("different", note="values not kept: compared by fingerprint only")
    found = _Walk(rtol, atol).compare(*contents, "", 0)
    return dataclasses.replace(found, verdict="equivalent") if found.verdict == "identical" else found


def _contents(
    a: ValueRef, b: ValueRef, read: Callable[[str], bytes] | None, *, trust_pickle: bool
) -> tuple[object, object] | None:
    """What was recorded of two values themselves; None when too little was."""
    if a.preview is not None and b.preview is not None:
        return a.preview, b.preview
    if read is None or a.blob is None or b.blob is None:
        return None
    try:
        return (
            load_value(read(a.blob.digest), a.blob.format, trust_pickle=trust_pickle),
            load_value(read(b.blob.digest), b.blob.format, trust_pickle=trust_pickle),
        )
    except ContentError:  # not there any more, or a pickle that may not be loaded: the fingerprints have to do
        return None


class _Walk:
    """One comparison, down through containers; remembers the pairs it is inside of, so that cycles end."""

    def __init__(self, rtol: float, atol: float) -> None:
        self.rtol = rtol
        self.atol = atol
        self._inside: set[tuple[int, int]] = set()

    def compare(self, a: object, b: object, where: str, depth: int) -> ValueComparison:
        if a is b:
            return _SAME
        if depth > _DEPTH:
            return ValueComparison("different", where=where, note="nested too deeply to compare")
        key = (id(a), id(b))
        if key in self._inside:
            return _SAME
        self._inside.add(key)
        try:
            return self._compare(a, b, where, depth)
        finally:
            self._inside.discard(key)

    def _compare(self, a: Any, b: Any, where: str, depth: int) -> ValueComparison:  # noqa: ANN401 - any value at all
        if _is_number(a) and _is_number(b):
            return self._numbers(a, b, where)
        for matches, method in _RULES:
            if matches(a) and matches(b):
                return method(self, a, b, where, depth)
        if type(a) is not type(b):
            return ValueComparison("different", where=where, note=f"{type(a).__name__} became {type(b).__name__}")
        if isinstance(a, _PLAIN):
            return _SAME if a == b else ValueComparison("different", where=where)
        return self._objects(a, b, where, depth)

    def _numbers(self, a: Any, b: Any, where: str) -> ValueComparison:  # noqa: ANN401 - int, float, complex, numpy's scalars
        if isinstance(a, numbers.Integral) and isinstance(b, numbers.Integral):
            same = int(a) == int(b)
            return _SAME if same else ValueComparison("different", float(_gap(int(a), int(b))), where)
        x, y = complex(a), complex(b)
        gaps = [_number_gap(x.real, y.real, self.rtol, self.atol), _number_gap(x.imag, y.imag, self.rtol, self.atol)]
        verdict = worst([verdict for verdict, _ in gaps])
        return _SAME if verdict == "identical" else ValueComparison(verdict, max(gap for _, gap in gaps), where)

    def _mappings(self, a: Mapping[Any, Any], b: Mapping[Any, Any], where: str, depth: int) -> ValueComparison:
        if a.keys() != b.keys():
            odd = sorted(map(str, a.keys() ^ b.keys()))
            return ValueComparison("different", where=where, note=f"keys differ: {', '.join(odd[:5])}")
        return self._all(((a[key], b[key], f"{where}/{key}") for key in a), depth)

    def _sequences(self, a: Any, b: Any, where: str, depth: int) -> ValueComparison:  # noqa: ANN401 - lists and tuples
        if type(a) is not type(b) or len(a) != len(b):
            return ValueComparison("different", where=where, note=f"{len(a)} items became {len(b)}")
        return self._all(((x, y, f"{where}/{i}") for i, (x, y) in enumerate(zip(a, b, strict=True))), depth)

    def _arrays(self, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], where: str, depth: int) -> ValueComparison:
        import numpy as np

        if a.shape != b.shape or a.dtype.names != b.dtype.names:
            note = f"{a.dtype} {a.shape} became {b.dtype} {b.shape}"
            return ValueComparison("different", where=where, note=note)
        if a.dtype.names:
            return self._all(((a[name], b[name], f"{where}/{name}") for name in a.dtype.names), depth)
        kinds = {a.dtype.kind, b.dtype.kind}
        if kinds & set("fc"):
            if kinds <= set("biufc"):
                return self._floats(a, b, where)
            return ValueComparison("different", where=where, note=f"{a.dtype} became {b.dtype}")
        if "O" in kinds:
            pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
            return self._all(((x, y, f"{where}/{i}") for i, (x, y) in enumerate(pairs)), depth)
        same = bool(np.array_equal(a, b, equal_nan=kinds <= set("mM")))
        return _SAME if same else ValueComparison("different", where=where)

    def _floats(self, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], where: str) -> ValueComparison:
        import numpy as np

        with np.errstate(all="ignore"):
            same = (a == b) | ((a != a) & (b != b))  # noqa: PLR0124 - NaN is what is not equal to itself
            if bool(np.all(same)):
                return _SAME
            gaps = np.where(same, 0.0, np.abs(a - b))
            close = bool(np.all(same | (gaps <= self.atol + self.rtol * np.abs(b))))
        largest = float(np.max(np.where(np.isnan(gaps), math.inf, gaps)))
        return ValueComparison("equivalent" if close else "different", largest, where)

    def _frames(self, a: Any, b: Any, where: str, depth: int) -> ValueComparison:  # noqa: ANN401 - pandas has no types here
        if a.shape != b.shape:
            return ValueComparison("different", where=where, note=f"shape {a.shape} became {b.shape}")
        if list(a.columns) != list(b.columns):
            return ValueComparison("different", where=where, note="columns differ")
        index = self._index(a.index, b.index, f"{where}/index", depth)
        if index.verdict == "different":
            return index
        columns = ((a.iloc[:, i], b.iloc[:, i], f"{where}/{name}") for i, name in enumerate(a.columns))
        return _merge([index, *(self._column(x, y, at, depth + 1) for x, y, at in columns)])

    def _series(self, a: Any, b: Any, where: str, depth: int) -> ValueComparison:  # noqa: ANN401 - as above
        if a.shape != b.shape or a.name != b.name:
            return ValueComparison(
                "different", where=where, note=f"{a.name!r} of {len(a)} became {b.name!r} of {len(b)}"
            )
        return _merge([self._index(a.index, b.index, f"{where}/index", depth), self._column(a, b, where, depth)])

    def _index(self, a: Any, b: Any, where: str, depth: int) -> ValueComparison:  # noqa: ANN401 - as above
        if len(a) != len(b) or list(a.names) != list(b.names):
            return ValueComparison("different", where=where, note="index differs")
        return _SAME if a.equals(b) else self._column(a, b, where, depth)

    def _column(self, a: Any, b: Any, where: str, depth: int) -> ValueComparison:  # noqa: ANN401 - as above
        import numpy as np

        if getattr(a.dtype, "kind", "O") in "fc" or getattr(b.dtype, "kind", "O") in "fc":
            try:
                x, y = (item.to_numpy(dtype=np.complex128, na_value=np.nan) for item in (a, b))
            except (TypeError, ValueError):
                return ValueComparison("different", where=where, note=f"{a.dtype} became {b.dtype}")
            return self._floats(x, y, where)
        if str(a.dtype) != str(b.dtype) and not (
            {getattr(a.dtype, "kind", "O"), getattr(b.dtype, "kind", "O")} <= {"i", "u"}
        ):
            return ValueComparison("different", where=where, note=f"{a.dtype} became {b.dtype}")
        if a.equals(b):
            return _SAME
        return self._arrays(a.to_numpy(), b.to_numpy(), where, depth)

    def _tables(self, a: Any, b: Any, where: str, depth: int) -> ValueComparison:  # noqa: ANN401 - pyarrow and polars tables
        if a.schema != b.schema or a.shape != b.shape:
            return ValueComparison("different", where=where, note="columns or rows differ")
        pairs = zip(a.schema, _columns(a), _columns(b), strict=True)
        return _merge([self._arrays(x, y, f"{where}/{getattr(name, 'name', name)}", depth) for name, x, y in pairs])

    def _objects(self, a: Any, b: Any, where: str, depth: int) -> ValueComparison:  # noqa: ANN401 - any object
        if dataclasses.is_dataclass(a):
            names = [field.name for field in dataclasses.fields(a)]
            pairs = ((getattr(a, name, None), getattr(b, name, None), f"{where}/{name}") for name in names)
            return self._all(pairs, depth)
        mine, theirs = _state(a), _state(b)
        if mine is None or theirs is None:
            return ValueComparison("different", where=where, note=f"{type(a).__name__} cannot be looked into")
        return self.compare(mine, theirs, where, depth + 1)

    def _all(self, pairs: Iterator[tuple[Any, Any, str]], depth: int) -> ValueComparison:
        return _merge([self.compare(a, b, at, depth + 1) for a, b, at in pairs])


def _merge(found: list[ValueComparison]) -> ValueComparison:
    """The worst of the parts; of several equally bad, the one with the largest gap, then the first."""
    differing = [item for item in found if item.verdict != "identical"]
    if not differing:
        return _SAME
    verdict = worst([item.verdict for item in differing])
    return max(
        (item for item in differing if item.verdict == verdict),
        key=lambda item: math.inf if item.largest is None else item.largest,
    )


def _number_gap(a: float, b: float, rtol: float, atol: float) -> tuple[Verdict, float]:
    if a == b or (math.isnan(a) and math.isnan(b)):
        return "identical", 0.0
    gap = abs(a - b)
    if math.isfinite(gap) and gap <= atol + rtol * abs(b):
        return "equivalent", gap
    return "different", gap if not math.isnan(gap) else math.inf


def _gap(a: int, b: int) -> float:
    try:
        return float(abs(a - b))
    except OverflowError:
        return math.inf


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Complex) and not isinstance(value, bool)


_PLAIN = (str, bytes, bytearray, bool, set, frozenset, type, range)


def _of(*names: str) -> Callable[[object], bool]:
    """A test by the names of a value's classes, so that no library is imported to ask."""
    wanted = set(names)
    return lambda value: any(
        f"{kind.__module__.partition('.')[0]}.{kind.__name__}" in wanted for kind in type(value).__mro__
    )


def _columns(table: Any) -> list[Any]:  # noqa: ANN401 - a pyarrow or polars table
    """Its columns as numpy arrays, in order."""
    if hasattr(table, "get_columns"):
        return [column.to_numpy() for column in table.get_columns()]
    return [column.to_numpy(zero_copy_only=False) for column in table.columns]


def _state(value: object) -> object | None:
    """What an object consists of, by its own pickle reduction; None when it has none."""
    try:
        reduced = value.__reduce_ex__(4)
    except (TypeError, AttributeError, ValueError, NotImplementedError, RecursionError, pickle.PicklingError):
        return None
    if not isinstance(reduced, tuple):
        return None
    constructor, arguments, *rest = reduced
    state, items, entries = (*rest[:3], None, None, None)[:3]
    return [
        getattr(constructor, "__qualname__", ""),
        [item for item in arguments if not isinstance(item, type)],
        state,
        list(items) if items is not None else None,
        list(entries) if entries is not None else None,
    ]


_RULES: tuple[tuple[Callable[[object], bool], Callable[[_Walk, Any, Any, str, int], ValueComparison]], ...] = (
    (lambda value: isinstance(value, Mapping), _Walk._mappings),
    (lambda value: isinstance(value, list | tuple), _Walk._sequences),
    (_of("numpy.ndarray"), _Walk._arrays),
    (_of("pandas.DataFrame"), _Walk._frames),
    (_of("pandas.Series"), _Walk._series),
    (_of("pandas.Index"), _Walk._index),
    (_of("pyarrow.Table", "pyarrow.RecordBatch", "polars.DataFrame"), _Walk._tables),
)
