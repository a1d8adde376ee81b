"""A content store in memory, for tests of what writes to a store and not of the store."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterable
from pathlib import Path

from lineage_flows.content import fingerprint_file
from lineage_flows.errors import BlobMissingError, HomeError

_numbers = itertools.count(1)


class DictStore:
    """Blobs by digest. ``full`` makes every write fail as a full disk does; ``puts`` counts writes."""

    def __init__(self) -> None:
        self.url = f"memory:{next(_numbers)}"
        self.blobs: dict[str, bytes] = {}
        self.puts = 0
        self.full = False
        self._lock = threading.Lock()

    def put(self, data: bytes | Iterable[bytes]) -> tuple[str, int]:
        if self.full:
            raise HomeError("the store cannot be written", why="no space left on device")
        whole = bytes(data) if isinstance(data, bytes | bytearray | memoryview) else b"".join(data)
        digest = "sha256:" + hashlib.sha256(whole).hexdigest()
        with self._lock:
            self.puts += 1
            self.blobs[digest] = whole
        return digest, len(whole)

    def put_file(self, path: str | Path, *, expect: str | None = None) -> tuple[str, int, str]:
        digest, size = self.put(Path(path).read_bytes())
        return digest, size, fingerprint_file(path)[0]

    def get(self, digest: str) -> bytes:
        if digest not in self.blobs:
            raise BlobMissingError(digest, self.url)
        return self.blobs[digest]

    def fetch(self, digest: str, path: str | Path) -> None:
        Path(path).write_bytes(self.get(digest))

    def has(self, digest: str) -> bool:
        return digest in self.blobs

    def check(self) -> None:
        return
