"""Rules for values made of named fields: dataclasses, named tuples, attrs classes, pydantic models.

Knows them by what they have; pydantic is imported only where its values are (it is a dependency, loaded anyway).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from lineage_flows.content.containers import look_at_named, mapping_body
from lineage_flows.content.hashing import name, node
from lineage_flows.content.naming import HIDDEN, class_attribute, mro, own_attributes, type_name
from lineage_flows.content.registry import Look, Steps, register
from lineage_flows.content.walk import Walk
from lineage_flows.redaction import is_secret_item

__all__ = [
    "fields_of",
    "instance_state",
    "is_attrs",
    "is_dataclass",
    "is_named_tuple",
    "look_at_record",
    "record_steps",
    "without_derived",
]

Fields = dict[str, object]
Reader = Callable[[Any], Fields]

_DERIVED = functools.cached_property
_ABSENT = object()
_BUILTIN = (dict, list, tuple, set, frozenset, str, bytes, int, float)
_PICKLING = ("__getstate__", "__reduce__", "__reduce_ex__")


def instance_state(value: object) -> Fields:
    """The instance's own attributes, without what ``functools.cached_property`` derived from the others."""
    try:
        state: Fields = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return without_derived(type(value), state)


def without_derived(cls: type, state: Fields) -> Fields:
    """``state`` without the attributes that the class computes when they are first asked for."""
    derived = [key for key in state if any(type(own_attributes(base).get(key)) is _DERIVED for base in mro(cls))]
    return {key: item for key, item in state.items() if key not in derived} if derived else state


def fields_of(value: object) -> Fields | None:
    """A record's fields by name, None when the value is no record.

    Attributes beside the declared fields belong to it too: they are where a model that is a dataclass keeps what it learned.
    """
    cls = type(value)
    if cls not in _readers:
        _readers[cls] = next((read for fits, read in _READERS if fits(cls)), None)
    reader = _readers[cls]
    return None if reader is None else reader(value)


def look_at_record(value: object) -> Look | None:
    """What is shown of a record of numbers: metrics."""
    fields = fields_of(value)
    return look_at_named(fields) if fields is not None else None


def record_steps(value: object, _walk: Walk) -> Steps:
    """Token of a record: its type and its fields by name."""
    fields = fields_of(value) or {}
    names = sorted(fields)
    tokens = yield [HIDDEN if is_secret_item(field, fields[field]) else fields[field] for field in names]
    return node(b"record", name(type_name(type(value))), mapping_body([name(field) for field in names], tokens))


def _pydantic_fields(value: object) -> Fields:
    fields = dict(instance_state(value))
    for extra in ("__pydantic_extra__", "__pydantic_private__"):
        found = _attribute(value, extra)
        if type(found) is dict:
            fields |= found
    return fields


def _tuple_fields(value: Any) -> Fields:  # noqa: ANN401 - a named tuple has no class of its own
    return dict(zip(type(value)._fields, tuple.__iter__(value), strict=True))


def _dataclass_fields(value: Any) -> Fields:  # noqa: ANN401 - a dataclass has no class of its own
    return _declared(value, (field.name for field in dataclasses.fields(type(value))))


def _attrs_fields(value: Any) -> Fields:  # noqa: ANN401 - an attrs class has no class of its own
    return _declared(value, (field.name for field in type(value).__attrs_attrs__))


def _declared(value: object, names: Iterable[str]) -> Fields:
    found = {field: _attribute(value, field) for field in names} | instance_state(value)
    return {field: item for field, item in found.items() if item is not _ABSENT}


def _attribute(value: object, field: str) -> Any:  # noqa: ANN401 - whatever the field holds
    """An attribute past ``__getattribute__`` and ``__getattr__``, which may compute or raise."""
    try:
        return object.__getattribute__(value, field)
    except AttributeError:
        return _ABSENT


def is_named_tuple(cls: type) -> bool:
    """Whether instances are named tuples."""
    return issubclass(cls, tuple) and type(class_attribute(cls, "_fields")) is tuple


def is_dataclass(cls: type) -> bool:
    """Whether instances are dataclasses, and no more."""
    return class_attribute(cls, "__dataclass_fields__") is not None and _keeps_its_fields(cls)


def is_attrs(cls: type) -> bool:
    """Whether instances are of a class made by attrs, and no more."""
    return class_attribute(cls, "__attrs_attrs__") is not None and _keeps_its_fields(cls)


def _keeps_its_fields(cls: type) -> bool:
    """Whether its fields are all there is to an instance: no builtin container below, no pickling of its own.

    A class that says how it is pickled (without its lock, its connection) is taken at its word, by the pickle rule.
    """
    if issubclass(cls, _BUILTIN):
        return False
    return all(
        _is_generated(own_attributes(base)[method])
        for base in mro(cls)[:-1]
        for method in _PICKLING
        if method in own_attributes(base)
    )


def _is_generated(method: object) -> bool:
    """Whether dataclasses or attrs wrote a method, for slots."""
    code = getattr(method, "__code__", None)
    return code is not None and code.co_filename.endswith(("/dataclasses.py", "/attr/_make.py"))


_READERS: tuple[tuple[Callable[[type], bool], Reader], ...] = (
    (lambda cls: issubclass(cls, BaseModel), _pydantic_fields),
    (is_named_tuple, _tuple_fields),
    (is_dataclass, _dataclass_fields),
    (is_attrs, _attrs_fields),
)
_readers: WeakKeyDictionary[type, Reader | None] = WeakKeyDictionary()


register(BaseModel, steps=record_steps, look=look_at_record, subclasses=True)
