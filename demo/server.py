"""A private ``prefect server`` on a free loopback port, for as long as a ``with`` block lasts.

Knows how Prefect's server is started; nothing of lineage. The user's own Prefect (profile, home, API) is not touched.
"""

from __future__ import annotations

import http
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["ServerError", "isolated_environment", "private_server"]

# The first start makes a database: 12 to 20 s of CPU on an idle core, several times that on a crowded machine.
START_SECONDS = 180.0
STOP_SECONDS = 15.0
_ATTEMPTS = 3
_OURS = ("PREFECT_", "LINEAGE_FLOWS_", "OPENLINEAGE")


class ServerError(RuntimeError):
    """The server did not start; the message ends with the last lines it wrote."""


def isolated_environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment for a process that must not meet the user's own Prefect or lineage settings.

    Args:
        home: folder that stands for ``~/.prefect``.
        variables: what the process gets on top.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    direct = ",".join(
        filter(None, ["127.0.0.1", "localhost", os.environ.get("no_proxy") or os.environ.get("NO_PROXY")])
    )
    ours = {
        "PREFECT_HOME": str(home),
        # Without a network Prefect's heartbeat to its makers prints a page of errors.
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # A proxy for the internet must not stand between a process and its own machine.
        "no_proxy": direct,
        "NO_PROXY": direct,
    }
    return inherited | ours | variables


@contextmanager
def private_server(home: Path, *, python: Path | str = sys.executable) -> Iterator[str]:
    """Start a server that keeps its database in ``home``; it ends with the block, whatever ends the block.

    Args:
        home: made when it is missing; ``server.log`` in it holds what the server says.
        python: the interpreter whose Prefect is started.

    Yields:
        Its API's URL, for ``PREFECT_API_URL``.

    Raises:
        ServerError: it ended at once, or did not answer within ``START_SECONDS``.
    """
    home.mkdir(parents=True, exist_ok=True)
    environment = isolated_environment(home, PREFECT_PLUGINS_ENABLED="false")
    process, url = _start(home, str(python), environment)
    try:
        yield url
    finally:
        _stop(process)


def _start(home: Path, python: str, environment: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], str]:
    """Somebody else may take a free port before it is bound, so a server that ends at once is tried again."""
    log = home / "server.log"
    for _ in range(_ATTEMPTS):
        port = _free_port()
        command = [python, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the command is this function's own
                command,
                cwd=home,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            if _wait(process, port):
                return process, f"http://127.0.0.1:{port}/api"
        except BaseException:
            _stop(process)
            raise
        if process.poll() is None:
            _stop(process)
            raise ServerError(f"prefect server did not answer within {START_SECONDS:.0f} s:\n{_tail(log)}")
    raise ServerError(f"prefect server ended with status {process.returncode}:\n{_tail(log)}")


def _wait(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the server answers before it ends or the time is up."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/api/health")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and what it started; they are alone in their process group."""
    # macOS answers "not permitted" for a group of which only zombies are left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        # The server itself, where it did not listen, and children that outlived it.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
