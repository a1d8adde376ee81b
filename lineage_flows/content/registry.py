"""Which rule makes the token of which type. Rules register here; those of a library only when one of its values is first seen.

Knows types by their classes and modules; must not import any library whose values it has rules for.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from pydantic import JsonValue

from lineage_flows.content.naming import is_secret, module_name, mro
from lineage_flows.records import ArtifactKind, Column

if TYPE_CHECKING:
    from lineage_flows.content.walk import Walk

__all__ = [
    "FLAT",
    "LEAVES",
    "SECRET",
    "SECRET_TOKEN",
    "STRIPPED",
    "Flat",
    "Leaf",
    "Look",
    "Rule",
    "Steps",
    "add_predicates",
    "find_look",
    "find_rule",
    "load_families",
    "register",
    "without_parts",
]

Leaf = Callable[[Any], bytes]
"""Token of a value that holds no other values."""

Stripped = Callable[[Any, str], bytes]
"""The same for a value that may be a path, with the prefix to take off it."""

Steps = Generator[Sequence[object], list[bytes], bytes]
"""A rule for a value made of others: yields them, is sent their tokens in that order, returns its own."""

Flat = Callable[[Any, "Walk"], bytes | None]
"""A short cut for a container: its token when it holds leaves only, else None."""


class Rule(NamedTuple):
    """How the token of a type is made: by ``leaf`` (``stripped`` under a prefix), or by ``steps``."""

    leaf: Leaf | None = None
    stripped: Stripped | None = None
    steps: Callable[[Any, Walk], Steps] | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What of a value is shown besides its fingerprint. ``size`` is in bytes."""

    kind: ArtifactKind = "Value"
    size: int | None = None
    shape: tuple[int, ...] | None = None
    columns: tuple[Column, ...] = ()
    preview: Any = None
    hyperparameters: Mapping[str, JsonValue] = field(default_factory=dict)


def without_parts(token: Callable[[Any, Walk], bytes]) -> Callable[[Any, Walk], Steps]:
    """A rule in the form of ``Steps`` for a value that needs the walk but holds no other values."""

    def steps(value: object, walk: Walk) -> Steps:
        return token(value, walk)
        yield ()

    return steps


LEAVES: dict[type, Leaf] = {}
STRIPPED: dict[type, Stripped] = {}
FLAT: dict[type, Flat] = {}

FAMILIES = {
    "numpy": "arrays",
    "scipy": "sparse",
    "pandas": "frames",
    "pyarrow": "tables",
    "polars": "polars_frames",
    "matplotlib": "figures",
}
"""Module of this package with the rules for a library, by the library's top-level name."""

_exact: dict[type, Rule] = {}
_derived: dict[type, Rule] = {}
_looks: dict[type, Callable[[Any], Look | None]] = {}
_found: WeakKeyDictionary[type, Rule] = WeakKeyDictionary()
_looks_found: WeakKeyDictionary[type, Callable[[Any], Look | None] | None] = WeakKeyDictionary()
_loaded: set[str] = set()
_loading = threading.RLock()
_predicates: list[tuple[Callable[[type], bool], Rule]] = []


def register(
    *types: type,
    leaf: Leaf | None = None,
    stripped: Stripped | None = None,
    steps: Callable[[Any, Walk], Steps] | None = None,
    flat: Flat | None = None,
    look: Callable[[Any], Look | None] | None = None,
    subclasses: bool = False,
) -> None:
    """Give ``types`` a rule; with ``subclasses`` also every class derived from them that has none of its own."""
    rule = Rule(leaf, stripped, steps)
    for cls in types:
        if leaf is not None:
            LEAVES[cls] = leaf
        if stripped is not None:
            STRIPPED[cls] = stripped
        if flat is not None:
            FLAT[cls] = flat
        if leaf is not None or steps is not None:
            _exact[cls] = rule
            if subclasses:
                _derived[cls] = rule
        if look is not None:
            _looks[cls] = look


def add_predicates(predicates: Sequence[tuple[Callable[[type], bool], Rule]]) -> None:
    """Give rules to types that are known by what they have, not by a base class; asked in order, after the classes."""
    _predicates.extend(predicates)


def find_rule(cls: type) -> Rule:
    """The rule for a type: its own, its nearest base's, one by a predicate; the last predicate fits everything."""
    known = _exact.get(cls) or _found.get(cls)
    if known is not None:
        return known
    rule = _search(cls)
    _found[cls] = rule
    return rule


def find_look(cls: type) -> Callable[[Any], Look | None] | None:
    """What shows values of a type, None when nothing was registered for it or its bases."""
    if cls in _looks:
        return _looks[cls]
    if cls not in _looks_found:
        load_families(cls)
        _looks_found[cls] = next((_looks[base] for base in mro(cls) if base in _looks), None)
    return _looks_found[cls]


def load_families(cls: type) -> None:
    """Import the rules of the libraries that the bases of ``cls`` come from."""
    for base in mro(cls):
        family = FAMILIES.get(module_name(base).partition(".")[0])
        if family is not None and family not in _loaded:
            with _loading:
                importlib.import_module(f"lineage_flows.content.{family}")
                _loaded.add(family)


SECRET_TOKEN = b"x"

SECRET = Rule(leaf=lambda _value: SECRET_TOKEN)
"""A constant in place of what must not be looked at: two containers that differ only in a secret have equal fingerprints."""


def _search(cls: type) -> Rule:
    if is_secret(cls):
        return SECRET
    load_families(cls)
    if cls in _exact:
        return _exact[cls]
    for base in mro(cls):
        if base in _derived:
            return _derived[base]
    return next(rule for fits, rule in _predicates if fits(cls))
