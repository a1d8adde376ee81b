"""The second line of defence of a replay: Python refuses to write outside the workspace, whatever function was used.

Knows the standard library only. The redirector sends writes into the workspace; what slips past it (a function that was bound
before, ``io.FileIO``) raises Python's audit events and is refused here. What a C library opens by itself raises none.
"""

from __future__ import annotations

import errno
import os
import sys
import threading

from lineage_flows.replay.mirror import OWN_THREADS, folder_of, real_path
from lineage_flows.replay.redirect import WRITE_FLAGS, WRITE_MODES

__all__ = ["guard_writes"]

_DEVICES = ("/dev", "/proc")
_CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
    "os.setxattr": ((0, None),),
    "os.removexattr": ((0, None),),
}
"""Audit event -> positions of the path it changes, and of the descriptor of the folder a relative path is meant from."""


def guard_writes(allowed: tuple[str, ...]) -> None:
    """From now on, refuse every write outside some folders with ``PermissionError``. Cannot be undone in this process.

    Args:
        allowed: absolute real paths of folders, without a trailing slash.
    """
    folders = (*allowed, *_DEVICES)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, mode, flags = (*arguments, None, None, None)[:3]
            writes = (isinstance(mode, str) and bool(set(mode) & WRITE_MODES)) or (
                isinstance(flags, int) and bool(flags & WRITE_FLAGS)
            )
            if writes:
                _refuse(path, None, folders, event)
        elif (places := _CHANGES.get(event)) is not None:
            for position, folder in places:
                if position < len(arguments):
                    descriptor = arguments[folder] if folder is not None and folder < len(arguments) else None
                    _refuse(arguments[position], descriptor, folders, event)

    sys.addaudithook(hook)


def _refuse(path: object, descriptor: object, folders: tuple[str, ...], event: str) -> None:
    """Raise unless the path lies in an allowed folder. Descriptors were checked when they were opened."""
    if not isinstance(path, str | bytes | os.PathLike):
        return
    name = os.fsdecode(path)
    if not name.startswith("/"):
        base = folder_of(descriptor) if isinstance(descriptor, int) and descriptor >= 0 else os.getcwd()  # noqa: PTH109
        if base is None:
            return
        name = f"{base}/{name}"
    # What is opened is what a link points to; what is removed or renamed is the link itself.
    parent, _, last = name.rstrip("/").rpartition("/")
    real = real_path(name) if event == "open" or last in {"", ".", ".."} else f"{real_path(parent or '/')}/{last}"
    if any(real == folder or real.startswith(folder + "/") for folder in folders):
        return
    if threading.current_thread().name.startswith(OWN_THREADS):
        return
    raise PermissionError(errno.EACCES, f"a replay may not change what lies outside its workspace ({event})", name)
