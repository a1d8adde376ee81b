from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = (
    "lineage_flows.records",
    "lineage_flows.content",
    "lineage_flows.events",
    "lineage_flows.graph",
    "lineage_flows.delivery",
    "boto3",
    "botocore",
    "duckdb",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "sagemaker",
    "sqlglot",
)

PROGRAM = """
import json, sys
import prefect
print(json.dumps([sorted(sys.modules), "lineage_flows.runtime" in sys.modules]))
"""


def test_importing_prefect_loads_only_what_watches(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PREFECT_PLUGINS_ENABLED": "true",
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "LINEAGE_FLOWS_HOME": str(tmp_path / "home"),
    }
    loaded: dict[str, set[str]] = {}
    for enabled in ("false", "true"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**environment, "PREFECT_PLUGINS_ENABLED": enabled},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        modules, active = json.loads(done.stdout)
        assert active is (enabled == "true")
        loaded[enabled] = set(modules)
    assert sorted((loaded["true"] - loaded["false"]) & set(HEAVY)) == []
