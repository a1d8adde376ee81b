from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import pickle
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.capture import audit, before_runs, facts, file_content, file_rules, files
from lineage_flows.capture.disk_cache import DiskCache
from lineage_flows.capture.file_content import restore_content
from lineage_flows.capture.files import FileLog, Touched
from lineage_flows.capture.paths import from_uri
from lineage_flows.content import fingerprint, fingerprint_file, open_store
from lineage_flows.errors import ContentError
from lineage_flows.records import DatasetRef
from tests.support.dict_store import DictStore

CAP = 1 << 20


@pytest.fixture(autouse=True)
def watching() -> Iterator[None]:
    files.configure()
    audit.install()
    yield
    audit.pause()
    files.configure()


@pytest.fixture
def store() -> DictStore:
    return DictStore()


@contextlib.contextmanager
def run(log: FileLog) -> Iterator[list[Touched]]:
    """A run of ``log``; the list has what it touched, once it is over."""
    touched: list[Touched] = []
    with files.activate(log):
        yield touched
    touched.append(log.close())


def settled(path: Path, text: str) -> Path:
    """A file that was there long before."""
    path.write_text(text)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def said(touched: Touched) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(dataset.direction, Path(dataset.path).name, dataset.via) for dataset in touched.datasets]


# ---------------------------------------------------------------------------------------------------------- what is read


def test_a_file_is_read_as_it_was_before(tmp_path: Path, store: DictStore) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("one")
    expected = fingerprint_file(path)
    with run(FileLog(store, size_cap=CAP)) as touched:
        assert path.read_text() == "one"
        path.write_text("changed by the step itself")
    read, write = touched[0].datasets
    assert (read.direction, read.fingerprint, read.size) == ("read", *expected)
    assert read.blob is not None
    assert store.get(read.blob.digest) == b"one"
    assert (write.direction, write.fingerprint) == ("write", fingerprint_file(path)[0])
    assert write.blob is None
    assert read.order < write.order
    assert (read.uri, read.path, read.namespace, read.name) == (path.as_uri(), str(path), "file", str(path))
    assert touched[0].unrestorable == ()
    assert touched[0].errors == ()


def read_all_ways(path: Path) -> dict[str, object]:
    return {
        "open": lambda: open(path).close(),
        "bytes path": lambda: open(os.fsencode(path)).close(),
        "pathlib": lambda: path.read_bytes(),
        "io": lambda: open(str(path), "rb", buffering=0).close(),
        "os.open": lambda: os.close(os.open(path, os.O_RDONLY)),
        "opener": lambda: open(path, opener=os.open).close(),
        "np.fromfile": lambda: np.fromfile(path, dtype=np.uint8),
        "np.memmap": lambda: np.memmap(path, mode="r"),
        "pandas": lambda: __import__("pandas").read_csv(path, engine="python"),
        "shutil": lambda: shutil.copyfile(path, path.with_suffix(".copy")),
        "json": lambda: json.load(path.open()),
        "fsspec": lambda: __import__("fsspec").open(f"file://{path}", "rb").open().close(),
    }


@pytest.mark.parametrize("way", sorted(read_all_ways(Path())))
def test_every_way_to_read(tmp_path: Path, store: DictStore, way: str) -> None:
    path = tmp_path / "data.json"
    path.write_text('{"a": 1}\n')
    with run(FileLog(store, size_cap=CAP)) as touched:
        read_all_ways(path)[way]()  # type: ignore[operator]
    reads = [dataset for dataset in touched[0].datasets if dataset.direction == "read"]
    assert [(dataset.path, dataset.fingerprint) for dataset in reads] == [(str(path), fingerprint_file(path)[0])]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("r", ["read"]),
        ("r+", ["read", "write"]),
        ("a", ["read", "write"]),
        ("a+", ["read", "write"]),
        ("w", ["write"]),
        ("w+", ["write"]),
    ],
)
def test_modes_on_a_file_that_exists(tmp_path: Path, store: DictStore, mode: str, expected: list[str]) -> None:
    path = settled(tmp_path / "data", "before")
    with run(FileLog(store, size_cap=CAP)) as touched, open(path, mode) as file:
        if mode != "r":
            file.write("x")
    assert [dataset.direction for dataset in touched[0].datasets] == expected
    assert touched[0].datasets[-1].fingerprint == fingerprint_file(path)[0] or mode == "r"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (os.O_RDONLY, ["read"]),
        (os.O_WRONLY, ["write"]),
        (os.O_WRONLY | os.O_TRUNC, ["write"]),
        (os.O_WRONLY | os.O_APPEND, ["read", "write"]),
        (os.O_RDWR, ["read", "write"]),
        (os.O_RDWR | os.O_TRUNC, ["write"]),
        (os.O_RDWR | os.O_CREAT, ["read", "write"]),
    ],
)
def test_flags(tmp_path: Path, store: DictStore, flags: int, expected: list[str]) -> None:
    path = settled(tmp_path / "data", "before")
    with run(FileLog(store, size_cap=CAP)) as touched:
        descriptor = os.open(path, flags)
        if flags != os.O_RDONLY:
            os.write(descriptor, b"xyz")
        os.close(descriptor)
    assert [dataset.direction for dataset in touched[0].datasets] == expected


