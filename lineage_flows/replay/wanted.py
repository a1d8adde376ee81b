"""What the environment of a run consists of: what is to be installed, what its captured source brings, and what is lost.

Knows records and the metadata of this package; must not know how anything is installed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import lineage_flows
from lineage_flows.capture.distributions import normalised
from lineage_flows.capture.kept_wheels import wheels_of
from lineage_flows.record_base import Frozen
from lineage_flows.record_code import KeptWheel, SourceTree
from lineage_flows.records import Environment, Package, RunRecord

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from lineage_flows.settings import Settings

__all__ = [
    "OWN",
    "LocalSource",
    "Lost",
    "Tool",
    "Wanted",
    "differing",
    "local_path",
    "missing_here",
    "wanted_environment",
]

OWN = "lineage-flows"
_FORMAT = 1
"""Of what is built; an environment that another version built otherwise is not taken for this one's."""


class Lost(Frozen):
    """A package that cannot be installed again, as far as that is known without asking an index."""

    name: str
    version: str
    why: str


class LocalSource(Frozen):
    """A package that was installed from a folder of the captured source tree."""

    name: str
    folder: str


class Tool(Frozen):
    """This package as it has to be in every environment in which a replay runs.

    Attributes:
        folder: where it lies.
        version: its own.
        metadata: its ``.dist-info`` folder; empty when it was not installed.
        added: what it needs and the run did not have.
        unfit: what it needs in another version than the run had, a sentence each.
    """

    folder: str
    version: str
    metadata: str = ""
    added: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()


class Wanted(Frozen):
    """An environment to be built.

    Attributes:
        python: the version, with its patch.
        implementation: ``CPython``.
        pinned: what is installed from indexes, repositories and archives: a requirement each.
        kept: what is installed from wheels in the store.
        local: what is built from the captured source.
        tree: the digest of the source tree that ``local`` is built from; empty when nothing is.
        tool: this package.
        stand_in: the version of the interpreter that takes its place, since that one is not here; empty when it is.
        editable: what the captured source brings by itself.
        lost: what cannot be installed.
    """

    python: str
    implementation: str
    pinned: tuple[str, ...]
    kept: tuple[KeptWheel, ...]
    local: tuple[LocalSource, ...]
    tree: str
    tool: Tool
    stand_in: str = ""
    editable: tuple[Package, ...] = ()
    lost: tuple[Lost, ...] = ()

    @property
    def digest(self) -> str:
        """Its identity, 32 hexadecimal digits: equal ones are built once. What the source brings by itself is no part of it."""
        document = self.model_copy(update={"editable": (), "lost": ()}).model_dump_json()
        return hashlib.sha256(f"{_FORMAT} {document}".encode()).hexdigest()[:32]


def wanted_environment(recorded: Environment, record: RunRecord, settings: Settings) -> Wanted:
    """What has to be built so that the run finds what it found.

    Args:
        recorded: the environment of the run.
        record: the run.
        settings: whose home lists the wheels that were kept; where blobs and graph lie says what this package needs.
    """
    packages = [package for package in recorded.packages if package.name != OWN]
    found = (*wheels_of(packages, settings.home), *recorded.wheels)  # those the run itself recorded win
    wheels = {(wheel.name, wheel.version): wheel for wheel in found}
    tree = record.flow.code
    kept, pinned, local, lost, editable = [], [], [], [], []
    for package in packages:
        wheel = wheels.get((package.name, package.version))
        folder = local_path(package.origin)
        if package.editable:
            editable.append(package)
        elif wheel is not None:
            kept.append(wheel)
        elif package.vcs is not None:
            pinned.append(f"{package.name} @ {package.vcs}")
        elif package.origin is None:
            pinned.append(_pin(package))
        elif folder is None:
            pinned.append(f"{package.name} @ {package.origin}")
        elif tree is not None and tree.blob is not None and _is_project(folder, tree):
            local.append(LocalSource(name=package.name, folder=folder))
        elif Path(folder).is_file():
            pinned.append(f"{package.name} @ {package.origin}")
        else:
            why = f"it was installed from {folder}, which was not captured, and its wheel was not kept"
            lost.append(Lost(name=package.name, version=package.version, why=why))
    return Wanted(
        python=recorded.python,
        implementation=recorded.implementation,
        pinned=tuple(pinned),
        kept=tuple(kept),
        local=tuple(local),
        tree=tree.digest if tree is not None and local else "",
        tool=_tool(packages, settings),
        editable=tuple(editable),
        lost=tuple(lost),
    )


