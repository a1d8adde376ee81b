"""What all adapters have in common: their shape, the check against the installed version, and the guard around what they record.

Knows capture's log of a run and how a function is wrapped; must not know any library.
"""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType, TracebackType
from typing import Any, Protocol

from lineage_flows.capture import files, network
from lineage_flows.capture.active import unobserved
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.seams import SeamMissingError
from lineage_flows.capture.stack import Origin, origin

__all__ = ["Adapter", "Patches", "guarded", "the_log"]


class Adapter(Protocol):
    """Watches one library.

    Attributes:
        name: what users call what it sees; a record that lacks it says this name.
        module: the module whose import puts it in place.
    """

    name: str
    module: str

    def install(self, module: ModuleType) -> None:
        """Wrap what has to be wrapped; a second call changes nothing.

        Raises:
            SeamMissingError: the library is not as this adapter knows it. Nothing stays wrapped then.
        """

    def uninstall(self) -> None:
        """Give the library its own functions back."""


class Patches:
    """The functions of a library that an adapter has replaced.

    Args:
        distribution: the library's name, for messages.
    """

    def __init__(self, distribution: str) -> None:
        self._distribution = distribution
        self._done: list[tuple[Any, str, Any, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._done)

    def wrap(
        self, owner: object, name: str, parameters: tuple[str, ...], make: Callable[[Callable[..., Any]], Any]
    ) -> None:
        """Replace a function by what ``make`` makes of it.

        Args:
            owner: class or module that has it itself.
            name: its name there.
            parameters: the names its parameters must begin with.
            make: gives the replacement.

        Raises:
            SeamMissingError: there is no such function, or it takes other parameters.
        """
        original = vars(owner).get(name) if owner is not None else None
        label = f"{getattr(owner, '__name__', owner)}.{name}"
        if not callable(original):
            raise SeamMissingError(f"{self._library()} has no {label}")
        found = tuple(inspect.signature(original).parameters)[: len(parameters)]
        if found != parameters:
            raise SeamMissingError(f"{self._library()}: {label} takes {found}, not {parameters}")
        ours = make(original)
        setattr(owner, name, ours)
        self._done.append((owner, name, original, ours))

    def undo(self) -> None:
        """Put everything back that nobody else has replaced since."""
        for owner, name, original, ours in reversed(self._done):
            if vars(owner).get(name) is ours:
                setattr(owner, name, original)
        self._done.clear()

    def _library(self) -> str:
        try:
            return f"{self._distribution} {importlib.metadata.version(self._distribution)}"
        except importlib.metadata.PackageNotFoundError:
            return self._distribution


class _Guard:
    def __init__(self, log: FileLog, doing: str) -> None:
        self._log = log
        self._doing = doing
        self._unobserved = unobserved()

    def __enter__(self) -> None:
        self._unobserved.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._unobserved.__exit__(kind, error, trace)
        if not isinstance(error, Exception):
            return False
        self._log.failed(self._doing, error)
        return True


def guarded(log: FileLog, doing: str) -> AbstractContextManager[None, bool]:
    """Record something: what goes wrong in it is noted on the run, and the library's function is called all the same."""
    return _Guard(log, doing)


def the_log(host: str | None = None, port: int | None = None) -> FileLog | None:
    """The log of the run that the present call is made for; None when Prefect, this project or a tool makes it for itself.

    Args:
        host: where the call goes, so that Prefect's own calls are known where the stack does not tell.
        port: the port there.
    """
    log = files.current()
    if log is None:
        return None
    made_for = origin()
    if made_for is Origin.TOOL:
        return None
    if made_for is Origin.UNKNOWN and host is not None and network.is_prefect((host, port)):
        return None
    return log
