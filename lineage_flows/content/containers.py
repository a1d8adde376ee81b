"""Rules for the containers of the standard library: lists, tuples, dictionaries, sets and their relatives.

Knows no library outside the standard one. A list of one plain kind of item is hashed packed, which its items alone decide.
"""

from __future__ import annotations

import collections
import decimal
import math
import sys
import types
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from lineage_flows.content.hashing import count, name, node
from lineage_flows.content.naming import HIDDEN, class_attribute, comes_from, holds_secret_item, type_name
from lineage_flows.content.registry import Flat, Look, Steps, register
from lineage_flows.content.scalars import look_at_scalar, strip_text
from lineage_flows.content.walk import Walk
from lineage_flows.errors import ContentError
from lineage_flows.redaction import is_secret_item

__all__ = [
    "MOST_NAMED",
    "dict_subclass_steps",
    "is_number",
    "is_set",
    "look_at_named",
    "mapping_body",
    "sequence_body",
    "set_subclass_steps",
]

MOST_NAMED = 1000
"""Keys up to which a mapping may be one of names; a larger one is data, and its keys say nothing of secrets."""

_PREVIEWED = 32
_MOST_METRICS = 1000
_DEEPEST_METRICS = 3


def is_number(value: object) -> bool:
    """Whether a value is a real number of Python's or numpy's, or a Decimal; a bool is none."""
    cls = type(value)
    if cls is int or cls is float or cls is decimal.Decimal:
        return True
    return comes_from(cls, "numpy", "integer") or comes_from(cls, "numpy", "floating")


def look_at_named(value: Mapping[Any, Any]) -> Look | None:
    """What is shown of a mapping from names to numbers, or to such mappings: metrics, with the numbers when they are few.

    Those inside are shown as ``train/rmse``. None for any other mapping.
    """
    found: dict[str, Any] = {}
    if not value or not _collect(value, "", 0, found):
        return None
    if holds_secret_item(dict(value)):
        return None
    preview = {key: look_at_scalar(_as_plain(item)).preview for key, item in found.items()}
    return Look("Metrics", shape=(len(found),), preview=preview if len(found) <= _PREVIEWED else None)


def _collect(value: Mapping[Any, Any], prefix: str, depth: int, found: dict[str, Any]) -> bool:
    """Whether a mapping holds numbers by name, and nothing else, to the bottom; they are added to ``found``."""
    if len(value) + len(found) > _MOST_METRICS:
        return False
    for key, item in value.items():
        if type(key) is not str:
            return False
        if is_number(item):
            found[prefix + key] = item
            continue
        inside = type(item) is dict and depth < _DEEPEST_METRICS and bool(item)
        if not inside or not _collect(item, f"{prefix}{key}/", depth + 1, found):
            return False
    return True


def _as_plain(number: Any) -> int | float:  # noqa: ANN401 - what ``is_number`` allows
    if type(number) is decimal.Decimal:
        return float(number) if not number.is_snan() else math.nan
    plain: int | float = number if type(number) in (int, float) else number.item()
    return plain


def sequence_body(tokens: Sequence[bytes]) -> bytes:
    """The body of a sequence of values that have these tokens."""
    return b"*" + count(len(tokens)) + b"".join(tokens)


def mapping_body(keys: Sequence[bytes], values: Sequence[bytes]) -> bytes:
    """The body of a mapping, whatever the order of its entries."""
    return count(len(keys)) + b"".join(sorted(map(bytes.__add__, keys, values)))


def _flat_sequence(kind: bytes) -> Flat:
    def flat(value: Sequence[object], walk: Walk) -> bytes | None:
        kinds = set(map(type, value))
        if len(kinds) == 1 and (pack := _PACKED.get(next(iter(kinds)))) is not None:
            packed = pack(value, walk.strip)
            if packed is not None:
                return node(kind, packed)
        leaves = walk.leaves
        if not kinds <= leaves.keys():
            return None
        return node(kind, sequence_body([leaves[type(item)](item) for item in value]))

    return flat


def _sequence_steps(kind: bytes) -> Callable[[Sequence[object], Walk], Steps]:
    def steps(value: Sequence[object], _walk: Walk) -> Steps:
        tokens = yield value
        return node(kind, sequence_body(tokens))

    return steps


def _flat_dict(value: dict[object, object], walk: Walk) -> bytes | None:
    leaves = walk.leaves
    if len(value) <= MOST_NAMED and holds_secret_item(value):
        return None
    pairs = []
    for key, item in value.items():
        key_leaf, item_leaf = leaves.get(type(key)), leaves.get(type(item))
        if key_leaf is None or item_leaf is None:
            return None
        pairs.append(key_leaf(key) + item_leaf(item))
    pairs.sort()
    return node(b"dict", count(len(pairs)), *pairs)


def _items(value: Mapping[object, object]) -> list[object]:
    """The items of a mapping, each secret by its key replaced."""
    if len(value) > MOST_NAMED:
        return list(value.values())
    if type(value) is dict and not holds_secret_item(value):
        return list(value.values())
    return [HIDDEN if is_secret_item(key, item) else item for key, item in value.items()]


def _dict_steps(value: Mapping[object, object], _walk: Walk) -> Steps:
    keys = yield list(value)
    # Values are walked in the order of their keys' tokens, so that what a cycle is told by does not depend on insertion.
    items = _items(value)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    tokens = yield [items[place] for place in order]
    return node(b"dict", mapping_body([keys[place] for place in order], tokens))