@pytest.mark.parametrize("mode", ["w", "x", "a", "w+"])
def test_a_new_file_is_written_only(tmp_path: Path, store: DictStore, mode: str) -> None:
    with run(FileLog(store, size_cap=CAP)) as touched, open(tmp_path / "new", mode) as file:
        file.write("x")
    assert said(touched[0]) == [("write", "new", ("open",))]


@pytest.mark.parametrize("mode", ["r+", "a"])
def test_what_was_not_changed_was_not_written(tmp_path: Path, store: DictStore, mode: str) -> None:
    path = settled(tmp_path / "data", "same")
    with run(FileLog(store, size_cap=CAP)) as touched:
        open(path, mode).close()
    assert said(touched[0]) == [("read", "data", ("open",))]


def write_past_python(path: Path) -> None:
    """As a library does in C or C++: no audit event tells of it."""
    libc = ctypes.CDLL(None)
    descriptor = libc.creat(os.fsencode(path), 0o644)
    assert libc.write(descriptor, b"tree\n", 5) == 5
    libc.close(descriptor)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    "append", [lambda p: open(p, "a"), lambda p: os.fdopen(os.open(p, os.O_WRONLY | os.O_APPEND), "w")]
)
def test_what_a_step_made_past_python_and_then_adds_to_is_not_its_input(tmp_path, store, append, there) -> None:
    path = tmp_path / "model.txt"
    if there:
        settled(path, "an older model")
    with run(FileLog(store, size_cap=CAP)) as touched:
        write_past_python(path)
        with append(path) as file:
            file.write("pandas_categorical:null\n")
    assert [(dataset.direction, dataset.fingerprint) for dataset in touched[0].datasets] == [
        ("write", fingerprint_file(path)[0])
    ]


def test_what_another_step_wrote_just_before_and_a_step_adds_to_is_its_input(tmp_path: Path, store: DictStore) -> None:
    path = tmp_path / "notes.txt"
    with run(FileLog(store, size_cap=CAP)) as first:
        path.write_text("one")
    other = FileLog(store, size_cap=CAP)
    with run(FileLog(store, size_cap=CAP)) as second, open(path, "a") as file:
        file.write("two")
    (written,) = first[0].datasets
    read, _ = second[0].datasets
    assert (read.direction, read.fingerprint) == ("read", written.fingerprint)
    # And so is what another wrote, or may still write, meanwhile.
    with run(other) as third:
        with files.activate(FileLog(store, size_cap=CAP)):
            path.write_text("three")
        with open(path, "a") as file:
            file.write("four")
    assert [dataset.direction for dataset in third[0].datasets] == ["read", "write"]


def test_lightgbm_s_model_file_is_written_only(tmp_path: Path, store: DictStore) -> None:
    import lightgbm

    features = np.arange(60.0).reshape(30, 2)
    data = lightgbm.Dataset(features, features[:, 0], params={"verbose": -1, "min_data_in_leaf": 2})
    model = lightgbm.train({"verbose": -1, "num_threads": 1}, data, 2)
    with run(FileLog(store, size_cap=CAP)) as touched:
        model.save_model(tmp_path / "model.txt")
    assert said(touched[0]) == [("write", "model.txt", ("open",))]


def test_what_could_not_be_opened_was_not_touched(tmp_path: Path, store: DictStore) -> None:
    (tmp_path / "there").write_text("x")
    with run(FileLog(store, size_cap=CAP)) as touched:
        for path, mode in [
            (tmp_path / "nothing", "r"),
            (tmp_path / "no" / "folder", "w"),
            (tmp_path / "there", "x"),
            (tmp_path, "r"),
        ]:
            with pytest.raises(OSError):
                open(path, mode)
    assert touched[0] == Touched()


