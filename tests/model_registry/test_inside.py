"""Registering inside of runs: in the step that fits, after a failed attempt, what another run made alike, what was put into S3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lineage_flows import lineage, register_model
from lineage_flows.errors import RegistrationError
from lineage_flows.settings import load_settings
from tests.model_registry.test_end_to_end import prices, registry_environment
from tests.support.cloud import Cloud
from tests.support.flows import Ran, run_script

pytestmark = pytest.mark.server

FLOW = """
import json, random, sys
import boto3
import numpy as np
import pandas as pd
from prefect import flow, task
from sklearn.linear_model import Ridge
import lineage_flows

BUCKET = "models-of-desk"
attempts = []

def said(name, done):
    print("SAID", json.dumps({"name": name, **done.model_dump()}), flush=True)

@task
def fit_and_register(path, group):
    prices = pd.read_csv(path)
    model = Ridge(alpha=0.25).fit(prices[["x"]], prices["y"])
    before = random.getstate(), np.random.get_state()[1].tolist()
    done = lineage_flows.register_model(model, group=group)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    said("fitted", done)
    return done.version

@task(retries=1)
def falls_once(path, group):
    prices = pd.read_csv(path)
    done = lineage_flows.register_model(Ridge(alpha=0.125).fit(prices[["x"]], prices["y"]), group=group)
    attempts.append(done)
    if len(attempts) == 1:
        raise RuntimeError("once")
    said("retried", done)

@task
def put(path):
    body = pd.read_csv(path).to_csv().encode()
    boto3.client("s3").put_object(Bucket=BUCKET, Key="put/model.tar.gz", Body=body)

@task
def register_put():
    done = lineage_flows.register_model(f"s3://{BUCKET}/put/model.tar.gz", group="inside-put")
    said("put", done)

@task
def refused():
    try:
        lineage_flows.register_model({"w": 1.0}, group="inside-refused")
    except lineage_flows.LineageError as error:
        return str(error)

@flow
def inside(path):
    fit_and_register(path, "inside-fit")
    falls_once(path, "inside-retry")
    put(path)
    register_put()
    assert "not what lineage knows as a model" in refused()

@flow
def later(path):
    fit_and_register(path, "inside-fit")

if __name__ == "__main__":
    inside(sys.argv[1])
    later(sys.argv[1])
"""


@pytest.fixture(scope="module")
def ran(prefect_server: object, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("inside")
    done = run_script(FLOW, folder / "project", folder / "home", str(prices(folder)), **registry_environment(cloud))
    assert done.code == 0, done.err
    assert [record.capture_errors for record in done.records()] == [()] * len(done.records())
    return done


@pytest.fixture(scope="module")
def told(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("SAID ")) for line in ran.out.splitlines() if line.startswith("SAID ")]


def one(told: list[dict[str, Any]], name: str, position: int = 0) -> dict[str, Any]:
    return [item for item in told if item["name"] == name][position]


def above(ran: Ran, arn: str) -> set[str]:
    with lineage(load_settings(home=ran.home)) as graph:
        return {node.entity.source_uri for node in graph.upstream(arn).nodes}


def reaches_the_file(ran: Ran, arn: str) -> bool:
    return any(uri.endswith("/prices.csv") for uri in above(ran, arn))


def test_a_model_of_the_step_that_registers_it(ran: Ran, told: list[dict[str, Any]]) -> None:
    done = one(told, "fitted")
    (step, _) = ran.steps("fit_and_register")
    assert (done["created"], done["source_uri"]) == (True, None)
    assert done["step_id"] == done["registered_by"] == step.run_id
    assert reaches_the_file(ran, done["arn"])


def test_nothing_else_of_its_calls_is_recorded(ran: Ran) -> None:
    for step in ran.steps("fit_and_register"):
        assert step.unrestorable == ("call sagemaker.CreateModelPackage",)
        assert step.ledger is None or step.ledger.gaps == ()
        assert [item.via for item in step.datasets if item.namespace != "file"] == [("lineage_flows.register_model",)]


def test_an_attempt_after_the_one_that_registered_is_its_maker_still(ran: Ran, told: list[dict[str, Any]]) -> None:
    done = one(told, "retried")
    assert (done["version"], done["created"]) == (1, False)
    (package,) = [item for item in ran.step("falls_once").datasets if item.uri == done["arn"]]
    assert package.direction == "write"
    assert reaches_the_file(ran, done["arn"])


def test_an_equal_model_of_another_run_is_met_and_not_made(ran: Ran, told: list[dict[str, Any]]) -> None:
    first, second = one(told, "fitted"), one(told, "fitted", 1)
    assert (second["arn"], second["created"]) == (first["arn"], False)
    (_, step) = ran.steps("fit_and_register")
    (package,) = [item for item in step.datasets if item.uri == second["arn"]]
    assert package.direction == "read"
    with lineage(load_settings(home=ran.home)) as graph:
        (package_there,) = graph.resolve(first["arn"])
        makers = graph._keeper.associations(destinations=[package_there.arn], types=("Produced",))
    assert len(makers) == 1


def test_what_an_earlier_step_put_into_s3_is_that_very_version(ran: Ran, told: list[dict[str, Any]]) -> None:
    done = one(told, "put")
    assert done["source_uri"] == done["model_data"] == "s3://models-of-desk/put/model.tar.gz"
    assert reaches_the_file(ran, done["arn"])
    with lineage(load_settings(home=ran.home)) as graph:
        objects = [
            node.entity for node in graph.upstream(done["arn"]).nodes if node.entity.source_uri == done["source_uri"]
        ]
    assert [[item.type for item in found.source_types] for found in objects] == [["S3ETag"]]  # type: ignore[union-attr]


def test_what_was_put_over_is_not_taken_for_what_lineage_knows(
    ran: Ran, told: list[dict[str, Any]], cloud: Cloud
) -> None:
    uri = one(told, "put")["source_uri"]
    settings = load_settings(home=ran.home)
    assert register_model(uri, group="inside-put", any_kind=True, settings=settings).arn == one(told, "put")["arn"]
    cloud.client("s3").put_object(Bucket="models-of-desk", Key="put/model.tar.gz", Body=b"another")
    with pytest.raises(RegistrationError, match="another version now"):
        register_model(uri, group="inside-put", any_kind=True, settings=settings)
