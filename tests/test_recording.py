"""``record_input`` and ``record_output``, end to end: record, valid events, graph, ``show``, difference, replay."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from lineage_flows.content import fingerprint, fingerprint_file
from lineage_flows.delivery import Spool
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.query import upstream
from lineage_flows.records import DatasetRef, StepRecord
from tests.support.flows import Ran, flow_environment, run_script
from tests.support.openlineage import check

pytestmark = pytest.mark.server

SCRIPT = """
import asyncio, sys, threading
from pathlib import Path

import pandas as pd
from prefect import flow, task

from lineage_flows import record_input, record_output

record_input("before://any/run")  # no run is active: nothing happens

@task
def load(version):
    frame = pd.DataFrame({"close": [1.5, 2.5]})
    record_input(
        "postgresql+psycopg2://me:hunter2@DB.desk/prod/public/prices?sslpassword=hunter2&application_name=x",
        version=version, rows=2, size=64, columns={"close": "double"},
        properties={"api_key": "hunter2", "query": "token=hunter2", "n": 3}, note="read with a driver nobody watches",
    )
    record_input("s3a://AK:hunter2@desk/in/a b.parquet", data=frame)
    record_input(Path("rates.txt"), rows=1)
    return frame

@task
async def publish(frame):
    record_output("postgres://db.desk:5432/prod/public/out", version="7", data=frame)
    def inside():
        record_output("kafka://k.desk:9092/topic", data=b"abc", name="bus/topic", namespace="kafka://bus")
    thread = threading.Thread(target=inside)
    thread.start()
    await asyncio.to_thread(thread.join)
    Path("made.bin").write_bytes(b"x")
    return 1

@task
def native():
    record_output("already.bin", properties={"by": "a C library"})  # it was there, and nobody saw it written

@task
def wrong():
    for call in (
        lambda: record_input(5), lambda: record_input(""), lambda: record_input("x", rows=-1),
        lambda: record_input("x", rows="many"), lambda: record_input("x", columns=5), lambda: record_input("x", columns=[5]),
        lambda: record_input("x", fingerprint="sha256:00"), lambda: record_input("x", properties=5),
        lambda: record_input("file://elsewhere/x"), lambda: record_input("http://[broken/x"),
        lambda: record_input("Server=db;Password=hunter2"), lambda: record_output("s3:///nokey"),
    ):
        call()
    return "all the same"

@flow
def declared(version="2026-01-01"):
    frame = load(version)
    publish.submit(frame).result()
    native()
    record_input("https://user:hunter2@api.desk/v1?token=hunter2&day=1")
    return wrong()

