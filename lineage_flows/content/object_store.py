"""The store in an object store: any file system fsspec knows, S3 above all.

Knows fsspec; which library serves a URL (s3fs for ``s3://``) is fsspec's matter, and it is loaded when first used. Objects
appear whole or not at all there, so a blob is put under its own name at once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lineage_flows.content.files import check_expected, chunks_of, explained, hash_file, open_regular, publish_copy
from lineage_flows.content.store import ALGORITHM, blob_path
from lineage_flows.errors import BlobAlteredError, BlobMissingError, ContentError
from lineage_flows.permissions import denied_error

__all__ = ["ObjectStore"]

_OPTIONS: dict[str, dict[str, Any]] = {
    # No listing is remembered: another process may have put the blob a moment ago. A dead endpoint is given up on in seconds.
    "s3": {
        "use_listings_cache": False,
        # botocore's own retries draw from the process's random numbers, which are the flow's; s3fs's do not.
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 60,
            "retries": {"total_max_attempts": 1, "mode": "standard"},
        },
    },
}
_ONCE: dict[str, dict[str, Any]] = {"s3": {"mode": "create"}}
"""What makes a write refuse a name that is taken (S3: If-None-Match), where the store can."""

_ACTIONS = {"read": "s3:GetObject", "write": "s3:PutObject", "use": "s3:PutObject"}
"""What IAM calls what is done to a store."""

_PROBES = "tmp"
_EXTRAS = {"s3": "lineage-flows[aws]"}
_FOREIGN_ERRORS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "aiohttp": ("ClientError",),
}
"""Exceptions of remote file systems that are no OSError, by module; looked up where that module is loaded."""


class ObjectStore:
    """A store below a URL.

    One connection serves a process; a forked child opens its own, since connections do not survive a fork.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._scheme = url.partition("://")[0]
        self._opened: tuple[int, Any, str] | None = None

    def put(self, data: bytes | Iterable[bytes | memoryview]) -> tuple[str, int]:
        """See Store."""
        if isinstance(data, bytes | bytearray | memoryview):
            whole = bytes(data)
            digest = f"{ALGORITHM}:{hashlib.sha256(whole).hexdigest()}"
            with self._explained("write"):
                fs, key = self._at(digest)
                if (found := self._size(fs, key)) != len(whole):
                    self._publish(partial(fs.pipe_file, key, whole), digest, len(whole), found)
            return digest, len(whole)
        with _scratch(data) as scratch:
            digest, size, _ = hash_file(scratch)
            self._upload(scratch, digest, size)
            return digest, size

    def put_file(self, path: str | os.PathLike[str], *, expect: str | None = None) -> tuple[str, int, str]:
        """See Store."""
        known = hash_file(path)
        check_expected(path, expect, known)
        with self._explained("read"):
            fs, key = self._at(known[0])
            if self._size(fs, key) == known[1]:
                return known
        # A copy is uploaded: of the file itself, other bytes could be sent than were hashed.
        with open_regular(path) as file, _scratch(chunks_of(file)) as scratch:
            known = hash_file(scratch)
            check_expected(path, expect, known)
            self._upload(scratch, known[0], known[1])
        return known

    def get(self, digest: str) -> bytes:
        """See Store."""
        with self._explained("read", digest):
            fs, key = self._at(digest)
            data: bytes = fs.cat_file(key)
        found = f"{ALGORITHM}:{hashlib.sha256(data).hexdigest()}"
        if found != digest:
            raise BlobAlteredError(digest, found, self.url)
        return data

    def fetch(self, digest: str, path: str | os.PathLike[str]) -> None:
        """See Store."""
        with _scratch(()) as scratch:
            with self._explained("read", digest):
                fs, key = self._at(digest)
                fs.get_file(key, str(scratch))
            with open_regular(scratch) as file:
                publish_copy(chunks_of(file), digest, Path(path), where=self.url)

    def has(self, digest: str) -> bool:
        """See Store."""
        with self._explained("read"):
            fs, key = self._at(digest)
            return self._size(fs, key) is not None

    def check(self) -> None:
        """See Store."""
        probe = uuid.uuid4().bytes
        with self._explained("use"):
            fs, root = self._connect()
            key = f"{root}/{_PROBES}/{probe.hex()}"
            self._write(partial(fs.pipe_file, key, probe), taken=False)
            read = fs.cat_file(key)
            # Who may write need not be allowed to delete; the bucket of infra/ drops what is left.
            with contextlib.suppress(PermissionError):
                fs.rm_file(key)
        if read != probe:
            raise ContentError(f"the store {self.url} cannot be used", why="what was written to it did not come back")

    def _upload(self, path: Path, digest: str, size: int) -> None:
        with self._explained("write"):
            fs, key = self._at(digest)
            if (found := self._size(fs, key)) != size:
                self._publish(partial(fs.put_file, str(path), key), digest, size, found)

    def _publish(self, put: Callable[..., object], digest: str, size: int, found: int | None) -> None:
        """Write a blob under its name, where ``found`` bytes lie that are not it; None when the name is free."""
        try:
            self._write(put, taken=found is not None)
        except PermissionError as denied:
            once = _ONCE.get(self._scheme)
            if found is None or once is None:
                raise
            # Is it the permission that lacks, or is nothing written over here? Asked for a free name only, a taken one answers.
            try:
                put(**once)
            except OSError as error:
                if _is_taken(error):
                    raise _unmendable(digest, size, found, self.url) from denied
                raise denied from error

    def _write(self, put: Callable[..., object], *, taken: bool, tries: int = 3) -> None:
        """Write an object; under a name that is free only if it still is, so that a bucket may refuse whatever else.

        Args:
            put: writes it; takes what the file system has to be told.
            taken: another object, which is not the blob, has the name.
            tries: how often it is tried while others write under the name.
        """
        once = {} if taken else _ONCE.get(self._scheme, {})
        try:
            put(**once)
        except OSError as error:
            code = _code(error)
            if once and error.errno == errno.ENOSYS:
                put()  # a store that speaks S3, and does not know the condition
            elif once and code == "ConditionalRequestConflict" and tries > 1:
                # Something else happened to the name during the upload (D: try again); what, the second time tells.
                self._write(put, taken=False, tries=tries - 1)
            elif not once or not _is_taken(error):
                raise
            # Otherwise written a moment ago by another process: the same bytes, or their hash tells when they are read.

    def _at(self, digest: str) -> tuple[Any, str]:
        path = blob_path(digest)
        fs, root = self._connect()
        return fs, f"{root}/{path}"

    @staticmethod
    def _size(fs: Any, key: str) -> int | None:  # noqa: ANN401 - fsspec has no types
        """How many bytes an object has; None when it is not there, or asking is not allowed (writing it may be)."""
        try:
            return int(fs.info(key)["size"])
        except (FileNotFoundError, PermissionError):
            return None

    def _connect(self) -> tuple[Any, str]:
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            import fsspec

            # Not one of fsspec's shared instances: those do not notice that credentials or endpoint were changed.
            options = {"skip_instance_cache": True, **_OPTIONS.get(self._scheme, {})}
            fs, root = fsspec.core.url_to_fs(self.url, **options)
            opened = self._opened = (os.getpid(), fs, root.rstrip("/"))
        return opened[1:]

    @contextlib.contextmanager
    def _explained(self, what: str, digest: str = "") -> Iterator[None]:
        """Turn the file system's errors into one clear line; that an object is not there into a missing blob."""
        try:
            yield
        except _errors() as error:  # evaluated now, when the library that serves the URL is loaded
            raise self._error(what, digest, error) from error

    def _error(self, what: str, digest: str, error: BaseException) -> ContentError:
        if digest and isinstance(error, FileNotFoundError):
            return BlobMissingError(digest, self.url)
        extra = _EXTRAS.get(self._scheme)
        if isinstance(error, ImportError):
            fix = f"install what serves it: pip install '{extra}'" if extra else "install what serves it"
        elif isinstance(error, PermissionError) and self._scheme == "s3":
            # S3 says as much of credentials that are wrong as of those that may not.
            fix = f"check the credentials; {denied_error(_ACTIONS[what]).fix}"
        else:
            fix = "check LINEAGE_FLOWS_STORE_URL, the credentials and the endpoint (AWS_ENDPOINT_URL)"
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return ContentError(f"cannot {what} the store {self.url}", why=why, fix=fix)


