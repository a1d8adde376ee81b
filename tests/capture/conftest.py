"""Fixtures of what watches the test process itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lineage_flows.capture import adapters, io_adapters
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
