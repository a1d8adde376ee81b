"""Environments built by the real uv from small local wheels: whole or not at all, once, and never by two at the same time."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import lineage_flows
from lineage_flows.content import open_store
from lineage_flows.errors import BlobAlteredError, BlobMissingError, HomeError, ReplayError
from lineage_flows.record_base import BlobRef
from lineage_flows.record_code import KeptWheel
from lineage_flows.records import Package
from lineage_flows.replay.choice import choose, entered
from lineage_flows.replay.environments import Rebuilder, environments, folder_of, is_ready, remove_environment
from lineage_flows.replay.uv import find_uv
from lineage_flows.replay.wanted import LocalSource, Tool, Wanted, differing, wanted_environment
from lineage_flows.settings import load_settings
from tests.compare.building import Blobs, Run
from tests.replay.tiny import frozen, here, tiny_wheel, wanted

UV = find_uv() or "uv"
TINY = {"tinypkg.py": "rate = 1\n"}

BACKEND = """
import zipfile
def build_wheel(folder, settings=None, metadata=None):
    name = "deskpkg-0.3-py3-none-any.whl"
    info = "deskpkg-0.3.dist-info"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("deskpkg.py", open("deskpkg.py").read())
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: deskpkg\\nVersion: 0.3\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "deskpkg"
version = "0.3"
"""
SOURCE = {"backend.py": BACKEND, "pyproject.toml": PROJECT, "deskpkg.py": "lot = 10\n"}


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder of wheels that stands in for an index; nothing else can be reached."""
    folder = tmp_path / "wheels"
    for version in ("1.0", "2.0"):
        tiny_wheel(folder, "tinypkg", version, TINY)
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    return folder


def build(home: Path, what: Wanted, tree=None, store=None, **options):
    with Rebuilder(home, options.pop("uv", UV), **options).environment(what, tree, store or Blobs()) as built:
        return built


def noting_uv(folder: Path, *, hold: bool = False) -> tuple[Path, Path]:
    """The real uv, which notes what it was called for; with ``hold`` it stops at an installation until the file ``go`` is there."""
    log, go = folder / "calls", folder / "go"
    wait = f'while [ "$1" = pip ] && [ ! -e {go} ]; do sleep 0.05; done' if hold else ""
    program = folder / "noting-uv"
    program.write_text(f'#!/bin/sh\necho "$1" >> {log}\n{wait}\nexec {UV} "$@"\n')
    program.chmod(0o755)
    return program, log


