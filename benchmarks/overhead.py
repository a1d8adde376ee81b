"""What capture costs: trivial tasks with and without the plugin, in processes that alternate within one run.

Wall time on a shared machine varies by tens of percent; CPU time is steadier. Both are of whole flow runs, so they hold
what capture does once a run (code, environment, delivery at its end) as well as what it does for every task.

    python -m benchmarks.overhead [--rounds 5] [--tasks 200] [--repeats 1]
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from demo.server import isolated_environment, private_server

GOAL = 1.05
PROGRAM = Path(__file__).with_name("trivial_flow.py")
FLOWS = ("sequential", "mapped")
MEASURES = ("cpu", "wall")

Sample = dict[tuple[str, str], float]
"""Median seconds of one process, by flow and measure."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of processes, one with and one without the plugin")
    parser.add_argument("--tasks", type=int, default=200, help="tasks in a flow run")
    parser.add_argument("--repeats", type=int, default=1, help="measured flow runs of each kind in a process")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the private server ends with us
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory(prefix="lineage-flows-bench-") as temporary:
        folder = Path(temporary)
        shutil.copy(PROGRAM, folder)
        console.print("starting a private Prefect server")
        with private_server(folder / "prefect") as url:
            samples = Bench(folder, url, options.tasks, options.repeats).alternate(options.rounds, console)
    console.print(_table(samples, options.tasks))


@dataclass(frozen=True)
class Bench:
    """Where processes run and how much each measures."""

    folder: Path
    url: str
    tasks: int
    repeats: int

    def alternate(self, rounds: int, console: Console) -> dict[bool, list[Sample]]:
        """Samples without and with the plugin; who goes first changes every round, so that drift hits both alike."""
        samples: dict[bool, list[Sample]] = {False: [], True: []}
        order = [plugin for number in range(rounds) for plugin in ((False, True) if number % 2 == 0 else (True, False))]
        for plugin in track(order, "measuring", console=console, transient=True):
            samples[plugin].append(self.process(plugin=plugin))
        return samples

    def process(self, *, plugin: bool) -> Sample:
        """Run the program once in a fresh process.

        Raises:
            RuntimeError: it failed, or capture was not as asked, so that the figures would mean nothing.
        """
        environment = isolated_environment(
            self.folder / "prefect",
            PREFECT_API_URL=self.url,
            PREFECT_LOGGING_LEVEL="WARNING",
            PREFECT_PLUGINS_ENABLED=str(plugin).lower(),
            LINEAGE_FLOWS_HOME=str(self.folder / "home"),
        )
        command = [sys.executable, PROGRAM.name, str(self.tasks), str(self.repeats)]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{PROGRAM.name} ended with status {done.returncode}:\n{done.stderr}")
        answer = json.loads(done.stdout)
        if answer["captured"] is not plugin:
            raise RuntimeError(f"capture was {'off' if plugin else 'on'} where it should not be:\n{done.stderr}")
        runs = answer["measured"]
        return {
            (flow, measure): median(run[measure] for run in runs if run["flow"] == flow)
            for flow, measure in product(FLOWS, MEASURES)
        }


def _table(samples: dict[bool, list[Sample]], tasks: int) -> Table:
    """Medians over the processes, and the ratio with the least and the greatest of the rounds."""
    table = Table(title=f"{tasks} trivial tasks, ms a task, {len(samples[True])} rounds (least to greatest)")
    for heading in ("flow", "measure", "bare Prefect", "with lineage", f"ratio (goal ≤ {GOAL})"):
        table.add_column(heading)
    for flow, measure in product(FLOWS, MEASURES):
        bare, watched = ([sample[flow, measure] for sample in samples[plugin]] for plugin in (False, True))
        ratios = [after / before for before, after in zip(bare, watched, strict=True)]
        ratio = median(watched) / median(bare)
        colour = "green" if ratio <= GOAL else "red"
        table.add_row(
            flow,
            measure,
            _spread([1000 * seconds / tasks for seconds in bare]),
            _spread([1000 * seconds / tasks for seconds in watched]),
            f"[{colour}]{ratio:.3f}[/] ({min(ratios):.3f} to {max(ratios):.3f})",
        )
    return table


def _spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
