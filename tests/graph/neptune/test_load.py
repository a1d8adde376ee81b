"""The bulk loader against a server that speaks ``/loader`` and reads the export from S3 (moto)."""

from __future__ import annotations

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from lineage_flows.errors import NeptuneLoadError, SettingsError
from lineage_flows.graph.neptune.export import export
from lineage_flows.graph.neptune.load import bulk_load
from lineage_flows.graph.neptune.tables import FORMATS
from tests.graph.kit import events_of, graph_of, picture
from tests.support.loader import ROLE, Loader
from tests.support.records import backtest_record


@pytest.fixture(scope="module")
def keeper():
    return graph_of(events_of(backtest_record()))


@pytest.fixture
def loader(s3):
    with Loader(s3) as server:
        yield server


@pytest.fixture
def source(s3, keeper):
    return export(keeper, f"s3://{s3.bucket}/team/lineage", "gremlin").target


def load(loader, source, waits=None, **options):
    asked = {
        "endpoint": loader.url,
        "iam_role": ROLE,
        "style": "gremlin",
        "wait": ([] if waits is None else waits).append,
        **options,
    }
    return bulk_load(source, **asked)


@pytest.mark.parametrize("style", FORMATS)
def test_an_export_is_loaded_whole(loader, s3, keeper, style):
    target = export(keeper, f"s3://{s3.bucket}/{style}", style).target
    done = load(loader, target, style=style)
    assert {key for key, (label, _) in loader.graph.vertices.items() if label != "Place"} == {
        entity.arn for entity in picture(keeper)[0]
    }
    (asked,) = loader.started
    assert (asked["source"], asked["region"], asked["iamRoleArn"]) == (target, "us-east-1", ROLE)
    assert target.endswith("/"), "a prefix without it would load what only begins alike"
    assert asked["format"] == {"gremlin": "csv", "opencypher": "opencypher"}[style]
    assert (asked["mode"], asked["queueRequest"], asked["failOnError"]) == ("NEW", True, True)
    # The one is not for openCypher, the other is for nothing else.
    assert asked.get("updateSingleCardinalityProperties") == (True if style == "gremlin" else None)
    assert asked.get("userProvidedEdgeIds") == (True if style == "opencypher" else None)
    assert done.records > 100
    assert done.seconds == 3


def test_a_load_is_waited_for_with_growing_patience(loader, source):
    loader.states = ["LOAD_NOT_STARTED", "LOAD_IN_QUEUE", *["LOAD_IN_PROGRESS"] * 6]
    waits = []
    assert load(loader, source, waits).records > 100
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_load_that_never_ends_is_given_up_and_named(loader, source):
    loader.states, loader.hangs = ["LOAD_IN_PROGRESS"], True
    with pytest.raises(NeptuneLoadError, match="has not ended load .* within 0 s: it is LOAD_IN_PROGRESS") as error:
        load(loader, source, patience=0)
    assert error.value.load_id is not None
    assert error.value.load_id in str(error.value)
    assert error.value.status == "LOAD_IN_PROGRESS"


def test_what_the_loader_cannot_read_is_said_record_by_record(loader, source, s3):
    s3.put_object(Bucket=s3.bucket, Key="team/lineage/zzz.csv", Body=b'~id,~label,x:String(single)\n"a",Artifact,"b\n')
    with pytest.raises(NeptuneLoadError, match="LOAD_FAILED") as error:
        load(loader, source)
    (refused,) = error.value.refused
    assert refused.startswith(f"PARSING_ERROR in {source}, record 1: ")
    assert refused in str(error.value)
    assert "1 could not be parsed" in str(error.value)
    assert (error.value.status, error.value.load_id is None) == ("LOAD_FAILED", False)


def test_all_pages_of_errors_are_read_and_the_first_are_shown(loader, source):
    loader.errors = [
        {
            "errorCode": "FROM_OR_TO_VERTEX_ARE_MISSING",
            "errorMessage": f"edge\n{number}",
            "fileName": "s3://b/associations.csv",
            "recordNum": 0,
        }
        for number in range(120)
    ]
    with pytest.raises(NeptuneLoadError) as error:
        load(loader, source)
    assert len(error.value.refused) == 120
    assert error.value.refused[119] == "FROM_OR_TO_VERTEX_ARE_MISSING in s3://b/associations.csv: edge 119"
    assert "edge 4; and 115 more" in str(error.value)
    assert "120 could not be inserted" in str(error.value)


