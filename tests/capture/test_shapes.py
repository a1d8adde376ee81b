"""Shapes of work that a flow can have: what is recorded of each, from one script in a process of its own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.model import Action
from lineage_flows.graph.query import downstream, upstream
from tests.graph.kit import arns
from tests.support.flows import Ran, run_script

pytestmark = pytest.mark.server

SCRIPT = """
import asyncio, json, sys
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import flow, task, tags
from prefect.cache_policies import INPUTS


@task(tags=["preprocessing"])
def make(rows):
    return pd.DataFrame({"a": np.arange(rows, dtype="float64")})

@task
def split(frame):
    return {"train": frame.iloc[:3], "test": frame.iloc[3:]}

@task(tags=["training"])
def fit(data):
    return float(data["a"].sum()) + 0.5

@task
def mutate(frame):
    frame.loc[0, "a"] = -1.0
    return len(frame)

@task(retries=2)
def flaky(box):
    box.append(1)
    if len(box) < 3:
        raise ValueError(f"attempt {len(box)}")
    return "third time lucky"

@task
def doomed():
    raise KeyError("nothing here")

@task(cache_policy=INPUTS, persist_result=True)
def cached(x):
    return x * 1000

@task
def double(x):
    return x * 2.5

@task
def outer(x):
    return double(x) + 1

@task
async def waits(x):
    await asyncio.sleep(0.01)
    return f"waited for {x}"

@task
def numbers(n):
    for i in range(n):
        yield i * 1000.5

@task
def takes(x):
    return x

@flow
def child(frame):
    return fit(frame)

@flow(name="shapes")
def shapes(rows=6, label="run"):
    frame = make(rows)
    parts = split(frame)
    fit(parts["train"])
    child(parts["test"])
    mutate(frame)
    flaky([])
    try:
        doomed()
    except KeyError:
        pass
    cached(7); cached(7)
    double.map([1.5, 2.5, 3.5]).result()
    outer(4.5)
    future = double.submit(9.5)
    takes(future)
    takes("after", wait_for=[future])
    for number in numbers(2):
        takes(number)
    return {"rows": rows}

@flow(name="asynchronous")
async def asynchronous():
    first = await waits("one")
    await asyncio.gather(waits("two"), waits("three"))
    return first

@task
def total(path):
    return float(pd.read_csv(path)["price"].sum())

@flow(name="desk")
def desk():
    Path("prices.csv").write_text("price\\n1.5\\n2.5\\n")
    sum_of_prices = total("prices.csv")
    Path("report.txt").write_text(f"{sum_of_prices}")

@flow(name="failing", retries=1)
def failing(counter=[]):
    counter.append(1)
    takes("always")
    raise RuntimeError("the flow itself")

if __name__ == "__main__":
    shapes()
    asyncio.run(asynchronous())
    desk()
    try:
        failing()
    except RuntimeError as error:
        print("failed:", error)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Ran:
    folder: Path = tmp_path_factory.mktemp("shapes")
    result = run_script(
        SCRIPT, folder / "project", folder / "home", PREFECT_API_URL=prefect_server, LINEAGE_FLOWS_STRICT="true"
    )
    assert result.code == 0, result.err
    assert "failed: the flow itself" in result.out
    return result


def sources(step):
    return {item.name: [(s.run_id, s.part, s.known_by) for s in item.sources] for item in step.inputs}


def test_inputs_are_those_before_the_call(ran):
    made, mutated = ran.step("make"), ran.step("mutate")
    assert mutated.inputs[0].value.fingerprint == made.output.fingerprint


def test_parts_of_a_container_are_linked_to_the_step_that_made_it(ran):
    split = ran.step("split")
    train, test = ran.steps("fit")
    assert sources(split)["frame"][0][0] == ran.step("make").run_id
    assert sources(train)["data"] == [(split.run_id, "/train", ("content", "prefect"))]
    child = ran.flows()["child"]
    assert test.flow_run_id == child.run_id
    assert test.root_run_id == ran.flows()["shapes"].run_id
    assert child.parameters[0].sources[0].run_id == split.run_id
    assert child.run_id in {source.run_id for source in test.inputs[0].sources}


