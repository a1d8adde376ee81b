"""Records a git work tree as a bundle with one commit that holds the files exactly as they lie on disk.

Knows the shadow repository and the store; ``code`` decides when this way is taken.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lineage_flows.capture.git import TREE_REF, Entry, Repository, Shadow, open_shadow
from lineage_flows.capture.paths import printable, without_credentials
from lineage_flows.capture.selection import MOST_UNTRACKED, Candidate, Selection, select, shortened
from lineage_flows.errors import CaptureError
from lineage_flows.records import BlobRef, SourceTree

if TYPE_CHECKING:
    from lineage_flows.capture.disk_cache import DiskCache
    from lineage_flows.content import Store

__all__ = ["BUNDLE_FORMAT", "CapturedTree", "capture_work_tree"]

BUNDLE_FORMAT = "git-bundle"
"""Format of a blob that holds a bundle."""


@dataclass(frozen=True, slots=True)
class CapturedTree:
    """A source tree and the paths in it, relative to its root."""

    tree: SourceTree
    members: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Survey:
    """The work tree as it lies on disk.

    ``submodules`` are with their commits; ``gone`` are tracked paths that are no files any more; ``nested`` other repositories.
    """

    files: tuple[Candidate, ...]
    submodules: tuple[tuple[str, str], ...]
    gone: tuple[str, ...]
    nested: tuple[str, ...]
    untracked: bool
    flagged: bool


def capture_work_tree(repository: Repository, *, store: Store, size_cap: int, cache: DiskCache) -> CapturedTree:
    """Record the work tree; the bundle is made only when the store does not have that tree yet.

    Raises:
        CaptureError: git cannot read the repository, or the tree is too large.
        OSError: files of the work tree or the repository cannot be read.
        LineageError: the store cannot be written.
    """
    with open_shadow(repository) as shadow:
        entries = shadow.entries()
        survey = _survey(shadow, entries, size_cap)
        selection = select(survey.files, size_cap, str(shadow.repository.root))
        exact = shadow.converts(entries)
        selection = _stage(shadow, survey, selection, fresh=exact or survey.flagged)
        tree = shadow.run("write-tree").decode().strip()
        commit, head_tree, branch = shadow.head()
        submodules = tuple(f"{printable(path)} (submodule at {commit})" for path, commit in survey.submodules)
        nested = tuple(f"{printable(path)} (another repository)" for path in survey.nested)
        dirty = tree != head_tree
        if dirty and commit is not None and not survey.untracked and (exact or selection.left_out):
            dirty = shadow.is_modified()
        return CapturedTree(
            SourceTree(
                digest=f"git:{tree}",
                format="git-bundle",
                root=str(repository.root),
                blob=_bundle(shadow, tree, store, cache),
                commit=commit,
                branch=branch,
                remote=_remote(shadow, branch),
                dirty=dirty,
                files=len(selection.kept),
                left_out=shortened((*selection.left_out, *submodules, *nested)),
            ),
            frozenset(selection.kept),
        )


def _survey(shadow: Shadow, entries: list[Entry], size_cap: int) -> _Survey:
    root = shadow.repository.root
    files: list[Candidate] = []
    gone: list[str] = []
    nested: list[str] = []
    linked: dict[str, bool] = {"": False}
    others = 0
    for entry in entries:
        if entry.is_submodule:
            continue
        if entry.path.endswith("/"):
            nested.append(entry.path)
            continue
        others += not entry.tracked
        if others > 2 * MOST_UNTRACKED and not entry.tracked and not Candidate(entry.path, 0).is_source:
            files.append(
                Candidate(entry.path, size_cap)
            )  # somebody's data: too many to look at each, and left out anyway
            continue
        try:
            status = os.lstat(root / entry.path)
            usable = stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
        except OSError:
            usable = False
        if usable and not _behind_link(root, entry.path, linked):
            files.append(Candidate(entry.path, status.st_size, entry.tracked))
        elif entry.tracked:
            gone.append(entry.path)
    return _Survey(
        files=tuple(files),
        submodules=tuple(
            (entry.path, shadow.commit_of(entry.path) or entry.object) for entry in entries if entry.is_submodule
        ),
        gone=tuple(gone),
        nested=tuple(nested),
        untracked=any(not entry.tracked for entry in entries),
        flagged=any(entry.flagged for entry in entries),
    )


def _behind_link(root: Path, path: str, linked: dict[str, bool]) -> bool:
    """Whether a folder on the way to ``path`` is a link: what lies behind it is not in the tree, and git refuses to look."""
    folder = path.rpartition("/")[0]
    if folder not in linked:
        linked[folder] = _behind_link(root, folder, linked) or (root / folder).is_symlink()
    return linked[folder]


def _stage(shadow: Shadow, survey: _Survey, selection: Selection, *, fresh: bool) -> Selection:
    """Bring the shadow's index to what was selected; files that the user may not read are left out.

    ``fresh`` reads every file again, where the user's index does not say what its bytes on disk are.
    """
    try:
        _fill(shadow, survey, selection, fresh=fresh)
    except CaptureError:
        # A file that cannot be read, or an index of a kind that cannot be borrowed (split, sparse): once more, from nothing.
        unreadable = [path for path in selection.kept if not os.access(shadow.repository.root / path, os.R_OK)]
        readable = tuple(path for path in selection.kept if path not in set(unreadable))
        notes = tuple(f"{printable(path)} (cannot be read)" for path in unreadable)
        selection = Selection(readable, selection.size, (*selection.left_out, *notes))
        _fill(shadow, survey, selection, fresh=True)
    return selection


def _fill(shadow: Shadow, survey: _Survey, selection: Selection, *, fresh: bool) -> None:
    if fresh:
        shadow.forget_index()
    else:
        kept = set(selection.kept)
        dropped = [*survey.gone, *(file.path for file in survey.files if file.tracked and file.path not in kept)]
        if dropped:
            shadow.run("update-index", "--force-remove", "-z", "--stdin", given=_listed(dropped))
    shadow.run("update-index", "--add", "--remove", "--replace", "-z", "--stdin", given=_listed(selection.kept))
    links = [f"160000 {commit}\t{path}" for path, commit in survey.submodules]
    if links:
        shadow.run("update-index", "--add", "-z", "--index-info", given=_listed(links))


def _listed(paths: tuple[str, ...] | list[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


def _bundle(shadow: Shadow, tree: str, store: Store, cache: DiskCache) -> BlobRef:
    key = f"{store.url} {tree}"
    known = cache.get("bundle", key)
    if known is not None:
        digest, _, size = known.partition(" ")
        if store.has(digest):
            return BlobRef(digest=digest, size=int(size), format=BUNDLE_FORMAT)
    commit = shadow.run("commit-tree", "-m", "lineage-flows: a source tree as it lay on disk", tree).decode().strip()
    shadow.run("update-ref", TREE_REF, commit)
    path = shadow.folder / "tree.bundle"
    shadow.run("bundle", "create", "-q", str(path), TREE_REF)
    digest, stored, _ = store.put_file(path)
    cache.put("bundle", key, f"{digest} {stored}")
    return BlobRef(digest=digest, size=stored, format=BUNDLE_FORMAT)


def _remote(shadow: Shadow, branch: str | None) -> str | None:
    """The URL of the remote that the branch follows, else of ``origin``, else of the first by name; without credentials."""
    urls = {
        key.removeprefix("remote.").removesuffix(".url"): value
        for key, value in sorted(shadow.settings.items())
        if key.startswith("remote.") and key.endswith(".url") and value
    }
    followed = shadow.settings.get(f"branch.{branch}.remote", "")
    name = next((name for name in (followed, "origin", *urls) if name in urls), None)
    return None if name is None else without_credentials(urls[name])