def test_a_feed_that_s3_refuses_says_what_to_do(loader, source):
    loader.errors = [
        {"errorCode": "S3_ACCESS_DENIED_ERROR", "errorMessage": "denied", "fileName": source, "recordNum": 0}
    ]
    loader.feed = "LOAD_S3_ACCESS_DENIED_ERROR"
    with pytest.raises(NeptuneLoadError, match=r"Let the role read the bucket, and attach it to the cluster"):
        load(loader, source)


@pytest.mark.parametrize("status", ["LOAD_CANCELLED_BY_USER", "LOAD_COMMITTED_W_WRITE_CONFLICTS", "LOAD_NEW_WORD"])
def test_any_other_end_is_no_success(loader, source, status):
    loader.states, loader.hangs = [status], True
    with pytest.raises(NeptuneLoadError, match=status) as error:
        load(loader, source)
    assert error.value.status == status


def test_a_role_that_is_not_the_clusters_is_said(loader, source):
    other = ROLE.replace("reads", "sleeps")
    with pytest.raises(NeptuneLoadError, match="access denied to role .*neptune-sleeps.*Attach the role") as error:
        load(loader, source, iam_role=other)
    assert error.value.load_id is None


def test_a_bucket_of_another_region_is_said(loader, source):
    with pytest.raises(NeptuneLoadError, match="source region differs"):
        load(loader, source, region="eu-west-1")


def test_throttling_is_sat_out(loader, source, monkeypatch):
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    loader.throttled = 3
    assert load(loader, source).records > 100


def test_throttling_that_does_not_end_is_said(loader, source, monkeypatch):
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    loader.throttled = 1000
    with pytest.raises(NeptuneLoadError, match="TooManyRequestsException: too many requests. Load again later"):
        load(loader, source)
    assert loader.started == []


class Other:
    """A server that is not Neptune."""

    def __init__(self, status: int, body: bytes, kind: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>It works!</html>", "text/html"),
        (200, b"{}", "application/json"),
        (200, b'{"status": "200 OK", "payload": {}}', "application/json"),
        (200, b'{"status": "200 OK", "payload": "no"}', "application/json"),
        (200, b"[1]", "application/json"),
        (200, b"", "application/json"),
        (404, b"<html>Not Found</html>", "text/html"),
        (404, b"", "text/plain"),
        (301, b"", "text/plain"),
    ],
)
def test_a_server_that_is_not_neptune_is_told(s3, status, body, kind):
    with Other(status, body, kind) as other, pytest.raises(NeptuneLoadError, match=r"is not Neptune"):
        load(other, "s3://bucket/out/")


def test_a_gateway_that_fails_is_not_taken_for_another_server(s3, monkeypatch):
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with Other(502, b"<html>Bad Gateway</html>", "text/html") as other:
        with pytest.raises(NeptuneLoadError, match="does not take the load: 502"):
            load(other, "s3://bucket/out/")


def test_nobody_at_the_endpoint_is_told(s3, monkeypatch):
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NeptuneLoadError, match="cannot be asked.*from inside its VPC"):
        bulk_load("s3://bucket/out/", endpoint=f"http://127.0.0.1:{port}", iam_role=ROLE, style="gremlin")


def test_without_credentials_a_cluster_without_iam_is_asked_all_the_same(loader, source, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    assert load(loader, source).records > 100


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"source": "/desk/out"}, "--to"),
        ({"source": "s3://bucket"}, "--to"),
        ({"source": "s3://bucket/"}, "--to"),
        ({"iam_role": "neptune-reads"}, "--iam-role"),
        ({"iam_role": ""}, "--iam-role"),
        ({"endpoint": "ftp://host"}, "--load"),
        ({"endpoint": "https://host:x"}, "--load"),
        ({"endpoint": "https://host:8182/loader"}, "--load"),
        ({"endpoint": ""}, "--load"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(changed, setting):
    asked = {"source": "s3://bucket/out/", "endpoint": "host", "iam_role": ROLE, **changed}
    with pytest.raises(SettingsError) as error:
        bulk_load(asked.pop("source"), style="gremlin", **asked)
    assert error.value.setting == setting


def test_the_region_is_that_of_the_endpoint_unless_it_is_said(monkeypatch):
    from lineage_flows.graph.neptune import load as module

    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    url = module._url("c.cluster-x.eu-central-1.neptune.amazonaws.com")
    assert url == "https://c.cluster-x.eu-central-1.neptune.amazonaws.com:8182"
    client, region = module._connect(url, None)
    assert (client.meta.endpoint_url, region) == (url, "eu-central-1")
    assert module._connect("http://127.0.0.1:8182", None)[1] == "us-west-2"
    assert module._connect(url, "us-gov-west-1")[1] == "us-gov-west-1"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(SettingsError, match="--region"):
        module._connect("http://127.0.0.1:8182", None)
