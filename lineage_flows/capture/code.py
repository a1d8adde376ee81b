"""Records the code of a run as it lies on disk: the source tree, and the modules loaded from outside of it.

Knows where code comes from; the ways to take it are ``git_tree`` and ``folder_tree``. Also names what ``functions`` and ``restore``
offer, so that all that concerns code is found here.
"""

# Paths are strings here: they may hold any bytes, and a Path for every open of the process costs too much.
# ruff: noqa: PTH109, PTH113, PTH116, PTH120

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import sysconfig
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from lineage_flows.capture.active import unobserved
from lineage_flows.capture.disk_cache import disk_cache
from lineage_flows.capture.folder_tree import TooLargeError, capture_files, capture_folder, store_file
from lineage_flows.capture.functions import function_ref
from lineage_flows.capture.git import find_repository
from lineage_flows.capture.git_tree import CapturedTree, capture_work_tree
from lineage_flows.capture.paths import absolute
from lineage_flows.capture.restore import restore_source_tree
from lineage_flows.errors import CaptureError
from lineage_flows.records import BlobRef, ModuleFile, SourceTree

if TYPE_CHECKING:
    from lineage_flows.capture.disk_cache import DiskCache
    from lineage_flows.content import Store

__all__ = ["capture_source_tree", "function_ref", "loaded_modules", "restore_source_tree"]

MODULE_FORMAT = "file"
"""Format of a blob that holds a module's source file."""

_NOT_PROJECT = frozenset({"prefect", "lineage_flows"})
_REMEMBERED = 16

_members: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()
_members_lock = threading.Lock()


def capture_source_tree(flow_file: str | None, *, store: Store, size_cap: int, cache: Path) -> SourceTree:
    """Record the project that a flow's file belongs to: the git work tree it lies in, else its folder.

    What cannot be taken whole is taken in part, and ``note`` says so: without git, or when git cannot read the repository, the
    folder; of a folder that is no project (a home, ``/tmp``), the flow's file and the project modules loaded from beside it.

    Args:
        flow_file: absolute path of the file that defines the flow; None for one typed into a notebook or an interactive session.
        store: where the tree goes.
        size_cap: bytes the tree may have.
        cache: folder in which digests are remembered from run to run; it lies in the lineage home, which is no part of a project.

    Raises:
        LineageError: the store cannot be written.
    """
    with unobserved():
        if flow_file is None or not os.path.isfile(flow_file):
            where = (
                "a notebook or an interactive session"
                if flow_file is None
                else f"{flow_file}, which is no file any more"
            )
            return _nothing(
                os.getcwd() if flow_file is None else os.path.dirname(flow_file), f"the flow is defined in {where}"
            )
        file = Path(absolute(flow_file) or flow_file)
        known = disk_cache(cache)
        captured = _capture(file, store, size_cap, known, ignored=cache.parent)
        _remember(captured)
        tree = captured.tree
        if tree.blob is None or os.path.relpath(file, tree.root) in captured.members:
            return tree
        # Ignored by git, or left out: the flow's own file is always kept.
        return tree.model_copy(update={"modules": (_module(str(file), str(file.parent), store, known),)})


def _capture(file: Path, store: Store, size_cap: int, cache: DiskCache, *, ignored: Path) -> CapturedTree:
    note = None
    repository = find_repository(file.parent)
    if repository is not None:
        try:
            return capture_work_tree(repository, store=store, size_cap=size_cap, cache=cache)
        except (CaptureError, OSError) as error:
            note = f"taken without git: {error}"
    try:
        return _noted(capture_folder(file.parent, store=store, size_cap=size_cap, cache=cache, ignored=[ignored]), note)
    except TooLargeError as error:
        note = f"{note}; {error}" if note else str(error)
    except CaptureError as error:
        return CapturedTree(_nothing(str(file.parent), str(error)), frozenset())
    beside = [
        os.path.relpath(path, file.parent) for path, _ in _project_modules() if path.startswith(f"{file.parent}/")
    ]
    try:
        return _noted(
            capture_files(file.parent, [file.name, *beside], store=store, size_cap=size_cap, cache=cache), note
        )
    except CaptureError as error:
        return CapturedTree(_nothing(str(file.parent), str(error)), frozenset())


