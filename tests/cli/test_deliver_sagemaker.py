"""What the program says of what SageMaker would not take; and that `deliver` offers it again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from lineage_flows.endpoint.server import Endpoint
from lineage_flows.graph.sagemaker.cache import Cache
from tests.support.records import FLOW_ID


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    endpoint = Endpoint(tmp_path / "there")
    for name, value in {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_ENDPOINT_URL_SAGEMAKER": endpoint.url,
        "LINEAGE_FLOWS_KEEPER": "sagemaker",
    }.items():
        monkeypatch.setenv(name, value)
    yield endpoint
    endpoint.close()


def test_a_name_that_another_thing_has_is_put_aside_shown_and_offered_again(call, spooled, served) -> None:
    """Somebody made an action with the name of one of ours, and then deletes it."""
    client = boto3.client("sagemaker", "eu-central-1", endpoint_url=served.url)
    name = f"backtest-{FLOW_ID}"
    client.create_action(ActionName=name, Source={"SourceUri": "x:another"}, ActionType="Other")
    said = call("deliver", "--json")
    assert said.code == 2
    assert said.document["receivers"][0]["left"] == 0, "the events behind it are delivered"
    (parked,) = said.document["parked"]
    assert parked["what"] == f"Action {name}"
    assert "'x:another'" in parked["reason"]
    assert said.document["undone"] == 0
    assert said.document["waiting"] > 0

    calls = served.calls
    shown = call("deliver", "--parked")
    assert shown.code == 2
    assert "SageMaker would not take" in shown.out
    assert name in shown.out
    assert call("deliver", "--parked", "--json").document["parked"] == [parked]
    assert served.calls == calls, "only looking costs no call"
    (found,) = [item for item in call("doctor", "--json").document["checks"] if item["name"] == "delivery"]
    assert (found["outcome"], "SageMaker refuses" in found["found"]) == ("failed", True)
    assert "deliver --parked" in found["fix"]

    client.delete_action(ActionName=name)
    said = call("deliver", "--json")
    assert (said.code, said.document["parked"], said.document["waiting"]) == (0, [], 0)
    assert [run["name"] for run in call("runs", "--json").document] == ["brave-otter"]
    assert call("deliver", "--parked").code == 0


def test_near_a_quota_the_doctor_says_so(call, spooled, served, monkeypatch) -> None:
    monkeypatch.setenv("LINEAGE_FLOWS_SAGEMAKER_QUOTAS", "actions=5")
    assert call("deliver").code == 0
    (found,) = [item for item in call("doctor", "--json").document["checks"] if item["name"] == "delivery"]
    assert found["outcome"] == "warning"
    assert "of 5 actions" in found["found"]
    assert "SAGEMAKER_DETAIL" in found["fix"]


def test_a_home_whose_sagemaker_is_another_is_refused(call, spooled, served) -> None:
    cache = Cache(spooled / "sagemaker.db")
    cache.bind("place", "us-east-1")
    cache.close()
    said = call("deliver", "--timeout", "5", "--json")
    assert said.code == 2
    assert "another region" in said.document["receivers"][0]["error"]
    assert said.document["receivers"][0]["left"] == 12


def test_a_thing_that_was_put_aside_is_discarded_with_what_hung_on_it(call, spooled, served) -> None:
    client = boto3.client("sagemaker", "eu-central-1", endpoint_url=served.url)
    name = f"backtest-{FLOW_ID}"
    client.create_action(ActionName=name, Source={"SourceUri": "x:another"}, ActionType="Other")
    (parked,) = call("deliver", "--json").document["parked"]
    waiting = call("deliver", "--parked", "--json").document["waiting"]
    assert waiting
    assert call("deliver", "--discard", parked["id"]).code == 2, "nobody confirmed it"
    calls = served.calls
    gone = call("deliver", "--discard", parked["id"], "--yes", "--json").document["discarded"]
    assert gone[0]["what"] == parked["what"]
    assert gone[0]["reason"] == parked["reason"]
    assert len(gone) == 1 + waiting
    assert served.calls == calls
    said = call("deliver", "--parked", "--json")
    assert (said.code, said.document["parked"], said.document["waiting"]) == (0, [], 0)
    assert said.document["discarded"] == gone
    assert call("deliver", "--json").code == 0
    assert served.calls == calls, "it is offered no more"
    shown = call("deliver", "--parked").out
    assert "discarded by hand" in shown
    assert name in shown
    (found,) = [item for item in call("doctor", "--json").document["checks"] if item["name"] == "delivery"]
    assert f"{len(gone)} things discarded by hand" in found["found"]
    client.delete_action(ActionName=name)
    assert call("deliver", "--json").code == 0
    assert name not in {item["ActionName"] for item in client.list_actions()["ActionSummaries"]}
