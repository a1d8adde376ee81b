from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.capture import distributions, environment
from lineage_flows.capture.disk_cache import DiskCache
from lineage_flows.capture.distributions import installed_packages, normalised
from lineage_flows.capture.environment import capture_environment, environment_digest
from lineage_flows.records import Environment, Package


@pytest.fixture(autouse=True)
def fresh() -> None:
    environment._captured.clear()


def test_what_this_process_runs_on(tmp_path: Path) -> None:
    found = capture_environment(("LANG",), tmp_path)
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    packages = {package.name: package for package in found.packages}
    assert packages["prefect"].version
    assert packages["lineage-flows"].editable
    assert list(packages) == sorted(packages)
    assert found.cpu
    assert found.cpu_count
    assert capture_environment(("LANG",), tmp_path) is found
    assert Environment.model_validate_json(found.model_dump_json()) == found


def test_the_digest_is_stable_and_sees_changes(tmp_path: Path) -> None:
    found = capture_environment((), tmp_path)
    environment._captured.clear()
    assert environment_digest(capture_environment((), tmp_path)) == environment_digest(found)
    for change in (
        {"python": "3.0"},
        {"packages": found.packages[1:]},
        {"hash_seed": "7"},
        {"image": "x"},
        {"cpu": "x"},
    ):
        assert environment_digest(found.model_copy(update=change)) != environment_digest(found)


def ask(tmp_path: Path, expression: str, *options: str, before: str = "", **variables: str) -> object:
    text = f"""
        import json, sys, pathlib
        {before}
        from lineage_flows.capture.environment import capture_environment, environment_digest
        found = capture_environment(("*",), pathlib.Path(sys.argv[1]))
        print(json.dumps({expression}))
    """
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(text))
    base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LINEAGE_FLOWS_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, *options, str(path), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=False,
        env={**base, **variables},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_processes_agree(tmp_path: Path) -> None:
    one, two = (ask(tmp_path, "environment_digest(found)", PYTHONHASHSEED="1") for _ in range(2))
    assert one == two
    assert ask(tmp_path, "environment_digest(found)", PYTHONHASHSEED="2") != one


@pytest.mark.parametrize(
    ("variables", "options", "before", "expected"),
    [
        ({}, (), "", None),
        ({"PYTHONHASHSEED": "random"}, (), "", None),
        ({"PYTHONHASHSEED": "0"}, (), "", "0"),
        ({"PYTHONHASHSEED": "123"}, (), "", "123"),
        ({"PYTHONHASHSEED": "123"}, ("-E",), "", None),
        # A common mistake: it comes too late for the interpreter.
        ({}, (), "import os; os.environ['PYTHONHASHSEED'] = '0'", None),
        ({"PYTHONHASHSEED": "5"}, (), "import os; os.environ['PYTHONHASHSEED'] = '6'", "5"),
    ],
)
def test_the_hash_seed_is_the_one_in_force(
    tmp_path: Path, variables: dict[str, str], options: tuple[str, ...], before: str, expected: str | None
) -> None:
    assert ask(tmp_path, "found.hash_seed", *options, before=before, **variables) == expected


def test_secrets_are_never_recorded(tmp_path: Path) -> None:
    names = ("API_KEY", "GITHUB_TOKEN", "my_secret", "DB_PASSWORD", "PGPASSWD", "AWS_CREDENTIALS", "AUTH", "SENTRY_DSN")
    secrets = dict.fromkeys(names, "hunter2")
    found = ask(
        tmp_path, "found.variables", **secrets, PLAIN="1", PROXY="http://me:hunter2@proxy:80/x?y=hunter2", BAD="a\nb"
    )
    assert isinstance(found, dict)
    assert "hunter2" not in json.dumps(found)
    assert found["PLAIN"] == "1"
    assert found["PROXY"] == "http://proxy:80/x"
    assert "BAD" not in found


@given(
    st.lists(st.sampled_from("AB_*"), max_size=4).map("".join),
    st.dictionaries(st.text("AB_", min_size=1, max_size=4), st.text("xy", max_size=3)),
)
def test_only_what_a_pattern_allows(pattern: str, variables: dict[str, str]) -> None:
    import fnmatch
    from unittest import mock

    with mock.patch.dict(os.environ, variables, clear=True):
        found = environment._variables((pattern,))
    assert found == {name: variables[name] for name in sorted(variables) if fnmatch.fnmatchcase(name, pattern)}


def test_numerical_libraries_only_when_they_are_loaded(tmp_path: Path) -> None:
    bare = ask(
        tmp_path, "[found.libraries, found.cpu_features, [m for m in ('numpy', 'threadpoolctl') if m in sys.modules]]"
    )
    assert bare == [[], [], []]
    loaded = ask(tmp_path, "[found.libraries, found.cpu_features]", before="import numpy")
    assert isinstance(loaded, list)
    assert loaded[0][0]["user_api"] == "blas"
    assert "/" not in loaded[0][0]["filepath"]
    assert loaded[1]