def test_relative_paths_are_of_the_moment(tmp_path: Path, store: DictStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_text(name)
    with run(FileLog(store, size_cap=CAP)) as touched:
        monkeypatch.chdir(tmp_path / "a")
        open("data").close()
        monkeypatch.chdir(tmp_path / "b")
        open("../b/./data").close()
    assert [dataset.path for dataset in touched[0].datasets] == [str(tmp_path / "a/data"), str(tmp_path / "b/data")]


def test_a_working_directory_that_is_gone(tmp_path: Path, store: DictStore, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with run(FileLog(store, size_cap=CAP)) as touched, pytest.raises(FileNotFoundError):
        open("data")
    assert touched[0] == Touched()


def test_folders_by_descriptor(tmp_path: Path, store: DictStore) -> None:
    """Renaming and deleting tell the folder; ``os.open`` does not, and then nothing is made up."""
    (tmp_path / "data").write_text("x")
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with run(FileLog(store, size_cap=CAP)) as touched:
            os.close(os.open("data", os.O_RDONLY, dir_fd=folder))
            (tmp_path / "temporary").write_text("y")
            os.rename("temporary", "final", src_dir_fd=folder, dst_dir_fd=folder)
            (tmp_path / "scratch").write_text("z")
            os.unlink("scratch", dir_fd=folder)
    finally:
        os.close(folder)
    assert said(touched[0]) == [("write", "final", ("open", "os.rename"))]


def test_names_that_are_not_utf_8(tmp_path: Path, store: DictStore) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9 100%.csv"
    pathlib.Path(os.fsdecode(path)).write_text("x")
    with run(FileLog(store, size_cap=CAP)) as touched:
        open(path).close()
    (dataset,) = touched[0].datasets
    assert dataset.uri.endswith("/caf%E9%20100%25.csv")
    assert os.fsencode(from_uri(dataset.uri)) == path
    assert DatasetRef.model_validate_json(dataset.model_dump_json()) == dataset


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_name_keeps_its_uri(tmp_path: Path, name: str) -> None:
    if name in {".", ".."} or len(os.fsencode(name)) > 200 or not file_rules.shared.rules.counts(f"{tmp_path}/{name}"):
        return
    path = tmp_path / name
    path.write_text("x")
    log = FileLog(None, size_cap=CAP)
    with run(log) as touched:
        open(path).close()
    for dataset in touched[0].datasets:
        assert from_uri(dataset.uri) == str(path)
        assert dataset.uri == path.as_uri()
        dataset.model_dump_json()


def test_links_go_by_the_name_the_code_uses(tmp_path: Path, store: DictStore) -> None:
    (tmp_path / "v1.csv").write_text("x")
    (tmp_path / "current.csv").symlink_to("v1.csv")
    with run(FileLog(store, size_cap=CAP)) as touched:
        open(tmp_path / "current.csv").close()
    assert said(touched[0]) == [("read", "current.csv", ("open",))]


def test_what_is_no_regular_file_is_never_opened_by_us(tmp_path: Path, store: DictStore) -> None:
    os.mkfifo(tmp_path / "pipe")
    log = FileLog(store, size_cap=CAP)
    with run(log) as touched:
        descriptor = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        os.close(descriptor)
        open("/dev/null").close()
        open("/dev/null", "w").close()
        open("/proc/self/status").close()
        log.read("/dev/stdin", "open")
        os.listdir(tmp_path)
        os.close(os.open(tmp_path, os.O_RDONLY))
    assert touched[0].datasets == ()
    assert touched[0].unrestorable == (f"{tmp_path}/pipe: not a regular file", "standard input")


def test_descriptors_are_known_already(tmp_path: Path, store: DictStore) -> None:
    path = tmp_path / "data"
    path.write_text("x")
    with run(FileLog(store, size_cap=CAP)) as touched:
        descriptor = os.open(path, os.O_RDONLY)
        with open(descriptor) as file:
            file.read()
    assert said(touched[0]) == [("read", "data", ("os.open",))]


def test_code_packages_and_secrets_are_no_data(tmp_path: Path, store: DictStore) -> None:
    (tmp_path / "module.py").write_text("")
    (tmp_path / ".env").write_text("PASSWORD=hunter2")
    with run(FileLog(store, size_cap=CAP)) as touched:
        open(tmp_path / "module.py").close()
        open(os.__file__).close()
        open(Path(np.__file__).with_name("py.typed")).close()
        open(tmp_path / ".env").close()
    assert touched[0].datasets == ()
    assert touched[0].unrestorable == (f"{tmp_path}/.env: its name says it holds secrets",)
    assert store.blobs == {}


def test_ignored_folders_and_a_workspace_inside_them(tmp_path: Path, store: DictStore) -> None:
    home = tmp_path / "home"
    (home / "workspace").mkdir(parents=True)
    (home / "spool.db").write_text("x")
    (home / "workspace" / "data").write_text("x")
    files.configure(ignored=[str(home)], observed=[str(home / "workspace")])
    with run(FileLog(store, size_cap=CAP)) as touched:
        open(home / "spool.db").close()
        open(home / "workspace" / "data").close()
    assert said(touched[0]) == [("read", "data", ("open",))]


# -------------------------------------------------------------------------------------------------------- what is written


def test_a_file_that_was_replaced_by_a_rename(tmp_path: Path, store: DictStore) -> None:
    target = tmp_path / "result.csv"
    target.write_text("old")
    with run(FileLog(store, size_cap=CAP)) as touched:
        for move in (os.rename, os.replace, shutil.move, lambda a, b: Path(a).replace(b)):
            with tempfile.NamedTemporaryFile("w", dir=tmp_path, delete=False) as file:
                file.write(f"new {move}")
            move(file.name, target)
    (dataset,) = touched[0].datasets
    assert (dataset.direction, dataset.path) == ("write", str(target))
    assert dataset.fingerprint == fingerprint_file(target)[0]
    assert "os.rename" in dataset.via


def test_a_file_is_touched_when_it_is_first_read_and_last_written(tmp_path: Path, store: DictStore) -> None:
    (tmp_path / "prices").write_text("1")
    with run(FileLog(store, size_cap=CAP)) as touched:
        begin = facts.now()
        (tmp_path / "prices").read_text()
        first = facts.now()
        (tmp_path / "prices").read_text()
        (tmp_path / "report").write_text("draft")
        with (tmp_path / "journal").open("w") as journal:
            journal.write("opened early")
            middle = facts.now()
            (tmp_path / "report").write_text("final")
            end_of_writing = tick_later()
            journal.write(", closed late")
    end = facts.now()
    moments = {Path(dataset.path).name: dataset.touched or "" for dataset in touched[0].datasets}
    assert begin <= moments["prices"] <= first
    assert middle <= moments["report"] <= end
    assert end_of_writing <= moments["journal"]


def tick_later() -> str:
    """The moment after the file system's clock has gone on: what is written from here on has a later time stamp."""
    with tempfile.NamedTemporaryFile() as file:
        begin = os.stat(file.name).st_mtime_ns
        while os.stat(file.name).st_mtime_ns == begin:
            os.write(file.fileno(), b".")
    return facts.now()


def test_a_folder_was_written_when_the_call_that_writes_it_ended(tmp_path: Path, store: DictStore) -> None:
    log, folder = FileLog(store, size_cap=CAP), tmp_path / "parts"
    folder.mkdir()
    log.write(str(folder), "write_dataset", folders=True)
    with log.covering([str(folder)], [str(folder)]):
        (folder / "0").write_text("0")
        os.utime(folder, (0, 0))  # a folder's own time stamp says nothing of what is written into its files
        moment = facts.now()
    (dataset,) = log.close().datasets
    assert moment <= (dataset.touched or "") <= facts.now()


def test_a_time_stamp_of_another_file_or_of_the_future_is_not_believed(tmp_path: Path, store: DictStore) -> None:
    (tmp_path / "old").write_text("old")
    os.utime(tmp_path / "old", (0, 0))
    begin = facts.now()
    with run(FileLog(store, size_cap=CAP)) as touched:
        shutil.copy2(tmp_path / "old", tmp_path / "copy")
        (tmp_path / "late").write_text("late")
        os.utime(tmp_path / "late", (2**33, 2**33))
    read, *written = touched[0].datasets
    assert begin <= (read.touched or "") <= facts.now()
    assert [Path(dataset.path).name for dataset in written] == ["copy", "late"]
    for dataset in written:
        assert begin <= (dataset.touched or "") <= facts.now()


def test_a_file_read_at_import_is_touched_when_the_flow_begins(tmp_path: Path, store: DictStore) -> None:
    (tmp_path / "config").write_text("x")
    before_runs.remember_read(str(tmp_path / "config"))
    log = FileLog(store, size_cap=CAP)
    begin = facts.now()
    before_runs.adopt(log)
    (dataset,) = log.close().datasets
    assert dataset.via == ("import",)
    assert begin <= (dataset.touched or "") <= facts.now()


def test_names_that_a_library_draws_do_not_make_a_folder_another_dataset(tmp_path: Path, store: DictStore) -> None:
    def folder(name: str, files: dict[str, str]) -> str | None:
        for file, content in files.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(content)
        log = FileLog(store, size_cap=CAP)
        log.read(str(tmp_path / name), "read_table", folders=True)
        (dataset,) = log.close().datasets
        return dataset.fingerprint

    def named(first: str, second: str) -> dict[str, str]:
        return {f"s=A/{uuid.uuid4().hex}-0.parquet": first, f"s=A/part-{uuid.uuid4()}.parquet": second}

    table = folder("one", named("a", "b"))
    assert folder("two", named("a", "b")) == table
    assert folder("three", named("a", "c")) != table
    assert folder("four", {f"s=B/{name[4:]}": content for name, content in named("a", "b").items()}) != table
    assert folder("five", {**named("a", "b"), **named("a", "b")}) != table


def test_a_folder_that_was_renamed_takes_its_files_along(tmp_path: Path, store: DictStore) -> None:
    with run(FileLog(store, size_cap=CAP)) as touched:
        (tmp_path / "part").mkdir()
        (tmp_path / "part" / "a").write_text("a")
        (tmp_path / "part").rename(tmp_path / "whole")
    assert [dataset.path for dataset in touched[0].datasets] == [str(tmp_path / "whole" / "a")]


def test_a_file_of_others_that_is_moved_is_read_and_written(tmp_path: Path, store: DictStore) -> None:
    (tmp_path / "inbox").write_text("x")
    with run(FileLog(store, size_cap=CAP)) as touched:
        os.rename(tmp_path / "inbox", tmp_path / "archive")
        os.link(tmp_path / "archive", tmp_path / "second")
    assert said(touched[0]) == [
        ("read", "inbox", ("os.rename",)),
        ("write", "archive", ("os.rename",)),
        ("write", "second", ("os.link",)),
    ]


def test_temporary_files_leave_nothing(tmp_path: Path, store: DictStore) -> None:
    with run(FileLog(store, size_cap=CAP)) as touched:
        (tmp_path / "scratch").write_text("x")
        (tmp_path / "scratch").unlink()
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            Path(folder, "a").write_text("x")
            Path(folder, "sub").mkdir()
            Path(folder, "sub", "b").write_text("x")
            assert Path(folder, "a").read_text() == "x"
        with tempfile.TemporaryFile("w", dir=tmp_path) as file:
            file.write("x")
        with tempfile.NamedTemporaryFile("w", dir=tmp_path) as file:
            file.write("x")
    assert touched[0] == Touched()


def test_a_written_file_that_somebody_else_takes_away(tmp_path: Path, store: DictStore) -> None:
    with run(FileLog(store, size_cap=CAP)) as touched:
        (tmp_path / "out").write_text("x")
        with files.unobserved():
            (tmp_path / "out").unlink()
    (dataset,) = touched[0].datasets
    assert (dataset.fingerprint, dataset.note) == (None, "not fingerprinted: it was gone when the run ended")


def test_what_a_run_writes_and_reads_back_is_no_input(tmp_path: Path, store: DictStore) -> None:
    with run(FileLog(store, size_cap=CAP)) as touched:
        (tmp_path / "part").write_text("x")
        (tmp_path / "part").read_text()
        with open(tmp_path / "part", "a") as file:
            file.write("y")
    assert said(touched[0]) == [("write", "part", ("open",))]


def test_a_step_reads_what_another_wrote_under_the_same_identity(tmp_path: Path, store: DictStore) -> None:
    path = tmp_path / "features"
    with run(FileLog(store, size_cap=CAP)) as first:
        path.write_text("x")
    with run(FileLog(store, size_cap=CAP)) as second:
        path.read_text()
    written, read = first[0].datasets[0], second[0].datasets[0]
    assert (written.uri, written.fingerprint) == (read.uri, read.fingerprint)
    assert written.order < read.order


def test_written_contents_are_kept_when_asked(tmp_path: Path, store: DictStore) -> None:
    with run(FileLog(store, size_cap=CAP, keep_written=True)) as touched:
        (tmp_path / "out").write_text("result")
    blob = touched[0].datasets[0].blob
    assert blob is not None
    assert store.get(blob.digest) == b"result"


def test_two_versions_of_one_file(tmp_path: Path, store: DictStore) -> None:
    path = tmp_path / "ticks"
    path.write_text("one")
    with run(FileLog(store, size_cap=CAP)) as touched:
        path.read_text()
        with files.unobserved():
            path.write_text("two")
        path.read_text()
        path.read_text()
    assert [dataset.fingerprint for dataset in touched[0].datasets] == [
        "lf1:" + fingerprint(text).removeprefix("lf1:")
        for text in (b"one", b"two")  # type: ignore[union-attr]
    ]


def test_nothing_counts_after_the_end(tmp_path: Path, store: DictStore) -> None:
    (tmp_path / "late").write_text("x")
    log = FileLog(store, size_cap=CAP)
    with files.activate(log):
        first = log.close()
        open(tmp_path / "late").close()
    assert log.close() is first
    assert first == Touched()


def test_sqlite(tmp_path: Path, store: DictStore) -> None:
    path = tmp_path / "book.db"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE t (x)")
    with run(FileLog(store, size_cap=CAP)) as touched:
        sqlite3.connect(":memory:").close()
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            database.execute("SELECT * FROM t").fetchall()
    assert said(touched[0]) == [("read", "book.db", ("sqlite3",))]
    with run(FileLog(store, size_cap=CAP)) as touched, contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO t VALUES (1)")
    assert said(touched[0]) == [("read", "book.db", ("sqlite3",)), ("write", "book.db", ("sqlite3",))]


# --------------------------------------------------------------------------------------------------- contents and caches


def test_a_large_file_is_known_by_its_hash_and_not_kept(tmp_path: Path, store: DictStore) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(100))
    with run(FileLog(store, size_cap=99)) as touched:
        open(path).close()
    (dataset,) = touched[0].datasets
    assert (dataset.blob, dataset.fingerprint) == (None, fingerprint_file(path)[0])
    assert "over the size cap" in (dataset.note or "")
    assert touched[0].unrestorable == (f"{path}: not kept: 100 bytes are over the size cap of 99",)
    assert store.blobs == {}


def test_at_a_level_that_keeps_nothing_the_size_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(100))
    with run(FileLog(None, size_cap=10)) as touched:
        open(tmp_path / "large").close()
    assert touched[0].unrestorable == ()
    assert touched[0].datasets[0].blob is None


