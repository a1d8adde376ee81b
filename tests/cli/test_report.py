from __future__ import annotations

from pathlib import Path

import pytest

from lineage_flows.content import open_store
from lineage_flows.records import BlobRef
from tests.support.graphs import keep_run
from tests.support.records import FLOW_ID, backtest_record, replay_record

PAGE = "<!doctype html><title>Replay of backtest / brave-otter – größer</title>"


@pytest.fixture
def reported(home: Path) -> str:
    """A home with a run and a replay of it that left a report; the report's hash."""
    original = backtest_record()
    keep_run(home, original)
    digest, size = open_store(str(home / "blobs")).put(PAGE.encode())
    replay = replay_record(original)
    info = replay.flow.replay
    assert info is not None
    assert info.outcome is not None
    outcome = info.outcome.model_copy(update={"report": BlobRef(digest=digest, size=size, format="html")})
    flow = replay.flow.model_copy(update={"replay": info.model_copy(update={"outcome": outcome})})
    keep_run(home, replay.model_copy(update={"flow": flow}))
    return digest


@pytest.mark.parametrize("reference", ["replay-brave-otter", "brave-otter", FLOW_ID])
def test_the_report_is_written_as_it_was_kept(call, reported, tmp_path, reference) -> None:
    file = tmp_path / "report.html"
    said = call("report", reference, str(file), "--json")
    assert said.code == 0, said.err
    assert file.read_text(encoding="utf-8") == PAGE
    assert said.document["report"] == reported
    assert (said.document["run"], said.document["verdict"]) == (FLOW_ID, "identical")


def test_a_run_that_was_never_replayed_has_none(call, home, tmp_path) -> None:
    keep_run(home, backtest_record())
    said = call("report", "brave-otter", str(tmp_path / "r.html"))
    assert said.code == 2
    assert "it was never replayed" in said.err
    assert "lineage-flows replay brave-otter" in said.err
    assert not (tmp_path / "r.html").exists()


def test_a_replay_of_before_there_were_reports_has_none(call, filled, tmp_path) -> None:
    said = call("report", "replay-brave-otter", str(tmp_path / "r.html"))
    assert said.code == 2
    assert "none was made" in said.err


def test_an_altered_report_is_refused(call, reported, home, tmp_path) -> None:
    (blob,) = (path for path in (home / "blobs").rglob("*") if path.is_file() and path.read_bytes() == PAGE.encode())
    blob.chmod(0o600)
    blob.write_bytes(PAGE.replace("otter", "ottar").encode())
    said = call("report", "brave-otter", str(tmp_path / "r.html"))
    assert said.code == 2
    assert reported in said.err
    assert not (tmp_path / "r.html").exists()


def test_a_file_that_cannot_be_written_is_an_error(call, reported, tmp_path) -> None:
    said = call("report", "brave-otter", str(tmp_path / "no" / "r.html"))
    assert said.code == 2
    assert "cannot be written" in said.err
