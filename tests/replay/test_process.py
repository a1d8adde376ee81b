from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from lineage_flows.errors import ReplayError
from lineage_flows.records import DeploymentRef, ReplayInfo
from lineage_flows.replay.choice import Interpreter
from lineage_flows.replay.environments import Built
from lineage_flows.replay.process import Pipes, child_environment, execute
from lineage_flows.replay.spec import ChildSpec, Folders
from lineage_flows.replay.workspace import Workspace
from lineage_flows.settings import load_settings
from tests.compare.building import Run, environment


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Workspace() as made:
        yield made


def test_the_child_sees_the_recorded_variables_and_no_others_of_their_kind(workspace, monkeypatch, tmp_path):
    for name, value in {
        "OMP_NUM_THREADS": "8",
        "MKL_NUM_THREADS": "8",
        "TZ": "Europe/Paris",
        "PYTHONPATH": "/desk/project:/desk/project/lib:/opt/libs",
        "PYTHONHASHSEED": "7",
        "PREFECT__FLOW_RUN_ID": "somebody's",
        "LINEAGE_FLOWS_LEVEL": "off",
        "KEPT": "yes",
    }.items():
        monkeypatch.setenv(name, value)
    recorded = environment(variables={"OMP_NUM_THREADS": "1", "TZ": "UTC"}, hash_seed="42")
    record = Run().record(deployment=DeploymentRef(id="an id", name="nightly"))
    settings = load_settings(home=tmp_path / "home", level="inputs")
    found = child_environment(record, recorded, settings, workspace)
    assert (found["OMP_NUM_THREADS"], found["TZ"], found["PYTHONHASHSEED"], found["KEPT"]) == ("1", "UTC", "42", "yes")
    assert not {"MKL_NUM_THREADS", "PREFECT__FLOW_RUN_ID"} & found.keys()
    assert found["PYTHONPATH"].split(":") == [str(workspace.base / "site"), "/opt/libs"]
    assert found["LINEAGE_FLOWS_HOME"] == str(tmp_path / "home")
    assert found["LINEAGE_FLOWS_LEVEL"] == "inputs"
    assert found["TMPDIR"] == str(workspace.at(str(tmp_path)))
    assert Path(found["TMPDIR"]).is_dir()
    assert found["PREFECT__RUNTIME__DEPLOYMENT__NAME"] == "nightly"
    assert found["PREFECT_RESULTS_LOCAL_STORAGE_PATH"].startswith(str(workspace.base))


def test_without_a_recorded_environment_the_parents_stays(workspace, monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    found = child_environment(Run().record(), None, load_settings(home=tmp_path), workspace)
    assert found["OMP_NUM_THREADS"] == "8"
    assert "PYTHONHASHSEED" not in found


def test_outputs_are_kept_where_the_originals_were(workspace, tmp_path):
    run = Run()
    run.step("fit", [1.0], keep=True)
    found = child_environment(run.record(), None, load_settings(home=tmp_path), workspace)
    assert found["LINEAGE_FLOWS_LEVEL"] == "all"


def spec(workspace: Workspace, pipes: Pipes) -> ChildSpec:
    return ChildSpec(
        record=Run().record(),
        base=str(workspace.base),
        folders=Folders(workspace=str(workspace.root)),
        substitutes={},
        code_root="/desk/project",
        info=ReplayInfo(replay_of="x"),
        alive=pipes.alive,
        progress=pipes.progress,
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        ("print('the last words'); raise SystemExit(7)", "ended with exit code 7; its last words: the last words"),
    ],
)
def test_a_child_that_dies_is_said_to_have(workspace, monkeypatch, tmp_path, body, said):
    fake = tmp_path / "fake-python"
    fake.write_text(f"#!{sys.executable}\n{body}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    with pytest.raises(ReplayError) as error, Pipes() as pipes:
        execute(spec(workspace, pipes), pipes, workspace, dict(os.environ), timeout=60, on_progress=lambda *_: None)
    assert said in str(error.value)
    assert {path.name for path in Path("/proc/self/fd").iterdir()} == before, "descriptors were left open"


def built(folder: Path) -> Interpreter:
    found = Built(digest="d", python=f"{folder}/env/bin/python", version="3", paths=(), site="", packages=1, seconds=0)
    return Interpreter(found.python, found, other_prefect=True)


def test_in_a_rebuilt_environment_its_programs_come_first_and_nothing_of_here_is_imported(
    workspace, monkeypatch, tmp_path
):
    monkeypatch.setenv("PYTHONPATH", "/opt/libs")
    monkeypatch.setenv("PATH", "/usr/bin")
    settings = load_settings(home=tmp_path / "home")
    found = child_environment(Run().record(), None, settings, workspace, built(tmp_path))
    assert found["PATH"] == f"{tmp_path}/env/bin:/usr/bin"
    assert found["VIRTUAL_ENV"] == f"{tmp_path}/env"
    assert found["PYTHONPATH"] == str(workspace.base / "site")


def test_another_prefect_gets_a_home_of_its_own_unless_there_is_a_server(workspace, monkeypatch, tmp_path):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    settings = load_settings(home=tmp_path / "home")
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        here = child_environment(Run().record(), None, settings, workspace)
        there = child_environment(Run().record(), None, settings, workspace, built(tmp_path))
    assert here["PREFECT_HOME"] != there["PREFECT_HOME"] == str(workspace.base / "prefect")
    with temporary_settings(updates={PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        found = child_environment(Run().record(), None, settings, workspace, built(tmp_path))
    assert found["PREFECT_HOME"] == here["PREFECT_HOME"]