def test_a_full_disk_leaves_the_flow_alone(tmp_path: Path, store: DictStore) -> None:
    store.full = True
    (tmp_path / "data").write_text("x")
    with run(FileLog(store, size_cap=CAP)) as touched:
        assert (tmp_path / "data").read_text() == "x"
    (dataset,) = touched[0].datasets
    assert dataset.fingerprint == fingerprint_file(tmp_path / "data")[0]
    assert "no space left" in (dataset.note or "")
    assert len(touched[0].unrestorable) == 1


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, store: DictStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_content, "is_settled", lambda seen: True)
    files.configure(cache=DiskCache(tmp_path / "cache"))
    path = tmp_path / "data"
    path.write_text("x")
    with run(FileLog(store, size_cap=CAP)) as first:
        open(path).close()
    puts = store.puts
    file_content._recent.clear()  # as in another process
    with run(FileLog(store, size_cap=CAP)) as second:
        for _ in range(5):
            open(path).close()
    assert store.puts == puts
    assert first[0].datasets[0].blob == second[0].datasets[0].blob
    store.blobs.clear()
    with run(FileLog(store, size_cap=CAP)) as third:
        open(path).close()
    blob = third[0].datasets[0].blob
    assert blob is not None
    assert store.has(blob.digest)


def test_a_file_that_just_changed_is_always_read(tmp_path: Path, store: DictStore) -> None:
    path = tmp_path / "data"
    path.write_text("a")
    status = path.stat()
    with run(FileLog(store, size_cap=CAP)) as touched:
        open(path).close()
        with files.unobserved():
            path.write_text("b")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        open(path).close()
    assert len({dataset.fingerprint for dataset in touched[0].datasets}) == 2


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "growing"
    path.write_text("a")
    store = DictStore()
    put_file = store.put_file

    def slow(name: str | Path, **options: str | None) -> tuple[str, int, str]:
        found = put_file(name)
        with path.open("a") as file:
            file.write("more")
        return found

    monkeypatch.setattr(store, "put_file", slow)
    with run(FileLog(store, size_cap=CAP)) as touched:
        open(path).close()
    (dataset,) = touched[0].datasets
    assert dataset.note == "changed while it was being read"
    assert dataset.fingerprint == fingerprint(b"a")
    assert touched[0].unrestorable


