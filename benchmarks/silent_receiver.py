"""What a receiver costs a flow that takes connections and never answers: through the spool, and through openlineage-python itself.

The same flow runs with lineage and no receiver, and with lineage and the silent one, in processes that alternate within one run.
Beside it openlineage-python's own http transport sends as many events, two a task, to the same server from the flow's thread, which
is how a producer without a spool does it; there every event waits for the transport's time-out.

    python -m benchmarks.silent_receiver [--rounds 3] [--tasks 50] [--timeout 1]
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from demo.server import isolated_environment, private_server

PROGRAM = Path(__file__).with_name("measured_flows.py")
DIRECT = """
import json, sys, time
from datetime import datetime, timezone
import requests
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.transport.http import HttpConfig, HttpTransport
from openlineage.client.uuid import generate_new_uuid

url, tasks, timeout = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
config = HttpConfig.from_dict({"type": "http", "url": url, "timeout": timeout, "retry": {"total": 0}})
client = OpenLineageClient(transport=HttpTransport(config))
begun = time.perf_counter()
for _ in range(tasks):
    run = Run(runId=str(generate_new_uuid()))
    for state in (RunState.START, RunState.COMPLETE):
        moment = datetime.now(timezone.utc).isoformat()
        event = RunEvent(
            eventTime=moment, producer="https://desk", run=run, job=Job(namespace="desk", name="task"), eventType=state
        )
        try:
            client.emit(event)
        except (requests.Timeout, requests.ConnectionError):
            pass
        else:
            sys.exit("the silent receiver has answered")
json.dump(time.perf_counter() - begun, sys.stdout)
"""
"""A producer without a spool. Retries are off: each would wait once more."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=3, help="pairs of processes, one with and one without the receiver"
    )
    parser.add_argument("--tasks", type=int, default=50, help="tasks of the flow")
    parser.add_argument(
        "--timeout", type=float, default=1.0, help="seconds after which the transports give up on an answer"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the private server ends with us
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory(prefix="lineage-flows-bench-") as temporary, _silent() as silent:
        folder = Path(temporary)
        shutil.copy(PROGRAM, folder)
        console.print("starting a private Prefect server")
        with private_server(folder / "prefect") as api:
            seconds: dict[bool, list[float]] = {False: [], True: []}
            pairs = [(False, True) if number % 2 == 0 else (True, False) for number in range(options.rounds)]
            for with_receiver in track(
                [one for pair in pairs for one in pair], "measuring", console=console, transient=True
            ):
                url = silent if with_receiver else None
                seconds[with_receiver].append(_flow(folder, api, options.tasks, url, options.timeout))
        direct = _direct(silent, min(options.tasks, 5), options.timeout)
    console.print(_table(seconds, direct, options.tasks))


def _flow(folder: Path, api: str, tasks: int, receiver: str | None, timeout: float) -> float:
    """Seconds a task of a whole flow run.

    Raises:
        RuntimeError: it failed, or was not captured, so that the figure would mean nothing.
    """
    home = folder / ("silent" if receiver else "alone")
    more = {}
    if receiver is not None:
        transport = {"TYPE": "http", "URL": receiver, "TIMEOUT": str(timeout)}
        more = {f"OPENLINEAGE__TRANSPORT__{name}": value for name, value in transport.items()}
    environment = isolated_environment(
        folder / "prefect",
        PREFECT_API_URL=api,
        PREFECT_LOGGING_LEVEL="WARNING",
        PREFECT_PLUGINS_ENABLED="true",
        LINEAGE_FLOWS_HOME=str(home),
        **more,
    )
    command = [sys.executable, PROGRAM.name, "1", f"sequential={tasks}"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{PROGRAM.name} ended with status {done.returncode}:\n{done.stderr}")
    answer = json.loads(done.stdout)
    if not answer["captured"]:
        raise RuntimeError(f"capture was off where it should not be:\n{done.stderr}")
    return float(answer["measured"][0]["wall"]) / tasks


def _direct(url: str, tasks: int, timeout: float) -> float:
    """Seconds that openlineage-python's own http transport takes for the two events of a task."""
    command = [sys.executable, "-c", DIRECT, url, str(tasks), str(timeout)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)) / tasks


@contextmanager
def _silent() -> Iterator[str]:
    """A server that takes every connection, reads what it is sent, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def swallow(connection: socket.socket) -> None:
            with connection:
                while not ended.is_set() and connection.recv(1 << 16):
                    pass

        def take() -> None:
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=swallow, args=(connection,), daemon=True).start()

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        ended.set()


def _table(seconds: dict[bool, list[float]], direct: float, tasks: int) -> Table:
    table = Table(
        title=f"a receiver that never answers, {tasks} tasks, {len(seconds[True])} rounds (least to greatest)"
    )
    for heading in ("", "ms a task", "ratio"):
        table.add_column(heading)
    alone = median(seconds[False])
    ratios = [after / before for before, after in zip(seconds[False], seconds[True], strict=True)]
    table.add_row("lineage, no receiver", _spread(seconds[False]), "")
    table.add_row(
        "lineage and the silent receiver",
        _spread(seconds[True]),
        f"{median(seconds[True]) / alone:.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
    )
    table.add_row("openlineage-python's own transport adds", f"{1000 * direct:.1f}", f"{(alone + direct) / alone:.0f}")
    return table


def _spread(values: list[float]) -> str:
    return f"{1000 * median(values):.2f} ({1000 * min(values):.2f} to {1000 * max(values):.2f})"


if __name__ == "__main__":
    main()
