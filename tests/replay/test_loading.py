from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from lineage_flows.errors import ReplayError
from lineage_flows.records import EntryPoint
from lineage_flows.replay.loading import import_paths, load_flow, module_name
from tests.compare.building import Run


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "w" / "desk" / "project"
    folder.mkdir(parents=True)
    before = dict(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


def load(
    project: Path,
    source: str,
    qualname: str,
    name: str,
    *,
    module: str = "__main__",
    file: str = "daily_flow.py",
    roots: tuple[str, ...] = (),
):
    path = project / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("from prefect import flow, task\n" + dedent(source))
    record = Run(flow=name).record()
    entry = EntryPoint(
        path=f"/desk/project/{file}",
        qualname=qualname,
        module=module,
        working_directory="/desk/project",
        import_roots=roots,
    )
    record = record.model_copy(update={"flow": record.flow.model_copy(update={"entry": entry})})
    return load_flow(record, str(project.parents[1]))


def test_a_script_is_imported_without_its_main_block_and_known_as_main(project):
    found = load(
        project,
        """
        RAN = []

        class Config: ...

        @flow
        def pipeline(): ...

        if __name__ == "__main__":
            RAN.append("main block")
        """,
        "pipeline",
        "pipeline",
    )
    module = sys.modules["daily_flow"]
    assert found is module.pipeline
    assert sys.modules["__main__"] is module
    assert module.RAN == []
    assert module.Config.__module__ == "daily_flow"


@pytest.mark.parametrize(
    "start",
    ["pipeline()", "for i in (1, 2):\n    pipeline()", "import asyncio\nasyncio.run(pipeline())", "pipeline.serve()"],
)
def test_a_script_that_starts_its_flow_on_import_is_read_as_far_as_that(project, start):
    kind = "async " if "asyncio" in start else ""
    found = load(project, f"BEFORE = 1\n@flow\n{kind}def pipeline(): ...\n{start}\nAFTER = 1\n", "pipeline", "pipeline")
    assert found.name == "pipeline"
    assert sys.modules["daily_flow"].BEFORE == 1
    assert not hasattr(sys.modules["daily_flow"], "AFTER")
    assert type(found).__call__.__module__ == "prefect.flows"


def test_a_flow_that_is_defined_after_another_was_started_is_said_to_be(project):
    with pytest.raises(ReplayError, match="starts flow first before it defines this one"):
        load(project, "@flow\ndef first(): ...\nfirst()\n@flow\ndef second(): ...\n", "second", "second")


@pytest.mark.parametrize(
    ("source", "qualname", "name"),
    [
        ("@flow(name='daily')\ndef pipeline(): ...", "pipeline", "daily"),
        ("def fn(): ...\nrenamed = flow(fn, name='one')\nother = flow(fn, name='two')", "fn", "two"),
        (
            "@flow\ndef pipeline(): ...\nvariant = pipeline.with_options(name='variant', retries=2)",
            "pipeline",
            "variant",
        ),
        ("class Desk:\n    @staticmethod\n    @flow(name='s')\n    def run(): ...", "Desk.run", "s"),
        ("class Desk:\n    @flow(name='m')\n    def run(self): ...", "Desk.run", "m"),
        ("class Desk:\n    class Inner:\n        @flow(name='i')\n        def run(self): ...", "Desk.Inner.run", "i"),
        (
            "def make(n):\n    @flow(name=n)\n    def inner(): ...\n    return inner\na, b = make('a'), make('b')",
            "make.<locals>.inner",
            "b",
        ),
        ("holder = {'f': 1}\nfoo = flow(lambda: 1, name='lambda')", "<lambda>", "lambda"),
    ],
)
def test_the_flow_is_found_however_it_is_named(project, source, qualname, name):
    found = load(project, source, qualname, name)
    assert found.name == name
    if "retries=2" in source:
        assert found.retries == 2


def test_a_flow_renamed_at_its_call_has_the_name_it_ran_under(project):
    found = load(project, "@flow\ndef pipeline(): ...\n", "pipeline", "monday")
    assert found.name == "monday"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("if __name__ == '__main__':\n    @flow\n    def pipeline(): ...", "__main__"),
        ("def main():\n    @flow\n    def pipeline(): ...", "inside a function"),
        (
            "import a_package_that_is_not_installed",
            "ModuleNotFoundError: No module named 'a_package_that_is_not_installed'",
        ),
        ("raise SystemExit(2)", "SystemExit: 2"),
        ("1 / 0", "ZeroDivisionError"),
        ("def (:", "SyntaxError"),
    ],
)
def test_a_flow_that_cannot_be_imported_is_one_clear_error(project, source, why):
    with pytest.raises(ReplayError) as error:
        load(project, source, "pipeline", "pipeline")
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_was_read_before_prefect_was_there_to_see_it_is_said_never_to_have_been_recorded(project):
    with pytest.raises(ReplayError) as error:
        load(project, "open(__file__ + '.json')", "pipeline", "pipeline")
    assert "/desk/project/daily_flow.py.json, which was never recorded" in str(error.value)
    assert str(project) not in str(error.value)
    assert "before Prefect was imported" in error.value.why
    assert "import prefect before the module that reads the file" in error.value.fix


