"""Keeps, for each run, the list of what it touched that is no local file: objects, responses, tables.

Knows names, versions and contents; the adapters tell it of accesses. Must not know any library, nor where events go.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from lineage_flows.capture.details import Details, merged
from lineage_flows.capture.file_content import Content
from lineage_flows.capture.paths import printable
from lineage_flows.capture.streams import Assembly, content_of
from lineage_flows.capture.targets import Facts, Queries, Target, column_edges, merged_columns
from lineage_flows.capture.touches import rfc3339

if TYPE_CHECKING:
    from lineage_flows.capture.adapters.rows import Rows
    from lineage_flows.capture.left_out import LeftOut
    from lineage_flows.content import Store
    from lineage_flows.record_base import ObjectFacts
    from lineage_flows.records import DatasetRef

__all__ = ["Facts", "ObjectLog", "Pending", "Queries", "Target", "Touch"]

Direction = Literal["read", "write"]

_MOST_OBJECTS = 20_000
_MOST_UNFINISHED = 64
"""Streams that are set aside at the same time; of the older ones only what is read in a row is hashed."""
_MOST_STATEMENTS = 20
_MOST_EARLIER = 8
"""Answers with one ETag that are read at a time; of the older ones nothing is known any more."""
_UNKNOWN = Content(None, None)
_MOST_TABLES = 200


@dataclass(slots=True, eq=False)
class Touch:
    """One version of an object that a run read or wrote."""

    target: Target
    direction: Direction
    facts: Facts
    order: int
    moment: int
    via: list[str] = field(default_factory=list)
    size: int | None = None
    assembly: Assembly | None = None
    content: Content | None = None
    note: str | None = None
    left_out: bool = False
    details: Details | None = None
    earlier: list[Assembly] = field(default_factory=list)
    latest: int = 0

    @property
    def whole(self) -> Content | None:
        """What it holds, once that is known."""
        read = [] if self.assembly is None else [self.assembly, *self.earlier]
        return self.content or next((one.content for one in read if one.content is not None), None)


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """What was written in a transaction that is still open."""

    log: ObjectLog
    target: Target
    via: str
    facts: Facts
    note: str | None


class ObjectLog:
    """The objects that one run touches, until ``close``. Thread-safe.

    Args:
        store: where contents that are read go; None to fingerprint only.
        size_cap: bytes; more are fingerprinted where they are read in a row, and not kept.
        keep_written: keep contents that are written too.
        order: counts touches of the process.
        left_out: what the rules of the settings leave out: its content is not looked at, and it is not named.
    """

    def __init__(
        self,
        store: Store | None,
        *,
        size_cap: int,
        keep_written: bool,
        order: Iterator[int],
        left_out: LeftOut | None = None,
    ) -> None:
        self._left_out = left_out
        self._store = store
        self._size_cap = size_cap
        self._keep_written = keep_written
        self._order = order
        self._lock = threading.Lock()
        self._touches: dict[tuple[object, ...], Touch] = {}
        self._unfinished: list[Assembly] = []
        self._queried: dict[tuple[str, str], Queries] = {}
        self._pending: dict[Pending, None] = {}
        self._results: dict[Rows, Callable[[Facts], None]] = {}
        self._closed = False
        self.touched = 0
        """How many accesses there were."""
        self.parts: dict[str, dict[int, int]] = {}
        """Sizes of the parts of uploads that are not complete, by the upload's id and the part's number."""

    def read(self, target: Target, via: str, facts: Facts, *, size: int | None = None) -> Touch:
        """The run reads a version of an object."""
        return self._touch(target, "read", via, facts, size)

    def declare(  # noqa: PLR0917 - each is said once, by one caller
        self, target: Target, direction: Direction, via: str, version: str | None, content: Content, details: Details
    ) -> None:
        """What the flow's author says that the run reads or writes; the same version said again is the same."""
        facts = Facts(version=version)
        touch = self._touch(target, direction, via, facts, content.size, same=content.fingerprint or "")
        touch.content = content
        touch.details = merged(touch.details, details)

    def write(
        self,
        target: Target,
        via: str,
        facts: Facts,
        *,
        data: bytes | bytearray | memoryview | None = None,
        size: int | None = None,
        note: str | None = None,
    ) -> Touch:
        """The run has written an object; ``data`` is its content where that is at hand."""
        touch = self._touch(target, "write", via, facts, size)
        touch.moment = time.time_ns()
        touch.note = note
        if data is not None and not touch.left_out:
            store = self._store if self._keep_written else None
            touch.content = content_of(data, store, size_cap=self._size_cap)
        return touch

    def stream(self, touch: Touch) -> Assembly | None:
        """Where the bytes go that the run reads of an object; None when they are known, or the run is over."""
        return self._stream(touch, touch.size)

    def _stream(self, touch: Touch, total: int | None) -> Assembly | None:
        with self._lock:
            if self._closed or touch.left_out or touch.whole is not None:
                return None
            if touch.assembly is None:
                touch.assembly = Assembly(total, self._store, size_cap=self._size_cap)
                self._unfinished = [one for one in self._unfinished if one.content is None]
                self._unfinished.append(touch.assembly)
                if len(self._unfinished) > _MOST_UNFINISHED:
                    self._unfinished.pop(0).drop()
            return touch.assembly

    def answer(self, touch: Touch, total: int | None) -> Assembly | None:
        """Where the bytes of a whole answer go, ``total`` of them if that is known; None as of ``stream``.

        What was read of an earlier answer is not made up from this one: servers call alike what is not the same byte by byte.
        """
        with self._lock:
            if touch.assembly is not None and touch.assembly.content is None:
                touch.earlier = [*touch.earlier[1 - _MOST_EARLIER :], touch.assembly]
                touch.assembly = None
        return self._stream(touch, total)

    def describe(self, uri: str, details: Details, *, since: int) -> None:
        """Say more of what the run has read whole since ``touched`` was so; of what has no fingerprint, nothing."""
        with self._lock:
            for touch in reversed(self._touches.values()):
                if touch.target.uri == uri and touch.direction == "read" and touch.latest > since:
                    if (touch.whole or _UNKNOWN).fingerprint:
                        touch.details = merged(touch.details, details)
                    return

    def received(self, touch: Touch, data: bytes | bytearray | memoryview) -> None:
        """All that the run read of an object, at once."""
        if not touch.left_out:
            touch.content = content_of(data, self._store, size_cap=self._size_cap)

    def queries(self, path: str, direction: Direction) -> Queries:
        """What was asked of a database that is a file of this machine; the file itself is the ``FileLog``'s."""
        with self._lock:
            found = self._queried.get((path, direction))
            if found is None:
                found = self._queried[path, direction] = Queries()
            return found

    def described(self, datasets: list[DatasetRef], rename: Callable[[str], str] | None) -> list[DatasetRef]:
        """All datasets, with what was asked of those that are databases; ``rename`` is a replay's, see ``FileLog``."""

        def named(path: str) -> str:
            return printable(rename(path) if rename else path)

        known = {(named(path), how): asked.facts() for (path, how), asked in self._queried.items()}
        read = {(one.namespace, one.name) for one in datasets if one.direction == "read"}
        columns = {
            (one.target.namespace, one.target.name): one.facts.columns
            for one in self._touches.values()
            if one.direction == "write" and one.facts.columns
        }
        found = []
        for one in datasets:
            more: dict[str, object] = {}
            if one.facts is None and (facts := known.get((one.path, one.direction))) is not None:
                more["facts"] = _facts(facts)
                columns[one.namespace, one.name] = tuple(use._replace(name=named(use.name)) for use in facts.columns)
            if one.direction == "write" and (uses := columns.get((one.namespace, one.name))):
                more["column_lineage"] = column_edges(uses, read)
            found.append(one.model_copy(update=more) if more else one)
        return found

    def pending(self, target: Target, via: str, facts: Facts, note: str | None = None) -> Pending:
        """The run has written what may still be taken back."""
        entry = Pending(self, target, via, facts, note)
        with self._lock:
            self._pending[entry] = None
        return entry

    def settle(self, entry: Pending, *, committed: bool) -> None:
        """What was written is there for good, or was taken back; what is settled already stays so."""
        with self._lock:
            if entry not in self._pending:
                return
            del self._pending[entry]
        if committed:
            self.write(entry.target, entry.via, entry.facts, note=entry.note)

    def fetching(self, rows: Rows, told: Callable[[Facts], None]) -> None:
        """A result is being fetched; ``told`` is called once with what is known of it, at its end or the run's."""
        with self._lock:
            self._results[rows] = told
            oldest = next(iter(self._results)) if len(self._results) > _MOST_UNFINISHED else None
        if oldest is not None:
            self.fetched(oldest, to_end=False)

    def is_fetching(self, rows: Rows) -> bool:
        """Whether more of a result is still recorded."""
        return rows in self._results

    def fetched(self, rows: Rows, *, to_end: bool) -> None:
        """No more is fetched of a result."""
        with self._lock:
            told = self._results.pop(rows, None)
        if told is not None:
            fingerprint = rows.fingerprint() if to_end else None
            told(Facts(rows=rows.count, results=() if fingerprint is None else (fingerprint,)))

    def close(self) -> list[DatasetRef]:
        """What was touched. What is read of a stream afterwards does not count any more."""
        for rows in list(self._results):
            self.fetched(rows, to_end=False)
        for entry in self._pending:
            self.write(entry.target, entry.via, entry.facts, note="not committed when the run ended")
        self._pending = {}
        with self._lock:
            self._closed = True
            touches = _one_of_each(list(self._touches.values()))
        own = {_version(touch): touch.order for touch in reversed(touches) if _is_own(touch)}
        found = [
            _dataset(touch)
            for touch in touches
            if not touch.left_out
            # What the run has written itself and reads back is not its input.
            and (touch.direction == "write" or own.get(_version(touch), touch.order) >= touch.order)
        ]
        for touch in touches:
            for one in [touch.assembly, *touch.earlier]:
                if one is not None:
                    one.drop()
        return found

    def _touch(
        self, target: Target, direction: Direction, via: str, facts: Facts, size: int | None, *, same: str | None = None
    ) -> Touch:
        key: tuple[object, ...] = (target.uri, direction, facts.version, facts.etag, facts.status)
        if same is not None:
            key = (*key, same)
        elif direction == "read" and facts.etag is None and not facts.statements and facts.rows is None:
            key = (*key, next(self._order))  # nobody says whether the next answer is the same: each is one of its own
        with self._lock:
            touch = self._touches.get(key)
            if touch is None:
                touch = Touch(target, direction, facts, next(self._order), time.time_ns(), size=size)
                if len(self._touches) < _MOST_OBJECTS and not self._closed:
                    self._touches[key] = touch
            else:
                touch.facts = _merged(touch.facts, facts)
            is_named_anew = touch.latest == 0 or target.written  # a statement is asked a million times under one name
            if self._left_out is not None and is_named_anew:
                touch.left_out |= self._left_out.covers(target.uri, direction, target.written)
            if via not in touch.via:
                touch.via.append(via)
            self.touched += 1
            touch.latest = self.touched
            return touch


