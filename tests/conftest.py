"""What all tests share: a home of their own, and one real Prefect server for those that need it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

# Before anything imports Prefect: neither the developer's profile nor a plugin of this checkout may reach a test.
_SESSION_FOLDER = tempfile.mkdtemp(prefix="lineage-flows-tests-")
os.environ["PREFECT_HOME"] = str(Path(_SESSION_FOLDER) / "prefect")
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_PLUGINS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
os.environ["LINEAGE_FLOWS_HOME"] = str(Path(_SESSION_FOLDER) / "home")
os.environ["DO_NOT_TRACK"] = "1"
for _name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
    del os.environ[_name]

import pytest  # noqa: E402 - see above

from lineage_flows import runtime  # noqa: E402

# The test process only looks at lineage; flows under test run in processes of their own.
runtime.decline()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first: where several processes share the tests, none is left alone with the longest at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def no_openlineage_configuration() -> Iterator[None]:
    """openlineage-python writes aliases of its settings into the environment: neither a flow nor the next test may meet them."""
    yield
    left = [name for name in os.environ if name.startswith("OPENLINEAGE")]
    for name in left:
        del os.environ[name]
    assert left == [], "left in the process's environment"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty lineage home of the test's own."""
    folder = tmp_path / "lineage-home"
    monkeypatch.setenv("LINEAGE_FLOWS_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def prefect_server() -> object:
    """The API URL of one real Prefect server on loopback, for the whole session; ``PREFECT_API_URL`` names it."""
    given = os.environ.get("LINEAGE_FLOWS_TEST_API_URL")
    if given:
        os.environ["PREFECT_API_URL"] = given
        yield given
        return
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    folder = Path(_SESSION_FOLDER) / "server"
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PREFECT_HOME": str(folder), "PREFECT_API_URL": url}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    try:
        wait_for_server(url, server, folder / "server.log")
        os.environ["PREFECT_API_URL"] = url
        yield url
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(timeout=20)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_server(url: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    """Return when the server answers; fail with its log when it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    pytest.fail(f"the Prefect server did not start:\n{log.read_text()[-3000:]}")