@given(st.dictionaries(st.sampled_from(["a", "b", "x/a", "x/y/c", "_SUCCESS"]), st.binary(max_size=20), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_folder_is_the_set_of_its_files(tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]) -> None:
    root = tmp_path_factory.mktemp("folders")
    store = DictStore()
    for name, data in contents.items():
        (root / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "data" / name).write_bytes(data)
    log = FileLog(store, size_cap=CAP)
    log.read(str(root / "data"), "test", folders=True)
    (dataset,) = log.close().datasets
    assert dataset.fingerprint == fingerprint({name: fingerprint(data) for name, data in contents.items()})
    assert dataset.size == sum(map(len, contents.values()))
    assert dataset.blob is not None
    restore_content(dataset.blob, store, root / "again")
    found = {
        str(path.relative_to(root / "again")): path.read_bytes()
        for path in (root / "again").rglob("*")
        if path.is_file()
    }
    assert found == contents


def test_restoring_with_the_real_store(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "blobs"))
    (tmp_path / "data").write_bytes(b"12345")
    files.configure(ignored=[str(tmp_path / "blobs")])
    with run(FileLog(store, size_cap=CAP)) as touched:
        (tmp_path / "data").read_bytes()
    (dataset,) = touched[0].datasets
    assert dataset.blob is not None
    restore_content(dataset.blob, store, tmp_path / "deep" / "er" / "data")
    assert (tmp_path / "deep/er/data").read_bytes() == b"12345"


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_a_list_of_a_folder_that_leads_outside(tmp_path: Path, store: DictStore, name: str) -> None:
    evil, _ = store.put(b"evil")
    digest, size = store.put(json.dumps({"files": {name: {"digest": evil, "size": 4, "fingerprint": "x"}}}).encode())
    log = FileLog(store, size_cap=CAP)
    (tmp_path / "f").mkdir()
    log.read(str(tmp_path / "f"), "test", folders=True)
    (dataset,) = log.close().datasets
    assert dataset.blob is not None
    forged = dataset.model_copy(update={"blob": dataset.blob.model_copy(update={"digest": digest, "size": size})})
    assert forged.blob is not None
    with pytest.raises(ContentError, match="outside"):
        restore_content(forged.blob, store, tmp_path / "into" / "here")
    assert not (tmp_path / "evil").exists()


