"""Which output became which input, inside one root flow run: by Prefect's own tracking, by content, and by derivation.

Knows records, and what events call a value. Prefect tracks by ``id(obj)``; for types without weak references (dict, list, str …) a
recycled address can name a task that never made the value, so such a claim counts only when the contents bear it out.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from lineage_flows.capture.derivation import Derivation, Holder, Origin
from lineage_flows.content.describe import is_common_scalar
from lineage_flows.events.values import identity
from lineage_flows.records import KnownBy, Source, ValueRef

__all__ = ["Links", "is_trivial"]

_CONTAINERS = frozenset({"dict", "list", "tuple", "set", "frozenset"})
_ANYTHING = ""
_MOST_YIELDS = 10_000
"""Yields of one generator that are remembered; of later ones only what Prefect says counts."""


@dataclass(frozen=True, slots=True)
class _Origin:
    run_id: str
    uri: str
    fingerprint: str | None
    part: str
    is_result: bool = True


class Links:
    """What every run of a root flow run gave out, and the sources of what goes in. Safe for threads.

    Attributes:
        derivation: the objects themselves, and what was computed from them.
    """

    def __init__(self) -> None:
        self.derivation = Derivation()
        self._lock = threading.Lock()
        self._by_run: dict[str, _Origin] = {}
        self._by_content: defaultdict[str, list[_Origin]] = defaultdict(list)
        self._contents: defaultdict[str, set[str]] = defaultdict(set)
        self._opaque: defaultdict[str, set[str]] = defaultdict(set)
        self._yields: defaultdict[str, int] = defaultdict(int)

    def produced(self, run_id: str, uri: str, value: ValueRef, *, is_result: bool = True) -> None:
        """Remember a value that a run gave out.

        Args:
            run_id: the run's.
            uri: the value's.
            value: as it was given out.
            is_result: False for a parameter of a flow, which Prefect never means when it names the run.
        """
        whole = identity(value)
        with self._lock:
            if is_result:
                self._by_run.setdefault(run_id, _Origin(run_id, uri, whole, ""))
                self._given_out(run_id, value)
            if value.fingerprint and not is_trivial(value):
                self._add(value.fingerprint, _Origin(run_id, uri, whole, "", is_result))
            for part in value.parts:
                if not part.common:
                    self._add(part.fingerprint, _Origin(run_id, uri, whole, part.path, is_result))

    def yielded(self, run_id: str, uri: str, path: str, value: ValueRef) -> None:
        """Remember a value that a generator yielded: a part of its output, whose fingerprint is known only when it ends."""
        with self._lock:
            self._by_run.setdefault(run_id, _Origin(run_id, uri, None, ""))
            self._yields[run_id] += 1
            if self._yields[run_id] > _MOST_YIELDS:
                return
            self._given_out(run_id, value)
            if value.fingerprint and not is_trivial(value):
                self._add(value.fingerprint, _Origin(run_id, uri, None, path))
            for part in value.parts:
                if not part.common:
                    self._add(part.fingerprint, _Origin(run_id, uri, None, path + part.path))

    def _given_out(self, run_id: str, value: ValueRef) -> None:
        self._contents[run_id] |= _contents(value)
        if value.fingerprint is None:
            self._opaque[run_id].add(_ANYTHING if value.type in _CONTAINERS else value.type)

    def _add(self, fingerprint: str, origin: _Origin) -> None:
        known = self._by_content[fingerprint]
        if all(other.uri != origin.uri for other in known):
            known.append(origin)

    def knows(self, run_id: str) -> bool:
        """Whether a run's output was remembered."""
        with self._lock:
            return run_id in self._by_run

    def sources(
        self,
        value: ValueRef,
        tracked: Iterable[str],
        *,
        identity_is_safe: bool,
        derived: Iterable[Origin] = (),
        changed_by: Iterable[tuple[Holder, str]] = (),
    ) -> tuple[Source, ...]:
        """Where a value came from.

        Args:
            value: the input as it goes in.
            tracked: ids of the runs that Prefect says it came from.
            identity_is_safe: whether Prefect verified the object's identity by a weak reference.
            derived: what the object, or one of its components, was computed from, or is.
            changed_by: steps that had the object before it changed, each with the URI of what it left of it.

        Returns:
            One source a producing value, in order of run id. Where equal contents have several producers, those that
            Prefect names are meant, or those that the object comes from; where neither names one, all are given.
        """
        ids = set(tracked)
        derived = tuple(derived)
        objects = {origin.uri for origin in derived}
        found: dict[str, tuple[_Origin, set[KnownBy]]] = {}
        with self._lock:
            for fingerprint in self._known(value):
                origins = self._by_content[fingerprint]
                named = [origin for origin in origins if origin.run_id in ids]
                if not named and any(origin.uri in objects for origin in origins):
                    # What a subflow was called with is the same object, and goes by its parameter as well.
                    named = [origin for origin in origins if origin.uri in objects or not origin.is_result]
                for origin in named or origins:
                    found.setdefault(origin.uri, (origin, set()))[1].add("content")
            for run_id in ids:
                made = self._by_run.get(run_id)
                if made is None:
                    continue
                if made.uri in found:
                    found[made.uri][1].add("prefect")
                elif identity_is_safe or self._may_be_from(run_id, value):
                    found[made.uri] = (made, {"prefect"})
        for derivation in derived:
            origin = _Origin(derivation.run_id, derivation.uri, derivation.fingerprint, derivation.part)
            how = found.setdefault(origin.uri, (origin, set()))[1]
            if "content" not in how:  # else it went in as it was given out
                how.add("derivation")
        for holder, uri in changed_by:
            found.setdefault(uri, (_Origin(holder.run_id, uri, None, ""), set()))[1].add("mutation")
        return tuple(
            Source(run_id=o.run_id, uri=o.uri, fingerprint=o.fingerprint, part=o.part, known_by=tuple(sorted(how)))
            for o, how in sorted(found.values(), key=lambda item: (item[0].run_id, item[0].uri))
        )

    def _may_be_from(self, run_id: str, value: ValueRef) -> bool:
        """Whether what a run gave out bears out that a value is from it; of what has no fingerprint, only the type can."""
        if value.fingerprint is None:
            opaque = self._opaque.get(run_id, ())
            if value.type in opaque or _ANYTHING in opaque:
                return True
        return bool(_contents(value) & self._contents[run_id])

    def _known(self, value: ValueRef) -> list[str]:
        """The value itself when somebody made it; else those of its parts that somebody made."""
        if value.fingerprint in self._by_content and not is_trivial(value):
            return [value.fingerprint] if value.fingerprint else []
        parts = (part.fingerprint for part in value.parts if not part.common)
        return [fingerprint for fingerprint in parts if fingerprint in self._by_content]


def is_trivial(value: ValueRef) -> bool:
    """Whether a value is too common for equal contents to mean one origin: None, booleans, small or round numbers, short text."""
    if value.kind != "Value":
        return False
    preview, name = value.preview, value.type.removeprefix("builtins.")
    if value.fingerprint is None or name in {"NoneType", "bool"}:
        return True
    if name == "float" and isinstance(preview, str):
        return True  # not a number, or infinite: shown as text
    if name in {"int", "float", "str"} or name.startswith("numpy."):
        return preview is not None and is_common_scalar(preview)
    return name in _CONTAINERS and not value.parts


def _contents(value: ValueRef) -> frozenset[str]:
    """Every fingerprint a value carries, its own and those of its parts."""
    return frozenset(part.fingerprint for part in value.parts) | ({value.fingerprint} if value.fingerprint else set())
