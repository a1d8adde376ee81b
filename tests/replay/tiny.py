"""Small packages and lean environments: real wheels, real virtual environments, made in no time and without an index."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

import lineage_flows
from lineage_flows.capture.distributions import installed_packages, normalised
from lineage_flows.records import Environment
from lineage_flows.replay.uv import find_uv
from lineage_flows.replay.wanted import Tool, Wanted
from tests.compare.building import environment


def tiny_wheel(folder: Path, name: str, version: str, files: dict[str, str], *, entry_points: str = "") -> Path:
    """A wheel that holds some files, as a builder writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if entry_points:
        content[f"{info}/entry_points.txt"] = entry_points
    rows = []
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in content.items():
            wheel.writestr(member, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{member},sha256={digest},{len(text.encode())}")
        wheel.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")
    return path


def closure() -> list[importlib.metadata.Distribution]:
    """What this package needs to run, and what that needs, as it is installed here; without this package."""
    seen: dict[str, set[str]] = {}
    found: dict[str, importlib.metadata.Distribution] = {}

    def walk(name: str, extras: set[str]) -> None:
        known = seen.setdefault(normalised(name), set())
        if normalised(name) in found and extras <= known:
            return
        known |= extras
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            return
        found[normalised(name)] = distribution
        for text in distribution.requires or []:
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in {"", *known}):
                walk(need.name, {"", *need.extras})

    walk("lineage-flows", {""})
    del found["lineage-flows"]
    return list(found.values())


def lean_environment(folder: Path) -> Path:
    """A virtual environment that has this package and what it needs, as links to what is installed here; its interpreter."""
    uv = find_uv()
    assert uv is not None
    subprocess.run([uv, "venv", "-q", "--no-project", "--python", sys.executable, str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for distribution in closure():
        root = Path(str(distribution.locate_file("")))
        for top in {
            file.parts[0] for file in distribution.files or [] if file.parts and file.parts[0] not in {"..", "/"}
        }:
            if not (site / top).exists() and (root / top).exists() and top != "__pycache__":
                (site / top).symlink_to(root / top)
        for file in distribution.files or []:  # headers and scripts lie outside of the packages' folder
            place = Path(os.path.normpath(site / str(file)))
            if ".." in file.parts and not place.exists() and (root / str(file)).exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(os.path.normpath(root / str(file)))
    (site / "lineage_flows").symlink_to(Path(lineage_flows.__file__).resolve().parent)
    (metadata,) = [getattr(importlib.metadata.distribution("lineage-flows"), "_path", None)]
    (site / metadata.name).symlink_to(metadata)
    return folder / "bin" / "python"


def install(python: Path, *arguments: str) -> None:
    uv = find_uv()
    assert uv is not None
    done = subprocess.run(
        [uv, "pip", "install", "-q", "--offline", "--no-deps", "--python", str(python), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def frozen(python: str | Path) -> dict[str, str]:
    """Every package of an interpreter and its version."""
    program = "import importlib.metadata as m\nfor d in m.distributions(): print(d.metadata['Name'].lower(), d.version)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-I", "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    return dict(re.findall(r"^(\S+) (\S+)$", done.stdout, re.MULTILINE))


def wanted(*pins: str, **fields: object) -> Wanted:
    tool = Tool(folder=str(Path(lineage_flows.__file__).resolve().parent), version="0")
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Wanted(
        **{
            "python": version,
            "implementation": "CPython",
            "pinned": pins,
            "kept": (),
            "local": (),
            "tree": "",
            "tool": tool,
            **fields,
        }
    )


def here(**fields: object) -> Environment:
    """The environment of this very process."""
    return environment(
        **{
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "platform": platform.platform(),
            "machine": platform.machine(),
            "packages": installed_packages(None),
            **fields,
        }
    )
