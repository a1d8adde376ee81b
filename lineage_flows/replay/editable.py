"""Stands in for packages that were installed in editable form: their source is the run's, their metadata is written anew.

Knows records and the form of installed metadata; must not know where the source was restored from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from lineage_flows.records import Package, RunRecord
from lineage_flows.replay.wanted import local_path

__all__ = ["editable_paths", "write_metadata"]


def write_metadata(packages: Iterable[Package], folder: Path) -> None:
    """Write what ``importlib.metadata`` finds of each package: name, version, entry points, and that it is editable.

    Args:
        packages: the editable ones.
        folder: made anew; to be put on the path of a replay.
    """
    folder.mkdir()
    for package in packages:
        name = package.name.replace("-", "_")
        place = folder / f"{name}-{package.version}.dist-info"
        if place.parent != folder:  # a version is text that somebody's metadata gave
            continue
        place.mkdir()
        head = f"Metadata-Version: 2.1\nName: {_line(package.name)}\nVersion: {_line(package.version)}\n"
        (place / "METADATA").write_text(head, encoding="utf-8")
        if package.entry_points:
            (place / "entry_points.txt").write_text(package.entry_points, encoding="utf-8")
        origin = {"url": package.origin or "file:///", "dir_info": {"editable": True}}
        (place / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")


def editable_paths(packages: Iterable[Package], record: RunRecord, workspace: Path) -> tuple[str, ...]:
    """Folders of the workspace from which a rebuilt interpreter, which has no such installs, imports them; last on its path.

    Args:
        packages: the editable ones.
        record: the run, whose own import roots need no mention.
        workspace: the mirror of the original's file system.
    """
    code = record.flow.code
    roots = [module.root for module in code.modules] if code is not None else []
    for package in packages:
        folder = local_path(package.origin)
        if folder is not None:
            roots += [f"{folder}/src", folder]
    known = {root.rstrip("/") for root in record.flow.entry.import_roots}
    found = [f"{workspace}{root}" for root in dict.fromkeys(root.rstrip("/") for root in roots) if root not in known]
    return tuple(path for path in found if Path(path).is_dir())


def _line(text: str) -> str:
    return " ".join(text.split())
