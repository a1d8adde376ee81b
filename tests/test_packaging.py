"""What is shipped: metadata, pins, module sizes, documents that name only what exists, and a plain install that works."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import tomllib
from fnmatch import fnmatch
from importlib.metadata import requires
from pathlib import Path

import httpx
import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from demo.server import isolated_environment, private_server
from lineage_flows.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
LONGEST_MODULE = 400


def project_files() -> list[Path]:
    """What git keeps or would keep; in a copy that is no repository, what .gitignore does not name."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        ignored = [".git", *(line.strip("/") for line in (ROOT / ".gitignore").read_text().split())]
        found = [
            path
            for path in ROOT.rglob("*")
            if not any(fnmatch(part, pattern) for part in path.relative_to(ROOT).parts for pattern in ignored)
        ]
    return sorted(path for path in found if path.is_file())


def pins() -> dict[str, list[Requirement]]:
    """The lines of requirements.txt by name: several where a version depends on the platform."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text:
            pin = Requirement(text)
            found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def asked_for() -> list[Requirement]:
    """What pyproject.toml asks for in everything that `make setup` installs."""
    project = PROJECT["project"]
    texts = list(project["dependencies"])
    for extra in ("aws", "example"):
        texts += project["optional-dependencies"][extra]
    texts += PROJECT["dependency-groups"]["dev"]
    return [Requirement(text) for text in texts]


def commands(language: str = "[a-z]*") -> list[tuple[Path, str]]:
    """Every line of every fenced shell block in the documents."""
    found = []
    for document in DOCUMENTS:
        for block in re.findall(rf"^```(?:{language})\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL):
            found += [(document, line.partition("#")[0].strip()) for line in block.splitlines()]
    return [(document, line) for document, line in found if line]


@pytest.mark.parametrize(
    ("name", "works", "broken"),
    [
        # From 0.151 a null in a request's body is refused where Prefect 3.8's client sends one, so `prefect deploy` fails;
        # from 0.155 the server does not start.
        ("fastapi", "0.150.0", ["0.151.0", "0.154.0", "0.155.0"]),
        # With 2.1 the server is healthy, but its scheduler fails ("Can't evaluate bulk DML statement"): no scheduled run.
        ("sqlalchemy", "2.0.49", ["2.1.0", "2.1.9"]),
    ],
)
def test_metadata_leaves_out_what_prefects_server_does_not_work_with(name, works, broken):
    (bound,) = [wanted for text in requires("lineage-flows") or [] if (wanted := Requirement(text)).name == name]
    assert bound.specifier.contains(works)
    assert list(bound.specifier.filter(broken)) == []


def test_requirements_pin_exact_versions_and_name_no_index():
    text = (ROOT / "requirements.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-", text, re.MULTILINE), "an option, such as an index"
    for found in pins().values():
        for pin in found:
            assert pin.url is None
            assert [specifier.operator for specifier in pin.specifier] == ["=="], pin


@pytest.mark.parametrize("wanted", asked_for(), ids=lambda wanted: wanted.name)
def test_requirements_satisfy_pyproject(wanted):
    found = pins().get(canonicalize_name(wanted.name))
    assert found, f"{wanted.name} is not pinned: run `make lock`"
    for pin in found:
        (version,) = [specifier.version for specifier in pin.specifier]
        assert wanted.specifier.contains(version, prereleases=True), f"{pin} is not {wanted}: run `make lock`"


def test_modules_are_short():
    found = [path for path in project_files() if path.suffix == ".py" and "tests" not in path.parts]
    assert len(found) > 20
    long = {str(path.relative_to(ROOT)): lines for path in found if (lines := _lines(path)) > LONGEST_MODULE}
    assert long == {}


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_no_file_names_a_machine_or_an_index():
    # Written apart, so that this file does not name what it looks for.
    hosts = ("pypi" + ".org", "python" + "hosted", "index" + "-url", "registry = " + '"http', '"resolved": ' + '"http')
    homes = ("/" + "root/", "/" + "work/", "/home/" + "runner", "/Users" + "/")
    told = []
    for path in project_files():
        text = path.read_bytes().decode(errors="replace")
        told += [f"{path.relative_to(ROOT)}: {needle}" for needle in (*hosts, *homes) if needle in text]
    assert told == []


def test_the_documents_name_only_make_targets_that_exist():
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {
        "help",
        "setup",
        "demo",
        "test",
        "lint",
        "types",
        "layers",
        "format",
        "bench",
        "lock",
        "ci",
        "clean",
    } == targets
    named = {match for document in DOCUMENTS for match in re.findall(r"`make ([a-z]+)", document.read_text())}
    named |= {line.split()[1] for _, line in commands() if line.startswith("make ")}
    assert named - targets == set()
    assert {"demo", "test"} <= named


def test_the_documents_name_only_verbs_that_exist_and_readme_names_all():
    from lineage_flows.cli.program import app

    verbs = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    texts = {document: document.read_text() for document in DOCUMENTS}
    named = {verb for text in texts.values() for verb in re.findall(r"`lineage-flows ([a-z-]+)", text)}
    named |= {line.split()[1] for _, line in commands() if re.match(r"lineage-flows [a-z]", line)}
    assert named - verbs == set()
    table = set(re.findall(r"^\| `([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert verbs - table == set(), "README.md's table of the command line is not whole"


def test_the_settings_page_names_every_setting_and_its_default():
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]*) \| [^|]+ \|$", page, re.MULTILINE))
    assert set(rows) == set(Settings.model_fields)
    defaults = {
        "keeper": "`embedded`",
        "level": "`inputs`",
        "namespace": "`prefect`",
        "strict": "`false`",
        "size_cap": "`1GiB`",
        "code_size_cap": "`64MiB`",
        "flush_seconds": "`5`",
        "ui_artifact": "`true`",
    }
    assert {name: rows[name].strip() for name in defaults} == defaults
    assert Settings(size_cap="1GiB", code_size_cap="64MiB") == Settings()  # type: ignore[arg-type]


def test_the_documents_link_to_files_that_exist():
    broken = []
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            if not (document.parent / target).exists():
                broken.append(f"{document.relative_to(ROOT)}: {target}")
    assert broken == []


def test_the_license_is_the_unmodified_text():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "Copyright [yyyy] [name of copyright owner]" in text
    assert len(text) == 11358


def scheduled_runs(url: str) -> list[object]:
    """What the server's scheduler makes of a deployment that is due every hour; nothing when it has made none in time."""
    flow = httpx.post(f"{url}/flows/", json={"name": "hourly"}).json()
    schedules = [{"schedule": {"interval": 3600}, "active": True}]
    made = httpx.post(f"{url}/deployments/", json={"name": "hourly", "flow_id": flow["id"], "schedules": schedules})
    assert made.is_success, made.text
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found = httpx.post(f"{url}/flow_runs/filter", json={}).json()
        if found:
            return list(found)
        time.sleep(0.5)
    return []


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_plain_pip_install_gives_a_prefect_whose_server_works(tmp_path):
    """In an environment of its own: no extra, no pins, nothing of the one the tests run in."""
    environment = isolated_environment(tmp_path / "prefect")
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        environment.pop(name, None)
    python = tmp_path / "venv" / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(tmp_path / "venv")],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(ROOT)],
        [str(python), "-m", "pip", "check"],
    ):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    with private_server(tmp_path / "prefect", python=python) as url:
        # What Prefect's own client sends when it lists things: nulls where nothing is limited.
        for listing in ("flows", "deployments"):
            answer = httpx.post(f"{url}/{listing}/filter", json={"limit": None, "offset": 0, "sort": None})
            assert answer.status_code == 200, answer.text
        assert scheduled_runs(url), "the scheduler made no run of a deployment that has a schedule"

    probe = (
        "import lineage_flows, pathlib; folder = pathlib.Path(lineage_flows.__file__).parent; "
        "print(folder); print((folder / 'py.typed').exists(), len(list(folder.glob('events/schemas/*.json'))) > 2)"
    )
    done = subprocess.run([str(python), "-c", probe], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [
        str(next((tmp_path / "venv").glob("lib/*/site-packages/lineage_flows"))),
        "True",
        "True",
    ]
    version = subprocess.run([str(python.with_name("lineage-flows")), "--help"], env=environment, capture_output=True)
    assert version.returncode == 0