def _ordered_dict_steps(value: collections.OrderedDict[object, object], _walk: Walk) -> Steps:
    tokens = yield list(chain.from_iterable(zip(value, _items(value), strict=True)))
    return node(b"ordered dict", sequence_body(tokens))


def _set_steps(value: Iterable[object], walk: Walk) -> Steps:
    closings, newest, walk.newest = walk.closings, walk.newest, 0
    tokens = yield list(value)
    if walk.newest > closings:
        raise ContentError(
            "no fingerprint", why="members of a set refer to one another, and a set has no order to tell them by"
        )
    walk.newest = max(newest, walk.newest)
    return node(b"set", sequence_body(sorted(tokens)))


def is_set(cls: type) -> bool:
    """Whether instances are sets of some kind."""
    return issubclass(cls, set | frozenset)


def set_subclass_steps(value: Any, _walk: Walk) -> Steps:  # noqa: ANN401 - any class derived from set or frozenset
    """Token of a set with a class of its own; by pickle's rule the order of its members would count."""
    tokens = yield (set(value), getattr(value, "__dict__", None))
    return node(b"set subclass", name(type_name(type(value))), *tokens)


def dict_subclass_steps(value: dict[object, object], _walk: Walk) -> Steps:
    """Token of a dictionary with a class of its own, whose other attributes are none of its value."""
    tokens = yield (dict(value), getattr(value, "default_factory", None))
    return node(b"dict subclass", name(type_name(type(value))), *tokens)


def _deque_steps(value: collections.deque[object], _walk: Walk) -> Steps:
    tokens = yield (list(value), value.maxlen)
    return node(b"deque", *tokens)


def _view_steps(kind: bytes, plain: Callable[[Any], object]) -> Callable[[Any, Walk], Steps]:
    def steps(value: object, _walk: Walk) -> Steps:
        (token,) = yield (plain(value),)
        return node(kind, token)

    return steps


def _pack_floats(value: Sequence[Any], _strip: str) -> bytes:
    items = array("d", value)
    total = sum(items)
    if total != total:  # noqa: PLR0124 - NaN, or infinities of both signs: look closer
        for place, item in enumerate(items):
            if item != item:  # noqa: PLR0124 - NaN
                items[place] = math.nan
    return b"d" + count(len(items)) + _little_endian(items)


def _pack_ints(value: Sequence[Any], _strip: str) -> bytes | None:
    try:
        return b"q" + count(len(value)) + _little_endian(array("q", value))
    except OverflowError:
        return None


def _pack_texts(value: Sequence[Any], strip: str) -> bytes:
    texts = [strip_text(text, strip) for text in value] if strip else value
    lengths = _little_endian(array("q", map(len, texts)))
    return b"s" + count(len(texts)) + lengths + "".join(texts).encode("utf-8", "surrogatepass")


_PACKED: dict[type, Callable[[Sequence[Any], str], bytes | None]] = {
    float: _pack_floats,
    int: _pack_ints,
    str: _pack_texts,
}
"""How a sequence of items of exactly one of these types is hashed: as an array instead of tokens, ten times faster."""


def _little_endian(items: array[Any]) -> bytes:
    if sys.byteorder == "big":
        items.byteswap()
    return items.tobytes()


def _look_at_sized(value: Any) -> Look:  # noqa: ANN401 - any builtin container
    return Look(shape=(len(value),))


def _look_at_tuple(value: tuple[object, ...]) -> Look:
    """A named tuple of numbers is metrics, as any record of numbers is."""
    fields = class_attribute(type(value), "_fields")
    if type(fields) is tuple and len(fields) == len(value):
        return look_at_named(dict(zip(fields, tuple.__iter__(value), strict=True))) or _look_at_sized(value)
    return _look_at_sized(value)


def _look_at_mapping(value: Mapping[object, object]) -> Look:
    # Past what a subclass overrides: its items may be made as they are asked for, and never end.
    length = dict.__len__(value) if isinstance(value, dict) else len(value)
    if length > _MOST_METRICS:
        return Look(shape=(length,))
    plain = dict.copy(value) if isinstance(value, dict) else dict(value)
    if length and comes_from(type(next(iter(plain.values()))), "torch", "Tensor"):
        from lineage_flows.content.torch_values import look_at_state  # which needs this module

        return look_at_state(plain) or Look(shape=(length,))
    return look_at_named(plain) or Look(shape=(length,))


register(list, steps=_sequence_steps(b"list"), flat=_flat_sequence(b"list"), look=_look_at_sized)
register(tuple, steps=_sequence_steps(b"tuple"), flat=_flat_sequence(b"tuple"), look=_look_at_tuple)
register(dict, steps=_dict_steps, flat=_flat_dict, look=_look_at_mapping)
register(collections.OrderedDict, steps=_ordered_dict_steps)
register(collections.defaultdict, collections.Counter, steps=dict_subclass_steps)
register(types.MappingProxyType, steps=_view_steps(b"mapping proxy", dict), look=_look_at_mapping)
register(types.SimpleNamespace, steps=_view_steps(b"namespace", vars))
register(type({}.keys()), steps=_view_steps(b"keys", set))
register(type({}.values()), steps=_view_steps(b"values", list))
register(type({}.items()), steps=_view_steps(b"items", dict))
register(collections.deque, steps=_deque_steps, look=_look_at_sized)
register(set, frozenset, steps=_set_steps, look=_look_at_sized)