def _one_of_each(touches: list[Touch]) -> list[Touch]:
    """What was touched, without what was declared with no version where the same was seen: that then has what was said of it."""
    bare = [one for one in touches if one.details and not one.facts.version and not (one.whole or _UNKNOWN).fingerprint]
    for declared in bare:
        seen = [one for one in touches if one not in bare and _side(one) == _side(declared)]
        for one in seen:
            one.details = declared.details
            one.via.extend(via for via in declared.via if via not in one.via)
        if seen:
            touches.remove(declared)
    return touches


def _side(touch: Touch) -> tuple[str, Direction]:
    return touch.target.uri, touch.direction


def _is_own(touch: Touch) -> bool:
    """Whether reading the same again gives what was written; a table may hold more."""
    return touch.direction == "write" and not touch.facts.statements


def _version(touch: Touch) -> tuple[str, str | None, str | None]:
    return touch.target.uri, touch.facts.version, touch.facts.etag


def _merged(old: Facts, new: Facts) -> Facts:
    statements = tuple(dict.fromkeys([*old.statements, *new.statements]))[:_MOST_STATEMENTS]
    rows = None if old.rows is None and new.rows is None else (old.rows or 0) + (new.rows or 0)
    tables = tuple(dict.fromkeys([*old.tables, *new.tables]))[:_MOST_TABLES]
    results = tuple(dict.fromkeys([*old.results, *new.results]))[:_MOST_STATEMENTS]
    uncounted, columns = old.uncounted or new.uncounted, merged_columns(old.columns, new.columns)
    return Facts(new.version, new.etag, new.status, rows, statements, tables, results, uncounted, columns)


