"""What a replay takes, beside its original in the same run; and what building an environment for it takes.

The flow is ``flows/backtest.py``. Original and replays are whole processes, as a user starts them: import, flow, delivery, and
for a replay also the plan, the workspace and the comparison. They alternate, so that a crowded machine weighs on all alike.

``rebuild`` runs on an environment that is built from the wheels in uv's cache (*warm*): first with nothing built, then with nothing
compiled, then with everything there. ``--cold`` also builds one with an empty cache of uv's, which fetches every wheel anew.

    python -m benchmarks.replay [--rounds 3] [--cold]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from demo.server import isolated_environment, private_server

GOAL = 1.2
ROOT = Path(__file__).resolve().parent.parent
FLOW = ROOT / "flows" / "backtest.py"
CALL = "import sys; from lineage_flows.cli import main; sys.exit(main())"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="originals, each followed by its replays")
    parser.add_argument("--cold", action="store_true", help="also build an environment with an empty cache of uv's")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the private server ends with us
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory(prefix="lineage-flows-bench-") as temporary:
        folder = Path(temporary)
        project = folder / "project"
        project.mkdir()
        shutil.copy(FLOW, project)
        (project / "pyproject.toml").write_text("[tool.prefect.plugins]\nenabled = true\n")
        console.print("starting a private Prefect server")
        with private_server(folder / "prefect") as url:
            bench = Bench(folder, project, url)
            bench.original()
            run = bench.newest()
            once = {"built and replayed, nothing compiled": bench.seconds(lambda: bench.replay(run, "rebuild"))}
            calls: dict[str, Callable[[], None]] = {
                "original": bench.original,
                "replay, the packages that are here": lambda: bench.replay(run, "current"),
                "replay, rebuilt before": lambda: bench.replay(run, "rebuild"),
            }
            found: dict[str, list[float]] = defaultdict(list)
            cpu: dict[str, list[float]] = defaultdict(list)
            for _ in range(options.rounds):
                for name, call in calls.items():
                    before = _cpu()
                    found[name].append(bench.seconds(call))
                    cpu[name].append(_cpu() - before)
                    console.print(f"{found[name][-1]:7.2f} s  {name}")
            once |= bench.builds(run, cold=options.cold)
        _print(found, cpu, once, console)


class Bench:
    """One home, one project, one server."""

    def __init__(self, folder: Path, project: Path, url: str) -> None:
        self._folder = folder
        self._project = project
        self._home = folder / "home"
        self._environment = isolated_environment(
            folder / "prefect", PREFECT_API_URL=url, LINEAGE_FLOWS_HOME=str(self._home)
        )

    def original(self) -> None:
        """Run the flow as its author does."""
        self._run([sys.executable, FLOW.name])

    def replay(self, run: str, environment: str) -> None:
        """Replay a run as its author does; it has to be identical."""
        self._lineage("replay", run, "--env", environment)

    def newest(self) -> str:
        """The id of the last run."""
        return str(json.loads(self._lineage("runs", "--limit", "1", "--json"))[0]["run_id"])

    def builds(self, run: str, *, cold: bool) -> dict[str, float]:
        """Seconds that building the run's environment takes, from uv's cache and from an empty one."""
        from lineage_flows.content import open_store
        from lineage_flows.replay.environments import Rebuilder
        from lineage_flows.replay.find import find_record
        from lineage_flows.replay.run import recorded_environment
        from lineage_flows.replay.uv import find_uv
        from lineage_flows.replay.wanted import wanted_environment
        from lineage_flows.settings import load_settings

        settings = load_settings(home=self._home)
        store = open_store(settings.blobs_url)
        record, _ = find_record(run, settings, store)
        recorded, uv = recorded_environment(record, store), find_uv()
        assert recorded is not None
        assert uv is not None
        wanted = wanted_environment(recorded, record, settings)

        def build(home: Path) -> float:
            with Rebuilder(home, uv).environment(wanted, record.flow.code, store) as built:
                return built.seconds

        size = f"{len(wanted.pinned)} packages"
        found = {f"building {size}, uv's cache warm": build(self._folder / "warm")}
        if cold:
            os.environ["UV_CACHE_DIR"] = str(self._folder / "uv-cache")
            found[f"building {size}, uv's cache empty"] = build(self._folder / "cold")
        return found

    @staticmethod
    def seconds(call: Callable[[], None]) -> float:
        """Wall time of a call."""
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    def _lineage(self, *arguments: str) -> str:
        return self._run([sys.executable, "-c", CALL, *arguments])

    def _run(self, command: Sequence[str]) -> str:
        done = subprocess.run(
            command, cwd=self._project, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(
                f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-800:]}\n{done.stderr[-800:]}"
            )
        return done.stdout


def _cpu() -> float:
    """CPU seconds of all processes that were started and have ended; steadier than wall time on a crowded machine."""
    spent = os.times()
    return spent.children_user + spent.children_system


def _print(
    found: dict[str, list[float]], cpu: dict[str, list[float]], once: dict[str, float], console: Console
) -> None:
    table = Table("", "median", "least", "most", "over its original", "CPU", "over", title="wall time in seconds")
    for name, seconds in found.items():
        ratio = median(a / b for a, b in zip(seconds, found["original"], strict=True))
        said = f"{ratio:.2f}" + ("" if name == "original" or ratio <= GOAL else f" (goal {GOAL})")
        table.add_row(
            name,
            f"{median(seconds):.2f}",
            f"{min(seconds):.2f}",
            f"{max(seconds):.2f}",
            said,
            *_compared(cpu[name], cpu["original"]),
        )
    for name, once_seconds in once.items():
        table.add_row(f"once: {name}", f"{once_seconds:.2f}")
    console.print(table)


def _compared(seconds: list[float], original: list[float]) -> tuple[str, str]:
    return f"{median(seconds):.2f}", f"{median(a / b for a, b in zip(seconds, original, strict=True)):.2f}"


if __name__ == "__main__":
    main()
