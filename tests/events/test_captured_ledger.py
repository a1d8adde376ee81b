"""The ledger of real flow runs: in the record, in valid events, on the graph, by the command line; and a replay beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from lineage_flows import gaps
from lineage_flows.delivery import Spool
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.settings import Settings
from tests.support.flows import Ran, flow_environment, run_script
from tests.support.openlineage import check

pytestmark = pytest.mark.server

SCRIPT = """
import asyncio, datetime, os, socket, subprocess, uuid
import numpy as np
from prefect import flow, task
from prefect.cache_policies import INPUTS

PLACE = os.environ.get("DATA_PLACE", "here")
server = socket.create_server(("127.0.0.1", 0))

@task
def plain(n):
    return n + 1

@task
def asks():
    socket.create_connection(server.getsockname()).close()
    subprocess.run(["sh", "-c", "exit 3"])
    subprocess.run(["true", "--password=hunter2"])
    child = subprocess.Popen(["sleep", "60"])
    child.kill()
    child.wait()
    return 1

@task(retries=1)
def draws(box):
    box.append(str(uuid.uuid4()))
    np.random.default_rng().random()
    if len(box) == 1:
        raise ValueError("again")
    os.environ["OWN"] = "1"
    return len(os.environ["OWN"] + os.environ["HOME"] + os.environ.get("API_KEY", ""))

def stamp():
    return datetime.datetime.now()

@task
def dated():
    return stamp() is not None

@task
async def gathers():
    async def one():
        child = await asyncio.create_subprocess_exec("true")
        return await child.wait()
    _, writer = (await asyncio.gather(asyncio.open_connection(*server.getsockname()), one()))[0]
    writer.close()

@task(cache_policy=INPUTS, persist_result=True)
def cached(n):
    subprocess.run(["true"])
    return n

@task
def yields():
    yield 1
    yield 2

@task
def fails():
    datetime.datetime.now()
    raise ValueError("no")

@task
def never(given):
    return datetime.datetime.now()

@flow
def below():
    subprocess.run(["true", "below"])
    return plain(1)

@flow
def main():
    open("/proc/meminfo").close()
    plain.map([1, 2]).result()
    asks()
    draws([])
    dated()
    gathers.submit().result()
    cached(1)
    cached(1)
    below()
    never(fails.submit(), return_state=True)
    return sum(yields())

if __name__ == "__main__":
    main()
