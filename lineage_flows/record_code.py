"""The frozen data classes that say what code ran, and on what: functions, the source tree, random states, the environment.

Knows pydantic only; see ``records`` for the records that hold them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from lineage_flows.record_base import BlobRef, Frozen

__all__ = [
    "DeploymentRef",
    "EntryPoint",
    "Environment",
    "EnvironmentRef",
    "FunctionRef",
    "KeptWheel",
    "ModuleFile",
    "Package",
    "RandomStates",
    "SourceTree",
]


class FunctionRef(Frozen):
    """The function of a flow or task: where it stands and what its source hashes to."""

    name: str
    module: str
    path: str | None = None
    line: int | None = None
    digest: str | None = None
    blob: BlobRef | None = None


class RandomStates(Frozen):
    """State of the global generators at the start, and the entropy drawn by unseeded numpy generators since.

    ``numpy_import``: numpy's state right after it was first imported inside this step. ``entropy``: hexadecimal, in order drawn.
    """

    python: BlobRef | None = None
    numpy: BlobRef | None = None
    numpy_import: BlobRef | None = None
    torch: BlobRef | None = None
    entropy: tuple[str, ...] = ()


class ModuleFile(Frozen):
    """A source file (``path``, absolute) that was loaded from outside the source tree; ``root`` makes it importable by name."""

    path: str
    root: str
    blob: BlobRef


class SourceTree(Frozen):
    """The code as it was: one blob that restores the tree, and what the tree does not hold.

    ``format`` is ``git-bundle`` (a bundle with one parentless commit under ``refs/lineage/tree``) or ``files`` (a JSON manifest
    of relative path, mode and blob). ``left_out`` names files that were too large. ``note`` says why ``blob`` is None.
    """

    digest: str
    format: Literal["git-bundle", "files"]
    root: str
    blob: BlobRef | None = None
    commit: str | None = None
    branch: str | None = None
    remote: str | None = None
    dirty: bool | None = None
    files: int = 0
    left_out: tuple[str, ...] = ()
    modules: tuple[ModuleFile, ...] = ()
    note: str | None = None


class Package(Frozen):
    """An installed distribution.

    ``vcs`` is the repository and commit it was built from, ``origin`` the folder or archive (``file://`` or another URL, without
    credentials); of one from an index both are None. ``entry_points`` are those of an editable one, as its metadata lists them.
    """

    name: str
    version: str
    editable: bool = False
    vcs: str | None = None
    origin: str | None = None
    entry_points: str = ""


class KeptWheel(Frozen):
    """The wheel of an installed distribution that lies in the store, under the file name an installer goes by."""

    name: str
    version: str
    file: str
    blob: BlobRef


class Environment(Frozen):
    """What the run ran on. Stored as a blob; its digest is the identity of the ``Environment`` artifact."""

    python: str
    implementation: str
    platform: str
    machine: str
    cpu: str
    cpu_features: tuple[str, ...] = ()
    cpu_count: int | None = None
    packages: tuple[Package, ...] = ()
    wheels: tuple[KeptWheel, ...] = ()
    libraries: tuple[dict[str, JsonValue], ...] = ()
    image: str | None = None
    variables: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it
    hash_seed: str | None = None
    locale: str | None = None
    timezone: str | None = None


class EnvironmentRef(Frozen):
    """The environment's identity and where it is kept."""

    digest: str
    blob: BlobRef | None = None
    python: str = ""
    platform: str = ""


class EntryPoint(Frozen):
    """How to import the flow again: file (absolute), qualified name in it, and its module's name when it ran."""

    path: str | None
    qualname: str
    module: str
    working_directory: str
    import_roots: tuple[str, ...] = ()


class DeploymentRef(Frozen):
    """The deployment that started a flow run."""

    id: str
    name: str | None = None
    work_pool: str | None = None
