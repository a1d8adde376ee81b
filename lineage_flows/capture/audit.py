"""Sees what the interpreter opens, renames, deletes, starts and connects to, through its audit events.

Knows the events' arguments; tells the active run's ``FileLog``. An audit hook cannot be removed, and an exception in it makes the
watched call fail: this one never raises, and does next to nothing while nothing is watched.
"""

# Paths are strings here: they may hold any bytes, and a Path for every open of the process costs too much.
# ruff: noqa: PTH115, PTH117, PTH118, PTH120

from __future__ import annotations

import os
import sys
import threading
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lineage_flows.capture import before_runs, files, network, processes, strays, unseeded, variables
from lineage_flows.capture.active import is_unobserved, unobserved
from lineage_flows.capture.ledger_log import is_covered_connection
from lineage_flows.capture.paths import CODE_SUFFIXES, printable
from lineage_flows.capture.stack import Origin, caller, origin

if TYPE_CHECKING:
    from lineage_flows.capture.files import FileLog

__all__ = ["install", "pause", "resume", "sqlite_file", "touch_sqlite"]

Handler = Callable[["FileLog", tuple[Any, ...]], None]
"""Tells a log of one audited call; ``args`` are the event's, as the interpreter's documentation lists them."""

_PATH_ONLY = getattr(os, "O_PATH", 0) | getattr(os, "O_DIRECTORY", 0)
"""Flags of ``os.open`` under which no content is read or written (``O_TMPFILE`` contains ``O_DIRECTORY``)."""

_MACHINE = ("/proc/", "/sys/", "/dev/")
_NO_FACTS = ("/dev/", "/proc/self/fd/")
_RANDOM_DEVICES = frozenset({"/dev/random", "/dev/urandom"})
_OPENERS = frozenset({"codecs", "io", "pathlib"})
"""Modules that only hand an opening on."""

_installed = False
_watched: dict[str, Handler] = {}
_lock = threading.Lock()
_thread = threading.local()


def install() -> None:
    """Add the hook to this interpreter, once; a second call only turns it on again."""
    global _installed  # noqa: PLW0603 - an audit hook stays as long as the interpreter
    with _lock:
        resume()
        if not _installed:
            _installed = True
            sys.addaudithook(_hook)


def pause() -> None:
    """Watch nothing from now on; the hook stays and costs one look into an empty dictionary."""
    _watched.clear()


def resume() -> None:
    """Watch again."""
    _watched.update(HANDLERS)


def _hook(event: str, args: tuple[Any, ...], _watched: dict[str, Handler] = _watched) -> None:
    handler = _watched.get(event)
    if handler is None or (event == "open" and type(args[0]) is str and args[0].endswith(CODE_SUFFIXES)):
        return
    # Thread-local beside the context: a finaliser or signal handler that opens a file while we hold a lock must not come in again.
    if getattr(_thread, "busy", False) or is_unobserved():
        return
    _thread.busy = True
    log = None
    try:
        log = files.current()
        if log is not None:
            with unobserved():
                handler(log, args)
                if files.active().shares:
                    strays.shared(log, event, args)
        elif files.active().any:
            strays.lost(event, args)
        elif event == "open":
            _on_open_outside_runs(args)
        elif event in OUTSIDE_RUNS and origin() is Origin.FLOW:
            with unobserved():
                handler(before_runs.log(), args)
    except Exception as error:  # noqa: BLE001 - an audit hook that raises makes the user's own call fail
        if log is not None:
            log.failed(f"recording {event}", error)
    finally:
        _thread.busy = False


# --------------------------------------------------------------------------------------------------------------- files


def _on_open(log: FileLog, args: tuple[Any, ...]) -> None:
    path, reads, writes = _opened(args)
    if path is None or not (reads or writes) or origin() is Origin.TOOL:
        return
    if reads and path.startswith(_MACHINE):
        _on_machine_file(log, path)
    via = "open" if isinstance(args[1], str) else "os.open"
    if reads and writes and _only_adds(args[1], args[2]):
        log.append(path, via)
        return
    if reads:
        log.read(path, via)
    if writes:
        log.write(path, via)


def _on_machine_file(log: FileLog, path: str) -> None:
    """What the kernel tells is no data; when the user's own line asks for it, it is a gap."""
    if path in _RANDOM_DEVICES:
        log.ledger.gap("entropy", f"reads {path}", unseeded.CONSEQUENCE)
    elif not path.startswith(_NO_FACTS) and caller(sys._getframe(3), _OPENERS)[0]:
        log.ledger.gap("file", f"reads {printable(path)}", "the machine's own: not kept, and another elsewhere")


def _on_open_outside_runs(args: tuple[Any, ...]) -> None:
    path, reads, _ = _opened(args)
    if path is not None and reads and origin() is Origin.FLOW:
        before_runs.remember_read(path)


def _opened(args: tuple[Any, ...]) -> tuple[str | None, bool, bool]:
    """Path (None when it is a descriptor, or code), whether its content is read, whether it is written."""
    name, mode, flags = args
    if isinstance(name, int):
        return None, False, False
    path = os.fsdecode(name)
    if path.endswith(CODE_SUFFIXES):
        return None, False, False
    return path, *intent(mode, flags)


def intent(mode: object, flags: object) -> tuple[bool, bool]:
    """Whether a call of ``open`` (its mode) or ``os.open`` (mode None, its flags) reads and whether it writes.

    Appending counts as reading too: the file's new content holds the old.
    """
    if isinstance(mode, str):
        if "r" in mode:
            return True, "+" in mode
        return "a" in mode, True
    if not isinstance(flags, int) or flags & _PATH_ONLY:
        return False, False
    access = flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
    if access == os.O_RDONLY:
        return True, bool(flags & os.O_TRUNC)
    anew = flags & os.O_TRUNC or (flags & os.O_CREAT and flags & os.O_EXCL)
    return not anew and (access == os.O_RDWR or bool(flags & os.O_APPEND)), True


