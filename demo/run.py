"""The whole loop on real prices: a backtest is captured, its folder deleted, the run replayed and proven identical.

Uses the package as its user does, through ``python backtest.py`` and the ``lineage-flows`` command; started by ``make demo``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from demo.server import ServerError, isolated_environment, private_server

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
CLI = Path(sys.executable).with_name("lineage-flows")
STAGES = 7
WIDTH_WITHOUT_TERMINAL = 120
SWITCHED_ON = "[tool.prefect.plugins]\nenabled = true\n"
PRICES = "../market/prices.parquet"
# A year shorter than the sample the flow writes when it finds no prices: a replay that made its prices afresh, rather than
# being given those of the run, comes out different.
MAKE_PRICES = (
    f"from skfolio.datasets import load_sp500_dataset; load_sp500_dataset().loc[:'2021'].to_parquet({PRICES!r})"
)


class DemoError(Exception):
    """A stage did not do what it should; the message says which and what was seen."""


@dataclass
class Stages:
    """What the terminal shows: a line for every stage that is done, and a bar for the one that runs."""

    console: Console
    progress: Progress
    bar: TaskID
    done: int = field(default=0)

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Show ``title`` while the block runs, and how long it took when it is done."""
        self.progress.update(self.bar, description=title)
        began = time.monotonic()
        yield
        self.done += 1
        self.progress.update(self.bar, completed=self.done)
        self.console.print(f"[bold green]✓[/] {title} [dim]{time.monotonic() - began:.1f} s[/]", highlight=False)

    def show(self, command: str, output: str) -> None:
        """Print a command as the user would type it, and what it answered."""
        self.console.print(Text(f"\n$ {command}", style="bold"))
        self.console.print(Text.from_ansi(output.rstrip("\n")))


@dataclass(frozen=True)
class Desk:
    """A desk's folder: a researcher's code, a pyproject.toml that switches lineage on, and, beside them, a price file.

    The price file is not among the code, or keeping the code would keep it, and nothing be shown of data.
    """

    folder: Path
    environment: dict[str, str]

    def make(self) -> None:
        """Put the files in place: what the desk has before the flow runs."""
        self.research.mkdir(parents=True)
        self.prices.parent.mkdir()
        shutil.copy(ROOT / "flows" / "backtest.py", self.research)
        (self.research / "pyproject.toml").write_text(SWITCHED_ON)
        self._python("-c", MAKE_PRICES)

    @property
    def research(self) -> Path:
        """Where the code is, and where it is run."""
        return self.folder / "research"

    @property
    def prices(self) -> Path:
        """The desk's price file."""
        return (self.research / PRICES).resolve()

    def backtest(self, *arguments: str) -> str:
        """Run the flow as its author does, and return what it printed."""
        return self._python("backtest.py", "--prices", PRICES, *arguments)

    def _python(self, *arguments: str) -> str:
        return _run([sys.executable, *arguments], cwd=self.research, env=self.environment)


