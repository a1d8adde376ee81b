"""Finds out what a file or a folder of files holds: its fingerprint, and the blob it is kept in.

Knows content's store and the cache on disk; must not know who reads the file or why.
"""

# Paths are strings here: they may hold any bytes, and a Path for every open of the process costs too much.
# ruff: noqa: PTH116

from __future__ import annotations

import json
import os
import re
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lineage_flows.capture.paths import is_secret_file
from lineage_flows.errors import ContentError, LineageError

if TYPE_CHECKING:
    from lineage_flows.capture.disk_cache import DiskCache
    from lineage_flows.content import Store
    from lineage_flows.records import BlobRef

__all__ = [
    "FILE_FORMAT",
    "FOLDER_FORMAT",
    "Content",
    "Signature",
    "folder_files",
    "restore_content",
    "signature",
    "take",
]

FILE_FORMAT = "file"
"""Format of a blob that holds the bytes of a file."""

FOLDER_FORMAT = "folder"
"""Format of a blob that lists a folder: JSON ``{"files": {relative path: {"digest", "size", "fingerprint"}}}``."""

FOLDER_FILES = 20_000
"""The most files of a folder that are looked at as one dataset."""

SETTLED_SECONDS = 2.0
"""A file that changed more recently may change again within its time stamp's resolution (2 s on FAT, jiffies on ext4)."""

_REMEMBERED = 4096

_DRAWN = re.compile(r"[0-9a-f]{8}(-?)(?:[0-9a-f]{4}\1){3}[0-9a-f]{12}")
"""A UUID, with or without dashes."""

Signature = tuple[int, int, int, int, int]
"""Device, inode, size, and the times of the last change of content and of status, in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file or folder holds. ``problem`` says why it was not kept although it should have been."""

    fingerprint: str | None
    size: int | None
    blob: BlobRef | None = None
    problem: str | None = None