"""

KEPT = "a replay puts the step's result in place"
LOST = "what it read and wrote is not recorded"
AGAIN = "a replay does it again"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, prefect_server: object) -> Ran:
    folder = tmp_path_factory.mktemp("ledger")
    done = run_script(SCRIPT, folder / "project", folder / "home", LINEAGE_FLOWS_STRICT="true", API_KEY="hunter2")
    assert done.code == 0, done.err
    return done


def payloads(ran: Ran) -> list[bytes]:
    spool = Spool(ran.home / "spool.db")
    try:
        return [item.event.payload for item in spool.pending("nobody", 100_000)]
    finally:
        spool.close()


def told(ran: Ran, task: str) -> list[str]:
    ledger = ran.step(task).ledger
    assert ledger is not None
    return [f"{gap.what}: {gap.consequence}" for gap in ledger.gaps]


def test_the_record_names_every_gap_of_a_step(ran: Ran) -> None:
    line = next(number for number, text in enumerate(SCRIPT.splitlines(), 1) if "datetime.now()" in text)
    (peer,) = [item for item in ran.step("asks").unrestorable if item.startswith("network")]
    # A program is told when the step has ended: how it ended is known then.
    assert told(ran, "asks") == [
        f"starts sh -c 'exit 3' (exit 3): {LOST}; {KEPT}",
        f"starts true --password=*** (exit 0): {LOST}; {KEPT}",
        f"starts sleep 60 (killed by SIGKILL): {LOST}; {KEPT}",
        f"connects to {peer.removeprefix('network ')}: what passed over it is not recorded; {KEPT}",
    ]
    assert set(told(ran, "gathers")) == {
        f"starts true (exit 0): {LOST}; {KEPT}",
        f"connects to {peer.removeprefix('network ')}: what passed over it is not recorded; {KEPT}",
    }
    assert told(ran, "dated") == [
        f"has code that reads the clock: datetime.now, line {line} of stamp: differs on each run that comes there"
    ]


def test_attempts_are_one_ledger(ran: Ran) -> None:
    ledger = ran.step("draws").ledger
    assert ledger is not None
    assert [(gap.what, gap.count) for gap in ledger.gaps] == [
        ("draws from uuid.uuid4", 2),
        ("reads HOME", 1),
        ("reads API_KEY", 1),
    ]
    assert [(item.kind, item.observed, item.covered) for item in ledger.tallies] == [
        ("entropy", 4, 2),
        ("variable", 2, 0),
    ]


def test_a_step_that_does_nothing_has_an_empty_ledger_and_a_cached_one_none(ran: Ran) -> None:
    for step in ran.steps("plain"):
        assert step.ledger is not None
        assert (step.ledger.gaps, step.ledger.tallies) == ((), ())
    assert len(told(ran, "fails")) == 1
    assert (ran.step("never").state, ran.step("never").ledger) == ("NotReady", None)
    first, again = ran.steps("cached")
    assert [len(step.ledger.gaps) if step.ledger else None for step in (first, again)] == [1, None]


def test_the_flows_own_code_has_a_ledger_and_so_has_a_subflow(ran: Ran) -> None:
    main, below = ran.flows()["main"].ledger, ran.flows()["below"].ledger
    assert main is not None
    assert below is not None
    assert {gap.what for gap in main.gaps} == {"asks for DATA_PLACE, which is not set", "reads /proc/meminfo"}
    assert [(gap.what, gap.consequence) for gap in below.gaps] == [("starts true below (exit 0)", f"{LOST}; {AGAIN}")]
    assert ran.flows()["below"].unrestorable == ("program true",)


def test_the_events_are_valid_and_carry_it_at_the_end(ran: Ran) -> None:
    events = payloads(ran)
    assert check(events) == []
    assert b"hunter2" not in b"".join(events)
    found = [orjson.loads(event) for event in events]
    facets = {
        event["job"]["name"]: event["run"]["facets"]["lineageFlows_ledger"]
        for event in found
        if "lineageFlows_ledger" in event["run"]["facets"]
    }
    assert {event["eventType"] for event in found if "lineageFlows_ledger" in event["run"]["facets"]} == {
        "COMPLETE",
        "FAIL",
    }
    assert set(facets) == {
        "main",
        "main.fails",
        "main.asks",
        "main.draws",
        "main.dated",
        "main.gathers",
        "main.cached",
        "below",
    }
    asks = facets["main.asks"]
    assert asks["tallies"] == [
        {"kind": "connection", "observed": 1, "covered": 0},
        {"kind": "process", "observed": 3, "covered": 0},
    ]
    assert asks["gaps"][0] == {
        "kind": "process",
        "what": "starts sh -c 'exit 3' (exit 3)",
        "consequence": f"{LOST}; {KEPT}",
        "count": 1,
    }
    assert asks["leftOut"] == 0


def test_the_graph_says_it_on_the_action(ran: Ran) -> None:
    graph = open_embedded(ran.home / "graph.db", read_only=True)
    actions = {action.properties.get("task") or action.properties["flow"]: action for action in graph.list_actions()}
    graph.close()
    said = json.loads(actions["dated"].properties["gaps"])
    assert said[0].startswith("has code that reads the clock: datetime.now")
    assert "gaps" not in actions["plain"].properties


def command(ran: Ran, *arguments: str) -> Any:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lineage-flows"), *arguments, "--json"],
        cwd=ran.home,
        env=flow_environment(ran.home),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout.strip(), done.stderr
    return json.loads(done.stdout)


def test_it_is_asked_for_by_run_and_by_step(ran: Ran) -> None:
    run_id = ran.flows()["main"].run_id
    document = command(ran, "show", run_id, "--gaps")
    names = [item["name"] for item in document["ledgers"]]
    assert names[:2] == ["main", "below"]
    assert len(names) == 2 + len(ran.steps())
    assert document["gaps"] == sum(len(item["gaps"]) for item in document["ledgers"])
    found = gaps(ran.step("dated").run_id, Settings(home=ran.home))
    assert [(item.name, [gap.kind for gap in item.gaps]) for item in found] == [("dated", ["clock"])]


def test_a_replay_is_the_same_and_has_a_ledger_of_its_own(ran: Ran) -> None:
    run_id = ran.flows()["main"].run_id
    answer = command(ran, "replay", run_id)
    verdicts = {(step["task"], step["index"]): step["verdict"] for step in answer["steps"]}
    assert {key: verdicts[key] for key in (("plain", 0), ("asks", 0), ("dated", 0), ("gathers", 0), ("yields", 0))} == {
        ("plain", 0): "identical",
        ("asks", 0): "restored",
        ("dated", 0): "identical",
        ("gathers", 0): "restored",
        ("yields", 0): "identical",
    }
    document = command(ran, "show", answer["replay_run_id"], "--gaps")
    ledgers = {item["name"]: item for item in document["ledgers"]}
    assert (ledgers["asks"]["watched"], ledgers["asks"]["why"]) == (
        False,
        "not called: the replay put its result in place",
    )
    assert [gap["kind"] for gap in ledgers["dated"]["gaps"]] == ["clock"]
