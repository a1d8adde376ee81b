# ruff: noqa: ANN401, PTH106, PTH109, PTH117, PTH118 - wraps functions of any signature; the exact text of a path counts
"""Serves the files of a workspace under the names that the original run used for them, inside the process that replays it.

Knows the standard library only, since it is installed before anything else is imported. Python's own functions on paths are
replaced; what a C library opens by itself is not seen here (pandas and pyarrow ask ``serve`` through capture's adapters).
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import io
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lineage_flows.replay.mirror import Mirror, folder_of, under

__all__ = ["WRITE_FLAGS", "WRITE_MODES", "Redirector"]

WRITE_MODES = frozenset("wax+")
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass
class Redirector(Mirror):
    """Maps paths, and puts itself before Python's functions on paths."""

    _originals: dict[tuple[Any, str], Any] = field(default_factory=dict)
    _assumed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._assumed = set(self.places.assumed)

    def install(self) -> None:
        """Replace Python's functions on paths by ones that ask ``serve`` first."""
        for rule in _RULES:
            self._replace(rule)
        # It asks whether the target is a folder before it renames.
        self._put(shutil, "move", self._giving_way(shutil.move))
        self._replace_aliases()
        self._wrap_programs()

    def uninstall(self) -> None:
        """Put Python's own functions back."""
        for (owner, name), original in self._originals.items():
            setattr(owner, name, original)
        self._originals.clear()

    def _replace(self, rule: _Rule) -> None:
        original = getattr(rule.owner, rule.name, None)
        if original is None:
            return
        wrapper = self._tolerant(original) if rule.name == "mkdir" else original
        if rule.name in {"rename", "replace"}:
            wrapper = self._giving_way(original)

        @functools.wraps(original)
        def redirected(*arguments: Any, **named: Any) -> Any:
            given = list(arguments)
            for place in rule.paths:
                self._map(place, rule.writes, given, named)
            return wrapper(*given, **named)

        self._put(rule.owner, rule.name, redirected)
        for known in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
            if original in known:
                known.add(redirected)

    def _map(self, place: _Place, writes: _Writes, given: list[Any], named: dict[str, Any]) -> None:
        position, name, access, folder = place
        by_position = position < len(given)
        value = given[position] if by_position else named.get(name)
        if value is None or isinstance(value, int):
            return
        write = access if access is not None else writes(given, named)
        try:
            path = os.fspath(value)
        except TypeError:
            return  # the function itself says what is wrong
        if isinstance(path, bytes):
            changed: Any = os.fsencode(self._at(os.fsdecode(path), write, folder, named))
        else:
            changed = self._at(path, write, folder, named)
        if changed == path:
            return
        if by_position:
            given[position] = changed
        else:
            named[name] = changed

    def _at(self, path: str, write: bool, folder: str, named: dict[str, Any]) -> str:
        descriptor = named.get(folder)
        if descriptor is None or os.path.isabs(path):
            return self.serve(path, write)
        holder = folder_of(descriptor)
        if not write or holder is None or (under(holder, self.places.workspace) and ".." not in path.split("/")):
            return path
        changed = self.serve(f"{holder}/{path}", write=True)
        if changed == f"{holder}/{path}":
            return path
        named[folder] = None
        return changed

    def _tolerant(self, original: Callable[..., None]) -> Callable[..., None]:
        def mkdir(path: Any, *arguments: Any, **named: Any) -> None:
            try:
                original(path, *arguments, **named)
            except FileExistsError:
                name = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))
                mine = name[len(self.places.workspace) :]
                if mine not in self._assumed or not name.startswith(self.places.workspace):
                    raise
                self._assumed.discard(mine)
            else:
                name = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))
                self.made.add(name[len(self.places.workspace) :])

        return mkdir

    def _giving_way(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A folder that is there only for files to come is in the way of one that is made aside and then takes its name."""

        @functools.wraps(original)
        def named_anew(source: Any, target: Any, *arguments: Any, **named: Any) -> Any:
            if isinstance(target, str | bytes | os.PathLike):
                self._vacate(os.path.join(os.getcwd(), self.serve(os.fsdecode(target), write=True)))
            return original(source, target, *arguments, **named)

        return named_anew

    def _vacate(self, folder: str) -> None:
        for at, _, _ in os.walk(folder, topdown=False):
            mine = os.path.normpath(at)[len(self.places.workspace) :]
            if at.startswith(self.places.workspace) and mine in self._assumed:
                with contextlib.suppress(OSError):  # it holds something by now
                    os.rmdir(at)
                    self._assumed.discard(mine)

    def _replace_aliases(self) -> None:
        """Modules that took ``open`` under another name before us."""
        for module, name in _ALIASES:
            found = sys.modules.get(module)
            if found is not None and getattr(found, name, None) is not None:
                self._put(found, name, builtins.open)

    def _wrap_programs(self) -> None:
        """Programs that are started, and SQLite, which opens its file itself."""
        import sqlite3
        import subprocess

        start = subprocess.Popen.__init__

        @functools.wraps(start)
        def started(process: Any, *arguments: Any, **named: Any) -> None:
            given = list(arguments)
            if given and isinstance(given[0], list | tuple):
                given[0] = [self._word(word) for word in given[0]]
            elif isinstance(named.get("args"), list | tuple):
                named["args"] = [self._word(word) for word in named["args"]]
            self._map((9, "cwd", False, ""), _never, given, named)
            start(process, *given, **named)

        self._put(subprocess.Popen, "__init__", started)
        connect = sqlite3.connect

        @functools.wraps(connect)
        def connected(database: Any, *arguments: Any, **named: Any) -> Any:
            if isinstance(database, str | bytes | os.PathLike):
                path = os.fsdecode(database)
                if path != ":memory:" and path and not path.startswith("file:"):
                    database = self.serve(path, write=True)
            return connect(database, *arguments, **named)

        self._put(sqlite3, "connect", connected)
        self._put(sqlite3.dbapi2, "connect", connected)

    def _word(self, word: Any) -> Any:
        if isinstance(word, os.PathLike):
            word = os.fspath(word)
        return self.argument(word) if isinstance(word, str) else word

    def _put(self, owner: Any, name: str, value: Any) -> None:
        self._originals.setdefault((owner, name), getattr(owner, name))
        setattr(owner, name, value)


_Writes = Callable[[list[Any], dict[str, Any]], bool]
_Place = tuple[int, str, bool | None, str]
"""Position and name of a path argument; whether it is written (None: ask the call); the name of its folder's descriptor."""


def _never(given: list[Any], named: dict[str, Any]) -> bool:
    return False


def _by_mode(given: list[Any], named: dict[str, Any]) -> bool:
    mode = given[1] if len(given) > 1 else named.get("mode", "r")
    return isinstance(mode, str) and bool(WRITE_MODES & set(mode))


def _by_flags(given: list[Any], named: dict[str, Any]) -> bool:
    flags = given[1] if len(given) > 1 else named.get("flags", 0)
    return isinstance(flags, int) and bool(flags & WRITE_FLAGS)


@dataclass(frozen=True, slots=True)
class _Rule:
    owner: Any
    name: str
    paths: tuple[_Place, ...]
    writes: _Writes = _never


def _one(name: str, *, write: bool, argument: str = "path") -> _Rule:
    return _Rule(os, name, ((0, argument, write, "dir_fd"),))


_READS = (
    "stat",
    "lstat",
    "access",
    "listdir",
    "scandir",
    "readlink",
    "chdir",
    "statvfs",
    "pathconf",
    "getxattr",
    "listxattr",
)
_WRITES = (
    "mkdir", "rmdir", "remove", "unlink", "chmod", "lchmod", "chown", "lchown", "utime", "truncate", "mkfifo", "mknod",
    "setxattr", "removexattr", "chflags", "lchflags",
)  # fmt: skip
_RULES: tuple[_Rule, ...] = (
    _Rule(builtins, "open", ((0, "file", None, ""),), _by_mode),
    _Rule(io, "open", ((0, "file", None, ""),), _by_mode),
    _Rule(os, "open", ((0, "path", None, "dir_fd"),), _by_flags),
    *(_one(name, write=False) for name in _READS),
    *(_one(name, write=True) for name in _WRITES),
    _Rule(os, "rename", ((0, "src", True, "src_dir_fd"), (1, "dst", True, "dst_dir_fd"))),
    _Rule(os, "replace", ((0, "src", True, "src_dir_fd"), (1, "dst", True, "dst_dir_fd"))),
    _Rule(os, "link", ((0, "src", False, "src_dir_fd"), (1, "dst", True, "dst_dir_fd"))),
    _Rule(os, "symlink", ((0, "src", False, ""), (1, "dst", True, "dir_fd"))),
)
_ALIASES = (
    ("bz2", "_builtin_open"),
    ("lzma", "_builtin_open"),
    ("tarfile", "bltn_open"),
    ("tokenize", "_builtin_open"),
)