def signature(status: os.stat_result) -> Signature:
    """What tells a version of a file from the next without reading it."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def is_settled(seen: Signature) -> bool:
    """Whether a signature is old enough to stand for the content."""
    return time.time_ns() - max(seen[3], seen[4]) > SETTLED_SECONDS * 1e9


def take(path: str, status: os.stat_result, *, store: Store | None, size_cap: int, cache: DiskCache | None) -> Content:
    """Fingerprint a regular file or a folder, and keep it when there is a store.

    Args:
        path: opened as it is given.
        status: of ``path``, links followed.
        store: None when contents are not kept.
        size_cap: bytes; a larger file is fingerprinted and not kept.
        cache: hashes of unchanged files from earlier runs.

    Raises:
        OSError: the file cannot be read.
    """
    if stat.S_ISDIR(status.st_mode):
        return _folder(path, store=store, size_cap=size_cap, cache=cache)
    return _file(path, status, store=store, size_cap=size_cap, cache=cache)


def _file(path: str, status: os.stat_result, *, store: Store | None, size_cap: int, cache: DiskCache | None) -> Content:
    seen = signature(status)
    problem = None
    if store is not None and status.st_size > size_cap:
        problem = f"not kept: {status.st_size} bytes are over the size cap of {size_cap}"
        store = None
    known = _recall(seen, cache)
    if known is not None:
        fingerprint, digest = known
        if store is None:
            return Content(fingerprint, status.st_size, problem=problem)
        if digest is not None and _has(store, digest):
            return Content(fingerprint, status.st_size, _blob(digest, status.st_size, FILE_FORMAT))
    content = _read(path, store, problem)
    if signature(os.stat(path)) != seen:
        changed = "changed while it was being read"
        return Content(content.fingerprint, content.size, content.blob, content.problem or changed)
    if content.fingerprint is not None and content.problem is problem:
        _remember(seen, content.fingerprint, content.blob.digest if content.blob else None, cache)
    return content


def _read(path: str, store: Store | None, problem: str | None) -> Content:
    from lineage_flows.content import fingerprint_file

    if store is not None:
        try:
            digest, size, fingerprint = store.put_file(path)
        except (
            LineageError
        ) as error:  # the disk is full, the bucket is away: the flow goes on, the dataset is known by its hash
            problem = f"not kept: {error}"
        else:
            return Content(fingerprint, size, _blob(digest, size, FILE_FORMAT))
    fingerprint, size = fingerprint_file(path)
    return Content(fingerprint, size, problem=problem)


def _folder(path: str, *, store: Store | None, size_cap: int, cache: DiskCache | None) -> Content:
    """A folder is the set of its files by relative name; empty folders and what is not a regular file do not count."""
    from lineage_flows.content import fingerprint

    contents: dict[str, Content] = {}
    for name, status in folder_files(path):
        if len(contents) == FOLDER_FILES:
            return Content(None, None, problem=f"not fingerprinted: more than {FOLDER_FILES} files")
        full = f"{path.rstrip('/')}/{name}"
        contents[name] = _file(full, status, store=store, size_cap=size_cap, cache=cache)
    size = sum(content.size or 0 for content in contents.values())
    digest = fingerprint(_told_apart({name: content.fingerprint for name, content in contents.items()}))
    problem = next((f"{name}: {content.problem}" for name, content in contents.items() if content.problem), None)
    if store is None or any(content.blob is None for content in contents.values()):
        return Content(digest, size, problem=problem)
    listing = {
        name: {"digest": content.blob.digest, "size": content.size, "fingerprint": content.fingerprint}
        for name, content in contents.items()
        if content.blob is not None
    }
    try:
        stored, stored_size = store.put(json.dumps({"files": listing}, sort_keys=True).encode())
    except LineageError as error:
        return Content(digest, size, problem=f"not kept: {error}")
    return Content(digest, size, _blob(stored, stored_size, FOLDER_FORMAT), problem)


def _told_apart(contents: dict[str, str | None]) -> dict[str, object]:
    """What a folder is known by: its files by name, where a name that a library drew at random stands for no more than a place.

    pandas and Spark call every file of a partitioned table by a new UUID each time: the same table is to be the same dataset.
    """
    found: dict[str, object] = {name: content for name, content in contents.items() if _DRAWN.search(name) is None}
    drawn: dict[str, list[str]] = {}
    for name, content in contents.items():
        if _DRAWN.search(name) is not None:
            drawn.setdefault(_DRAWN.sub("*", name), []).append(content or "")
    found.update({name: sorted(several) for name, several in drawn.items()})
    return found


def folder_files(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """The files that make a folder the dataset it is, by name relative to it.

    Raises:
        OSError: one of them cannot be looked at.
    """
    for name in _files_below(path):
        status = os.stat(f"{path.rstrip('/')}/{name}")
        if stat.S_ISREG(status.st_mode) and not is_secret_file(name):
            yield name, status


def _blob(digest: str, size: int, format_: str) -> BlobRef:
    from lineage_flows.records import BlobRef  # this module is loaded while Prefect starts

    return BlobRef(digest=digest, size=size, format=format_)


def _files_below(path: str) -> list[str]:
    found: list[str] = []
    for folder, folders, names in os.walk(path):
        folders.sort()
        relative = os.path.relpath(folder, path)
        found.extend(name if relative == "." else f"{relative}/{name}" for name in sorted(names))
        if len(found) > FOLDER_FILES:
            break
    return found


def restore_content(blob: BlobRef, store: Store, destination: Path) -> None:
    """Put a file or a folder of files back, verified.

    Raises:
        ContentError: a blob is missing or altered, or lists a file outside the folder.
        OSError: ``destination`` cannot be written.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    if blob.format != FOLDER_FORMAT:
        store.fetch(blob.digest, destination)
        return
    destination.mkdir(parents=True, exist_ok=True)
    for name, entry in json.loads(store.get(blob.digest))["files"].items():
        if name.startswith("/") or ".." in name.split("/"):
            raise ContentError(
                f"folder {destination} cannot be restored", why=f"its list names {name!r}, outside of it"
            )
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        store.fetch(entry["digest"], target)


_recent: OrderedDict[Signature, tuple[str, str | None]] = OrderedDict()
_recent_lock = threading.Lock()


def _forked() -> None:
    global _recent_lock  # noqa: PLW0603 - a thread of the parent may have held it
    _recent_lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def _recall(seen: Signature, cache: DiskCache | None) -> tuple[str, str | None] | None:
    if not is_settled(seen):
        return None
    with _recent_lock:
        known = _recent.get(seen)
    if known is None and cache is not None:
        text = cache.get("file", _key(seen))
        if text is not None:
            fingerprint, _, digest = text.partition(" ")
            known = (fingerprint, digest or None)
    return known


def _remember(seen: Signature, fingerprint: str, digest: str | None, cache: DiskCache | None) -> None:
    if not is_settled(seen):
        return
    with _recent_lock:
        if digest is None and (known := _recent.get(seen)) is not None:
            digest = known[1]
        _recent[seen] = (fingerprint, digest)
        if len(_recent) > _REMEMBERED:
            _recent.popitem(last=False)
    if cache is not None:
        cache.put("file", _key(seen), f"{fingerprint} {digest or ''}")


def _key(seen: Signature) -> str:
    return ":".join(map(str, seen))


def _has(store: Store, digest: str) -> bool:
    try:
        return store.has(digest)
    except LineageError:
        return False
