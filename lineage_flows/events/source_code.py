"""The source of a function as events tell it: what is a secret by the name it is given to is masked, the rest is as it stands.

Knows Python's syntax; must not know facets. The blobs that a replay runs are the code itself, and stay as they are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

from lineage_flows.events.text import clip
from lineage_flows.redaction import MASK, is_secret_name, redact, redact_name

__all__ = ["told_source"]

_LONGEST = 64_000


def told_source(source: str) -> str:
    """A function's source, its secret literals masked: ``password = "…"``, ``connect(token="…")``, ``{"api_key": "…"}``, defaults.

    Whatever looks like a secret is masked anywhere in it. What cannot be parsed (a lambda that is cut out of its call) is masked
    as text, which masks more.
    """
    return clip(redact_name(_masked(source)), _LONGEST)


@lru_cache(maxsize=256)  # a mapped task has the same source a thousand times
def _masked(source: str) -> str:
    try:
        text = _without_literals(source)
        # What Python says of places inside an f-string is not always where they are: only a result that is right counts.
        left = [node for value in _secrets(ast.parse(text)) for node in _literals(value)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return redact(source)
    return text if all(isinstance(node, ast.Constant) and node.value == MASK for node in left) else redact(source)


def _without_literals(source: str) -> str:
    lines = source.encode("utf-8", "surrogatepass").splitlines(keepends=True)
    places = {_place(node) for value in _secrets(ast.parse(source)) for node in _literals(value)}
    for line, start, end_line, end in sorted(
        places, reverse=True
    ):  # the last first: the places before it stay where they are
        lines[line - 1 : end_line] = [lines[line - 1][:start] + f'"{MASK}"'.encode() + lines[end_line - 1][end:]]
    return b"".join(lines).decode("utf-8", "surrogatepass")


def _secrets(tree: ast.AST) -> Iterator[ast.expr]:
    """The expressions that stand where a name says that a secret is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            if any(_is_secret(target) for target in node.targets):
                yield node.value
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            if node.value is not None and _is_secret(node.target):
                yield node.value
        elif isinstance(node, ast.keyword):
            if node.arg is not None and is_secret_name(node.arg):
                yield node.value
        elif isinstance(node, ast.Dict):
            yield from (item for key, item in zip(node.keys, node.values, strict=True) if key and _is_secret(key))
        elif isinstance(node, ast.arguments):
            yield from _defaults(node)
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(_is_secret(side) for side in sides):
                yield from (side for side in sides if not _is_secret(side))
        elif isinstance(node, ast.Call):
            yield from _fallbacks(node)


def _defaults(node: ast.arguments) -> Iterator[ast.expr]:
    named = [*node.posonlyargs, *node.args]
    with_default = zip(named[len(named) - len(node.defaults) :], node.defaults, strict=True)
    yield from (default for argument, default in with_default if is_secret_name(argument.arg))
    keywords = zip(node.kwonlyargs, node.kw_defaults, strict=True)
    yield from (default for argument, default in keywords if default is not None and is_secret_name(argument.arg))


def _fallbacks(node: ast.Call) -> Iterator[ast.expr]:
    """``os.environ.get("PASSWORD", "…")`` and ``SecretStr("…")``."""
    name = (
        node.func.attr
        if isinstance(node.func, ast.Attribute)
        else node.func.id
        if isinstance(node.func, ast.Name)
        else ""
    )
    if name in {"SecretStr", "SecretBytes", "SecretDict"}:
        yield from node.args
    elif len(node.args) > 1 and _is_secret(node.args[0]):
        yield from node.args[1:]


def _is_secret(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return is_secret_name(node.id)
    if isinstance(node, ast.Attribute):
        return is_secret_name(node.attr)
    if isinstance(node, ast.Subscript):
        return _is_secret(node.slice)
    if isinstance(node, ast.Tuple | ast.List):
        return any(_is_secret(item) for item in node.elts)
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and is_secret_name(node.value)


def _literals(node: ast.expr) -> Iterator[ast.expr]:
    """The texts in an expression; those that name what is called or looked up are none, such as ``load("vendor-token")``."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str | bytes) and node.value:
            yield node
    elif isinstance(node, ast.JoinedStr):
        yield node
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for item in node.elts:
            yield from _literals(item)
    elif isinstance(node, ast.Dict | ast.BoolOp):
        for item in node.values:
            yield from _literals(item)
    elif isinstance(node, ast.BinOp):
        yield from _literals(node.left)
        yield from _literals(node.right)
    elif isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield from _literals(node.func.value)  # "…".encode()


def _place(node: ast.expr) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
