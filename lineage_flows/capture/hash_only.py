"""A store that keeps nothing: for levels at which contents are named by their hashes and not kept.

Knows the store's protocol; must not know why nothing is kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from lineage_flows.content import fingerprint_file
from lineage_flows.errors import BlobMissingError

__all__ = ["HashOnlyStore"]


class HashOnlyStore:
    """Gives the names that blobs would have; see ``content.Store``."""

    url = "nowhere"

    def put(self, data: bytes | Iterable[bytes | memoryview]) -> tuple[str, int]:
        """The digest and size of bytes."""
        hasher, size = hashlib.sha256(), 0
        for piece in (data,) if isinstance(data, bytes) else data:
            hasher.update(piece)
            size += len(piece)
        return f"sha256:{hasher.hexdigest()}", size

    def put_file(self, path: str | os.PathLike[str], *, expect: str | None = None) -> tuple[str, int, str]:
        """Digest, size and fingerprint of a file."""
        fingerprint, size = fingerprint_file(path)
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"sha256:{digest}", size, fingerprint

    def get(self, digest: str) -> bytes:
        """Nothing is here."""
        raise BlobMissingError(digest, self.url)

    def fetch(self, digest: str, path: str | os.PathLike[str]) -> None:
        """Nothing is here."""
        raise BlobMissingError(digest, self.url)

    def has(self, digest: str) -> bool:
        """Nothing is here."""
        return False

    def check(self) -> None:
        """Always usable."""
