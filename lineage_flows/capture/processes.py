"""Sees the programs and processes that a run starts, and how they end, as far as Python learns of it.

Knows ``subprocess``, ``multiprocessing`` and the audit events of starting; tells the run's ledger. Nothing is waited for, and
nothing that was started is kept alive.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lineage_flows.capture import files
from lineage_flows.capture.active import unobserved
from lineage_flows.capture.commands import program_of, redacted, words_of
from lineage_flows.capture.paths import printable
from lineage_flows.capture.stack import Origin, origin

if TYPE_CHECKING:
    from lineage_flows.capture.files import FileLog

__all__ = ["HARMLESS_PROGRAMS", "install", "on_fork", "on_popen", "on_shell", "on_spawn", "uninstall"]

HARMLESS_PROGRAMS = frozenset(
    {
        "cc",
        "clang",
        "fc-list",
        "fc-match",
        "gcc",
        "getconf",
        "hostname",
        "ld",
        "ldconfig",
        "locale",
        "lscpu",
        "nproc",
        "nvidia-smi",
        "objdump",
        "sysctl",
        "system_profiler",
        "uname",
        "xdg-mime",
    }
)
"""Programs that libraries start to learn about the machine (ctypes, joblib, matplotlib, platform): they read no data."""

_MODULES = ("subprocess", "asyncio.base_subprocess", "multiprocessing.process")

_lock = threading.Lock()
_hooked = False
_installed = False
_patched: list[tuple[type, str, Any, Any]] = []
_thread = threading.local()


@dataclass(slots=True, eq=False)
class _Started:
    """A program or process that was started; ``code`` is how it ended, None as long as Python has not learned it."""

    what: str
    unrestorable: str = ""
    folder: str = ""
    code: int | None = None

    def told(self) -> tuple[str, str]:
        where = f" in {self.folder}" if self.folder else ""
        return f"starts {self.what}{where} ({_end(self.code)})", self.unrestorable


_ended: weakref.WeakKeyDictionary[object, _Started] = weakref.WeakKeyDictionary()
"""What was started, by the object through which Python learns its exit code."""


# -------------------------------------------------------------------------------------------------------- audit events


def on_popen(log: FileLog, args: tuple[Any, ...]) -> None:
    """``subprocess.Popen(executable, args, cwd, env)``."""
    executable, arguments, folder = args[0], args[1], args[2]
    words = words_of([arguments] if isinstance(arguments, str | bytes | os.PathLike) else arguments)
    if executable is not None:
        words = [os.fsdecode(executable), *words[1:]]
    started = _started(log, words, "" if folder is None else os.fsdecode(folder))
    if started is not None and (process := _popen()) is not None:
        _ended[process] = started


def on_spawn(log: FileLog, args: tuple[Any, ...]) -> None:
    """``os.posix_spawn(path, argv, env)`` and ``os.exec(path, args, env)``."""
    words = words_of(args[1])
    _started(log, [os.fsdecode(args[0]), *words[1:]])


def on_shell(log: FileLog, args: tuple[Any, ...]) -> None:
    """``os.system(command)``, which tells nobody but its caller how the command ended."""
    _started(log, words_of(args[0]) or ["sh"])


def on_fork(log: FileLog, _args: tuple[Any, ...]) -> None:
    """``os.fork()``, unless ``multiprocessing`` does it, which is told by its own name."""
    if not getattr(_thread, "starting", False) and origin() is not Origin.TOOL:
        log.ledger.gap("process", "forks itself", "")


def _started(log: FileLog, words: Sequence[str], folder: str = "") -> _Started | None:
    name = program_of(words)
    if name in HARMLESS_PROGRAMS or origin() is Origin.TOOL:
        return None
    # The arguments may hold secrets, so that the one-line form alone is kept of them.
    started = _Started(redacted(words), f"program {name}", printable(folder))
    log.cannot_restore(started.unrestorable)
    log.ledger.gap_at_end("process", "", started.told)
    return started


def _popen() -> object | None:
    """The ``Popen`` in whose starting this is called: the audit event does not tell it."""
    frame = sys._getframe(1)
    for _ in range(8):
        outer = frame.f_back
        if outer is None:
            return None
        frame = outer
        if frame.f_code.co_name == "_execute_child" and frame.f_globals.get("__name__") == "subprocess":
            process: object | None = frame.f_locals.get("self")
            return process
    return None


def _end(code: int | None) -> str:
    if code is None:
        return "exit code not known"
    if code >= 0:
        return f"exit {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


# ----------------------------------------------------------------------------------------------------------- exit codes


def install() -> None:
    """Learn of exit codes and of ``multiprocessing``, now or when they are imported. A second call changes nothing."""
    global _hooked, _installed  # noqa: PLW0603 - import hooks cannot be taken back, so they are registered once
    import wrapt

    with _lock:
        _installed = True
        first, _hooked = not _hooked, True
    for name in _MODULES:
        if first:
            wrapt.register_post_import_hook(_imported, name)
        elif name in sys.modules:
            _imported(sys.modules[name])


def uninstall() -> None:
    """Give Python's classes their own methods back."""
    global _installed  # noqa: PLW0603 - as above
    with _lock:
        _installed = False
        for owner, name, original, ours in reversed(_patched):
            if owner.__dict__.get(name) is ours:
                setattr(owner, name, original)
        _patched.clear()


