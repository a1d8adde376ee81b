"""Journals: what a process accepts is appended to a file of its own, one system call an entry, and moved on by whoever reads.

Knows files, locks and forks; must not know what an entry holds. A transaction of a database that several processes share costs ten
times as much as an append, and a flow pays it for each of its tasks; whoever reads moves hundreds of entries in one transaction.
An append survives the death of the process at any moment, as the kernel has it; after a power failure the last may be missing.
"""

# Paths are strings here, and looked at once an entry: Path costs three times as much.
# ruff: noqa: PTH108, PTH116

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lineage_flows.delivery.forks import guard_forks
from lineage_flows.errors import DeliveryError

__all__ = ["Entry", "Journal", "Waiting", "waiting"]

SUFFIX = ".journal"
DAMAGED = ".damaged"
LARGEST = 16 << 20
"""Bytes from which on a process begins another file, so that the first can be removed."""

_HEAD = struct.Struct("<4sIIQ")
"""Mark, bytes and CRC-32 of the body, and the moment of acceptance."""
_MARK = b"lfj1"
_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORK_WAIT_SECONDS = 5.0
_CLOCK_SLACK = 1_000_000_000
"""Nanoseconds; an entry that is further ahead of this process's clock is of another clock: an earlier boot, another container."""

_log = logging.getLogger("lineage_flows.delivery")


@dataclass(frozen=True, slots=True)
class Entry:
    """What was accepted, and when: nanoseconds of the clock that all processes of a machine share."""

    moment: int
    body: bytes


class Journal:
    """The end of a journal that is written to. Safe for threads and forks; the file is made with the first entry.

    The kernel's lock on the file says that its writer lives: it ends with the process, however that ends.

    Args:
        beside: the database that entries move into; journals lie in its folder.
    """

    def __init__(self, beside: Path) -> None:
        self._beside = beside
        self._lock = threading.Lock()
        self._held = False
        self._handle: int | None = None
        self._path = ""
        self._identity: tuple[int, int] | None = None
        self._size = 0
        guard_forks(self)

    def append(self, body: bytes) -> None:
        """Keep an entry: it is with the kernel when this returns.

        Raises:
            DeliveryError: it could not be kept; nothing of it was.
        """
        with self._lock:
            try:
                handle = self._open()
                moment = time.monotonic_ns()
                entry = _HEAD.pack(_MARK, len(body), zlib.crc32(body), moment) + body
                written = os.write(handle, entry)
            except OSError as error:
                self._undo()
                raise _cannot(self._beside, error) from error
            if written != len(entry):
                self._undo()
                raise _cannot(self._beside, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            self._size += written

    def close(self) -> None:
        """Let go of the file; it is removed once all that is in it has moved on."""
        with self._lock:
            self._drop()

    def before_fork(self) -> None:
        """See ``ForkSafe``."""
        self._held = self._lock.acquire(timeout=_FORK_WAIT_SECONDS)

    def after_fork_in_parent(self) -> None:
        """See ``ForkSafe``."""
        if self._held:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """The parent goes on with its file, whose lock the child would else prolong; the child makes one of its own."""
        self._lock = threading.Lock()
        self._drop()

    def _open(self) -> int:
        """The file to append to. One that is large, or that was removed, is left for a new one."""
        if self._handle is not None:
            if self._size < LARGEST and _identity(self._path) == self._identity:
                return self._handle
            self._drop()
        self._beside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while self._handle is None:
            name = f"{self._beside.stem}-{os.getpid()}-{os.urandom(6).hex()}{SUFFIX}"
            path = str(self._beside.with_name(name))
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if (identity := _identity(path)) is None:  # taken for that of a dead process before it was locked
                os.close(handle)
                continue
            self._handle, self._path, self._identity, self._size = handle, path, identity, 0
        return self._handle

    def _undo(self) -> None:
        """Take back what was written of an entry; a file that does not allow even that ends here, with a torn entry at its end."""
        if self._handle is not None:
            try:
                os.ftruncate(self._handle, self._size)
            except OSError:
                self._drop()

    def _drop(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


class Waiting:
    """A journal as it is read.

    Attributes:
        path: its file.
        name: its file's name, under which is kept how far it was read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = os.path.basename(path)  # noqa: PTH119

    def entries(self, offset: int, until: int) -> tuple[list[Entry], int]:
        """What was accepted until a moment, from ``offset`` on, and the offset behind it.

        What is torn at the end is being written, or never was accepted. What is damaged before the end is put aside with all behind
        it, as a file of its own, and said in a warning.

        Raises:
            OSError: the file cannot be read.
        """
        try:
            with open(self.path, "rb") as file:  # noqa: PTH123
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return [], offset
        found: list[Entry] = []
        at = 0
        while (entry := _entry(data, at)) is not None and not until < entry.moment < until + _CLOCK_SLACK:
            found.append(entry)
            at += _HEAD.size + len(entry.body)
        if entry is None and _is_damaged(data, at) and self.is_left():
            self._set_aside(data[at:])
            at = len(data)
        return found, offset + at

    def is_left(self) -> bool:
        """Whether nobody writes to it any more."""
        with self._taken() as taken:
            return taken

    def remove(self, offset: int) -> bool:
        """Remove it if its writer is gone and everything up to ``offset`` is all there is but a torn end; whether it did."""
        # Under the lock, which a writer that has just made the file waits for, and then sees that the file is gone.
        with self._taken() as taken:
            if not taken:
                return False
            try:
                with open(self.path, "rb") as file:  # noqa: PTH123
                    file.seek(offset)
                    if _entry(file.read(), 0) is not None:
                        return False
                os.unlink(self.path)
            except OSError:
                return False
            return True

    def size(self) -> int:
        """Bytes in it; 0 when it is gone."""
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0

    @contextmanager
    def _taken(self) -> Iterator[bool]:
        """Hold the lock that its writer held, if that is gone."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            yield False
            return
        try:
            yield _locked(handle)
        finally:
            os.close(handle)

    def _set_aside(self, data: bytes) -> None:
        target = self.path + DAMAGED
        with open(target, "wb") as file:  # noqa: PTH123
            file.write(data)
        _log.warning("lineage: %s is damaged; what cannot be read of it was put into %s", self.path, target)


def waiting(beside: Path) -> Iterator[Waiting]:
    """The journals of a database, those of processes that live and those that were left behind."""
    start = f"{beside.stem}-"
    try:
        with os.scandir(beside.parent) as found:
            paths = [one.path for one in found if one.name.endswith(SUFFIX) and one.name.startswith(start)]
    except OSError:
        paths = []
    return map(Waiting, paths)


def _entry(data: bytes, at: int) -> Entry | None:
    """The whole entry that begins at an offset; None when there is none."""
    if len(data) - at < _HEAD.size:
        return None
    mark, size, crc, moment = _HEAD.unpack_from(data, at)
    body = data[at + _HEAD.size : at + _HEAD.size + size]
    if mark != _MARK or len(body) != size or zlib.crc32(body) != crc:
        return None
    return Entry(moment, body)


def _is_damaged(data: bytes, at: int) -> bool:
    """Whether an entry that is not whole has another behind it, and so is not merely torn."""
    following = data.find(_MARK, at + 1)
    while following >= 0:
        if _entry(data, following) is not None:
            return True
        following = data.find(_MARK, following + 1)
    return False


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _cannot(path: Path, error: OSError) -> DeliveryError:
    fix = (
        "free some space on that disk"
        if error.errno in _SPACE
        else "make the folder writable, or see `lineage-flows doctor`"
    )
    return DeliveryError(f"{path} cannot be written", why=error.strerror or str(error), fix=fix)
