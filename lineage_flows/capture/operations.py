"""What joins and groupings were made of the columns that went into a step, as marks on what came out of them.

Knows object identity, columns' memory and tokens; an adapter says what its library has done. An operation is carried along with the
marks of its result, so that what is made from the result still was joined, or grouped, by those columns.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lineage_flows.capture.derivation import Mark, table

if TYPE_CHECKING:
    from lineage_flows.content.walk import ColumnLook
    from lineage_flows.record_base import ColumnEdge, ColumnHow, ColumnSource

__all__ = ["Aggregated", "InputMark", "Operation", "Owner", "aggregated", "operations", "owners", "whole_edges"]


class Owner(Protocol):
    """The columns that went into one attempt of a step."""

    @property
    def asks(self) -> bool:
        """Whether it is worth saying what is done with them."""

    def source(self, column: Any) -> ColumnSource | None:  # noqa: ANN401 - a series
        """The column that went in, when this one is it, unchanged."""

    def look(self, column: Any) -> ColumnLook:  # noqa: ANN401 - a series
        """A column as it is now, seen as those that went in were."""

    def did(self, result: object, operation: Operation) -> None:
        """An object came out of an operation."""


class InputMark(Mark):
    """On what went into a step, and on what was made from it there."""

    __slots__ = ("owner",)

    def __init__(self, owner: Owner) -> None:
        self.owner = owner


class Aggregated(NamedTuple):
    """A column as it came out of an aggregation.

    Attributes:
        look: at it, when it came out; its memory is known.
        values: who owns its memory: as long as that lives, nothing else can lie there.
        source: the one column whose values were aggregated.
    """

    look: ColumnLook
    values: weakref.ref[object]
    source: ColumnSource


class Operation(Mark):
    """One join or grouping in which columns that went into a step decided which rows there are.

    Attributes:
        how: ``join`` or ``group_by``.
        inputs: the columns; empty when it is not certain by which.
        columns: those that came out and are known to be aggregated.
    """

    __slots__ = ("columns", "how", "inputs")

    def __init__(self, how: ColumnHow, inputs: Iterable[ColumnSource], columns: Iterable[Aggregated] = ()) -> None:
        self.how = how
        self.inputs = tuple(dict.fromkeys(inputs))  # a frame that is joined with itself has one key twice
        self.columns = tuple(columns)


def owners(*objects: object) -> list[Owner]:
    """The steps that ask, whose inputs these were made from: of an object that a nested task was given, two."""
    found = {mark.owner: None for one in objects for mark in table.of(one) if isinstance(mark, InputMark)}
    return [owner for owner in found if owner.asks]


def operations(known: Iterable[Operation], frame: object) -> list[Operation]:
    """Those of the known operations that an object came out of, itself or what it was made from; in their order."""
    marks = table.of(frame)
    return [one for one in known if one in marks] if marks else []


def whole_edges(known: Iterable[Operation], frames: list[object]) -> Iterator[ColumnEdge]:
    """What is certain of all columns of these frames together: the joins and groupings that each of them came out of."""
    from lineage_flows.record_base import ColumnEdge

    said = set()
    for one in known:
        if (
            one.inputs
            and frames
            and (one.how, one.inputs) not in said
            and all(one in table.of(frame) for frame in frames)
        ):
            said.add((one.how, one.inputs))
            yield ColumnEdge(output="", inputs=one.inputs, how=one.how, known_by="operation")


def aggregated(found: Iterable[Operation], look: ColumnLook) -> ColumnSource | None:
    """Of which column a column is an aggregation: it lies where it came out of one, and nobody has changed it since."""
    sources = {
        column.source for one in found for column in one.columns if column.look == look and column.values() is not None
    }
    return sources.pop() if len(sources) == 1 else None
