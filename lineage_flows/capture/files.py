"""Keeps, for each run, the list of files that it read and wrote, with their contents as they were at that moment.

Knows names and contents of files, and which run is active; ``audit`` and ``io_adapters`` tell it of accesses. Must not know
Prefect's engine, nor where events go.
"""

# Paths are strings here: they may hold any bytes, and a Path for every open of the process costs too much.
# ruff: noqa: PTH112, PTH116, PTH120

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from lineage_flows.capture import snapshot_gate
from lineage_flows.capture.active import Activation, Active, Carried, unobserved
from lineage_flows.capture.details import Details, merged
from lineage_flows.capture.file_content import Content, Signature, is_settled, signature, take
from lineage_flows.capture.file_rules import configure, shared
from lineage_flows.capture.journals import JOURNAL, found, holds_any
from lineage_flows.capture.ledger_log import LedgerLog
from lineage_flows.capture.objects import ObjectLog
from lineage_flows.capture.paths import absolute, below_any, is_same_file, is_secret_file, printable, to_uri
from lineage_flows.capture.touches import (
    Read,
    Touched,
    Write,
    Writer,
    Writers,
    dataset,
    last_written,
    made_unseen,
    stamp,
)
from lineage_flows.capture.touches import order as _order

if TYPE_CHECKING:
    from lineage_flows.capture.left_out import LeftOut
    from lineage_flows.content import Store
    from lineage_flows.records import DatasetRef

__all__ = [
    "FileLog",
    "Touched",
    "activate",
    "active",
    "configure",
    "counts",
    "current",
    "here",
]

_MOST_NOTES = 200
"""Entries of ``unrestorable`` and ``errors`` of one run; the rest would only repeat them."""

_active: Active[FileLog] = Active("lineage_flows_files")
_NOTHING = Touched()
_writers = Writers()


