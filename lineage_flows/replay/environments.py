"""The environments that replays run in, built once by uv and kept in the lineage home by the hash of what they consist of.

Knows locks, folders and the order of installing; must not know why an environment is wanted. A lock is held shared as long as an
environment is used and alone while it is built or removed; one without its mark (``ready.json``) is half built, and never used.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from lineage_flows.capture.restore import mirrored, restore_source_tree
from lineage_flows.errors import HomeError, LineageError, ReplayError
from lineage_flows.record_base import Frozen
from lineage_flows.replay.installing import Installer
from lineage_flows.replay.uv import UvError

if TYPE_CHECKING:
    from lineage_flows.content import Store
    from lineage_flows.record_code import SourceTree
    from lineage_flows.replay.wanted import Wanted

__all__ = ["Built", "KeptEnvironment", "Rebuilder", "environments", "folder_of", "is_ready", "remove_environment"]

_MARK = "ready.json"
_POLL = 0.1


class Built(Frozen):
    """An environment that is whole.

    Attributes:
        digest: of what it consists of; the name of its folder.
        python: its interpreter's path.
        version: its Python's version, with its patch.
        paths: where its interpreter, its libraries and its packages lie.
        site: the folder of its packages.
        packages: how many were installed.
        seconds: what building it took.
        notes: what whoever uses it should know.
    """

    digest: str
    python: str
    version: str
    paths: tuple[str, ...]
    site: str
    packages: int
    seconds: float
    notes: tuple[str, ...] = ()


class KeptEnvironment(Frozen):
    """An environment as a home keeps it.

    Attributes:
        digest: its name.
        python: the version of its Python; empty when it is half built, as one whose build was interrupted is.
        packages: how many were installed.
        size: bytes of its files; those that it shares with uv's cache count, too.
        used: when a replay last used it, in seconds since 1970.
    """

    digest: str
    python: str
    packages: int
    size: int
    used: float


class Rebuilder:
    """Builds environments in a home.

    Args:
        home: the lineage home.
        uv: the program.
        downloads: whether uv may download an interpreter.
        timeout: seconds that waiting for another's build, and each call of uv, may take; None for no limit.
        on_wait: called once when another process is found to build the same environment.
    """

    def __init__(
        self,
        home: Path,
        uv: str,
        *,
        downloads: bool = False,
        timeout: float | None = None,
        on_wait: Callable[[], None] | None = None,
    ) -> None:
        self._home = home
        self._uv = uv
        self._downloads = downloads
        self._timeout = timeout
        self._on_wait = on_wait or (lambda: None)

    @contextlib.contextmanager
    def environment(self, wanted: Wanted, tree: SourceTree | None, store: Store) -> Iterator[Built]:
        """The environment, built now or found; nobody removes it while the block runs.

        Args:
            wanted: what it consists of.
            tree: the captured source that local packages are built from.
            store: holds the tree and the wheels that were kept.

        Raises:
            ReplayError: uv could not build it, or another process did not in time.
            ContentError: a wheel or the tree is missing or altered.
            HomeError: the home cannot be written.
        """
        folder = folder_of(self._home, wanted.digest)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = _lock_path(folder).open("a")
        except OSError as error:
            raise _unwritable(folder, error) from error
        with lock:
            yield self._take(lock, folder, wanted, tree, store)

    def _take(self, lock: IO[str], folder: Path, wanted: Wanted, tree: SourceTree | None, store: Store) -> Built:
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            self._wait(lock, fcntl.LOCK_SH, deadline)
            built = _ready(folder)
            if built is not None:
                with contextlib.suppress(OSError):
                    os.utime(folder / _MARK)  # when it was last used
                return built
            fcntl.flock(lock, fcntl.LOCK_UN)
            self._wait(lock, fcntl.LOCK_EX, deadline)
            if _ready(folder) is None:
                self._build(lock, folder, wanted, tree, store)
            # The change to a shared lock lets others in between: looked at once more.

    def _wait(self, lock: IO[str], kind: int, deadline: float | None) -> None:
        told = False
        while True:
            try:
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    self._on_wait()
                    told = True
                if deadline is not None and time.monotonic() > deadline:
                    raise ReplayError(
                        "the environment cannot be rebuilt",
                        why=f"another process was still building it after {self._timeout:g} seconds",
                        fix="give it more time",
                    ) from None
                time.sleep(_POLL)
            else:
                return

    def _build(self, lock: IO[str], folder: Path, wanted: Wanted, tree: SourceTree | None, store: Store) -> None:
        started = time.monotonic()
        # uv inherits the lock: killed while uv works, we leave it held until uv has ended, and nobody builds beside it.
        installer = Installer(self._uv, folder, self._downloads, self._timeout, lock.fileno())
        try:
            _remove(folder)
            folder.mkdir()
            notes = installer.make(wanted)
            if wanted.local:
                assert tree is not None  # it is what they were found in
                source = folder / "source"
                restore_source_tree(tree, store, source)
                installer.build([str(mirrored(item.folder, source)) for item in wanted.local])
                shutil.rmtree(source)
            installer.install(wanted, store)
            notes += installer.add_tool(wanted)
            facts = installer.facts()
            built = Built(
                digest=wanted.digest,
                python=str(installer.python),
                version=facts["version"],
                paths=tuple(facts["paths"]),
                site=facts["site"],
                packages=len(wanted.pinned) + len(wanted.kept) + len(wanted.local),
                seconds=round(time.monotonic() - started, 3),
                notes=tuple(notes),
            )
            part = folder / f"{_MARK}.part"
            part.write_text(built.model_dump_json())
            part.rename(folder / _MARK)
        except OSError as error:
            _remove(folder)
            raise _unwritable(folder, error) from error
        except (UvError, LineageError):
            _remove(folder)
            raise


def folder_of(home: Path, digest: str) -> Path:
    """Where an environment lies."""
    return home / "environments" / digest


def is_ready(home: Path, digest: str) -> bool:
    """Whether an environment is there and whole."""
    return _ready(folder_of(home, digest)) is not None


def environments(home: Path) -> tuple[KeptEnvironment, ...]:
    """Every environment of a home, half built ones too; the one that was used last comes first."""
    found = []
    for lock in (home / "environments").glob("*.lock"):
        folder = lock.with_suffix("")
        if not folder.is_dir():
            continue
        built = _ready(folder)
        with contextlib.suppress(OSError):
            found.append(
                KeptEnvironment(
                    digest=folder.name,
                    python=built.version if built is not None else "",
                    packages=built.packages if built is not None else 0,
                    size=_size(folder),
                    used=(folder / _MARK if built is not None else folder).stat().st_mtime,
                )
            )
    return tuple(sorted(found, key=lambda item: -item.used))


def remove_environment(home: Path, digest: str) -> bool:
    """Remove an environment, or what is left of one that was half built. False when a replay is using it.

    Raises:
        HomeError: it cannot be removed.
    """
    folder = folder_of(home, digest)
    try:
        with _lock_path(folder).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            (folder / _MARK).unlink(missing_ok=True)  # first of all: what is half removed is never used
            _remove(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return True


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _ready(folder: Path) -> Built | None:
    """The environment in a folder when it is whole, and its interpreter is still there."""
    try:
        built = Built.model_validate_json((folder / _MARK).read_bytes())
    except (OSError, ValidationError, json.JSONDecodeError):
        return None
    return built if Path(built.python).exists() else None


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - many files
    return total


def _unwritable(folder: Path, error: OSError) -> HomeError:
    detail: Any = error.strerror or error
    return HomeError(
        f"the environment {folder} cannot be made or removed",
        why=f"{detail}" + (f" ({error.filename})" if error.filename else ""),
        fix="free space, or point LINEAGE_FLOWS_HOME at a folder you can write to; `--env current` needs none",
    )
