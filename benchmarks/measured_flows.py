"""Flows that are measured with and without the plugin; prints what they cost. Run by ``overhead.py``, never by hand."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

WARM_UP = 20
SETTLE_SECONDS = 20.0
QUICK_ANSWERS = 10
QUICK_SECONDS = 0.03

FILE_ROWS = 20_000
FRAME_ROWS, FRAME_COLUMNS = 500_000, 10
"""40 MB of floats."""


@task
def increment(number: int) -> int:
    """As little as a task can do."""
    return number + 1


@flow
def sequential(tasks: int) -> int:
    """Each task takes what the one before gave out."""
    number = 0
    for _ in range(tasks):
        number = increment(number)
    return number


@flow(task_runner=ThreadPoolTaskRunner(max_workers=8))  # type: ignore[arg-type]
def mapped(tasks: int) -> int:
    """All tasks at once, on eight threads."""
    return sum(increment.map(range(tasks)).result())


@task
def read(path: str) -> float:
    """A day's file, and a figure of it."""
    return float(pd.read_csv(path)["close"].mean())


@flow
def files(tasks: int) -> float:
    """A CSV file a task."""
    return sum(read(f"day-{number}.csv") for number in range(tasks))


# Prefect's own default would hash each frame for the key of its cache, with and without lineage.
@task(cache_policy=NO_CACHE)
def load(number: int) -> pd.DataFrame:
    """A frame of 40 MB."""
    generator = np.random.default_rng(number)
    return pd.DataFrame(generator.normal(size=(FRAME_ROWS, FRAME_COLUMNS)), columns=list("abcdefghij"))


@task(cache_policy=NO_CACHE)
def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Another frame of 40 MB."""
    return frame.clip(-3.0, 3.0).rolling(5, min_periods=1).mean()


@task(cache_policy=NO_CACHE)
def summary(frame: pd.DataFrame) -> float:
    """A figure of it."""
    return float(frame.std().sum())


@flow
def frames(tasks: int) -> float:
    """Frames between tasks: two are made and two taken in by every three tasks."""
    return sum(summary(clean(load(number))) for number in range(tasks // 3))


FLOWS: dict[str, Callable[[int], float]] = {
    "sequential": sequential,
    "mapped": mapped,
    "files": files,
    "frames": frames,
}


def prepare(tasks: int) -> None:
    """Write the files that ``files`` reads; done before anything is measured."""
    generator = np.random.default_rng(7)
    for number in range(tasks):
        if not Path(f"day-{number}.csv").exists():
            walk = pd.DataFrame(generator.normal(size=(FILE_ROWS, 3)), columns=["open", "close", "volume"])
            walk.to_csv(f"day-{number}.csv", index=False)


def seen(name: str, tasks: int) -> int:
    """How many bytes of data a flow reads from files, and hands from task to task."""
    if name == "files":
        return sum(Path(f"day-{number}.csv").stat().st_size for number in range(tasks))
    if name == "frames":
        return tasks // 3 * 4 * FRAME_ROWS * FRAME_COLUMNS * 8
    return 0


def settle() -> None:
    """Wait until the server has dealt with what it was sent: it needs ten times the CPU that a task needs here."""
    server = urllib.parse.urlsplit(os.environ["PREFECT_API_URL"])
    deadline = time.monotonic() + SETTLE_SECONDS
    quick = 0
    while quick < QUICK_ANSWERS and time.monotonic() < deadline:
        asked = time.monotonic()
        connection = http.client.HTTPConnection(str(server.hostname), server.port, timeout=SETTLE_SECONDS)
        connection.request("GET", f"{server.path}/ready")
        connection.getresponse().read()
        connection.close()
        quick = quick + 1 if time.monotonic() - asked < QUICK_SECONDS else 0
        time.sleep(0.1)


def measure(run: Callable[[int], float], tasks: int) -> dict[str, float]:
    """Seconds of a whole flow run: on the clock, and of CPU in all threads of this process."""
    settle()
    wall, cpu = time.perf_counter(), time.process_time()
    run(tasks)
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def main() -> None:
    """Warm the flows up, then measure each as often as asked, in turn."""
    repeats = int(sys.argv[1])
    asked = {name: int(tasks) for name, tasks in (one.split("=") for one in sys.argv[2:])}
    prepare(asked.get("files", 0))
    for name, tasks in asked.items():
        FLOWS[name](3 if name == "frames" else min(WARM_UP, tasks))
    measured = [
        {"flow": name, "bytes": seen(name, tasks), **measure(FLOWS[name], tasks)}
        for _ in range(repeats)
        for name, tasks in asked.items()
    ]
    runtime = sys.modules.get("lineage_flows.runtime")
    json.dump({"captured": runtime is not None and runtime.active() is not None, "measured": measured}, sys.stdout)


if __name__ == "__main__":
    main()
