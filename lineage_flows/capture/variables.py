"""Sees which environment variables the user's own code reads, by name; their values are nobody's business here.

Knows ``os.environ``; tells the active run's ledger. A library's reading (proxies, home folders) is not the flow's.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lineage_flows.capture import before_runs, files
from lineage_flows.capture.active import is_unobserved
from lineage_flows.capture.ledger_log import ALL_VARIABLES
from lineage_flows.capture.paths import printable
from lineage_flows.capture.stack import caller
from lineage_flows.redaction import is_secret_variable

__all__ = ["ALL_VARIABLES", "configure", "forget_set", "install", "judge", "uninstall", "was_set"]

_THROUGH = frozenset({__name__, "os", "_collections_abc", "collections.abc"})

_lock = threading.Lock()
_allowed: tuple[str, ...] = ()
_set: set[str] = set()
_patched: list[tuple[type, str, Any, Any]] = []


def configure(allowed: Iterable[str]) -> None:
    """Say once in a process which names are on the recorded list: patterns, the setting ``variables``."""
    global _allowed  # noqa: PLW0603 - a setting of the process
    _allowed = tuple(allowed)


def install() -> None:
    """Watch ``os.environ`` and ``os.environb``. A second call changes nothing."""
    with _lock:
        if _patched:
            return
        owner = type(os.environ)
        for name, make in (("__getitem__", _getitem), ("__iter__", _iter)):
            original = owner.__dict__[name]
            ours = make(original)
            setattr(owner, name, ours)
            _patched.append((owner, name, original, ours))


def uninstall() -> None:
    """Give ``os.environ`` its own methods back."""
    with _lock:
        for owner, name, original, ours in _patched:
            if owner.__dict__.get(name) is ours:
                setattr(owner, name, original)
        _patched.clear()


def was_set(name: str | bytes) -> None:
    """A run sets a variable itself: what is read of it afterwards comes from the run's own code."""
    _set.add(os.fsdecode(name))


def forget_set() -> None:
    """What earlier runs of the process set comes from outside the next one."""
    _set.clear()


def judge(name: str) -> str | None:
    """What reading a variable means for a replay; None when its value is recorded with the environment."""
    if name == ALL_VARIABLES:
        return "the values of those that are not on the recorded list are not kept"
    if is_secret_variable(name):
        return "its name says it holds a secret: value never kept"
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in _allowed):
        return None
    return "not on the recorded list (setting `variables`): value not kept, a replay reads its own"


def _getitem(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @functools.wraps(original)
    def __getitem__(self: Any, key: Any) -> Any:  # noqa: ANN401, N807 - as the original
        try:
            value = original(self, key)
        except KeyError:
            _read(key, is_set=False)
            raise
        _read(key, is_set=True)
        return value

    return __getitem__


def _iter(original: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
    @functools.wraps(original)
    def __iter__(self: Any) -> Iterator[Any]:  # noqa: ANN401, N807 - as above
        _read(ALL_VARIABLES, is_set=True)
        return original(self)

    return __iter__


def _read(key: object, *, is_set: bool) -> None:
    try:
        if not caller(sys._getframe(2), _THROUGH)[0] or is_unobserved():
            return
        name = printable(os.fsdecode(key)) if isinstance(key, str | bytes) else str(key)
        log = files.current()
        if log is None:
            if files.active().any:
                return
            log = before_runs.log()
        if name not in _set and (ALL_VARIABLES, True) not in log.ledger.variables:
            log.ledger.read_variable(name, is_set)
    except Exception:  # noqa: BLE001 - reading a variable must work whatever happens here
        return
