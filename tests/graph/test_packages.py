"""Versions in the model registry as artifacts: by their ARNs, and by group and number."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.errors import AmbiguousReferenceError, UnknownReferenceError
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.packages import package_name, packages
from lineage_flows.graph.project import project
from lineage_flows.graph.reference import resolve

HOST = "arn:aws:sagemaker:eu-central-1:111122223333"


def event(*uris: str) -> dict[str, object]:
    return {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-31T16:00:00Z",
        "producer": "https://example.com",
        "run": {"runId": "01935c2e-7a10-7c3e-9d1a-5b6f0a4c1e00"},
        "job": {"namespace": "n", "name": "j"},
        "outputs": [
            {
                "namespace": uri.rpartition(":")[0],
                "name": uri.rpartition(":")[2],
                "facets": {
                    "lineageFlows_artifact": {
                        "sourceUri": uri,
                        "artifactType": "Model",
                        "role": "data",
                        "name": "x",
                        "knownBy": [],
                    }
                },
            }
            for uri in uris
        ],
    }


@given(st.from_regex(r"[a-z0-9](-?[a-z0-9]){0,20}", fullmatch=True), st.integers(1, 10**6))
def test_a_name_is_read_from_an_arn(group: str, version: int) -> None:
    assert package_name(f"{HOST}:model-package/{group}/{version}") == (group, version)
    assert package_name(f"{HOST}:model-package/{group}") is None
    assert package_name(f"{HOST}:training-job/{group}/{version}") is None


def test_versions_are_listed_newest_first_and_found_by_number(tmp_path: Path) -> None:
    arns = [f"{HOST}:model-package/desk/{number}" for number in (2, 10, 1)]
    other = f"{HOST}:model-package/other/1"
    with closing(open_embedded(tmp_path / "graph.db")) as keeper:
        project([event(*arns, other, "s3://bucket/model.tar.gz", f"{HOST}:model-package/unversioned")], keeper)
        assert [item.source_uri for item in packages(keeper)] == [arns[1], arns[0], arns[2], other]
        assert [item.source_uri for item in packages(keeper, "Desk")] == [arns[1], arns[0], arns[2]]
        (found,) = resolve(keeper, "Desk/10")
        assert found.source_uri == arns[1]
        with pytest.raises(UnknownReferenceError):
            resolve(keeper, "desk/3")
        elsewhere = arns[1].replace("eu-central-1", "us-east-1")
        project([event(elsewhere)], keeper)
        with pytest.raises(AmbiguousReferenceError):
            resolve(keeper, "desk/10")
