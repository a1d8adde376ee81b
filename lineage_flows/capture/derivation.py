"""Which objects were made from which: what steps gave out, carried along through what is computed from it between them.

A side table by object identity: nothing is put on the objects themselves, they are referred to weakly, and nothing of them is
looked at. Knows object identity only; what an operation's result was made from is for an adapter to say (``carry``).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineage_flows.records import ValueRef

__all__ = ["PANDAS", "UNKNOWN", "Derivation", "Holder", "Mark", "Origin", "Table", "components", "table"]

PANDAS = "which pandas object was made from which"
"""What the adapter is called that says so; a run that lacks it says this name."""

_MOST_COMPONENTS = 256
_DEEPEST = 3
_MOST_MARKS = 2_000
"""Origins of one object that are remembered: enough for a frame put together from a wide ``map``."""
_MOST_HOLDERS = 64


class Mark:
    """Something that an object was made from. Equal to itself only."""

    __slots__ = ("__weakref__",)


UNKNOWN = Mark()
"""Made, among others, from an object that nobody here knows."""


class Origin(Mark):
    """A value, or a component of one, that a run gave out.

    Attributes:
        owner: the root flow run's own mark; objects outlive runs, and a run must not link to another one's.
        run_id: the run that gave it out.
        uri: of the value.
        fingerprint: of the whole value, as it was given out.
        part: path of the component.
    """

    __slots__ = ("fingerprint", "owner", "part", "run_id", "uri")

    def __init__(self, owner: Mark, run_id: str, uri: str, fingerprint: str | None, part: str) -> None:
        self.owner = owner
        self.run_id = run_id
        self.uri = uri
        self.fingerprint = fingerprint
        self.part = part


_Marks = frozenset[Mark]
_NONE: _Marks = frozenset()


class Table:
    """The marks of objects. Safe for threads.

    Attributes:
        kinds: the classes whose objects are marked; none until an adapter has been put in place.
    """

    def __init__(self) -> None:
        self.kinds: tuple[type, ...] = ()
        self.untried: Callable[[], None] | None = None
        self._lock = threading.RLock()  # a destructor of the user's may run pandas in the middle of a change
        os.register_at_fork(after_in_child=self._unlock)  # in a child no other thread is left to give it back
        self._entries: dict[int, tuple[weakref.ref[object], _Marks]] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    def of(self, value: object) -> _Marks:
        """What an object was made from, as far as it is known."""
        entry = self._entries.get(id(value))
        return entry[1] if entry is not None and entry[0]() is value else _NONE

    def put(self, value: object, marks: _Marks) -> None:
        """Say what an object was made from, and forget what was said before. Of other kinds of objects nothing is kept."""
        if not isinstance(value, self.kinds):
            return
        key = id(value)
        with self._lock:
            if marks and len(marks) <= _MOST_MARKS:
                self._entries[key] = (weakref.ref(value, self._forget(key)), marks)
            else:
                self._entries.pop(key, None)

    def add(self, value: object, marks: _Marks) -> None:
        """Say that an object was also made from these."""
        with self._lock:
            known = self.of(value)
            if not marks <= known:
                self.put(value, known | marks if known else marks)

    def discard(self, value: object, marks: _Marks) -> None:
        """Take back that an object was made from these; what was made from it keeps them."""
        with self._lock:
            if known := self.of(value):
                self.put(value, known - marks)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def _unlock(self) -> None:
        self._lock = threading.RLock()

    def _forget(self, key: int) -> Callable[[weakref.ref[object]], None]:
        # Takes no lock, since it runs wherever an object dies: in a thread that holds another one. The address is not free yet.
        def forget(dead: weakref.ref[object]) -> None:
            entry = self._entries.get(key)
            if entry is not None and entry[0] is dead:
                self._entries.pop(key, None)

        return forget


table = Table()
"""The one of this process."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A step that was given an object for a parameter."""

    run_id: str
    parameter: str


class _Held:
    """An object as it was last seen, and who has been given it since."""

    __slots__ = ("fingerprint", "holders", "ref")

    def __init__(self, ref: weakref.ref[object], fingerprint: str | None) -> None:
        self.ref = ref
        self.fingerprint = fingerprint
        self.holders: list[Holder] = []