def calls(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def test_an_environment_has_the_packages_in_their_versions_and_is_built_once(index, tmp_path):
    uv, log = noting_uv(tmp_path)
    what = wanted("tinypkg==1.0")
    built = build(tmp_path / "home", what, uv=str(uv))
    assert frozen(built.python) == {"tinypkg": "1.0"}
    assert calls(log) == ["venv", "pip"]
    assert build(tmp_path / "home", what, uv=str(uv)) == built
    assert calls(log) == ["venv", "pip"], "what was there was built again"
    other = build(tmp_path / "home", wanted("tinypkg==2.0"))
    assert (other.digest != built.digest, frozen(other.python)) == (True, {"tinypkg": "2.0"})
    kept = environments(tmp_path / "home")
    assert {item.digest for item in kept} == {built.digest, other.digest}
    assert all(item.size > 100 and item.packages == 1 for item in kept)
    program = "import importlib.util as u; print(u.find_spec('lineage_flows').origin)"
    done = subprocess.run([built.python, "-I", "-c", program], check=True, capture_output=True, text=True)
    assert Path(done.stdout.strip()).resolve().parent == Path(lineage_flows.__file__).resolve().parent


def test_a_package_that_cannot_be_installed_is_named_with_the_words_of_uv(index, tmp_path):
    what = wanted("tinypkg==1.0", "absentpkg==9.9")
    with pytest.raises(ReplayError) as error:
        build(tmp_path / "home", what)
    assert error.value.what == "absentpkg==9.9 cannot be installed"
    assert error.value.why.startswith("uv says: ")
    assert "absentpkg" in error.value.why
    assert "--env current" in error.value.fix
    assert environments(tmp_path / "home") == (), "half of it was left"
    with pytest.raises(ReplayError, match=r"tinypkg==3\.0 cannot be installed"):
        build(tmp_path / "home", wanted("tinypkg==3.0"))


def test_no_interpreter_and_another_patch(index, tmp_path):
    with pytest.raises(ReplayError, match=r"no CPython 3\.99 is installed here.*LINEAGE_FLOWS_PYTHON_DOWNLOADS"):
        build(tmp_path / "home", wanted("tinypkg==1.0", python="3.99.1"))
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    built = build(tmp_path / "home", wanted("tinypkg==1.0", python=f"{minor}.99"))
    assert any(note.startswith(f"Python {minor}.99 is not installed here") for note in built.notes)
    assert built.version.startswith(f"{minor}.")


PROGRAM = """
import json, sys
from pathlib import Path
from lineage_flows.replay.environments import Rebuilder
from lineage_flows.replay.wanted import Wanted
home, uv, document, said = sys.argv[1:]
rebuilder = Rebuilder(Path(home), uv, on_wait=lambda: Path(said).touch())
with rebuilder.environment(Wanted.model_validate_json(document), None, None) as built:
    print(built.model_dump_json())
"""


def start(home: Path, uv: Path, what: Wanted, waits: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(home), str(uv), what.model_dump_json(), str(waits)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_build_that_was_killed_is_never_used_and_built_again(index, tmp_path):
    home, what = tmp_path / "home", wanted("tinypkg==1.0")
    uv, log = noting_uv(tmp_path, hold=True)
    killed = start(home, uv, what, tmp_path / "waits-0")
    until(lambda: calls(log) == ["venv", "pip"])
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(30) == -signal.SIGKILL
    assert not is_ready(home, what.digest)
    (half,) = environments(home)
    assert half.python == ""
    # Its uv lives on, and holds the lock: who comes next waits for it, and then begins from an empty folder.
    after = start(home, uv, what, tmp_path / "waits-1")
    until((tmp_path / "waits-1").exists)
    assert calls(log) == ["venv", "pip"]
    (tmp_path / "go").touch()
    said, _ = after.communicate(timeout=60)
    assert frozen(json.loads(said)["python"]) == {"tinypkg": "1.0"}
    assert calls(log) == ["venv", "pip"] * 2


def test_two_that_need_the_same_environment_at_once_build_it_once(index, tmp_path):
    home, what = tmp_path / "home", wanted("tinypkg==1.0")
    uv, log = noting_uv(tmp_path, hold=True)
    both = [start(home, uv, what, tmp_path / f"waits-{number}") for number in (0, 1)]
    until(lambda: any((tmp_path / f"waits-{number}").exists() for number in (0, 1)) and "pip" in calls(log))
    (tmp_path / "go").touch()
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    assert calls(log) == ["venv", "pip"]


def test_waiting_for_another_ends(index, tmp_path):
    home, what = tmp_path / "home", wanted("tinypkg==1.0")
    uv, log = noting_uv(tmp_path, hold=True)
    other = start(home, uv, what, tmp_path / "waits")
    until(lambda: "pip" in calls(log))
    with pytest.raises(ReplayError, match="another process was still building it after 0.2 seconds"):
        build(home, what, timeout=0.2)
    (tmp_path / "go").touch()
    other.communicate(timeout=60)


def test_an_environment_in_use_is_not_removed(index, tmp_path):
    home, what = tmp_path / "home", wanted("tinypkg==1.0")
    with Rebuilder(home, UV).environment(what, None, Blobs()) as built:
        assert remove_environment(home, built.digest) is False
        assert Path(built.python).exists()
    assert remove_environment(home, what.digest) is True
    assert environments(home) == ()
    assert not folder_of(home, what.digest).exists()
    assert frozen(build(home, what).python) == {"tinypkg": "1.0"}


def test_an_environment_whose_interpreter_is_gone_is_built_again(index, tmp_path):
    home, what = tmp_path / "home", wanted("tinypkg==1.0")
    built = build(home, what)
    Path(built.python).unlink()
    assert not is_ready(home, what.digest)
    assert frozen(build(home, what).python) == {"tinypkg": "1.0"}


def test_a_home_that_cannot_take_it_is_said(index, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "environments").write_text("in the way")
    with pytest.raises(HomeError, match=r"cannot be made or removed.*LINEAGE_FLOWS_HOME.*--env current"):
        build(home, wanted("tinypkg==1.0"))


@contextlib.contextmanager
def small_disk(folder: Path, size: str):
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_is_said_and_nothing_half_built_is_used(index, tmp_path):
    with small_disk(tmp_path / "home", "64k"):
        tiny_wheel(index, "bigpkg", "1.0", {"bigpkg.py": "#" * 1_000_000})
        with pytest.raises((ReplayError, HomeError), match="(?i)no space left"):
            build(tmp_path / "home", wanted("bigpkg==1.0"))
        assert not is_ready(tmp_path / "home", wanted("bigpkg==1.0").digest)


def test_wheels_that_were_kept_are_installed_without_an_index(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    path = tiny_wheel(tmp_path, "tinypkg", "1.0", TINY)
    store = open_store(str(tmp_path / "blobs"))
    digest, size, _ = store.put_file(path)
    wheel = KeptWheel(
        name="tinypkg", version="1.0", file=path.name, blob=BlobRef(digest=digest, size=size, format="wheel")
    )
    path.unlink()
    built = build(tmp_path / "home", wanted(kept=(wheel,)), store=store)
    assert frozen(built.python) == {"tinypkg": "1.0"}
    lost = wheel.model_copy(update={"blob": BlobRef(digest="sha256:" + "0" * 64, size=1, format="wheel")})
    with pytest.raises(BlobMissingError):
        build(tmp_path / "home", wanted(kept=(lost,)), store=store)
    (blob,) = [item for item in (tmp_path / "blobs").rglob("*") if item.is_file() and item.name == digest[7:]]
    blob.chmod(0o644)
    blob.write_bytes(b"something else")
    with pytest.raises(BlobAlteredError, match=digest):
        build(tmp_path / "other", wanted(kept=(wheel,)), store=store)
    assert environments(tmp_path / "other") == ()


def test_a_package_that_was_installed_from_the_project_is_built_from_its_captured_source(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    store = open_store(str(tmp_path / "blobs"))
    run = Run(code={f"desk/{name}": text for name, text in SOURCE.items()} | {"flow.py": "def backtest(): ...\n"})
    tree = run.record().flow.code
    for data in run.blobs.values():
        store.put(data)
    what = wanted(local=(LocalSource(name="deskpkg", folder="/desk/project/desk"),), tree=tree.digest)
    built = build(tmp_path / "home", what, tree=tree, store=store)
    assert frozen(built.python) == {"deskpkg": "0.3"}
    assert not (folder_of(tmp_path / "home", what.digest) / "source").exists()


def test_a_package_of_a_repository_is_installed_at_its_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_NO_INDEX", "1")
    repository = tmp_path / "repository"
    repository.mkdir()
    for name, text in SOURCE.items():
        (repository / name).write_text(text)
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    (repository / "deskpkg.py").write_text("lot = 11\n")
    subprocess.run([*git, "commit", "-qam", "two"], check=True)
    run = Run(
        environment=here(packages=(Package(name="deskpkg", version="0.3", vcs=f"git+file://{repository}@{commit}"),))
    )
    what = wanted_environment(run.environment, run.record(), load_settings(home=tmp_path / "home"))
    built = build(tmp_path / "home", wanted(*what.pinned))
    done = subprocess.run(
        [built.python, "-I", "-c", "import deskpkg; print(deskpkg.lot)"], capture_output=True, text=True
    )
    assert done.stdout == "10\n", done.stderr


def test_what_is_wanted_of_each_kind_of_package(tmp_path):
    settings = load_settings(home=tmp_path / "home")
    archive = tmp_path / "a-1.0-py3-none-any.whl"
    archive.touch()
    kept = KeptWheel(
        name="kept", version="1", file="kept-1-py3-none-any.whl", blob=BlobRef(digest="d", size=1, format="wheel")
    )
    packages = (
        Package(name="archive", version="1", origin="https://files.example.org/a.whl"),
        Package(name="editable", version="1", editable=True, origin="file:///elsewhere"),
        Package(name="index", version="1.0"),
        Package(name="kept", version="1"),
        Package(name="lineage-flows", version="0.0.1"),
        Package(name="local", version="1", origin="file:///desk/project/local"),
        Package(name="lost", version="1", origin="file:///desk/projects"),
        Package(name="odd", version="not a version"),
        Package(name="repository", version="1", vcs="git+https://git.example.org/x@abc"),
        Package(name="there", version="1", origin=archive.as_uri()),
    )
    run = Run(code={"flow.py": "x = 1\n"}, environment=here(packages=packages, wheels=(kept,)))
    found = wanted_environment(run.environment, run.record(), settings)
    assert found.pinned == (
        "archive @ https://files.example.org/a.whl",
        "index==1.0",
        "odd===not a version",
        "repository @ git+https://git.example.org/x@abc",
        f"there @ {archive.as_uri()}",
    )
    assert found.kept == (kept,)
    assert [item.name for item in found.local] == ["local"]
    assert [item.name for item in found.lost] == ["lost"]
    assert [item.name for item in found.editable] == ["editable"]
    assert any(need.startswith("prefect") for need in found.tool.added), "what this package needs is not there"
    others = tuple(item for item in packages if item.name not in {"editable", "lineage-flows"})
    assert differing(packages, others) == ()
    assert differing(packages, others[1:]) == ("archive 1 → absent",)


def test_what_this_package_asks_for_in_another_version_is_said(tmp_path):
    settings = load_settings(home=tmp_path)
    run = Run(code={"flow.py": "x = 1\n"}, environment=here(packages=(Package(name="prefect", version="2.0.0"),)))
    found = wanted_environment(run.environment, run.record(), settings)
    assert any("asks for prefect" in said and "the run had 2.0.0" in said for said in found.tool.unfit)


def test_without_uv_nothing_is_rebuilt_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("lineage_flows.replay.choice.find_uv", lambda: None)
    settings = load_settings(home=tmp_path)
    run = Run(code={"flow.py": "x = 1\n"}, environment=here())
    for mode, problem in (("auto", False), ("current", False), ("rebuild", True)):
        choice = choose(mode, run.environment, run.record(), settings)
        assert (choice.problem is not None) == problem
    with pytest.raises(ReplayError, match=r"uv is not installed.*lineage-flows\[replay\].*--env current"):
        with entered(choice, run.record(), settings, Blobs(), on_progress=lambda *_: None):
            pytest.fail("it went on")


def test_one_thread_of_a_process_waits_for_another(index, tmp_path):
    home, what, found = tmp_path / "home", wanted("tinypkg==1.0"), []
    uv, log = noting_uv(tmp_path)
    threads = [threading.Thread(target=lambda: found.append(build(home, what, uv=str(uv)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(found), len(set(found)), calls(log)) == (3, 1, ["venv", "pip"])
    assert os.access(found[0].python, os.X_OK)


def test_another_patch_of_python_is_another_environment(tmp_path, monkeypatch):
    settings = load_settings(home=tmp_path)
    minor = ".".join(str(part) for part in sys.version_info[:2])
    run = Run(
        code={"flow.py": "x = 1\n"}, environment=here(python=f"{minor}.99", packages=(Package(name="a", version="1"),))
    )
    choice = choose("auto", run.environment, run.record(), settings)
    assert (choice.how, choice.problem) == ("rebuild", None)
    exact = wanted_environment(run.environment, run.record(), settings)
    assert choice.wanted.stand_in.startswith(minor)
    assert choice.wanted.digest != exact.digest
    # With every package as it was, a rebuilt environment would be no nearer.
    run.environment = here(python=f"{minor}.99")
    choice = choose("auto", run.environment, run.record(), settings)
    assert choice.how == "current"
    assert choice.notes[0].startswith(f"Python {minor}.99 is not installed here: the replay runs on Python {minor}.")
    # Another minor version that is not here is an obstacle.
    run.environment = here(python="3.99.1")
    problem = choose("auto", run.environment, run.record(), settings).problem
    assert "no CPython 3.99.1 is installed here" in problem.why


def test_what_this_package_needs_comes_from_here_when_the_run_did_not_have_it(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    wheel = tiny_wheel(tmp_path, "tinypkg", "1.0", TINY)
    rich = importlib.metadata.version("rich")
    pins = (f"tinypkg @ {wheel.as_uri()}",)
    tool = Tool(folder=str(Path(lineage_flows.__file__).resolve().parent), version="0", added=("rich>=1",))
    built = build(tmp_path / "home", wanted(*pins, tool=tool))
    found = frozen(built.python)
    assert found["rich"] == rich
    assert {"tinypkg", "pygments", "markdown-it-py", "mdurl"} <= found.keys(), "what that needs, too"
    assert any("added: rich>=1" in note for note in built.notes)
    absent = tool.model_copy(update={"added": ("no-such-package-here>=1",)})
    with pytest.raises(ReplayError, match="no-such-package-here>=1 cannot be installed"):
        build(tmp_path / "home", wanted(*pins, tool=absent))


def test_another_prefect_is_not_let_at_the_database_of_this_one(tmp_path):
    import prefect

    from lineage_flows.replay.choice import _other_prefect

    kept = KeptWheel(
        name="prefect", version=prefect.__version__, file="p.whl", blob=BlobRef(digest="d", size=1, format="w")
    )
    assert not _other_prefect(wanted(f"prefect=={prefect.__version__}"))
    assert not _other_prefect(wanted(kept=(kept,)))
    assert _other_prefect(wanted("prefect==2.0.0"))
