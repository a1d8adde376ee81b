# every way of naming a file is the point, and each stands on a line
# ruff: noqa: RUF015, SIM105, UP015, UP020
"""Every way of naming a file in Python leads into the workspace, and none changes the desk."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.replay.mirror import Places, real_path
from lineage_flows.replay.redirect import Redirector

PUBLISHED = tuple(
    f"out/{name}" for name in ("renamed", "renamed/plots", "replaced", "replaced/plots", "moved", "moved/plots")
)


class Desk:
    """A project on the desk, its copy in a workspace, and a folder outside both."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.project = base / "desk" / "project"
        self.outside = base / "desk" / "outside"
        self.shared = base / "desk" / "shared"
        self.workspace = base / "workspace"
        for folder in (self.project / "sub", self.outside, self.shared):
            folder.mkdir(parents=True)
        (self.project / "data.txt").write_text("desk")
        (self.project / "unrecorded.txt").write_text("desk")
        (self.outside / "file.txt").write_text("outside")
        (self.shared / "prices.csv").write_text("desk")
        (self.shared / "other.csv").write_text("desk")
        for path, text in ((self.project / "data.txt", "kept"), (self.shared / "prices.csv", "kept")):
            copy = self.mine(path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
        (self.mine(self.project) / "sub").mkdir()
        (self.mine(self.project) / "out").mkdir()
        for name in PUBLISHED:
            (self.mine(self.project) / name).mkdir()
        (self.mine(self.project) / "source.txt").write_text("kept")

    def mine(self, path: Path | str) -> Path:
        return Path(f"{self.workspace}{path}")

    def places(self) -> Places:
        return Places(
            workspace=str(self.workspace),
            roots=(str(self.project),),
            known=frozenset({str(self.shared / "prices.csv"), str(self.shared / "gone.csv")}),
            listed=frozenset({str(self.shared)}),
            readable=(str(self.project / ".venv"),),
            writable=(str(self.base / "desk" / "home"),),
            assumed=frozenset(str(self.project / name) for name in ("out", *PUBLISHED)),
        )

    def snapshot(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.base)): path.read_text() if path.is_file() else ""
            for path in sorted((self.base / "desk").rglob("*"))
        }


@pytest.fixture
def desk(tmp_path: Path):
    made = Desk(Path(real_path(str(tmp_path))))
    before = made.snapshot()
    redirector = Redirector(made.places())
    here = os.getcwd()
    os.chdir(made.mine(made.project))
    redirector.install()
    try:
        yield made
    finally:
        redirector.uninstall()
        os.chdir(here)
    assert made.snapshot() == before, "a replay changed the desk"


