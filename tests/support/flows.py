"""Runs a flow as a user would: a script in a folder and a process of its own, with the pyproject setting alone."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from lineage_flows.delivery import Spool
from lineage_flows.records import FlowRecord, StepRecord

SWITCH = "[tool.prefect.plugins]\nenabled = true\n"


@dataclass
class Ran:
    """What came of it: the process's answer and the records in its home's spool."""

    code: int
    out: str
    err: str
    home: Path

    def records(self) -> list[FlowRecord | StepRecord]:
        spool = Spool(self.home / "spool.db")
        try:
            return [record for root in roots(spool) for record in spool.records(root)]
        finally:
            spool.close()

    def flows(self) -> dict[str, FlowRecord]:
        return {record.flow_name: record for record in self.records() if isinstance(record, FlowRecord)}

    def steps(self, task: str | None = None) -> list[StepRecord]:
        found = [record for record in self.records() if isinstance(record, StepRecord)]
        return sorted((step for step in found if task in (None, step.task_name)), key=lambda step: step.run_id)

    def step(self, task: str) -> StepRecord:
        (step,) = self.steps(task)
        return step


def roots(spool: Spool) -> list[str]:
    """The root runs that a spool has events of, in order of acceptance."""
    return list(dict.fromkeys(item.event.root_run_id for item in spool.pending("nobody", 1_000_000)))


def run_script(source: str, folder: Path, home: Path, *arguments: str, switch: str = SWITCH, **environment: str) -> Ran:
    """Write ``source`` to ``flow.py`` in ``folder`` and run it with this interpreter."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(switch)
    (folder / "flow.py").write_text(dedent(source))
    done = subprocess.run(
        [sys.executable, "flow.py", *arguments],
        cwd=folder,
        env=flow_environment(home, **environment),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr, home)


def flow_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user who has switched plugins on in pyproject.toml only.

    Each home has results of its own: in one store for all tests, a task cached by its inputs would find the value
    that another test's task made of the same inputs, or not, as the order of the tests has it.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PREFECT_PLUGINS_ENABLED"}
    own = {"LINEAGE_FLOWS_HOME": str(home), "PREFECT_LOCAL_STORAGE_PATH": f"{home}-results"}
    return {**kept, **own, **more}
