"""What real flows touch that is no local file: in the record, in valid events, and as artifacts of the graph."""

from __future__ import annotations

import contextlib
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import orjson
import pytest
from moto.server import ThreadedMotoServer

from lineage_flows.content import fingerprint
from lineage_flows.delivery import Spool
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.model import Artifact
from tests.support.flows import Ran, flow_environment, run_script
from tests.support.openlineage import check

pytestmark = pytest.mark.server


def payloads(ran: Ran) -> list[bytes]:
    spool = Spool(ran.home / "spool.db")
    try:
        return [item.event.payload for item in spool.pending("nobody", 100_000)]
    finally:
        spool.close()


def ends(ran: Ran) -> dict[str, Any]:
    events = map(orjson.loads, payloads(ran))
    return {event["job"]["name"]: event for event in events if event["eventType"] == "COMPLETE"}


def artifacts(ran: Ran, prefix: str) -> dict[str, tuple[Artifact, list[str], list[str]]]:
    """Each artifact of the graph whose URI begins so, by the rest of the URI: with the actions that made it and that read it."""
    graph = open_embedded(ran.home / "graph.db", read_only=True)
    found = {}
    for artifact in graph.list_artifacts():
        if artifact.source_uri.startswith(prefix):
            made = [edge.source_arn for edge in graph.associations(destinations=[artifact.arn])]
            read = [edge.destination_arn for edge in graph.associations(sources=[artifact.arn])]
            short = [[arn.rpartition("/")[2].rsplit("-", 5)[0] for arn in arns] for arns in (made, read)]
            assert artifact.source_uri[len(prefix) :] not in found, "one version is one artifact"
            found[artifact.source_uri[len(prefix) :]] = (artifact, *short)
    graph.close()
    return found


def replayed(ran: Ran, run_id: str, **environment: str) -> dict[str, Any]:
    """The answer of a replay, which has nothing but the home."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lineage-flows"), "replay", run_id, "--json"],
        cwd=ran.home,
        env=flow_environment(ran.home, **environment),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout.strip(), done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert "verdict" in answer, answer
    return answer


# -------------------------------------------------------------------------------------------------------------------- S3

S3_FLOW = """
import io, os
import boto3
import pandas as pd
from prefect import flow, task

URL = os.environ["S3_URL"]

def client():
    return boto3.client("s3", endpoint_url=URL)

S3 = client()  # one connection for all steps

@task
def load(key):
    return pd.read_csv(S3.get_object(Bucket="unversioned", Key=key)["Body"])

@task
def clean(frame):
    S3.put_object(Bucket="unversioned", Key="clean.csv", Body=frame.dropna().to_csv(index=False).encode())
    frame.dropna().to_csv("local.csv", index=False)
    S3.upload_file("local.csv", "unversioned", "uploaded.csv")

@task
def total(_):
    options = {"endpoint_url": URL, "key": "testing", "secret": "testing"}
    frame = pd.read_csv("s3://unversioned/clean.csv", storage_options=options)
    head = S3.get_object(Bucket="unversioned", Key="uploaded.csv")["Body"].read(3)
    return float(frame["close"].sum()), head

@flow
def objects():
    return total(clean(load("in/prices.csv")))

if __name__ == "__main__":
    print("RESULT", objects())
"""


@pytest.fixture
def endpoint() -> Iterator[ThreadedMotoServer]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server
    with contextlib.suppress(Exception):
        server.stop()


AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def test_objects_in_s3(
    endpoint: ThreadedMotoServer, tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    host, port = endpoint.get_host_and_port()
    url = f"http://{host}:{port}"
    s3 = boto3.client("s3", endpoint_url=url)
    s3.create_bucket(Bucket="unversioned")
    given = b"day,close\n1,2.5\n2,\n3,4.0\n"
    s3.put_object(Bucket="unversioned", Key="in/prices.csv", Body=given)
    ran = run_script(S3_FLOW, tmp_path / "project", tmp_path / "home", PREFECT_API_URL=prefect_server, S3_URL=url)
    assert ran.code == 0, ran.err
    assert "RESULT (6.5, b'day')" in ran.out

    load, clean, total = (ran.step(name) for name in ("load", "clean", "total"))
    assert [step.capture_errors for step in (load, clean, total)] == [(), (), ()]
    (read,) = load.datasets
    assert (read.uri, read.fingerprint) == ("s3://unversioned/in/prices.csv", fingerprint(given))
    assert read.blob is not None
    assert "object s3://unversioned/in/prices.csv" in load.unrestorable
    assert {(item.direction, item.name.rsplit("/", 1)[-1]) for item in clean.datasets} == {
        ("write", "clean.csv"),
        ("write", "local.csv"),
        ("write", "uploaded.csv"),
    }
    assert {(item.name, item.fingerprint is None) for item in total.datasets} == {
        ("clean.csv", False),
        ("uploaded.csv", True),
    }
    assert {item.name: item.rows for item in total.datasets} == {"clean.csv": 2, "uploaded.csv": None}

    assert check(payloads(ran)) == []
    events = ends(ran)
    (given_in,) = [one for one in events["objects.load"]["inputs"] if one["namespace"] == "s3://unversioned"]
    assert given_in["name"] == "in/prices.csv"
    assert given_in["facets"]["version"]["datasetVersion"] == s3.head_object(Bucket="unversioned", Key="in/prices.csv")[
        "ETag"
    ].strip('"')
    assert given_in["inputFacets"]["inputStatistics"]["size"] == len(given)
    assert {one["name"] for one in events["objects.clean"]["outputs"] if one["namespace"] == "s3://unversioned"} == {
        "clean.csv",
        "uploaded.csv",
    }

    found = artifacts(ran, "s3://unversioned/")
    assert {key: (made, read) for key, (_, made, read) in found.items()} == {
        "in/prices.csv": ([], ["load"]),
        "clean.csv": (["clean"], ["total"]),
        "uploaded.csv": (["clean"], ["total"]),
    }
    assert {source.type for source in found["clean.csv"][0].source_types} == {"S3ETag"}

    endpoint.stop()
    answer = replayed(ran, load.root_run_id, PREFECT_API_URL=prefect_server, S3_URL=url)
    assert answer["verdict"] == "identical", json.dumps(answer, indent=1)
    assert [step["verdict"] for step in answer["steps"]] == ["restored"] * 3


# ------------------------------------------------------------------------------------------------------------------ HTTP

HTTP_FLOW = """
import asyncio, io, os
import httpx, pandas as pd, requests
from prefect import flow, task

