"""What the user's code does in this process while no run goes on: as a rule, its module as it is imported.

Knows the log of a run only. A root flow run takes it into its own, since the run was made from it.
"""

from __future__ import annotations

from lineage_flows.capture import files
from lineage_flows.capture.active import unobserved
from lineage_flows.capture.module_reads import ModuleReads
from lineage_flows.capture.paths import absolute

__all__ = ["adopt", "log", "remember_read"]

_reads = ModuleReads()
_log: files.FileLog | None = None


def remember_read(path: str) -> None:
    """A file is about to be read while no run is active. Cheap: nothing is hashed, and at most 1,000 files are remembered."""
    name = absolute(path)
    if name is not None and not files.active().any and files.counts(name):
        _reads.remember(name, path)


def log() -> files.FileLog:
    """The log of what else happens meanwhile; of files it is told nothing."""
    global _log  # noqa: PLW0603 - one process imports a flow's module once
    if _log is None:
        _log = files.FileLog(None, size_cap=0)
    return _log


def adopt(flow: files.FileLog | None) -> None:
    """Give a root flow run what happened before it began: files as read ``via`` "import", the rest in its ledger."""
    global _log
    reads = _reads.take()
    before, _log = _log, None
    if flow is None:
        return
    with unobserved():
        for path, seen in reads.items():
            flow.adopt(path, seen)
        if before is not None:
            flow.ledger.adopt(before.ledger)