def _unmendable(digest: str, size: int, found: int, url: str) -> ContentError:
    return ContentError(
        f"blob {digest} is damaged in the store, and cannot be mended by writing it again",
        why=f"its object in {url} has {found} bytes and not {size}, and the bucket lets none be written over (WriteOnce of infra/)",
        fix="delete the object as the role pruner of infra/ (an earlier version of it may be whole), then do this again",
    )


def _is_taken(error: OSError) -> bool:
    """Whether a write was refused because the name is taken."""
    return isinstance(error, FileExistsError) or _code(error) == "PreconditionFailed"


def _code(error: OSError) -> str:
    """S3's code of a refusal. Not all releases of s3fs have an exception for each."""
    response = getattr(error.__cause__, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _errors() -> tuple[type[BaseException], ...]:
    """What a remote file system raises when it fails: a bad URL, a refusal, a broken connection."""
    found: list[type[BaseException]] = [ImportError, OSError, ValueError]
    for module, names in _FOREIGN_ERRORS.items():
        loaded = sys.modules.get(module)
        found.extend(getattr(loaded, name) for name in names if loaded is not None)
    return tuple(found)


@contextlib.contextmanager
def _scratch(chunks: Iterable[bytes | memoryview]) -> Iterator[Path]:
    """A temporary file with these bytes."""
    folder = Path(tempfile.gettempdir())
    with explained("write a temporary file into", folder, missing=True, otherwise="or set TMPDIR"):
        descriptor, name = tempfile.mkstemp(prefix="lineage-flows-")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                with explained("write a temporary file into", folder, missing=True, otherwise="or set TMPDIR"):
                    file.write(chunk)
                    file.flush()
        yield path
    finally:
        path.unlink(missing_ok=True)