class FileLog:
    """The files that one run touches, from its start to ``close``. Thread-safe.

    A file that is read is fingerprinted, and kept, before the run sees it: it may change later, by the run's own hand too. A file
    that is written is fingerprinted at ``close``, when it is whole. What a run has written itself and reads back is no input.

    Args:
        store: where contents of files that are read go; None to fingerprint only.
        size_cap: bytes; a larger file is fingerprinted, and not kept.
        original_path: in a replay, the name that a file of the workspace had in the original run.
        keep_written: keep the contents of written files too.
        left_out: what the rules of the settings leave out: neither opened nor named.
    """

    def __init__(
        self,
        store: Store | None,
        *,
        size_cap: int,
        original_path: Callable[[str], str] | None = None,
        keep_written: bool = False,
        left_out: LeftOut | None = None,
    ) -> None:
        self._store = store
        self._left_out = left_out
        self._size_cap = size_cap
        self._original_path = original_path
        self._keep_written = keep_written
        self._lock = threading.Lock()
        self._reads: dict[tuple[str, str | None], Read] = {}
        self._last: dict[str, tuple[Signature, Read]] = {}
        self._writes: dict[str, Write] = {}
        self._removed: set[str] = set()
        self._covered: list[str] = []
        self._unrestorable: dict[str, None] = {}
        self._errors: list[str] = []
        self._touched: Touched | None = None
        self._began = stamp()
        self._writer = Writer()
        self._objects: ObjectLog | None = None
        self.ledger = LedgerLog()
        self.told: set[object] = set()  # what an adapter tells once a run, and not at every statement

    @property
    def objects(self) -> ObjectLog:
        """What the run touches that is no local file."""
        with self._lock:
            if self._objects is None:
                self._objects = ObjectLog(
                    self._store,
                    size_cap=self._size_cap,
                    keep_written=self._keep_written,
                    order=_order,
                    left_out=self._left_out,
                )
            return self._objects

    # ---------------------------------------------------------------------------------------- what happens to files

    def read(
        self, path: str, via: str, *, folders: bool = False, declared: bool = False, journal: str | None = None
    ) -> None:
        """The run is about to read a file; a folder of files as one dataset only where ``folders`` says that it does that.

        A path that does not exist, cannot be read, or is no regular file is not data; pipes and the like are named as unrestorable.
        What the flow's author has ``declared`` is data wherever it lies. ``journal`` is the write-ahead log beside a database: what
        lies there belongs to it, and the file alone is not its content.
        """
        name = self._counting(path, declared=declared)
        if name is None:
            return
        try:
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode) or (folders and stat.S_ISDIR(status.st_mode)):
                self._read(name, path, status, via, journal)
            elif not stat.S_ISDIR(status.st_mode):
                self.cannot_restore(f"{printable(name)}: not a regular file")
        except OSError as error:
            if declared:  # else the run's own open will say so
                lost = Content(None, None, problem=f"not fingerprinted: {error.strerror}")
                self._add((0, 0, 0, 0, 0), Read(next(_order), time.time_ns(), name, lost, [via]))

    def write(
        self, path: str, via: str, *, folders: bool = False, declared: bool = False, journal: str | None = None
    ) -> None:
        """The run is about to write a file, or a folder as one dataset; that it did is seen at the end by what changed.

        What the flow's author has ``declared`` was written, perhaps before this call. Of a database its ``journal`` may be.
        """
        name = self._counting(path, "write", declared=declared)
        if name is None:
            return
        snapshot_gate.wait()
        before = None if declared else found(path)
        logged = None if journal is None else (journal, found(journal))
        with self._lock:
            _writers.remember(name, self._writer)
            self._removed.discard(name)
            pending = self._writes.get(name)
            if pending is None:
                self._writes[name] = Write(next(_order), time.time_ns(), before, [via], folders, journal=logged)
                return
            if declared:
                pending.before, pending.folders = None, folders
            else:
                pending.moment, pending.details = time.time_ns(), None
            if via not in pending.via:
                pending.via.append(via)

    def append(self, path: str, via: str) -> None:
        """The run is about to add to a file: it takes in what is there, unless it has made that itself, past Python."""
        if not made_unseen(path, absolute(path) or "", self._began, _writers, self._writer):
            self.read(path, via)
        self.write(path, via)

    def rename(self, source: str, target: str, via: str) -> None:
        """The run is about to give a file or folder another name: what it wrote there is a dataset under the new name."""
        old, new = absolute(source), absolute(target)
        if old is None or new is None or not os.path.lexists(source) or is_same_file(source, target):
            return
        with self._lock:
            moved = [name for name in self._writes if name == old or name.startswith(old + "/")]
            mine = [(new + name[len(old) :], self._writes.pop(name)) for name in moved]
            self._removed.add(old)
        if not mine:
            if not os.path.isdir(source):
                self.read(source, via)
            self.write(target, via, folders=True)
            return
        for name, write in mine:
            self.write(name, via, folders=write.folders)
            with self._lock:
                if name in self._writes:
                    self._writes[name].via = list(dict.fromkeys([*write.via, *self._writes[name].via]))
                    self._writes[name].details = write.details

    def remove(self, path: str) -> None:
        """The run is about to delete a file or a whole folder."""
        if (name := absolute(path)) is not None:
            with self._lock:
                self._removed.add(name)

    def describe(self, path: str, direction: str, details: Details) -> None:
        """Say more of a file that the run has just read or written; of one that is not recorded, nothing."""
        name = absolute(path) or ""
        with self._lock:
            entry: Read | Write | None = self._writes.get(name) if direction == "write" else None
            if direction == "read" and name in self._last:
                read, own = self._last[name][1], self._writes.get(name)
                entry = read if own is None or own.order < read.order else None  # it reads what it has written since
            if entry is not None:
                entry.details = merged(entry.details, details)

    def cannot_restore(self, what: str, uri: str = "", written: str = "") -> None:
        """The run reads something that a replay cannot serve again; a dataset (``uri``) that is left out is only counted."""
        left_out = bool(uri) and self._left_out is not None and self._left_out.covers(uri, written=written)
        with self._lock:
            if not left_out and len(self._unrestorable) < _MOST_NOTES:
                self._unrestorable[what] = None

    @property
    def errors(self) -> list[str]:
        """What could not be recorded; may be added to."""
        return self._errors

    def keeping(self, direction: str) -> tuple[Store | None, int]:
        """Where contents that are read or written are kept, if they are; and the most bytes of one."""
        return self._store if direction == "read" or self._keep_written else None, self._size_cap

    def failed(self, doing: str, error: BaseException) -> None:
        """Something could not be recorded."""
        with self._lock:
            if len(self._errors) < _MOST_NOTES:
                self._errors.append(f"{doing}: {type(error).__name__}: {error}")

    @contextmanager
    def covering(self, paths: Iterable[str], written: Iterable[str] = ()) -> Iterator[None]:
        """What is opened at or below these paths has been told already: a library's own opening of them does not count again.

        Those in ``written`` are being written until the block ends.
        """
        names = [name for path in paths if (name := absolute(path)) is not None]
        with self._lock:
            self._covered.extend(names)
        try:
            yield
        finally:
            with self._lock:
                for name in names:
                    self._covered.remove(name)
                for path in written:
                    if (write := self._writes.get(absolute(path) or "")) is not None:
                        write.moment = time.time_ns()

    # ---------------------------------------------------------------------------------------------------- the result

    def close(self) -> Touched:
        """Fingerprint what was written and say all that was touched. A second call gives the same."""
        with self._lock:
            if self._touched is not None:
                return self._touched
            self._writer.until = time.time_ns()
            if not (self._reads or self._writes or self._unrestorable or self._errors or self._objects):
                self._touched = _NOTHING
                return _NOTHING
            writes, removed = dict(self._writes), set(self._removed)
        with unobserved():
            objects = self._objects.close() if self._objects is not None else []
            written = [
                ref for name, write in writes.items() if (ref := self._written(name, write, removed)) is not None
            ]
        with self._lock:
            read = [
                dataset(entry, entry.path, entry.content, entry.moment, self._original_path)
                for entry in self._reads.values()
            ]
            datasets = sorted([*read, *written, *objects], key=lambda ref: ref.order)
            if self._objects is not None:
                datasets = self._objects.described(datasets, self._original_path)
            lost = tuple(item for item in self._unrestorable if item not in self.ledger.told)
            self._touched = Touched(tuple(datasets), lost, tuple(self._errors))
            return self._touched

    def _written(self, name: str, write: Write, removed: set[str]) -> DatasetRef | None:
        try:
            status = os.stat(name)
        except OSError:
            return self._missing(name, write, removed)
        if stat.S_ISDIR(status.st_mode):
            changed = write.folders  # else it was opened to make a temporary file in it
        else:
            changed = stat.S_ISREG(status.st_mode) and signature(status) != write.before
        logged = write.journal is not None and holds_any(write.journal[0])
        if not changed and not (logged and write.journal is not None and found(write.journal[0]) != write.journal[1]):
            return None
        if logged:
            return dataset(write, name, Content(None, None, problem=JOURNAL), time.time_ns(), self._original_path)
        store = self._store if self._keep_written else None
        try:
            content = take(name, status, store=store, size_cap=self._size_cap, cache=shared.cache)
        except OSError as error:
            content = Content(None, None, problem=f"not fingerprinted: {error}")
        return dataset(write, name, content, last_written(write, status.st_mtime_ns), self._original_path)

    def _missing(self, name: str, write: Write, removed: set[str]) -> DatasetRef | None:
        """What to say of a file that was opened for writing and is not there at the end."""
        if below_any(name, removed):
            return None  # a temporary file
        if write.before is None and not os.access(os.path.dirname(name), os.W_OK):
            return None  # it could not be opened
        gone = Content(None, None, problem="not fingerprinted: it was gone when the run ended")
        return dataset(write, name, gone, write.moment, self._original_path)

    def _counting(self, path: str, direction: str = "read", *, declared: bool = False) -> str | None:
        """The absolute name of a path that counts as data and that can be recorded, else None."""
        name = absolute(path)
        if name is None or self._touched is not None:
            return None
        if not declared and self._covered and below_any(name, self._covered):
            return None
        if not declared and not shared.rules.counts(name):
            if name in {"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"}:
                self.cannot_restore("standard input")
            return None
        if is_secret_file(name):
            self.cannot_restore(f"{printable(name)}: its name says it holds secrets")
            return None
        return None if self._left_out is not None and self._left_out.covers(to_uri(name), direction) else name

    def _read(self, name: str, path: str, status: os.stat_result, via: str, journal: str | None = None) -> None:
        seen = signature(status)
        with self._lock:
            own = self._writes.get(name)
            if own is not None and own.before != seen:
                return
            last = self._last.get(name)
            if last is not None and last[0] == seen and is_settled(seen) and not stat.S_ISDIR(status.st_mode):
                if via not in last[1].via:
                    last[1].via.append(via)
                return
            order, moment = next(_order), time.time_ns()
        if journal is not None and holds_any(journal):
            content = Content(None, status.st_size, problem=JOURNAL)
        else:
            content = take(path, status, store=self._store, size_cap=self._size_cap, cache=shared.cache)
        self._add(seen, Read(order, moment, name, content, [via]))

    def _add(self, seen: Signature, read: Read) -> None:
        name, content = read.path, read.content
        if content.problem is not None:
            self.cannot_restore(f"{printable(name)}: {content.problem}")
        with self._lock:
            entry = self._reads.setdefault((name, content.fingerprint), read)
            entry.via.extend(via for via in read.via if via not in entry.via)
            self._last[name] = (seen, entry)

    def adopt(self, path: str, seen: Signature) -> None:
        """A file that was read before the run began, while the flow's module was imported; its content is taken now."""
        if self._counting(path) is None:
            return
        try:
            status = os.stat(path)
            if signature(status) == seen:
                self._read(path, path, status, "import")
                return
            problem = "changed between the import of the flow's module and the run"
        except OSError:
            problem = "gone between the import of the flow's module and the run"
        lost = Content(None, None, problem=problem)
        self._add(seen, Read(next(_order), time.time_ns(), path, lost, ["import"]))


def activate(log: FileLog | None) -> Activation[FileLog] | nullcontext[None]:
    """What is touched inside belongs to ``log``, also in what is started from here; None changes nothing."""
    return nullcontext() if log is None else _active.activate(log)


def current() -> FileLog | None:
    """The log that the executing code belongs to."""
    return _active.current()


def active() -> Active[FileLog]:
    """Which logs are open, and whose the executing code may be."""
    return _active


def counts(path: str) -> bool:
    """Whether a path may be data of a flow."""
    return (name := absolute(path)) is not None and shared.rules.counts(name)


def here() -> Carried[FileLog]:
    """Whom the executing code belongs to, for a thread that is started without a context."""
    return _active.here()
