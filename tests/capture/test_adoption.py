"""Steps that run in other processes than their flow are steps of the same run record, linked to what they were given."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lineage_flows.api import lineage
from lineage_flows.settings import load_settings
from tests.support.flows import run_script

pytestmark = pytest.mark.server

SCRIPT = """
import os
import time
import pandas as pd
from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner

@task
def make(n):
    open(f"begun-{n}", "w").close()
    deadline = time.monotonic() + 60
    while not (os.path.exists("begun-3") and os.path.exists("begun-4")):  # so that each worker makes one
        assert time.monotonic() < deadline, "one worker made both"
        time.sleep(0.01)
    return pd.DataFrame({"a": range(n), "p": os.getpid()})

@task
def total(frame):
    with open("seen.txt") as file:
        factor = float(file.read())
    return float(frame["a"].sum()) * factor + 0.25

@task
def join(frames):
    return pd.concat(frames)

@flow(name="pooled", task_runner=ProcessPoolTaskRunner(max_workers=2))
def pooled():
    frames = [make.submit(n) for n in (3, 4)]
    return [total.submit(frame).result() for frame in frames], join.submit(frames).result()

if __name__ == "__main__":
    print(pooled())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
def test_a_process_pool_makes_one_run_record(tmp_path: Path, prefect_server: str) -> None:
    folder, home = tmp_path / "project", tmp_path / "home"
    folder.mkdir()
    (folder / "seen.txt").write_text("2")
    ran = run_script(SCRIPT, folder, home, PREFECT_API_URL=prefect_server, LINEAGE_FLOWS_STRICT="true")
    assert ran.code == 0, ran.err
    with lineage(load_settings(home=home)) as graph:
        (run,) = graph.runs()
        record = graph.record(run.run_id)
    assert [(step.task_name, step.index) for step in record.steps] == [
        ("make", 0),
        ("make", 1),
        ("total", 0),
        ("total", 1),
        ("join", 0),
    ]
    made = {step.run_id: step.output.fingerprint for step in record.steps[:2]}
    for step in record.steps[2:4]:
        (source,) = step.inputs[0].sources
        assert source.run_id in made
        assert source.fingerprint == made[source.run_id] == step.inputs[0].value.fingerprint
        assert [dataset.path for dataset in step.datasets] == [str(folder / "seen.txt")]
        assert step.root_run_id == run.run_id
    join = record.steps[4]
    assert {source.run_id for source in join.inputs[0].sources} == set(made), "one of them was made in another process"
    assert join.run_id in {source.run_id for source in record.flow.result_sources}
    assert not record.flow.capture_errors
