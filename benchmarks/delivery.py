"""How fast events go through spool and courier into a graph, and how many calls a run costs in SageMaker.

Runs of one flow, five steps each, are accepted by a spool and delivered by ``deliver_once``: into the embedded graph, and over HTTP
by the SageMaker keeper into an endpoint of this package, which runs in a process of its own and answers from memory where there is
a ``/dev/shm``. Both are measured in turns within one run. The second table is of calls, which do not depend on the machine: of the
first, the tenth and the last run of the flow, delivered one by one, beside what they add to the graph.

    python -m benchmarks.delivery [--rounds 3] [--runs 20] [--calls 100]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from lineage_flows.delivery import GraphReceiver, Spool, deliver_once
from lineage_flows.events import Event
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.project import project
from tests.graph.kit import events_of
from tests.support.records import backtest_record

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}
START_SECONDS = 60.0


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="deliveries to each keeper")
    parser.add_argument("--runs", type=int, default=20, help="flow runs in a delivery")
    parser.add_argument("--calls", type=int, default=100, help="runs of one flow whose calls are counted")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the endpoint ends with us
    console = Console(width=None if sys.stdout.isatty() else 120)
    for name in [name for name in os.environ if name.startswith(("AWS_", "LINEAGE_FLOWS_", "OPENLINEAGE"))]:
        del os.environ[name]
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lineage-flows-bench-", dir=memory) as temporary:
        folder = Path(temporary)
        console.print(_speeds(folder, options.rounds, options.runs, console))
        console.print(_calls(folder, options.calls, console))


def runs(count: int) -> list[list[Event]]:
    """Events of ``count`` runs of one flow. What they read is the same, what they make is their own."""
    return [events_of(backtest_record(f"{number:08x}-7a10-7c3e-9d1a-5b6f0a4c0000")) for number in range(1, count + 1)]


# --------------------------------------------------------------------------------------------------------------- speeds


def _speeds(folder: Path, rounds: int, count: int, console: Console) -> Table:
    made = [event for run in runs(count) for event in run]
    seconds: dict[str, list[float]] = {"embedded": [], "endpoint": []}
    order = [
        name for number in range(rounds) for name in (("embedded", "endpoint"), ("endpoint", "embedded"))[number % 2]
    ]
    for name in track(order, "delivering", console=console, transient=True):
        home = folder / name
        home.mkdir()
        if name == "embedded":
            receiver = GraphReceiver(lambda home=home: open_embedded(home / "graph.db"))
            seconds[name].append(_deliver(home, made, receiver))
        else:
            with _endpoint(home / "account"):
                seconds[name].append(_deliver(home, made, GraphReceiver(lambda home=home: _keeper(home))))
        shutil.rmtree(home)
    table = Table(title=f"{len(made)} events of {count} runs, {rounds} rounds (least to greatest)")
    for heading in ("to", "events a second", "times the embedded"):
        table.add_column(heading)
    for name, taken in seconds.items():
        speeds = sorted(len(made) / one for one in taken)
        shown = f"{median(speeds):.0f} ({speeds[0]:.0f} to {speeds[-1]:.0f})"
        table.add_row(name, shown, f"{median(taken) / median(seconds['embedded']):.1f}")
    return table


def _deliver(home: Path, events: Sequence[Event], receiver: GraphReceiver) -> float:
    """Seconds from the first event's acceptance until the receiver has the last.

    Raises:
        RuntimeError: something was not delivered, so that the figure would mean nothing.
    """
    begun = time.perf_counter()
    with closing(Spool(home / "spool.db")) as spool:
        for event in events:
            spool.accept(event)
        report = deliver_once(spool, [receiver], home, timeout=600.0)
    receiver.close()
    if not report.complete or any(one.parked for one in report.receivers):
        raise RuntimeError(f"not everything was delivered: {report}")
    return time.perf_counter() - begun


# ---------------------------------------------------------------------------------------------------------------- calls


def _calls(folder: Path, count: int, console: Console) -> Table:
    shown = sorted({1, min(10, count), count})
    table = Table(title="calls of one delivered run of the same flow")
    for heading in ("run", "new entities", "new associations", "calls", "of these", "more than new"):
        table.add_column(heading)
    home = folder / "calls"
    with (
        _endpoint(home / "account"),
        closing(open_embedded(home / "calm.db")) as calm,
        closing(_keeper(home)) as keeper,
    ):
        for number, events in enumerate(track(runs(count), "counting", console=console, transient=True), start=1):
            before = _size(calm) if number in shown else (0, 0)
            keeper._client.calls.clear()
            project(events, keeper)
            project(events, calm)
            if number in shown:
                after = _size(calm)
                entities, edges = after[0] - before[0], after[1] - before[1]
                calls = keeper._client.calls
                listed = ", ".join(f"{name} {times}" for name, times in sorted(calls.items()))
                total = sum(calls.values())
                table.add_row(str(number), str(entities), str(edges), str(total), listed, str(total - entities - edges))
    return table


def _size(graph: Any) -> tuple[int, int]:  # noqa: ANN401 - any keeper
    entities = len(graph.list_artifacts()) + len(graph.list_actions()) + len(graph.list_contexts())
    return entities, len(graph.associations())


def _keeper(home: Path) -> Any:  # noqa: ANN401 - imported only where it is used
    from lineage_flows.graph.sagemaker import open_sagemaker

    return open_sagemaker(home / "sagemaker.db")


@contextmanager
def _endpoint(account: Path) -> Iterator[None]:
    """An endpoint in a process of its own, to which boto3 is pointed.

    Raises:
        RuntimeError: it did not start.
    """
    account.mkdir(parents=True)
    program = (
        "import sys; from pathlib import Path; from lineage_flows.endpoint.backend import Quotas\n"
        "from lineage_flows.endpoint.server import serve\n"
        # A thousand runs of one home are more than an account may have before its quotas are raised.
        "unbounded = Quotas(actions=None, artifacts=None, associations=None, contexts=None)\n"
        "with serve(Path(sys.argv[1]), quotas=unbounded) as url: print(url, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(account)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("the endpoint did not start")
        os.environ.update(KEYS, AWS_ENDPOINT_URL_SAGEMAKER=url)
        yield
    finally:
        process.stdin.close()
        process.wait(timeout=START_SECONDS)
        process.stdout.close()


if __name__ == "__main__":
    main()
