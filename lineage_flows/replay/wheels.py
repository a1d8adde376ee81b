"""Makes wheels of installed packages from their own files, and keeps them in the store: for what an index may lose.

Knows the forms of installed metadata (PEP 376, PEP 427) and the store; asks no index and builds nothing. A wheel that is made here
holds the very files that are installed, checked against the hashes that were noted when they were.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from lineage_flows.capture.distributions import installed_packages, normalised
from lineage_flows.capture.kept_wheels import add_kept_wheels, kept_wheels
from lineage_flows.errors import ContentError, HomeError
from lineage_flows.record_base import BlobRef, Frozen
from lineage_flows.record_code import KeptWheel
from lineage_flows.replay.wanted import OWN

if TYPE_CHECKING:
    from lineage_flows.content import Store
    from lineage_flows.records import Package
    from lineage_flows.settings import Settings

__all__ = ["WheelsReport", "keep_wheels", "make_wheel"]

WHEEL_FORMAT = "wheel"
_NOT_KEPT = frozenset(
    {"RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
)
"""What an installer writes itself."""
_WHEN = (1980, 1, 1, 0, 0, 0)
_SHEBANG = re.compile(rb"#!\S*python[^\r\n]*")


class WheelsReport(Frozen):
    """What was kept.

    Attributes:
        kept: wheels that are in the store now, those that were already there included.
        added: how many of them were not there before.
        refused: packages of which none can be made, with why.
    """

    kept: tuple[KeptWheel, ...]
    added: int
    refused: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Member:
    """A file of a wheel: its name in it, where it is installed, its noted hash (``sha256=…``, empty when none was)."""

    name: str
    path: Path
    noted: str


def keep_wheels(patterns: Iterable[str], settings: Settings, store: Store) -> WheelsReport:
    """Keep wheels of what is installed here in the store; the records of later runs name them, and rebuilds install from them.

    Args:
        patterns: names of packages, with ``*`` and ``?``; none for those of the setting ``keep_wheels``, and without that for
            everything that did not come from an index (folders, archives, repositories).
        settings: whose home lists what is kept.
        store: where wheels go.

    Raises:
        HomeError: home or store cannot be written. ContentError: the store cannot be.
    """
    chosen = settings.model_copy(update={"keep_wheels": tuple(patterns) or settings.keep_wheels})
    known = {(wheel.name, wheel.version): wheel for wheel in kept_wheels(settings.home)}
    kept: list[KeptWheel] = []
    added: list[KeptWheel] = []
    refused: list[tuple[str, str]] = []
    installed = {normalised(item.metadata["Name"] or ""): item for item in reversed([*metadata.distributions()])}
    for package in installed_packages(None):
        if not _is_chosen(package, chosen):
            continue
        wheel = known.get((package.name, package.version))
        # Of one from a folder the version says little: it is made again, and lies where it lay when nothing changed.
        if wheel is not None and package.origin is None and store.has(wheel.blob.digest):
            kept.append(wheel)
            continue
        try:
            wheel = _keep(package, installed[package.name], store)
        except (ContentError, OSError, KeyError) as error:
            refused.append((f"{package.name} {package.version}", _why(error)))
            continue
        kept.append(wheel)
        if wheel != known.get((wheel.name, wheel.version)):
            added.append(wheel)
    try:
        add_kept_wheels(settings.home, added)
    except OSError as error:
        why = f"{error.strerror or error}"
        raise HomeError(f"the list of wheels in {settings.home} cannot be written", why=why) from error
    return WheelsReport(kept=tuple(kept), added=len(added), refused=tuple(refused))


def make_wheel(distribution: metadata.Distribution, folder: Path) -> Path:
    """Make the wheel of an installed distribution. The same files give the same bytes.

    Args:
        distribution: one whose metadata lists its files.
        folder: where the wheel is written.

    Returns:
        Its path; the name is the one an installer goes by.

    Raises:
        ContentError: it was not installed from a wheel, or a file is gone or was changed since.
        OSError: a file cannot be read, or the wheel cannot be written.
    """
    name, version = distribution.metadata["Name"], distribution.version
    about = distribution.read_text("WHEEL")
    if about is None or distribution.read_text("RECORD") is None:
        raise ContentError(f"{name} {version} was not installed from a wheel", why="the list of its files is missing")
    path = folder / _file_name(name, version, about)
    written = io.StringIO(newline="")
    record = csv.writer(written, lineterminator="\n")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as wheel:
        prefix = ""
        for member in sorted(_members(distribution), key=lambda item: item.name):
            content = _content(member)
            prefix = prefix or (member.name.partition("/")[0] if ".dist-info/" in member.name else "")
            info = zipfile.ZipInfo(member.name, _WHEN)
            info.external_attr = (0o755 if os.access(member.path, os.X_OK) else 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(info, content, compresslevel=1)
            record.writerow((member.name, f"sha256={_hash(content)}", len(content)))
        record.writerow((f"{prefix}/RECORD", "", ""))
        wheel.writestr(zipfile.ZipInfo(f"{prefix}/RECORD", _WHEN), written.getvalue())
    return path


def _is_chosen(package: Package, settings: Settings) -> bool:
    if package.name == OWN or package.editable:
        return False
    if settings.keep_wheels:
        return settings.keeps_wheel(package.name)
    return package.origin is not None or package.vcs is not None


def _keep(package: Package, distribution: metadata.Distribution, store: Store) -> KeptWheel:
    with tempfile.TemporaryDirectory(prefix="lineage-wheel-") as folder:
        path = make_wheel(distribution, Path(folder))
        digest, size, _ = store.put_file(path)
    blob = BlobRef(digest=digest, size=size, format=WHEEL_FORMAT)
    return KeptWheel(name=package.name, version=package.version, file=path.name, blob=blob)


def _members(distribution: metadata.Distribution) -> Iterator[_Member]:
    """The files of a distribution under the names they have in a wheel; what is outside of the packages' folder is its data."""
    root = Path(os.path.abspath(str(distribution.locate_file(""))))  # noqa: PTH100 - links stay
    prefix = root.parents[2] if len(root.parents) > 2 else root
    made = {point.name for point in distribution.entry_points if point.group in {"console_scripts", "gui_scripts"}}
    data = ""
    # Not ``distribution.files``: some versions leave out what is gone, which would give a wheel without it.
    rows = [row for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()) if row]
    files = [(PurePosixPath(row[0]), row[1] if len(row) > 1 else "") for row in rows]
    for file, _ in files:
        if file.parts and file.parts[0].endswith(".dist-info"):
            data = file.parts[0].removesuffix(".dist-info") + ".data"
    for file, noted in files:
        text = str(file)
        if (
            "__pycache__" in file.parts
            or text.endswith(".pyc")
            or (_is_metadata(file.parts) and file.name in _NOT_KEPT)
        ):
            continue
        place = Path(os.path.normpath(root / text))
        if ".." not in file.parts and not text.startswith("/"):
            yield _Member(text, place, noted)
        elif place.is_relative_to(prefix / "bin"):
            if place.name not in made:
                yield _Member(
                    f"{data}/scripts/{place.name}", place, ""
                )  # its first line was written when it was installed
        elif place.is_relative_to(prefix):
            yield _Member(f"{data}/data/{place.relative_to(prefix).as_posix()}", place, noted)
        else:
            raise ContentError(f"{place} lies outside of the environment")


