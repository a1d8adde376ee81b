"""The code of two runs as a comparison sees it: their files, and what of them differs beyond what a step reaches by name.

Knows source files; must not know records.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from lineage_flows.compare.calls import Definition, Sources, imported_files, own_definition
from lineage_flows.compare.names import short
from lineage_flows.compare.sources import changed_lines, file_changes, python_sources

__all__ = ["ComparedCode", "changed_default", "untied"]

_SOURCE = ".py"


@dataclass(frozen=True, slots=True)
class ComparedCode:
    """What is known of the code of two runs.

    Attributes:
        old: the Python files of the one run; None where they were not kept, or need not be looked at.
        new: those of the other run.
        same: the code is the same by construction: a replay that executes what was captured.
        others: project files that are no Python and differ.
        script: the text of the other run's flow file, where it is known.
    """

    old: Sources | None = None
    new: Sources | None = None
    same: bool = False
    others: tuple[str, ...] = ()
    script: str | None = None

    @classmethod
    def of(cls, a: Mapping[str, bytes] | None, b: Mapping[str, bytes] | None, script: str = "") -> Self:
        """The code of two trees of files.

        Args:
            a: path -> content of the one run's files.
            b: those of the other.
            script: the path of the flow's file among them.
        """
        old, new = (None if tree is None else python_sources(tree) for tree in (a, b))
        others: tuple[str, ...] = ()
        if a is not None and b is not None:
            others = tuple(change.path for change in file_changes(a, b) if not change.path.endswith(_SOURCE))
        return cls(old, new, others=others, script=new.files.get(script) if new is not None else None)


def untied(old: Sources, new: Sources, entry: str, known: Collection[tuple[str, str]], most: int) -> list[str]:
    """Definitions that differ and that nobody could tie to a step: it calls them on an object, through a registry, or not at all.

    Files that the flow's file imports, directly or not, stand before all others: only where none of these differs, the others are
    looked at.

    Args:
        old: the files of the one run.
        new: those of the other.
        entry: the flow's file.
        known: (path, name) of the definitions that need not be named: the functions of the flow's steps themselves.
        most: how many are named at most.
    """
    imported = imported_files(old, entry) | imported_files(new, entry)
    differing = sorted(
        path for path in old.files.keys() | new.files.keys() if old.files.get(path) != new.files.get(path)
    )
    near = [words for path in differing if path in imported for words in _differences(old, new, path, known)]
    both = (path for path in differing if path in old.files and path in new.files)  # a file more is loaded by nobody
    found = near or [words for path in both for words in _differences(old, new, path, known)]
    return found[:most]


def _differences(old: Sources, new: Sources, path: str, known: Collection[tuple[str, str]]) -> list[str]:
    before, after = old.module(path), new.module(path)
    if before is None or after is None:
        return [short(path) + ("" if path in new.files else ", which is gone")]
    words = []
    for name in sorted(before.statements.keys() | after.statements.keys()):
        mine, theirs = before.define(name), after.define(name)
        if (path, name) in known or (mine and theirs and mine.code == theirs.code):
            continue
        words.append(_said(old, new, path, mine, theirs))
    if not words and before.import_code != after.import_code:
        words.append(f"imports of {short(path)}")
    return words


def _said(old: Sources, new: Sources, path: str, mine: Definition | None, theirs: Definition | None) -> str:
    at = theirs or mine
    assert at is not None
    what = f"`{at.name}`" if at.name else "module-level code"
    if theirs is None:
        return f"code of {what} ({short(path)}, which is gone)"
    lines = changed_lines(old.files[path], new.files[path], (theirs.first_line, theirs.last_line))
    return f"code of {what} ({short(path)}{', lines ' + lines if lines else ''})"


def changed_default(
    old: tuple[Sources, str, str, int | None], new: tuple[Sources, str, str, int | None], parameter: str
) -> tuple[str, str] | None:
    """The default of a function's parameter in both runs, as its source says it; None when it is the same, or there is none.

    Args:
        old: the files of the one run, and the function in them: its file, its qualified name, a line of it.
        new: the same of the other run.
        parameter: its name.
    """
    before, after = (_default(*where, parameter) for where in (old, new))
    if before is None or after is None or before == after:
        return None
    return before, after


def _default(sources: Sources, path: str, qualname: str, line: int | None, parameter: str) -> str | None:
    own, module = own_definition(sources, path, qualname, line), sources.module(path)
    if own is None or module is None:
        return None
    name = qualname.rpartition(".")[2]
    for statement in module.statements.get(own.name, []):
        for item in ast.walk(statement):
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name == name:
                given = item.args
                positional = [*given.posonlyargs, *given.args]
                defaults = dict(zip(reversed(positional), reversed(given.defaults), strict=False))
                defaults.update(
                    (key, value) for key, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value
                )
                return next((ast.unparse(value) for key, value in defaults.items() if key.arg == parameter), None)
    return None
