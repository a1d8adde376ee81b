"""No file is touched that the record does not tell: what the interpreter opens is counted apart, and compared with the datasets."""

from __future__ import annotations

import contextlib
import gzip
import io
import mmap
import os
import shutil
import sqlite3
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.capture import audit, files
from lineage_flows.capture.active import unobserved
from lineage_flows.capture.files import FileLog, Touched
from lineage_flows.content import open_store

NAMES = ("a.csv", "b.npy", "ünïcode.txt", "d")
_opened: set[tuple[str, bytes]] = set()
_counting = False


def _count(event: str, args: tuple[object, ...]) -> None:
    """A second audit hook, which knows nothing of the first: what is opened to be read, and what is in it then."""
    global _counting
    if not _counting or event != "open" or not isinstance(args[0], str | bytes):
        return
    flags = args[2] if isinstance(args[2], int) else 0
    if flags & os.O_ACCMODE == os.O_WRONLY or flags & (os.O_TRUNC | os.O_DIRECTORY):
        return
    path = os.path.abspath(os.fsdecode(args[0]))
    if os.path.isfile(path):
        _counting = False
        with unobserved():
            _opened.add((path, Path(path).read_bytes()))
        _counting = True


@pytest.fixture(autouse=True, scope="module")
def watched() -> Iterator[None]:
    audit.install()
    sys.addaudithook(_count)
    yield
    audit.pause()


def read_text(path: Path, _other: Path) -> None:
    path.read_bytes()


def read_by_descriptor(path: Path, _other: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.read(handle, 10)
    os.close(handle)


def read_relative(path: Path, _other: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with open(path.name, "rb") as file:
            file.read(3)
    finally:
        os.chdir(here)


def read_mapped(path: Path, _other: Path) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        bytes(mapped[:4])


def read_array(path: Path, _other: Path) -> None:
    np.fromfile(path, dtype="u1")


def read_by_bytes_name(path: Path, _other: Path) -> None:
    io.FileIO(os.fsencode(path)).read()


def write(path: Path, _other: Path) -> None:
    path.write_bytes(os.urandom(20))


def append(path: Path, _other: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def change(path: Path, _other: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1)
        file.write(b"X")


def save_array(path: Path, _other: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.arange(len(path.name)))


def truncate(path: Path, _other: Path) -> None:
    os.truncate(path, 3)


def pack(path: Path, other: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(other, "inside")


def squeeze(path: Path, other: Path) -> None:
    with gzip.open(path, "wb") as file:
        file.write(other.read_bytes())


def copy(path: Path, other: Path) -> None:
    shutil.copyfile(other, path)


def move(path: Path, other: Path) -> None:
    os.replace(other, path)


def move_between_folders(path: Path, other: Path) -> None:
    shutil.move(str(other), str(path.parent / "moved"))


def swap_in(path: Path, _other: Path) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent)
    os.write(handle, os.urandom(9))
    os.close(handle)
    os.replace(name, path)


def scratch(path: Path, _other: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent) as file:
        file.write(b"gone soon")


def remove(path: Path, _other: Path) -> None:
    path.unlink()


def hard_link(path: Path, other: Path) -> None:
    path.unlink()
    os.link(other, path)
    path.read_bytes()


def soft_link(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)
    path.read_bytes()


def database(path: Path, _other: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("create table t (x)")
    connection.close()


OPERATIONS: tuple[Callable[[Path, Path], None], ...] = (
    *(read_text, read_by_descriptor, read_relative, read_mapped, read_array, read_by_bytes_name, write, append, change),
    *(save_array, truncate, pack, squeeze, copy, move, move_between_folders, swap_in, scratch, remove),
    *(hard_link, soft_link, database),
)


LINKING = (hard_link, soft_link, move, move_between_folders)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.iterdir() if path.is_file()}


def told(touched: Touched, direction: str) -> set[str]:
    return {item.path for item in touched.datasets if item.direction == direction}


def names(path: str, steps: list[tuple[Callable[[Path, Path], None], str, str]]) -> set[str]:
    """The names that one file had: what is written by one of them changes what lies under the others, and is told of the one."""
    found = {Path(path).name}
    for _ in steps:
        found |= {
            name for operation, *pair in steps if operation in LINKING and found & {*pair} for name in (*pair, *found)
        }
    return {str(Path(path).with_name(name)) for name in found}


@given(
    st.lists(
        st.tuples(st.sampled_from(OPERATIONS), st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=1, max_size=7
    )
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_file_that_was_read_or_changed_is_told(tmp_path_factory, steps):
    global _counting
    folder = tmp_path_factory.mktemp("data").resolve()
    for number, name in enumerate(NAMES):
        (folder / name).write_bytes(f"before {number}\n".encode() * 3)
    before = contents(folder)
    log = FileLog(open_store(str(tmp_path_factory.mktemp("store"))), size_cap=1 << 20, keep_written=True)
    _opened.clear()
    with files.activate(log):
        for operation, name, other in steps:
            _counting = True
            with contextlib.suppress(OSError, ValueError):  # it was removed meanwhile, is empty, or is the same file
                operation(folder / name, folder / other)
            _counting = False
    touched = log.close()
    after = contents(folder)

    assert not touched.errors
    for path, data in after.items():
        if before.get(path) != data:
            assert names(path, steps) & told(touched, "write"), f"{path} was changed, and nobody says so"
    for path, data in _opened:
        if before.get(path) == data:
            assert names(path, steps) & told(touched, "read"), f"{path} was read, and nobody says so"
    kept = {item.path: item.blob for item in touched.datasets if item.direction == "write" and item.fingerprint}
    for path, blob in kept.items():
        if path in after and blob is not None:
            assert blob.size == len(after[path])