def differing(recorded: Iterable[Package], present: Iterable[Package]) -> tuple[str, ...]:
    """What two sets of packages differ in, a text each (``numpy 2.3.0 → 2.4.0``), by name.

    Left out are this package and what is installed in editable form: a replay takes the source of these from the run's.
    """
    old, new = _versions(recorded), _versions(present)
    return tuple(
        f"{name} {old.get(name, 'absent')} → {new.get(name, 'absent')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def missing_here(added: Iterable[str], had: Iterable[str]) -> list[importlib.metadata.Distribution]:
    """The packages that are installed here for some requirements, and for what those need, without those that are had already.

    Args:
        added: the requirements.
        had: normalised names.

    Raises:
        PackageNotFoundError: one is not installed here.
    """
    from packaging.requirements import Requirement

    found: dict[str, importlib.metadata.Distribution] = {}
    known, waiting = set(had), [Requirement(text) for text in added]
    while waiting:
        need = waiting.pop()
        name = normalised(need.name)
        if name in known:
            continue
        known.add(name)
        found[name] = importlib.metadata.distribution(name)
        for text in found[name].requires or []:
            below = Requirement(text)
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in {"", *need.extras}):
                waiting.append(below)
    return list(found.values())


def local_path(origin: str | None) -> str | None:
    """The folder or file that a ``file://`` URL names; None for any other."""
    if origin is None or not origin.startswith("file:"):
        return None
    return os.path.normpath(unquote(urlsplit(origin).path)) or None


def _versions(packages: Iterable[Package]) -> dict[str, str]:
    return {
        package.name: f"{package.version} ({package.vcs})" if package.vcs else package.version
        for package in packages
        if not package.editable and package.name != OWN
    }


def _pin(package: Package) -> str:
    """The exact version; one that follows no rule (PEP 440) is compared as text."""
    from packaging.version import InvalidVersion, Version

    try:
        Version(package.version)
    except InvalidVersion:
        return f"{package.name}==={package.version}"
    return f"{package.name}=={package.version}"


def _is_project(folder: str, tree: SourceTree) -> bool:
    root = tree.root.rstrip("/")
    return folder == root or folder.startswith(f"{root}/")


def _tool(packages: Iterable[Package], settings: Settings) -> Tool:
    present = {package.name: package.version for package in packages}
    added, unfit = [], []
    for needed in _needs(settings):
        name = normalised(needed.name)
        version = present.get(name)
        if version is None:
            added.append(str(needed).partition(";")[0].strip())
        elif not needed.specifier.contains(version, prereleases=True):
            unfit.append(
                f"lineage-flows {lineage_flows.__version__} asks for {needed.name}{needed.specifier}, the run had {version}"
            )
    return Tool(
        folder=str(Path(lineage_flows.__file__).resolve().parent),
        version=lineage_flows.__version__,
        metadata=_metadata(),
        added=tuple(sorted(added)),
        unfit=tuple(unfit),
    )


def _needs(settings: Settings) -> list[Requirement]:
    """What this package needs, and what it needs to reach blobs and graph where these settings say they lie."""
    from packaging.requirements import Requirement

    try:
        texts = importlib.metadata.requires(OWN) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    remote = settings.keeper == "sagemaker" or settings.blobs_url.startswith("s3://")
    extras = ("", "aws") if remote else ("",)
    found = [Requirement(text) for text in texts]
    return [
        need for need in found if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
    ]


def _metadata() -> str:
    try:
        path = getattr(importlib.metadata.distribution(OWN), "_path", None)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return str(path) if isinstance(path, Path) and path.suffix == ".dist-info" else ""
