from __future__ import annotations

import platform
from importlib import metadata

import lineage_flows
from lineage_flows.cli.version import installed


def test_versions_are_those_of_what_runs(call) -> None:
    assert call("version", "--json").document == {
        "lineage_flows": lineage_flows.__version__,
        "prefect": metadata.version("prefect"),
        "python": platform.python_version(),
    }
    assert call("version").out.startswith(f"lineage-flows {lineage_flows.__version__} (Prefect ")
    assert installed("no-such-distribution") is None
