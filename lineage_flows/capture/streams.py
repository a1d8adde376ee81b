"""Puts the content of an object together from what the user's own reading of it gives, so that nothing is read a second time.

Knows bytes and offsets; must not know where they come from. Nothing is read ahead and nothing is held back.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from lineage_flows.capture.file_content import FILE_FORMAT, Content
from lineage_flows.errors import LineageError

if TYPE_CHECKING:
    from lineage_flows.content import Store

__all__ = ["Assembly", "content_of"]

_IN_MEMORY = 1 << 20
_CHUNK = 1 << 20


class Assembly:
    """The bytes of one object as they arrive: in a row, or in ranges, several threads at once.

    In a row they are hashed as they come. They are set aside too, in memory and above a megabyte in a temporary file, when they are
    to be kept, or come in ranges; never more than ``size_cap`` of them.

    Args:
        total: how many there are in all; None when nobody said, and the end of the stream is the end.
        store: where they are kept; None to hash only.
        size_cap: bytes.
    """

    def __init__(self, total: int | None, store: Store | None, *, size_cap: int) -> None:
        from lineage_flows.content.hashing import hasher

        self._total = total
        self._store = store
        self._cap = size_cap
        self._lock = threading.Lock()
        self._hash = hasher(0)
        self._position = 0
        self._ranges: list[tuple[int, int]] = []
        self._aside: IO[bytes] | None = None
        self._why = "too much was read at once"
        if total is None or total <= size_cap:
            self._aside = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - lives until all is there
        self.content: Content | None = None
        """All of it, once it is there."""
        if total == 0:
            self.ended()

    @property
    def seen(self) -> int:
        """How many bytes of the object have been read, each counted once."""
        return sum(end - start for start, end in self._ranges)

    def feed(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Bytes were read that begin at ``offset`` of the object."""
        with self._lock:
            if self.content is not None or not data:
                return
            end = offset + len(data)
            self._ranges = _joined([*self._ranges, (offset, end)])
            if offset <= self._position < end:
                self._hash.update(memoryview(data)[self._position - offset :])
                self._position = end
            if self._aside is not None:
                if end > self._cap:
                    self._drop()
                else:
                    self._set_aside(offset, data)
            if self._total is not None and self._ranges == [(0, self._total)]:
                self._complete(self._total)

    def ended(self) -> None:
        """The stream is at its end, which is the object's when nobody said how long that is."""
        with self._lock:
            whole = self._ranges == [(0, self._position)] or not self._position
            if self.content is None and whole and self._total in (None, self._position):
                self._complete(self._position)

    def drop(self) -> None:
        """Set nothing aside any more: what was is not needed, or too much."""
        with self._lock:
            self._drop()

    def _set_aside(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        try:
            if self._aside is not None:
                self._aside.seek(offset)
                self._aside.write(data)
        except OSError as error:  # no space: what is read in a row is hashed all the same
            self._why = str(error)
            self._drop()

    def _drop(self) -> None:
        if self._aside is not None:
            with contextlib.suppress(OSError):  # of what is still to be written
                self._aside.close()
            self._aside = None

    def _complete(self, size: int) -> None:
        from lineage_flows.content.hashing import blob_token, fingerprint_of, hasher

        if self._position == size:
            fingerprint = fingerprint_of(blob_token(self._hash.digest()))
        elif self._aside is not None:
            running = hasher(size)
            for chunk in _chunks(self._aside):
                running.update(chunk)
            fingerprint = fingerprint_of(blob_token(running.digest()))
        else:
            return
        self.content = Content(fingerprint, size)
        if self._store is not None:
            self.content = _kept(fingerprint, size, self._store, self._aside, self._cap, self._why)
        self._drop()


def content_of(data: bytes | bytearray | memoryview, store: Store | None, *, size_cap: int) -> Content:
    """What bytes that are all there hold."""
    assembly = Assembly(len(data), store, size_cap=size_cap)
    assembly.feed(0, data)
    return assembly.content or Content(None, len(data))


def _kept(  # noqa: PLR0917 - each is said once, by one caller
    fingerprint: str, size: int, store: Store, aside: IO[bytes] | None, size_cap: int, lost: str
) -> Content:
    from lineage_flows.records import BlobRef  # this module is loaded while Prefect starts

    if aside is None:
        why = f"{size} bytes are over the size cap of {size_cap}" if size > size_cap else lost
        return Content(fingerprint, size, problem=f"not kept: {why}")
    try:
        digest, stored = store.put(_chunks(aside))
    except LineageError as error:  # the disk is full, the bucket is away: the flow goes on
        return Content(fingerprint, size, problem=f"not kept: {error}")
    return Content(fingerprint, size, BlobRef(digest=digest, size=stored, format=FILE_FORMAT))


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(_CHUNK):
        yield chunk


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
