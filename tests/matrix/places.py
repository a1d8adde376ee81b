"""The places of work: runs ``shapes.py`` in each, in processes of their own, as a user would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.matrix.check import Home
from tests.support.flows import SWITCH, flow_environment

SHAPES = Path(__file__).with_name("shapes.py")


@dataclass
class Answer:
    """What the script said of a shape."""

    shape: str
    roots: list[str]
    result: str | None
    error: str | None
    seconds: float


class Desk:
    """A project's folder with the shapes in it, and a home."""

    def __init__(self, folder: Path, api: str) -> None:
        self.folder = folder / "project"
        self.home = Home(folder / "home")
        self.folder.mkdir(parents=True)
        (self.folder / "pyproject.toml").write_text(SWITCH)
        (self.folder / "factor.txt").write_text("2.125")
        (self.folder / "shapes.py").write_text(SHAPES.read_text())
        self.environment = flow_environment(
            folder / "home",
            PREFECT_API_URL=api,
            PREFECT_LOCAL_STORAGE_PATH=str(folder / "results"),
            PREFECT_LOGGING_LEVEL="ERROR",
            MATRIX_FOLDER=str(self.folder),
            LINEAGE_FLOWS_STRICT="true",
            # Ray writes a token into the home of whoever starts it.
            HOME=str(folder),
            RAY_AUTH_MODE="disabled",
            RAY_USAGE_STATS_ENABLED="0",
        )

    def ray_starts(self) -> str | None:
        """Why Ray does not start on this machine (it wants shared memory and ports); None where it does."""
        program = (
            "import ray; ray.init(num_cpus=1, include_dashboard=False); print(ray.get(ray.remote(lambda: 7).remote()))"
        )
        try:
            done = subprocess.run(
                [sys.executable, "-c", program],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "Ray does not start here: no answer in three minutes"
        return None if done.stdout.strip().endswith("7") else f"Ray does not start here: {done.stderr[-300:]}"

    def run(self, place: str, shapes: Sequence[str], **more: str) -> dict[str, Answer]:
        """Run shapes in a place, one after the other, in one process; by shape what came of each."""
        out = self.folder / "answers.jsonl"
        done = subprocess.run(
            [sys.executable, "shapes.py", str(out), place, *shapes],
            cwd=self.folder,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        answers = [Answer(**json.loads(line)) for line in out.read_text().splitlines()]
        return {answer.shape: answer for answer in answers}

    def start(self, *command: str, log: str, **more: str) -> subprocess.Popen[bytes]:
        """Start a process in the project's folder; its output goes to a file there."""
        with (self.folder / log).open("wb") as output:
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env={**self.environment, **more},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def end(process: subprocess.Popen[bytes], how: int = signal.SIGTERM) -> None:
    """End a process that was started here, with those that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)


def wait_until(condition, what: str, process: subprocess.Popen[bytes] | None = None, seconds: float = 90):
    """What the condition gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert process is None or process.poll() is None, f"{what}: the process ended"
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


@contextmanager
def external_cluster(folder: Path, port: int) -> Iterator[str]:
    """A Dask scheduler with two workers that know nothing: neither of Prefect nor of lineage, but for the installed packages."""
    bare = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    started: list[subprocess.Popen[bytes]] = []
    address = f"tcp://127.0.0.1:{port}"
    home = folder / "nobody"
    home.mkdir()
    commands = (
        ("scheduler", ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]),
        ("workers", ["distributed.cli.dask_worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]),
    )
    try:
        for name, command in commands:
            with (folder / f"{name}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        [sys.executable, "-m", *command],
                        cwd=home,
                        env={**bare, "HOME": str(home)},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
        text = folder / "workers.log"
        wait_until(lambda: text.read_bytes().count(b"Registered to") >= 2, "the workers did not come", started[-1])
        yield address
    finally:
        for process in reversed(started):
            end(process)
    assert not (home / ".lineage-flows").exists(), "a worker made a home of its own"