def test_in_a_replay_files_go_by_their_original_names(tmp_path: Path, store: DictStore) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "desk").mkdir(parents=True)
    (workspace / "desk" / "prices").write_text("x")

    def original(path: str) -> str:
        return path.removeprefix(str(workspace))

    with run(FileLog(store, size_cap=CAP, original_path=original)) as touched:
        (workspace / "desk" / "prices").read_text()
        (workspace / "desk" / "out").write_text("y")
    assert [(item.direction, item.path, item.uri) for item in touched[0].datasets] == [
        ("read", "/desk/prices", "file:///desk/prices"),
        ("write", "/desk/out", "file:///desk/out"),
    ]


# ------------------------------------------------------------------------------------------------- whose access it was


def test_the_inner_run_gets_it(tmp_path: Path, store: DictStore) -> None:
    for name in ("flow", "step", "after"):
        (tmp_path / name).write_text("x")
    with run(FileLog(store, size_cap=CAP)) as outer:
        open(tmp_path / "flow").close()
        with run(FileLog(store, size_cap=CAP)) as inner:
            open(tmp_path / "step").close()
        open(tmp_path / "after").close()
    assert [name for _, name, _ in said(outer[0])] == ["flow", "after"]
    assert [name for _, name, _ in said(inner[0])] == ["step"]


