"""The source of a function as events tell it: what is a secret by the name it is given to is masked, the rest is as it stands.

Knows Python's syntax; must not know facets. The blobs that a replay runs are the code itself, and stay as they are.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from functools import lru_cache

from lineage_flows.events.text import clip
from lineage_flows.redaction import MASK, is_secret_name, redact, redact_name

__all__ = ["told_source"]

_LONGEST = 64_000
_Place = tuple[int, int, int, int]
"""First line, byte in it, last line, byte in that."""


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
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return redact(source)
    return text if all(isinstance(node, ast.Constant) and node.value == MASK for node in left) else redact(source)


def _without_literals(source: str) -> str:
    lines = source.encode("utf-8", "surrogatepass").splitlines(keepends=True)
    tree = ast.parse(source)
    mask = f'"{MASK}"'
    places = {_place(node): mask for value in _secrets(tree) for node in _literals(value)}
    for node, text in (*_texts(tree, source), *_comments(source)):
        places.setdefault(node, text)
    for (line, start, end_line, end), text in sorted(places.items(), reverse=True):
        # The last first: the places before it stay where they are.
        told = lines[line - 1][:start] + text.encode("utf-8", "surrogatepass") + lines[end_line - 1][end:]
        lines[line - 1 : end_line] = [told]
    return b"".join(lines).decode("utf-8", "surrogatepass")


def _texts(tree: ast.AST, source: str) -> Iterator[tuple[_Place, str]]:
    """Literals that mention a secret (``"…?token=abc"``), and how they are told."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [
                part.value for part in node.values if isinstance(part, ast.Constant) and isinstance(part.value, str)
            ]
            told = {part: redact(part) for part in parts if redact(part) != part}
            written = ast.get_source_segment(source, node) or ""
            for part, text in told.items():
                written = written.replace(part, text) if part in written else f'"{MASK}"'
            if told:
                yield _place(node), written
            continue
        if id(node) in inside or not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if redact(node.value) != node.value:
            yield _place(node), redact(ast.get_source_segment(source, node) or "")


def _comments(source: str) -> Iterator[tuple[_Place, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and (told := redact(token.string)) != token.string:
            before = len(token.line[: token.start[1]].encode("utf-8", "surrogatepass"))
            after = before + len(token.string.encode("utf-8", "surrogatepass"))
            yield (token.start[0], before, token.end[0], after), told


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


def _place(node: ast.expr) -> _Place:
    return node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
