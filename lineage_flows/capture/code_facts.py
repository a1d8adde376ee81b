"""What a task's code says of itself without being run: where it reads the clock, and which packages it names.

Knows Python's code objects. Reading the clock is a call of a C function that no hook sees, so that only the code can tell; it
tells that it may, and not that it did. Followed are functions and classes of the user's own that the code names, through modules
too; what is only known at run time (an attribute of an object, a callback) is not.
"""

from __future__ import annotations

import builtins
import datetime as dt
import dis
import functools
import sys
import threading
import time
import types
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lineage_flows.capture.functions import underlying
from lineage_flows.capture.paths import printable
from lineage_flows.capture.stack import is_users

__all__ = ["CodeFacts", "code_facts"]

MOST_FUNCTIONS = 300
"""Functions that are looked at for one task; a task that reaches more of the user's code is looked at as far as that."""

_MOST_CLOCKS = 20

_CLOCKS: dict[int, str] = {
    id(getattr(time, name)): f"time.{name}"
    for name in (
        "clock_gettime",
        "clock_gettime_ns",
        "monotonic",
        "monotonic_ns",
        "perf_counter",
        "perf_counter_ns",
        "process_time",
        "process_time_ns",
        "thread_time",
        "thread_time_ns",
        "time",
        "time_ns",
    )
    if hasattr(time, name)
} | {id(uuid.uuid1): "uuid.uuid1"}
"""By identity: a value's own ``__hash__`` is foreign code."""
_NOW = frozenset({"now", "today", "utcnow"})
_CALENDARS = frozenset({"arrow", "pendulum", "whenever"})
_NAMES = _NOW | {label.rpartition(".")[2] for label in _CLOCKS.values()}
"""A code object without any of these names reads no clock; most have none."""

_UNKNOWN = object()


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """``clocks``: what reads the clock, and where ("datetime.now, line 12 of load"). ``packages``: the names of libraries."""

    clocks: tuple[str, ...] = ()
    packages: frozenset[str] = frozenset()


_NOTHING = CodeFacts()
_known: dict[int, tuple[weakref.ref[Any], CodeFacts]] = {}
_lock = threading.Lock()


def code_facts(fn: Callable[..., Any]) -> CodeFacts:
    """What the code of a task or flow says; looked at once, best after its first call, when what it imports is loaded."""
    target = underlying(fn)
    key = target.__code__ if type(target) is types.FunctionType else target  # nearly always the first
    known = _known.get(id(key))
    if known is not None and known[0]() is key:
        return known[1]
    if not _is(target, types.FunctionType | type):
        return _NOTHING
    found = _look(_functions_of(target) if _is(target, type) else (target,))
    with _lock:
        _known[id(key)] = (weakref.ref(key, functools.partial(_forget, id(key))), found)
    return found


def _forget(identity: int, _reference: object) -> None:
    _known.pop(identity, None)


def _is(value: object, kinds: type | types.UnionType) -> bool:
    """As ``isinstance``, which would ask the value itself for its class: a proxy's answer is foreign code."""
    return issubclass(type(value), kinds)


def _look(first: Iterable[types.FunctionType]) -> CodeFacts:
    clocks: dict[str, None] = {}
    packages: set[str] = set()
    seen: set[int] = set()
    waiting: deque[types.FunctionType] = deque(first)
    while waiting and len(seen) < MOST_FUNCTIONS:
        function = waiting.popleft()
        if id(function.__code__) in seen:
            continue
        seen.add(id(function.__code__))
        names = _Names(function)
        for code in _codes(function.__code__):
            if len(clocks) < _MOST_CLOCKS and not _NAMES.isdisjoint(code.co_names):
                clocks.update(dict.fromkeys(_clocks(code, names)))
            for value in names.values(code):
                _follow(value, code, waiting, packages)
    return CodeFacts(tuple(clocks)[:_MOST_CLOCKS], frozenset(packages))


class _Names:
    """What the names in a function's code stand for, as far as that is known without running anything."""

    def __init__(self, function: types.FunctionType) -> None:
        self._globals = function.__globals__
        self._cells: dict[str, object] = {}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            try:
                self._cells[name] = cell.cell_contents
            except ValueError:  # not filled yet
                continue

    def get(self, name: str) -> object:
        for place in (self._cells, self._globals):
            if name in place:
                return place[name]
        return getattr(builtins, name, _UNKNOWN)

    def values(self, code: types.CodeType) -> Iterator[object]:
        for name in (*code.co_names, *code.co_freevars):
            value = self.get(name)
            if value is not _UNKNOWN:
                yield value
        for step in dis.get_instructions(code) if "IMPORT_NAME" in _operations(code) else ():
            if step.opname == "IMPORT_NAME":
                yield _module(str(step.argval))


