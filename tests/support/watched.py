"""What is touched while capture watches this very process: the seams of files and libraries, without a flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lineage_flows.capture import audit, before_runs, files, io_adapters
from lineage_flows.capture.files import FileLog, Touched
from tests.support.dict_store import DictStore

SIZE_CAP = 1 << 20


@contextmanager
def watched(*seams: Any) -> Iterator[None]:
    """The audit hook and the given seams (modules with ``install`` and ``uninstall``) in place; and nothing of it afterwards."""
    files.configure()
    audit.install()
    for seam in seams:
        seam.install()
    try:
        yield
    finally:
        io_adapters.redirect_paths(None)
        for seam in reversed(seams):
            seam.uninstall()
        audit.pause()
        before_runs.adopt(None)  # what a case prepared outside of its log is nobody's


def touched(work: Callable[[], object], **options: Any) -> Touched:
    """What ``work`` touches, in a log of its own; by default into a store that is nobody's, up to 1 MiB."""
    log = FileLog(**{"store": DictStore(), "size_cap": SIZE_CAP, **options})
    with files.activate(log):
        work()
    return log.close()
