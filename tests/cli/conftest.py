"""A home with three runs in it, and the program called on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from lineage_flows.cli import main
from lineage_flows.delivery import Spool
from tests.support.graphs import events_of, keep_run
from tests.support.records import backtest_record, replay_record

OTHER_ID = "01935c4e-7a10-7c3e-9d1a-5b6f0a4c1e00"


@dataclass
class Said:
    """What a call said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> object:
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(constant: str) -> object:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture
def call(home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Calls the program in this process, with an empty home."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*arguments: str) -> Said:
        capfd.readouterr()
        code = main(arguments)
        return Said(code, *capfd.readouterr())

    return run


@pytest.fixture
def filled(home: Path) -> Path:
    """A home with a run, a replay of it that is different, and another run."""
    original = backtest_record()
    for record in (
        original,
        replay_record(original, different=2),
        backtest_record(OTHER_ID, window=60, sharpe=0.71, run_name="calm-heron"),
    ):
        keep_run(home, record)
    return home


@pytest.fixture
def spooled(home: Path) -> Path:
    """A home whose spool has a run that nobody has been told of."""
    home.mkdir()
    spool = Spool(home / "spool.db")
    for event in events_of(backtest_record()):
        spool.accept(event)
    spool.close()
    return home
