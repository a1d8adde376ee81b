"""Sees by which columns pandas joins and groups, and which columns come out aggregated.

Knows ``_MergeOperation``, in which every join of pandas ends, and the methods of grouped frames that give one row a group. What it
says holds for columns of a step's inputs only, as they went in; of any other it says nothing, and pandas does what it would do.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any
from weakref import ref

from lineage_flows.capture import seams
from lineage_flows.capture.derivation import table
from lineage_flows.capture.operations import Aggregated, Operation, Owner, owners
from lineage_flows.capture.seams import SeamMissingError

__all__ = ["OPERATIONS", "PandasOperations"]

OPERATIONS = "by which columns pandas joins and groups"
"""What this is called among what could not be watched."""

_REDUCTIONS = frozenset(
    {
        *("all", "any", "count", "first", "idxmax", "idxmin", "kurt", "last", "max", "mean"),
        *("median", "min", "nunique", "prod", "quantile", "sem", "skew", "std", "sum", "var"),
    }
)
"""Methods that make one row of each group, every column of it from the column of that name."""
_SIZE = "size"
"""The number of rows of a group, which is made from no column."""
_NAMED = ("agg", "aggregate")
_NEEDED = frozenset({*_NAMED, _SIZE, "sum", "mean", "count"})
"""What every pandas has that this knows; others may be missing in a release."""
_MOST_COLUMNS = 100
"""Of a result with more aggregated columns only the grouping is told: to look at each takes longer than pandas takes for it."""

_Object = Any
"""pandas' own, or of the kinds it lets in."""
_Wrap = Callable[[type, str, Callable[[Callable[..., Any]], Any]], None]