def _imported(module: ModuleType) -> None:
    with _lock:
        if not _installed:
            return
        for owner_name, name, make in _WRAPPED.get(module.__name__, ()):
            owner = getattr(module, owner_name, None)
            original = owner.__dict__.get(name) if isinstance(owner, type) else None
            # Where a Python has no such method, exit codes are not known, which is what the ledger then says.
            if owner is not None and callable(original) and not any(ours is original for *_, ours in _patched):
                ours = make(original)
                setattr(owner, name, ours)
                _patched.append((owner, name, original, ours))


def _learned(process: object, code: object) -> None:
    try:
        started = _ended.get(process)
        if started is not None and isinstance(code, int):
            started.code = code
    except Exception:  # noqa: BLE001 - called by finalisers too, when the interpreter may be half gone; the code is then not known
        return


def _exit_status(original: Callable[..., Any]) -> Callable[..., Any]:
    learned = _learned  # finalisers come here when this module's names may be gone already

    @functools.wraps(original)
    def _handle_exitstatus(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the original
        answer = original(self, *args, **kwargs)
        learned(self, self.returncode)
        return answer

    return _handle_exitstatus


def _async_exit(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _process_exited(self: Any, returncode: Any) -> Any:  # noqa: ANN401 - as above
        _learned(getattr(self, "_proc", None), returncode)
        return original(self, returncode)

    return _process_exited


def _process_started(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def start(self: Any) -> Any:  # noqa: ANN401 - as above
        log = files.current()
        if log is None or getattr(_thread, "starting", False) or origin() is Origin.TOOL:
            return original(self)
        try:
            with unobserved():
                started = _Started(f"a process of multiprocessing that runs {_target(self)}")
                log.ledger.gap_at_end("process", "", started.told)
                _ended[self] = started
        except Exception as error:  # noqa: BLE001 - the process is started all the same; a subclass may be anything
            log.failed("recording a process of multiprocessing", error)
        _thread.starting = True
        try:
            return original(self)
        finally:
            _thread.starting = False

    return start


def _process_joined(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def join(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        answer = original(self, *args, **kwargs)
        _learned(self, getattr(getattr(self, "_popen", None), "returncode", None))
        return answer

    return join


def _target(process: Any) -> str:  # noqa: ANN401 - a process of multiprocessing
    target = getattr(process, "_target", None) or type(process).run
    target = getattr(target, "func", target)  # a partial
    return printable(
        f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', type(target).__qualname__)}"
    )


_WRAPPED: dict[str, tuple[tuple[str, str, Callable[[Callable[..., Any]], Callable[..., Any]]], ...]] = {
    "subprocess": (("Popen", "_handle_exitstatus", _exit_status),),
    "asyncio.base_subprocess": (("BaseSubprocessTransport", "_process_exited", _async_exit),),
    "multiprocessing.process": (("BaseProcess", "start", _process_started), ("BaseProcess", "join", _process_joined)),
}
"""Module -> class, method, and what stands in for it."""
