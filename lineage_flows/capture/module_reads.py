"""Remembers files that are read while no run is active: by a flow's module as it is imported, or by a script between two runs.

Knows signatures of files; must not know which files count as data.
"""

# Paths are strings here: they may hold any bytes, and a Path for every open of the process costs too much.
# ruff: noqa: PTH116

from __future__ import annotations

import os
import stat
import threading

from lineage_flows.capture.file_content import Signature, signature

__all__ = ["ModuleReads"]

_MOST = 1000
"""Files remembered; a module that reads more is told of in part."""


class ModuleReads:
    """Signatures of files by absolute name, as they were when the files were read.

    What was read before the first run may be used by every run of the process, so each of them gets it. What was read later goes to
    the next run only: a script that reads a file and calls a flow, over and over, would otherwise give every run all the files.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: dict[str, Signature] = {}
        self._later: dict[str, Signature] = {}
        self._had_run = False
        os.register_at_fork(after_in_child=self._forked)

    def remember(self, name: str, path: str) -> None:
        """A file is about to be read: ``name`` is its absolute name, ``path`` how the code names it."""
        try:
            status = os.stat(path)
        except OSError:
            return
        if not stat.S_ISREG(status.st_mode):
            return
        with self._lock:
            target = self._later if self._had_run else self._first
            if len(target) < _MOST:
                target.setdefault(name, signature(status))

    def take(self) -> dict[str, Signature]:
        """What a run that begins now may have read before."""
        with self._lock:
            self._had_run = True
            later, self._later = self._later, {}
            return {**self._first, **later}

    def _forked(self) -> None:
        """A thread of the parent may have held the lock."""
        self._lock = threading.Lock()
