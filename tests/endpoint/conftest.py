"""An endpoint over a home of its own, and boto3 as its client. Every answer in these tests is held against its shape."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lineage_flows.endpoint.server import Endpoint
from lineage_flows.endpoint.service import Service
from tests.endpoint.account import Account, open_account
from tests.endpoint.kit import client, wrong_in_answer


@pytest.fixture(autouse=True)
def answers_have_their_shapes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the endpoint answers is what SageMaker's service model says it answers."""
    wrong: list[str] = []
    call = Service.call

    def checked(self: Service, operation: str, body: bytes) -> dict[str, Any]:
        answer = call(self, operation, body)
        wrong.extend(wrong_in_answer(operation, answer))
        return answer

    monkeypatch.setattr(Service, "call", checked)
    yield
    assert wrong == []


@pytest.fixture
def fast_home() -> Iterator[Path]:
    """In memory where there is such a folder: a graph waits for the disk at each write."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="endpoint-tests-", dir=memory) as folder:
        yield Path(folder, "home")


@pytest.fixture
def start(fast_home: Path) -> Iterator[Callable[..., Endpoint]]:
    """Starts endpoints over the home; they are closed at the end."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Endpoint(fast_home, **options))


@pytest.fixture
def endpoint(start: Callable[..., Endpoint]) -> Endpoint:
    return start()


@pytest.fixture
def sagemaker(endpoint: Endpoint) -> Any:
    """A real boto3 client."""
    return client(endpoint.url)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account with seven of everything, for tests that only look at it."""
    with open_account(tmp_path_factory.mktemp("account")) as opened:
        yield opened
