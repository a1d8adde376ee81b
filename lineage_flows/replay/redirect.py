# ruff: noqa: ANN401, PTH109, PTH117, PTH118, PTH120 - wraps functions of any signature; the exact text of a path counts
"""Serves the files of a workspace under the names that the original run used for them, inside the process that replays it.

Knows the standard library only, since it is installed before anything else is imported. Python's own functions on paths are
replaced; what a C library opens by itself is not seen here (pandas and pyarrow ask ``serve`` through capture's adapters).
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

__all__ = ["OWN_THREADS", "WRITE_FLAGS", "WRITE_MODES", "Places", "Redirector", "folder_of", "real_path"]

OWN_THREADS = "lineage-flows"
"""Threads of this package have names that begin so; what they write (events, where the user wants them) is no part of the flow."""

_DEVICES = ("/dev", "/proc", "/sys")
WRITE_MODES = frozenset("wax+")
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_Path = TypeVar("_Path", str, bytes)


@dataclass(frozen=True, slots=True)
class Places:
    """Which folders mean what, in the names of the original run; all absolute and without a trailing slash.

    Attributes:
        workspace: the folder under which absolute paths of the original are mirrored: ``/a/b`` lies at ``<workspace>/a/b``.
        roots: folders that are wholly the workspace's: what was not captured of them does not exist.
        known: files the original touched.
        listed: folders whose listing is the workspace's.
        readable: folders that are read where they are (the interpreter and its packages).
        writable: folders that are read and written where they are (the lineage home, Prefect's home).
        assumed: folders that the workspace has only because the original wrote files into them; making one anew is no error.
    """

    workspace: str
    roots: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    assumed: frozenset[str] = frozenset()


@dataclass(slots=True)
class Redirector:
    """Maps paths, and puts itself before Python's functions on paths."""

    places: Places
    _originals: dict[tuple[Any, str], Any] = field(default_factory=dict)
    _assumed: set[str] = field(default_factory=set)
    _made: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._assumed = set(self.places.assumed)

    def serve(self, path: str, write: bool) -> str:
        """Where a path of the original run is to be opened.

        Args:
            path: as the code names it; relative ones are meant from the working directory, which lies in the workspace.
            write: whether it is opened for writing, renamed, removed or changed in any other way.

        Returns:
            The same path when it needs no change, so that relative names stay relative.
        """
        if "\0" in path or not path:
            return path
        if not os.path.isabs(path) or ".." in path.split("/"):
            inside = self._resolved(path)
            if inside is None:
                return self._own(path) if write else path
            absolute = inside
        else:
            absolute = os.path.normpath(path)
            if absolute.startswith("//"):
                absolute = absolute[1:]
            if _under(absolute, self.places.workspace):
                return self._own(path) if write else path
        found = self._for_writing(absolute) if write else self._for_reading(absolute)
        return path if found == absolute else found

    def argument(self, path: str) -> str:
        """Where a path that is handed to another program lies: in the workspace when it is known to belong there."""
        if not path.startswith("/") or "\0" in path:
            return path
        absolute = os.path.normpath(path)
        if _under(absolute, self.places.workspace):
            return path
        mine = self._mirrored(absolute)
        if absolute in self.places.known or self._kind(absolute) == "root":
            return mine
        return path

    def install(self) -> None:
        """Replace Python's functions on paths by ones that ask ``serve`` first."""
        for rule in _RULES:
            self._replace(rule)
        self._replace_aliases()
        self._wrap_programs()

    def uninstall(self) -> None:
        """Put Python's own functions back."""
        for (owner, name), original in self._originals.items():
            setattr(owner, name, original)
        self._originals.clear()

    # ------------------------------------------------------------------------------------------------ where things are

    def _resolved(self, path: str) -> str | None:
        """A relative path, or one with ``..``, as an absolute name of the original; None when it stays inside the workspace."""
        workspace = self.places.workspace
        here = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
        if not os.path.isabs(path) and ".." not in path.split("/"):
            return None if _under(here, workspace) else os.path.normpath(here)
        parent, name = os.path.split(here.rstrip("/") or "/")
        real = real_path(here if name in {"", ".", ".."} else parent)
        if _under(real, workspace):
            return None
        # It climbs out of the workspace: as a name of the original it means what it meant there, which ends at "/".
        climbed = os.path.normpath(here[len(workspace) :] if here.startswith(workspace + "/") else here)
        return climbed[1:] if climbed.startswith("//") else climbed

    def _for_reading(self, path: str) -> str:
        if _under_any(path, _DEVICES):
            return path
        kind = self._kind(path)
        if kind == "writable":
            return path
        mine = self._mirrored(path)
        if kind == "root" or path in self.places.known:
            return mine
        try:
            mode = _lstat(mine).st_mode
        except OSError:
            return path
        own = path in self.places.listed or path in self._made
        if stat.S_ISDIR(mode) and not own and _exists(path):
            return path  # there only to hold something deeper
        return mine

    def _for_writing(self, path: str) -> str:
        if _under_any(path, _DEVICES) or self._kind(path) == "writable":
            return path
        if threading.current_thread().name.startswith(OWN_THREADS):
            return path
        mine = self._own(self._mirrored(path))
        parent = os.path.dirname(path)
        if self._kind(path) != "root" and _isdir(parent) and not _exists(self._mirrored(parent)):
            self._makedirs(self._mirrored(parent))
        return mine

    def _kind(self, path: str) -> str:
        """What the deepest of the folders that hold a path means; "" when none does."""
        best, kind = -1, ""
        groups = (("root", self.places.roots), ("readable", self.places.readable), ("writable", self.places.writable))
        for name, folders in groups:
            for folder in folders:
                if len(folder) > best and _under(path, folder):
                    best, kind = len(folder), name
        return kind

    def _mirrored(self, path: str) -> str:
        return self.places.workspace if path == "/" else self.places.workspace + path

    def _own(self, path: str) -> str:
        """A file too large to be kept is a link to where it lies; before it is changed, the workspace gets its own copy."""
        try:
            linked = stat.S_ISLNK(_lstat(path).st_mode)
        except OSError:
            return path
        target = real_path(os.path.join(os.getcwd(), path)) if linked else ""
        if linked and not _under(target, self.places.workspace) and _isfile(target):
            copy = f"{path}.lineage-copy"
            with _open(target, "rb") as source, _open(copy, "wb") as destination:
                shutil.copyfileobj(source, destination, 1 << 20)
            _replace(copy, path)
        return path

    @staticmethod
    def _makedirs(path: str) -> None:
        missing = []
        while not _exists(path):
            missing.append(path)
            path = os.path.dirname(path)
        for folder in reversed(missing):
            try:
                _mkdir(folder)
            except FileExistsError:
                continue

    # ------------------------------------------------------------------------------------------------ functions on paths

    def _replace(self, rule: _Rule) -> None:
        original = getattr(rule.owner, rule.name, None)
        if original is None:
            return
        wrapper = self._tolerant(original) if rule.name == "mkdir" else original

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
        if not write or holder is None or (_under(holder, self.places.workspace) and ".." not in path.split("/")):
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
                self._made.add(name[len(self.places.workspace) :])

        return mkdir

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


# The functions as they were when this module was loaded: what the redirector itself uses.
_lstat, _stat, _mkdir, _readlink, _replace, _open = os.lstat, os.stat, os.mkdir, os.readlink, os.replace, open
_LINKS = 40


def _exists(path: str) -> bool:
    try:
        _lstat(path)
    except OSError:
        return False
    return True


def _isdir(path: str) -> bool:
    try:
        return stat.S_ISDIR(_stat(path).st_mode)
    except OSError:
        return False


def _isfile(path: str) -> bool:
    try:
        return stat.S_ISREG(_stat(path).st_mode)
    except OSError:
        return False


def real_path(path: str) -> str:
    """``os.path.realpath`` by the original functions, on an absolute path; after too many links, as far as it came."""
    rest = [part for part in reversed(path.split("/")) if part]
    found, links = "", 0
    while rest:
        part = rest.pop()
        if part == ".":
            continue
        if part == "..":
            found = found.rpartition("/")[0]
            continue
        try:
            target = _readlink(f"{found}/{part}") if links < _LINKS else None
        except OSError:
            target = None
        if target is None:
            found = f"{found}/{part}"
            continue
        links += 1
        if target.startswith("/"):
            found = ""
        rest.extend(item for item in reversed(target.split("/")) if item)
    return found or "/"


def _under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _under_any(path: str, folders: tuple[str, ...]) -> bool:
    return any(_under(path, folder) for folder in folders)


def folder_of(descriptor: int) -> str | None:
    """The path of an open folder; None where the system does not tell."""
    try:
        return _readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        pass
    try:
        import fcntl

        if hasattr(fcntl, "F_GETPATH"):  # macOS
            return fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
    except (ImportError, OSError):
        pass
    return None


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