def _is_metadata(parts: tuple[str, ...]) -> bool:
    return len(parts) == 2 and parts[0].endswith(".dist-info")


def _content(member: _Member) -> bytes:
    content = member.path.read_bytes()
    if "/scripts/" in member.name and ".data/" in member.name:
        return _SHEBANG.sub(b"#!python", content, count=1) if content.startswith(b"#!") else content
    kind, _, value = member.noted.partition("=")
    if kind in hashlib.algorithms_guaranteed and value and _hash(content, kind) != value.rstrip("="):
        raise ContentError(f"{member.path} was changed after it was installed")
    return content


def _hash(content: bytes, kind: str = "sha256") -> str:
    return base64.urlsafe_b64encode(hashlib.new(kind, content).digest()).rstrip(b"=").decode()


def _file_name(name: str, version: str, about: str) -> str:
    """As PEP 427 has it: the tags of the ``WHEEL`` file, compressed."""
    tags = re.findall(r"^Tag:\s*([^-\s]+)-([^-\s]+)-(\S+)\s*$", about, re.MULTILINE) or [("py3", "none", "any")]
    parts = [".".join(dict.fromkeys(tag[position] for tag in tags)) for position in range(3)]
    escaped = re.sub(r"[-_.]+", "_", name).lower()
    return f"{escaped}-{version.replace('-', '_')}-{'-'.join(parts)}.whl"


def _why(error: Exception) -> str:
    if isinstance(error, ContentError):
        return f"{error.what}: {error.why}" if error.why else error.what
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror or error}"
    return "its metadata is broken"
