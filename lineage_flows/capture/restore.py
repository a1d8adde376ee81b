"""Puts a recorded source tree back on disk, every file under its absolute path below a destination folder.

Knows the two formats of a tree and the store; must not know how a tree was taken, nor what is executed in it.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lineage_flows.capture.active import unobserved
from lineage_flows.capture.git import TREE_REF, Git
from lineage_flows.errors import CaptureError, CodeNotRestorableError, ContentError

if TYPE_CHECKING:
    from lineage_flows.content import Store
    from lineage_flows.records import SourceTree

__all__ = ["mirrored", "restore_source_tree"]

_NO_CONVERSION = "* -text !eol !crlf -ident -filter !working-tree-encoding\n"
_NO_CONFIGURATION = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ALLOW_PROTOCOL": "file"}


def restore_source_tree(tree: SourceTree, store: Store, destination_root: Path) -> None:
    """Restore a source tree and the modules that were loaded from outside of it: ``/a/b.py`` to ``<destination_root>/a/b.py``.

    Args:
        tree: as it was recorded.
        store: holds its blobs; each is verified before it is used.
        destination_root: an empty or new folder.

    Raises:
        CodeNotRestorableError: the tree was not kept, a blob is missing or altered, git is needed and missing, or a path leads
            outside of the destination.
    """
    if tree.blob is None:
        raise _error(tree, tree.note or "it was not kept")
    root = mirrored(tree.root, destination_root)
    try:
        with unobserved():
            root.mkdir(parents=True, exist_ok=True)
            restore = _restore_bundle if tree.format == "git-bundle" else _restore_files
            restore(tree, store, root)
            for module in tree.modules:
                target = mirrored(module.path, destination_root)
                _make_parent(target, destination_root)
                store.fetch(module.blob.digest, target)
    except (ContentError, CaptureError) as error:
        raise _error(tree, f"{error.what}: {error.why}" if error.why else error.what, error.fix) from error
    except OSError as error:
        raise _error(tree, f"{destination_root}: {error.strerror or error}") from error


def mirrored(path: str, destination_root: Path) -> Path:
    """Where an absolute path lies below the destination.

    Raises:
        CodeNotRestorableError: the path is not absolute, or leads upwards.
    """
    parts = PurePosixPath(path)
    if not parts.is_absolute() or ".." in parts.parts or "\0" in path:
        raise CodeNotRestorableError("the code cannot be restored", why=f"{path!r} leads outside of the workspace")
    return destination_root.joinpath(*parts.parts[1:])


def _restore_bundle(tree: SourceTree, store: Store, root: Path) -> None:
    program = shutil.which("git")
    if program is None:
        raise CaptureError("the code was kept as a git bundle, and git is not on PATH", fix="install git")
    assert tree.blob is not None
    with TemporaryDirectory(prefix="lineage-git-", ignore_cleanup_errors=True) as folder:
        bundle = Path(folder) / "tree.bundle"
        git_dir = Path(folder) / "git"
        store.fetch(tree.blob.digest, bundle)
        variables = {**_NO_CONFIGURATION, "GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(root)}
        git = Git(program, variables=variables, seconds=300)
        object_format = "sha256" if len(tree.digest.removeprefix("git:")) == 64 else "sha1"
        git.run("init", "-q", f"--object-format={object_format}", "--template=", cwd=root)
        (git_dir / "info").mkdir(exist_ok=True)
        (git_dir / "info" / "attributes").write_text(_NO_CONVERSION)
        options = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.autocrlf=false", "-c", "core.protectHFS=true")
        git.run(*options, "fetch", "-q", "--no-tags", str(bundle), f"{TREE_REF}:{TREE_REF}", cwd=root)
        found = git.run("rev-parse", f"{TREE_REF}^{{tree}}", cwd=root).decode().strip()
        if f"git:{found}" != tree.digest:
            raise CaptureError("the bundle holds another tree", why=f"git:{found} in place of {tree.digest}")
        git.run(*options, "read-tree", TREE_REF, cwd=root)
        git.run(*options, "checkout-index", "-q", "-a", "-f", cwd=root)


def _restore_files(tree: SourceTree, store: Store, root: Path) -> None:
    assert tree.blob is not None
    manifest = json.loads(store.get(tree.blob.digest))
    if manifest.get("format") != 1:
        raise CaptureError(
            "the list of files is of a format that this version does not know", fix="upgrade lineage-flows"
        )
    # Links last: no file is written through one.
    entries: list[dict[str, Any]] = sorted(
        manifest["files"], key=lambda entry: (entry["mode"] == "120000", entry["path"])
    )
    for entry in entries:
        target = _inside(entry["path"], root)
        _make_parent(target, root)
        if entry["mode"] == "120000":
            target.symlink_to(entry["target"])
        else:
            store.fetch(entry["digest"], target)
            target.chmod(0o755 if entry["mode"] == "100755" else 0o644)


def _inside(path: str, root: Path) -> Path:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or "\0" in path:
        raise CaptureError("the list of files cannot be trusted", why=f"{path!r} leads outside of the tree")
    return root / parts


def _make_parent(target: Path, root: Path) -> None:
    """The folder of a file to be written; not through a link that leads out of ``root``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or not target.parent.resolve().is_relative_to(root.resolve()):
        raise CaptureError(
            "the list of files cannot be trusted", why=f"{target} leads outside of {root} through a link"
        )


def _error(tree: SourceTree, why: str, fix: str = "") -> CodeNotRestorableError:
    return CodeNotRestorableError(f"the code in {tree.root} cannot be restored", why=why, fix=fix)
