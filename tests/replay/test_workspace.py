from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lineage_flows.capture.code import capture_source_tree
from lineage_flows.capture.file_content import take
from lineage_flows.content import fingerprint_file, open_store
from lineage_flows.errors import BlobAlteredError, BlobMissingError, CodeNotRestorableError, HomeError, ReplayError
from lineage_flows.records import RunRecord
from lineage_flows.replay.plan import make_plan
from lineage_flows.replay.workspace import Workspace, places
from lineage_flows.settings import Settings, load_settings
from tests.compare.building import Run, read, wrote


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class Project:
    """A project on disk, captured for real, and a record that names it."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.home = home
        self.store = open_store(str(home / "blobs"))
        folder.mkdir(parents=True)
        (folder / "flow.py").write_text("def backtest(): ...\n")
        (folder / "lib").mkdir()
        (folder / "lib" / "helpers.py").write_text("X = 1\n")

    def captured(self, path: str, content: str, order: int = 1):
        digest, size = self.store.put(content.encode())
        from lineage_flows.records import BlobRef

        return read(path, content, order, blob=BlobRef(digest=digest, size=size, format="file"))

    def record(self, *datasets, **flow) -> RunRecord:
        tree = capture_source_tree(
            str(self.folder / "flow.py"), store=self.store, size_cap=1 << 20, cache=self.home / "cache"
        )
        run = Run(root=str(self.folder))
        run.step("load", 1.0, datasets=datasets)
        record = run.record(**flow)
        return record.model_copy(update={"flow": record.flow.model_copy(update={"code": tree, **flow})})

    def build(self, record: RunRecord, workspace: Workspace, code_path: Path | None = None):
        plan = make_plan(record, self.store, code_path=code_path)
        workspace.build(plan, self.store)
        return plan


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "desk" / "project", tmp_path / "home")


def settings(project: Project) -> Settings:
    return load_settings(home=project.home)


def test_code_and_files_lie_in_the_mirror(project, tmp_path):
    record = project.record(
        project.captured(f"{project.folder}/data/prices.csv", "kept"),
        project.captured(f"{tmp_path}/elsewhere/a.txt", "a"),
        wrote(f"{project.folder}/out/deep/result.csv", "r"),
    )
    with Workspace() as workspace:
        project.build(record, workspace)
        assert workspace.at(f"{project.folder}/flow.py").read_text() == "def backtest(): ...\n"
        assert workspace.at(f"{project.folder}/lib/helpers.py").read_text() == "X = 1\n"
        assert workspace.at(f"{project.folder}/data/prices.csv").read_text() == "kept"
        assert workspace.at(f"{tmp_path}/elsewhere/a.txt").read_text() == "a"
        assert workspace.at(f"{project.folder}/out/deep").is_dir()
        base = workspace.base
    assert not base.exists()


def test_a_captured_file_stands_before_the_trees_version_of_it(project):
    (project.folder / "prices.csv").write_text("changed after the read")
    record = project.record(project.captured(f"{project.folder}/prices.csv", "as it was read"))
    with Workspace() as workspace:
        project.build(record, workspace)
        assert workspace.at(f"{project.folder}/prices.csv").read_text() == "as it was read"


def test_links_of_the_tree_stay_in_the_workspace(project, tmp_path):
    secret = tmp_path / "desk" / "outside.txt"
    secret.write_text("desk")
    links = {
        "absolute": str(secret),
        "climbing": "../" * 40 + str(secret).lstrip("/"),
        "upwards": "../outside.txt",
        "inside": "lib/helpers.py",
        "folder": str(tmp_path / "desk"),
        "loop": "loop",
    }
    for name, target in links.items():
        (project.folder / name).symlink_to(target)
    record = project.record(
        project.captured(f"{project.folder}/absolute", "kept"),
        project.captured(f"{project.folder}/folder/through.txt", "kept"),
    )
    with Workspace() as workspace:
        project.build(record, workspace)
        for name in links:
            link = workspace.at(f"{project.folder}/{name}")
            if link.is_symlink() and name != "loop":
                assert Path(os.path.realpath(link)).is_relative_to(workspace.root), name
        assert workspace.at(f"{project.folder}/absolute").read_text() == "kept"
        assert workspace.at(f"{project.folder}/folder/through.txt").read_text() == "kept"
        assert workspace.at(f"{tmp_path}/desk/through.txt").read_text() == "kept"
        assert workspace.at(f"{project.folder}/inside").read_text() == "X = 1\n"
    assert secret.read_text() == "desk"
    assert not (tmp_path / "desk" / "through.txt").exists()


def test_nothing_is_left_when_a_blob_is_missing_or_altered(project, temporary):
    record = project.record(project.captured(f"{project.folder}/prices.csv", "kept"))
    blob = next(path for path in (project.home / "blobs").rglob("*") if path.is_file() and path.read_bytes() == b"kept")
    blob.chmod(0o600)
    blob.write_bytes(b"altered")
    with pytest.raises(BlobAlteredError), Workspace() as workspace:
        project.build(record, workspace)
    blob.unlink()
    with pytest.raises(BlobMissingError), Workspace() as workspace:
        project.build(record, workspace)
    assert list(temporary.iterdir()) == []


def test_a_tree_without_the_flows_file_is_refused(project):
    record = project.record()
    entry = record.flow.entry.model_copy(update={"path": f"{project.folder}/absent.py"})
    record = record.model_copy(update={"flow": record.flow.model_copy(update={"entry": entry})})
    with pytest.raises(CodeNotRestorableError, match=r"absent\.py"), Workspace() as workspace:
        project.build(record, workspace)


def test_a_file_that_was_not_kept_is_linked_when_it_is_still_what_it_was(project, tmp_path):
    large = tmp_path / "large.bin"
    large.write_text("large")
    unkept = read(str(large), "x", 1, fingerprint=fingerprint_file(large)[0], note="over the size cap")
    record = project.record(unkept)
    with Workspace() as workspace:
        project.build(record, workspace)
        assert workspace.at(str(large)).read_text() == "large"
    large.write_text("other")
    why = r"over the size cap, and the file now has other content.*LINEAGE_FLOWS_SIZE_CAP"
    with pytest.raises(ReplayError, match=why), Workspace() as workspace:
        project.build(record, workspace)
    large.unlink()
    with pytest.raises(ReplayError, match="not there any more"), Workspace() as workspace:
        project.build(record, workspace)


def test_other_code_takes_the_place_of_the_captured_and_data_stays(project, tmp_path):
    (project.folder / "data.txt").write_text("in the tree")
    record = project.record(project.captured(f"{project.folder}/data.txt", "as it was read"))
    other = tmp_path / "other"
    (other / ".git").mkdir(parents=True)
    (other / ".git" / "config").write_text("")
    (other / "flow.py").write_text("def backtest(): return 2\n")
    (other / "data.txt").write_text("not this")
    with Workspace() as workspace:
        project.build(record, workspace, code_path=other)
        folder = workspace.at(str(project.folder))
        assert (folder / "flow.py").read_text() == "def backtest(): return 2\n"
        assert (folder / "data.txt").read_text() == "as it was read"
        assert not (folder / ".git").exists()
        assert not (folder / "lib").exists(), "the captured code is not mixed in"


def test_other_code_may_stand_for_a_folder_of_the_tree(tmp_path):
    project = Project(tmp_path / "desk" / "project", tmp_path / "home")
    (project.folder / "flows").mkdir()
    (project.folder / "flows" / "flow.py").write_text("old")
    subprocess.run(["git", "init", "-q"], cwd=project.folder, check=True)
    record = project.record()
    entry = record.flow.entry.model_copy(update={"path": f"{project.folder}/flows/flow.py"})
    record = record.model_copy(update={"flow": record.flow.model_copy(update={"entry": entry})})
    other = tmp_path / "other"
    other.mkdir()
    (other / "flow.py").write_text("new")
    with Workspace() as workspace:
        project.build(record, workspace, code_path=other)
        assert workspace.at(f"{project.folder}/flows/flow.py").read_text() == "new"
        assert workspace.at(f"{project.folder}/lib/helpers.py").exists()
    (other / "flow.py").unlink()
    with pytest.raises(ReplayError, match="does not hold the flow's code"), Workspace() as workspace:
        project.build(record, workspace, code_path=other)


def test_a_kept_workspace_stays_and_is_never_taken_for_abandoned(temporary):
    with Workspace(keep=True) as workspace:
        kept = workspace.base
    with Workspace():
        pass
    assert kept.is_dir()


def test_a_workspace_whose_owner_was_killed_is_removed_and_a_living_one_is_not(temporary):
    script = (
        "import tempfile, os, signal, sys; tempfile.tempdir = sys.argv[1]\n"
        "from lineage_flows.replay.workspace import Workspace\n"
        "print(Workspace().base, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(temporary)], capture_output=True, text=True, check=False)
    abandoned = Path(done.stdout.strip())
    assert abandoned.is_dir(), done.stderr
    with Workspace() as living:
        assert not abandoned.exists()
        with Workspace() as other:
            assert living.base.is_dir()
            assert other.base != living.base


def test_a_folder_for_temporary_files_that_cannot_be_used_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(HomeError, match="TMPDIR"):
        Workspace()


def test_what_the_flow_made_unreadable_is_removed_too(temporary):
    with Workspace() as workspace:
        folder = workspace.root / "locked"
        folder.mkdir()
        (folder / "file").write_text("")
        folder.chmod(0)
    assert list(temporary.iterdir()) == []


def test_the_folders_mean_what_they_should(project, tmp_path):
    shared = tmp_path / "shared"
    record = project.record(
        project.captured(f"{shared}/prices.csv", "kept"),
        wrote(f"{project.folder}/out/result.csv", "r", 2),
    )
    with Workspace() as workspace:
        plan = project.build(record, workspace)
        found = places(plan, workspace, settings(project), project.store.url)
    assert str(project.folder) in found.roots
    assert f"{project.folder}/out/result.csv" in found.known
    assert str(shared) in found.listed
    assert f"{project.folder}/out" in found.assumed
    assert str(project.folder) not in found.assumed
    assert str(project.home) in found.writable
    assert str(Path(os.__file__).parent) in found.readable


def test_a_home_or_the_root_is_never_wholly_the_workspaces(project):
    record = project.record()
    entry = record.flow.entry.model_copy(
        update={"working_directory": "/", "import_roots": (str(Path.home()), tempfile.gettempdir(), "/home")}
    )
    record = record.model_copy(update={"flow": record.flow.model_copy(update={"entry": entry})})
    with Workspace() as workspace:
        plan = project.build(record, workspace)
        found = places(plan, workspace, settings(project), project.store.url)
    assert found.roots == (str(project.folder),)


def test_a_folder_that_was_read_lies_in_the_mirror_whole_and_is_wholly_the_workspaces(project, tmp_path):
    outside = tmp_path / "outside" / "ds"
    (outside / "s=A").mkdir(parents=True)
    (outside / "s=A" / "1.parquet").write_text("a")
    content = take(str(outside), outside.stat(), store=project.store, size_cap=1 << 20, cache=None)
    record = project.record(read(str(outside), "x", 1, fingerprint=content.fingerprint, blob=content.blob))
    with Workspace() as workspace:
        plan = project.build(record, workspace)
        assert workspace.at(f"{outside}/s=A/1.parquet").read_text() == "a"
        found = places(plan, workspace, settings(project), project.store.url)
    assert str(outside) in found.roots, "a file that came into it since does not exist in the replay"
    assert {str(outside), f"{outside}/s=A"} <= set(found.listed)


def test_a_folder_that_was_not_kept_is_linked_file_by_file_when_it_is_still_what_it_was(project, tmp_path):
    outside = tmp_path / "outside" / "ds"
    (outside / "s=A").mkdir(parents=True)
    (outside / "s=A" / "1.parquet").write_text("a")
    seen = take(str(outside), outside.stat(), store=None, size_cap=0, cache=None)
    record = project.record(read(str(outside), "x", 1, fingerprint=seen.fingerprint, note="over the size cap"))
    with Workspace() as workspace:
        project.build(record, workspace)
        mine = workspace.at(f"{outside}/s=A/1.parquet")
        assert mine.is_symlink(), (
            "the redirector copies a linked file before it is changed, and can do so for files only"
        )
        assert not mine.parent.is_symlink()
        assert mine.read_text() == "a"
    (outside / "s=A" / "2.parquet").write_text("b")
    with pytest.raises(ReplayError, match="now has other content"), Workspace() as workspace:
        project.build(record, workspace)


def test_every_folder_that_holds_only_what_the_run_wrote_can_be_made_anew(project, tmp_path):
    record = project.record(
        project.captured(f"{tmp_path}/shared/in/prices.csv", "kept"),
        wrote(f"{project.folder}/out/plots/deep/a.txt", "r", 2),
        wrote(f"{tmp_path}/shared/results/a.txt", "r", 3),
    )
    with Workspace() as workspace:
        plan = project.build(record, workspace)
        found = places(plan, workspace, settings(project), project.store.url)
    made = {"out", "out/plots", "out/plots/deep"}
    assert {f"{project.folder}/{name}" for name in made} | {f"{tmp_path}/shared/results"} <= found.assumed
    there = {str(project.folder), str(project.folder.parent), f"{tmp_path}/shared", f"{tmp_path}/shared/in", "/"}
    assert not there & found.assumed
    assert tempfile.gettempdir() not in found.assumed
