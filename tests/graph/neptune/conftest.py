from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.s3 import fresh_bucket, moto_server


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def s3(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of a fresh bucket."""
    return fresh_bucket(moto_endpoint, monkeypatch)
