"""Run Prefect's own tests without and with the plugin, and say which pass without it and fail with it.

    python -m tests.prefect_suite.run SOURCE [--python VENV/bin/python] [--module tests/test_flows.py ...] [--keep FOLDER]

SOURCE is a checkout of Prefect's repository (its source distribution has no tests), best at the release that is installed.
PYTHON is an interpreter of an environment of its own: our pins, the plugin, and what the suite asks for beside them
(CONTRIBUTING.md names it). Nothing is downloaded and nothing is written into SOURCE. Each module is a process of its own with
the plugin off and one with it on; those with differences are run again, both ways, to tell flaky tests from broken ones.

Exit codes: 0 the same tests pass; 1 a test passes only without the plugin; 2 a run says nothing (no tests, plugin not as asked).
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from demo.server import isolated_environment
from tests.prefect_suite.compare import Outcome, compare, flaky, read_report

__all__ = ["MODULES", "Round", "SuiteError", "main", "run_once", "said_on_runs"]

MODULES = (
    "tests/test_transactions.py",
    "tests/test_futures.py",
    "tests/results",
    "tests/test_task_runners.py",
    "tests/test_flow_engine.py",
    "tests/test_task_engine.py",
    "tests/test_flows.py",
    "tests/test_tasks.py",
    "tests/test_states.py",
    "tests/test_context.py",
    "tests/test_task_worker.py",
    "tests/test_background_tasks.py",
    "tests/test_artifacts.py",
    "tests/test_assets.py",
    "tests/assets",
    "tests/test_cache_policies.py",
    "tests/engine",
    "tests/test_flow_runs.py",
    "tests/test_task_runs.py",
    "tests/test_log_prints.py",
    "tests/test_waiters.py",
    "tests/runtime",
    "tests/concurrency",
    "tests/test_plugins.py",
    "tests/runner",
)
_AGAIN = 3
_LONGEST_SECONDS = 3600.0
_SETTINGS_OF_THE_SUITE = (
    "-p",
    "no:cacheprovider",
    "--disable-docker-image-builds",
    "--exclude-services",
    # The suite's own 90 s are those of a machine that does nothing else; the first test waits for a server.
    "--timeout=600",
)
_PROBE = """
import prefect.flow_engine, sys
engine = sys.modules.get("lineage_flows.capture.engine")
print("on" if engine is not None and engine.installed() else "off")
"""


class SuiteError(RuntimeError):
    """A run that says nothing about the plugin: no report, no test, or capture was not as asked."""


@dataclass(frozen=True)
class Round:
    """One module of the suite, run once.

    Attributes:
        outcomes: what became of each test, by its name.
        events: how many events capture accepted; 0 without the plugin.
        said: what the captured runs say went wrong with capture, and how often.
    """

    outcomes: dict[str, Outcome]
    events: int
    said: Counter[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, compare, print a table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a checkout of Prefect's repository")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="interpreter that runs the suite")
    parser.add_argument("--module", action="append", help="file or folder of the suite; all that matter when left out")
    parser.add_argument("--keep", type=Path, help="where reports and logs are kept; a temporary folder when left out")
    parser.add_argument("--together", action="store_true", help="run without and with the plugin at the same time")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 140)
    with tempfile.TemporaryDirectory(prefix="lineage-flows-suite-") as temporary:
        folder = (options.keep or Path(temporary)).absolute()
        # Not resolved: the interpreter of a virtual environment is a link, and knows by its place which one it is.
        suite = Suite(options.source.absolute(), options.python.absolute(), folder, together=options.together)
        try:
            suite.check()
            rows = [suite.module(module, console) for module in options.module or MODULES]
        except SuiteError as error:
            console.print(f"[red]{error}[/red]")
            return 2
    console.print(_table(rows))
    for row in rows:
        for name, outcome in row.broken.items():
            console.print(f"passes without the plugin, {outcome} with it: {name}", style="red", highlight=False)
        for name in sorted(row.flaky):
            console.print(f"flaky, with the plugin or without: {name}", highlight=False)
    return 1 if any(row.broken for row in rows) else 0


@dataclass(frozen=True)
class Row:
    """What the table says of one module."""

    module: str
    off: Counter[Outcome]
    on: Counter[Outcome]
    broken: dict[str, Outcome]
    flaky: set[str]
    events: int
    said: Counter[str]


@dataclass(frozen=True)
class Suite:
    """Where the suite lies, which interpreter runs it, and where reports go."""

    source: Path
    python: Path
    folder: Path
    together: bool = False

    def check(self) -> None:
        """Whether the interpreter can capture, and does so when asked only.

        Raises:
            SuiteError: it does not.
        """
        for plugin in (False, True):
            environment = self._environment(self.folder / "probe", plugin=plugin)
            # In a folder of its own: a pyproject.toml at the working directory may turn plugins on.
            (self.folder / "probe").mkdir(parents=True, exist_ok=True)
            done = subprocess.run(
                [str(self.python), "-c", _PROBE],
                cwd=self.folder / "probe",
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.stdout.strip() != ("on" if plugin else "off"):
                raise SuiteError(f"capture is not {'on' if plugin else 'off'} when asked to be:\n{done.stderr[-2000:]}")

    def module(self, module: str, console: Console) -> Row:
        """Run one module without and with the plugin; where they differ, both again, to tell what is flaky.

        Raises:
            SuiteError: a run says nothing.
        """
        off, on = self._both(module, "1", console)
        offs, ons = [off], [on]
        if not compare(off.outcomes, on.outcomes).same:
            for number in range(2, _AGAIN + 1):
                off, on = self._both(module, str(number), console)
                offs.append(off)
                ons.append(on)
        either = flaky([one.outcomes for one in offs]) | flaky([one.outcomes for one in ons])
        broken = {
            name: outcome
            for name, outcome in compare(offs[0].outcomes, ons[0].outcomes).broken.items()
            if name not in either
        }
        return Row(
            module,
            Counter(offs[0].outcomes.values()),
            Counter(ons[0].outcomes.values()),
            broken,
            either,
            ons[0].events,
            ons[0].said,
        )

    def _both(self, module: str, number: str, console: Console) -> tuple[Round, Round]:
        console.print(f"{module}, round {number}", highlight=False)
        folder = self.folder / module.replace("/", "_") / number
        once = partial(run_once, self.python, self.source, module)
        places = [(folder / ("on" if plugin else "off"), plugin) for plugin in (False, True)]
        with ThreadPoolExecutor(2 if self.together else 1) as pool:
            running = [
                pool.submit(once, place, self._environment(place, plugin=plugin), plugin=plugin)
                for place, plugin in places
            ]
            off, on = (one.result() for one in running)
        return off, on

    def _environment(self, place: Path, *, plugin: bool) -> dict[str, str]:
        environment = isolated_environment(
            place / "prefect",
            PREFECT_PLUGINS_ENABLED="true" if plugin else "false",
            LINEAGE_FLOWS_HOME=str(place / "lineage"),
            HOME=str(place / "user"),
            TMPDIR=str(place / "tmp"),
            # The suite starts `uvicorn` and `prefect` by name.
            PATH=os.pathsep.join([str(self.python.parent), os.environ.get("PATH", "")]),
        )
        environment.pop("PYTHONPATH", None)  # the suite's package is called tests, as ours is
        return environment


def run_once(
    python: Path, source: Path, module: str, place: Path, environment: dict[str, str], *, plugin: bool
) -> Round:
    """Run one module of the suite in a fresh process.

    Args:
        python: the interpreter.
        source: the checkout; working directory of the process.
        module: file or folder, relative to it.
        place: where its report, its log, its temporary files and the lineage home lie.
        environment: of the process.
        plugin: whether capture is on in it.

    Raises:
        SuiteError: no report, no test, or capture was not as asked.
    """
    for folder in ("prefect", "user", "tmp"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    report, log = place / "junit.xml", place / "log.txt"
    command = [str(python), "-m", "pytest", "-q", *_SETTINGS_OF_THE_SUITE, "-o", "addopts=-rfE", f"--junitxml={report}"]
    with log.open("wb") as sink:
        subprocess.run(
            [*command, module],
            cwd=source,
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_LONGEST_SECONDS,
        )
    try:
        outcomes = read_report(report)
    except (OSError, ET.ParseError) as error:
        raise SuiteError(f"{module} left no report ({error}); it says: {_tail(log)}") from error
    if not outcomes or set(outcomes.values()) == {"failed"}:
        raise SuiteError(f"no test of {module} passed or was skipped; it says: {_tail(log)}")
    spool = place / "lineage" / "spool.db"
    if spool.exists() != plugin:
        raise SuiteError(f"{module} ran with capture {'off' if plugin else 'on'}, and that was not asked for")
    events, said = said_on_runs(spool) if plugin else (0, Counter[str]())
    return Round(outcomes, events, said)


def said_on_runs(spool: Path) -> tuple[int, Counter[str]]:
    """How many events a spool was given, and what the captured runs say went wrong, with how often."""
    said: Counter[str] = Counter()
    with closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True)) as connection:
        (events,) = connection.execute("SELECT COUNT(*) FROM events").fetchone()
        for (body,) in connection.execute("SELECT body FROM records"):
            said.update(orjson.loads(body).get("capture_errors", ()))
    return int(events), said


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:]


def _table(rows: Sequence[Row]) -> Table:
    table = Table(
        "module", "passed off", "passed on", "failed off", "failed on", "skipped", "broken", "flaky", "events"
    )
    table.add_column("capture said")
    for row in rows:
        table.add_row(
            row.module,
            *(str(counts[outcome]) for outcome in ("passed", "failed") for counts in (row.off, row.on)),
            str(row.on["skipped"]),
            str(len(row.broken)),
            str(len(row.flaky)),
            str(row.events),
            str(row.said.total()),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
