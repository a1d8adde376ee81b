from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.capture import code, folder_tree, git
from lineage_flows.capture.code import capture_source_tree, loaded_modules, restore_source_tree
from lineage_flows.capture.selection import Candidate, select
from lineage_flows.errors import CaptureError, CodeNotRestorableError, HomeError
from lineage_flows.records import BlobRef, ModuleFile, SourceTree
from tests.support.dict_store import DictStore

CAP = 1 << 20


def run_git(folder: Path, *arguments: str, **variables: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
        **variables,
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def store() -> DictStore:
    return DictStore()


@pytest.fixture(autouse=True)
def global_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own git settings, empty until a test writes some."""
    path = tmp_path / "gitconfig"
    path.write_text("")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    return path


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with two committed files."""
    root = tmp_path / "project"
    (root / "lib").mkdir(parents=True)
    (root / "flow.py").write_text("import lib.helper\n")
    (root / "lib" / "helper.py").write_text("X = 1\n")
    run_git(root, "init", "-q", "-b", "main")
    run_git(root, "add", "-A")
    run_git(root, "commit", "-q", "-m", "one")
    return root


def capture(flow: Path, store: DictStore, tmp_path: Path, *, cap: int = CAP) -> SourceTree:
    return capture_source_tree(str(flow), store=store, size_cap=cap, cache=tmp_path / "home" / "cache")


def restored(tree: SourceTree, store: DictStore, tmp_path: Path) -> dict[str, tuple[str, bytes]]:
    destination = tmp_path / f"workspace-{len(list(tmp_path.glob('workspace-*')))}"
    restore_source_tree(tree, store, destination)
    return contents(destination / tree.root.lstrip("/"))


def contents(root: Path) -> dict[str, tuple[str, bytes]]:
    """Kind and bytes of every file below a folder, ``.git`` left out."""
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        for name in [*names, *(item for item in folders if (Path(folder) / item).is_symlink())]:
            path = Path(folder) / name
            relative = str(path.relative_to(root))
            if path.is_symlink():
                found[relative] = ("link", os.fsencode(os.readlink(path)))
            else:
                executable = path.stat().st_mode & stat.S_IXUSR
                found[relative] = ("program" if executable else "file", path.read_bytes())
    return found


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Times and bytes of all that lies in a folder, to see that nothing touched it."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


# ------------------------------------------------------------------------------------------------------------ with git


def test_a_clean_tree_is_known_by_its_commit(repo: Path, store: DictStore, tmp_path: Path) -> None:
    run_git(repo, "remote", "add", "origin", "https://me:token@git.example.org/desk/project.git?x=1")
    tree = capture(repo / "flow.py", store, tmp_path)
    assert tree.format == "git-bundle"
    assert tree.digest == "git:" + run_git(repo, "rev-parse", "HEAD^{tree}")
    assert tree.commit == run_git(repo, "rev-parse", "HEAD")
    assert (tree.branch, tree.dirty, tree.files, tree.left_out, tree.note) == ("main", False, 2, (), None)
    assert tree.remote == "https://git.example.org/desk/project.git"
    assert restored(tree, store, tmp_path) == contents(repo)


def test_everything_uncommitted_comes_back_exactly(repo: Path, store: DictStore, tmp_path: Path) -> None:
    (repo / "gone.py").write_text("gone")
    (repo / "data.bin").write_bytes(bytes(range(256)))
    run_git(repo, "add", "-A")
    run_git(repo, "commit", "-q", "-m", "two")
    (repo / "flow.py").write_text("staged = 1\n")
    run_git(repo, "add", "flow.py")
    (repo / "flow.py").write_text("edited_after_staging = 1\n")
    (repo / "gone.py").unlink()
    (repo / "data.bin").write_bytes(bytes(reversed(range(256))))
    (repo / "new").mkdir()
    (repo / "new" / "untracked.py").write_text("Y = 2\r\n")
    (repo / "script.sh").write_text("#!/bin/sh\n")
    (repo / "script.sh").chmod(0o755)
    (repo / "link.py").symlink_to("lib/helper.py")
    (repo / "outside").symlink_to("/nowhere/at/all")
    (repo / "name with spaces, ünï.py").write_text("")
    Path(os.fsdecode(os.fsencode(repo) + b"/latin-\xe9.txt")).write_text("x")
    before = state_of(repo / ".git")
    tree = capture(repo / "flow.py", store, tmp_path)
    assert state_of(repo / ".git") == before
    assert tree.dirty is True
    assert restored(tree, store, tmp_path) == contents(repo)


def test_an_edit_in_the_same_second_and_of_the_same_size_is_seen(repo: Path, store: DictStore, tmp_path: Path) -> None:
    first = capture(repo / "flow.py", store, tmp_path)
    helper = repo / "lib" / "helper.py"
    index = (repo / ".git" / "index").stat()
    helper.write_text("X = 2\n")
    os.utime(helper, ns=(index.st_mtime_ns, index.st_mtime_ns))
    second = capture(repo / "flow.py", store, tmp_path)
    assert second.digest != first.digest
    assert restored(second, store, tmp_path)["lib/helper.py"] == ("file", b"X = 2\n")


def test_before_the_first_commit(tmp_path: Path, store: DictStore) -> None:
    root = tmp_path / "fresh"
    root.mkdir()
    run_git(root, "init", "-q", "-b", "trunk")
    (root / "flow.py").write_text("1\n")
    tree = capture(root / "flow.py", store, tmp_path)
    assert (tree.format, tree.commit, tree.branch, tree.dirty) == ("git-bundle", None, "trunk", True)
    assert restored(tree, store, tmp_path) == contents(root)


def test_detached_head(repo: Path, store: DictStore, tmp_path: Path) -> None:
    run_git(repo, "checkout", "-q", "--detach")
    tree = capture(repo / "flow.py", store, tmp_path)
    assert (tree.branch, tree.commit, tree.dirty) == (None, run_git(repo, "rev-parse", "HEAD"), False)


def test_a_linked_work_tree(repo: Path, store: DictStore, tmp_path: Path) -> None:
    run_git(repo, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side" / "flow.py").write_text("side = 1\n")
    tree = capture(tmp_path / "side" / "flow.py", store, tmp_path)
    assert (tree.root, tree.branch, tree.dirty) == (str(tmp_path / "side"), "side", True)
    assert restored(tree, store, tmp_path) == {
        key: value for key, value in contents(tmp_path / "side").items() if key != ".git"
    }


def test_a_shared_clone_borrows_objects(repo: Path, store: DictStore, tmp_path: Path) -> None:
    run_git(tmp_path, "clone", "-q", "--shared", str(repo), "clone")
    tree = capture(tmp_path / "clone" / "flow.py", store, tmp_path)
    assert tree.dirty is False
    assert restored(tree, store, tmp_path) == contents(repo)


def test_a_repository_of_sha256(store: DictStore, tmp_path: Path) -> None:
    root = tmp_path / "sha256"
    root.mkdir()
    run_git(root, "init", "-q", "--object-format=sha256")
    (root / "flow.py").write_text("1\n")
    run_git(root, "add", "-A")
    run_git(root, "commit", "-q", "-m", "one")
    tree = capture(root / "flow.py", store, tmp_path)
    assert tree.format == "git-bundle"
    assert len(tree.digest) == len("git:") + 64
    assert restored(tree, store, tmp_path) == contents(root)


def test_submodules_and_nested_repositories_are_named(repo: Path, store: DictStore, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(repo, other)
    run_git(repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "vendor")
    run_git(repo, "commit", "-q", "-m", "with a submodule")
    clean = capture(repo / "flow.py", store, tmp_path)
    assert clean.dirty is False
    commit = run_git(other, "rev-parse", "HEAD")
    assert clean.left_out == (f"vendor (submodule at {commit})",)
    shutil.copytree(other, repo / "nested")
    tree = capture(repo / "flow.py", store, tmp_path)
    assert tree.left_out == (f"vendor (submodule at {commit})", "nested/ (another repository)")
    assert set(restored(tree, store, tmp_path)) == {"flow.py", "lib/helper.py", ".gitmodules"}
    # Another commit checked out in the submodule is another tree.
    run_git(repo / "vendor", "-c", "user.name=a", "commit", "-q", "--allow-empty", "-m", "two")
    shutil.rmtree(repo / "nested")
    assert capture(repo / "flow.py", store, tmp_path).digest != clean.digest


@pytest.mark.parametrize("setting", ["true", "input"])
def test_line_ends_are_kept_as_they_are(
    repo: Path, store: DictStore, tmp_path: Path, global_config: Path, setting: str
) -> None:
    global_config.write_text(f"[core]\n\tautocrlf = {setting}\n")
    (repo / "windows.py").write_bytes(b"a = 1\r\nb = 2\r\n")
    run_git(repo, "add", "-A", GIT_CONFIG_GLOBAL=str(global_config))
    run_git(repo, "commit", "-q", "-m", "crlf", GIT_CONFIG_GLOBAL=str(global_config))
    tree = capture(repo / "flow.py", store, tmp_path)
    assert tree.dirty is False
    assert restored(tree, store, tmp_path) == contents(repo)
    (repo / "windows.py").write_bytes(b"a = 1\r\nb = 3\r\n")
    assert capture(repo / "flow.py", store, tmp_path).dirty is True


def test_no_program_of_the_user_is_started(repo: Path, store: DictStore, tmp_path: Path, global_config: Path) -> None:
    trace = tmp_path / "started"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $0 $* >> {trace}\ncat\n")
    program.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "pre-commit", "post-checkout", "reference-transaction", "fsmonitor-watchman"):
        shutil.copy(program, hooks / name)
        shutil.copy(program, repo / ".git" / "hooks" / name)
    (repo / ".gitattributes").write_text("*.bin filter=lfs\n")
    (repo / "big.bin").write_bytes(b"content")
    run_git(repo, "add", "-A")
    run_git(repo, "commit", "-q", "-m", "attributes")
    global_config.write_text(
        f"[core]\n\thooksPath = {hooks}\n\tfsmonitor = {program}\n"
        f'[filter "lfs"]\n\tclean = {program}\n\tsmudge = {program}\n\trequired = true\n'
    )
    os.utime(repo / "big.bin", (1, 1))
    trace.unlink(missing_ok=True)
    tree = capture(repo / "flow.py", store, tmp_path)
    assert restored(tree, store, tmp_path) == contents(repo)
    assert not trace.exists()


def test_a_filtered_file_is_kept_as_it_lies_on_disk(repo: Path, store: DictStore, tmp_path: Path) -> None:
    run_git(repo, "config", "filter.upper.clean", "tr a-z A-Z")
    (repo / ".gitattributes").write_text("*.txt filter=upper\n")
    (repo / "note.txt").write_text("lower")
    os.utime(repo / "note.txt", (1, 1))
    run_git(repo, "add", "-A")
    run_git(repo, "commit", "-q", "-m", "filtered")
    assert run_git(repo, "show", "HEAD:note.txt") == "LOWER"
    tree = capture(repo / "flow.py", store, tmp_path)
    assert tree.dirty is False
    assert restored(tree, store, tmp_path)["note.txt"] == ("file", b"lower")


def test_files_the_index_was_told_to_overlook(repo: Path, store: DictStore, tmp_path: Path) -> None:
    run_git(repo, "update-index", "--assume-unchanged", "lib/helper.py")
    run_git(repo, "update-index", "--skip-worktree", "flow.py")
    (repo / "lib" / "helper.py").write_text("LOCAL = 1\n")
    (repo / "flow.py").write_text("LOCAL = 2\n")
    tree = capture(repo / "flow.py", store, tmp_path)
    assert tree.dirty is True
    assert restored(tree, store, tmp_path) == contents(repo)


def test_an_index_that_cannot_be_borrowed(repo: Path, store: DictStore, tmp_path: Path) -> None:
    run_git(repo, "update-index", "--split-index")
    assert list((repo / ".git").glob("sharedindex.*"))
    (repo / "flow.py").write_text("edited = 1\n")
    tree = capture(repo / "flow.py", store, tmp_path)
    assert tree.format == "git-bundle"
    assert restored(tree, store, tmp_path) == contents(repo)


def test_a_conflict_that_is_not_resolved(repo: Path, store: DictStore, tmp_path: Path) -> None:
    run_git(repo, "checkout", "-q", "-b", "other")
    (repo / "flow.py").write_text("theirs\n")
    run_git(repo, "commit", "-q", "-am", "theirs")
    run_git(repo, "checkout", "-q", "main")
    (repo / "flow.py").write_text("ours\n")
    run_git(repo, "commit", "-q", "-am", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        run_git(repo, "merge", "other")
    tree = capture(repo / "flow.py", store, tmp_path)
    assert b"<<<<<<<" in restored(tree, store, tmp_path)["flow.py"][1]


def test_kinds_that_changed(repo: Path, store: DictStore, tmp_path: Path) -> None:
    (repo / "a").write_text("a file")
    (repo / "d").mkdir()
    (repo / "d" / "x").write_text("in a folder")
    run_git(repo, "add", "-A")
    run_git(repo, "commit", "-q", "-m", "kinds")
    (repo / "a").unlink()
    (repo / "a").mkdir()
    (repo / "a" / "b").write_text("now a folder")
    shutil.rmtree(repo / "d")
    (repo / "d").symlink_to("lib")
    (repo / "lib" / "x").write_text("reached through a link")
    os.mkfifo(repo / "pipe")
    tree = capture(repo / "flow.py", store, tmp_path)
    (repo / "pipe").unlink()
    assert restored(tree, store, tmp_path) == contents(repo)


def test_ignored_files_stay_out_and_the_flow_itself_does_not(
    repo: Path, store: DictStore, tmp_path: Path, global_config: Path
) -> None:
    (tmp_path / "excludes").write_text("*.global\n")
    global_config.write_text(f"[core]\n\texcludesFile = {tmp_path / 'excludes'}\n")
    (repo / ".git" / "info" / "exclude").write_text("*.local\n")
    (repo / ".gitignore").write_text("scratch/\n")
    (repo / "scratch").mkdir()
    for name in ("a.global", "a.local", "scratch/flow.py", "scratch/other.py"):
        (repo / name).write_text(f"# {name}\n")
    tree = capture(repo / "scratch" / "flow.py", store, tmp_path)
    assert set(restored(tree, store, tmp_path)) == {".gitignore", "flow.py", "lib/helper.py", "scratch/flow.py"}
    assert [module.path for module in tree.modules] == [str(repo / "scratch" / "flow.py")]


def test_large_files_and_secrets_are_left_out_by_name(repo: Path, store: DictStore, tmp_path: Path) -> None:
    (repo / "prices.csv").write_bytes(b"x" * 30_000)
    (repo / "small.csv").write_bytes(b"x" * 100)
    (repo / ".env").write_text("PASSWORD=hunter2")
    tree = capture(repo / "flow.py", store, tmp_path, cap=200_000)
    assert tree.left_out == (".env (its name says it holds secrets)", "prices.csv (30000 bytes)")
    assert set(restored(tree, store, tmp_path)) == {"flow.py", "lib/helper.py", "small.csv"}
    assert not any(b"hunter2" in blob for blob in store.blobs.values())


def test_a_large_committed_file_is_dropped_before_the_sources(repo: Path, store: DictStore, tmp_path: Path) -> None:
    (repo / "model.bin").write_bytes(os.urandom(50_000))
    run_git(repo, "add", "-A")
    run_git(repo, "commit", "-q", "-m", "model")
    tree = capture(repo / "flow.py", store, tmp_path, cap=20_000)
    assert tree.left_out == ("model.bin (50000 bytes)",)
    assert tree.dirty is False
    assert set(restored(tree, store, tmp_path)) == {"flow.py", "lib/helper.py"}


def test_a_heap_of_untracked_data_is_not_looked_at(
    repo: Path, store: DictStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineage_flows.capture.selection.MOST_UNTRACKED", 3)
    monkeypatch.setattr("lineage_flows.capture.git_tree.MOST_UNTRACKED", 3)
    (repo / "data").mkdir()
    for number in range(30):
        (repo / "data" / f"{number:02}.csv").write_text("x")
    (repo / "data" / "late.py").write_text("x")
    tree = capture(repo / "flow.py", store, tmp_path)
    kept = set(restored(tree, store, tmp_path))
    assert {"flow.py", "lib/helper.py", "data/late.py"} <= kept
    assert len(kept) == 6
    assert len(tree.left_out) == 27


def test_the_bundle_is_made_once(repo: Path, store: DictStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = capture(repo / "flow.py", store, tmp_path)
    puts = store.puts
    assert capture(repo / "flow.py", store, tmp_path) == first
    assert store.puts == puts
    # What the cache says is checked with the store.
    store.blobs.clear()
    again = capture(repo / "flow.py", store, tmp_path)
    assert again.digest == first.digest
    assert restored(again, store, tmp_path) == contents(repo)


def test_variables_of_a_git_hook_do_not_leak(
    repo: Path, store: DictStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(repo, elsewhere)
    (elsewhere / "extra.py").write_text("")
    run_git(elsewhere, "add", "-A")
    before = state_of(elsewhere / ".git")
    for name, value in {
        "GIT_DIR": elsewhere / ".git",
        "GIT_WORK_TREE": elsewhere,
        "GIT_INDEX_FILE": elsewhere / ".git" / "index",
        "GIT_OBJECT_DIRECTORY": elsewhere / ".git" / "objects",
        "GIT_PREFIX": "lib/",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_CONFIG_PARAMETERS": "'core.bare'='true'",
    }.items():
        monkeypatch.setenv(name, str(value))
    tree = capture(repo / "flow.py", store, tmp_path)
    assert (tree.root, tree.dirty) == (str(repo), False)
    assert state_of(elsewhere / ".git") == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_user(repo: Path, store: DictStore, tmp_path: Path) -> None:
    for path in (repo, *repo.rglob("*")):
        os.lchown(path, 12345, 12345)
    refused = subprocess.run(["git", "status"], cwd=repo, capture_output=True, text=True, check=False)
    assert "dubious ownership" in refused.stderr
    tree = capture(repo / "flow.py", store, tmp_path)
    assert (tree.format, tree.dirty) == ("git-bundle", False)
    assert restored(tree, store, tmp_path) == contents(repo)


def test_without_git_the_folder_is_taken(
    repo: Path, store: DictStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tree = capture(repo / "flow.py", store, tmp_path)
    assert tree.format == "files"
    assert tree.note is not None
    assert "not on PATH" in tree.note
    assert restored(tree, store, tmp_path) == contents(repo)


@pytest.mark.parametrize("damage", ["HEAD", "index", "config"])
def test_a_damaged_repository_falls_back_to_the_folder(
    repo: Path, store: DictStore, tmp_path: Path, damage: str
) -> None:
    (repo / ".git" / damage).write_bytes(b"\0garbage\n[[")
    tree = capture(repo / "flow.py", store, tmp_path)
    assert restored(tree, store, tmp_path) == contents(repo)
    assert tree.format == "files" or damage == "HEAD"


def test_git_that_hangs_is_stopped(
    repo: Path, store: DictStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec sleep 600\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git.Git.__init__, "__kwdefaults__", {"variables": None, "seconds": 0.2})
    tree = capture(repo / "flow.py", store, tmp_path)
    assert tree.format == "files"
    assert "stopped" in (tree.note or "")


def test_many_threads_capture_one_repository(repo: Path, store: DictStore, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as pool:
        trees = list(pool.map(lambda _: capture(repo / "flow.py", store, tmp_path), range(12)))
    assert len({tree.digest for tree in trees}) == 1
    assert restored(trees[-1], store, tmp_path) == contents(repo)


# --------------------------------------------------------------------------------------------------------- without git


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "plain"
    (root / "pkg").mkdir(parents=True)
    (root / "flow.py").write_text("import pkg\n")
    (root / "pkg" / "__init__.py").write_text("")
    (root / "settings.json").write_text("{}")
    return root


def test_a_folder_comes_back_exactly(folder: Path, store: DictStore, tmp_path: Path) -> None:
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "inner").symlink_to("pkg")
    (folder / "outer").symlink_to("/etc/passwd")
    Path(os.fsdecode(os.fsencode(folder) + b"/latin-\xe9.txt")).write_text("x")
    tree = capture(folder / "flow.py", store, tmp_path)
    assert (tree.format, tree.note, tree.files) == ("files", None, 7)
    assert restored(tree, store, tmp_path) == contents(folder)


def test_what_tools_leave_is_not_the_project(folder: Path, store: DictStore, tmp_path: Path) -> None:
    expected = set(contents(folder))
    for name in (".git", ".venv/lib", "node_modules/x", "__pycache__", "pkg/__pycache__", ".mypy_cache"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file.py").write_text("")
    (folder / "venv").mkdir()
    (folder / "venv" / "pyvenv.cfg").write_text("")
    (folder / "flow.pyc").write_bytes(b"")
    (folder / "env").mkdir()
    (folder / "env" / "is_mine.py").write_text("")
    (folder / ".git").rename(folder / ".hg")
    assert set(restored(capture(folder / "flow.py", store, tmp_path), store, tmp_path)) == {*expected, "env/is_mine.py"}


def test_the_home_inside_the_project_is_left_out(folder: Path, store: DictStore, tmp_path: Path) -> None:
    (folder / "lineage").mkdir()
    (folder / "lineage" / "spool.db").write_text("")
    tree = capture_source_tree(str(folder / "flow.py"), store=store, size_cap=CAP, cache=folder / "lineage" / "cache")
    assert "lineage/spool.db" not in restored(tree, store, tmp_path)


def test_the_same_folder_elsewhere_has_the_same_digest(folder: Path, store: DictStore, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "moved", symlinks=True)
    first = capture(folder / "flow.py", store, tmp_path)
    assert capture(tmp_path / "moved" / "flow.py", store, tmp_path).digest == first.digest
    (tmp_path / "moved" / "settings.json").write_text("[]")
    assert capture(tmp_path / "moved" / "flow.py", store, tmp_path).digest != first.digest


def test_a_folder_that_is_no_project_gives_the_flow_and_its_modules(
    folder: Path, store: DictStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_tree, "MOST_ENTRIES", 3)
    (folder / "beside.py").write_text("Z = 1\n")
    monkeypatch.syspath_prepend(str(folder))
    import beside  # type: ignore[import-not-found]

    assert beside.Z == 1
    try:
        tree = capture(folder / "flow.py", store, tmp_path)
    finally:
        del sys.modules["beside"]
    assert "more than 3 files" in (tree.note or "")
    assert set(restored(tree, store, tmp_path)) == {"flow.py", "beside.py"}


@pytest.mark.parametrize("broad", ["home", "tmp"])
def test_a_home_is_not_walked(store: DictStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broad: str) -> None:
    home = tmp_path / "desk"
    home.mkdir()
    (home / "flow.py").write_text("1\n")
    (home / "secret.txt").write_text("private")
    if broad == "home":
        monkeypatch.setenv("HOME", str(home))
    else:
        monkeypatch.setattr("tempfile.tempdir", str(home))
    tree = capture(home / "flow.py", store, tmp_path)
    assert set(restored(tree, store, tmp_path)) == {"flow.py"}
    assert "no project" in (tree.note or "")


def test_sources_over_the_cap_are_not_kept_and_the_record_says_so(
    folder: Path, store: DictStore, tmp_path: Path
) -> None:
    (folder / "flow.py").write_text("# " + "x" * 1000)
    tree = capture(folder / "flow.py", store, tmp_path, cap=100)
    assert tree.blob is None
    with pytest.raises(CodeNotRestorableError, match="over the cap"):
        restore_source_tree(tree, store, tmp_path / "w")


@pytest.mark.parametrize("file", [None, "/nowhere/flow.py"])
def test_a_flow_without_a_file(store: DictStore, tmp_path: Path, file: str | None) -> None:
    tree = capture_source_tree(file, store=store, size_cap=CAP, cache=tmp_path / "cache")
    assert tree.blob is None
    assert tree.note
    with pytest.raises(CodeNotRestorableError):
        restore_source_tree(tree, store, tmp_path / "w")


def test_a_full_store_is_said(repo: Path, folder: Path, store: DictStore, tmp_path: Path) -> None:
    store.full = True
    for flow in (repo / "flow.py", folder / "flow.py"):
        with pytest.raises(HomeError):
            capture(flow, store, tmp_path)


def test_an_unusable_cache_is_no_reason_to_fail(folder: Path, store: DictStore, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where the folder should be")
    tree = capture_source_tree(str(folder / "flow.py"), store=store, size_cap=CAP, cache=tmp_path / "blocked" / "cache")
    assert tree.blob is not None


# ------------------------------------------------------------------------------------------------------------ restoring


def test_a_bundle_is_checked_against_its_digest(repo: Path, store: DictStore, tmp_path: Path) -> None:
    tree = capture(repo / "flow.py", store, tmp_path)
    lied = tree.model_copy(update={"digest": "git:" + "0" * 40})
    with pytest.raises(CodeNotRestorableError, match="another tree"):
        restore_source_tree(lied, store, tmp_path / "w")


def test_a_missing_blob_is_said(repo: Path, store: DictStore, tmp_path: Path) -> None:
    tree = capture(repo / "flow.py", store, tmp_path)
    store.blobs.clear()
    with pytest.raises(CodeNotRestorableError, match="missing"):
        restore_source_tree(tree, store, tmp_path / "w")


def test_a_bundle_needs_git(repo: Path, store: DictStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = capture(repo / "flow.py", store, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CodeNotRestorableError, match="Install git"):
        restore_source_tree(tree, store, tmp_path / "w")


@pytest.mark.parametrize(
    "entries",
    [
        [{"path": "../evil.py", "mode": "100644"}],
        [{"path": "/evil.py", "mode": "100644"}],
        [{"path": "a/../../evil.py", "mode": "100644"}],
        [{"path": "", "mode": "100644"}],
        [{"path": "up", "mode": "120000", "target": ".."}, {"path": "up/evil.py", "mode": "100644"}],
        [{"path": "up", "mode": "120000", "target": "/"}, {"path": "up/tmp/evil.py", "mode": "120000", "target": "x"}],
    ],
)
def test_a_list_that_leads_outside_is_refused(store: DictStore, tmp_path: Path, entries: list[dict[str, str]]) -> None:
    digest, _ = store.put(b"evil")
    manifest = {"format": 1, "files": [{"digest": digest, **entry} for entry in entries]}
    name, size = store.put(json.dumps(manifest).encode())
    tree = SourceTree(
        digest="files:x", format="files", root="/a/b", blob=BlobRef(digest=name, size=size, format="files")
    )
    before = set(tmp_path.rglob("*"))
    with pytest.raises(CodeNotRestorableError):
        restore_source_tree(tree, store, tmp_path / "w")
    assert not [
        path
        for path in set(tmp_path.rglob("*")) - before
        if path.name == "evil.py" and not path.is_relative_to(tmp_path / "w")
    ]
    assert not Path("/tmp/evil.py").exists()


@pytest.mark.parametrize("path", ["../evil.py", "/a/../../evil.py", "relative.py"])
def test_a_module_that_leads_outside_is_refused(folder: Path, store: DictStore, tmp_path: Path, path: str) -> None:
    tree = capture(folder / "flow.py", store, tmp_path)
    digest, size = store.put(b"evil")
    module = ModuleFile(path=path, root="/", blob=BlobRef(digest=digest, size=size, format="file"))
    with pytest.raises(CodeNotRestorableError, match="outside"):
        restore_source_tree(tree.model_copy(update={"modules": (module,)}), store, tmp_path / "w")


# ----------------------------------------------------------------------------------------------------- loaded modules


@pytest.fixture
def imported() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.usefixtures("imported")
def test_modules_outside_the_tree_are_kept_with_their_import_root(
    repo: Path, store: DictStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "editable" / "src"
    (library / "desk" / "deep").mkdir(parents=True)
    for name in ("desk/__init__.py", "desk/deep/__init__.py", "desk/deep/model.py"):
        (library / name).write_text(f"# {name}\n")
    single = tmp_path / "single"
    single.mkdir()
    (single / "tools.py").write_text("# tools\n")
    monkeypatch.syspath_prepend(str(library))
    monkeypatch.syspath_prepend(str(single))
    monkeypatch.syspath_prepend(str(repo))
    import desk.deep.model  # type: ignore[import-not-found]
    import lib.helper  # type: ignore[import-not-found]
    import tools  # type: ignore[import-not-found]

    assert desk, lib
    assert tools
    tree = capture(repo / "flow.py", store, tmp_path)
    modules = {module.path: module for module in loaded_modules(tree, store) if module.path.startswith(str(tmp_path))}
    assert {path: module.root for path, module in modules.items()} == {
        str(library / "desk/__init__.py"): str(library),
        str(library / "desk/deep/__init__.py"): str(library),
        str(library / "desk/deep/model.py"): str(library),
        str(single / "tools.py"): str(single),
    }
    destination = tmp_path / "workspace"
    restore_source_tree(tree.model_copy(update={"modules": tuple(modules.values())}), store, destination)
    assert (destination / str(single / "tools.py").lstrip("/")).read_text() == "# tools\n"


@pytest.mark.usefixtures("imported")
def test_modules_git_ignores_and_those_made_since_are_kept(repo: Path, store: DictStore, tmp_path: Path) -> None:
    (repo / ".gitignore").write_text("generated.py\n")
    tree = capture(repo / "flow.py", store, tmp_path)
    for name in ("generated", "made_since"):
        (repo / f"{name}.py").write_text(f"# {name}\n")
        module = types.ModuleType(f"__prefect_loader_{name}__")
        module.__file__ = str(repo / f"{name}.py")
        sys.modules[module.__name__] = module
    found = {module.path: module.root for module in loaded_modules(tree, store) if module.path.startswith(str(repo))}
    assert found == {str(repo / "generated.py"): str(repo), str(repo / "made_since.py"): str(repo)}


@pytest.mark.usefixtures("imported")
def test_odd_entries_of_sys_modules_do_no_harm(repo: Path, store: DictStore, tmp_path: Path) -> None:
    class Lazy(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            raise AssertionError("a lazy module was loaded")

    sys.modules["odd_lazy"] = Lazy("odd_lazy")
    sys.modules["odd_none"] = None  # type: ignore[assignment]
    sys.modules["odd_object"] = object()  # type: ignore[assignment]
    sys.modules["odd_file"] = types.ModuleType("odd_file")
    sys.modules["odd_file"].__file__ = "/nowhere/odd_file.py"
    modules = loaded_modules(capture(repo / "flow.py", store, tmp_path), store)
    assert not any("odd_" in module.path or "site-packages" in module.path for module in modules)
    assert not any(
        "/lineage_flows/" in module.path or module.path.startswith(os.path.dirname(os.__file__)) for module in modules
    )


@pytest.mark.parametrize(
    ("name", "file", "root"),
    [
        ("a.b.c", "/x/a/b/c.py", "/x"),
        ("a", "/x/a/__init__.py", "/x"),
        ("a.b", "/x/a/b/__init__.py", "/x"),
        ("flow", "/x/flow.py", "/x"),
        ("__main__", "/x/flow.py", "/x"),
        ("__prefect_loader_12__", "/x/y/flow.py", "/x/y"),
        ("other.flow", "/x/y/flow.py", "/x/y"),
        ("__init__", "/x/y/__init__.py", "/x"),
    ],
)
def test_import_roots(name: str, file: str, root: str) -> None:
    assert code._import_root(name, file) == root


# ------------------------------------------------------------------------------------------------------------ selection


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.text("ab./", min_size=1, max_size=5).map(lambda text: text + "x.py")
        | st.text("ab", min_size=1, max_size=5).map(lambda text: text + ".csv"),
        st.tuples(st.integers(0, 2000), st.booleans()),
    ),
    st.integers(0, 5000),
)
def test_a_selection_fits_and_names_the_rest(files: dict[str, tuple[int, bool]], cap: int) -> None:
    candidates = [Candidate(path, size, tracked) for path, (size, tracked) in files.items()]
    try:
        selection = select(candidates, cap)
    except CaptureError:
        assert sum(item.size for item in candidates if item.is_source) > cap
        return
    kept = set(selection.kept)
    assert selection.size == sum(files[path][0] for path in kept) <= cap
    assert len(kept) + len(selection.left_out) == len(files)
    # A source under version control is never given up for other files.
    assert all(item.path in kept for item in candidates if item.is_source and item.tracked)


def test_digests_are_of_the_files(folder: Path, store: DictStore, tmp_path: Path) -> None:
    tree = capture(folder / "flow.py", store, tmp_path)
    assert tree.blob is not None
    entries = {entry["path"]: entry for entry in json.loads(store.get(tree.blob.digest))["files"]}
    assert entries["flow.py"]["digest"] == "sha256:" + hashlib.sha256((folder / "flow.py").read_bytes()).hexdigest()


def test_modules_that_are_imported_while_they_are_listed_do_no_harm(monkeypatch):
    added = []

    def imports(_phase, _info):
        added.append(f"imported_meanwhile_{len(added)}")
        monkeypatch.setitem(sys.modules, added[-1], types.ModuleType(added[-1]))

    thresholds = gc.get_threshold()
    gc.callbacks.append(imports)
    try:
        gc.set_threshold(
            1
        )  # as any collection may: a finaliser, or another thread whose turn it then is, imports something
        found = list(code._project_modules())
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(imports)
    assert added
    assert any(path == __file__ for path, _ in found)
