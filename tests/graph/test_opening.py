"""The keeper that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage_flows.errors import HomeError, KeeperUnavailableError
from lineage_flows.graph.embedded import EmbeddedKeeper
from lineage_flows.graph.opening import Held, held_back, open_graph
from lineage_flows.graph.sagemaker import SageMakerKeeper
from lineage_flows.settings import load_settings


def test_the_settings_say_which_graph_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    embedded = open_graph(load_settings(home=tmp_path / "home"))
    assert isinstance(embedded, EmbeddedKeeper)
    assert (tmp_path / "home" / "graph.db").exists()
    embedded.close()
    elsewhere = open_graph(load_settings(home=tmp_path / "other", keeper="sagemaker"))
    assert isinstance(elsewhere, SageMakerKeeper)
    assert elsewhere.url.startswith("sagemaker:eu-central-1")
    assert sorted(path.name for path in (tmp_path / "other").glob("*.db")) == ["sagemaker.db"]
    elsewhere.close()


def test_for_reading_nothing_is_made_and_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    for name in ("embedded", "sagemaker"):
        keeper = open_graph(load_settings(home=tmp_path / "home", keeper=name), read_only=True)
        with pytest.raises(HomeError, match="for reading only"):
            keeper.upsert([])
        keeper.close()
    assert not (tmp_path / "home").exists()


def test_a_cache_that_is_no_graph_is_refused_and_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    path = tmp_path / "sagemaker.db"
    path.write_bytes(b"something else")
    with pytest.raises(KeeperUnavailableError, match="no SQLite file"):
        open_graph(load_settings(home=tmp_path, keeper="sagemaker"))
    assert path.read_bytes() == b"something else"


def test_a_home_that_never_delivered_holds_nothing_back(tmp_path: Path) -> None:
    assert held_back(load_settings(home=tmp_path, keeper="sagemaker")) == Held()
    assert held_back(load_settings(home=tmp_path)) == Held()
    assert list(tmp_path.iterdir()) == []
