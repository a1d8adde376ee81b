from __future__ import annotations

import importlib
import re
import socket
import ssl
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from textwrap import dedent

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    temporary_settings,
)

from lineage_flows.errors import DeliveryError
from lineage_flows.ui import publish
from tests.conftest import free_port
from tests.support.records import backtest_record

module = importlib.import_module("lineage_flows.ui.publish")


def artifacts(run_id: str) -> list[dict[str, str]]:
    with get_client(sync_client=True) as client:
        wanted = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        return client.request("POST", "/artifacts/filter", json=wanted).json()


@pytest.mark.server
def test_the_page_is_an_artifact_of_the_flow_run(prefect_server: str) -> None:
    record = backtest_record(str(uuid.uuid4())[:-4] + "0000")
    errors: list[BaseException] = []
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        publish(record, on_error=errors.append).join()
        (artifact,) = artifacts(record.flow.run_id)
    assert errors == []
    assert (artifact["key"], artifact["type"]) == ("lineage-backtest", "markdown")
    assert artifact["description"].startswith("5 steps in 5.2 s")
    assert artifact["data"].startswith("## Completed · backtest / brave-otter")
    assert f"`lineage-flows replay {record.flow.run_id}`" in artifact["data"]


@pytest.mark.server
def test_a_process_that_ends_at_once_still_leaves_its_page(prefect_server: str) -> None:
    run_id = str(uuid.uuid4())[:-4] + "0000"
    script = dedent(
        f"""
        from prefect.settings import PREFECT_API_URL, temporary_settings
        from tests.support.records import backtest_record
        from lineage_flows.ui import publish
        with temporary_settings({{PREFECT_API_URL: {prefect_server!r}}}):
            publish(backtest_record({run_id!r}), on_error=print)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        assert len(artifacts(run_id)) == 1


def test_a_server_that_is_not_there_is_reported_once_and_nothing_is_raised() -> None:
    errors: list[BaseException] = []
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        publish(backtest_record(), on_error=errors.append).join()
    assert len(errors) == 1


def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine's own, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    found = folder / "certificate.pem", folder / "key.pem"
    found[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    found[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return found


def test_a_server_that_sends_on_to_https_gets_its_page_and_has_to_show_who_it_is(tmp_path: Path) -> None:
    got: list[str] = []

    def take(request: BaseHTTPRequestHandler) -> None:
        got.append(f"{request.command} {request.path}")
        request.send_response(201)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"{}")

    def send_on(request: BaseHTTPRequestHandler) -> None:
        request.send_response(307)
        request.send_header("Location", f"https://127.0.0.1:{safe.server_port}{request.path}")
        request.send_header("Content-Length", "0")
        request.end_headers()

    safe, plain = serving(take), serving(send_on)
    known, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(known, key)
    safe.socket = context.wrap_socket(safe.socket, server_side=True)
    for server in (safe, plain):
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    errors: list[BaseException] = []
    try:
        api = {PREFECT_API_URL: f"http://127.0.0.1:{plain.server_port}/api", PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False}
        with temporary_settings(api):
            publish(backtest_record(), on_error=errors.append).join()
        assert (len(errors), got) == (1, []), "nobody vouches for this server"
        with temporary_settings({**api, PREFECT_API_SSL_CERT_FILE: str(known)}):
            publish(backtest_record(), on_error=errors.append).join()
        assert (len(errors), got[-1]) == (1, "POST /api/artifacts/")
    finally:
        for server in (safe, plain):
            server.shutdown()
            server.server_close()


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    errors: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            waiting = publish(backtest_record(), on_error=errors.append)
        assert not waiting.daemon
        waiting.join()
        assert [type(error) for error in errors] == [DeliveryError]


def test_a_record_that_cannot_be_rendered_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> str:
        raise RecursionError("deep")

    monkeypatch.setattr(module, "render_run", explode)
    errors: list[BaseException] = []
    publish(backtest_record(), on_error=errors.append).join()
    assert [type(error) for error in errors] == [RecursionError]


@given(st.text(st.characters(codec=None)))
def test_every_flow_has_a_key_that_prefect_accepts(name: str) -> None:
    key = module.artifact_key(name)
    assert ArtifactCreate(key=key).key == key
    assert re.fullmatch(r"lineage(-[a-z0-9]+)+", key)
    assert len(key) < 110


@pytest.mark.parametrize(
    ("name", "key"), [("backtest", "lineage-backtest"), ("My_Flow  v2", "lineage-my-flow-v2"), ("a-b", "lineage-a-b")]
)
def test_an_ordinary_name_reads_the_same_in_its_key(name: str, key: str) -> None:
    assert module.artifact_key(name) == key


def test_names_that_lose_letters_do_not_share_a_key() -> None:
    names = ["Überblick", "Uberblick", "概要", "概览", "!!", "x" * 200, "x" * 201]
    assert len({module.artifact_key(name) for name in names}) == len(names)
