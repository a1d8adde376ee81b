"""``fingerprint`` and ``describe``: what a value is, without ever raising because of it.

Knows the walk and the looks; the rules themselves stand in the modules beside this one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

from pydantic import JsonValue

from lineage_flows.content import rules  # noqa: F401 - loads them
from lineage_flows.content.guard import attempt, say
from lineage_flows.content.hashing import fingerprint_of
from lineage_flows.content.hyperparameters import hyperparameters
from lineage_flows.content.models import is_model
from lineage_flows.content.naming import comes_from, shown_name
from lineage_flows.content.pictures import is_image, is_plotly, look_at_image
from lineage_flows.content.records import fields_of, look_at_record
from lineage_flows.content.registry import LEAVES, SECRET_TOKEN, Look, find_look
from lineage_flows.content.scalars import look_at_scalar, strip_text
from lineage_flows.content.torch_values import is_tensor, look_at_tensor
from lineage_flows.content.walk import Columns, Strength, Walk
from lineage_flows.records import Part, ValueRef
from lineage_flows.redaction import holds_secret, is_secret_item

__all__ = ["describe", "fingerprint", "is_common_scalar", "path_step"]

MOST_PARTS = 256
DEEPEST_PART = 3

_MOST_SEEN = 4096
"""Parts looked at, trivial ones included, before a long container is left."""

_MOST_LOOKED_INTO = 64
_SHORT_TEXT = 8
SMALL_INTS = range(-5, 257)
"""The integers of which Python has one object each, so that Prefect's ids cannot tell them apart."""

_PLAIN: Final[dict[type, str]] = {cls: shown_name(cls) for cls in (type(None), bool, int, float, str)}

_LOOKS: tuple[tuple[Callable[[type], bool], Callable[[Any], Look]], ...] = (
    (is_image, look_at_image),
    (is_plotly, lambda _value: Look("Figure")),
    (is_tensor, look_at_tensor),
    (is_model, lambda value: Look("Model", hyperparameters=hyperparameters(value))),
)
"""What shows values of libraries that are known by the names of their classes."""

_looks_by_name: WeakKeyDictionary[type, Callable[[Any], Look] | None] = WeakKeyDictionary()
_UNNAMEABLE = "object"


def fingerprint(value: object, *, strip: str = "") -> str | None:
    """The canonical fingerprint of a value, ``lf1:`` and 64 hexadecimal digits. Never raises because of the value.

    Args:
        value: anything; it is not changed, and nothing that can be read only once is read.
        strip: a folder (no slash at its end) that is taken off paths in the value: ``<strip>/a/b`` counts as ``/a/b``.

    Returns:
        The fingerprint; None when none can be made, or the value is a secret. ``describe`` says why.
    """
    token, _ = attempt(Walk(strip).token, value)
    return None if token is None or token == SECRET_TOKEN else fingerprint_of(token)


def describe(value: object, *, strip: str = "", parts: bool = True, columns: Columns | None = None) -> ValueRef:
    """What lineage records of a value: fingerprint, type, kind, shape, parts. Never raises because of the value.

    Args:
        value: anything, as for ``fingerprint``.
        strip: as for ``fingerprint``.
        parts: whether the parts of a container are fingerprinted one by one too.
        columns: takes in the columns of every frame and series in the value.

    Returns:
        The description, without a blob; ``note`` says why there is no fingerprint, or what else could not be seen.
    """
    if type(value) in _PLAIN and not (strip and type(value) is str):
        return _plain(value)
    walk = Walk(strip)
    walk.columns = columns
    token, error = attempt(walk.token, value)
    shown, name_error = attempt(shown_name, type(value))
    title = shown if name_error is None and shown else _UNNAMEABLE
    if token == SECRET_TOKEN:
        return ValueRef(fingerprint=None, type=title, rule="secret", note="a secret is never looked at")
    look, look_error = attempt(_look, value)
    found, parts_error = attempt(_parts, value, walk) if parts else ((), None)
    notes = [say(problem) for problem in (error, look_error, parts_error) if problem is not None]
    known = None if token is None else fingerprint_of(token)
    rule: Strength | Literal["none"] = "none" if token is None else walk.strength
    shown_as = look or Look()
    preview = strip_text(shown_as.preview, strip) if strip and type(shown_as.preview) is str else shown_as.preview
    made, _ = attempt(
        ValueRef,
        fingerprint=known,
        secrets=walk.secrets,
        type=title,
        kind=shown_as.kind,
        rule=rule,
        size=shown_as.size,
        shape=shown_as.shape,
        columns=shown_as.columns,
        preview=preview,
        parts=found or (),
        hyperparameters=_stripped_texts(shown_as.hyperparameters, strip),
        note="; ".join(notes) or None,
    )
    return made or ValueRef(fingerprint=known, type=_UNNAMEABLE, rule=rule, note="its type and look cannot be written")


