"""Sees the files that pyarrow, polars and PyTables open in native code, where the interpreter's audit events do not reach.

Puts itself before the functions of ``io_table``; tells the active run's ``FileLog``, and (in a replay) has paths redirected.
The functions keep their names, signatures, results and exceptions, and can be pickled as before.
"""

from __future__ import annotations

import functools
import io
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import ModuleType
from typing import Any

from lineage_flows.capture import files
from lineage_flows.capture.active import unobserved
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.io_paths import fixed_folder, is_pattern, local_path, matches
from lineage_flows.capture.io_table import ADAPTERS, Adapter, Argument
from lineage_flows.capture.paths import printable, without_credentials
from lineage_flows.capture.table_shape import shape_of, table_among

__all__ = ["ADAPTERS", "Call", "install", "redirect_paths", "redirected", "uninstall", "wanted"]

Redirect = Callable[[str, bool], str]
"""Gives the path to open in place of the one named; the flag says whether it is opened for writing."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_OPEN_FILES = (io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.FileIO)
_redirect: Redirect | None = None
_lock = threading.Lock()
_hooked = False
_installed = False
_thread = threading.local()
_patched: list[tuple[object, str, object, object]] = []


def install() -> None:
    """Adapt the libraries that are loaded, and the others when they are imported. A second call changes nothing."""
    global _hooked, _installed  # noqa: PLW0603 - import hooks cannot be taken back, so they are registered once
    import wrapt

    with _lock:
        _installed = True
        first, _hooked = not _hooked, True
    for name in dict.fromkeys(adapter.module for adapter in ADAPTERS):
        if first:
            wrapt.register_post_import_hook(_adapt, name)
        elif name in sys.modules:
            _adapt(sys.modules[name])


def uninstall() -> None:
    """Give the libraries their own functions back."""
    global _installed  # noqa: PLW0603 - as above
    with _lock:
        _installed = False
        for owner, name, original, ours in reversed(_patched):
            if getattr(owner, name, None) is ours:
                setattr(owner, name, original)
        _patched.clear()


def redirect_paths(redirect: Redirect | None) -> None:
    """Have every path that an adapter sees opened elsewhere (a replay's workspace); None: no more."""
    global _redirect  # noqa: PLW0603 - a replay's process is one whole replay
    _redirect = redirect


def redirected(path: str, writes: bool) -> str:
    """Where a path is opened in this process: elsewhere in a replay, else where it says."""
    return path if _redirect is None else _redirect(path, writes)


def wanted() -> tuple[FileLog | None, bool]:
    """The log of the executing code, and whether anybody wants to know of the paths that a call names."""
    log = files.current()
    return log, log is not None or _redirect is not None


# ------------------------------------------------------------------------------------------------------------- patching


def _adapt(module: ModuleType) -> None:
    for adapter in ADAPTERS:
        if adapter.module == module.__name__:
            with _lock:
                if _installed:
                    _patch(module, adapter)


def _patch(module: ModuleType, adapter: Adapter) -> None:
    holder, _, method = adapter.name.partition(".")
    if method:
        owner = getattr(module, holder, None)
        original = getattr(owner, method, None)
    else:
        owner, original = module, getattr(module, holder, None)
    if owner is None or original is None or any(ours is original for *_, ours in _patched):
        return  # another version of the library, or adapted already
    ours = _class_like(original, adapter) if adapter.is_class else _function_like(original, adapter)
    for place in [owner] if method else _places(module, holder, original):
        setattr(place, method or holder, ours)
        _patched.append((place, method or holder, original, ours))


def _places(module: ModuleType, name: str, original: object) -> list[ModuleType]:
    """The modules of the same library that give the function out: pickling finds it by name where it is defined."""
    package = module.__name__.partition(".")[0]
    found = [module]
    for loaded_name, loaded in sys.modules.copy().items():
        if not loaded_name.startswith(package):
            continue
        same_library = loaded_name.partition(".")[0] == package and isinstance(loaded, ModuleType)
        if same_library and loaded is not module and vars(loaded).get(name) is original:
            found.append(loaded)
    return found


def _function_like(original: Callable[..., Any], adapter: Adapter) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the library takes and gives
        seen = _seen(adapter, args, kwargs)
        if seen is None:
            return original(*args, **kwargs)
        with seen.happening():
            result = original(*seen.values, **seen.named)
        seen.returned(result)
        return result

    # polars and pandas point their warnings at the first frame whose file is not theirs: it stays the user's.
    package = sys.modules[adapter.module.partition(".")[0]]
    folder = os.path.dirname(package.__file__ or "")  # noqa: PTH120 - the text is compared
    call.__code__ = call.__code__.replace(co_filename=f"{folder}/<seen by lineage_flows>")
    return functools.wraps(original)(call)


def _class_like(original: type, adapter: Adapter) -> type:
    """A class that makes objects of ``original``: a class written in C has no ``__init__`` that could be replaced."""

    class Meta(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
            if cls is ours:
                seen = _seen(adapter, args, kwargs)
                if seen is None:
                    return original(*args, **kwargs)
                with seen.happening():
                    return original(*seen.values, **seen.named)
            return super().__call__(*args, **kwargs)  # a class of the user's, derived from it

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, original) if cls is ours else super().__instancecheck__(instance)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, original) if cls is ours else super().__subclasscheck__(other)

    names = {"__module__": original.__module__, "__qualname__": original.__qualname__, "__doc__": original.__doc__}
    ours = Meta(original.__name__, (original,), names)
    return ours