READERS = {
    "open": lambda p: open(p).read(),
    "io.open": lambda p: io.open(p).read(),
    "keyword": lambda p: open(file=p, mode="r").read(),
    "bytes": lambda p: open(os.fsencode(p)).read(),
    "pathlib": lambda p: pathlib.Path(p).read_text(),
    "os.open": lambda p: os.read(os.open(p, os.O_RDONLY), 100).decode(),
    "fspath": lambda p: open(pathlib.PurePath(p)).read(),
    "dots": lambda p: open(
        f"{os.path.dirname(p)}/../{os.path.basename(os.path.dirname(p))}/{os.path.basename(p)}"
    ).read(),
    "slashes": lambda p: open("//" + p.lstrip("/").replace("/", "//")).read(),
    "dir_fd": lambda p: _by_folder(p),
    "scandir": lambda p: open(
        next(e.path for e in os.scandir(os.path.dirname(p)) if e.name == os.path.basename(p))
    ).read(),
    "walk": lambda p: [
        open(os.path.join(d, n)).read()
        for d, _, ns in os.walk(os.path.dirname(p))
        for n in ns
        if n == os.path.basename(p)
    ][0],
    "glob": lambda p: next(pathlib.Path(p).parent.glob(os.path.basename(p))).read_text(),
    "copy": lambda p: Path(shutil.copy(p, "copied.txt")).read_text(),
    "numpy": lambda p: bytes(np.fromfile(p, dtype="u1")).decode(),
    "chdir": lambda p: (os.chdir(os.path.dirname(p)), open(os.path.basename(p)).read())[1],
    "program": lambda p: (
        subprocess.run(
            [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read(), end='')", p],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    ),
}


def _by_folder(path: str) -> str:
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        return os.read(os.open(os.path.basename(path), os.O_RDONLY, dir_fd=folder), 100).decode()
    finally:
        os.close(folder)


@pytest.mark.parametrize("way", READERS)
@pytest.mark.parametrize("where", ["project", "shared"])
def test_a_captured_file_is_read_from_the_workspace(desk, way, where):
    path = desk.project / "data.txt" if where == "project" else desk.shared / "prices.csv"
    assert READERS[way](str(path)) == "kept"


def test_what_was_not_captured_of_the_project_does_not_exist(desk):
    path = desk.project / "unrecorded.txt"
    assert not path.exists()
    assert not os.access(path, os.R_OK)
    with pytest.raises(FileNotFoundError):
        open(path)
    assert sorted(os.listdir(desk.project)) == ["data.txt", "out", "source.txt", "sub"]


def test_a_folder_of_captured_files_lists_only_those(desk):
    assert os.listdir(desk.shared) == ["prices.csv"]
    assert [path.name for path in desk.shared.iterdir()] == ["prices.csv"]


def test_the_rest_of_the_machine_is_read_where_it_is(desk):
    assert (desk.outside / "file.txt").read_text() == "outside"
    assert os.listdir(desk.outside) == ["file.txt"]
    assert Path(sys.executable).exists()
    assert "desk" in os.listdir(desk.base)


def test_a_file_that_the_original_wrote_is_not_read_from_the_desk(desk):
    assert not (desk.shared / "gone.csv").exists()


WRITERS = {
    "open": lambda p: open(p, "w").write("new"),
    "append": lambda p: open(p, "a").write("new"),
    "exclusive": lambda p: open(p + ".x", "x").write("new"),
    "os.open": lambda p: os.close(os.open(p, os.O_WRONLY | os.O_CREAT)),
    "pathlib": lambda p: pathlib.Path(p).write_text("new"),
    "gzip": lambda p: gzip.open(p, "w").close(),
    "bz2": lambda p: bz2.open(p, "w").close(),
    "numpy": lambda p: np.save(p, np.zeros(2)),
    "tofile": lambda p: np.zeros(2).tofile(p),
    "copy": lambda p: shutil.copyfile("source.txt", p),
    "rename": lambda p: (Path("mine.txt").write_text("new"), os.rename("mine.txt", p)),
    "link": lambda p: os.link("data.txt", p + ".link"),
    "symlink": lambda p: os.symlink("data.txt", p + ".symlink"),
    "mkdir": lambda p: os.makedirs(p + ".d/deep"),
    "truncate": lambda p: (open(p, "w").write("newer"), os.truncate(p, 1)),
    "sqlite": lambda p: sqlite3.connect(p + ".db").execute("create table t (x)"),
    "sqlite bytes": lambda p: sqlite3.connect(os.fsencode(p) + b".db").execute("create table t (x)"),
    "touch": lambda p: pathlib.Path(p).touch(),
    "climb": lambda p: open("../" * 30 + p.lstrip("/"), "w").write("new"),
    "dir_fd": lambda p: os.close(
        os.open(os.path.basename(p), os.O_WRONLY | os.O_CREAT, dir_fd=os.open(os.path.dirname(p), os.O_RDONLY))
    ),
}


@pytest.mark.parametrize("way", WRITERS)
@pytest.mark.parametrize(
    "where", ["project/data.txt", "project/new.txt", "outside/file.txt", "outside/new.txt", "shared/prices.csv"]
)
def test_what_is_written_lands_in_the_workspace(desk, way, where):
    path = desk.base / "desk" / where
    WRITERS[way](str(path))
    written = [item for item in desk.mine(path.parent).iterdir() if item.name.startswith(path.name)]
    assert written, "nothing in the workspace"


REMOVERS = {
    "unlink": lambda p: os.unlink(p),
    "remove": lambda p: os.remove(path=p),
    "pathlib": lambda p: pathlib.Path(p).unlink(),
    "rename away": lambda p: os.rename(p, "taken.txt"),
    "rmtree": lambda p: shutil.rmtree(os.path.dirname(p)),
    "chmod": lambda p: os.chmod(p, 0),
    "dir_fd": lambda p: os.unlink(os.path.basename(p), dir_fd=os.open(os.path.dirname(p), os.O_RDONLY)),
}


@pytest.mark.parametrize("way", REMOVERS)
@pytest.mark.parametrize(
    "where", ["project/data.txt", "project/unrecorded.txt", "outside/file.txt", "shared/other.csv"]
)
def test_nothing_of_the_desk_can_be_removed(desk, way, where):
    try:
        REMOVERS[way](str(desk.base / "desk" / where))
    except OSError:
        pass  # not there in the workspace: the desk is what counts, and the fixture looks at it


def test_a_write_is_read_back_under_the_same_name(desk):
    for path in (desk.outside / "new.txt", desk.outside / "file.txt", desk.project / "out" / "x", Path("relative.txt")):
        path.write_text("mine")
        assert path.read_text() == "mine"
        assert path.stat().st_size == 4
    made = desk.outside / "folder"
    made.mkdir()
    (made / "a").write_text("")
    assert os.listdir(made) == ["a"]


def test_a_folder_made_for_the_originals_files_can_be_made_once(desk):
    os.mkdir(desk.project / "out")
    with pytest.raises(FileExistsError):
        os.mkdir(desk.project / "out")
    with pytest.raises(FileExistsError):
        os.mkdir(desk.project / "sub")


def test_a_folder_made_for_the_originals_files_gives_way_to_one_that_takes_its_name(desk):
    for name, take_name in (("renamed", os.rename), ("replaced", os.replace), ("moved", shutil.move)):
        with pytest.raises(OSError, match="not empty"):
            os.rmdir(desk.mine(desk.project / "out" / name))
        source = desk.project / f"{name}.part"
        source.mkdir()
        (source / "a.txt").write_text("1")
        take_name(str(source), str(desk.project / "out" / name))
        assert os.listdir(desk.project / "out" / name) == ["a.txt"]


def test_own_folders_are_written_where_they_are(desk):
    home = desk.base / "desk" / "home"
    assert not home.exists()
    redirector = Redirector(desk.places())
    assert redirector.serve(str(home / "spool.db"), True) == str(home / "spool.db")
    assert redirector.serve(str(desk.project / ".venv" / "x"), False) == str(desk.project / ".venv" / "x")
    assert redirector.serve(str(desk.project / ".venv" / "x"), True) == str(desk.mine(desk.project / ".venv" / "x"))


def test_a_link_to_a_large_file_is_copied_before_it_is_changed(desk):
    link = desk.mine(desk.project / "large.bin")
    os.symlink(str(desk.outside / "file.txt"), link)
    link.unlink()  # the redirector leads a link's target too: make it as the workspace is built
    subprocess.run(["ln", "-s", f"{desk.base}/desk/outside/file.txt", str(link)], check=True)
    path = desk.project / "large.bin"
    assert path.read_text() == "outside"
    with open(path, "a") as file:
        file.write("+")
    assert path.read_text() == "outside+"
    with open("large.bin") as file:
        assert file.read() == "outside+"


def test_temporary_files_and_descriptors_work(desk):
    with tempfile.TemporaryDirectory(dir=desk.workspace) as folder, tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"x")
        assert os.fstat(file.fileno()).st_size == 0
    descriptor = os.open("data.txt", os.O_RDONLY)
    with open(descriptor) as file:
        assert file.read() == "kept"
    assert open(0, closefd=False).fileno() == 0


def test_wrong_arguments_fail_as_they_always_did(desk):
    with pytest.raises(TypeError):
        open(1.5)
    with pytest.raises(ValueError, match="null"):
        open("a\0b")
    with pytest.raises(FileNotFoundError):
        open("")
    with pytest.raises(TypeError):
        os.rename("a")


def test_uninstalling_puts_pythons_own_functions_back(tmp_path):
    before = (open, io.open, os.open, os.stat, os.mkdir, sqlite3.connect, subprocess.Popen.__init__, bz2._builtin_open)
    redirector = Redirector(Places(workspace=str(tmp_path)))
    redirector.install()
    assert open is not before[0]
    redirector.uninstall()
    after = (open, io.open, os.open, os.stat, os.mkdir, sqlite3.connect, subprocess.Popen.__init__, bz2._builtin_open)
    assert after == before


_PARTS = st.lists(st.sampled_from(["a", "b", "..", ".", "project", "data.txt", ""]), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(parts=_PARTS, absolute=st.booleans())
def test_no_spelling_of_a_name_writes_outside_the_workspace(parts, absolute, tmp_path_factory):
    base = Path(real_path(str(tmp_path_factory.getbasetemp())))
    workspace = base / "spellings"
    (workspace / "home" / "project" / "a").mkdir(parents=True, exist_ok=True)
    redirector = Redirector(Places(workspace=str(workspace), roots=("/home/project",)))
    here = os.getcwd()
    os.chdir(workspace / "home" / "project")
    try:
        path = ("/" if absolute else "") + "/".join(parts)
        served = redirector.serve(path, True)
        if path:
            real = real_path(os.path.join(os.getcwd(), served))
            assert real == str(workspace) or real.startswith(f"{workspace}/"), (path, served)
    finally:
        os.chdir(here)
