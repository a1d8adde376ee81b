"""Chooses which files of a folder are kept as its source tree, when not all of them can be.

Knows names and sizes; opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lineage_flows.capture.paths import is_secret_file, printable
from lineage_flows.errors import CaptureError

__all__ = ["Candidate", "Selection", "configure", "select", "shortened"]

SOURCE_SUFFIXES = (
    ".cfg",
    ".ini",
    ".ipynb",
    ".j2",
    ".jinja",
    ".pxd",
    ".py",
    ".pyi",
    ".pyx",
    ".r",
    ".sh",
    ".sql",
    ".toml",
    ".yaml",
    ".yml",
)
"""What a flow is made of: left out last."""

FILE_SHARE = 8
"""A file that nobody put under version control, Python apart, is kept up to this fraction of the cap of the whole tree."""

MOST_UNTRACKED = 5_000
"""Untracked files of other kinds than sources that are looked at; more of them are somebody's data."""

_MOST_NAMES = 100


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file: its path relative to the root, its size in bytes, and whether it is under version control."""

    path: str
    size: int
    tracked: bool = False

    @property
    def is_source(self) -> bool:
        """Whether the file's name says that it is code or configuration."""
        return self.path.endswith(SOURCE_SUFFIXES)


@dataclass(slots=True)
class _Config:
    """What all trees of a process share."""

    leaves_out: Callable[[str], bool] = lambda _path: False


_config = _Config()


@dataclass(frozen=True, slots=True)
class Selection:
    """Paths that are kept, in order, their size together, and why others are not (one line each)."""

    kept: tuple[str, ...]
    size: int
    left_out: tuple[str, ...]


def configure(leaves_out: Callable[[str], bool]) -> None:
    """Say once in a process which files the rules of the settings leave out, by their absolute paths."""
    _config.leaves_out = leaves_out


def select(candidates: Iterable[Candidate], size_cap: int, root: str = "") -> Selection:
    """Keep what fits: untracked secrets and large untracked files go first, then the largest files that are no sources.

    Args:
        candidates: all files of the tree.
        size_cap: bytes the tree may have.
        root: absolute path of the tree.

    Raises:
        CaptureError: the sources alone are larger than the cap.
    """
    kept: dict[str, Candidate] = {}
    left_out: dict[str, str] = {}
    untracked = hidden = 0
    for candidate in sorted(candidates, key=lambda item: item.path):
        if not candidate.tracked and is_secret_file(candidate.path):
            left_out[candidate.path] = "its name says it holds secrets"
        elif not candidate.tracked and not candidate.is_source and _config.leaves_out(f"{root}/{candidate.path}"):
            hidden += 1
        elif not candidate.tracked and candidate.size > size_cap // FILE_SHARE and not candidate.path.endswith(".py"):
            left_out[candidate.path] = f"{candidate.size} bytes"
        elif not candidate.tracked and not candidate.is_source and (untracked := untracked + 1) > MOST_UNTRACKED:
            left_out[candidate.path] = "one of too many untracked files"
        else:
            kept[candidate.path] = candidate
    size = sum(candidate.size for candidate in kept.values())
    others = sorted((item for item in kept.values() if not item.is_source), key=lambda item: (-item.size, item.path))
    for candidate in others:
        if size <= size_cap:
            break
        size -= candidate.size
        del kept[candidate.path]
        left_out[candidate.path] = f"{candidate.size} bytes"
    if size > size_cap:
        raise CaptureError(
            "the source tree was not kept",
            why=f"its sources have {size} bytes, over the cap of {size_cap}",
            fix="raise LINEAGE_FLOWS_CODE_SIZE_CAP",
        )
    said = [f"{printable(path)} ({why})" for path, why in sorted(left_out.items())]
    if hidden:
        said.append(f"{hidden} file{'s' if hidden > 1 else ''} left out by policy")
    return Selection(tuple(kept), size, tuple(said))


def shortened(lines: Iterable[str]) -> tuple[str, ...]:
    """The first hundred lines, and how many more there are."""
    lines = list(lines)
    more = len(lines) - _MOST_NAMES
    return (*lines[:_MOST_NAMES], *([f"… and {more} more"] if more > 0 else []))
