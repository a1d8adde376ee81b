"""Wheels that are made of what is installed: an installer gets the very files back, and nothing that was changed is kept."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lineage_flows.capture.distributions import installed_packages
from lineage_flows.capture.environment import _captured, capture_environment
from lineage_flows.capture.kept_wheels import add_kept_wheels, kept_wheels
from lineage_flows.content import open_store
from lineage_flows.errors import ContentError, HomeError
from lineage_flows.record_base import BlobRef
from lineage_flows.record_code import KeptWheel
from lineage_flows.replay.uv import find_uv
from lineage_flows.replay.wheels import keep_wheels, make_wheel
from lineage_flows.settings import load_settings
from tests.replay.tiny import install, tiny_wheel

importlib_metadata = pytest.importorskip("importlib_metadata")

POINTS = "[console_scripts]\ntiny = tinypkg:main\n"
INFO = "tinypkg-1.0"
FILES = {
    "tinypkg.py": "def main(): print('tiny')\n",
    f"{INFO}.data/scripts/tiny-shell": "#!python\nprint('script')\n",
    f"{INFO}.data/data/share/tiny/notes.txt": "notes",
}


def new_environment(folder: Path) -> tuple[Path, Path]:
    subprocess.run(
        [find_uv() or "uv", "venv", "-q", "--no-project", "--python", sys.executable, str(folder)], check=True
    )
    (site,) = folder.glob("lib/python*/site-packages")
    return folder / "bin" / "python", site


@pytest.fixture
def installed(tmp_path) -> tuple[Path, Path]:
    """An environment with tinypkg in it."""
    python, site = new_environment(tmp_path / "one")
    install(python, str(tiny_wheel(tmp_path, "tinypkg", "1.0", FILES, entry_points=POINTS)))
    return python, site


def distribution(site: Path, name: str = "tinypkg") -> importlib.metadata.Distribution:
    (found,) = importlib.metadata.distributions(name=name, path=[str(site)])
    return found


def test_what_is_installed_from_the_wheel_is_what_was_installed(installed, tmp_path):
    wheel = make_wheel(distribution(installed[1]), tmp_path)
    assert wheel.name == "tinypkg-1.0-py3-none-any.whl"
    again = tmp_path / "again"
    again.mkdir()
    assert make_wheel(distribution(installed[1]), again).read_bytes() == wheel.read_bytes(), "not the same bytes again"
    python, site = new_environment(tmp_path / "two")
    install(python, str(wheel))
    for name in ("tinypkg.py", f"{INFO}.dist-info/METADATA", f"{INFO}.dist-info/entry_points.txt"):
        assert (site / name).read_bytes() == (installed[1] / name).read_bytes()
    assert (tmp_path / "two" / "share" / "tiny" / "notes.txt").read_text() == "notes"
    for program, said in (("tiny", "tiny\n"), ("tiny-shell", "script\n")):
        done = subprocess.run([str(python.with_name(program))], capture_output=True, text=True, check=True)
        assert done.stdout == said
    assert str(python) in python.with_name("tiny-shell").read_text(), "a script that leads to another environment"


def test_a_file_that_was_changed_or_is_gone_is_not_kept_as_the_package(installed, tmp_path):
    (installed[1] / "tinypkg.py").write_text("def main(): print('patched')\n")
    with pytest.raises(ContentError, match=r"tinypkg\.py was changed after it was installed"):
        make_wheel(distribution(installed[1]), tmp_path)
    (installed[1] / "tinypkg.py").unlink()
    for finder in (importlib.metadata, importlib_metadata):  # the second leaves out of its list what is gone
        (found,) = finder.distributions(name="tinypkg", path=[str(installed[1])])
        with pytest.raises(FileNotFoundError):
            make_wheel(found, tmp_path)


def test_what_was_not_installed_from_a_wheel_is_refused(tmp_path):
    info = tmp_path / "old-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: old\nVersion: 1.0\n")
    with pytest.raises(ContentError, match=r"old 1\.0 was not installed from a wheel"):
        make_wheel(distribution(tmp_path, "old"), tmp_path)


def test_the_tags_of_a_compiled_package_are_its_own(tmp_path):
    numpy = importlib.metadata.distribution("numpy")
    tags = {
        line.partition(": ")[2] for line in (numpy.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: ")
    }
    from packaging.utils import parse_wheel_filename

    from lineage_flows.replay.wheels import _file_name

    name, version, _, found = parse_wheel_filename(_file_name("numpy", numpy.version, numpy.read_text("WHEEL") or ""))
    assert (name, str(version)) == ("numpy", numpy.version)
    assert tags <= {str(tag) for tag in found}


def test_kept_wheels_are_named_by_the_records_of_later_runs(installed, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed[1])])
    settings = load_settings(home=tmp_path / "home", keep_wheels=("tiny*", "absent"))
    store = open_store(settings.blobs_url)
    report = keep_wheels((), settings, store)
    (wheel,) = report.kept
    assert (wheel.name, wheel.version, report.added, report.refused) == ("tinypkg", "1.0", 1, ())
    assert store.has(wheel.blob.digest)
    _captured.clear()
    found = capture_environment((), settings.home / "cache")
    _captured.clear()
    assert found.wheels == (wheel,)
    again = keep_wheels((), settings, store)
    assert (again.kept, again.added) == ((wheel,), 0)
    (installed[1] / "tinypkg.py").write_text("patched\n")
    refused = keep_wheels(("tinypkg",), load_settings(home=tmp_path / "new"), store)
    assert refused.kept == ()
    assert "was changed" in refused.refused[0][1]


def test_without_patterns_what_came_from_no_index_is_kept(installed, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed[1])])
    settings = load_settings(home=tmp_path / "home")
    report = keep_wheels((), settings, open_store(settings.blobs_url))
    local = {item.name for item in installed_packages(None) if (item.origin or item.vcs) and not item.editable}
    assert "tinypkg" in local, "it was installed from a file"
    assert {wheel.name for wheel in report.kept} | {name.split()[0] for name, _ in report.refused} == local - {
        "lineage-flows"
    }


def test_the_list_survives_what_it_cannot_read_and_two_at_once(tmp_path):
    def kept(name: str) -> KeptWheel:
        return KeptWheel(name=name, version="1", file=f"{name}.whl", blob=BlobRef(digest="d", size=1, format="wheel"))

    assert kept_wheels(tmp_path) == ()
    (tmp_path / "wheels.json").write_text("{not json")
    assert kept_wheels(tmp_path) == ()
    program = (
        "import sys; from pathlib import Path\n"
        "from lineage_flows.capture.kept_wheels import add_kept_wheels\n"
        "from lineage_flows.record_code import KeptWheel\n"
        "folder, text, letter = sys.argv[1:]\n"
        "for n in range(20):\n"
        "    add_kept_wheels(Path(folder), [KeptWheel.model_validate_json(text.replace('NAME', f'{letter}{n}'))])\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), kept("NAME").model_dump_json(), letter])
        for letter in "ab"
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    assert {wheel.name for wheel in kept_wheels(tmp_path)} == {f"{letter}{n}" for letter in "ab" for n in range(20)}
    add_kept_wheels(tmp_path, [kept("a0").model_copy(update={"file": "newer.whl"})])
    assert next(wheel.file for wheel in kept_wheels(tmp_path) if wheel.name == "a0") == "newer.whl"


def test_a_home_that_is_no_folder_is_said(installed, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed[1])])
    settings = load_settings(home=tmp_path / "home", store_url=str(tmp_path / "blobs"))
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeError, match="list of wheels"):
        keep_wheels(("tinypkg",), settings, open_store(settings.blobs_url))


def test_a_wheel_is_readable_by_the_standard_library(installed, tmp_path):
    with zipfile.ZipFile(make_wheel(distribution(installed[1]), tmp_path)) as wheel:
        assert wheel.testzip() is None
        names = wheel.namelist()
    assert f"{INFO}.dist-info/RECORD" in names
    assert not any(name.endswith(("INSTALLER", "direct_url.json", ".pyc")) for name in names)