def test_every_attempt_is_kept_with_its_error(ran):
    flaky = ran.step("flaky")
    assert (flaky.state, flaky.attempt) == ("Completed", 3)
    assert [(a.attempt, a.error.message) for a in flaky.attempts] == [(1, "attempt 1"), (2, "attempt 2")]
    assert flaky.inputs[0].value.shape == (2,), "the last attempt's input, as it was before that call"


def test_a_failed_step_says_its_error(ran):
    doomed = ran.step("doomed")
    assert (doomed.state, doomed.error.type) == ("Failed", "KeyError")
    assert "nothing here" in doomed.error.stack
    assert doomed.output is None


def test_a_cached_step_is_marked_and_has_its_value(ran):
    first, second = ran.steps("cached")
    assert (first.cached, second.cached) == (False, True)
    assert first.output.fingerprint == second.output.fingerprint
    assert first.output.blob is None
    assert second.output.blob is not None, "a replay cannot look into another machine's cache"


def test_mapped_and_submitted_and_nested_steps(ran):
    doubles = ran.steps("double")
    # The first three were submitted together: within one millisecond their order is that in which threads took them up.
    assert sorted(step.inputs[0].value.preview for step in doubles[:3]) == [1.5, 2.5, 3.5]
    assert [step.inputs[0].value.preview for step in doubles[3:]] == [4.5, 9.5]
    assert doubles[3].parent_step_id == ran.step("outer").run_id
    direct, after, *yielded = ran.steps("takes")[:4]
    assert sources(direct)["x"] == [(doubles[4].run_id, "", ("content", "prefect"))]
    assert doubles[4].run_id in after.upstream
    assert [step.inputs[0].value.preview for step in yielded] == [0.0, 1000.5]
    assert ran.step("numbers").run_id in yielded[1].upstream


def test_asynchronous_steps(ran):
    waits = ran.steps("waits")
    assert sorted(step.output.preview for step in waits) == ["waited for one", "waited for three", "waited for two"]
    assert ran.flows()["asynchronous"].result.preview == "waited for one"


def test_a_file_a_flow_writes_comes_from_the_steps_before_it_alone(ran):
    with closing(open_embedded(ran.home / "graph.db", read_only=True)) as keeper:
        prices, report = (found(keeper, ran, name) for name in ("prices.csv", "report.txt"))
        step = ran.step("total").run_id
        assert step not in runs(upstream(keeper, prices))
        assert step in runs(downstream(keeper, prices))
        assert step in runs(upstream(keeper, report))
        assert report in arns(downstream(keeper, prices))


def found(keeper, ran, name):
    (artifact,) = keeper.list_artifacts(source_uri=(ran.home.parent / "project" / name).as_uri())
    return artifact.arn


def runs(walk):
    return {node.entity.source_id for node in walk.nodes if isinstance(node.entity, Action)}


def test_a_flow_that_fails_keeps_attempts_and_error(ran):
    failing = ran.flows()["failing"]
    assert (failing.state, failing.error.message) == ("Failed", "the flow itself")
    assert len(failing.attempts) == 1
    assert failing.attempts[0].error.message == "the flow itself"


def test_kinds_come_from_tags(ran):
    assert ran.step("make").kind == "preprocessing"
    assert ran.steps("fit")[0].kind == "training"
    assert ran.step("split").kind == "processing"


def test_code_environment_and_random_state_are_there(ran):
    flow = ran.flows()["shapes"]
    assert flow.code.blob is not None
    assert flow.environment.blob is not None
    assert flow.random.python is not None
    assert flow.random.numpy is not None
    assert flow.function.name == "shapes"
    assert flow.parameters[0].value.blob is not None
    assert not flow.capture_errors
    assert not [error for step in ran.steps() for error in step.capture_errors]