def _operations(code: types.CodeType) -> set[str]:
    return {dis.opname[number] for number in code.co_code[::2]}


def _module(name: str) -> object:
    return sys.modules.get(name, _UNKNOWN)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object and those of the functions and comprehensions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _follow(value: Any, code: types.CodeType, waiting: deque[types.FunctionType], packages: set[str]) -> None:  # noqa: ANN401 - anything
    """Note what package a named thing is of, or put the user's own functions behind it on the list."""
    if _is(value, functools.partial):
        value = value.func
    if _is(value, types.MethodType):
        value = value.__func__
    if _is(value, types.ModuleType):
        if _is_own(value):
            for name in code.co_names:
                inner = vars(value).get(name)
                if _is(inner, types.FunctionType | type):
                    _follow(inner, code, waiting, packages)
        else:
            packages.add(value.__name__.partition(".")[0])
        return
    if not _is(value, types.FunctionType | type):
        value = type(value)  # what an object does, its class says
    functions = list(_functions_of(value)) if _is(value, type) else [value]
    own = [item for item in functions if is_users(item.__code__, item.__globals__.get("__name__"))]
    waiting.extend(own)
    if not own and isinstance(value.__module__, str):
        packages.add(value.__module__.partition(".")[0])
    wrapped = vars(value).get("__wrapped__")
    if _is(wrapped, types.FunctionType):
        waiting.append(wrapped)


def _is_own(module: types.ModuleType) -> bool:
    path = getattr(module, "__file__", None)
    if not isinstance(path, str):
        return False
    return is_users(_PLACE.replace(co_filename=path), module.__name__)


_PLACE = compile("", "", "exec")


def _functions_of(kind: type) -> Iterable[types.FunctionType]:
    """The functions that a class defines itself."""
    for value in list(vars(kind).values()):
        inner = value.__func__ if _is(value, staticmethod | classmethod) else value
        inner = inner.fget if _is(inner, property) else inner
        if _is(inner, types.FunctionType):
            yield inner


# --------------------------------------------------------------------------------------------------------------- clocks


def _clocks(code: types.CodeType, names: _Names) -> Iterator[str]:
    """What of a code object reads the clock: names are followed from a global, a closure or an import to the last attribute."""
    now: object = _UNKNOWN
    module: object = _UNKNOWN
    local: dict[str, object] = {}
    line = code.co_firstlineno
    for step in dis.get_instructions(code):
        line = step.starts_line or line
        operation, name = step.opname, str(step.argval)
        label: str | None = None
        if operation in {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"}:
            now = names.get(name)
            label = _label(now)
        elif operation.startswith("LOAD_FAST"):
            now = local.get(name, _UNKNOWN)
            label = _label(now)
        elif operation in {"LOAD_ATTR", "LOAD_METHOD"}:
            now, label = _attribute(now, name)
        elif operation == "IMPORT_NAME":
            now = module = _module(name)
        elif operation == "IMPORT_FROM":
            now = _attribute(module, name)[0]
        elif operation in {"STORE_FAST", "STORE_NAME", "STORE_DEREF"}:
            local[name] = now
            now = _UNKNOWN
        elif operation not in {"CACHE", "EXTENDED_ARG", "PUSH_NULL"}:
            now = _UNKNOWN
        if label is not None:
            yield printable(f"{label}, line {line} of {code.co_qualname}")


def _label(value: Any) -> str | None:  # noqa: ANN401 - anything
    known = _CLOCKS.get(id(value))
    if known is not None or not _is(value, types.FunctionType | types.BuiltinFunctionType):
        return known
    owner: Any = getattr(value, "__self__", None)
    if _is(owner, type):  # `from x import now`, where `now = datetime.now`
        return _now(owner, value.__name__)
    module = str(getattr(value, "__module__", "")).partition(".")[0]
    return f"{module}.{value.__name__}" if module in _CALENDARS and value.__name__ in _NOW else None


def _attribute(owner: Any, name: str) -> tuple[object, str | None]:  # noqa: ANN401 - anything
    """An attribute of a module or class, without running a property or a module's ``__getattr__``."""
    if _is(owner, types.ModuleType):
        value = vars(owner).get(name, _UNKNOWN)
        return value, _label(value)
    if _is(owner, type):
        return _UNKNOWN, _now(owner, name)
    return _UNKNOWN, None


def _now(owner: type, name: str) -> str | None:
    is_date = issubclass(owner, dt.date) or owner.__module__.partition(".")[0] in _CALENDARS
    return f"{owner.__name__}.{name}" if is_date and name in _NOW else None
