from __future__ import annotations

import os
from pathlib import Path

import pytest

import lineage_flows
from lineage_flows.api import Lineage, lineage
from lineage_flows.errors import (
    AmbiguousReferenceError,
    BlobAlteredError,
    BlobMissingError,
    GraphError,
    KeeperUnavailableError,
    RecordFormatError,
    SettingsError,
    UnknownReferenceError,
)
from lineage_flows.settings import load_settings
from tests.support.graphs import keep_run
from tests.support.records import FLOW_ID, backtest_record, replay_record

OTHER_ID = "01935c4e-7a10-7c3e-9d1a-5b6f0a4c1e00"
ORIGINAL = backtest_record()
REPLAY = replay_record(ORIGINAL, different=2)
OTHER = backtest_record(OTHER_ID, window=60, sharpe=0.71, run_name="calm-heron")


@pytest.fixture
def graph(home: Path) -> Lineage:
    for record in (ORIGINAL, REPLAY, OTHER):
        keep_run(home, record)
    with lineage_flows.lineage() as opened:
        yield opened


def test_a_home_that_does_not_exist_reads_as_empty_and_is_not_made(home: Path) -> None:
    with lineage() as graph:
        assert graph.runs() == []
        with pytest.raises(UnknownReferenceError):
            graph.upstream("brave-otter")
    assert not home.exists()


def test_runs_are_listed_with_what_a_script_needs(graph: Lineage) -> None:
    found = {run.name: run for run in graph.runs()}
    assert set(found) == {"brave-otter", "replay-brave-otter", "calm-heron"}
    original, replay = found["brave-otter"], found["replay-brave-otter"]
    assert (original.run_id, original.flow, original.state, original.kind) == (FLOW_ID, "backtest", "Completed", "run")
    assert (replay.kind, replay.replay_of, replay.verdict) == ("replay", FLOW_ID, "different")
    assert [run.name for run in graph.runs(kind="replay")] == ["replay-brave-otter"]
    assert graph.runs(flow="other") == []
    assert len(graph.runs(limit=2)) == 2


@pytest.mark.parametrize("reference", [FLOW_ID, FLOW_ID[:8], "brave-otter"])
def test_the_record_of_a_run_comes_back_as_it_was(graph: Lineage, reference: str) -> None:
    assert graph.record(reference) == ORIGINAL


def test_a_reference_that_means_nothing_or_two_things_is_refused(graph: Lineage) -> None:
    with pytest.raises(UnknownReferenceError):
        graph.run("brave")
    with pytest.raises(AmbiguousReferenceError) as caught:
        graph.record("01935c")
    assert len(caught.value.matches) == 3


def test_lineage_goes_up_and_down(graph: Lineage) -> None:
    up = graph.upstream("brave-otter")
    names = {node.entity.label for node in up.nodes}
    assert {"prices.parquet", "load_prices", "fit_model"} <= names | {Path(name).name for name in names}
    types = {node.entity.type for node in up.nodes}
    assert {"Model", "Metrics", "SourceTree", "Environment", "DataSet"} <= types
    down = graph.downstream("file:///desk/data/prices.parquet")
    assert {"Model", "Metrics"} <= {node.entity.type for node in down.nodes}
    assert not graph.upstream("brave-otter", depth=1).complete


def test_a_path_joins_file_and_run_whichever_comes_first(graph: Lineage) -> None:
    forth = graph.path("file:///desk/data/prices.parquet", FLOW_ID)
    back = graph.path(FLOW_ID, "file:///desk/data/prices.parquet")
    assert forth == back
    assert forth.entities[0].label.endswith("prices.parquet")
    assert len(forth.edges) == len(forth.entities) - 1


def test_words_are_searched_for(graph: Lineage) -> None:
    assert {entity.type for entity in graph.search("fit_model")} >= {"Training", "SourceCode"}
    assert len(graph.search("backtest", limit=2)) == 2


def test_two_runs_are_compared(graph: Lineage) -> None:
    found = graph.diff("brave-otter", "calm-heron")
    assert (found.a, found.b, found.verdict) == (FLOW_ID, OTHER_ID, "different")
    assert [(change.name, change.old, change.new) for change in found.parameters] == [("window", 20, 60)]
    assert [(metric.name, metric.a, metric.b) for metric in found.metrics] == [("sharpe", 0.8431, 0.71)]
    assert found.steps[found.first_divergence or 0].task == "make_features"


def test_a_run_without_a_record_says_why(home: Path) -> None:
    keep_run(home, ORIGINAL, finished=False)
    with lineage() as graph, pytest.raises(GraphError, match="has not ended, or its process was killed"):
        graph.record("brave-otter")


def stored(home: Path, graph: Lineage) -> Path:
    digest = graph.run("brave-otter").record_digest
    assert digest is not None
    (blob,) = [path for path in (home / "blobs").rglob(digest.removeprefix("sha256:")) if path.is_file()]
    return blob


def test_a_missing_and_an_altered_record_are_told_apart(graph: Lineage, home: Path) -> None:
    blob = stored(home, graph)
    data = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(data.replace(b"brave-otter", b"brave-adder"))
    with pytest.raises(BlobAlteredError):
        graph.record("brave-otter")
    blob.unlink()
    with pytest.raises(BlobMissingError):
        graph.record("brave-otter")


@pytest.mark.parametrize(
    "data", [ORIGINAL.model_dump_json().replace('"format":1', '"format":2', 1).encode(), b"{}", b""]
)
def test_a_record_of_a_later_format_is_refused(graph: Lineage, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "read", lambda _: data)
    with pytest.raises(RecordFormatError):
        graph.record("brave-otter")


def test_sagemaker_without_a_region_says_what_to_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(KeeperUnavailableError, match="AWS_REGION"):
        lineage(load_settings(keeper="sagemaker"))


def test_nothing_is_written(graph: Lineage, home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.suffix not in {".db-shm", ".db-wal"}}
    graph.diff("brave-otter", "calm-heron")
    graph.upstream("brave-otter")
    after = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.suffix not in {".db-shm", ".db-wal"}}
    assert {path: at for path, at in after.items() if path.is_file()} == {
        path: at for path, at in before.items() if path.is_file()
    }


def test_a_graph_is_exported_whole_or_in_part(graph: Lineage, tmp_path: Path) -> None:
    whole = graph.export(tmp_path / "whole", "gremlin")
    assert (whole.target, whole.start, whole.direction) == (str(tmp_path / "whole"), None, None)
    part = graph.export(tmp_path / "part", "opencypher", "/desk/out/equity.png", "up")
    assert part.entities == len(graph.upstream("/desk/out/equity.png").nodes) < whole.entities
    assert part.start == graph.resolve("/desk/out/equity.png")[0].arn
    for given in (("brave-otter", None), (None, "up")):
        with pytest.raises(ValueError, match="a reference is exported with"):
            graph.export(tmp_path / "none", "gremlin", *given)
    with pytest.raises(SettingsError, match="from where alone Neptune loads"):
        graph.load_into_neptune(whole, endpoint="host", iam_role="arn:aws:iam::123456789012:role/x")
    assert not (tmp_path / "none").exists()
