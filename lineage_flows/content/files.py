"""Files: their hashes in one pass, copies that appear whole, and the operating system's errors in one clear line.

Knows files. They are read, not mapped into memory: a mapped file that another process cuts short kills this one (SIGBUS).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from lineage_flows.content.hashing import blob_token, fingerprint_of, hasher
from lineage_flows.errors import BlobAlteredError, ContentError, HomeError

__all__ = [
    "GONE",
    "check_expected",
    "chunks_of",
    "explained",
    "fingerprint_file",
    "hash_file",
    "open_regular",
    "publish_copy",
]

GONE = (FileNotFoundError, NotADirectoryError)
"""What reading a path raises when there is nothing."""

_BUFFER = 8 << 20
_FIXES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of the quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.ENOTDIR: "remove the file that is in the way",
    errno.EEXIST: "remove the file that is in the way",
}
_OTHER_FIX = "make it readable and writable for this user"


def fingerprint_file(path: str | os.PathLike[str]) -> tuple[str, int]:
    """The fingerprint of a file's content, equal to that of the same ``bytes``, and how many there were.

    Raises:
        OSError: when it cannot be read, or is no regular file (a pipe or a device has no content to come back to).
    """
    size = 0
    with open_regular(path) as file:
        running = hasher(os.fstat(file.fileno()).st_size)
        for chunk in chunks_of(file):
            running.update(chunk)
            size += len(chunk)
    return fingerprint_of(blob_token(running.digest())), size


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, opened for reading without a buffer.

    Raises:
        OSError: when it cannot be read, or is no regular file.
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return Path(path).open("rb", buffering=0)


def chunks_of(file: BinaryIO) -> Iterator[memoryview]:
    """The rest of a file in pieces that are valid until the next one is asked for."""
    buffer = memoryview(bytearray(min(_BUFFER, max(os.fstat(file.fileno()).st_size + 1, 4096))))
    while length := file.readinto(buffer):  # type: ignore[attr-defined]  # a raw file has it
        yield buffer[:length]


def hash_file(path: str | os.PathLike[str]) -> tuple[str, int, str]:
    """Digest, size and fingerprint of a file, of the same bytes.

    Raises:
        OSError: when it cannot be read, or is no regular file.
    """
    size, sha = 0, hashlib.sha256()
    with open_regular(path) as file:
        running = hasher(os.fstat(file.fileno()).st_size)
        for chunk in chunks_of(file):
            sha.update(chunk)
            running.update(chunk)
            size += len(chunk)
    return f"sha256:{sha.hexdigest()}", size, fingerprint_of(blob_token(running.digest()))


def check_expected(path: str | os.PathLike[str], expect: str | None, found: tuple[str, int, str]) -> None:
    """Compare a file's digest and fingerprint with the one that was expected, if any.

    Raises:
        ContentError: when it is neither.
    """
    if expect is not None and expect not in (found[0], found[2]):
        raise ContentError(
            f"{os.fspath(path)} was not stored", why=f"it changed: its content is {found[2]}, expected was {expect}"
        )


def publish_copy(chunks: Iterable[bytes | memoryview], digest: str, path: Path, *, where: str) -> None:
    """Write bytes into a file, its folders with it; it appears whole, or not at all when they do not have the digest.

    Raises:
        BlobAlteredError: when they do not; ``where`` says what was read. HomeError: when the file cannot be written.
    """
    draft = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    sha = hashlib.sha256()
    try:
        with explained("write", path, missing=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = draft.open("xb", buffering=0)
        with file:
            for chunk in chunks:
                sha.update(chunk)
                rest = memoryview(chunk)
                with explained("write", path, missing=True):
                    while rest:
                        rest = rest[file.write(rest) :]
        found = f"sha256:{sha.hexdigest()}"
        if found != digest:
            raise BlobAlteredError(digest, found, where)
        with explained("write", path, missing=True):
            draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(what: str, path: Path, *, missing: bool = False, otherwise: str = "") -> Iterator[None]:
    """Turn the operating system's errors into one clear line; that there is no such file only with ``missing``.

    Raises:
        HomeError: what could not be done with ``path``, why, and what to do (``otherwise`` is the alternative).
    """
    try:
        yield
    except GONE as error:
        if not missing:
            raise
        raise _home_error(what, path, error, otherwise) from error
    except OSError as error:
        raise _home_error(what, path, error, otherwise) from error


def _home_error(what: str, path: Path, error: OSError, otherwise: str) -> HomeError:
    fix = _FIXES.get(error.errno or 0, _OTHER_FIX)
    return HomeError(
        f"cannot {what} {path}", why=error.strerror or str(error), fix=f"{fix}, {otherwise}" if otherwise else fix
    )
