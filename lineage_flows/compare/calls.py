"""Which code of the project a function can reach: the definitions it names, in its module and those it imports, by reading sources.

Knows Python's syntax only; nothing is imported or executed. What cannot be seen in the text (getattr, plug-ins) is not found.
"""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["Definition", "Sources", "imported_files", "main_names", "own_definition", "reachable"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = ("body", "orelse", "finalbody", "handlers")
_LIMIT = 5000


@dataclass(frozen=True, slots=True)
class Definition:
    """A module-level definition: where it stands, and what it says with layout and comments left out."""

    path: str
    name: str
    first_line: int
    last_line: int
    code: str


@dataclass(frozen=True)
class Sources:
    """The Python files of a project.

    Attributes:
        files: path -> text; paths are relative to the project's root, with ``/``.
        roots: folders, relative to the root, that imports are looked up in (``""`` is the root itself).
    """

    files: Mapping[str, str]
    roots: tuple[str, ...] = ("",)
    _modules: dict[str, _Module | None] = field(default_factory=dict, compare=False)

    def module(self, path: str) -> _Module | None:
        """A file as parsed; None when there is none or it is not valid Python."""
        if path not in self._modules:
            self._modules[path] = _parse(path, self.files.get(path))
        return self._modules[path]

    def find(self, name: str, importer: str, level: int = 0) -> str | None:
        """The file that ``import name`` in ``importer`` loads; None when it is not the project's."""
        relative = name.replace(".", "/")
        if level:
            folder = posixpath.dirname(importer)
            for _ in range(level - 1):
                folder = posixpath.dirname(folder)
            bases: tuple[str, ...] = (folder,)
        else:
            bases = (posixpath.dirname(importer), *self.roots)
        for base in bases:
            stem = posixpath.join(base, relative) if relative else base
            for candidate in (f"{stem}.py", posixpath.join(stem, "__init__.py")):
                if candidate in self.files:
                    return candidate
        return None


def reachable(
    sources: Sources, path: str, qualname: str, line: int | None = None, *, without: Collection[tuple[str, str]] = ()
) -> dict[tuple[str, str], Definition]:
    """Every definition of the project that a function can reach by name, itself included.

    Args:
        sources: the project's files.
        path: the function's file, as ``sources`` names it.
        qualname: its qualified name; for a lambda, ``line`` finds the statement it stands in.
        line: a line of the function.
        without: (path, name) of definitions that are not gone into.

    Returns:
        (path, name) -> definition. Empty when the function's file is not among the sources.
    """
    found: dict[tuple[str, str], Definition] = {}
    start = sources.module(path)
    if start is None:
        return found
    waiting: list[tuple[str, str]] = [(path, start.top_level_name(qualname, line))]
    seen: set[tuple[str, str]] = set()
    while waiting and len(seen) < _LIMIT:
        key = waiting.pop()
        module = sources.module(key[0])
        if key in seen or module is None or key in without:
            continue
        seen.add(key)
        definition = module.define(key[1])
        if definition is not None:
            found[key] = definition
        waiting.extend(_followed(sources, module, key[1]))
    return found


def own_definition(sources: Sources, path: str, qualname: str, line: int | None = None) -> Definition | None:
    """The module-level definition that a function is, or stands in; None when its file is not among the sources."""
    module = sources.module(path)
    return None if module is None else module.define(module.top_level_name(qualname, line))


def imported_files(sources: Sources, path: str) -> set[str]:
    """The project's files that a file imports, directly or through others, itself included."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        at = waiting.pop()
        module = sources.module(at)
        if at in found or module is None:
            continue
        found.add(at)
        for item in (*module.stars, *(item for _, item in _import_names(module.tree.body, deep=True))):
            names = [item.module, f"{item.module}.{item.name}" if item.module else item.name or ""]
            parts = item.module.split(".")
            names.extend(".".join(parts[:count]) for count in range(1, len(parts)))  # packages run their __init__, too
            waiting.extend(file for name in names if (file := sources.find(name, at, item.level)) is not None)
    return found


def main_names(text: str) -> frozenset[str]:
    """The names that a script binds in its ``__main__`` block and nowhere else."""
    module = _parse("", text)
    if module is None:
        return frozenset()
    blocks = [item for item in module.tree.body if isinstance(item, ast.If) and _is_main_test(item.test)]
    bound = {name for block in blocks for statement in block.body for name in _bound(statement)}
    return frozenset(bound - module.statements.keys() - module.imports.keys())


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement of a module gives a meaning to; not those of the functions and classes it defines."""
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
        yield statement.name
        return
    if isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (name for name, _ in _import_names([statement], deep=True))
        return
    for item in ast.iter_child_nodes(statement):
        if isinstance(item, ast.stmt):
            yield from _bound(item)
            continue
        for inner in ast.walk(item):
            if isinstance(inner, ast.stmt):  # in the body of an exception handler or a case
                yield from _bound(inner)
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id


def _followed(sources: Sources, module: _Module, name: str) -> Iterator[tuple[str, str]]:
    """What a definition names in turn: other definitions of its module, and of the project's modules that it imports."""
    yield module.path, ""  # statements that run when the module is imported
    if name not in module.statements and name in module.imports:
        for imported in module.imports[name]:
            yield from _imported(sources, module, imported, "")
        return
    if name not in module.statements and name:
        for star in module.stars:
            yield from _imported(sources, module, star, name)
        return
    for used, attribute in _names(module.statements.get(name, [])):
        if used in module.statements:
            yield module.path, used
        elif used in module.imports:
            for imported in module.imports[used]:
                yield from _imported(sources, module, imported, "" if "." in imported.module else attribute)
        else:
            for star in module.stars:
                yield from _imported(sources, module, star, used)
    for _, imported in _import_names(module.statements.get(name, []), deep=True):
        yield from _imported(sources, module, imported, "")


@dataclass(frozen=True, slots=True)
class _Import:
    module: str
    level: int
    name: str | None


def _imported(sources: Sources, importer: _Module, what: _Import, attribute: str) -> Iterator[tuple[str, str]]:
    path = sources.find(what.module, importer.path, what.level)
    if what.name is not None:
        submodule = f"{what.module}.{what.name}" if what.module else what.name
        inner = sources.find(submodule, importer.path, what.level)
        if path is not None and (module := sources.module(path)) is not None and module.has(what.name):
            yield path, what.name
            return
        if inner is None:
            if path is not None:
                yield path, what.name
            return
        path = inner
    if path is None:
        return
    module = sources.module(path)
    if module is None:
        return
    if attribute:
        yield path, attribute
    else:
        yield from ((path, name) for name in module.statements)


@dataclass(frozen=True)
class _Module:
    path: str
    tree: ast.Module

    @cached_property
    def statements(self) -> dict[str, list[ast.stmt]]:
        """Module-level name -> the statements that give it its meaning; "" -> those that are run for their effect."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in _top_level(self.tree.body):
            for name in _defined(statement):
                found.setdefault(name, []).append(statement)
        own = {name for name, given in found.items() if any(isinstance(item, _FUNCTIONS) for item in given)}
        effects = [item for item in _top_level(self.tree.body) if _is_effect(item, own)]
        if effects:
            found[""] = effects
        return found

    @cached_property
    def imports(self) -> dict[str, list[_Import]]:
        found: dict[str, list[_Import]] = {}
        for name, imported in _import_names(self.tree.body, deep=False):
            found.setdefault(name, []).append(imported)
        return found

    @cached_property
    def import_code(self) -> list[str]:
        """What its import statements say, layout left out."""
        return [ast.dump(item) for item in _top_level(self.tree.body) if isinstance(item, ast.Import | ast.ImportFrom)]

    @cached_property
    def stars(self) -> list[_Import]:
        return [
            _Import(item.module or "", item.level, None)
            for item in _top_level(self.tree.body)
            if isinstance(item, ast.ImportFrom) and any(alias.name == "*" for alias in item.names)
        ]

    def has(self, name: str) -> bool:
        return name in self.statements or name in self.imports

    def top_level_name(self, qualname: str, line: int | None) -> str:
        name = qualname.partition(".")[0]
        if name in self.statements or line is None:
            return name
        for candidate, statements in self.statements.items():
            if any(item.lineno <= line <= (item.end_lineno or item.lineno) for item in statements):
                return candidate
        return name

    def define(self, name: str) -> Definition | None:
        statements = self.statements.get(name)
        if not statements:
            return None
        return Definition(
            self.path,
            name,
            min(_first_line(item) for item in statements),
            max(item.end_lineno or item.lineno for item in statements),
            "\n".join(ast.dump(item) for item in statements),
        )


def _parse(path: str, text: str | None) -> _Module | None:
    if text is None:
        return None
    try:
        return _Module(path, ast.parse(text))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run on import, those inside ``if`` and ``try`` included; the ``__main__`` block does not run on import."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try | ast.TryStar | ast.With):
            if isinstance(statement, ast.If) and _is_main_test(statement.test):
                yield from _top_level(statement.orelse)
                continue
            for block in _BLOCKS:
                inner = getattr(statement, block, [])
                if block == "handlers":
                    inner = [item for handler in inner for item in handler.body]
                yield from _top_level(inner)
        else:
            yield statement


def _is_main_test(test: ast.expr) -> bool:
    return any(isinstance(item, ast.Name) and item.id == "__name__" for item in ast.walk(test))


def _defined(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            for item in ast.walk(target):
                if isinstance(item, ast.Name):
                    yield item.id


def _is_effect(statement: ast.stmt, own: set[str]) -> bool:
    """A call made on import, such as ``np.random.seed(0)``; not a docstring, and not a script's call of its own functions."""
    if not isinstance(statement, ast.Expr | ast.For | ast.While):
        return False
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return False
    return not any(isinstance(item, ast.Name) and item.id in own for item in ast.walk(statement))


def _names(statements: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Names that are read, each with the first attribute taken of it ("" when it is used as it is)."""
    for statement in statements:
        attributes: dict[int, str] = {}
        for item in ast.walk(statement):
            if isinstance(item, ast.Attribute) and isinstance(item.value, ast.Name):
                attributes[id(item.value)] = item.attr
        for item in ast.walk(statement):
            if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load):
                yield item.id, attributes.get(id(item), "")


def _import_names(body: list[ast.stmt], *, deep: bool) -> Iterator[tuple[str, _Import]]:
    statements: Iterator[ast.AST] = (
        (item for statement in body for item in ast.walk(statement)) if deep else iter(_top_level(body))
    )
    for item in statements:
        if isinstance(item, ast.Import):
            for alias in item.names:
                if alias.asname:
                    yield alias.asname, _Import(alias.name, 0, None)
                else:
                    yield alias.name.partition(".")[0], _Import(alias.name, 0, None)
        elif isinstance(item, ast.ImportFrom):
            for alias in item.names:
                if alias.name != "*":
                    yield alias.asname or alias.name, _Import(item.module or "", item.level, alias.name)


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(item.lineno for item in decorators)])