if __name__ == "__main__":
    print("RESULT", declared(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def ran(prefect_server: object, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("declared")
    (folder / "project").mkdir()
    (folder / "project" / "rates.txt").write_text("0.05")
    (folder / "project" / "already.bin").write_bytes(b"123")
    done = run_script(SCRIPT, folder / "project", folder / "home")
    assert done.code == 0, done.err
    assert "RESULT all the same" in done.out
    return done


def by_name(step: StepRecord) -> dict[str, DatasetRef]:
    return {item.name.rpartition("/")[2] if item.namespace == "file" else item.name: item for item in step.datasets}


def payloads(ran: Ran) -> list[bytes]:
    with closing(Spool(ran.home / "spool.db")) as spool:
        return [item.event.payload for item in spool.pending("nobody", 100_000)]


def asked(ran: Ran, *words: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lineage-flows"), *words],
        cwd=ran.home,
        env=flow_environment(ran.home, COLUMNS="200"),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.stdout + done.stderr


def test_what_is_declared_is_recorded_on_the_step_that_declared_it(ran: Ran) -> None:
    load = by_name(ran.step("load"))
    table = load["prod.public.prices"]
    assert (table.namespace, table.direction, table.via) == (
        "postgres://db.desk:5432",
        "read",
        ("lineage_flows.record_input",),
    )
    assert table.facts is not None
    assert (table.facts.version, table.rows, table.size) == ("2026-01-01", 2, 64)
    assert [(column.name, column.type) for column in table.columns] == [("close", "double")]
    assert table.properties == {"api_key": "***", "query": "token=***", "n": 3}
    assert table.note == "read with a driver nobody watches"
    held = load["in/a b.parquet"]
    assert (held.namespace, held.uri, held.rows) == ("s3://desk", "s3://desk/in/a b.parquet", 2)
    assert held.fingerprint is not None
    assert held.blob is not None
    assert held.blob.format == "arrow"
    rates = load["rates.txt"]
    assert rates.fingerprint == fingerprint(b"0.05")
    assert (rates.rows, rates.blob is not None) == (1, True)
    # What a replay cannot serve is said; a local file it can.
    assert sorted(ran.step("load").unrestorable) == [
        "input postgres://db.desk:5432/prod.public.prices?application_name=x",
        "input s3://desk/in/a b.parquet",
    ]
    assert ran.step("load").output.blob is not None  # type: ignore[union-attr]


def test_outputs_are_recorded_from_threads_and_past_every_adapter(ran: Ran) -> None:
    publish = by_name(ran.step("publish"))
    assert publish["bus/topic"].namespace == "kafka://bus"
    assert publish["bus/topic"].fingerprint == fingerprint(b"abc")
    assert publish["bus/topic"].blob is None  # outputs are kept at level all only
    assert publish["prod.public.out"].direction == "write"
    assert ran.step("publish").unrestorable == ()
    already = by_name(ran.step("native"))["already.bin"]
    assert (already.direction, already.fingerprint) == ("write", fingerprint_file(already.path)[0])
    assert already.properties == {"by": "a C library"}


def test_a_wrong_call_is_told_on_the_run_and_breaks_nothing(ran: Ran) -> None:
    wrong = ran.step("wrong")
    assert wrong.state == "Completed"
    assert wrong.datasets == ()
    assert len(wrong.capture_errors) == 12
    assert "record_input: uri of record_input or record_output is a path or a URI, and not int" in wrong.capture_errors
    assert ran.err.count("lineage: failed at record_input") == 1


def test_no_secret_leaves_in_any_form(ran: Ran) -> None:
    told = [json.dumps(record.model_dump(mode="json")) for record in ran.records()] + [ran.err, ran.out]
    told += [payload.decode() for payload in payloads(ran)]
    source = "hunter2"  # it stands in the flow's own code, which is kept as it is
    assert [text for text in told if source in text] == []


def test_the_events_are_valid_and_the_graph_has_it_all(ran: Ran) -> None:
    events = payloads(ran)
    assert check(events) == []
    end = next(
        event
        for event in map(orjson.loads, events)
        if event["eventType"] == "COMPLETE" and event["job"]["name"] == "declared.load"
    )
    table = next(item for item in end["inputs"] if item["name"] == "prod.public.prices")
    assert table["facets"]["version"]["datasetVersion"] == "2026-01-01"
    assert table["facets"]["schema"]["fields"][0]["name"] == "close"
    assert table["inputFacets"]["inputStatistics"]["rowCount"] == 2
    with closing(open_embedded(ran.home / "graph.db", read_only=True)) as graph:
        found = {item.source_uri: item for item in graph.list_artifacts()}
        out = found["postgres://db.desk:5432/prod.public.out"]
        assert [(item.type, item.value) for item in out.source_types] == [("Custom", "7")]
        assert out.properties["rows"] == "2"
        (source,) = (
            item for uri, item in found.items() if uri.startswith("postgres://db.desk:5432/prod.public.prices")
        )
        assert json.loads(source.properties["givenProperties"]) == {"api_key": "***", "query": "token=***", "n": 3}
        assert json.loads(source.properties["columns"]) == {"close": "double"}
        above = {node.entity.arn for node in upstream(graph, out.arn).nodes}
        assert source.arn in above


def test_show_and_difference_tell_of_it(ran: Ran, tmp_path: Path) -> None:
    run_id = ran.flows()["declared"].run_id
    shown = asked(ran, "show", run_id)
    assert "prod.public.prices" in shown
    assert "file made.bin" in shown
    project = ran.home.parent / "project"
    assert run_script(SCRIPT, project, ran.home, "2026-01-02").code == 0
    other = next(flow for flow in ran.records() if getattr(flow, "entry", None) and flow.run_id != run_id)
    difference = json.loads(asked(ran, "diff", run_id, other.run_id, "--json"))
    changed = [change for change in difference["inputs"] if "prod.public.prices" in change["name"]]
    assert [(change["old"], change["new"]) for change in changed] == [("2026-01-01", "2026-01-02")]


def test_a_replay_puts_the_result_in_place_of_what_it_cannot_read(ran: Ran) -> None:
    first = next(record.run_id for record in ran.records() if record.flow_name == "declared")
    answer = json.loads(asked(ran, "replay", first, "--json"))
    assert answer["verdict"] == "identical", answer
    assert {step["task"]: step["verdict"] for step in answer["steps"]} == {
        "load": "restored",
        "publish": "identical",
        "native": "identical",
        "wrong": "identical",
    }


CALLS = """
import sys
from prefect import flow, task
from lineage_flows import LineageError, record_input, record_output

@task
def step():
    record_output("made.bin", data=b"ignored: the file itself counts")
    record_output("bus://made", data={"a": 1})
    try:
        record_input("x", rows="many")
    except TypeError as error:
        return f"{type(error).__name__} {isinstance(error, LineageError)}"
    return "nothing was raised"

@flow
def calls():
    return step()

if __name__ == "__main__":
    print("RESULT", calls(), "pandas" in sys.modules)
"""


@pytest.mark.parametrize(
    ("settings", "result"),
    [
        ({"LINEAGE_FLOWS_STRICT": "true"}, "RecordingError True False"),
        ({"LINEAGE_FLOWS_LEVEL": "off"}, "nothing was raised False"),
        ({"LINEAGE_FLOWS_LEVEL": "metadata"}, "nothing was raised False"),
        ({"LINEAGE_FLOWS_LEVEL": "all"}, "nothing was raised False"),
    ],
)
def test_strict_raises_off_does_nothing_and_a_level_says_what_is_kept(
    prefect_server: object, tmp_path: Path, settings: dict[str, str], result: str
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "made.bin").write_bytes(b"x")
    done = run_script(CALLS, tmp_path / "project", tmp_path / "home", **settings)
    assert f"RESULT {result}" in done.out, done.err
    level = settings.get("LINEAGE_FLOWS_LEVEL")
    if level == "off":
        assert not (tmp_path / "home" / "spool.db").exists()
        return
    made, bus = sorted(done.step("step").datasets, key=lambda item: item.namespace, reverse=True)
    assert (made.namespace, made.fingerprint) == ("file", fingerprint(b"x"))
    assert (bus.uri, bus.fingerprint) == ("bus://made", fingerprint({"a": 1}))
    assert [item.blob is not None for item in (made, bus)] == [level == "all"] * 2


def test_without_a_run_it_does_nothing_and_loads_nothing() -> None:
    code = (
        "import sys; from lineage_flows import record_input, record_output; before = set(sys.modules);"
        "record_input(5); record_output('x', rows='y');"
        "print(sorted(set(sys.modules) - before), 'prefect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"