def test_threads_without_a_context(tmp_path: Path, store: DictStore) -> None:
    (tmp_path / "data").write_text("x")
    with (
        run(FileLog(store, size_cap=CAP)) as outer,
        run(FileLog(store, size_cap=CAP)) as inner,
        ThreadPoolExecutor(2) as pool,
    ):
        pool.submit(lambda: open(tmp_path / "data").close()).result()
    assert said(outer[0]) == []
    assert said(inner[0]) == [("read", "data", ("open",))]


def test_threads_without_a_context_when_several_steps_run(tmp_path: Path, store: DictStore) -> None:
    """The step cannot be known; the flow they all belong to can."""
    (tmp_path / "data").write_text("x")
    ready, done = threading.Barrier(3), threading.Event()
    logs = [FileLog(store, size_cap=CAP) for _ in range(2)]
    import contextvars

    def step(log: FileLog) -> None:
        with files.activate(log):
            ready.wait()
            done.wait()

    with run(FileLog(store, size_cap=CAP)) as flow:
        threads = [threading.Thread(target=contextvars.copy_context().run, args=(step, log)) for log in logs]
        for thread in threads:
            thread.start()
        ready.wait()
        plain = threading.Thread(target=lambda: open(tmp_path / "data").close())
        plain.start()
        plain.join()
        done.set()
        for thread in threads:
            thread.join()
    assert said(flow[0]) == [("read", "data", ("open",))]
    assert [log.close() for log in logs] == [Touched(), Touched()]


async def test_coroutines_at_once(tmp_path: Path, store: DictStore) -> None:
    import asyncio

    async def step(number: int) -> list[str]:
        log = FileLog(store, size_cap=CAP)
        with files.activate(log):
            for name in range(3):
                path = tmp_path / f"{number}-{name}"
                await asyncio.to_thread(path.write_text, "x")
                await asyncio.sleep(0)
        return [Path(dataset.path).name for dataset in log.close().datasets]

    found = await asyncio.gather(*(step(number) for number in range(5)))
    assert found == [[f"{number}-{name}" for name in range(3)] for number in range(5)]


def test_many_threads_in_one_run(tmp_path: Path, store: DictStore) -> None:
    for number in range(40):
        (tmp_path / str(number)).write_text(str(number))
    with run(FileLog(store, size_cap=CAP)) as touched, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: (tmp_path / str(number % 40)).read_text(), range(400)))
    assert len(touched[0].datasets) == 40
    assert touched[0].errors == ()


