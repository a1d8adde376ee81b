"""The last format: pickle, protocol 5, compressed with zstd when it is not small. Loading one runs what is in it.

Knows pickle, and cloudpickle (which comes with Prefect) for what pickle leaves out: lambdas, functions in functions.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn, TypeVar

from lineage_flows.content.naming import comes_from, is_installed, is_secret, shown_name
from lineage_flows.content.refused import is_connection
from lineage_flows.errors import ContentError

__all__ = ["copy_figure", "dump_pickle", "load_pickle"]

_PROTOCOL = 5
_COMPRESSED_FROM = 4096
_ZSTD = b"\x28\xb5\x2f\xfd"
"""How every zstd frame begins (RFC 8878); no pickle does."""

_SHOWN = "_restore_to_pylab"
_CANNOT = (pickle.PicklingError, AttributeError, TypeError, NotImplementedError)

_S = TypeVar("_S")


def dump_pickle(value: object) -> bytes:
    """The value's pickle.

    Raises:
        ContentError: when it cannot be pickled, or is or holds a secret. The value's own methods may raise anything.
    """
    return _write(value, _Sink).close()


def load_pickle(data: bytes) -> object:
    """The value in a pickle. Runs code: only for bytes whose origin is known.

    Raises:
        ContentError: when it cannot be rebuilt. What it runs may raise anything.
    """
    if data[:4] == _ZSTD:
        data = _decompressed(data)
    try:
        return _Loader(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, ImportError, AttributeError, IndexError) as error:
        raise ContentError("a stored value cannot be loaded", why=str(error)) from error


def copy_figure(figure: Any) -> Any:  # noqa: ANN401 - matplotlib's Figure, which this module need not import
    """A copy of a matplotlib figure that shares nothing with it and is not among pyplot's figures."""
    return load_pickle(_write(figure, io.BytesIO).getvalue())


def _write(value: object, new_sink: Callable[[], _S]) -> _S:
    """Pickle into a sink: by name where possible, else with the code of what has no name to be found by."""
    sink = new_sink()
    try:
        _Plain(sink, _PROTOCOL).dump(value)  # type: ignore[arg-type]  # a sink has write()
    except RecursionError as error:
        raise ContentError("the value cannot be stored", why="it is nested too deep for pickle") from error
    except _CANNOT as error:
        sink = new_sink()
        _write_by_value(value, sink, error)
    return sink


def _decompressed(data: bytes) -> bytes:
    import pyarrow as pa

    try:
        return bytes(pa.input_stream(pa.BufferReader(data), compression="zstd").read())
    except (OSError, pa.ArrowException) as error:
        raise ContentError("a stored value cannot be loaded", why=str(error)) from error


class _Sink:
    """Where a pickle is written: memory, through zstd as soon as it is not small."""

    def __init__(self) -> None:
        self._start = io.BytesIO()
        self._packed: Any = None
        self._out: Any = None

    def write(self, data: Any) -> int:  # noqa: ANN401 - bytes or whatever buffer pickle hands over
        size = memoryview(data).nbytes
        if self._packed is None and self._start.tell() + size > _COMPRESSED_FROM:
            import pyarrow as pa

            self._out = pa.BufferOutputStream()
            self._packed = pa.CompressedOutputStream(self._out, "zstd")
            self._packed.write(self._start.getvalue())
        (self._packed or self._start).write(data)
        return size

    def close(self) -> bytes:
        if self._packed is None:
            return self._start.getvalue()
        self._packed.close()
        return bytes(self._out.getvalue())


class _Plain(pickle.Pickler):
    """pickle, that refuses secrets wherever they sit."""

    def reducer_override(self, obj: Any) -> Any:  # noqa: ANN401 - pickle's own signature
        return _override(obj)


def _override(obj: object) -> Any:  # noqa: ANN401 - pickle's own signature
    cls = type(obj)
    if is_secret(cls):
        raise ContentError(
            "the value cannot be stored",
            why=f"it is or holds a secret ({shown_name(cls)})",
            fix="pass the secret's name instead, and load it in the step that needs it",
        )
    if is_connection(cls):
        raise ContentError("the value cannot be stored", why=f"it is or holds a connection ({shown_name(cls)})")
    if comes_from(cls, "matplotlib", "Figure"):
        # With this mark a copy would register itself with pyplot, and become its current figure.
        state = {key: item for key, item in cls.__getstate__(obj).items() if key != _SHOWN}  # type: ignore[attr-defined]
        return copyreg.__newobj__, (cls,), state  # type: ignore[attr-defined]
    return NotImplemented


def _write_by_value(value: object, sink: object, why_not: BaseException) -> None:
    try:
        from cloudpickle import Pickler  # type: ignore[import-untyped]
    except ImportError:
        _refuse(why_not)

    class ByValue(Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def reducer_override(self, obj: Any) -> Any:  # noqa: ANN401 - pickle's own signature
            made = _override(obj)
            return super().reducer_override(obj) if made is NotImplemented else made

    try:
        ByValue(sink, _PROTOCOL).dump(value)
    except _CANNOT as error:
        _refuse(error)


def _refuse(error: BaseException) -> NoReturn:
    raise ContentError("the value cannot be stored", why=f"{type(error).__name__}: {error}") from error


class _Loader(pickle.Unpickler):
    """pickle, that finds a script's classes again where the script now goes by another module's name."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - pickle's own signature
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            found = [_attribute(other, name) for other in _scripts()]
            matches = {id(item): item for item in found if item is not None}
            if is_installed(module) or len(matches) != 1:
                raise
            return matches.popitem()[1]


def _scripts() -> list[ModuleType]:
    """Modules of the user's own code that are loaded."""
    return [module for title, module in list(sys.modules.items()) if module is not None and not is_installed(title)]


def _attribute(module: ModuleType, dotted: str) -> object:
    found: object = module
    for part in dotted.split("."):
        found = getattr(found, part, None)
    return found
