"""Says of a database whether its file alone is its content, or part of it lies in the write-ahead log beside it.

Knows files by their status only; must not know databases.
"""

# Paths are strings here: they may hold any bytes.
# ruff: noqa: PTH116

from __future__ import annotations

import os

from lineage_flows.capture.file_content import Signature, signature

__all__ = ["JOURNAL", "found", "holds_any"]

JOURNAL = "part of it lies in its write-ahead log"
"""What is said of a database whose file alone is not its content: it has no fingerprint."""


def found(path: str) -> Signature | None:
    """What lies at a path at this moment; None when nothing does, or nobody may know."""
    try:
        return signature(os.stat(path))
    except OSError:
        return None


def holds_any(path: str) -> bool:
    """Whether there is a file of that name that is not empty."""
    try:
        return os.stat(path).st_size > 0
    except (OSError, ValueError):
        return False