def _noted(captured: CapturedTree, note: str | None) -> CapturedTree:
    if note is None:
        return captured
    return CapturedTree(captured.tree.model_copy(update={"note": note}), captured.members)


def _nothing(root: str, why: str) -> SourceTree:
    return SourceTree(digest=f"files:{hashlib.sha256(b'').hexdigest()}", format="files", root=root, note=why)


def _remember(captured: CapturedTree) -> None:
    """Which paths a tree has, for ``loaded_modules``: the bundle itself is not opened again."""
    with _members_lock:
        _members[captured.tree.digest, captured.tree.root] = captured.members
        while len(_members) > _REMEMBERED:
            _members.popitem(last=False)


def loaded_modules(tree: SourceTree, store: Store, *, cache: Path | None = None) -> tuple[ModuleFile, ...]:
    """Store the source files of loaded modules that ``tree`` does not hold: outside of its root, ignored by git, or made since.

    What ``tree.modules`` already names is among them.

    Modules of the interpreter, of installed packages, of Prefect and of this project are left out; packages installed in editable
    form from elsewhere are not.

    Args:
        tree: recorded by this process; of another process's tree, modules below its root are stored once more.
        store: where the files go.
        cache: folder in which digests are remembered from run to run.

    Raises:
        LineageError: the store cannot be written.
    """
    with _members_lock:
        members = _members.get((tree.digest, tree.root), frozenset())
    known = disk_cache(cache) if cache is not None else None
    found = {module.path: module for module in tree.modules}
    with unobserved():
        for path, root in _project_modules():
            if path.startswith(f"{tree.root}/") and os.path.relpath(path, tree.root) in members:
                continue
            with contextlib.suppress(OSError):  # a module whose file is gone runs from memory
                found[path] = _module(path, root, store, known)
    return tuple(found[path] for path in sorted(found))


def _module(path: str, root: str, store: Store, cache: DiskCache | None) -> ModuleFile:
    if cache is None:
        digest, size, _ = store.put_file(path)
    else:
        digest, size = store_file(Path(path), os.stat(path), store, cache)
    return ModuleFile(path=path, root=root, blob=BlobRef(digest=digest, size=size, format=MODULE_FORMAT))


def _project_modules() -> Iterator[tuple[str, str]]:
    """Source file and import root of each loaded module that is the user's, by path."""
    files: dict[str, str] = {}
    for name, module in sys.modules.copy().items():  # list() may be interrupted by an import elsewhere, a copy may not
        file = _source_of(module)
        if file is None or name.partition(".")[0] in _NOT_PROJECT or not os.path.isfile(file):
            continue
        root = _import_root(_dotted_name(name, module), file)
        # A package under its own name wins over the same file run as __main__.
        if file not in files or name != "__main__":
            files[file] = root
    return iter(sorted(files.items()))


def _source_of(module: object) -> str | None:
    """The user's ``.py`` file of an entry of ``sys.modules``; lazy modules are not asked, which would load them."""
    if not isinstance(module, ModuleType):
        return None
    file = vars(module).get("__file__")
    if not isinstance(file, str) or not file.endswith(".py") or not _is_users(file):
        return None
    return absolute(file)


def _dotted_name(name: str, module: ModuleType) -> str:
    spec = vars(module).get("__spec__")
    return str(getattr(spec, "name", None) or name)


def _import_root(name: str, file: str) -> str:
    """The folder from which ``import name`` finds the file; its own folder when the name says nothing about the path."""
    path = Path(file)
    parts = name.split(".")
    if path.name == "__init__.py":
        path = path.parent
    elif path.stem != parts[-1]:
        return str(path.parent)
    where = [*path.parts[:-1], path.stem if path.suffix == ".py" else path.name]
    if where[-len(parts) :] != parts:
        return str(path.parent)
    return str(Path(*where[: -len(parts)]))


def _is_users(file: str) -> bool:
    if "/site-packages/" in file or "/dist-packages/" in file:
        return False
    return not file.startswith(_library_folders())


@lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    names: Iterable[str] = ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
    return tuple(sorted({paths[name].rstrip("/") + "/" for name in names}))
