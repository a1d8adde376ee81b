"""A small run of the chaos: see ``chaos``, which is run in full by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage_flows.endpoint.faults import Faults
from tests.graph.sagemaker.chaos import chaos

FAULTS = Faults(
    throttle=0.05, server_error=0.05, conflict=0.05, reset=0.03, hang=0.01, hang_seconds=0.5, lag=0.3, lag_seconds=0.5
)


@pytest.mark.slow
def test_what_was_killed_and_refused_ends_as_a_calm_delivery(tmp_path: Path) -> None:
    found = chaos(tmp_path, runs=3, kills=5, faults=FAULTS, seconds=200)
    assert found.same
    assert found.left == 0
    assert found.kills >= 3
    assert sum(found.faults.values()) > 20
    for operation, new in found.new.items():
        # Each is asked for once, and again where no answer came: after a fault, and after a kill by each of eight workers.
        repeats = sum(found.faults[kind] for kind in ("throttle", "server_error", "reset", "hang")) + 8 * found.kills
        assert new <= found.calls[operation] <= new + repeats
