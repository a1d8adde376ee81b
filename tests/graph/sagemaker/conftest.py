"""A real endpoint over HTTP, and boto3's configuration for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineage_flows.endpoint.faults import Faults
from lineage_flows.endpoint.server import Endpoint
from lineage_flows.graph.sagemaker import client


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of the developer's, and no proxy, may reach a test."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for retries."""
    monkeypatch.setattr(client, "_LONGEST_PAUSE", 0.01)


@pytest.fixture
def faults() -> Faults | None:
    """Which faults the endpoint makes; a module or test may say otherwise."""
    return None


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: Faults | None) -> Iterator[Endpoint]:
    """An endpoint over an empty graph, to which boto3 is pointed."""
    served = Endpoint(tmp_path / "there", faults=faults)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", served.url)
    yield served
    served.close()
