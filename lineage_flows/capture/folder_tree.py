"""Records a folder that is under no version control as a list of its files, each a blob.

Knows the file system and the store; ``code`` decides when this way is taken. Never walks more than a bounded number of entries.
"""

# Paths are strings here: they may hold any bytes, and a Path for every open of the process costs too much.
# ruff: noqa: PTH110, PTH111, PTH115, PTH116, PTH118, PTH120

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lineage_flows.capture.file_content import is_settled, signature
from lineage_flows.capture.git_tree import CapturedTree
from lineage_flows.capture.paths import temporary_folder
from lineage_flows.capture.selection import Candidate, select, shortened
from lineage_flows.errors import CaptureError
from lineage_flows.records import BlobRef, SourceTree

if TYPE_CHECKING:
    from lineage_flows.capture.disk_cache import DiskCache
    from lineage_flows.content import Store

__all__ = ["MANIFEST_FORMAT", "TooLargeError", "capture_files", "capture_folder"]

MANIFEST_FORMAT = "files"
"""Format of a blob that lists a tree: JSON ``{"format": 1, "files": [{"path", "mode", "size", "digest"}, …]}``.

``mode`` is git's: 100644, 100755 (executable), 120000 (a link, which has a ``target`` in place of size and digest). The root is not
in it: the same files give the same digest wherever they lie.
"""

MOST_ENTRIES = 20_000
"""Files and folders looked at; a folder with more is not a project."""

WALK_SECONDS = 5.0

IGNORED_FOLDERS = frozenset(
    {
        ".bzr",
        ".cache",
        ".eggs",
        ".git",
        ".hg",
        ".hypothesis",
        ".idea",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".svn",
        ".tox",
        ".venv",
        ".vscode",
        "__pycache__",
        "env",
        "node_modules",
        "venv",
    }
)
"""What tools keep beside the sources. ``env`` and ``venv`` count only when they hold an environment (``pyvenv.cfg``)."""

BROAD_FOLDERS = ("/", "/data", "/home", "/mnt", "/opt", "/srv", "/tmp", "/usr", "/var", "/var/tmp")  # noqa: S108 - names only
"""Folders that hold projects and are none, beside the user's home and the temporary folder."""

_ENVIRONMENTS = frozenset({"env", "venv"})
_IGNORED_SUFFIXES = (".pyc", ".pyo", "~", ".swp")


class TooLargeError(CaptureError):
    """The folder is more than a project: somebody's home, a disk, a heap of data."""


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    status: os.stat_result


def capture_folder(
    root: Path, *, store: Store, size_cap: int, cache: DiskCache, ignored: Iterable[Path]
) -> CapturedTree:
    """Record all files below a folder, except what tools and this project keep there.

    Args:
        root: absolute.
        store: where the files go.
        size_cap: bytes the tree may have.
        cache: digests of unchanged files from earlier runs.
        ignored: folders that are not part of the project: the lineage home.

    Raises:
        TooLargeError: the folder has too many entries, or is one that holds projects and not one itself.
        CaptureError: the sources are larger than the cap.
        LineageError: the store cannot be written.
    """
    if os.path.realpath(root) in _broad_folders():
        raise TooLargeError(f"{root} was not taken whole", why="it is no project's folder")
    return _capture(root, _walk(root, {os.path.realpath(folder) for folder in ignored}), store, size_cap, cache)


def capture_files(root: Path, paths: Iterable[str], *, store: Store, size_cap: int, cache: DiskCache) -> CapturedTree:
    """Record only the named files, relative to ``root``.

    Raises:
        CaptureError: the sources are larger than the cap.
        LineageError: the store cannot be written.
    """
    files = []
    for path in sorted(set(paths)):
        try:
            files.append(_File(path, os.lstat(root / path)))
        except OSError:
            continue
    return _capture(root, files, store, size_cap, cache)


def _capture(root: Path, files: list[_File], store: Store, size_cap: int, cache: DiskCache) -> CapturedTree:
    by_path = {file.path: file for file in files}
    selection = select((Candidate(file.path, file.status.st_size) for file in files), size_cap, str(root))
    entries: list[dict[str, object]] = []
    unreadable: list[str] = []
    for path in selection.kept:
        try:
            entries.append(_entry(root, by_path[path], store, cache))
        except OSError:
            unreadable.append(f"{path} (cannot be read)")
    manifest = json.dumps({"format": 1, "files": entries}, sort_keys=True, separators=(",", ":")).encode()
    digest, size = store.put(manifest)
    tree = SourceTree(
        digest=f"files:{hashlib.sha256(manifest).hexdigest()}",
        format="files",
        root=str(root),
        blob=BlobRef(digest=digest, size=size, format=MANIFEST_FORMAT),
        files=len(entries),
        left_out=shortened((*selection.left_out, *unreadable)),
    )
    return CapturedTree(tree, frozenset(str(entry["path"]) for entry in entries))


def _entry(root: Path, file: _File, store: Store, cache: DiskCache) -> dict[str, object]:
    full = root / file.path
    if stat.S_ISLNK(file.status.st_mode):
        return {"path": file.path, "mode": "120000", "target": os.readlink(full)}
    digest, size = store_file(full, file.status, store, cache)
    executable = file.status.st_mode & stat.S_IXUSR
    return {"path": file.path, "mode": "100755" if executable else "100644", "size": size, "digest": digest}


def store_file(path: Path, status: os.stat_result, store: Store, cache: DiskCache) -> tuple[str, int]:
    """Digest and size of a file in the store; it is read only when it changed since it was stored.

    Raises:
        OSError: it cannot be read.
        LineageError: the store cannot be written.
    """
    seen = signature(status)
    key = f"{store.url} {':'.join(map(str, seen))}"
    if is_settled(seen):
        known = cache.get("source", key)
        if known is not None and store.has(known):
            return known, status.st_size
    digest, size, _ = store.put_file(path)
    if is_settled(seen) and signature(os.stat(path)) == seen:
        cache.put("source", key, digest)
    return digest, size


def _walk(root: Path, ignored: set[str]) -> list[_File]:
    """Regular files and links below ``root``, links not followed."""
    deadline = time.monotonic() + WALK_SECONDS
    found: list[_File] = []
    seen = 0
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(root / folder))
        except OSError:
            continue  # a folder that the user may not read
        seen += len(entries)
        if seen > MOST_ENTRIES or time.monotonic() > deadline:
            raise TooLargeError(
                f"{root} was not taken whole", why=f"it holds more than {MOST_ENTRIES} files or is slow to list"
            )
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if not _is_ignored(entry, ignored):
                    folders.append(path)
            elif not entry.name.endswith(_IGNORED_SUFFIXES):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                    found.append(_File(path, status))
    return found


def _is_ignored(entry: os.DirEntry[str], ignored: set[str]) -> bool:
    if entry.name in IGNORED_FOLDERS:
        return entry.name not in _ENVIRONMENTS or os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
    return bool(ignored) and os.path.realpath(entry.path) in ignored


def _broad_folders() -> set[str]:
    home = os.path.realpath(os.path.expanduser("~"))
    return {*BROAD_FOLDERS, home, os.path.dirname(home), temporary_folder()}