def test_a_forked_child_is_on_its_own(tmp_path: Path, store: DictStore) -> None:
    (tmp_path / "data").write_text("x")
    log = FileLog(store, size_cap=CAP)
    with run(log) as touched:
        child = os.fork()
        if child == 0:
            open(tmp_path / "data").close()
            os._exit(0 if log.close() == Touched() else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert touched[0].datasets == ()


def test_what_logging_and_this_project_do_is_not_the_flows(tmp_path: Path, store: DictStore) -> None:
    import logging

    with run(FileLog(store, size_cap=CAP)) as touched:
        handler = logging.FileHandler(tmp_path / "app.log")
        handler.emit(logging.makeLogRecord({"msg": "x"}))
        handler.close()
        with files.unobserved():
            (tmp_path / "ours").write_text("x")
    assert touched[0] == Touched()


def test_an_error_of_ours_never_reaches_the_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DictStore()
    monkeypatch.setattr(store, "put_file", lambda *_: 1 / 0)
    (tmp_path / "data").write_text("x")
    with run(FileLog(store, size_cap=CAP)) as touched:
        assert (tmp_path / "data").read_text() == "x"
    assert touched[0].errors == ("recording open: ZeroDivisionError: division by zero",)


def test_odd_arguments_fail_as_they_would_without_us(tmp_path: Path, store: DictStore) -> None:
    with run(FileLog(store, size_cap=CAP)) as touched:
        for argument in (object(), None, 3.5, "a\0b", b"a\0b", "", -1):
            with pytest.raises((TypeError, ValueError, OSError)):
                open(argument)  # type: ignore[call-overload]
        with pytest.raises(ValueError):
            open(tmp_path / "x", "rw")
    assert touched[0].datasets == ()


# --------------------------------------------------------------------------------------------- programs, networks, imports


def test_programs_are_named_and_harmless_ones_not(store: DictStore) -> None:
    with run(FileLog(store, size_cap=CAP)) as touched:
        subprocess.run(["true", "--token=secret"], check=True)
        subprocess.run("exit 0", shell=True, check=True)
        os.system("true secret")
        subprocess.run(["uname"], capture_output=True, check=True)
        import ctypes.util

        ctypes.util.find_library("c")
    assert touched[0].unrestorable == ("program true", "program sh")


def test_connections_are_named_by_the_host_that_was_asked_for(store: DictStore) -> None:
    with socket.socket() as server, run(FileLog(store, size_cap=CAP)) as touched:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        socket.create_connection(("localhost", port)).close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("127.0.0.1", 9))  # asks nothing
    assert touched[0].unrestorable == (f"network localhost:{port}",)


async def test_connections_of_the_flows_own_event_loop(store: DictStore) -> None:
    import asyncio

    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with run(FileLog(store, size_cap=CAP)) as touched:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    server.close()
    assert touched[0].unrestorable == (f"network 127.0.0.1:{port}",)


def test_reads_before_any_run_are_given_to_the_flow(tmp_path: Path, store: DictStore) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, pathlib, sys
            from lineage_flows.capture import audit, before_runs, files
            audit.install()
            folder = pathlib.Path(sys.argv[1])
            for name in ("stays", "changes", "goes", "again"):
                (folder / name).write_text(name)
            for name in ("stays", "changes", "goes"):
                open(folder / name).close()
            (folder / "changes").write_text("changed")
            (folder / "goes").unlink()
            def flow():
                log = files.FileLog(None, size_cap=1000)
                before_runs.adopt(log)
                found = log.close().datasets
                return sorted((pathlib.Path(item.path).name, item.fingerprint is not None, item.via[0]) for item in found)
            first = flow()
            with files.activate(files.FileLog(None, size_cap=1000)):
                open(folder / "again").close()
            print(json.dumps([first, flow()]))
            open(folder / "again").close()
            print(json.dumps(flow()))
            """
        )
    )
    done = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (first, second), third = (json.loads(line) for line in done.stdout.splitlines())
    assert first == [["changes", False, "import"], ["goes", False, "import"], ["stays", True, "import"]]
    assert second == first
    assert third == sorted([*first, ["again", True, "import"]])


def test_pickles_and_arrays(tmp_path: Path, store: DictStore) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(1))
    np.save(tmp_path / "b.npy", np.arange(3))
    with run(FileLog(store, size_cap=CAP)) as touched:
        pickle.loads((tmp_path / "a.pkl").read_bytes())
        np.load(tmp_path / "b.npy")
        np.save(tmp_path / "c.npy", np.arange(3))
    assert [(item.direction, Path(item.path).name) for item in touched[0].datasets] == [
        ("read", "a.pkl"),
        ("read", "b.npy"),
        ("write", "c.npy"),
    ]
    assert stat.S_ISREG((tmp_path / "c.npy").stat().st_mode)
