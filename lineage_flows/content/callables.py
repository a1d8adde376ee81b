"""Rules for code as a value: functions, methods, partials, classes, modules.

Knows them by name; a function of the user's own also by its compiled code, so a changed lambda is another value. What a
function calls by global name is not followed: that is what the source tree of a run is for.
"""

from __future__ import annotations

import functools
import pathlib
import types
from typing import Any

from lineage_flows.content.containers import mapping_body
from lineage_flows.content.hashing import atom, count, name, node
from lineage_flows.content.naming import is_installed, stable_name, type_name
from lineage_flows.content.registry import Steps, register
from lineage_flows.content.walk import Walk

_EMPTY_CELL = "<empty>"


def _class_token(value: type) -> bytes:
    return atom(b"class", name(type_name(value)))


def _module_token(value: types.ModuleType) -> bytes:
    """A module by name; the user's own by its file's name, which is the same when it runs as ``__main__``."""
    facts = object.__getattribute__(value, "__dict__")
    module, path = str(facts.get("__name__", "")), facts.get("__file__")
    if not is_installed(module) and isinstance(path, str):
        file = pathlib.PurePath(path)
        module = file.parent.name if file.stem == "__init__" else file.stem
    return atom(b"module", name(module))


def _function_steps(value: types.FunctionType, _walk: Walk) -> Steps:
    title = name(stable_name(value.__module__, value.__qualname__))
    installed = isinstance(value.__module__, str) and is_installed(value.__module__)
    if installed and value.__closure__ is None and "<" not in value.__qualname__:
        return node(b"function", title)
    # The code of an installed package is known by the environment; bytecode would tie the value to one version of Python.
    code = None if installed else value.__code__
    cells = [_cell(cell) for cell in value.__closure__ or ()]
    tokens = yield (code, value.__defaults__, value.__kwdefaults__, cells, value.__dict__)
    return node(b"function", title, *tokens)


def _code_steps(value: types.CodeType, _walk: Walk) -> Steps:
    """Compiled code without where it stands: no file, no line numbers."""
    names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
    tokens = yield (value.co_consts, value.co_code, getattr(value, "co_exceptiontable", b""), *names)
    counts = count(value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
    return node(b"code", name(value.co_name), counts, *tokens)


def _method_steps(value: types.MethodType, _walk: Walk) -> Steps:
    tokens = yield (value.__func__, value.__self__)
    return node(b"method", *tokens)


def _partial_steps(value: functools.partial[object], _walk: Walk) -> Steps:
    keywords = sorted(value.keywords)
    tokens = yield (value.func, value.args, *(value.keywords[keyword] for keyword in keywords))
    return node(b"partial", *tokens[:2], mapping_body([name(keyword) for keyword in keywords], tokens[2:]))


def _cached_steps(value: Any, _walk: Walk) -> Steps:  # noqa: ANN401 - functools._lru_cache_wrapper has no public name
    (token,) = yield (value.__wrapped__,)
    return node(b"cached function", token)


def _builtin_steps(value: types.BuiltinFunctionType, _walk: Walk) -> Steps:
    owner = value.__self__
    if owner is None or type(owner) is types.ModuleType:
        return node(b"function", name(stable_name(value.__module__, value.__qualname__)))
    (token,) = yield (owner,)
    return node(b"builtin method", name(value.__name__), token)


def _cell(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY_CELL


register(type, leaf=_class_token, subclasses=True)
register(types.ModuleType, leaf=_module_token, subclasses=True)
register(types.FunctionType, steps=_function_steps)
register(types.CodeType, steps=_code_steps)
register(types.MethodType, steps=_method_steps)
register(types.BuiltinFunctionType, steps=_builtin_steps)
register(functools.partial, steps=_partial_steps)
register(type(functools.lru_cache(lambda: None)), steps=_cached_steps)
