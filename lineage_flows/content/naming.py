"""Names of types that are the same wherever the code stands: as a script, imported, under a worker, in a replay's workspace.

Knows the interpreter's folders. Reads names past metaclasses that lie or raise.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePath
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from lineage_flows.redaction import SECRET_TYPES, is_secret_item, is_secret_name

__all__ = [
    "HIDDEN",
    "class_attribute",
    "comes_from",
    "holds_secret_item",
    "is_secret",
    "module_name",
    "mro",
    "own_attributes",
    "shown_name",
    "stable_name",
    "type_name",
]

_SCRIPT_MODULES = ("__main__", "__mp_main__")
_LOADED_SCRIPT = "__prefect_loader"
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")

_judged: dict[str, bool] = {}
_MOST_JUDGED = 20_000
"""Keys of which it is remembered whether they say secret."""

_qualname = type.__dict__["__qualname__"].__get__
_module = type.__dict__["__module__"].__get__
_bases = type.__dict__["__mro__"].__get__
_attributes = type.__dict__["__dict__"].__get__
_names: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def mro(cls: type) -> tuple[type, ...]:
    """The classes ``cls`` is made of, itself first."""
    bases: tuple[type, ...] = _bases(cls)
    return bases


def own_attributes(cls: type) -> Mapping[str, object]:
    """What the class itself defines."""
    found: Mapping[str, object] = _attributes(cls)
    return found


def class_attribute(cls: type, attribute: str) -> object:
    """What the class or a base defines under a name; None when none does."""
    return next((own_attributes(base)[attribute] for base in mro(cls) if attribute in own_attributes(base)), None)


def comes_from(cls: type, library: str, base_name: str) -> bool:
    """Whether a class is, or derives from, a library's class, by their names."""
    return any(
        str(_qualname(base)) == base_name and module_name(base).partition(".")[0] == library for base in mro(cls)
    )


def type_name(cls: type) -> str:
    """Qualified name, after its module when that is installed; ``builtins.int``, ``pandas.DataFrame``, ``MyModel``."""
    known = _names.get(cls)
    if known is None:
        known = _names[cls] = stable_name(module_name(cls), str(_qualname(cls)))
    return known


def shown_name(cls: type) -> str:
    """``type_name`` as a reader expects it: without ``builtins``."""
    return type_name(cls).removeprefix("builtins.")


def stable_name(module: str | None, qualname: str) -> str:
    """``qualname``, after ``module`` when the module belongs to an installed package or the standard library."""
    return f"{module}.{qualname}" if module and is_installed(module) else qualname


def module_name(cls: type) -> str:
    """The module a class says it comes from; empty when it says nothing usable."""
    try:
        module = _module(cls)
    except AttributeError:
        return ""
    return module if isinstance(module, str) else ""


def is_secret(cls: type) -> bool:
    """Whether instances of ``cls`` hold something that must not be looked at, by the names of its classes."""
    return any(str(_qualname(base)).rpartition(".")[2] in SECRET_TYPES for base in mro(cls))


def holds_secret_item(mapping: dict[Any, Any]) -> bool:
    """Whether any item of a dictionary is a secret by its key. Asked of every dictionary that is fingerprinted."""
    for key, item in mapping.items():
        if type(key) is str:
            named = _judged.get(key)
            if named is None:
                if len(_judged) > _MOST_JUDGED:
                    _judged.clear()
                named = _judged[key] = is_secret_name(key)
            if named and is_secret_item(key, item):
                return True
    return False


class SecretValue:
    """Stands in a walk for what is a secret by the name it goes by."""


HIDDEN = SecretValue()


def is_installed(module: str) -> bool:
    """Whether a module belongs to the standard library or an installed package, not to the user's own code."""
    if module in _SCRIPT_MODULES or module.startswith(_LOADED_SCRIPT):
        return False
    loaded = sys.modules.get(module) or sys.modules.get(module.partition(".")[0])
    # Past __getattribute__, which in a lazily loaded module would load it.
    path = object.__getattribute__(loaded, "__dict__").get("__file__") if issubclass(type(loaded), ModuleType) else None
    if isinstance(path, str):
        return _in_packages(path)
    return module.partition(".")[0] in sys.stdlib_module_names


@lru_cache(maxsize=4096)
def _in_packages(path: str) -> bool:
    if any(folder in PurePath(path).parts for folder in _PACKAGE_FOLDERS):
        return True
    return any(path.startswith(folder) for folder in _interpreter_folders())


@lru_cache(maxsize=1)
def _interpreter_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(
        {paths[key].rstrip("/") + "/" for key in ("stdlib", "platstdlib", "purelib", "platlib") if paths.get(key)}
    )
