"""Events of real flow runs, from a script in a process of its own: each valid, and all together one story."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from lineage_flows.delivery import Spool
from lineage_flows.delivery.client_events import run_event
from tests.support.flows import run_script
from tests.support.openlineage import check

pytestmark = pytest.mark.server

SCRIPT = """
import asyncio, json
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import flow, task
from prefect.cache_policies import INPUTS
from pydantic import SecretStr


@task(tags=["preprocessing"])
def load(path):
    return pd.read_csv(path)

@task
def split(frame):
    return {"train": frame.iloc[:3], "test": frame.iloc[3:]}

@task(retries=2)
def flaky(box):
    box.append(1)
    if len(box) < 3:
        raise ValueError(f"attempt {len(box)}: cannot reach postgres://me:hunter2@db/prices")
    return float("nan")

@task
def doomed():
    raise KeyError("\\udce4 nothing \\0 here")

@task(cache_policy=INPUTS, persist_result=True)
def cached(x):
    return x * 1000

@task
def double(x):
    return x * 2.5

@task
def total(xs):
    return sum(xs)

@task
def evaluate(train):
    Path("out.json").write_text(json.dumps({"n": len(train)}))
    return {"sharpe": float("nan"), "n": len(train), "huge": 2**80}

@task
def secretive(secret):
    return secret

@flow
def inner(frame, factor=2):
    return double(len(frame) * factor)

@flow(name="broken flow.1")
def broken():
    doomed()

@flow
def everything(path: str = "prices.csv", secret: SecretStr = SecretStr("hunter2"), nothing: float | None = None):
    frame = load(path)
    parts = split(frame)
    flaky([])
    cached(3.5); cached(3.5)
    mapped = double.map([1.5, 2.5, 3.5])
    total(mapped)
    secretive(secret)
    inner(parts["train"])
    try:
        broken()
    except KeyError:
        pass
    return evaluate(parts["train"])

if __name__ == "__main__":
    everything()
    try:
        broken()
    except KeyError:
        pass
"""


@pytest.fixture(scope="module")
def payloads(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> list[bytes]:
    folder = tmp_path_factory.mktemp("captured")
    (folder / "prices.csv").write_text("a,b\n" + "".join(f"{row},{row * 2}.5\n" for row in range(6)))
    ran = run_script(SCRIPT, folder, folder / "home", PREFECT_API_URL=prefect_server, LINEAGE_FLOWS_LEVEL="all")
    assert ran.code == 0, ran.err
    spool = Spool(Path(ran.home) / "spool.db")
    try:
        return [item.event.payload for item in spool.pending("nobody", 100_000)]
    finally:
        spool.close()


def test_all_are_valid_and_one_story(payloads: list[bytes]) -> None:
    assert check(payloads) == []
    for payload in payloads:
        run_event(payload)


def test_nothing_that_was_secret_is_in_them(payloads: list[bytes]) -> None:
    assert b"hunter2" not in b"".join(payloads)


def test_every_kind_of_event_was_there(payloads: list[bytes]) -> None:
    kinds = [(event["eventType"], event["job"]["name"]) for event in map(orjson.loads, payloads)]
    assert kinds.count(("RUNNING", "everything.flaky")) == 2
    assert kinds.count(("FAIL", "broken flow.1.doomed")) == 2
    assert kinds.count(("FAIL", "broken flow.1")) == 2
    assert kinds.count(("COMPLETE", "everything.double")) == 3
    assert ("COMPLETE", "inner.double") in kinds
    assert kinds[0] == ("START", "everything")


def test_what_was_read_and_written_are_datasets(payloads: list[bytes]) -> None:
    ends = {event["job"]["name"]: event for event in map(orjson.loads, payloads) if event["eventType"] == "COMPLETE"}
    read = [one for one in ends["everything.load"]["inputs"] if one["namespace"] == "file"]
    assert [one["name"].rsplit("/", 1)[-1] for one in read] == ["prices.csv"]
    assert {one["name"].rsplit("/", 1)[-1] for one in ends["everything.evaluate"]["outputs"]} == {"result", "out.json"}
    assert [one["name"] for one in ends["everything.total"]["inputs"]] == ["everything.double/result"] * 3
    assert ends["everything.split"]["inputs"][0]["name"] == "everything.load/result"
