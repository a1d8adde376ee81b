"""A flow's process killed -9 at a random moment, fifty times: every event that was accepted is delivered once afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lineage_flows.delivery import GRAPH, GraphReceiver, Spool, deliver_once
from lineage_flows.events import TERMINAL
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.project import project
from tests.support.flows import SWITCH, flow_environment

pytestmark = [pytest.mark.server, pytest.mark.slow]

KILLS = 50
AT_ONCE = 2

FLOW = """
import os, sys
from prefect import flow, task
from prefect.runtime import task_run

journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

@task
def step(x):
    os.write(journal, f"{task_run.id}\\n".encode())
    return x * 1.5 + 1000

@flow
def loop(n=6):
    x = 2.5
    for _ in range(n):
        x = step(x)
    return x

if __name__ == "__main__":
    loop(1)
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    while True:
        loop()
"""


def start(folder: Path, home: Path, api: str) -> subprocess.Popen[str]:
    environment = flow_environment(home, PREFECT_API_URL=api, JOURNAL=str(folder / "journal"))
    return subprocess.Popen(
        [sys.executable, "flow.py"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


@pytest.mark.timeout(900)
def test_what_was_accepted_is_delivered_once(tmp_path: Path, prefect_server: str) -> None:
    folder, home = tmp_path / "project", tmp_path / "home"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(SWITCH)
    (folder / "flow.py").write_text(FLOW)
    chance = random.Random(7)
    killed = 0
    while killed < KILLS:
        children = [start(folder, home, prefect_server) for _ in range(AT_ONCE)]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            try:
                child.wait(timeout=chance.uniform(0.0, 0.6))
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
            assert child.wait(timeout=30) == -signal.SIGKILL
            child.stdout.close()
            killed += 1

    journal = set((folder / "journal").read_text().split())
    spool = Spool(home / "spool.db")
    accepted = [item.event for item in spool.pending("nobody", 1_000_000)]
    started = {event.run_id for event in accepted if event.kind == "START"}
    # The journal's last line may belong to a task that was killed before its line was whole; every whole id counts.
    assert {run for run in journal if len(run) == 36} <= started
    assert sum(event.kind in TERMINAL for event in accepted) < 2 * len(started), "nobody was killed in the middle"

    graph = home / "graph.db"
    report = deliver_once(spool, [GraphReceiver(lambda: open_embedded(graph))], home, timeout=120)
    assert report.complete, report
    assert spool.backlog(GRAPH) == 0
    assert not spool.parked()
    spool.close()

    calm = tmp_path / "calm.db"
    keeper = open_embedded(calm)
    project(accepted, keeper)
    keeper.close()
    found = contents(graph)
    assert found == contents(calm)
    assert len([entity for entity in found[0] if entity.startswith("Action")]) == len({e.run_id for e in accepted})


def contents(path: Path) -> tuple[list[str], list[str]]:
    """Every entity and association of a graph."""
    keeper = open_embedded(path, read_only=True)
    try:
        entities = [*keeper.list_actions(), *keeper.list_artifacts(), *keeper.list_contexts()]
        edges = keeper.associations()
        return sorted(f"{type(e).__name__} {e.model_dump_json()}" for e in entities), sorted(
            edge.model_dump_json() for edge in edges
        )
    finally:
        keeper.close()