@dataclass(frozen=True)
class Lineage:
    """The ``lineage-flows`` command, with the demo's own home."""

    environment: dict[str, str]

    def text(self, *arguments: str, accept: tuple[int, ...] = (0,)) -> str:
        """What the command prints for people."""
        return _run([str(CLI), *arguments], cwd=FOLDER, env=self.environment, accept=accept)

    def data(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON, whose shape is the command's
        """The command's one JSON document."""
        command = [str(CLI), *arguments, "--json"]
        return json.loads(_run(command, cwd=FOLDER, env=self.environment, errors=subprocess.PIPE))

    def newest(self, kind: str) -> dict[str, str | None]:
        """The newest run of a kind, ``run`` or ``replay``."""
        runs: list[dict[str, str | None]] = self.data("runs")
        for run in runs:
            if run["kind"] == kind:
                return run
        raise DemoError(f"lineage-flows runs lists no {kind}: capture or delivery did not work")


@dataclass(frozen=True)
class Outcome:
    """What the demonstration came to: the replay's verdict, the two runs, and the price file that is gone."""

    verdict: str | None
    run: str
    changed: str
    prices: Path


def main() -> int:
    """Run the demonstration; 0 when the replay was identical, 1 when it was not or a stage failed, 130 when interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if terminal else WIDTH_WITHOUT_TERMINAL)
    began = time.monotonic()
    try:
        with _stages(console) as stages:
            outcome = _demonstrate(stages)
    except KeyboardInterrupt:
        console.print("interrupted; the private server was stopped")
        return 130
    except (DemoError, ServerError, OSError) as error:
        console.print(Text(f"make demo: {error}", style="red"))
        return 1
    console.print(_what_next(outcome, time.monotonic() - began))
    return 0 if outcome.verdict == "identical" else 1


def _demonstrate(stages: Stages) -> Outcome:
    """All stages in order."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    home = FOLDER / "prefect"
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lineage-flows-demo-")))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        offline = isolated_environment(home, LINEAGE_FLOWS_HOME=str(FOLDER / "home"), **_terminal(stages.console))
        desk = temporary / "desk"

        with stages.stage("a desk folder with a flow and its prices, and a private Prefect server"):
            made: Future[None] = pool.submit(Desk(desk, offline).make)
            environment = offline | {"PREFECT_API_URL": stack.enter_context(private_server(home))}
            made.result()
        researcher, lineage = Desk(desk, environment), Lineage(environment)

        with stages.stage("the backtest runs; nothing in it knows of lineage"):
            output = researcher.backtest()
        stages.show(f"python backtest.py --prices {PRICES}", output)

        with stages.stage("what was captured"):
            run = str(lineage.newest("run")["run_id"])
            steps = lineage.data("show", run)["record"]["steps"]
            _check_kept(steps, researcher.prices)
            model = _model_of(steps)
            shown, upstream = lineage.text("show", run), lineage.text("upstream", model)
        stages.show(f"lineage-flows show {run}", shown)
        stages.show(f"lineage-flows upstream {model}", upstream)

        with stages.stage("the desk folder is deleted: code, prices, figure, everything"):
            shutil.rmtree(desk)

        with stages.stage("the run is replayed from what lineage recorded"):
            report = lineage.text("replay", run, accept=(0, 1))
            verdict = lineage.newest("replay").get("verdict")
        stages.show(f"lineage-flows replay {run}", report)
        if desk.exists():
            raise DemoError(f"the replay wrote into {desk}, where the original was")

        with stages.stage("the desk is set up again, and one parameter changed"):
            researcher.make()
            output = researcher.backtest("--lookback", "126")
            changed = str(lineage.newest("run")["run_id"])
        stages.show(f"python backtest.py --prices {PRICES} --lookback 126", output)

        with stages.stage("what is different between the two runs"):
            difference = lineage.text("diff", run, changed, accept=(0, 1))
        stages.show(f"lineage-flows diff {run} {changed}", difference)
    return Outcome(verdict, run, changed, researcher.prices)


def _check_kept(steps: list[dict[str, Any]], prices: Path) -> None:
    """Nothing is proven by a replay whose data lineage does not hold.

    Raises:
        DemoError: no step is known to have read the price file, or its content was not kept.
    """
    reads = [data for step in steps for data in step["datasets"] if data["direction"] == "read"]
    if not any(Path(data["path"]).resolve() == prices and data["blob"] for data in reads):
        raise DemoError(
            f"the content of {prices} was not captured: {[data['path'] for data in reads] or 'no file'} was read"
        )


def _model_of(steps: list[dict[str, Any]]) -> str:
    """The reference of the model that the training step gave out."""
    for step in steps:
        if step["kind"] == "training":
            return f"prefect://prefect/task-run/{step['run_id']}/result"
    raise DemoError("the run has no training step: its steps were not captured")


def _run(
    command: list[str],
    *,
    cwd: Path,
    env: dict[str, str],
    accept: tuple[int, ...] = (0,),
    errors: int = subprocess.STDOUT,
) -> str:
    """What a command wrote to standard output, and, unless ``errors`` is a pipe of its own, to standard error.

    Raises:
        DemoError: it ended with a status that is not accepted.
    """
    done = subprocess.run(  # noqa: S603 - the commands are this module's own
        command,
        check=False,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    if done.returncode not in accept:
        name = " ".join([Path(command[0]).name, *command[1:]])
        raise DemoError(f"`{name}` ended with status {done.returncode}:\n{done.stdout}{done.stderr or ''}")
    return done.stdout


def _terminal(console: Console) -> dict[str, str]:
    """What makes commands whose output is shown later draw for this terminal."""
    size = {"COLUMNS": str(console.width)}
    return size | ({"FORCE_COLOR": "1"} if console.is_terminal and not console.no_color else {"NO_COLOR": "1"})


@contextmanager
def _stages(console: Console) -> Iterator[Stages]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Stages(console, progress, progress.add_task("starting", total=STAGES))


def _what_next(outcome: Outcome, seconds: float) -> Panel:
    """How it went and what to try, with commands that work from the project's folder."""
    identical = outcome.verdict == "identical"
    home = os.path.relpath(FOLDER / "home", ROOT)
    text = Text.assemble(
        ("The replay was identical.", "bold green") if identical else (f"The replay: {outcome.verdict}.", "bold red"),
        f" Everything took {seconds:.0f} s.\n\n"
        "What was recorded is still there:\n"
        f"  export LINEAGE_FLOWS_HOME={home}\n"
        "  .venv/bin/lineage-flows runs\n"
        f"  .venv/bin/lineage-flows show {outcome.changed[:8]}\n"
        f"  .venv/bin/lineage-flows downstream {outcome.prices}\n\n"
        "For your own flows, in their project's folder:\n"
        "  lineage-flows init    (writes the one setting into pyproject.toml)\n"
        "  python your_flow.py",
    )
    return Panel(text, title="lineage-flows", expand=False)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
