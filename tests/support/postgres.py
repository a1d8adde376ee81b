"""A real PostgreSQL on loopback, where one is installed."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port

__all__ = ["postgres"]


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a server with an empty database; skips the test where none can be set up."""
    initdb = shutil.which("initdb")
    if initdb is None:
        pytest.skip("no PostgreSQL is installed")
    port, root = free_port(), os.getuid() == 0  # PostgreSQL does not run as root
    name = "nobody" if root else getpass.getuser()
    user: dict[str, Any] = {"user": name} if root else {}
    # Not one of pytest's folders: they are closed to all other users, and closed again by every pytest that starts.
    folder = Path(tempfile.mkdtemp(prefix="lf-postgres-"))
    if root:
        shutil.chown(folder, name)
    quiet: dict[str, Any] = {"cwd": folder, "capture_output": True, "text": True, "check": False}
    stack = ExitStack()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    made = subprocess.run([initdb, "-D", str(folder / "data"), "-A", "trust", "-U", name, "-N"], **quiet, **user)
    if made.returncode:
        stack.close()
        pytest.skip(f"PostgreSQL cannot be set up here: {made.stderr.strip()[-200:]}")
    control = [str(Path(initdb).with_name("pg_ctl")), "-D", str(folder / "data"), "-w"]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    silent: dict[str, Any] = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL}
    with stack:
        subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], **silent, **user)
        stack.callback(subprocess.run, [*control, "-m", "immediate", "stop"], **silent, **user)
        yield f"postgresql+asyncpg://{name}:hunter2@127.0.0.1:{port}/postgres"
