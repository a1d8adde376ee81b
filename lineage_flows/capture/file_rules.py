"""What all logs of files of a process share: which paths are data, and where hashes are remembered.

Knows where Prefect keeps its files; must not know who opens one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lineage_flows.capture import prefect_places
from lineage_flows.capture.paths import PathRules

if TYPE_CHECKING:
    from lineage_flows.capture.disk_cache import DiskCache

__all__ = ["Shared", "configure", "shared"]


@dataclass(slots=True)
class Shared:
    """The rules and the cache of this process."""

    rules: PathRules = field(default_factory=PathRules)
    cache: DiskCache | None = None


shared = Shared()


def configure(*, ignored: Iterable[str] = (), observed: Iterable[str] = (), cache: DiskCache | None = None) -> None:
    """Say once in a process what does not count as data, beside Prefect's own folders.

    Args:
        ignored: folders: the lineage home.
        observed: folders that count even inside an ignored one: a replay's workspace.
        cache: where hashes of unchanged files are remembered from run to run.
    """
    shared.rules = PathRules([*ignored, *prefect_places.folders()], observed)
    shared.cache = cache
