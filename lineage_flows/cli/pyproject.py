"""Turns Prefect's plugins on in a pyproject.toml, leaving every other byte of the user's file as it is.

Knows TOML; must not know the command line. Each edit is tried on the text and then proven: the result has to parse, and to say
exactly what the file said before and that one thing more. So no layout, string or comment of the user's can mislead it.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lineage_flows.errors import LineageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Outcome", "enable_plugins"]

Outcome = Literal["created", "changed", "unchanged"]

_TABLE = "tool.prefect.plugins"
_HEADER = re.compile(
    r"^[ \t]*\[[ \t]*tool[ \t]*\.[ \t]*prefect[ \t]*\.[ \t]*plugins[ \t]*\][^\n]*(?:\n|$)", re.MULTILINE
)
_ENABLED = re.compile(r"^([ \t]*enabled[ \t]*=[ \t]*)([^#\r\n]*?)([ \t]*(?:#[^\n]*)?\r?)$", re.MULTILINE)
_HINT = """
# What lineage-flows keeps, and where; every setting is optional (see its documentation).
# [tool.lineage_flows]
# level = "inputs"            # off, metadata, inputs or all
# home = "~/.lineage-flows"   # graph, spool and blobs
"""
_BY_HAND = f"write `enabled = true` under [{_TABLE}] yourself"


def enable_plugins(path: Path) -> Outcome:
    """Make sure that the file says ``[tool.prefect.plugins] enabled = true``; idempotent, and atomic.

    Args:
        path: the pyproject.toml, made when there is none.

    Raises:
        LineageError: the file is no valid TOML, cannot be read or written, or is laid out so that it is better edited by hand;
            it is then as it was.
    """
    target = path.resolve()
    before = _read(target)
    if before is None:
        _write(target, f"[{_TABLE}]\nenabled = true\n{_HINT}")
        return "created"
    after = with_plugins(before, path)
    if after == before:
        return "unchanged"
    _write(target, after)
    return "changed"


def with_plugins(text: str, path: Path) -> str:
    """The text of a pyproject.toml with Prefect's plugins enabled.

    Args:
        text: what it says now.
        path: its name, for errors.

    Raises:
        LineageError: see ``enable_plugins``.
    """
    wanted = _parsed(text, path)
    try:
        plugins = wanted.setdefault("tool", {}).setdefault("prefect", {}).setdefault("plugins", {})
        if plugins.get("enabled") is True:
            return text
        plugins["enabled"] = True
    except (AttributeError, TypeError):
        raise LineageError(f"{path} cannot be changed", why=f"{_TABLE} is no table in it", fix=_BY_HAND) from None
    for candidate in _candidates(text):
        try:
            if tomllib.loads(candidate, parse_float=str) == wanted:
                return candidate
        except tomllib.TOMLDecodeError:
            continue
    raise LineageError(f"{path} cannot be changed safely", why=f"of the way it lays out {_TABLE}", fix=_BY_HAND)


def _candidates(text: str) -> Iterator[str]:
    """Texts that may be what is wanted: a new value, a new line in the table, a new table at the end."""
    line_end = "\r\n" if "\r\n" in text else "\n"
    for header in _HEADER.finditer(text):
        start = header.end()
        for assignment in _ENABLED.finditer(text, start):
            yield text[: assignment.start()] + assignment.expand(r"\1true\3") + text[assignment.end() :]
        opening = "" if header.group().endswith("\n") else line_end
        yield text[:start] + f"{opening}enabled = true{line_end}" + text[start:]
    hint = "" if "tool.lineage_flows" in text else _HINT
    gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
    yield text + f"{gap}[{_TABLE}]\nenabled = true\n{hint}".replace("\n", line_end)


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        # Numbers as they are written: a NaN would not equal itself.
        return tomllib.loads(text, parse_float=str)
    except tomllib.TOMLDecodeError as error:
        raise LineageError(
            f"{path} is no valid TOML", why=str(error), fix="mend it first; nothing was written"
        ) from None


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise LineageError(f"{path} is no valid TOML", why=str(error), fix="save it as UTF-8 first") from None
    except OSError as error:
        raise _unusable(path, "read", error) from error


def _write(path: Path, text: str) -> None:
    """Write beside the file, then rename: whoever reads it meanwhile sees the old text or the new one."""
    try:
        mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as draft:
            try:
                draft.write(text.encode("utf-8"))
                draft.flush()
                os.fchmod(draft.fileno(), mode)
                Path(draft.name).replace(path)
            except BaseException:
                Path(draft.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise _unusable(path, "written", error) from error


def _unusable(path: Path, done: str, error: OSError) -> LineageError:
    fix = "see the permissions of the file and its folder, or run `lineage-flows init` elsewhere"
    return LineageError(f"{path} cannot be {done}", why=error.strerror or str(error), fix=fix)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
