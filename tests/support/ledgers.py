"""Runs a piece of code as a step is run, with everything watched that the ledger is made of, and gives its ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lineage_flows.capture import adapters, audit, before_runs, files, processes, unseeded, variables
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.ledger_end import settle
from lineage_flows.records import Gap, Ledger

VARIABLES = ("TZ", "OMP_*")


@contextmanager
def watching() -> Iterator[None]:
    """Everything installed, as in a process in which flows run; and nothing of it afterwards."""
    files.configure()
    audit.install()
    adapters.install()
    processes.install()
    unseeded.install()
    variables.configure(VARIABLES)
    variables.install()
    before_runs.adopt(None)
    try:
        yield
    finally:
        variables.uninstall()
        unseeded.uninstall()
        processes.uninstall()
        adapters.uninstall()
        audit.pause()
        variables.forget_set()
        before_runs.adopt(None)


def ledger(step: Callable[[], object], *, restored: bool = True) -> Ledger:
    """The ledger of one call; watching has to be on."""
    log = FileLog(None, size_cap=1 << 20)
    with files.activate(log):
        step()
    touched = log.close()
    assert touched.errors == ()
    found = settle(log, step, touched.datasets, drawn=0, restored=restored)
    assert found is not None
    return found


def gaps(found: Ledger, *kinds: str) -> list[Gap]:
    """The gaps of some kinds; of all by default."""
    return [gap for gap in found.gaps if not kinds or gap.kind in kinds]


def texts(found: Ledger, *kinds: str) -> list[str]:
    return [gap.what for gap in gaps(found, *kinds)]


def tally(found: Ledger, kind: str) -> tuple[int, int]:
    """Observed and covered of a kind."""
    return next(((item.observed, item.covered) for item in found.tallies if item.kind == kind), (0, 0))
