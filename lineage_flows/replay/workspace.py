"""Builds the folder a replay runs in: a mirror of the original's absolute paths that holds its code and the files it read.

Knows records, the store and how source trees are restored; must not know how the replay is executed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lineage_flows.capture.code import restore_source_tree
from lineage_flows.capture.file_content import folder_files, take
from lineage_flows.capture.folder_tree import BROAD_FOLDERS
from lineage_flows.compare.sources import NOT_CODE
from lineage_flows.errors import CodeNotRestorableError, HomeError, ReplayError
from lineage_flows.records import DatasetRef, RunRecord
from lineage_flows.replay.mirror import Places, real_path
from lineage_flows.replay.plan import Plan, touched
from lineage_flows.settings import Settings

if TYPE_CHECKING:
    from types import TracebackType

    from lineage_flows.content import Store

__all__ = ["WORKSPACE_PREFIX", "Workspace", "code_root", "places", "unusable"]

WORKSPACE_PREFIX = "lf-replay-"
_MIRROR = "w"
_LOCK = "lock"


class Workspace:
    """A folder of one replay; removed when it is left, unless it is to be kept.

    ``root`` mirrors the original's file system; beside it, in ``base``, lies what is the replay's own. A workspace whose
    process was killed is removed by the next replay: its lock is free.

    Raises:
        HomeError: the folder for temporary files cannot be used.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.keep = keep
        try:
            _remove_abandoned(Path(tempfile.gettempdir()))
            self.base = Path(tempfile.mkdtemp(prefix=WORKSPACE_PREFIX)).resolve()
            # Locked before it has its name: who looks for abandoned workspaces never finds a lock that is not held yet.
            self._lock = (self.base / "taken").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (self.base / "taken").rename(self.base / _LOCK)
            self.root = self.base / _MIRROR
            self.root.mkdir()
        except OSError as error:
            raise unusable(error) from error

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder, and let go of its lock."""
        if self.keep:
            (self.base / _LOCK).unlink(missing_ok=True)  # no lock file: never taken for abandoned
        else:
            _remove(self.base)
        self._lock.close()

    def at(self, path: str) -> Path:
        """Where a file of the original lies in the workspace."""
        return Path(f"{self.root}{path}")

    def build(self, plan: Plan, store: Store) -> None:
        """Restore everything the plan names; every blob is verified as it is read.

        Raises:
            BlobMissingError: a blob has gone since the plan was made.
            BlobAlteredError: the bytes of a blob are not those its name says.
            CodeNotRestorableError: the source tree cannot be laid out.
            ReplayError: a file that was not kept is no longer what it was.
            HomeError: the disk is full or the folder cannot be written.
        """
        try:
            self._restore_code(plan, store)
            for link in _links(self.root):
                self._enclose(link)
            for folder in self._folders(plan.record):
                self._folder(folder)
            for folder in plan.folders:
                self._folder(folder)
            for path, blob in plan.files.items():
                target = self._place(path)
                store.fetch(blob.digest, target)
            for path, dataset in plan.unkept.items():
                self._link(path, dataset)
        except OSError as error:
            raise unusable(error) from error

    # ------------------------------------------------------------------------------------------------ code

    def _restore_code(self, plan: Plan, store: Store) -> None:
        record = plan.record
        code = record.flow.code
        replaced = _stands_for(plan.code_path, record) if plan.code_path is not None else None
        if code is not None and code.blob is not None:
            restore_source_tree(code, store, self.root)
        if plan.code_path is not None and replaced is not None:
            target = self.at(replaced)
            _remove(target)
            ignored = shutil.ignore_patterns(*NOT_CODE)
            shutil.copytree(plan.code_path, target, symlinks=True, ignore=ignored, ignore_dangling_symlinks=True)
        entry = record.flow.entry.path or ""
        if not self.at(entry).is_file():
            raise CodeNotRestorableError(
                f"the code of run {record.flow.run_id} ({record.flow.run_name}) cannot be restored",
                why=f"the restored source tree does not hold {entry}",
            )

    def _enclose(self, link: Path) -> None:
        """Point a symbolic link at the workspace's copy of what it pointed at, so that none leads out."""
        target = str(link.readlink())
        here = str(link.parent)[len(str(self.root)) :]
        meant = os.path.normpath(target if target.startswith("/") else f"{here}/{target}")
        meant = meant[1:] if meant.startswith("//") else meant
        wanted = f"{self.root}{meant}"
        if target.startswith("/") or real_path(str(link.parent / target)) != wanted:
            link.unlink()
            link.symlink_to(wanted)

    # ------------------------------------------------------------------------------------------------ data

    def _folders(self, record: RunRecord) -> Iterable[str]:
        """Folders that were there in the original: those it worked in, imported from, and put files into."""
        yield record.flow.entry.working_directory
        yield from record.flow.entry.import_roots
        yield tempfile.gettempdir()
        yield from (os.path.dirname(item.path) for item in touched(record))  # noqa: PTH120 - exact text counts

    def _folder(self, path: str) -> Path:
        """Make a folder of the mirror; a link on the way that leads nowhere yet gets its target."""
        target = Path(real_path(str(self.at(path))))
        if not target.is_relative_to(self.root):
            raise ReplayError(
                f"{path} cannot be restored", why="a symbolic link of the source tree leads out of the workspace"
            )
        target.mkdir(parents=True, exist_ok=True)
        return target

    def _place(self, path: str) -> Path:
        """Where a file is to be written so that the name in the mirror leads to it."""
        parent, _, name = path.rpartition("/")
        target = Path(real_path(str(self._folder(parent or "/") / name)))
        if not target.is_relative_to(self.root):
            raise ReplayError(
                f"{path} cannot be restored", why="a symbolic link of the source tree leads out of the workspace"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _link(self, path: str, dataset: DatasetRef) -> None:
        """A file whose content was not kept is read where it lies, after its hash was checked."""
        source = Path(path)
        why = dataset.note or "its content was not kept"
        names: list[str] = []
        try:
            status = source.stat()
            seen = take(path, status, store=None, size_cap=0, cache=None) if dataset.fingerprint is not None else None
            found = seen.fingerprint if seen is not None else None
            if source.is_dir():
                names = [name for name, _ in folder_files(path)]
            present = True
        except OSError:
            found, present = None, False
        if dataset.fingerprint is not None and found != dataset.fingerprint:
            raise ReplayError(
                f"{path}, which the run read, cannot be restored",
                why=f"{why}, and {'the file now has other content' if present else 'it is not there any more'}",
                fix="put the file back as it was, or run the flow again with a larger LINEAGE_FLOWS_SIZE_CAP",
            )
        if not present:
            return
        if source.is_dir():
            self._folder(path)
        # A folder's files one by one: what is written into the folder must not come to lie in the original.
        for item in [path] if source.is_file() else [f"{path.rstrip('/')}/{name}" for name in names]:
            target = self._place(item)
            target.unlink(missing_ok=True)
            target.symlink_to(Path(item).resolve())


def code_root(record: RunRecord) -> str:
    """The folder the source tree stood in; without a tree, the flow file's own."""
    flow = record.flow
    return flow.code.root if flow.code is not None else os.path.dirname(flow.entry.path or "/")  # noqa: PTH120 - as above


def places(
    plan: Plan, workspace: Workspace, settings: Settings, store_url: str, interpreter: Iterable[str] = ()
) -> Places:
    """What the folders of the original and of this machine mean to the replay.

    Args:
        plan: what is replayed.
        workspace: where.
        settings: name the lineage home.
        store_url: where blobs lie.
        interpreter: folders of the interpreter that executes it; none for this one's own.
    """
    record = plan.record
    entry = record.flow.entry
    roots = [code_root(record), entry.working_directory, *entry.import_roots]
    roots.extend(module.root for module in (record.flow.code.modules if record.flow.code else ()))
    roots.extend(plan.folders)
    known = {item.path for item in touched(record)}
    folders = {os.path.dirname(path) for path in known}  # noqa: PTH120 - as above
    restored = {*plan.files, *plan.unkept}
    held = {*plan.folders, *(str(parent) for path in restored for parent in Path(path).parents)}
    there = (entry.working_directory, *entry.import_roots, tempfile.gettempdir())
    held |= {str(folder) for path in there for folder in (Path(path), *Path(path).parents)}
    made = {str(above) for folder in folders for above in (Path(folder), *Path(folder).parents)}
    written = {folder for folder in made - held if not _holds_files(workspace, folder)}
    return Places(
        workspace=str(workspace.root),
        roots=tuple(sorted({root.rstrip("/") for root in roots if _is_narrow(root)})),
        known=frozenset(known),
        listed=frozenset(folders | held),
        readable=_interpreter(interpreter),
        writable=_own_folders(workspace, settings, store_url),
        assumed=frozenset(written),
    )


def _holds_files(workspace: Workspace, folder: str) -> bool:
    """Whether anything in a folder of the mirror was restored: then it was there, and not only made for files to come."""
    walked = os.walk(workspace.at(folder))
    return any(names or any(os.path.islink(os.path.join(at, name)) for name in below) for at, below, names in walked)  # noqa: PTH114, PTH118 - as above


def _is_narrow(root: str) -> bool:
    """Whether a folder can be the workspace's alone; one that holds many people's or programs' files cannot."""
    folder = Path(root)
    shared = (Path.home(), Path(tempfile.gettempdir()))
    if not folder.is_absolute() or str(folder) in {*BROAD_FOLDERS, sys.prefix, sys.base_prefix}:
        return False
    return not any(path.is_relative_to(folder) for path in shared)


def _interpreter(other: Iterable[str]) -> tuple[str, ...]:
    """Python, its libraries and what is installed for it: code that the environment names by version, read where it is."""
    found = list(other)
    if not found:
        found.extend(path for name, path in sysconfig.get_paths().items() if name != "data")
        found.extend([*site.getsitepackages(), site.getusersitepackages()])
        if sys.prefix != sys.base_prefix:
            found.append(sys.prefix)
    found.append(str(Path(__file__).resolve().parents[1]))  # this package, when it is installed as editable
    return tuple(sorted({*found, *(real_path(path) for path in found)}))


def _own_folders(workspace: Workspace, settings: Settings, store_url: str) -> tuple[str, ...]:
    from prefect.settings import get_current_settings

    found = [str(workspace.base), str(settings.home), str(get_current_settings().home)]
    if store_url.startswith("/"):
        found.append(store_url)
    return tuple(sorted({*(path.rstrip("/") for path in found), *(real_path(path) for path in found)}))


def _stands_for(folder: Path, record: RunRecord) -> str:
    """Which folder of the original a folder with other code stands for: the one that has the flow's file at the same place.

    Raises:
        ReplayError: it does not hold the flow's file.
    """
    root, entry = code_root(record), record.flow.entry.path or ""
    parts = (
        Path(os.path.relpath(entry, root)).parts if entry.startswith(root.rstrip("/") + "/") else Path(entry).parts[-1:]
    )
    for depth in range(len(parts)):
        if folder.joinpath(*parts[depth:]).is_file():
            return os.path.normpath(os.path.join(root, *parts[:depth]))  # noqa: PTH118 - as above
    raise ReplayError(
        f"the folder {folder} does not hold the flow's code",
        why=f"neither {'/'.join(parts)} nor {parts[-1]} is in it",
        fix=f"name the folder that stands for {root}",
    )


def _links(root: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(root):
        found.extend(Path(parent, name) for name in (*folders, *names) if Path(parent, name).is_symlink())
    return found


def _remove(folder: Path) -> None:
    """Remove a folder, also where the flow took away the right to."""

    def retry(function: object, path: str, _: object) -> None:
        for name in (os.path.dirname(path), path):  # noqa: PTH120 - as above
            if not os.path.islink(name) and os.path.isdir(name):  # noqa: PTH112, PTH114 - as above
                os.chmod(name, 0o700)  # noqa: PTH101 - as above
        if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 - as above
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)

    if folder.exists():
        shutil.rmtree(folder, onerror=retry)


def _remove_abandoned(temporary: Path) -> None:
    """Remove workspaces of replays that were killed: nobody holds their lock."""
    for folder in temporary.glob(f"{WORKSPACE_PREFIX}*"):
        try:
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
        except OSError:
            continue  # somebody's, or somebody else's


def unusable(error: OSError) -> HomeError:
    """What to say when the folder of a replay cannot be made, written or filled any further."""
    return HomeError(
        f"the workspace of the replay cannot be used in {tempfile.gettempdir()}",
        why=f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else ""),
        fix="free space there, or set TMPDIR to a folder you can write to",
    )
