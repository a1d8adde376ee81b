"""Search: what is found, in which order, and in which pages.

Knows the rules of SageMaker's order; must not know where records are kept. What AWS documents is marked D, what is not known U.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lineage_flows.endpoint.search_properties import RESOURCES, Property, Value, find_property, record_shape
from lineage_flows.endpoint.searching import Record, compile_expression, number_in, visible
from lineage_flows.endpoint.shapes import Shape

__all__ = [
    "MAX_RESULTS",
    "Found",
    "Key",
    "Ranking",
    "Search",
    "key_of_texts",
    "search",
    "texts_of_key",
    "turn",
]

MAX_RESULTS = 10
"""How many a page has when nothing is said (I: as in every other list)."""

Key = tuple[int, float, str, str]
"""Where a record stands in the order: whether it has the property sorted by, its value as number or as text, its ARN."""


def texts_of_key(key: Key) -> tuple[str, ...]:
    """A key as a token holds it."""
    has, number, text, arn = key
    return str(has), repr(number), text, arn


def key_of_texts(texts: Sequence[object]) -> Key:
    """The reverse of ``texts_of_key``."""
    has, number, text, arn = map(str, texts)
    return int(has), float(number), text, arn


class Found(NamedTuple):
    """Records with their places in the order, and how many there are in all."""

    records: list[tuple[Key, Record]]
    total: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """The places of all records that were found, in order, without the records."""

    keys: list[Key]
    descending: bool

    def __len__(self) -> int:
        return len(self.keys)

    def after(self, place: Key | None) -> int:
        """How many places are not after one; none of them when it is None."""
        if place is None:
            return 0
        return bisect_right(self.keys, _comparable(place, descending=self.descending), key=self._comparable)

    def _comparable(self, key: Key) -> tuple[Any, ...]:
        return _comparable(key, descending=self.descending)


class Search:
    """What is searched for, in which order.

    Args:
        resource: one of ``RESOURCES``.
        expression: ``SearchExpression``; without one, all there are are found.
        visibility: ``VisibilityConditions``.
        sort_by: a property; empty for when they were last modified, and newest first (D). Records without it come last (U).
        descending: the greatest first.

    Raises:
        ServiceError: ``ValidationException``: the expression breaks a rule, or there is no such property.
    """

    def __init__(
        self,
        resource: str,
        *,
        expression: Mapping[str, Any] | None = None,
        visibility: Sequence[Mapping[str, str]] = (),
        sort_by: str = "",
        descending: bool = True,
    ) -> None:
        self._satisfies = compile_expression(resource, expression) if expression is not None else _always
        self._visibility = visibility
        self._rank = _ranking(resource, record_shape(resource), sort_by, descending=descending)
        self._descending = descending

    def finds(self, record: Record) -> bool:
        """Whether a record, in the shape that Search gives out, is what is searched for."""
        return self._satisfies(record) and visible(record, self._visibility)

    def ranked(self, records: Iterable[Record]) -> Ranking:
        """The places of those that are found among all records of the resource."""
        found = [self._rank(record) for record in records if self.finds(record)]
        found.sort(key=lambda key: _comparable(key, descending=self._descending))
        return Ranking(found, self._descending)


def turn(
    wanted: Search,
    ranking: Ranking,
    after: Key | None,
    most: int,
    read: Callable[[Sequence[str]], Mapping[str, Record]],
) -> list[tuple[Key, Record]]:
    """Records that come after a place, as they are now; what is gone or no longer fits is passed over.

    Args:
        wanted: the search.
        ranking: what it found when its first page was asked for.
        after: the place; None for the first page.
        most: how many at most.
        read: gives records by ARN; it is asked for no more than a page at a time.
    """
    found: list[tuple[Key, Record]] = []
    place = ranking.after(after)
    while len(found) < most and (keys := ranking.keys[place : place + most - len(found)]):
        place += len(keys)
        records = read([arn for *_, arn in keys])
        present = [(key, records[key[-1]]) for key in keys if key[-1] in records]
        found += [(key, record) for key, record in present if wanted.finds(record)]
    return found


def search(
    resource: str,
    records: Iterable[Record],
    *,
    after: Key | None = None,
    most: int = MAX_RESULTS,
    **how: Any,  # noqa: ANN401 - as ``Search`` takes them
) -> Found:
    """Some of the records that are found, in order, and how many there are in all; ``how`` is that of ``Search``."""
    wanted, own = Search(resource, **how), RESOURCES[resource][1]
    by_arn = {str(record[own]): record for record in records}
    ranking = wanted.ranked(by_arn.values())
    return Found(turn(wanted, ranking, after, most, lambda _: by_arn), len(ranking))


def _always(_: Record) -> bool:
    return True


def _ranking(resource: str, shape: Shape, sort_by: str, *, descending: bool) -> Callable[[Record], Key]:
    names = [sort_by] if sort_by else [name for name in ("LastModifiedTime", "CreationTime") if name in shape.members]
    properties = [find_property(shape, name) for name in names]
    own = RESOURCES[resource][1]

    def rank(record: Record) -> Key:
        for found in properties:
            values = found.read(record)
            if values:
                value = (max if descending else min)(values, key=lambda one: _sortable(found, one))
                return (1, *_sortable(found, value), str(record[own]))
        return 0, 0.0, "", str(record[own])

    return rank


def _sortable(found: Property, value: Value) -> tuple[float, str]:
    if isinstance(value, (bool, int, float)):
        return float(value), ""
    number = number_in(value) if found.kind == "parameter" else None
    return (number, "") if number is not None else (0.0, value)


def _comparable(key: Key, *, descending: bool) -> tuple[Any, ...]:
    """A key that sorts as the page does: what has no value last, equal ones by ARN, whichever the order."""
    has, number, text, arn = key
    return (1 - has, -number, _Reversed(text), arn) if descending else (1 - has, number, text, arn)


@dataclass(frozen=True, slots=True)
class _Reversed:
    """A text that sorts the other way round."""

    text: str

    def __lt__(self, other: _Reversed) -> bool:
        return other.text < self.text
