"""What real flows get through ``urllib``: in the record, in valid events, in the ledger and the graph, and in a replay."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
from pathlib import Path

import pytest

from lineage_flows.content import fingerprint
from tests.events.test_captured_objects import artifacts, ends, payloads, replayed
from tests.support.flows import run_script
from tests.support.openlineage import check

pytestmark = pytest.mark.server

PRICES = b"day,close\n1,2.5\n2,4.0\n"
PACKED = gzip.compress(PRICES, mtime=0)

FLOW = """
import os, urllib.request
from urllib.error import HTTPError
import pandas as pd
from prefect import flow, task

URL = os.environ["PRICES_URL"]

@task
def load(name):
    return pd.read_csv(f"{URL}/{name}?token=hunter2&year=2024", storage_options={"Authorization": "Bearer hunter3"})

@task
def packed():
    return pd.read_csv(f"{URL}/packed.csv")

@task
def head():
    with urllib.request.urlopen(f"{URL}/moved") as answer:
        return answer.readline()

@task
def download():
    urllib.request.urlretrieve(f"{URL}/prices.csv", "prices.csv")

@task
def missing():
    try:
        urllib.request.urlopen(f"{URL}/none")
    except HTTPError as error:
        return error.code, error.read()

@task
def tell(frame):
    return urllib.request.urlopen(f"{URL}/orders", data=b"n=2").status

@flow
def web():
    frame = load("prices.csv")
    download()
    total = float((frame["close"] + packed()["close"]).sum())
    return total, head(), missing(), tell(frame)

if __name__ == "__main__":
    print("RESULT", web())
"""


class Prices(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/prices.csv"):
            self.answer(200, PRICES, ETag='"v7"')
        elif self.path == "/packed.csv":
            self.answer(200, PACKED, **{"Content-Encoding": "gzip"})
        elif self.path == "/moved":
            self.answer(302, b"", Location="/prices.csv")
        else:
            self.answer(404, b"nothing")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, b"")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_what_urllib_gets_is_an_input(tmp_path: Path, prefect_server: str) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Prices) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        environment = {"PREFECT_API_URL": prefect_server, "PRICES_URL": url}
        ran = run_script(FLOW, tmp_path / "project", tmp_path / "home", **environment)
        server.shutdown()
    assert ran.code == 0, ran.err
    assert "RESULT (13.0, b'day,close\\n', (404, b'nothing'), 201)" in ran.out

    assert {step.task_name: step.capture_errors for step in ran.steps()} == dict.fromkeys(
        ("load", "packed", "head", "download", "missing", "tell"), ()
    )
    (read,) = ran.step("load").datasets
    named = "/prices.csv?year=2024"
    assert (read.uri, read.fingerprint, read.via) == (url + named, fingerprint(PRICES), ("urllib.GET",))
    assert read.blob is not None
    assert read.facts is not None
    assert (read.facts.status, read.facts.etag) == (200, "v7")
    (packed,) = ran.step("packed").datasets
    assert (packed.fingerprint, packed.note) == (
        fingerprint(PACKED),
        "its bytes are those that were sent, in encoding gzip",
    )
    (head,) = ran.step("head").datasets
    assert (head.name, head.fingerprint) == ("/moved", None)
    assert head.note == f"redirected to {url}/prices.csv; not fingerprinted: 10 of {len(PRICES)} bytes were read"
    assert {(item.direction, item.fingerprint) for item in ran.step("download").datasets} == {
        ("read", fingerprint(PRICES)),
        ("write", fingerprint(PRICES)),
    }
    (missing,) = ran.step("missing").datasets
    assert missing.facts is not None
    assert (missing.facts.status, missing.fingerprint) == (404, fingerprint(b"nothing"))
    assert ran.step("tell").datasets == ()
    assert {step.task_name: step.unrestorable for step in ran.steps()} == {
        "load": (f"GET {url}{named}",),
        "packed": (f"GET {url}/packed.csv",),
        "head": (f"GET {url}/moved",),
        "download": (f"GET {url}/prices.csv",),
        "missing": (f"GET {url}/none",),
        "tell": (f"POST {url}/orders",),
    }
    assert [flow.datasets for flow in ran.flows().values()] == [()]
    for step in ran.steps():
        assert step.ledger is not None
        assert [gap for gap in step.ledger.gaps if gap.kind == "connection"] == []

    sent = payloads(ran)
    assert check(sent) == []
    assert b"hunter" not in b"".join(sent)
    (given,) = [one for one in ends(ran)["web.load"]["inputs"] if one["namespace"] == url]
    assert given["name"] == named
    assert given["facets"]["version"]["datasetVersion"] == "v7"
    assert given["facets"]["lineageFlows_artifact"]["status"] == 200
    assert given["inputFacets"]["inputStatistics"]["size"] == len(PRICES)
    found = artifacts(ran, url)
    assert {key: (made, read) for key, (_, made, read) in found.items()} == {
        named: ([], ["load"]),
        "/packed.csv": ([], ["packed"]),
        "/moved": ([], ["head"]),
        "/prices.csv": ([], ["download"]),
        "/none": ([], ["missing"]),
    }

    answer = replayed(ran, ran.step("load").root_run_id, **environment)
    assert answer["verdict"] == "identical", json.dumps(answer, indent=1)
    assert {step["verdict"] for step in answer["steps"]} == {"restored"}