def test_a_library_that_is_loaded_later_is_seen(tmp_path: Path) -> None:
    before = "; ".join(
        (
            "import pathlib, sys",
            "from lineage_flows.capture.environment import capture_environment as first",
            "first(('*',), pathlib.Path(sys.argv[1]))",
            "import numpy",
        )
    )
    assert ask(tmp_path, "len(found.libraries) > 0", before=before) is True


def test_the_image_is_said_only_by_who_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.IMAGE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "_in_container", lambda: True)
    monkeypatch.setenv("HOSTNAME", "3f2a")
    assert environment._image() is None
    monkeypatch.setenv("CONTAINER_IMAGE", "registry.example.org/desk/model:1.2@sha256:" + "a" * 64)
    assert environment._image() == "registry.example.org/desk/model:1.2@sha256:" + "a" * 64
    monkeypatch.setenv("CONTAINER_IMAGE", "not an image; rm -rf")
    assert environment._image() is None
    monkeypatch.setenv("CONTAINER_IMAGE", "python:3.11")
    monkeypatch.setattr(environment, "_in_container", lambda: False)
    assert environment._image() is None


def test_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert environment.local_timezone() == "Europe/Berlin"
    monkeypatch.delenv("TZ")
    assert environment.local_timezone()


# --------------------------------------------------------------------------------------------------------------- packages


def install(folder: Path, name: str, version: str, origin: object = None, *, kind: str = "dist-info") -> None:
    metadata = folder / f"{name}-{version}.{kind}"
    metadata.mkdir(parents=True)
    (metadata / ("METADATA" if kind == "dist-info" else "PKG-INFO")).write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    )
    if origin is not None:
        (metadata / "direct_url.json").write_text(origin if isinstance(origin, str) else json.dumps(origin))


def test_how_a_package_was_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, project = tmp_path / "site-packages", tmp_path / "project"
    install(site, "From_Index", "1.0")
    install(site, "editable", "0.1", {"url": "file:///home/me/editable", "dir_info": {"editable": True}})
    (site / "editable-0.1.dist-info" / "entry_points.txt").write_text("[desk]\nvenue = desk.venue\n")
    install(site, "archive", "1.5", {"url": "https://me:token@files.example.org/a.whl?token=x", "archive_info": {}})
    install(
        site,
        "part",
        "2.1",
        {"url": "https://git.example.org/y.git", "vcs_info": {"vcs": "git", "commit_id": "d"}, "subdirectory": "p"},
    )
    install(site, "local", "0.2", {"url": "file:///home/me/local", "dir_info": {}})
    install(
        site,
        "from.git",
        "2.0",
        {"url": "https://me:token@git.example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}},
    )
    install(site, "odd", "3", "{not json")
    install(site, "list", "3", "[]")
    install(project, "developed", "4", kind="egg-info")
    (site / "broken-1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(site), str(project), str(tmp_path / "nowhere")])
    points = "[desk]\nvenue = desk.venue\n"
    assert installed_packages(None) == (
        Package(name="archive", version="1.5", origin="https://files.example.org/a.whl"),
        Package(name="developed", version="4", editable=True),
        Package(name="editable", version="0.1", editable=True, origin="file:///home/me/editable", entry_points=points),
        Package(name="from-git", version="2.0", vcs="git+https://git.example.org/x.git@abc123"),
        Package(name="from-index", version="1.0"),
        Package(name="list", version="3"),
        Package(name="local", version="0.2", origin="file:///home/me/local"),
        Package(name="odd", version="3"),
        Package(name="part", version="2.1", vcs="git+https://git.example.org/y.git@d#subdirectory=p"),
    )


def test_the_first_on_the_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "a", "same", "1")
    install(tmp_path / "b", "Same", "2")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "a"), str(tmp_path / "b")])
    assert installed_packages(None) == (Package(name="same", version="1"),)


def test_the_list_is_remembered_until_something_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DiskCache(tmp_path / "cache")
    install(tmp_path / "site", "one", "1")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    first = installed_packages(cache)
    with monkeypatch.context() as patch:
        patch.setattr(distributions.metadata, "distributions", lambda: pytest.fail("listed again"))
        assert installed_packages(cache) == first
    install(tmp_path / "site", "two", "2")
    assert [package.name for package in installed_packages(cache)] == ["one", "two"]
    # Reinstalled in place, with the same version.
    stat = (tmp_path / "site" / "two-2.dist-info").stat()
    (tmp_path / "site" / "two-2.dist-info" / "direct_url.json").write_text(
        '{"url": "file:///x", "dir_info": {"editable": true}}'
    )
    os.utime(tmp_path / "site" / "two-2.dist-info", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert installed_packages(cache)[1].editable


@given(st.text("aB-_.1", max_size=12))
def test_normalising_is_idempotent(name: str) -> None:
    assert normalised(normalised(name)) == normalised(name)
