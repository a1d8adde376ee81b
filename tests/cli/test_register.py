"""The verbs ``register`` and ``registered``, against a registry on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cloud import Cloud, account
from tests.support.records import FLOW_ID


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with account() as url:
        yield Cloud(url, monkeypatch)


def test_a_model_is_registered_and_listed(call, filled, cloud):
    said = call("register", FLOW_ID, "--group", "desk", "--metric", "sharpe=0.8431", "--property", "owner=quant desk")
    assert said.code == 0, said.err
    assert "desk/1 is registered, PendingManualApproval" in said.out
    assert f"made by run {FLOW_ID}" in said.out
    again = call("register", FLOW_ID, "--group", "desk", "--json")
    assert (again.code, again.document["version"], again.document["created"]) == (0, 1, False)
    found = cloud.client("sagemaker").describe_model_package(ModelPackageName=again.document["arn"])
    assert found["CustomerMetadataProperties"]["metric.sharpe"] == "0.8431"
    assert found["CustomerMetadataProperties"]["owner"] == "quant desk"
    listed = call("registered", "--json").document
    assert [item["source_uri"] for item in listed] == [again.document["arn"]]
    shown = call("registered", "desk").out
    assert again.document["arn"] in shown
    assert "PendingManualApproval" in shown
    data = next(node for node in call("upstream", "desk/1", "--json").document["nodes"] if node["type"] == "DataSet")
    assert call("registered", "--of", data["source_uri"], "--json").document == listed
    assert "No version" in call("registered", "other").out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["no-such-model", "--group", "desk"], "no-such-model"),
        ([FLOW_ID, "--group", "not a name"], "modelPackageGroupName"),
        ([FLOW_ID, "--group", "desk", "--metric", "sharpe"], "NAME=VALUE"),
        ([FLOW_ID, "--group", "desk", "--metric", "sharpe=high"], "NAME=NUMBER"),
        ([FLOW_ID, "--group", "desk", "--approval", "Perhaps"], "Perhaps"),
        ([FLOW_ID], "--group"),
        ([FLOW_ID, "--group", "desk", "--image", "image:1"], "was not kept|MODELS_URL"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(arguments, text, call, filled, cloud):
    said = call("register", *arguments)
    assert said.code == 2
    assert any(part in said.err for part in text.split("|")), said.err
    assert cloud.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"] == []
