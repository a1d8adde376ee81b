"""Names the function of a flow or task: where it stands, and what its source hashes to.

Knows Python's functions and code objects; must not know Prefect.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import re
import textwrap
import threading
import tokenize
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineage_flows.capture.active import unobserved
from lineage_flows.records import BlobRef, FunctionRef

if TYPE_CHECKING:
    from lineage_flows.content import Store

__all__ = ["function_ref", "function_source", "underlying"]

SOURCE_FORMAT = "text"
"""Format of a blob that holds a function's source, UTF-8."""

_MOST_UNWRAPPED = 100


@dataclass(slots=True)
class _Source:
    """The source of a code object; ``text`` is None when there is none, and the digest then is of the code itself."""

    digest: str
    text: str | None
    line: int | None
    refs: dict[tuple[str, str, str | None], FunctionRef] = field(default_factory=dict)


_sources: dict[int, tuple[weakref.ref[Any], _Source]] = {}
_lock = threading.Lock()


def function_ref(fn: Callable[..., Any], store: Store | None) -> FunctionRef:
    """Name a function, and keep its source when there is a store.

    The digest is of the function's own source, dedented, with its decorators; for a function without source (typed in, generated,
    or in a file that was edited since) of its code. Partials, methods and callable objects stand for the function they call; a
    class for its own source. What the function calls is not in its digest: that is the source tree's.

    Args:
        fn: any callable.
        store: where the source is kept; None to hash only.

    Raises:
        LineageError: the store cannot be written.
    """
    target = underlying(fn)
    key = getattr(target, "__code__", target)
    name = getattr(target, "__qualname__", None) or type(target).__qualname__
    module = getattr(target, "__module__", None) or ""
    with unobserved():
        source = _source_of(target, key)
        wanted = (name, module, None if store is None else store.url)
        known = source.refs.get(wanted)
        if known is None:
            path = _path_of(key)
            line = source.line if path is not None else None
            blob = _keep(source, store) if store is not None else None
            known = FunctionRef(name=name, module=module, path=path, line=line, digest=source.digest, blob=blob)
            source.refs[wanted] = known
    return known


def function_source(fn: Callable[..., Any]) -> str | None:
    """The source of a function, dedented, as ``function_ref`` hashes it; None when there is none."""
    target = underlying(fn)
    with unobserved():
        return _source_of(target, getattr(target, "__code__", target)).text


def underlying(fn: Any) -> Any:  # noqa: ANN401 - anything that can be called
    """The function, builtin or class behind what is called: of a partial, a method, a wrapper, a callable object."""
    if type(fn) is types.FunctionType and "__wrapped__" not in fn.__dict__:
        return fn  # nearly always
    for _ in range(_MOST_UNWRAPPED):
        if isinstance(fn, functools.partial | functools.partialmethod):
            fn = fn.func
        elif isinstance(fn, types.MethodType | classmethod | staticmethod):
            fn = fn.__func__
        elif isinstance(wrapped := _attribute(fn, "__wrapped__"), Callable):  # type: ignore[arg-type]
            fn = wrapped
        elif isinstance(fn, type | types.FunctionType | types.BuiltinFunctionType) or _is_plain(fn):
            break
        else:
            fn = type(fn).__call__
    return fn


def _attribute(value: Any, name: str) -> Any:  # noqa: ANN401 - as above
    """An attribute that is stored on the value itself: a ``__getattr__`` that invents one is not asked."""
    try:
        return inspect.getattr_static(value, name, None)
    except (AttributeError, TypeError):
        return None


def _is_plain(fn: Any) -> bool:  # noqa: ANN401 - as above
    return not isinstance(getattr(type(fn), "__call__", None), types.FunctionType)  # noqa: B004 - looks at how it is called


def _source_of(target: Any, key: Any) -> _Source:  # noqa: ANN401 - as above
    with _lock:
        known = _sources.get(id(key))
        if known is not None and known[0]() is key:
            return known[1]
    source = _read(target)
    try:
        reference = weakref.ref(key, functools.partial(_forget, id(key)))
    except TypeError:  # a builtin
        return source
    with _lock:
        _sources[id(key)] = (reference, source)
    return source


def _forget(identity: int, _reference: object) -> None:
    _sources.pop(identity, None)


def _read(target: Any) -> _Source:  # noqa: ANN401 - as above
    lines: list[str]
    line: int | None
    try:
        lines, line = inspect.getsourcelines(target)
    # What is raised beside OSError and TypeError: the file was edited since it was imported, and its lines mean something else now.
    except (OSError, TypeError, IndexError, SyntaxError, ValueError, tokenize.TokenError):
        lines = []
        line = getattr(getattr(target, "__code__", None), "co_firstlineno", None)
    text = textwrap.dedent("".join(lines))
    name = getattr(target, "__name__", "")
    if not re.search(rf"\b(def|class)\s+{re.escape(name)}\b" if name.isidentifier() else r"\blambda\b", text):
        return _Source(_digest("code", _describe(target)), None, line)
    return _Source(_digest("source", text), text, line)


def _digest(kind: str, text: str) -> str:
    return "sha256:" + hashlib.sha256(f"{kind}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()


def _describe(target: Any) -> str:  # noqa: ANN401 - as above
    code = getattr(target, "__code__", None)
    if isinstance(code, types.CodeType):
        return _describe_code(code)
    return f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', type(target).__qualname__)}"


def _describe_code(code: types.CodeType) -> str:
    """What a code object does, as text that is the same in every process; file names and line numbers are left out."""
    constants = [
        _describe_code(item) if isinstance(item, types.CodeType) else _constant(item) for item in code.co_consts
    ]
    return repr(
        (
            code.co_code.hex(),
            constants,
            code.co_names,
            code.co_varnames,
            code.co_freevars,
            code.co_argcount,
            code.co_flags,
        )
    )


def _constant(value: object) -> str:
    if isinstance(value, frozenset):
        return f"frozenset({sorted(map(_constant, value))})"
    if isinstance(value, tuple):
        return f"tuple({[_constant(item) for item in value]})"
    return repr(value)


def _keep(source: _Source, store: Store) -> BlobRef | None:
    if source.text is None:
        return None
    digest, size = store.put(source.text.encode("utf-8", "surrogatepass"))
    return BlobRef(digest=digest, size=size, format=SOURCE_FORMAT)


def _path_of(key: Any) -> str | None:  # noqa: ANN401 - as above
    """The absolute path of the file that holds the code; None when there is no such file (a notebook's cell)."""
    name = getattr(key, "co_filename", None)
    if name is None and isinstance(key, type):
        try:
            name = inspect.getsourcefile(key)
        except TypeError:
            return None
    if not isinstance(name, str) or name.startswith("<"):
        return None
    path = os.path.abspath(name)  # noqa: PTH100 - resolve() would follow links: the name the code uses counts
    return path if os.path.isfile(path) else None  # noqa: PTH113 - as above
