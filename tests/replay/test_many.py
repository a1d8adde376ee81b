"""Real runs, replayed one after the other."""

from __future__ import annotations

import pytest

from lineage_flows import lineage
from lineage_flows.replay.many import replay_many
from tests.replay.test_end_to_end import Desk, desk  # noqa: F401 - a fixture

FLOW = """
import numpy as np
from prefect import flow, task

@task
def draw(n):
    return np.random.default_rng().normal(size=n)

@flow
def paths(n):
    return draw(n)

if __name__ == "__main__":
    import sys
    paths(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
"""


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_is_replayed_for_itself_and_a_lost_blob_stops_no_other(desk: Desk) -> None:  # noqa: F811
    for _ in range(3):
        desk.run(FLOW)
    with lineage(desk.settings) as graph:
        runs = graph.runs_of("paths")
        parameter = graph.record(runs[1].run_id).flow.random
    assert parameter is not None
    assert parameter.python is not None
    told: list[tuple[str, int, int]] = []
    found = replay_many(runs, on_run=lambda *said: told.append(said), settings=desk.settings)
    assert [run.verdict for run in found.runs] == ["identical"] * 3
    assert [run.run_id for run in found.runs] == [run.run_id for run in runs]
    assert told == [*((run.name, done, 3) for done, run in enumerate(runs)), ("", 3, 3)]
    (blob,) = [
        path for path in (desk.home / "blobs").rglob("*") if path.name == runs[1].record_digest.partition(":")[2]
    ]  # type: ignore[union-attr]
    blob.unlink()
    found = replay_many(runs, settings=desk.settings)
    assert [run.verdict for run in found.runs] == ["identical", None, "identical"]
    assert "is missing" in found.runs[1].summary
    assert found.exit_code == 2
