"""Reads the source trees that run records name, and says which files of two trees differ and on which lines.

Knows records and the two forms in which trees are kept; runs git for one of them. Must not know how trees are captured.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from lineage_flows.compare.calls import Sources
from lineage_flows.compare.changes import FileChange
from lineage_flows.errors import ContentError
from lineage_flows.records import SourceTree

__all__ = ["NOT_CODE", "changed_lines", "file_changes", "python_sources", "read_folder", "read_tree", "unified"]

_REF = "refs/lineage/tree"
NOT_CODE = frozenset({".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".tox"})
"""Names of folders that lie in a project and are not its code."""


def read_tree(tree: SourceTree, read: Callable[[str], bytes]) -> dict[str, bytes] | None:
    """All files of a kept tree and of the modules beside it: path relative to its root -> content.

    Args:
        tree: the tree as a run record names it.
        read: reads a blob by its digest.

    Returns:
        None when the tree was not kept or cannot be read here (no git for a bundle, a blob that is gone).
    """
    if tree.blob is None:
        return None
    try:
        data = read(tree.blob.digest)
        files = _bundle(data, tree.digest) if tree.format == "git-bundle" else _manifest(data, read)
        if files is None:
            return None
        for module in tree.modules:
            name = Path(module.path).relative_to(module.root).as_posix()
            files.setdefault(name, read(module.blob.digest))
    except (ContentError, ValueError, KeyError, TypeError):
        return None
    return files


def read_folder(folder: str | Path) -> dict[str, bytes]:
    """All files of a folder, without version control, environments and caches; what cannot be read is left out."""
    found: dict[str, bytes] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in NOT_CODE)
        for name in sorted(names):
            path = Path(parent, name)
            try:
                if path.is_file() and not path.is_symlink():
                    found[path.relative_to(folder).as_posix()] = path.read_bytes()
            except OSError:
                continue
    return found


def python_sources(files: Mapping[str, bytes]) -> Sources:
    """The Python files among them, as text."""
    texts = {path: data.decode("utf-8", "replace") for path, data in files.items() if path.endswith(".py")}
    return Sources(texts, tuple(root for root in ("", "src") if root == "" or any(p.startswith("src/") for p in texts)))


def file_changes(a: Mapping[str, bytes], b: Mapping[str, bytes]) -> tuple[FileChange, ...]:
    """Which files differ, by path."""
    changes = []
    for path in sorted(a.keys() | b.keys()):
        if path not in b:
            changes.append(FileChange(path=path, status="removed"))
        elif path not in a:
            changes.append(FileChange(path=path, status="added"))
        elif a[path] != b[path]:
            changes.append(FileChange(path=path, status="changed", lines=changed_lines(_text(a[path]), _text(b[path]))))
    return tuple(changes)


def changed_lines(a: str, b: str, within: tuple[int, int] | None = None) -> str:
    """The lines of the second text that changed, as ``10-14, 20``; where lines only went, the line they stood before.

    Args:
        a: the one text.
        b: the other text.
        within: first and last line of the part of the second text that counts; None for all of it.
    """
    first_line, last_line = within or (1, len(b) + 1)
    matcher = difflib.SequenceMatcher(None, a.splitlines(), b.splitlines(), autojunk=False)
    spans = []
    for tag, _, _, start, end in matcher.get_opcodes():
        first, last = max(start + 1, first_line), min(max(end, start + 1), last_line)
        if tag != "equal" and first <= last:
            spans.append(f"{first}-{last}" if last > first else str(first))
    return ", ".join(spans)


def unified(a: str, b: str, name: str) -> str:
    """A unified diff of two texts."""
    return "".join(
        line if line.endswith("\n") else line + "\n"
        for line in difflib.unified_diff(
            a.splitlines(keepends=True), b.splitlines(keepends=True), f"a/{name}", f"b/{name}"
        )
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _manifest(data: bytes, read: Callable[[str], bytes]) -> dict[str, bytes]:
    """A list of files, each with its path and the digest of its blob; symbolic links have a target instead."""
    entries = orjson.loads(data)["files"]
    return {entry["path"]: read(entry["digest"]) for entry in entries if "digest" in entry}


def _bundle(data: bytes, digest: str) -> dict[str, bytes] | None:
    with tempfile.TemporaryDirectory(prefix="lf-tree-") as name:
        folder = Path(name)
        (folder / "tree.bundle").write_bytes(data)
        git = ["git", "-C", name, "--git-dir", str(folder / "repo")]
        try:
            objects = "sha256" if len(digest.rpartition(":")[2]) == 64 else "sha1"
            _run(["git", "init", "--quiet", "--bare", f"--object-format={objects}", str(folder / "repo")])
            _run([*git, "fetch", "--quiet", str(folder / "tree.bundle"), f"{_REF}:{_REF}"])
            listing = _run([*git, "ls-tree", "-r", "-z", _REF])
            entries = [line.split("\t", 1) for line in listing.decode("utf-8", "surrogateescape").split("\0") if line]
            blobs = [(facts.split()[2], path) for facts, path in entries if facts.split()[1] == "blob"]
            output = _run([*git, "cat-file", "--batch"], "".join(f"{blob}\n" for blob, _ in blobs).encode())
        except (OSError, subprocess.SubprocessError):
            return None
    return _batch(output, [path for _, path in blobs])


def _batch(output: bytes, paths: list[str]) -> dict[str, bytes]:
    """Read what ``git cat-file --batch`` wrote: a line ``<name> <type> <size>``, the content, a newline; for each object."""
    found: dict[str, bytes] = {}
    at = 0
    for path in paths:
        end = output.index(b"\n", at)
        size = int(output[at:end].split()[2])
        found[path] = output[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return found


def _run(command: list[str], data: bytes = b"") -> bytes:
    # A hook or a shell that runs us may have pointed git at another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    found = subprocess.run(command, input=data, capture_output=True, check=True, timeout=120, env=environment)  # noqa: S603 - fixed words
    return found.stdout
