"""Sees which frames, series and arrays pandas makes from which.

Knows how pandas hands metadata on: nearly every method that gives a new object calls ``NDFrame.__finalize__`` on it with the
object, or objects, it was made from. That is a pandas internal, so a few operations are tried when it is put in place.
"""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from lineage_flows.capture import seams
from lineage_flows.capture.adapters.pandas_operations import OPERATIONS, PandasOperations
from lineage_flows.capture.derivation import PANDAS, UNKNOWN, Mark, table
from lineage_flows.capture.seams import SeamMissingError

__all__ = ["PandasAdapter"]


class PandasAdapter:
    """Wraps ``NDFrame.__finalize__``, and the few methods that do without it."""

    name = PANDAS
    module = "pandas"

    def __init__(self) -> None:
        self._done: list[tuple[type, str, object, object]] = []
        self._operations = PandasOperations()

    def install(self, module: ModuleType) -> None:
        """Put it in place; it is tried when the first frame is given out.

        Not now: pyarrow imports pandas in the middle of its own C++ code, with a lock held that pandas waits for when it is used.

        Raises:
            SeamMissingError: this pandas does not hand metadata on in the way this adapter knows.
        """
        if self._done:
            return
        try:
            import numpy as np
            from pandas.core.base import IndexOpsMixin
            from pandas.core.generic import NDFrame
        except ImportError as error:
            raise SeamMissingError(f"pandas {module.__version__} has no {error.name}") from error
        folder = os.path.dirname(module.__file__ or "")  # noqa: PTH120 - the text is compared
        self._wrap(NDFrame, "__finalize__", lambda original: _finalize(original, NDFrame), folder)
        arrays = functools.partial(_to_array, kind=np.ndarray, frames=NDFrame)
        for owner in (module.DataFrame, IndexOpsMixin):
            self._wrap(owner, "to_numpy", arrays, folder)
        for owner in (module.DataFrame, module.Series):
            self._wrap(owner, "values", arrays, folder)
        self._wrap_makers(module, folder)
        try:
            self._operations.install(module, functools.partial(self._wrap, folder=folder))
        except SeamMissingError as error:  # what was made from which is told all the same
            seams.disable(OPERATIONS, str(error), self.module)
        table.kinds = (NDFrame, np.ndarray)
        table.untried = functools.partial(self._tried, module)

    def uninstall(self) -> None:
        """Give pandas its own functions back."""
        for owner, name, original, ours in reversed(self._done):
            if vars(owner).get(name) is ours:
                setattr(owner, name, original)
        self._done.clear()
        self._operations.uninstall()
        table.kinds, table.untried = (), None
        table.clear()

    def _tried(self, module: ModuleType) -> None:
        """Take it away again if this pandas does not hand metadata on in the way this adapter knows."""
        table.untried = None
        try:
            _try(module)
        except Exception as error:  # noqa: BLE001 - the run goes on, and says what it lacks
            self.uninstall()
            seams.disable(self.name, str(error), self.module)
        else:
            self._operations.try_out(module)

    def _wrap_makers(self, pandas: ModuleType, folder: str) -> None:
        """What makes new objects without handing metadata on; in a release that lacks one, its results are not told."""
        from pandas.api.typing import DataFrameGroupBy, ExponentialMovingWindow, Rolling, SeriesGroupBy

        grouped = functools.partial(_made, of=operator.attrgetter("obj"))
        for owner in (DataFrameGroupBy, SeriesGroupBy):
            for name in ("agg", "aggregate", "transform"):
                if callable(vars(owner).get(name)):
                    self._wrap(owner, name, grouped, folder)
        windows = {
            base for kind in (Rolling, ExponentialMovingWindow) for base in kind.__mro__ if "_apply" in vars(base)
        }
        for owner in windows:
            self._wrap(owner, "_apply", grouped, folder)
        if callable(vars(pandas.DataFrame).get("pivot")):
            self._wrap(pandas.DataFrame, "pivot", functools.partial(_made, of=lambda frame: frame), folder)

    def _wrap(self, owner: type, name: str, make: Callable[[Callable[..., Any]], Any], folder: str) -> None:
        original = vars(owner).get(name)
        alias = next((ours for one, _, its, ours in self._done if one is owner and its is original), None)
        if alias is not None:  # `agg` is `aggregate`, and pickling looks for it under that name
            ours = alias
        elif isinstance(original, property) and original.fget is not None and original.fset is None:
            ours = property(_in(folder, make(original.fget), original.fget), doc=original.__doc__)
        elif callable(original):
            ours = _in(folder, make(original), original)
        else:
            raise SeamMissingError(f"pandas has no {owner.__name__}.{name}")
        setattr(owner, name, ours)
        self._done.append((owner, name, original, ours))


