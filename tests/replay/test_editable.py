from __future__ import annotations

import importlib.metadata
from pathlib import Path

from lineage_flows.capture.distributions import _package
from lineage_flows.record_base import BlobRef
from lineage_flows.records import ModuleFile, Package
from lineage_flows.replay.editable import editable_paths, write_metadata
from tests.compare.building import Run

DESK = Package(
    name="desk-pkg",
    version="0.3",
    editable=True,
    origin="file:///desk/project/desk",
    entry_points="[desk]\nlot = deskpkg:lot\n",
)


def test_the_metadata_says_what_the_original_said(tmp_path: Path) -> None:
    write_metadata([DESK, Package(name="old", version="1", editable=True)], tmp_path / "made")
    found = {item.metadata["Name"]: item for item in importlib.metadata.distributions(path=[str(tmp_path / "made")])}
    assert _package(found["desk-pkg"]) == DESK
    assert [(point.name, point.value) for point in found["desk-pkg"].entry_points] == [("lot", "deskpkg:lot")]
    assert found["old"].version == "1"


def test_a_version_that_leads_elsewhere_is_left_out(tmp_path: Path) -> None:
    write_metadata([Package(name="evil", version="1/../../x", editable=True)], tmp_path / "made")
    assert list((tmp_path / "made").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_the_folders_it_is_imported_from_are_those_of_the_workspace(tmp_path: Path) -> None:
    for name in ("/desk/project/desk/src", "/elsewhere", "/desk/project/known"):
        (tmp_path / name[1:]).mkdir(parents=True)
    run = Run(code={"flow.py": "x = 1\n"})
    record = run.record()
    module = ModuleFile(path="/elsewhere/m.py", root="/elsewhere", blob=BlobRef(digest="d", size=1, format="file"))
    code = record.flow.code.model_copy(update={"modules": (module,)})
    entry = record.flow.entry.model_copy(update={"import_roots": ("/desk/project/known",)})
    record = record.model_copy(update={"flow": record.flow.model_copy(update={"code": code, "entry": entry})})
    known = DESK.model_copy(update={"origin": "file:///desk/project/known"})
    assert editable_paths((DESK, known), record, tmp_path) == (
        f"{tmp_path}/elsewhere",
        f"{tmp_path}/desk/project/desk/src",
        f"{tmp_path}/desk/project/desk",
    )