def _stripped_texts(named: Mapping[str, JsonValue], strip: str) -> dict[str, JsonValue]:
    """Settings with a folder taken off the paths in their texts."""
    return {key: strip_text(item, strip) if strip and isinstance(item, str) else item for key, item in named.items()}


def _plain(value: object) -> ValueRef:
    """``describe`` of a value that runs no foreign code and has no parts: most of what goes into small steps."""
    cls = type(value)
    look = look_at_scalar(value)
    return ValueRef(
        fingerprint=fingerprint_of(LEAVES[cls](value)), type=_PLAIN[cls], size=look.size, preview=look.preview
    )


def _look(value: object) -> Look:
    cls = type(value)
    known = find_look(cls)
    if known is not None:
        return known(value) or Look()
    if cls not in _looks_by_name:
        _looks_by_name[cls] = next((look for fits, look in _LOOKS if fits(cls)), None)
    named = _looks_by_name[cls]
    return named(value) if named is not None else look_at_record(value) or Look()


def _parts(value: object, walk: Walk) -> tuple[Part, ...]:
    """The parts of a container with a fingerprint of their own, shallow ones first."""
    found: list[Part] = []
    level = [("", value)]
    seen = 0
    for _ in range(DEEPEST_PART):
        below: list[tuple[str, object]] = []
        for path, container in level:
            for step, part in _components(container):
                seen += 1
                if seen > _MOST_SEEN or len(found) >= MOST_PARTS:
                    return tuple(found)
                if _is_trivial(part) or (type(part) is str and holds_secret(part)):
                    continue
                token, _error = attempt(walk.token, part)
                place = f"{path}/{step}"
                if token is not None and token != SECRET_TOKEN:
                    found.append(Part(path=place, fingerprint=fingerprint_of(token), common=_is_common(part)))
                below.append((place, part))
        level = below
    return tuple(found)


def _components(value: Any) -> Iterator[tuple[str, object]]:  # noqa: ANN401 - told apart by its class
    cls = type(value)
    if issubclass(cls, dict):
        for key, item in dict.items(value):
            if (type(key) is str or type(key) is int) and not is_secret_item(key, item):
                yield path_step(key), item
    elif cls is list or cls is tuple:
        yield from zip(map(str, count()), value, strict=False)
    elif (fields := fields_of(value)) is not None:
        for field, item in fields.items():
            if not is_secret_item(field, item):
                yield path_step(field), item
    elif issubclass(cls, list):
        yield from zip(map(str, count()), list.__iter__(value), strict=False)
    elif issubclass(cls, tuple):
        yield from zip(map(str, count()), tuple.__iter__(value), strict=False)


def path_step(key: str | int) -> str:
    """A key as a step of a path, escaped as in a JSON pointer (RFC 6901)."""
    if type(key) is str and not key.isidentifier():
        return key.replace("~", "~0").replace("/", "~1").encode("utf-8", "backslashreplace").decode("utf-8")
    return str(key)


def _is_trivial(part: object) -> bool:
    """Whether a part is so common that not even Prefect can say where it comes from: it is not recorded."""
    cls = type(part)
    if part is None or cls is bool:
        return True
    if cls is int:
        return part in SMALL_INTS
    if cls is str:
        return len(part) < 3  # type: ignore[arg-type]
    return cls in (list, tuple, dict, set, frozenset, bytes) and not part


def _is_common(part: object) -> bool:
    """Whether meeting an equal part says nothing about where it comes from, other than by Prefect's ids."""
    cls = type(part)
    if cls in _PLAIN:
        return is_common_scalar(part)
    if cls in (list, tuple, dict):
        return all(_is_trivial(item) for _, item in islice(_components(part), _MOST_LOOKED_INTO))
    if comes_from(cls, "numpy", "generic"):
        return is_common_scalar(part.item())  # type: ignore[attr-defined]
    return cls in (set, frozenset)


def is_common_scalar(value: object) -> bool:
    """Whether a scalar is too common for equal ones to mean one origin: None, booleans, small or round numbers, short text."""
    cls = type(value)
    if cls is float:
        return not math.isfinite(value) or value.is_integer()  # type: ignore[arg-type, attr-defined]
    if cls is int:
        return value in SMALL_INTS
    return value is None or cls is bool or (cls is str and len(value) < _SHORT_TEXT)  # type: ignore[arg-type]