def test_a_flow_of_a_package_keeps_its_name_and_relative_imports(project):
    (project / "pkg").mkdir()
    (project / "pkg" / "__init__.py").write_text("")
    (project / "pkg" / "helpers.py").write_text("X = 7\n")
    found = load(
        project,
        "from .helpers import X\n@flow\ndef pipeline(): return X\n",
        "pipeline",
        "pipeline",
        module="pkg.daily",
        file="pkg/daily.py",
    )
    assert found.fn.__module__ == "pkg.daily"
    assert sys.modules["pkg"].daily.X == 7


def test_a_script_that_was_run_as_a_part_of_its_package_has_its_relative_imports(project, monkeypatch):
    (project / "pkg" / "sub").mkdir(parents=True)
    (project / "pkg" / "__init__.py").write_text("")
    (project / "pkg" / "helpers.py").write_text("X = 7\n")
    source = "from ..helpers import X\n@flow\ndef pipeline(): return X\nclass Config: ...\n"
    found = load(project, source, "pipeline", "pipeline", file="pkg/sub/daily.py", roots=("/desk/project",))
    assert found.fn() == 7
    assert sys.modules["__main__"].Config.__module__ == "pkg.sub.daily"
    assert "daily" not in sys.modules


def test_a_module_that_prefect_loaded_keeps_the_name_values_were_pickled_with(project):
    load(
        project,
        "class Config: ...\n@flow\ndef pipeline(): ...",
        "pipeline",
        "pipeline",
        module="__prefect_loader_1234__",
    )
    assert sys.modules["__prefect_loader_1234__"].Config is sys.modules["daily_flow"].Config


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("daily.py", "daily"),
        ("statistics.py", "replayed_statistics"),
        ("pytest.py", "replayed_pytest"),
        ("my-flow.py", "replayed_flow"),
    ],
)
def test_a_script_never_takes_another_modules_name(file, name):
    entry = EntryPoint(path=f"/d/{file}", qualname="f", module="__main__", working_directory="/d")
    assert module_name(entry) == name
    assert module_name(entry.model_copy(update={"module": "pkg.mod"})) == "pkg.mod"


def test_the_users_folders_come_first_and_from_the_workspace():
    entry = EntryPoint(
        path="/d/flow.py",
        qualname="f",
        module="__main__",
        working_directory="/d",
        import_roots=("/d", "/d/lib/", "/d/src", "/editable"),
    )
    present = ["/usr/lib/python3.11", "/venv/site-packages", "/d/src", "/editable", ""]
    assert import_paths(entry, "/d", "/w", present) == [
        "/w/d",
        "/w/d/lib",
        "/usr/lib/python3.11",
        "/venv/site-packages",
        "/w/d/src",
        "/w/editable",
        "/editable",
    ]
