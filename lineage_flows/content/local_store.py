"""The store in a folder.

Knows the file system. A blob is written under a name of its own in ``tmp/`` and then renamed, so that what carries a blob's
name is whole: a process that is killed, or a disk that is full, leaves at most a file in ``tmp/``, which is swept a day later.
Nothing is synced to the disk: after a power failure a blob may be missing or cut short, which reading it finds out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from lineage_flows.content.files import (
    GONE,
    check_expected,
    chunks_of,
    explained,
    hash_file,
    open_regular,
    publish_copy,
)
from lineage_flows.content.hashing import blob_token, fingerprint_of, hasher
from lineage_flows.content.store import ALGORITHM, blob_path
from lineage_flows.errors import BlobAlteredError, BlobMissingError, HomeError

__all__ = ["LocalStore"]

_DRAFTS = "tmp"
_STALE_SECONDS = 24 * 3600
_HASH_FIRST = 32 << 20
"""Bytes from which a file is hashed before it is copied: reading it twice is cheaper than writing what is there already."""

_ELSEWHERE = "or point LINEAGE_FLOWS_STORE_URL at another place"


class LocalStore:
    """A store in a folder, which is made when the first blob is put."""

    def __init__(self, root: Path, url: str = "") -> None:
        self.url = url or str(root)
        self._root = root
        self._swept = False

    def put(self, data: bytes | Iterable[bytes | memoryview]) -> tuple[str, int]:
        """See Store."""
        if isinstance(data, bytes | bytearray | memoryview):
            digest = f"{ALGORITHM}:{hashlib.sha256(data).hexdigest()}"
            if self._holds(digest, data):
                return digest, memoryview(data).nbytes
            data = (data,)
        with self._draft() as draft:
            for chunk in data:
                draft.write(chunk)
            return draft.publish(), draft.size

    def put_file(self, path: str | os.PathLike[str], *, expect: str | None = None) -> tuple[str, int, str]:
        """See Store."""
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size >= _HASH_FIRST:
                known = hash_file(path)
                check_expected(path, expect, known)
                if self._size(known[0]) == known[1]:
                    return known
            running = hasher(size)
            with self._draft() as draft:
                for chunk in chunks_of(file):
                    running.update(chunk)
                    draft.write(chunk)
                found = (draft.digest, draft.size, fingerprint_of(blob_token(running.digest())))
                check_expected(path, expect, found)
                draft.publish()
        return found

    def get(self, digest: str) -> bytes:
        """See Store."""
        with self._reading(digest) as path:
            data = path.read_bytes()
        found = f"{ALGORITHM}:{hashlib.sha256(data).hexdigest()}"
        if found != digest:
            raise BlobAlteredError(digest, found, str(path))
        return data

    def fetch(self, digest: str, path: str | os.PathLike[str]) -> None:
        """See Store."""
        with self._reading(digest) as source, open_regular(source) as file:
            publish_copy(chunks_of(file), digest, Path(path), where=str(source))

    def has(self, digest: str) -> bool:
        """See Store."""
        return self._size(digest) is not None

    def check(self) -> None:
        """See Store."""
        probe = uuid.uuid4().bytes
        with self._draft() as draft:
            draft.write(probe)
            read = draft.read_back()
        if read != probe:
            raise HomeError(f"the store {self._root} cannot be used", why="what was written to it did not come back")

    def _path(self, digest: str) -> Path:
        return self._root / blob_path(digest)

    def _size(self, digest: str) -> int | None:
        """How many bytes a blob has; None when it is not there."""
        with contextlib.suppress(*GONE), explained("read", self._root):
            return self._path(digest).stat().st_size
        return None

    def _holds(self, digest: str, data: bytes | memoryview) -> bool:
        """Whether a blob is there with exactly these bytes; one that was damaged is written again."""
        view = memoryview(data).cast("B")
        if self._size(digest) != len(view):
            return False
        place = 0
        with contextlib.suppress(OSError), open_regular(self._path(digest)) as file:
            for chunk in chunks_of(file):
                if chunk != view[place : place + len(chunk)]:
                    return False
                place += len(chunk)
        return place == len(view)

    @contextlib.contextmanager
    def _reading(self, digest: str) -> Iterator[Path]:
        path = self._path(digest)
        try:
            with explained("read", path):
                yield path
        except GONE:
            raise BlobMissingError(digest, str(self._root)) from None

    def _draft(self) -> _Draft:
        folder = self._root / _DRAFTS
        with explained("write a blob into", self._root, missing=True, otherwise=_ELSEWHERE):
            folder.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            self._swept = True
            _sweep(folder)
        return _Draft(folder / f"{os.getpid()}-{uuid.uuid4().hex}", self._root)


class _Draft:
    """A blob that is being written, and is gone when it was not published."""

    def __init__(self, path: Path, root: Path) -> None:
        self.size = 0
        self._path = path
        self._root = root
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        with explained("write a blob into", self._root, missing=True, otherwise=_ELSEWHERE):
            # Read-only from the start: a blob never changes. This descriptor can write nevertheless.
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o444)
        self._file = os.fdopen(descriptor, "w+b", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    @property
    def digest(self) -> str:
        """The name of what was written so far."""
        return f"{ALGORITHM}:{self._hash.hexdigest()}"

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes."""
        rest = memoryview(chunk).cast("B") if memoryview(chunk).nbytes else memoryview(b"")
        self._hash.update(rest)
        self.size += len(rest)
        with explained("write a blob into", self._root, missing=True, otherwise=_ELSEWHERE):
            while rest:
                rest = rest[self._file.write(rest) :]

    def read_back(self) -> bytes:
        """What was written, read again."""
        with explained("read", self._root, missing=True):
            self._file.seek(0)
            return bytes(self._file.read())

    def publish(self) -> str:
        """Give it the name it has by its content."""
        digest = self.digest
        target = self._root / blob_path(digest)
        with explained("write a blob into", self._root, missing=True, otherwise=_ELSEWHERE):
            # Closed first: a network file system may say only then that the disk was full.
            self._file.close()
            target.parent.mkdir(parents=True, exist_ok=True)
            self._path.replace(target)
        return digest


def _sweep(folder: Path) -> None:
    """Remove what killed processes left behind; a draft that is a day old is nobody's."""
    oldest = time.time() - _STALE_SECONDS
    with contextlib.suppress(OSError):
        for draft in folder.iterdir():
            with contextlib.suppress(OSError):
                if draft.stat().st_mtime < oldest:
                    draft.unlink()