class PandasOperations:
    """Wraps what joins and what groups.

    Attributes:
        tried: whether this pandas was found to work as it is known; until then nothing is said.
    """

    def __init__(self) -> None:
        self.tried = False
        self._here = threading.local()
        self._pandas: _Object = None
        self._merge: _Object = None
        self._grouper: _Object = None
        self._kinds: tuple[_Object, ...] = ()

    def install(self, module: ModuleType, wrap: _Wrap) -> None:
        """Put it in place.

        Args:
            module: pandas.
            wrap: replaces a method of a class.

        Raises:
            SeamMissingError: this pandas joins or groups in a way that is not known here; nothing was wrapped.
        """
        try:
            from pandas.api.typing import DataFrameGroupBy, SeriesGroupBy
            from pandas.core.groupby.ops import BaseGrouper
            from pandas.core.reshape.merge import _MergeOperation
        except ImportError as error:
            raise SeamMissingError(f"pandas {module.__version__} has no {error.name}: {error}") from error
        places = {
            (owner, name)
            for kind in (DataFrameGroupBy, SeriesGroupBy)
            for name in (*_REDUCTIONS, *_NEEDED)
            if (owner := next((base for base in kind.__mro__ if callable(vars(base).get(name))), None)) is not None
        }
        lacking = {*_NEEDED} - {name for _, name in places}
        if lacking or not callable(vars(_MergeOperation).get("get_result")):
            missing = ", ".join(sorted(lacking)) or "_MergeOperation.get_result"
            raise SeamMissingError(f"pandas {module.__version__} has no {missing}")
        self._pandas, self._merge, self._grouper = module, _MergeOperation, BaseGrouper
        self._kinds = (DataFrameGroupBy, SeriesGroupBy)
        wrap(_MergeOperation, "get_result", self._joined)
        for owner, name in sorted(places, key=lambda place: (place[0].__name__, place[1])):
            wrap(owner, name, lambda original, name=name: self._grouped(original, name))  # type: ignore[misc]

    def uninstall(self) -> None:
        """Say nothing any more; whoever wrapped the methods gives them back."""
        self.tried = False
        seams.forget(OPERATIONS)

    def try_out(self, module: ModuleType) -> None:
        """See whether pandas joins and groups in the way that is known here. Else nothing is said, and why is told."""
        try:
            self.tried = True
            _try(module)
        except Exception as error:  # noqa: BLE001 - the run goes on, and says what it lacks
            self._failed(error)

    # --------------------------------------------------------------------------------------------------------- wrappers

    def _joined(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(operation: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as pandas has it
            result = original(operation, *args, **kwargs)
            if table:
                self._note(self._join, operation, result)
            return result

        return call

    def _grouped(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(grouped: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as pandas has it
            if not table:
                return original(grouped, *args, **kwargs)
            inner = getattr(self._here, "inside", False)
            self._here.inside = True  # aggregations call each other: the flow's own call is the one to be seen
            try:
                result = original(grouped, *args, **kwargs)
            finally:
                self._here.inside = inner
            if not inner:
                self._note(self._grouping, grouped, name, args, kwargs, result)
            return result

        return call

    def _note(self, note: Callable[..., None], *facts: object) -> None:
        """Note what was done. Never raises: it is in the middle of the flow's own computation."""
        try:
            if table.untried is not None:
                table.untried()
            if self.tried:
                note(*facts)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.tried = False
        seams.disable(OPERATIONS, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, "pandas")

    # ------------------------------------------------------------------------------------------------------------ facts

    def _join(self, operation: _Object, result: _Object) -> None:
        left, right = operation.orig_left, operation.orig_right
        if type(operation) is not self._merge or type(result) is not self._pandas.DataFrame:
            return  # by nearness, in order, or every row with every row
        concerned = owners(left, right)
        if not concerned:
            return
        sides = self._columns(left, operation.left_on), self._columns(right, operation.right_on)
        for owner in concerned:
            keys = [key for side in sides for key in _sources(owner, side)]
            if keys:
                owner.did(result, Operation("join", keys))

    def _grouping(
        self, grouped: _Object, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: _Object
    ) -> None:
        pandas = self._pandas
        if type(grouped) not in self._kinds or type(result) not in (pandas.DataFrame, pandas.Series):
            return
        concerned = owners(grouped.obj)
        keys = self._keys(grouped) if concerned else []
        made_of = _made_of(grouped, name, args, kwargs, result) if keys else None
        if made_of is None:
            return
        labels = {key.name for key in keys}
        made_of = {output: source for output, source in made_of.items() if output not in labels}
        taken = self._taken(grouped, made_of) if len(made_of) <= _MOST_COLUMNS else {}
        for owner in concerned:
            inputs = _sources(owner, keys)
            columns = list(self._aggregated(owner, taken, result))
            if inputs or columns:
                owner.did(result, Operation("group_by", inputs, columns))

    def _columns(self, frame: _Object, labels: object) -> list[_Object]:
        """The columns of a frame that these labels name; nothing unless each is a text that names one column."""
        listed = [*labels] if isinstance(labels, list | tuple | self._pandas.Index) else []
        by_label = self._by_label(frame)
        places = [by_label.get(label) if type(label) is str else None for label in listed]
        return [] if None in places else [frame.iloc[:, place] for place in places]

    def _by_label(self, frame: _Object) -> dict[str, int]:
        """Where the columns of a plain frame are that have a text for a label, and share it with no other."""
        if type(frame) is not self._pandas.DataFrame:
            return {}
        texts = [label if type(label) is str else None for label in frame.columns]
        often = Counter(texts)
        return {label: place for place, label in enumerate(texts) if label is not None and often[label] == 1}

    def _keys(self, grouped: _Object) -> list[_Object]:
        """The columns by which was grouped, as they were then; nothing unless they were named by their labels."""
        labels = grouped.keys if type(grouped.keys) is list else [grouped.keys]
        groupings = getattr(grouped._grouper, "groupings", ())
        if grouped.level is not None or type(grouped._grouper) is not self._grouper or len(groupings) != len(labels):
            return []
        found = [
            one._orig_grouper
            for one, label in zip(groupings, labels, strict=True)
            if type(label) is str and one.in_axis and one.level is None and one.name == label
        ]
        whole = len(found) == len(labels) and all(type(one) is self._pandas.Series for one in found)
        return found if whole else []

    def _aggregated(self, owner: Owner, taken: dict[str, _Object], result: _Object) -> Iterator[Aggregated]:
        """The columns of a result that are aggregations of what went in.

        Args:
            owner: whose inputs are meant.
            taken: the column that each was made from, by its label.
            result: what came out.
        """
        by_label = self._by_label(result)
        for output, made_from in taken.items():
            if result.ndim == 2 and output not in by_label:
                continue
            column = result.iloc[:, by_label[output]] if result.ndim == 2 else result
            values = _values(column)
            source = None if values is None else owner.source(made_from)
            if source is not None and values is not None and (look := owner.look(column)).memory is not None:
                yield Aggregated(look, ref(values), source)

    def _taken(self, grouped: _Object, made_of: dict[str, str | None]) -> dict[str, _Object]:
        """The column that each output was aggregated from, where it is certain which one pandas took.

        A grouped frame keeps what it looked up, so that a column which was replaced since may still be aggregated, or no more.
        """
        from lineage_flows.content.frames import column_memory

        if grouped.obj.ndim == 1:
            plain = type(grouped.obj) is self._pandas.Series
            return {output: grouped.obj for output, label in made_of.items() if label is None and plain}
        kept = [vars(grouped).get("_cache", {}).get(name) for name in ("_obj_with_exclusions", "_selected_obj")]
        frames = [(grouped.obj, self._by_label(grouped.obj))]
        frames += [(one, self._by_label(one)) for one in kept if one is not None and one is not grouped.obj]
        found: dict[str, _Object] = {}
        for output, label in made_of.items():
            columns = [frame.iloc[:, places[label]] for frame, places in frames if label in places]
            odd = [frame for frame, places in frames[1:] if label not in places and label in frame]
            if label in frames[0][1] and not odd and len({column_memory(one) for one in columns}) == 1:
                found[output] = columns[0]
        return found


def _sources(owner: Owner, columns: list[_Object]) -> list[Any]:
    """What went in of these columns, all of it or nothing: half a key would be taken for the key."""
    found = []
    for column in columns:
        source = owner.source(column)
        if source is None:
            return []
        found.append(source)
    return found


def _values(column: _Object) -> _Object:
    """Who owns a column's memory; None of texts and objects."""
    import numpy as np

    from lineage_flows.content.frames import column_values

    values = None if str(column.dtype) == "object" else column_values(column)
    while values is not None and isinstance(values.base, np.ndarray):
        values = values.base
    return values


def _made_of(
    grouped: _Object, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: _Object
) -> dict[str, str | None] | None:
    """Of which column each column of a result is an aggregation: its label, or None for the grouped series.

    Returns:
        The columns of which it is known; None when the result may not have one row a group.
    """
    single = grouped.obj.ndim == 1
    labels = [one for one in (result.columns if result.ndim == 2 else [result.name]) if type(one) is str]
    plain: dict[str, str | None] = {label: None if single else label for label in labels}
    if single and result.ndim == 2:  # with its keys beside it
        plain = {label: None for label in labels if label == grouped.obj.name}
    if name in _NAMED:
        how = args[0] if args else kwargs.get("func")
        if how is None:
            return _named(kwargs, single=single)
        if type(how) is dict:
            return None if single else _listed({label: (label, one) for label, one in how.items()})
        if type(how) is list:
            listed = _listed({place: (None, one) for place, one in enumerate(how)})
            outputs: dict[str, str | None] = {one: None for one in how if type(one) is str and one != _SIZE}
            return None if listed is None else (outputs if single else {})
        if type(how) is FunctionType:
            return {}
        name = how if type(how) is str else ""
    if name == _SIZE:
        return {}
    return plain if name in _REDUCTIONS else None


def _named(outputs: dict[str, Any], *, single: bool) -> dict[str, str | None] | None:
    """Named aggregation: ``total=("x", "sum")`` of a frame, ``total="sum"`` of a series."""
    pairs: dict[Any, tuple[Any, Any]] = {}
    for output, one in outputs.items():
        if single:
            pairs[output] = None, one
        elif type(one) is tuple and len(one) == 2:
            pairs[output] = one
        elif hasattr(one, "aggfunc") and not getattr(one, "args", ()) and not getattr(one, "kwargs", {}):
            pairs[output] = one.column, one.aggfunc
        else:
            return None
    return _listed(pairs)


def _listed(pairs: dict[Any, tuple[Any, Any]]) -> dict[str, str | None] | None:
    """Outputs with the column and what was done to it, by those of which it is known; None when something is no aggregation."""
    found: dict[str, str | None] = {}
    for output, (label, how) in pairs.items():
        ways = how if type(how) is list else [how]
        if not ways or not all(map(_is_reduction, ways)):
            return None
        if type(how) is str and how != _SIZE and type(output) is str and (label is None or type(label) is str):
            found[output] = label
    return found


def _is_reduction(how: object) -> bool:
    """Whether this makes one row of each group; of a function pandas sees to it."""
    return type(how) is FunctionType or (type(how) is str and (how in _REDUCTIONS or how == _SIZE))


def _try(pandas: ModuleType) -> None:
    """Whether joins and groupings tell what they should.

    Raises:
        SeamMissingError: one does not.
    """
    from lineage_flows.capture.columns import InputColumns
    from lineage_flows.content import Columns, describe

    left = pandas.DataFrame({"k": [1, 2, 2], "v": [1.0, 2.0, 3.0]})
    right = pandas.DataFrame({"k": [1, 2], "w": [3.0, 4.0]})
    columns = InputColumns()
    for name, frame in (("left", left), ("right", right)):
        looks: Columns = {}
        describe(frame, columns=looks)
        columns.add(name, frame, looks)
    grouped = {("", "group_by", ("left.k",)), ("v", "aggregation", ("left.v",))}
    made = {
        "merge": (left.merge(right, on="k"), {("", "join", ("left.k", "right.k"))}),
        "groupby": (left.groupby("k").sum(), grouped),
        "groupby of a column": (left.groupby("k")["v"].mean(), grouped),
        "agg": (left.groupby("k").agg(v=("v", "sum")), grouped),
    }
    try:
        for operation, (result, expected) in made.items():
            looks = {}
            describe(result, columns=looks)
            edges = columns.edges(result, looks, alone=False)
            said = {
                (edge.output, edge.how, tuple(f"{one.name}.{one.column}" for one in edge.inputs))
                for edge in edges
                if edge.known_by == "operation"
            }
            if said != expected:
                version = pandas.__version__
                raise SeamMissingError(f"in pandas {version} the result of {operation} does not tell by which columns")
    finally:
        columns.release()
