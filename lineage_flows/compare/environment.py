"""Says how the environments of two runs differ: Python, packages, CPU, numeric libraries, variables.

Knows records only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from lineage_flows.compare.changes import Change
from lineage_flows.records import Environment, Package

__all__ = ["environment_changes", "said"]

_FIELDS: tuple[tuple[str, str], ...] = (
    ("python", "Python"),
    ("implementation", "Python implementation"),
    ("platform", "platform"),
    ("machine", "machine"),
    ("cpu", "CPU"),
    ("cpu_count", "CPU count"),
    ("image", "container image"),
    ("hash_seed", "PYTHONHASHSEED"),
    ("locale", "locale"),
    ("timezone", "time zone"),
)
_OWN = frozenset({"lineage-flows"})
"""Packages that cannot change what a flow computes."""
_SAID_ELSEWHERE = frozenset({"PYTHONHASHSEED", "TZ"})
_LIBRARY_NAME = ("internal_api", "prefix")
_LIBRARY_FACTS = ("version", "num_threads", "architecture", "threading_layer")


def environment_changes(a: Environment, b: Environment) -> tuple[Change, ...]:
    """What differs between two environments, what most often changes numbers first."""
    plain = [
        Change(what="environment", name=label, old=getattr(a, field), new=getattr(b, field))
        for field, label in _FIELDS
        if getattr(a, field) != getattr(b, field)
    ]
    features = set(a.cpu_features) ^ set(b.cpu_features)
    if features:
        lost, gained = sorted(features - set(b.cpu_features)), sorted(features - set(a.cpu_features))
        plain.append(
            Change(what="environment", name="CPU features", old=" ".join(lost) or None, new=" ".join(gained) or None)
        )
    plain.extend(_mapping("package", _versions(a.packages), _versions(b.packages)))
    old, new = _libraries(a.libraries), _libraries(b.libraries)
    loaded = old.keys() & new.keys()  # one that a run had not loaded yet when it was looked at is no difference
    plain.extend(_mapping("library", {name: old[name] for name in loaded}, {name: new[name] for name in loaded}))
    plain.extend(_mapping("variable", _variables(a), _variables(b)))
    return tuple(plain)


def said(changes: Iterable[Change], *, most: int = 6) -> tuple[str, ...]:
    """The changes in words, a line each; what is over ``most`` is counted."""
    lines = [f"{change.name} {_shown(change.old)} → {_shown(change.new)}" for change in changes]
    return (*lines[:most], *((f"and {len(lines) - most} more",) if len(lines) > most else ()))


def _shown(value: JsonValue) -> str:
    return "not set" if value is None else str(value)


def _mapping(what: str, old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> list[Change]:
    return [
        Change(
            what="environment",
            name=name if what == "package" else f"{what} {name}",
            old=old.get(name),
            new=new.get(name),
        )
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _versions(packages: Iterable[Package]) -> dict[str, JsonValue]:
    return {
        package.name: f"{package.version} ({package.vcs})" if package.vcs else package.version
        for package in packages
        if package.name not in _OWN
    }


def _libraries(libraries: Iterable[Mapping[str, JsonValue]]) -> dict[str, JsonValue]:
    """BLAS and OpenMP as ``threadpoolctl`` tells them: name -> version, threads, kernels."""
    found: dict[str, JsonValue] = {}
    for library in libraries:
        name = " ".join(str(library[key]) for key in _LIBRARY_NAME if library.get(key))
        facts = (f"{key} {library[key]}" for key in _LIBRARY_FACTS if library.get(key) is not None)
        found.setdefault(name, ", ".join(facts))
    return found


def _variables(environment: Environment) -> dict[str, JsonValue]:
    return {name: value for name, value in environment.variables.items() if name not in _SAID_ELSEWHERE}
