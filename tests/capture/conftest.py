"""Fixtures of what watches the test process itself, and of what it talks to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lineage_flows.capture import adapters, io_adapters
from tests.support.s3 import moto_server
from tests.support.watched import watched


@pytest.fixture
def libraries_watched() -> Iterator[None]:
    """The adapters of libraries are in place."""
    with watched(adapters):
        yield


@pytest.fixture
def tables_watched() -> Iterator[None]:
    """The readers and writers of tables and arrays are watched."""
    with watched(io_adapters):
        yield


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The URL of a stand-in for AWS on loopback."""
    with moto_server() as url:
        yield url
