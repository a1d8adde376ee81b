"""The rule for every type that has no other: its own pickle reduction, walked as a structure.

Knows ``__reduce_ex__`` and no library. No pickle bytes are made: they depend on which parts are shared and on the order of
sets, and what one process writes another does not write again. Identity by this rule is weaker than by the canonical ones: a
type may keep caches or times in its state.
"""

from __future__ import annotations

import copyreg
from typing import Any

from lineage_flows.content.containers import mapping_body, sequence_body
from lineage_flows.content.hashing import name, node
from lineage_flows.content.naming import shown_name, type_name
from lineage_flows.content.records import without_derived
from lineage_flows.content.registry import Steps
from lineage_flows.content.walk import Walk
from lineage_flows.errors import ContentError

__all__ = ["reduce_value", "reduced_steps"]

_PROTOCOL = 4


def reduced_steps(value: object, walk: Walk) -> Steps:
    """Token of a value by what pickle would rebuild it from."""
    walk.weaken("pickle")
    reduction = reduce_value(value)
    if isinstance(reduction, str):
        return node(b"global", name(type_name(type(value)), reduction))
    function, arguments, state, items, pairs, setter = reduction
    head = yield (function, arguments, state, setter)
    # Asked for one at a time: making the lists runs the value's own iterators.
    item_tokens = yield items
    keys = yield [key for key, _ in pairs]
    values = yield [item for _, item in pairs]
    return node(b"object", *head, sequence_body(item_tokens), mapping_body(keys, values))


Reduction = tuple[object, object, object, list[object], list[tuple[object, object]], object]


def reduce_value(value: object) -> Reduction | str:
    """What pickle would rebuild a value from: function, arguments, state, items, pairs, setter; or a global's name.

    Raises:
        ContentError: when what the type returns is no reduction. The type's own methods may raise anything.
    """
    cls = type(value)
    reducer = copyreg.dispatch_table.get(cls)
    made: Any = reducer(value) if reducer is not None else value.__reduce_ex__(_PROTOCOL)
    if type(made) is str:
        return made
    if type(made) is not tuple or not 2 <= len(made) <= 6:
        raise ContentError("no fingerprint", why=f"__reduce_ex__ of {shown_name(cls)} returned no reduction")
    function, arguments, state, items, pairs, setter = list(made) + [None] * (6 - len(made))
    if type(state) is dict:
        state = without_derived(cls, state)
    return function, arguments, state, _items(value, items), _pairs(value, pairs), setter


def _items(value: Any, items: Any) -> list[object]:  # noqa: ANN401 - an iterator by pickle's protocol
    """A list's items past an overridden ``__iter__``, which may not end."""
    if items is None:
        return []
    return list(list.__iter__(value)) if issubclass(type(value), list) else list(items)


def _pairs(value: Any, pairs: Any) -> list[tuple[object, object]]:  # noqa: ANN401 - an iterator by pickle's protocol
    if pairs is None:
        return []
    return list(dict.items(value)) if issubclass(type(value), dict) else list(pairs)
