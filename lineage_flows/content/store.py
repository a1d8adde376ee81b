"""The content-addressed store: what one is, what names a blob, and which kind a URL means.

Knows URLs. A blob's name is ``sha256:`` and the hash of its bytes, so that ``sha256sum`` of its file verifies it without this
package; it lies under ``ab/cd/abcd…`` so that no folder grows large.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from lineage_flows.errors import ContentError

__all__ = ["ALGORITHM", "Store", "blob_path", "open_store"]

ALGORITHM = "sha256"

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class Store(Protocol):
    """Bytes by their hash. Safe for many threads and processes at once; the same bytes are kept once.

    Attributes:
        url: where it is, as ``open_store`` was told.
    """

    url: str

    def put(self, data: bytes | Iterable[bytes | memoryview]) -> tuple[str, int]:
        """Keep bytes, whole or in pieces that follow one another.

        Returns:
            Their digest, and how many there were.

        Raises:
            HomeError: when a folder cannot take them. ContentError: when a remote store cannot.
        """

    def put_file(self, path: str | os.PathLike[str], *, expect: str | None = None) -> tuple[str, int, str]:
        """Keep a file's content. Digest, size and fingerprint are of the same bytes, even if it is being written to.

        Args:
            path: a regular file.
            expect: the fingerprint (``lf1:…``) or digest (``sha256:…``) the content must have.

        Returns:
            The digest, the size, and the fingerprint of what was kept.

        Raises:
            OSError: when the file cannot be read. ContentError: when it is not as expected; nothing is kept then.
            Otherwise as ``put``.
        """

    def get(self, digest: str) -> bytes:
        """The bytes of a blob, verified.

        Raises:
            BlobMissingError: when it is not there. BlobAlteredError: when it is not what it was.
        """

    def fetch(self, digest: str, path: str | os.PathLike[str]) -> None:
        """A verified copy of a blob in a file, which appears whole or not at all.

        Raises:
            BlobMissingError, BlobAlteredError: as ``get``. HomeError: when the file cannot be written.
        """

    def has(self, digest: str) -> bool:
        """Whether a blob is there (whether it is unaltered, only reading it tells)."""

    def check(self) -> None:
        """Write, read and remove a probe.

        Raises:
            HomeError or ContentError: saying in one line why the store cannot be used.
        """


def open_store(url: str) -> Store:
    """The store at a folder, a ``file://`` URL, or any URL fsspec knows (``s3://bucket/prefix``). Nothing is touched yet.

    Raises:
        ContentError: when the URL names no kind of store.
    """
    scheme, separator, _ = url.partition("://")
    if not url.strip() or (separator and not scheme):
        raise ContentError(f"{url!r} is no store", why="it names neither a folder nor a URL")
    if separator and scheme != "file":
        from lineage_flows.content.object_store import ObjectStore

        return ObjectStore(url)
    from lineage_flows.content.local_store import LocalStore

    return LocalStore(Path(unquote(urlsplit(url).path) if separator else url).expanduser().absolute(), url)


def blob_path(digest: str) -> str:
    """Where a blob lies below the store's root.

    Raises:
        ContentError: when the digest is none, whatever it came from; it becomes part of a path.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise ContentError(f"{digest!r} is no blob's name", why="a name is sha256: and 64 hexadecimal digits")
    name = match[1]
    return f"{name[:2]}/{name[2:4]}/{name}"
