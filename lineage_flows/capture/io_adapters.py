"""Sees the files that pyarrow and PyTables open in native code, where the interpreter's audit events do not reach.

Knows which functions of these libraries take a path; tells the active run's ``FileLog``, and (in a replay) has paths redirected.
The functions keep their names, signatures, results and exceptions, and can be pickled as before.

pandas needs no adapters of its own for what it reads and writes through ``open`` or pyarrow, which is all but HDF5: one layer less
in the user's stack traces, and pandas' warnings still point at the user's line.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lineage_flows.capture import files
from lineage_flows.capture.active import unobserved
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.paths import from_uri, printable, without_credentials

__all__ = ["ADAPTERS", "install", "redirect_paths", "uninstall"]

Redirect = Callable[[str, bool], str]
"""Gives the path to open in place of the one named; the flag says whether it is opened for writing."""


@dataclass(frozen=True, slots=True)
class Argument:
    """A parameter that names a file or folder: its name, position, and whether it is read or written.

    ``mode`` is position, name and default of the parameter that decides that at the call; ``filesystem`` the name of the parameter
    that says where the path lies.
    """

    name: str
    position: int
    writes: bool = False
    mode: tuple[int, str, str] | None = None
    filesystem: str = "filesystem"


@dataclass(frozen=True, slots=True)
class Adapter:
    """A function, method (``Class.__init__``) or class written in C (called to make an object) that opens files."""

    module: str
    name: str
    arguments: tuple[Argument, ...]
    is_class: bool = False

    @property
    def via(self) -> str:
        """How a dataset says that it was touched: ``pyarrow.parquet.read_table``."""
        return f"{self.module.removesuffix('.core').replace('._', '.')}.{self.name.removesuffix('.__init__')}"


def _reads(name: str, position: int = 0) -> tuple[Argument, ...]:
    return (Argument(name, position),)


def _writes(name: str, position: int = 1) -> tuple[Argument, ...]:
    return (Argument(name, position, writes=True),)


ADAPTERS = (
    Adapter("pyarrow.parquet.core", "read_table", _reads("source")),
    Adapter("pyarrow.parquet.core", "read_metadata", _reads("where")),
    Adapter("pyarrow.parquet.core", "read_schema", _reads("where")),
    Adapter("pyarrow.parquet.core", "ParquetFile.__init__", _reads("source", 1)),
    Adapter("pyarrow.parquet.core", "ParquetDataset.__init__", _reads("path_or_paths", 1)),
    Adapter("pyarrow.parquet.core", "write_table", _writes("where")),
    Adapter("pyarrow.parquet.core", "ParquetWriter.__init__", _writes("where")),
    Adapter("pyarrow.parquet.core", "write_to_dataset", _writes("root_path")),
    Adapter("pyarrow.dataset", "dataset", _reads("source")),
    Adapter("pyarrow.dataset", "parquet_dataset", _reads("metadata_path")),
    Adapter("pyarrow.dataset", "write_dataset", _writes("base_dir")),
    Adapter("pyarrow.feather", "read_table", _reads("source")),
    Adapter("pyarrow.feather", "read_feather", _reads("source")),
    Adapter("pyarrow.feather", "write_feather", _writes("dest")),
    Adapter("pyarrow.orc", "read_table", _reads("source")),
    Adapter("pyarrow.orc", "ORCFile.__init__", _reads("source", 1)),
    Adapter("pyarrow.orc", "ORCWriter.__init__", _writes("where")),
    Adapter("pyarrow._csv", "read_csv", _reads("input_file")),
    Adapter("pyarrow._csv", "open_csv", _reads("input_file")),
    Adapter("pyarrow._csv", "write_csv", _writes("output_file")),
    Adapter("pyarrow._csv", "CSVWriter", _writes("sink", 0), is_class=True),
    Adapter("pyarrow._json", "read_json", _reads("input_file")),
    Adapter("pyarrow._json", "open_json", _reads("input_file")),
    Adapter("pyarrow.ipc", "RecordBatchFileReader.__init__", _reads("source", 1)),
    Adapter("pyarrow.ipc", "RecordBatchStreamReader.__init__", _reads("source", 1)),
    Adapter("pyarrow.ipc", "RecordBatchFileWriter.__init__", _writes("sink")),
    Adapter("pyarrow.ipc", "RecordBatchStreamWriter.__init__", _writes("sink")),
    Adapter("pyarrow.lib", "memory_map", (Argument("path", 0, mode=(1, "mode", "r")),)),
    Adapter("pyarrow.lib", "create_memory_map", _writes("path", 0)),
    Adapter("pyarrow.lib", "input_stream", _reads("source")),
    Adapter("pyarrow.lib", "output_stream", _writes("source", 0)),
    Adapter("pyarrow.lib", "OSFile", (Argument("path", 0, mode=(1, "mode", "r")),), is_class=True),
    Adapter(
        "pyarrow.fs",
        "copy_files",
        (
            Argument("source", 0, filesystem="source_filesystem"),
            Argument("destination", 1, writes=True, filesystem="destination_filesystem"),
        ),
    ),
    Adapter("pandas.io.pytables", "HDFStore.__init__", (Argument("path", 1, mode=(2, "mode", "a")),)),
)
"""Where files are opened. What these call in turn (``read_pandas``, ``open_file``, ``to_parquet``) goes through them."""

_redirect: Redirect | None = None
_lock = threading.Lock()
_hooked = False
_installed = False
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
    for loaded_name, loaded in list(sys.modules.items()):
        same_library = loaded_name.partition(".")[0] == package and isinstance(loaded, ModuleType)
        if same_library and loaded is not module and vars(loaded).get(name) is original:
            found.append(loaded)
    return found


def _function_like(original: Callable[..., Any], adapter: Adapter) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the library takes and gives
        return _call(original, adapter, args, kwargs)

    return call


def _class_like(original: type, adapter: Adapter) -> type:
    """A class that makes objects of ``original``: a class written in C has no ``__init__`` that could be replaced."""

    class Meta(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
            if cls is ours:
                return _call(original, adapter, args, kwargs)
            return super().__call__(*args, **kwargs)  # a class of the user's, derived from it

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, original) if cls is ours else super().__instancecheck__(instance)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, original) if cls is ours else super().__subclasscheck__(other)

    names = {"__module__": original.__module__, "__qualname__": original.__qualname__, "__doc__": original.__doc__}
    ours = Meta(original.__name__, (original,), names)
    return ours


# -------------------------------------------------------------------------------------------------------------- calling


def _call(original: Callable[..., Any], adapter: Adapter, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    log = files.current()
    if log is None and _redirect is None:
        return original(*args, **kwargs)
    call = _Call(adapter.via, log, args, kwargs)
    try:
        for argument in adapter.arguments:
            call.see(argument)
    except Exception as error:  # noqa: BLE001 - the library's function is called whatever becomes of its record
        if log is not None:
            log.failed(f"recording {adapter.via}", error)
    if log is None:
        return original(*call.values, **call.named)
    with log.covering(call.seen, call.written):
        return original(*call.values, **call.named)


class _Call:
    """One call: its arguments, with redirected paths in place of the user's, and the paths seen in them."""

    def __init__(self, via: str, log: FileLog | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.values = list(args)
        self.named = dict(kwargs)
        self.seen: list[str] = []
        self.written: list[str] = []
        self._via = via
        self._log = log

    def see(self, argument: Argument) -> None:
        """Tell the log of the paths in one argument."""
        value = _get(argument.position, argument.name, self.values, self.named)
        reads, writes = not argument.writes, argument.writes
        if argument.mode is not None:
            position, name, default = argument.mode
            reads, writes = _intent(str(_get(position, name, self.values, self.named, default)))
        filesystem = self.named.get(argument.filesystem)
        if type(value) in (list, tuple):
            replaced: Any = type(value)(self._path(item, filesystem, reads, writes) for item in value)
        else:
            replaced = self._path(value, filesystem, reads, writes)
        if argument.name in self.named:
            self.named[argument.name] = replaced
        elif argument.position < len(self.values):
            self.values[argument.position] = replaced

    def _path(self, item: Any, filesystem: object, reads: bool, writes: bool) -> Any:  # noqa: ANN401 - a path, or anything
        if not isinstance(item, str | os.PathLike):
            return item  # an open file, a buffer, a table
        path = _local(item, filesystem)
        if path is None:
            if self._log is not None and reads:
                self._log.cannot_restore(f"object {printable(without_credentials(os.fsdecode(item)))}")
            return item
        opened = path if _redirect is None else _redirect(path, writes)
        self.seen.append(opened)
        if writes:
            self.written.append(opened)
        if self._log is not None:
            with unobserved():
                if reads:
                    self._log.read(opened, self._via, folders=True)
                if writes:
                    self._log.write(opened, self._via, folders=True)
        return item if opened == path else opened


def _get(position: int, name: str, values: list[Any], named: dict[str, Any], default: Any = None) -> Any:  # noqa: ANN401
    return values[position] if position < len(values) else named.get(name, default)


def _intent(mode: str) -> tuple[bool, bool]:
    """Whether a mode of pyarrow's or PyTables' reads, and whether it writes."""
    if "+" in mode or "a" in mode:
        return True, True
    return "r" in mode, "w" in mode


def _local(item: str | os.PathLike[str], filesystem: object) -> str | None:
    """The path on this machine that is meant; None when it lies elsewhere."""
    text = os.fsdecode(os.fspath(item))
    base = _base_of(filesystem)
    if base is None:
        return None
    if "://" in text:
        try:
            return from_uri(text)
        except ValueError:
            return None
    return base + text


def _base_of(filesystem: object) -> str | None:
    """What a path in a file system is relative to: nothing for the local one, a folder for a part of it; None for remote ones."""
    if filesystem is None:
        return ""
    kind = type(filesystem).__name__
    if kind == "SubTreeFileSystem":
        inner = _base_of(getattr(filesystem, "base_fs", None))
        return None if inner is None else inner + str(getattr(filesystem, "base_path", ""))
    if kind == "PyFileSystem":  # pyarrow's coat around an fsspec file system
        return _base_of(getattr(getattr(filesystem, "handler", None), "fs", None) or object())
    return "" if kind == "LocalFileSystem" else None
