"""Lists the installed distributions of this interpreter, quickly when nothing was installed since the last time.

Knows ``importlib.metadata`` and the folders of ``sys.path``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage_flows.capture.paths import without_credentials
from lineage_flows.records import Package
from lineage_flows.redaction import redact

if TYPE_CHECKING:
    from lineage_flows.capture.disk_cache import DiskCache

__all__ = ["installed_packages", "normalised"]

_MARKERS = (".dist-info", ".egg-info", ".egg-link", ".egg")
"""What lies on ``sys.path`` for each distribution; its name holds the version, and its time changes with a reinstallation."""

_FORMAT = 2
"""Of what is remembered; what an earlier version remembered lacks what was added since."""

_LONGEST_ENTRY_POINTS = 20_000


def installed_packages(cache: DiskCache | None) -> tuple[Package, ...]:
    """Every distribution that an import can find, by normalised name; of several with one name, the first on ``sys.path``.

    Args:
        cache: the list of an earlier process with the same ``sys.path`` and the same folders is taken from it.
    """
    key = _key()
    if cache is not None:
        known = cache.get("distributions", key)
        if known is not None:
            return tuple(Package(**item) for item in json.loads(known))
    found: dict[str, Package] = {}
    for distribution in metadata.distributions():
        package = _package(distribution)
        if package is not None:
            found.setdefault(package.name, package)
    packages = tuple(found[name] for name in sorted(found))
    if cache is not None:
        cache.put("distributions", key, json.dumps([package.model_dump(exclude_defaults=True) for package in packages]))
    return packages


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _key() -> str:
    """What changes whenever a distribution is installed, removed or replaced."""
    digest = hashlib.sha256(f"{_FORMAT} {sys.version}".encode())
    for entry in sys.path:
        digest.update(b"\0" + os.fsencode(entry))
        try:
            with os.scandir(entry or ".") as items:
                marks = sorted((item.name, item.stat().st_mtime_ns) for item in items if item.name.endswith(_MARKERS))
        except NotADirectoryError:  # a zip file
            marks = [("", Path(entry).stat().st_mtime_ns)]
        except OSError:
            continue
        digest.update(repr(marks).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _package(distribution: metadata.Distribution) -> Package | None:
    """A distribution as a record; None when its metadata is broken."""
    try:
        name, version = distribution.metadata["Name"], distribution.version
    except (KeyError, OSError, UnicodeError):
        return None
    if not isinstance(name, str) or not isinstance(version, str):
        return None
    origin = _origin(distribution)
    editable = _is_editable(distribution, origin)
    return Package(
        name=normalised(name),
        version=version,
        editable=editable,
        vcs=_revision(origin),
        origin=_place(origin),
        entry_points=_entry_points(distribution) if editable else "",
    )


def _origin(distribution: metadata.Distribution) -> dict[str, Any]:
    """Where it was installed from (PEP 610); empty for one from an index."""
    try:
        found = json.loads(distribution.read_text("direct_url.json") or "{}")
    except (ValueError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_editable(distribution: metadata.Distribution, origin: dict[str, Any]) -> bool:
    folder = origin.get("dir_info")
    if isinstance(folder, dict) and folder.get("editable") is True:
        return True
    # `setup.py develop`: the metadata lies in the project, not among the installed packages.
    path = str(getattr(distribution, "_path", ""))
    return path.endswith(".egg-info") and "site-packages" not in path and "dist-packages" not in path


def _revision(origin: dict[str, Any]) -> str | None:
    """``git+https://host/repository@commit``, without credentials."""
    info, url = origin.get("vcs_info"), origin.get("url")
    if not isinstance(info, dict) or not isinstance(url, str):
        return None
    inside = origin.get("subdirectory")
    part = f"#subdirectory={inside}" if isinstance(inside, str) and inside else ""
    return f"{info.get('vcs', 'vcs')}+{without_credentials(url)}@{info.get('commit_id', '')}{part}"


def _place(origin: dict[str, Any]) -> str | None:
    """The folder or archive it was installed from, without credentials; None for an index and for a repository."""
    url = origin.get("url")
    if not isinstance(url, str) or not url or isinstance(origin.get("vcs_info"), dict):
        return None
    return redact(url if url.startswith("file:") else without_credentials(url))


def _entry_points(distribution: metadata.Distribution) -> str:
    """What an editable one offers to others by name: nothing else of its metadata can be made again from its source alone."""
    try:
        return (distribution.read_text("entry_points.txt") or "")[:_LONGEST_ENTRY_POINTS]
    except (OSError, UnicodeError):
        return ""
