# ruff: noqa: PTH109, PTH117, PTH118, PTH120 - the exact text of a path counts
"""Where a path of the original run lies in a replay: in the workspace that mirrors its folders, or where it is.

Knows the standard library only, and of that the functions as they were before the redirector replaced them.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
from dataclasses import dataclass, field

__all__ = ["OWN_THREADS", "Mirror", "Places", "folder_of", "real_path", "under"]

OWN_THREADS = "lineage-flows"
"""Threads of this package have names that begin so; what they write (events, where the user wants them) is no part of the flow."""

_DEVICES = ("/dev", "/proc", "/sys")


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


@dataclass
class Mirror:
    """Says where in the workspace a path of the original lies."""

    places: Places
    made: set[str] = field(default_factory=set)

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
            if under(absolute, self.places.workspace):
                return self._own(path) if write else path
        found = self._for_writing(absolute) if write else self._for_reading(absolute)
        return path if found == absolute else found

    def argument(self, path: str) -> str:
        """Where a path that is handed to another program lies: in the workspace when it is known to belong there."""
        if not path.startswith("/") or "\0" in path:
            return path
        absolute = os.path.normpath(path)
        if under(absolute, self.places.workspace):
            return path
        mine = self._mirrored(absolute)
        if absolute in self.places.known or self._kind(absolute) == "root":
            return mine
        return path

    def _resolved(self, path: str) -> str | None:
        """A relative path, or one with ``..``, as an absolute name of the original; None when it stays inside the workspace."""
        workspace = self.places.workspace
        here = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
        if not os.path.isabs(path) and ".." not in path.split("/"):
            return None if under(here, workspace) else os.path.normpath(here)
        parent, name = os.path.split(here.rstrip("/") or "/")
        real = real_path(here if name in {"", ".", ".."} else parent)
        if under(real, workspace):
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
        own = path in self.places.listed or path in self.made
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
                if len(folder) > best and under(path, folder):
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
        if linked and not under(target, self.places.workspace) and _isfile(target):
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


def under(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    return path == folder or path.startswith(folder + "/")


def _under_any(path: str, folders: tuple[str, ...]) -> bool:
    return any(under(path, folder) for folder in folders)


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
