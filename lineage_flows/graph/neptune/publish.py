"""Where the files of an export go: a folder, or a prefix of an object store; whole or not at all.

Knows fsspec; must not know what the files hold. They are written into a folder of their own first. A local folder then gets its
name in one move. An object store knows no such move: the files are put one after another, and taken away again when one cannot be.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from lineage_flows.errors import GraphError

__all__ = ["published"]

_T = TypeVar("_T")

_FOREIGN_ERRORS = {"botocore.exceptions": ("BotoCoreError", "ClientError"), "aiohttp": ("ClientError",)}
"""Exceptions of remote file systems that are no OSError, by module; looked up where that module is loaded."""

_OPTIONS: dict[str, dict[str, Any]] = {"s3": {"use_listings_cache": False}}


def published(target: str | os.PathLike[str], write: Callable[[Path], _T]) -> tuple[str, _T]:
    """Have files written and put where they belong.

    Args:
        target: a path, or a URL that fsspec knows (``s3://bucket/prefix``). Nothing may be there: whatever lies beside the files
            of an export is loaded with them.
        write: writes them into an empty folder, and gives what is given back.

    Returns:
        The path or URL as it is to be named to others, of a URL with a slash at its end; and what ``write`` gave.

    Raises:
        GraphError: something is there already, or it cannot be written; nothing is left there.
    """
    text = os.fspath(target)
    if "://" in text and not text.startswith("file://"):
        return _to_store(text.rstrip("/") + "/", write)
    folder = Path(unquote(urlsplit(text).path) if "://" in text else text).absolute()
    return str(folder), _to_folder(folder, write)


def _to_folder(folder: Path, write: Callable[[Path], _T]) -> _T:
    with _explained(str(folder), (OSError,)):
        if folder.is_dir() and not any(folder.iterdir()):
            pass  # an empty folder is as good as none: the move below takes its place
        elif folder.exists():
            raise _taken(str(folder))
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _aside(folder.parent, ".lineage-flows-", 0o777) as aside:
            given = write(aside)
            try:
                aside.rename(folder)
            except OSError as error:
                if folder.exists() and any(folder.iterdir()):  # somebody else was faster
                    raise _taken(str(folder)) from error
                raise
            return given


def _to_store(url: str, write: Callable[[Path], _T]) -> tuple[str, _T]:
    with _explained(url):
        import fsspec

        # Not one of fsspec's shared instances: those do not notice that credentials or endpoint were changed.
        options = {"skip_instance_cache": True, **_OPTIONS.get(url.partition("://")[0], {})}
        fs, root = fsspec.core.url_to_fs(url, **options)
        root = root.rstrip("/")
        if fs.exists(root) and fs.find(root):
            raise _taken(url)
    scratch = tempfile.gettempdir()
    with _explained(scratch, (OSError,)), _aside(Path(scratch), "lineage-flows-", 0o700) as aside:
        given = write(aside)
        put: list[str] = []
        try:
            with _explained(url):
                for path in sorted(aside.iterdir()):
                    put.append(f"{root}/{path.name}")
                    fs.put_file(str(path), put[-1])
        except BaseException:
            for key in put:
                with contextlib.suppress(*_errors()):
                    fs.rm_file(key)
            raise
    return url, given


@contextlib.contextmanager
def _aside(parent: Path, prefix: str, mode: int) -> Iterator[Path]:
    """A new folder to write into, which goes unless it was moved away."""
    folder = parent / f"{prefix}{uuid.uuid4().hex}"
    folder.mkdir(mode=mode)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _explained(where: str, errors: tuple[type[BaseException], ...] | None = None) -> Iterator[None]:
    """Turn errors into one clear line; when none are named, those of the file system that serves a URL."""
    try:
        yield
    except BaseException as error:
        # Only now are the libraries loaded that say what may come of a URL.
        if not isinstance(error, _errors() if errors is None else errors):
            raise
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        fix = "check the folder, its rights and its free space"
        if "://" in where:
            fix = "check the URL, the credentials and the endpoint (AWS_ENDPOINT_URL)"
        if isinstance(error, ImportError):
            fix = "install what serves it: pip install 'lineage-flows[aws]'"
        raise GraphError(f"the export cannot be written to {where}", why=why, fix=fix) from error


def _errors() -> tuple[type[BaseException], ...]:
    found: list[type[BaseException]] = [ImportError, OSError, ValueError]
    for module, names in _FOREIGN_ERRORS.items():
        loaded = sys.modules.get(module)
        found.extend(getattr(loaded, name) for name in names if loaded is not None)
    return tuple(found)


def _taken(where: str) -> GraphError:
    return GraphError(
        f"{where} is not empty",
        why="whatever lies beside the files of an export is loaded with them",
        fix="name another place, or clear this one",
    )