def _facts(facts: Facts) -> ObjectFacts:
    from lineage_flows.record_base import ObjectFacts  # this module is loaded while Prefect starts

    said = dataclasses.asdict(dataclasses.replace(facts, columns=()))  # those are the dataset's
    del said["columns"], said["uncounted"]
    return ObjectFacts(**{**said, "rows": None if facts.uncounted else facts.rows})


def _dataset(touch: Touch) -> DatasetRef:
    from lineage_flows.records import DatasetRef  # as above

    assembly, facts = touch.assembly, touch.facts
    content = touch.whole or Content(None, touch.size)
    notes = [note for note in (touch.note, content.problem) if note]
    if touch.direction == "read" and content.fingerprint is None and assembly is not None:
        of = "" if touch.size is None else f" of {touch.size}"
        notes.append(f"not fingerprinted: {assembly.seen}{of} bytes were read")
    ref = DatasetRef(
        namespace=touch.target.namespace,
        name=touch.target.name,
        uri=touch.target.uri,
        path=touch.target.uri,
        direction=touch.direction,
        fingerprint=content.fingerprint,
        size=touch.size if content.size is None else content.size,
        blob=content.blob,
        via=tuple(touch.via),
        order=touch.order,
        touched=rfc3339(touch.moment),
        note="; ".join(notes) or None,
        facts=_facts(facts),
    )
    return ref if touch.details is None else touch.details.on(ref)