URL = os.environ["PRICES_URL"].replace("http://", "http://me:hunter2@")
SESSION = requests.Session()  # one connection for all steps

@task
def load(name):
    answer = SESSION.get(f"{URL}/{name}?token=hunter2&year=2024", timeout=10)
    answer.raise_for_status()
    return pd.read_csv(io.BytesIO(answer.content))

@task
async def load_async(name):
    async with httpx.AsyncClient() as client:
        one, two = await asyncio.gather(client.get(f"{URL}/{name}"), client.get(f"{URL}/none"))
    return one.text, two.status_code

@task
def tell(frame):
    SESSION.post(f"{URL}/orders", json={"n": len(frame)}, timeout=10)
    return len(frame)

@flow
async def web():
    frame = load("prices.csv")
    return await load_async("prices.csv"), tell(frame)

if __name__ == "__main__":
    print("RESULT", asyncio.run(web()))
"""


class Prices(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path.startswith("/prices.csv")
        self.answer(200 if found else 404, b"day,close\n1,2.5\n" if found else b"nothing")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, b"")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_answers_over_http(tmp_path: Path, prefect_server: str) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Prices) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        ran = run_script(
            HTTP_FLOW, tmp_path / "project", tmp_path / "home", PREFECT_API_URL=prefect_server, PRICES_URL=url
        )
        server.shutdown()
    assert ran.code == 0, ran.err
    assert "RESULT (('day,close\\n1,2.5\\n', 404), 1)" in ran.out

    assert [step.capture_errors for step in ran.steps()] == [()] * 3
    load, load_async, tell = (ran.step(name) for name in ("load", "load_async", "tell"))
    assert {
        (item.uri, item.facts.status if item.facts else None) for step in ran.steps() for item in step.datasets
    } == {
        (f"{url}/prices.csv?year=2024", 200),
        (f"{url}/prices.csv", 200),
        (f"{url}/none", 404),
    }
    assert load.datasets[0].fingerprint == fingerprint(b"day,close\n1,2.5\n")
    assert load.datasets[0].blob is not None
    assert f"GET {url}/prices.csv?year=2024" in load.unrestorable
    assert len(load_async.datasets) == 2
    assert tell.datasets == ()
    assert f"POST {url}/orders" in tell.unrestorable
    assert [flow.datasets for flow in ran.flows().values()] == [()], "Prefect's own calls are nobody's data"

    assert check(payloads(ran)) == []
    assert b"hunter2" not in b"".join(payloads(ran))
    (read,) = [one for one in ends(ran)["web.load"]["inputs"] if one["namespace"] == url]
    assert read["name"] == "/prices.csv?year=2024"
    assert read["facets"]["lineageFlows_artifact"]["status"] == 200
    found = artifacts(ran, url)
    assert {key: (made, read) for key, (_, made, read) in found.items()} == {
        "/prices.csv?year=2024": ([], ["load"]),
        "/prices.csv": ([], ["load-async"]),
        "/none": ([], ["load-async"]),
    }

    answer = replayed(ran, load.root_run_id, PREFECT_API_URL=prefect_server, PRICES_URL=url)
    assert answer["verdict"] == "identical", json.dumps(answer, indent=1)
    assert {step["verdict"] for step in answer["steps"]} == {"restored"}
