"""Runs whose packages are not the ones that are here: captured, rebuilt and replayed by real programs in real environments."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from lineage_flows.replay.uv import find_uv
from tests.replay.tiny import frozen, install, lean_environment, tiny_wheel

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]

FLOW = """
import sys
from importlib.metadata import entry_points, version

import tinypkg
from deskpkg import lot
from prefect import flow, task


@task
def price(x):
    return tinypkg.rate() * x * lot()


@task
def versions():
    return tinypkg.__version__, version("tinypkg"), version("deskpkg"), [p.value for p in entry_points(group="desk")]


@task
def total(a, b):
    return a + len(b)


@flow
def valuation(x: float = 2.0):
    return total(price(x), versions())


if __name__ == "__main__":
    valuation()
"""


@dataclass
class Office:
    """A folder with a project, a home, and two environments: one with tinypkg 1.0 and one with 2.0."""

    folder: Path
    home: Path
    api: str
    old: Path
    new: Path

    def call(
        self, python: Path, *arguments: str, cwd: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        uv = find_uv()
        assert uv is not None
        environment = {
            **{
                n: v for n, v in os.environ.items() if n not in {"PREFECT_PLUGINS_ENABLED", "PYTHONPATH", "VIRTUAL_ENV"}
            },
            "PATH": f"{Path(uv).parent}:/usr/bin:/bin",
            "PREFECT_API_URL": self.api,
            "LINEAGE_FLOWS_HOME": str(self.home),
            "PREFECT_LOCAL_STORAGE_PATH": f"{self.home}-results",
            "UV_OFFLINE": "1",
            **more,
        }
        return subprocess.run(
            [str(python), *arguments],
            cwd=cwd or self.home.parent,
            env={name: value for name, value in environment.items() if value},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    def lineage(self, python: Path, *arguments: str, **more: str) -> tuple[int, dict, str]:
        program = "import sys; from lineage_flows.cli import main; sys.exit(main())"
        done = self.call(python, "-c", program, *arguments, "--json", **more)
        return done.returncode, json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def office(tmp_path_factory, prefect_server) -> Office:
    base = tmp_path_factory.mktemp("office")
    wheels = base / "wheels"
    code = "__version__ = '{0}'\ndef rate(): return {0}\n"
    for version in ("1.0", "2.0"):
        tiny_wheel(wheels, "tinypkg", version, {"tinypkg.py": code.format(version)})
    project, desk = base / "project", base / "project" / "desk"
    (desk / "src" / "deskpkg").mkdir(parents=True)
    (desk / "src" / "deskpkg" / "__init__.py").write_text("def lot(): return 10\n")
    (project / "flow.py").write_text(dedent(FLOW))
    (project / "pyproject.toml").write_text("[tool.prefect.plugins]\nenabled = true\n")
    found = Office(
        project, base / "home", prefect_server, base / "old" / "bin" / "python", base / "new" / "bin" / "python"
    )
    for version, python in (("1.0", found.old), ("2.0", found.new)):
        lean_environment(python.parents[1])
        install(python, "--no-index", "--find-links", str(wheels), f"tinypkg=={version}")
        (site,) = python.parents[1].glob("lib/python*/site-packages")
        # As an installer does it in editable form: a line that leads to the source, and metadata.
        (site / "deskpkg.pth").write_text(f"{desk / 'src'}\n")
        info = site / "deskpkg-0.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deskpkg\nVersion: 0.3\n")
        (info / "direct_url.json").write_text(json.dumps({"url": desk.as_uri(), "dir_info": {"editable": True}}))
        (info / "entry_points.txt").write_text("[desk]\nlot = deskpkg:lot\n")
    code, kept, said = found.lineage(found.old, "wheels", "*")
    assert (code, kept["refused"]) == (0, []), said
    ran = found.call(found.old, "flow.py", cwd=project)
    assert ran.returncode == 0, ran.stderr
    assert "lineage:" not in ran.stderr, ran.stderr
    # What the run was made with is gone: the project, the environment, the index.
    shutil.rmtree(project)
    shutil.rmtree(found.old.parents[1])
    shutil.rmtree(wheels)
    return found


def run_of(office: Office) -> str:
    code, runs, said = office.lineage(office.new, "runs")
    assert code == 0, said
    return next(run["run_id"] for run in runs if run["kind"] == "run")


def test_a_run_is_identical_in_its_rebuilt_environment_and_different_in_another(office):
    run = run_of(office)
    code, plan, said = office.lineage(office.new, "replay", run, "--plan")
    assert (code, plan["expected"], plan["environment"]["chosen"]) == (0, "identical", "rebuild"), (plan, said)
    assert plan["environment"]["differences"] == ["tinypkg 1.0 → 2.0"]
    assert plan["environment"]["ready"] is False
    code, report, said = office.lineage(office.new, "replay", run)  # auto: tinypkg is another one here
    assert (code, report["verdict"]) == (0, "identical"), (report, said)
    assert any(note.startswith("environment: rebuilt") for note in report["notes"])
    assert [change["name"] for change in report["environment"]] == []

    code, report, said = office.lineage(office.new, "replay", run, "--env", "current")
    assert (code, report["verdict"]) == (1, "different"), (report, said)
    first = report["steps"][report["first_divergence"]]
    assert (first["task"], first["causes"]) == ("price", ["environment"])
    assert "tinypkg 1.0 → 2.0" in " ".join(first["details"])

    code, kept, _ = office.lineage(office.new, "environments")
    (environment,) = kept["environments"]
    assert environment["size"] > 10_000_000
    python = office.home / "environments" / environment["digest"] / "env" / "bin" / "python"
    assert frozen(python)["tinypkg"] == "1.0"
    compiled = python.parents[2] / "compiled"
    assert list(compiled.rglob("tinypkg.*.pyc")), "the next replay compiles again"
    assert not list(compiled.rglob("lf-replay-*")), "byte code of a workspace was left"


def test_what_cannot_be_rebuilt_is_refused_in_one_line_and_offers_what_is_here(office, tmp_path):
    run = run_of(office)
    nowhere = {"PATH": "/usr/bin:/bin"}
    code, document, said = office.lineage(office.new, "replay", run, **nowhere)
    assert code == 2
    assert "uv is not installed; here is another one (tinypkg 1.0 → 2.0)" in document["error"]["why"]
    assert "--env current" in document["error"]["fix"]
    assert office.lineage(office.new, "replay", run, "--env", "current", **nowhere)[0] == 1
    code, plan, said = office.lineage(office.new, "replay", run, "--plan", **nowhere)
    assert (code, plan["expected"]) == (2, "impossible"), said
