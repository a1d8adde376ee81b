"""Which files of this machine a library means by the path, URI or pattern that it is given.

Knows the notations of pyarrow, fsspec and polars; lists folders for patterns, and opens nothing.
"""

# Paths are strings here: they may hold any bytes, and a Path for every open of the process costs too much.
# ruff: noqa: PTH111, PTH113, PTH202, PTH207

from __future__ import annotations

import glob
import os
import re

from lineage_flows.capture.paths import from_uri

__all__ = ["elsewhere", "fixed_folder", "is_file", "is_pattern", "local_path", "matches"]

_WILDCARDS = "*?["
_KIND = re.compile(r"([A-Za-z]\w+):")


def is_file(path: str) -> bool:
    """Whether there is a file of that name that holds anything."""
    try:
        return os.path.isfile(path) and os.path.getsize(path) > 0
    except (OSError, ValueError):
        return False


def elsewhere(database: str) -> str | None:
    """The kind of server or foreign format that a database's name begins with (``md:``, ``postgres:``); None for a plain file."""
    found = _KIND.match(database)
    return found[1] if found and found[1] != "file" else None


def is_pattern(path: str) -> bool:
    """Whether a path has wildcards, as polars and duckdb see it: also when a file of that very name exists."""
    return any(character in path for character in _WILDCARDS)


def matches(pattern: str) -> list[str]:
    """What a pattern stands for, in order; files that begin with a dot as well, ``**`` over any number of folders."""
    return sorted(glob.glob(pattern, recursive=True, include_hidden=True))


def fixed_folder(pattern: str) -> str:
    """The part of a pattern that has no wildcard, up to its last slash, which is left out; empty when there is none."""
    first = min(position for position in map(pattern.find, _WILDCARDS) if position >= 0)
    return pattern[:first].rpartition("/")[0]


def local_path(item: str | os.PathLike[str], filesystem: object = None) -> str | None:
    """The path on this machine that is meant; None when it lies elsewhere."""
    text = os.fsdecode(os.fspath(item))
    base = _base_of(filesystem)
    if base is None:
        return None
    if "://" in text:
        try:
            return from_uri(text)
        except ValueError:
            return None
    return base + (os.path.expanduser(text) if text.startswith("~") else text)


def _base_of(filesystem: object) -> str | None:
    """What a path in a file system is relative to: nothing for the local one, a folder for a part of it; None for remote ones."""
    if filesystem is None:
        return ""
    kind = type(filesystem).__name__
    if kind == "SubTreeFileSystem":
        inner = _base_of(getattr(filesystem, "base_fs", None))
        return None if inner is None else inner + str(getattr(filesystem, "base_path", ""))
    if kind == "PyFileSystem":  # pyarrow's coat around an fsspec file system
        return _base_of(getattr(getattr(filesystem, "handler", None), "fs", None) or object())
    return "" if kind == "LocalFileSystem" else None