def _in(folder: str, ours: Any, original: Callable[..., Any]) -> Callable[..., Any]:  # noqa: ANN401 - a function
    """The function under the original's name. pandas points its warnings at the first frame whose file is not its own."""
    ours.__code__ = ours.__code__.replace(co_filename=f"{folder}/<seen by lineage_flows>")
    return functools.wraps(original)(ours)


def _finalize(original: Callable[..., Any], frames: type) -> Callable[..., Any]:
    def call(self: Any, other: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as pandas has it
        result = original(self, other, *args, **kwargs)
        if table:
            _carry(result, other, frames)
        return result

    return call


def _to_array(original: Callable[..., Any], *, kind: type, frames: type) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as pandas has it
        result = original(self, *args, **kwargs)
        # A frame of one block may give out an array that others hold too: what that was made from stays true.
        if table and type(result) is kind and isinstance(self, frames) and (marks := table.of(self)):
            table.add(result, marks)
        return result

    return call


def _made(original: Callable[..., Any], *, of: Callable[[Any], object]) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as pandas has it
        result = original(self, *args, **kwargs)
        if table and (marks := table.of(of(self))):
            table.add(result, marks)
        return result

    return call


def _carry(result: object, other: object, frames: type) -> None:
    """What an object was made from, the new one was made from too."""
    try:
        if isinstance(other, frames):
            operands: tuple[object, ...] = (other,)
            known = table.of(result)
        else:
            found = getattr(other, "input_objs", None)
            operands = tuple(one for one in found if isinstance(one, frames)) if isinstance(found, list | tuple) else ()
            known = frozenset[Mark]()
        marks = [table.of(one) for one in operands]
        said = [known, *marks] if known else marks
        if not any(marks):
            if known and operands:
                table.add(result, frozenset({UNKNOWN}))
            return
        whole = said[0] if len(said) == 1 else frozenset[Mark]().union(*said)
        if len(marks) > 1 and not all(marks):
            whole |= {UNKNOWN}
        if result is not other:
            table.put(result, whole)
    except Exception as error:  # noqa: BLE001 - in the middle of the user's own computation
        table.clear()
        seams.disable(PANDAS, f"{type(error).__name__}: {error}")


def _try(pandas: ModuleType) -> None:
    """Whether operations hand on what they should.

    Raises:
        SeamMissingError: one does not.
    """
    left, right = pandas.DataFrame({"k": [1, 2], "v": [1.0, 2.0]}), pandas.DataFrame({"k": [1, 2], "w": [3.0, 4.0]})
    one, other = Mark(), Mark()
    table.put(left, frozenset({one}))
    table.put(right, frozenset({other}))
    made = {
        "copy": (left.copy(), {one}),
        "filter": (left[left["v"] > 1], {one}),
        "merge": (left.merge(right, on="k"), {one, other}),
        "concat": (pandas.concat([left, right]), {one, other}),
        "to_numpy": (left.to_numpy(), {one}),
    }
    for operation, (result, expected) in made.items():
        if table.of(result) != expected:
            version = pandas.__version__
            raise SeamMissingError(f"in pandas {version} the result of {operation} does not tell what it was made from")
