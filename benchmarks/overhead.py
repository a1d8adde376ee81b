"""What capture costs: the same flows with and without the plugin, in processes that alternate within one run.

``sequential`` and ``mapped`` are tasks that do nothing, so that all of the difference shows; ``files`` reads a CSV file of
1 MB a task; ``frames`` hands frames of 40 MB from task to task. Where data is hashed, the last column says how fast: the
bytes that the flow read and handed on, by the time that lineage took in all.

Wall time on a shared machine varies by tens of percent; CPU time is steadier. Both are of whole flow runs, so they hold
what capture does once a run (code, environment, delivery at its end) as well as what it does for every task.
``--imports`` measures ``import prefect`` instead.

    python -m benchmarks.overhead [--rounds 5] [--flow sequential=200 …] [--repeats 1]
    python -m benchmarks.overhead --imports [--rounds 20]
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from demo.server import isolated_environment, private_server

GOAL = 1.05
PROGRAM = Path(__file__).with_name("measured_flows.py")
FLOWS = ("sequential=200", "mapped=1000", "files=100", "frames=12")
IMPORT = """
import time
wall, cpu = time.perf_counter(), time.process_time()
import prefect
print(time.process_time() - cpu, time.perf_counter() - wall)
"""
IMPORTS = {
    "bare Prefect": {"PREFECT_PLUGINS_ENABLED": "false"},
    "plugins on, none there": {"PREFECT_PLUGINS_ENABLED": "true", "PREFECT_PLUGINS_DENY": "lineage-flows"},
    "with lineage": {"PREFECT_PLUGINS_ENABLED": "true"},
}
"""Prefect's plugin system takes time of its own, which is not lineage's."""
IMPORT_GOAL = 0.05
"""Seconds that ``import prefect`` may take longer."""
MEASURES = ("cpu", "wall")

Sample = dict[tuple[str, str], float]
"""Median seconds of one process, by flow and measure."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of processes, one with and one without the plugin")
    parser.add_argument(
        "--flow", action="append", help="a flow and how many tasks it has, as in mapped=1000; all by default"
    )
    parser.add_argument("--imports", action="store_true", help="measure `import prefect`, and no flow")
    parser.add_argument("--repeats", type=int, default=1, help="measured flow runs of each kind in a process")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the private server ends with us
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory(prefix="lineage-flows-bench-") as temporary:
        folder = Path(temporary)
        if options.imports:
            _imports(folder, options.rounds, console)
            return
        shutil.copy(PROGRAM, folder)
        flows = tuple(options.flow or FLOWS)
        console.print("starting a private Prefect server")
        with private_server(folder / "prefect") as url:
            bench = Bench(folder, url, flows, options.repeats)
            samples = bench.alternate(options.rounds, console)
    console.print(_table(samples, flows, bench.bytes))


@dataclass(frozen=True)
class Bench:
    """Where processes run and how much each measures."""

    folder: Path
    url: str
    flows: tuple[str, ...]
    repeats: int
    bytes: dict[str, int] = field(default_factory=dict)
    """What a flow reads and hands on, as its program says."""

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
        command = [sys.executable, PROGRAM.name, str(self.repeats), *self.flows]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{PROGRAM.name} ended with status {done.returncode}:\n{done.stderr}")
        answer = json.loads(done.stdout)
        if answer["captured"] is not plugin:
            raise RuntimeError(f"capture was {'off' if plugin else 'on'} where it should not be:\n{done.stderr}")
        runs = answer["measured"]
        self.bytes.update({run["flow"]: run["bytes"] for run in runs})
        return {
            (flow, measure): median(run[measure] for run in runs if run["flow"] == flow)
            for flow, measure in product((one.partition("=")[0] for one in self.flows), MEASURES)
        }


def _table(samples: dict[bool, list[Sample]], flows: tuple[str, ...], seen: dict[str, int]) -> Table:
    """Medians over the processes, and the ratio with the least and the greatest of the rounds."""
    table = Table(title=f"ms a task, {len(samples[True])} rounds (least to greatest)")
    for heading in ("flow", "measure", "bare Prefect", "with lineage", f"ratio (goal ≤ {GOAL})", "hashed"):
        table.add_column(heading)
    for one, measure in product(flows, MEASURES):
        flow, _, tasks = one.partition("=")
        bare, watched = ([sample[flow, measure] for sample in samples[plugin]] for plugin in (False, True))
        ratios = [after / before for before, after in zip(bare, watched, strict=True)]
        ratio, more = median(watched) / median(bare), median(watched) - median(bare)
        colour = "green" if ratio <= GOAL else "red"
        table.add_row(
            one,
            measure,
            _spread([1000 * seconds / int(tasks) for seconds in bare]),
            _spread([1000 * seconds / int(tasks) for seconds in watched]),
            f"[{colour}]{ratio:.3f}[/] ({min(ratios):.3f} to {max(ratios):.3f})",
            f"{seen[flow] / 1e6:.0f} MB, {seen[flow] / 1e9 / more:.2f} GB/s" if seen[flow] and more > 0 else "",
        )
    return table


def _imports(folder: Path, rounds: int, console: Console) -> None:
    """How much longer ``import prefect`` takes, in processes that alternate."""
    samples: dict[str, list[list[float]]] = {name: [] for name in IMPORTS}
    for number in track(range(rounds + 1), "measuring", console=console, transient=True):
        first = number % len(IMPORTS)
        for name in [*IMPORTS][first:] + [*IMPORTS][:first]:
            environment = isolated_environment(
                folder / "prefect", LINEAGE_FLOWS_HOME=str(folder / "home"), **IMPORTS[name]
            )
            # An installed package has its bytecode, and a checkout is to be measured like one.
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            done = subprocess.run(
                [sys.executable, "-c", IMPORT], cwd=folder, env=environment, capture_output=True, text=True, check=True
            )
            if number > 0:  # the first round writes bytecode
                samples[name].append([float(seconds) for seconds in done.stdout.split()])
    table = Table(title=f"import prefect, ms, {rounds} rounds (least to greatest)")
    for heading in ("measure", *IMPORTS, f"lineage alone (goal ≤ {1000 * IMPORT_GOAL:.0f})"):
        table.add_column(heading)
    for place, measure in enumerate(MEASURES):
        seconds = {name: [sample[place] for sample in taken] for name, taken in samples.items()}
        bare, plugins, watched = (seconds[name] for name in IMPORTS)
        more = median(watched) - median(plugins)
        colour = "green" if more <= IMPORT_GOAL else "red"
        shown = [_spread([1000 * one for one in taken]) for taken in (bare, plugins, watched)]
        table.add_row(measure, *shown, f"[{colour}]{1000 * more:.0f}[/]; of the least {_least(watched, plugins)}")
    console.print(table)


def _least(watched: list[float], plugins: list[float]) -> str:
    return f"{1000 * (min(watched) - min(plugins)):.0f}"


def _spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
