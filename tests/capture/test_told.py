"""What is told of real runs: facets of jobs and runs, what the rules leave out, and no secret anywhere on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from lineage_flows.delivery import Spool
from tests.support.flows import Ran, flow_environment, run_script
from tests.support.openlineage import check

pytestmark = pytest.mark.server

SEEDS = {"SEED_A": "3-rednifhtap-yrrebwarts", "SEED_B": "9 ruof \"owt' éno", "SEED_C": "yek-rodnev-5f6e7d8c"}
SECRETS = [seed[::-1] for seed in SEEDS.values()]

SCRIPT = '''
import os, subprocess, sys, tempfile
from dataclasses import dataclass
from pathlib import Path
from prefect import flow, task, tags
from prefect.blocks.system import Secret
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, SecretStr

a, b, c = (os.environ[name][::-1] for name in ("SEED_A", "SEED_B", "SEED_C"))
os.environ["VENDOR_API_KEY"] = c
os.environ["SHOWN_LINE"] = f"said {c}"
Secret(value=a).save("told-a", overwrite=True)
opened = Secret.load("told-a").get()
SecretStr(b).get_secret_value()

@dataclass
class Login:
    user: str
    password: str

class Config(BaseModel):
    host: str
    api_key: str

def describe(task):
    task.__doc__ = f"Says {a}."
    return task

@task(retries=2, retry_delay_seconds=[0.01, 0.02], task_run_name="run of {name}", timeout_seconds=60, cache_policy=NO_CACHE)
def flaky(name, box):
    """Fails once.

    More of it.
    """
    box.append(1)
    if len(box) < 2:
        raise ValueError(f"cannot log in with {name!r} at postgres://me:{a}@db")
    return f"logged in with {name}"

@task
def nested(config, login, mapping, listed, plain, password, token="hunter2-of-code"):
    mapping["more"] = 1
    return {"config": config, "inside": {"secret": plain}}

@task(tags=["pii", "desk:quant"])
def personal(rows, user_id, note):
    Path("told-out.csv").write_text("a,b")
    return rows

@task
def reads():
    kept, left = Path("kept.csv").read_text(), Path("private", "le" + "ft.csv").read_text()
    subprocess.run([sys.executable, "-c", "pass", a], check=True)
    return len(kept) + len(left)

@task
def quiet(x):
    return x

@task(name="passes on")
def passes_on(anything):
    return anything

@flow(name="told", description=f"A flow of {a}.", version="v7", retries=1, timeout_seconds=300, flow_run_name=f"told with {a}")
def told(config: dict, password: str = "", vendor: str = ""):
    with tags("owner:team-risk", f"x:{a}", "env=prod"):
        flaky(b, [])
        nested(Config(host="h", api_key=a), Login("me", b), config, [{"token": c}], a, b)
        personal([1.5, 2.5], 7, "n")
    reads()
    quiet(3)
    passes_on(a)
    passes_on(f"https://h/x?token={a}")
    passes_on({"held": [c]})
    return f"done {c}"

@flow(name="hidden")
def hidden():
    return quiet(5)

if __name__ == "__main__":
    told({"db": {"password": a, "host": "h"}}, b, f"v {c}")
    hidden()
'''

RULES = [
    {"match": {"flow": "hidden"}, "emit": False},
    {"match": {"task": "quiet"}, "emit": False},
    {"match": {"tag": "pii"}, "outputs": False, "exclude_parameters": ["*_id", "rows"], "source_code": False},
    {"match": {"task": "reads"}, "exclude_datasets": ["*/private/*"]},
    {"match": {"flow": "told"}, "owners": ["team:quant"]},
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Ran:
    folder = tmp_path_factory.mktemp("told")
    (folder / "private").mkdir()
    (folder / "kept.csv").write_text("a\n1\n")
    (folder / "private" / "left.csv").write_text("named-person\n")
    done = run_script(
        SCRIPT, folder, folder / "home",
        PREFECT_API_URL=prefect_server, LINEAGE_FLOWS_LEVEL="all", LINEAGE_FLOWS_RULES=json.dumps(RULES),
        LINEAGE_FLOWS_VARIABLES='["SHOWN_*"]', LINEAGE_FLOWS_FLUSH_SECONDS="60", **SEEDS,
    )  # fmt: skip
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="module")
def events(ran: Ran) -> list[dict]:
    spool = Spool(ran.home / "spool.db")
    try:
        payloads = [item.event.payload for item in spool.pending("nobody", 100_000)]
    finally:
        spool.close()
    assert check(payloads) == []
    return [orjson.loads(payload) for payload in payloads]


def last(events: list[dict], job: str, kind: str = "COMPLETE") -> dict:
    return [event for event in events if event["job"]["name"] == job and event["eventType"] == kind][-1]


def test_no_secret_is_anywhere_on_disk(ran: Ran) -> None:
    files = [path for path in ran.home.rglob("*") if path.is_file()]
    assert {"spool.db", "graph.db"} <= {path.name for path in files}
    forms = {form.encode() for secret in SECRETS for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1])}
    leaks = [(path.name, form) for path in files for form in forms if form in path.read_bytes()]
    assert leaks == []


def test_what_was_said_with_a_secret_is_told_without_it(events: list[dict]) -> None:
    failed = last(events, "told.flaky", "RUNNING")["run"]["facets"]["lineageFlows_taskRun"]["attempts"][0]["error"]
    assert "cannot log in with" in failed
    assert "***" in failed
    done = last(events, "told")
    assert done["run"]["facets"]["lineageFlows_flowRun"]["name"] == "told with ***"
    parameters = {item["key"]: item["value"] for item in done["run"]["facets"]["executionParameters"]["parameters"]}
    assert parameters["password"] == "<secret>"
    assert parameters["vendor"] == "<secret>"


def test_nothing_that_holds_a_secret_is_kept(ran: Ran) -> None:
    nested = ran.step("nested")
    rules = {item.name: item.value for item in nested.inputs}
    assert rules["password"].rule == rules["plain"].rule == "secret"
    assert [rules[name].secrets for name in ("config", "login", "mapping", "listed")] == [1, 1, 1, 1]
    assert rules["config"].fingerprint is not None
    flow = ran.flows()["told"]
    config = next(item.value for item in flow.parameters if item.name == "config")
    assert (config.blob, config.note) == (None, "not kept: it holds a secret")
    assert [step.output.rule for step in ran.steps("passes on")][:2] == ["secret", "secret"]
    assert ran.steps("passes on")[2].output.blob is None


def test_jobs_tell_what_they_are_declared_to_be(events: list[dict]) -> None:
    flow = last(events, "told")["job"]["facets"]
    assert flow["documentation"]["description"] == "A flow of ***."
    assert [owner["name"] for owner in flow["ownership"]["owners"]] == ["team:quant"]
    assert (flow["lineageFlows_job"]["version"], flow["lineageFlows_job"]["retries"]) == ("v7", 1)
    assert flow["lineageFlows_job"]["taskRunner"] == "ThreadPoolTaskRunner"
    assert flow["jobType"] | {"processingType": "BATCH", "integration": "PREFECT", "jobType": "FLOW"} == flow["jobType"]
    task = last(events, "told.flaky")["job"]["facets"]
    assert task["documentation"]["description"].startswith("Fails once.")
    declared = task["lineageFlows_job"]
    assert (declared["retries"], declared["retryDelays"], declared["timeout"]) == (2, [0.01, 0.02], 60.0)
    assert declared["cachePolicy"] == "None"
    owners = [owner["name"] for owner in task["ownership"]["owners"]]
    assert owners == ["team-risk", "team:quant"]


def test_the_source_of_a_task_is_told_without_its_literals(events: list[dict]) -> None:
    source = last(events, "told.nested", "START")["job"]["facets"]["sourceCode"]
    assert source["language"] == "python"
    assert 'token="***"' in source["sourceCode"]
    assert 'mapping["more"] = 1' in source["sourceCode"]
    assert "sourceCode" not in last(events, "told.personal", "START")["job"]["facets"]


def test_tags_are_told_by_key_and_value(events: list[dict]) -> None:
    tags = {(tag["key"], tag["value"]) for tag in last(events, "told.personal")["run"]["facets"]["tags"]["tags"]}
    assert tags == {("pii", "true"), ("desk", "quant"), ("owner", "team-risk"), ("x", "***"), ("env", "prod")}


def test_runs_tell_where_they_can_be_looked_at(events: list[dict], prefect_server: str) -> None:
    base = prefect_server.removesuffix("/api")
    event = last(events, "told")
    origin = event["run"]["facets"]["lineageFlows_origin"]
    assert origin["runUrl"] == f"{base}/runs/flow-run/{event['run']['runId']}"
    assert origin["autoScheduled"] is False
    step = last(events, "told.flaky")
    assert step["run"]["facets"]["lineageFlows_origin"]["runUrl"] == f"{base}/runs/task-run/{step['run']['runId']}"


def test_rules_leave_out_and_say_how_much(ran: Ran, events: list[dict]) -> None:
    assert not any(event["job"]["name"] in ("hidden", "hidden.quiet", "told.quiet") for event in events)
    personal = ran.step("personal")
    values = {item.name: item.value for item in personal.inputs}
    assert [values[name].note for name in ("rows", "user_id")] == ["left out by policy"] * 2
    assert (values["rows"].fingerprint, values["note"].preview) == (None, "n")
    assert (personal.output.fingerprint, personal.output.note) == (None, "left out by policy")
    facet = last(events, "told.personal")["run"]["facets"]["lineageFlows_policy"]
    assert (facet["parametersLeftOut"], facet["outputLeftOut"], facet["sourceCodeTold"]) == (
        ["rows", "user_id"],
        True,
        False,
    )
    assert facet["rules"] == ["LINEAGE_FLOWS_RULES rules[3]", "LINEAGE_FLOWS_RULES rules[5]"]


def test_a_dataset_that_is_left_out_is_counted_and_nowhere_named(ran: Ran) -> None:
    step = ran.step("reads")
    assert [Path(item.path).name for item in step.datasets if item.direction == "read"] == ["kept.csv"]
    assert step.policy is not None
    assert step.policy.datasets == 1
    assert "1 dataset left out by policy" in step.unrestorable
    told = [path for path in ran.home.rglob("*") if path.is_file()]
    assert not any(b"left.csv" in path.read_bytes() for path in told)
    assert not any(b"named-person" in path.read_bytes() for path in told)


def test_show_tells_of_it(ran: Ran) -> None:
    run_id = ran.flows()["told"].run_id
    shown = subprocess.run(
        [sys.executable, "-c", "import sys; from lineage_flows.cli import main; sys.exit(main(sys.argv[1:]))", "show", run_id],
        env={**flow_environment(ran.home), "COLUMNS": "200", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    for said in (
        "owners",
        "team:quant",
        "A flow of ***.",
        "/runs/flow-run/",
        "left out by policy: 1 dataset, 2 parameters, 1 output",
    ):
        assert said in shown, shown
