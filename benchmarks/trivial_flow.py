"""Tasks that do nothing, one after the other and mapped; prints what they cost. Run by ``overhead.py``, never by hand."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.parse
from collections.abc import Callable

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

WARM_UP = 20
SETTLE_SECONDS = 20.0
QUICK_ANSWERS = 10
QUICK_SECONDS = 0.03


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


def measure(run: Callable[[int], int], tasks: int) -> dict[str, float]:
    """Seconds of a whole flow run: on the clock, and of CPU in all threads of this process."""
    settle()
    wall, cpu = time.perf_counter(), time.process_time()
    run(tasks)
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def main() -> None:
    """Warm both flows up, then measure each as often as asked, in turn."""
    tasks, repeats = int(sys.argv[1]), int(sys.argv[2])
    flows: dict[str, Callable[[int], int]] = {"sequential": sequential, "mapped": mapped}
    for run in flows.values():
        run(WARM_UP)
    measured = [{"flow": name, **measure(run, tasks)} for _ in range(repeats) for name, run in flows.items()]
    runtime = sys.modules.get("lineage_flows.runtime")
    json.dump({"captured": runtime is not None and runtime.active() is not None, "measured": measured}, sys.stdout)


if __name__ == "__main__":
    main()