class Derivation:
    """What one root flow run knows of the objects that its steps hand on. Safe for threads."""

    def __init__(self) -> None:
        self._owner = Mark()
        self._lock = threading.RLock()
        self._held: dict[int, _Held] = {}
        self._ended: set[str] = set()

    def gave_out(self, value: object, run_id: str, uri: str, ref: ValueRef, path: str = "") -> None:
        """A run has given out a value: from now on it, and its components, are that run's.

        Args:
            value: the object itself.
            run_id: the run.
            uri: of what the run gave out.
            ref: the value as it was given out.
            path: of the value in that; empty when it is the whole.
        """
        if table.untried is not None:
            table.untried()
        if not table.kinds:
            return
        whole = None if path else ref.fingerprint
        for part, item in components(value, table.kinds):
            table.put(item, frozenset({Origin(self._owner, run_id, uri, whole, path + part)}))
            if not part:
                self._see(item, ref.fingerprint)

    def origins(self, value: object) -> list[Origin]:
        """What the value, or its components, was made from; one origin for each value that a run gave out."""
        if not table:
            return []
        found: dict[str, Origin] = {}
        for _, item in components(value, table.kinds):
            for mark in table.of(item):
                if isinstance(mark, Origin) and mark.owner is self._owner:
                    known = found.setdefault(mark.uri, mark)
                    if mark.part != known.part:  # of several components: the whole
                        found[mark.uri] = Origin(mark.owner, mark.run_id, mark.uri, mark.fingerprint, "")
        return sorted(found.values(), key=lambda origin: (origin.run_id, origin.uri))

    def taken(self, value: object, fingerprint: str | None, holder: Holder | None) -> tuple[Holder, ...]:
        """A run is given a value.

        Args:
            value: the object itself.
            fingerprint: its, as it is now.
            holder: who is given it; None for a flow run.

        Returns:
            The steps that had the very same object since it was last seen unchanged, when it has changed since then: one of them
            changed it, or the flow's own code did.
        """
        if not isinstance(value, table.kinds) or fingerprint is None:
            return ()
        with self._lock:
            held = self._held.get(id(value))
            known = held is not None and held.ref() is value
            changed: tuple[Holder, ...] = ()
            if held is None or not known:
                held = self._see(value, fingerprint)
            elif held.fingerprint != fingerprint:
                changed = tuple(one for one in held.holders if holder is None or one.run_id != holder.run_id)
                held = self._see(value, fingerprint)
            else:  # whoever has ended by now has left it as it was
                held.holders = [one for one in held.holders if one.run_id not in self._ended]
            if holder is not None and holder not in held.holders and len(held.holders) < _MOST_HOLDERS:
                held.holders.append(holder)
            return changed

    def ended(self, run_id: str) -> None:
        """A step has ended, and changes nothing any more of what it was given."""
        self._ended.add(run_id)

    def _see(self, value: object, fingerprint: str | None) -> _Held:
        key = id(value)

        def forget(dead: weakref.ref[object]) -> None:
            held = self._held.get(key)
            if held is not None and held.ref is dead:
                self._held.pop(key, None)

        held = self._held[key] = _Held(weakref.ref(value, forget), fingerprint)
        return held


def components(value: object, kinds: tuple[type, ...]) -> Iterator[tuple[str, object]]:
    """The objects of these kinds in a value, each with its path (``/train``; of the value itself empty).

    Only builtin containers are looked into.
    """
    level: list[tuple[str, object]] = [("", value)]
    seen = 0
    for _ in range(_DEEPEST + 1):
        below: list[tuple[str, object]] = []
        for path, item in level:
            if isinstance(item, kinds):
                yield path, item
                continue
            for step, part in _parts(item):
                seen += 1
                if seen > _MOST_COMPONENTS:
                    return
                below.append((f"{path}/{step}", part))
        level = below


def _parts(value: object) -> Iterable[tuple[str, object]]:
    cls = type(value)
    if cls is list or cls is tuple:
        return ((str(place), item) for place, item in enumerate(value))  # type: ignore[arg-type, var-annotated]
    if cls is dict:
        from lineage_flows.content.describe import path_step  # loads what Prefect's start shall not wait for

        some = list(islice(value.items(), _MOST_COMPONENTS + 1))  # type: ignore[attr-defined]
        return [(path_step(key), item) for key, item in some if type(key) is str or type(key) is int]
    return ()