def _only_adds(mode: object, flags: object) -> bool:
    """Whether an opening that reads and writes does the first only in that it adds to what is there."""
    if isinstance(mode, str):
        return "a" in mode and "+" not in mode
    return isinstance(flags, int) and not flags & os.O_RDWR


def _on_rename(log: FileLog, args: tuple[Any, ...]) -> None:
    source, target = _at(args[0], args[2]), _at(args[1], args[3])
    if source is not None and target is not None and origin() is not Origin.TOOL:
        log.rename(source, target, "os.rename")


def _on_link(log: FileLog, args: tuple[Any, ...]) -> None:
    source, target = _at(args[0], args[2]), _at(args[1], args[3])
    if source is not None and target is not None and origin() is not Origin.TOOL:
        log.read(source, "os.link")
        log.write(target, "os.link")


def _on_symlink(log: FileLog, args: tuple[Any, ...]) -> None:
    """Under its own name a link holds what it points to, as a hard link does."""
    target = _at(args[1], args[2])
    if target is not None and origin() is not Origin.TOOL:
        log.read(os.path.join(os.path.dirname(target), os.fsdecode(args[0])), "os.symlink")
        log.write(target, "os.symlink")


def _on_remove(log: FileLog, args: tuple[Any, ...]) -> None:
    path = _at(args[0], args[1] if len(args) > 1 else None)
    if path is not None:
        log.remove(path)


def _on_truncate(log: FileLog, args: tuple[Any, ...]) -> None:
    path = _at(args[0], None)
    if path is not None and origin() is not Origin.TOOL:
        log.read(path, "os.truncate")
        log.write(path, "os.truncate")


def _at(path: str | bytes | os.PathLike[str] | int, folder: object) -> str | None:
    """A path given relative to the descriptor of a folder; None for a descriptor, or when the folder cannot be named.

    The events of ``open`` and ``os.open`` do not tell the descriptor: there a relative path is taken from the working directory.
    """
    if isinstance(path, int):
        return None
    name = os.fsdecode(path)
    if not isinstance(folder, int) or folder < 0 or os.path.isabs(name):
        return name
    try:
        return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
    except OSError:
        return None


def _on_sqlite(log: FileLog, args: tuple[Any, ...]) -> None:
    """An SQLite file is one dataset, read and (seen by what changed) written."""
    found = sqlite_file(os.fsdecode(args[0]))
    if found is not None and origin() is not Origin.TOOL:
        touch_sqlite(log, *found)


def sqlite_file(name: str) -> tuple[str, bool] | None:
    """The file that a name of an SQLite database means, and whether it may be written; None for one in memory."""
    writes = True
    if name.startswith("file:"):
        parts = urllib.parse.urlsplit(name)
        options = urllib.parse.parse_qs(parts.query)
        if "memory" in options.get("mode", ()):
            return None
        writes = "ro" not in options.get("mode", ()) and "immutable" not in options
        name = urllib.parse.unquote(parts.path)
    return None if name in {"", ":memory:"} else (name, writes)


def touch_sqlite(log: FileLog, name: str, writes: bool, via: str = "sqlite3") -> None:
    """Tell a log that the file of an SQLite database is about to be used."""
    log.read(name, via, journal=f"{name}-wal")
    if writes:
        log.write(name, via, journal=f"{name}-wal")


# ----------------------------------------------------------------------------------------------- programs and networks


def _on_getaddrinfo(_log: FileLog, args: tuple[Any, ...]) -> None:
    network.resolving(args[0], args[1])


def _on_connect(log: FileLog, args: tuple[Any, ...]) -> None:
    peer = network.peer(args[0], args[1])
    if peer is None:
        return
    made_for = origin()
    if made_for is Origin.TOOL or (made_for is Origin.UNKNOWN and network.is_prefect(args[1])):
        return
    if is_covered_connection():
        log.ledger.observed("connection", covered=True)
    elif log.ledger.connected(peer.removeprefix("network "), peer, *network.names(args[1])):
        log.cannot_restore(peer)


def _on_putenv(_log: FileLog, args: tuple[Any, ...]) -> None:
    variables.was_set(args[0])


HANDLERS: dict[str, Handler] = {
    "open": _on_open,
    "os.link": _on_link,
    "os.exec": processes.on_spawn,
    "os.fork": processes.on_fork,
    "os.forkpty": processes.on_fork,
    "os.posix_spawn": processes.on_spawn,
    "os.putenv": _on_putenv,
    "os.remove": _on_remove,
    "os.rename": _on_rename,
    "os.symlink": _on_symlink,
    "os.system": processes.on_shell,
    "os.truncate": _on_truncate,
    "shutil.rmtree": _on_remove,
    "socket.connect": _on_connect,
    "socket.getaddrinfo": _on_getaddrinfo,
    "sqlite3.connect": _on_sqlite,
    "subprocess.Popen": processes.on_popen,
}
"""Audit event -> what is done with it. The table of events: https://docs.python.org/3/library/audit_events.html"""

OUTSIDE_RUNS = frozenset({"os.posix_spawn", "os.system", "socket.connect", "socket.getaddrinfo", "subprocess.Popen"})
"""Events that count before any run too, when the user's own code is on the stack: its module is being imported."""