# -------------------------------------------------------------------------------------------------------------- calling


def _seen(adapter: Adapter, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """What a call names, told to the log; None when nobody wants to know. Never raises: the library's function is called."""
    log, needed = wanted()
    if not needed:
        return None
    if adapter.describes and log is None:
        return None
    call = Call(adapter.via, log, args, kwargs)
    try:
        for argument in adapter.arguments:
            if adapter.describes:
                call.name(argument)
            else:
                call.see(argument)
    except Exception as error:  # noqa: BLE001 - the library's function is called whatever becomes of its record
        if log is not None:
            log.failed(f"recording {adapter.via}", error)
    return call


class Call:
    """One call: its arguments, with redirected paths in place of the user's, and the paths seen in them."""

    def __init__(self, via: str, log: FileLog | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.values = list(args)
        self.named = dict(kwargs)
        self.seen: list[str] = []
        self.written: list[str] = []
        self.described: list[tuple[str, str]] = []
        self.via = via
        self.log = log
        self._patterns: frozenset[str] = frozenset()
        self._elsewhere: list[str] = []
        self._since = 0

    @contextmanager
    def happening(self) -> Iterator[None]:
        """The time of the call: what the library opens by itself has been told, and what no adapter sees it get is said then."""
        outer = _patterns()
        _thread.patterns = outer | self._patterns
        try:
            with nullcontext() if self.log is None else self.log.covering(self.seen, self.written):
                yield
        finally:
            _thread.patterns = outer
            self._unseen()

    def _unseen(self) -> None:
        """Say what the call named that is no path and that the adapter of ``urllib`` has not seen it ask for."""
        for text in self._elsewhere:
            if self.log is None or ("elsewhere", text) not in self.log.told:
                continue
            try:
                self.log.told.discard(("elsewhere", text))
                uri = without_credentials(text)
                self.log.cannot_restore(f"object {printable(uri)}", uri)
            except Exception as error:  # noqa: BLE001 - the call is over, and was what it is
                self.log.failed(f"recording {self.via}", error)

    def returned(self, result: object) -> None:
        """The call is over: say rows and columns of the one file it was about. Never raises."""
        if self.log is None or len(self.described) != 1:
            return
        ((path, direction),) = self.described
        try:
            with unobserved():
                given = (
                    table_among(self.values, self.named) if direction == "write" or result is None else shape_of(result)
                )
                if given is not None and direction == "url":
                    from lineage_flows.capture.adapters.urls import target_of  # few calls name a URL

                    self.log.objects.describe(target_of(path).uri, given, since=self._since)
                elif given is not None:
                    self.log.describe(path, direction, given)
        except Exception as error:  # noqa: BLE001 - the call is over, and was what it is
            self.log.failed(f"describing {self.via}", error)

    def name(self, argument: Argument) -> None:
        """Remember which file the call is about; who opens it tells the log of it."""
        item = _get(argument.position, argument.name, self.values, self.named)
        name = item if isinstance(item, str | os.PathLike) else _name_of(item)
        path = None if name is None else local_path(name)
        if path is not None:
            self.described.append((redirected(path, argument.writes), "write" if argument.writes else "read"))
        elif isinstance(name, str) and not argument.writes and _URL.match(name):
            self._describe_url(name)

    def _describe_url(self, url: str) -> None:
        """Remember which URL the call is about; rows and columns are those of what is read of it from now on."""
        if self.log is not None:
            self._since = self.log.objects.touched
            self.described.append((url, "url"))

    def see(self, argument: Argument) -> None:
        """Tell the log of the paths in one argument."""
        value = _get(argument.position, argument.name, self.values, self.named)
        reads, writes = not argument.writes, argument.writes
        if argument.mode is not None:
            position, name, default = argument.mode
            reads, writes = _intent(str(_get(position, name, self.values, self.named, default)))
        filesystem = self.named.get(argument.filesystem)
        patterns = argument.patterns and bool(self.named.get("glob", True))
        if type(value) in (list, tuple):
            replaced: Any = type(value)(self.path(item, filesystem, reads, writes, patterns) for item in value)
        else:
            replaced = self.path(value, filesystem, reads, writes, patterns)
        if argument.name in self.named:
            self.named[argument.name] = replaced
        elif argument.position < len(self.values):
            self.values[argument.position] = replaced

    def path(self, item: Any, filesystem: object, reads: bool, writes: bool, patterns: bool) -> Any:  # noqa: ANN401 - a path, or anything
        """Tell the log of one path, which may be a pattern, and say where it is to be opened."""
        if not isinstance(item, str | os.PathLike):
            return item  # an open file, a buffer, a table
        path = local_path(item, filesystem)
        if path is None:
            if self.log is not None and reads:
                text = os.fsdecode(item)
                self._elsewhere.append(text)
                self._describe_url(text)
                self.log.told.add(("elsewhere", text))
            return item
        if patterns and is_pattern(path):
            if path in _patterns():
                return item  # `read_parquet` calls `scan_parquet`
            opened, found = _meant(path)
            self._patterns |= {opened}
            for name in found:
                self.described.append((name, "write" if writes else "read"))
                self.tell(name, reads, writes)
        else:
            opened = self.redirected(path, writes)
            self.described.append((opened, "write" if writes else "read"))
            self.tell(opened, reads, writes)
        return item if opened == path else opened

    def redirected(self, path: str, writes: bool) -> str:
        """Where a path is opened; the library's own opening of it has been told."""
        opened = redirected(path, writes)
        self.seen.append(opened)
        if writes:
            self.written.append(opened)
        return opened

    def tell(self, name: str, reads: bool, writes: bool) -> None:
        """Tell the log of a file or folder."""
        if self.log is not None:
            with unobserved():
                if reads:
                    self.log.read(name, self.via, folders=True)
                if writes:
                    self.log.write(name, self.via, folders=True)


def _name_of(item: Any) -> str | None:  # noqa: ANN401 - anything; open files are picked out
    """The path of an open file; None of a buffer, and of a file in an archive, which has no descriptor."""
    if not isinstance(item, _OPEN_FILES):  # a spooled file is written to disk when it is asked for its descriptor
        return None
    try:
        item.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    name = getattr(item, "name", None)
    return name if isinstance(name, str) else None


def _patterns() -> frozenset[str]:
    """The patterns of the calls that this thread is in: whose files have been told."""
    found: frozenset[str] = getattr(_thread, "patterns", frozenset())
    return found


def _meant(path: str) -> tuple[str, list[str]]:
    """A pattern as it is to be opened, and the files that it means.

    What it meant in the run that is replayed lies in the workspace; where nothing there fits, it is opened as it is.
    """
    with unobserved():
        if _redirect is not None and (folder := fixed_folder(path)):
            for writes in (
                False,
                True,
            ):  # a folder that is there only to hold what was captured is not served for reading
                moved = _redirect(folder, writes) + path[len(folder) :]
                if moved != path and (found := matches(moved)):
                    return moved, found
        return path, matches(path)


def _get(position: int, name: str, values: list[Any], named: dict[str, Any], default: Any = None) -> Any:  # noqa: ANN401
    return values[position] if position < len(values) else named.get(name, default)


def _intent(mode: str) -> tuple[bool, bool]:
    """Whether a mode of pyarrow's or PyTables' reads, and whether it writes."""
    if "+" in mode or "a" in mode:
        return True, True
    return "r" in mode, "w" in mode
