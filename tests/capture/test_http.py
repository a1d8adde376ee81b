"""What requests and httpx get, against a server on loopback: named without secrets, hashed as the step itself reads it."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import httpx
import pytest
import requests

from lineage_flows.capture import network, seams
from lineage_flows.capture.adapters.http import HttpxAdapter
from lineage_flows.capture.adapters.urls import target_of
from lineage_flows.capture.files import Touched
from lineage_flows.content import fingerprint
from lineage_flows.records import DatasetRef
from tests.support import watched
from tests.support.dict_store import DictStore

pytestmark = pytest.mark.usefixtures("libraries_watched")

PRICES = b"day,close\n" + b"1,2.5\n" * 200
STORE = DictStore()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/moved":
            self.answer(302, b"", Location="/prices.csv")
        elif path == "/packed":
            self.answer(200, gzip.compress(PRICES), **{"Content-Encoding": "gzip"})
        elif path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(PRICES)))
            self.end_headers()
            self.wfile.write(PRICES[:100])
            self.close_connection = True
        elif path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (PRICES[:500], PRICES[500:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/alike":  # another content each time, under one weak tag
            type(self).asked += 1
            self.send_response(200)
            self.send_header("ETag", 'W/"alike"')
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            body = b"%03d" % self.asked * 100
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        elif path == "/none":
            self.answer(404, b"no such thing")
        else:
            self.answer(200, PRICES, ETag='"v7"')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, b"thanks")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


touched = partial(watched.touched, store=STORE)


def only(found: Touched) -> DatasetRef:
    assert found.errors == ()
    (one,) = (item for item in found.datasets if item.namespace.startswith("http"))
    return one


def streamed_requests(url: str) -> bytes:
    with requests.get(url, stream=True, timeout=10) as answer:
        return b"".join(answer.iter_content(7))


def raw_requests(url: str) -> bytes:
    with requests.get(url, stream=True, timeout=10) as answer:
        return b"".join(iter(lambda: answer.raw.read(64, decode_content=True), b""))


def streamed_httpx(url: str) -> bytes:
    with httpx.stream("GET", url) as answer:
        return b"".join(answer.iter_bytes(7))


def read_httpx(url: str) -> bytes:
    with httpx.stream("GET", url) as answer:
        return answer.read()


def async_httpx(url: str) -> bytes:
    async def get() -> bytes:
        async with httpx.AsyncClient() as client:
            return (await client.get(url)).content

    return asyncio.run(get())


def gathered_httpx(url: str) -> bytes:
    async def get() -> bytes:
        async with httpx.AsyncClient() as client:
            return (await asyncio.gather(client.get(url)))[0].content

    return asyncio.run(get())


def async_streamed_httpx(url: str) -> bytes:
    async def get() -> bytes:
        async with httpx.AsyncClient() as client, client.stream("GET", url) as answer:
            return b"".join([part async for part in answer.aiter_bytes()])

    return asyncio.run(get())


WAYS: dict[str, Callable[[str], bytes]] = {
    "requests": lambda url: requests.get(url, timeout=10).content,
    "requests in a session": lambda url: requests.Session().get(url).content,
    "requests streamed": streamed_requests,
    "requests raw": raw_requests,
    "httpx": lambda url: httpx.get(url).content,
    "httpx streamed": streamed_httpx,
    "httpx streamed, read at once": read_httpx,
    "httpx async": async_httpx,
    "httpx gathered": gathered_httpx,
    "httpx async streamed": async_streamed_httpx,
}


@pytest.mark.parametrize("path", ["/prices.csv", "/packed", "/chunked"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_got_is_hashed_and_kept_as_the_step_got_it(server: str, way: str, path: str) -> None:
    got: list[bytes] = []
    found = touched(lambda: got.append(WAYS[way](server + path)))
    one = only(found)
    assert got == [PRICES]
    assert (one.namespace, one.name, one.uri, one.path) == (server, path, server + path, server + path)
    assert (one.fingerprint, one.size) == (fingerprint(PRICES), len(PRICES))
    assert one.blob is not None
    assert STORE.get(one.blob.digest) == PRICES
    assert one.facts is not None
    assert (one.facts.status, one.facts.etag) == (200, "v7" if path == "/prices.csv" else None)
    assert (one.via, one.note) == ((f"{way.split(maxsplit=1)[0]}.GET",), None)
    assert f"GET {server}{path}" in found.unrestorable


def test_at_level_metadata_and_over_the_cap_nothing_is_kept(server: str) -> None:
    one = only(touched(lambda: requests.get(f"{server}/prices.csv", timeout=10), store=None))
    assert (one.fingerprint, one.blob, one.note) == (fingerprint(PRICES), None, None)
    for way in ("requests", "httpx streamed"):
        one = only(touched(lambda way=way: WAYS[way](f"{server}/prices.csv"), size_cap=100))
        assert (one.fingerprint, one.blob) == (fingerprint(PRICES), None)
        assert one.note == f"not kept: {len(PRICES)} bytes are over the size cap of 100"


@pytest.mark.parametrize("way", ["requests", "httpx"])
def test_an_answer_that_is_no_success_is_read_too(server: str, way: str) -> None:
    one = only(touched(lambda: WAYS[way](f"{server}/none")))
    assert one.facts is not None
    assert (one.facts.status, one.fingerprint) == (404, fingerprint(b"no such thing"))


def test_redirects_are_one_request(server: str) -> None:
    for work in (
        lambda: requests.get(f"{server}/moved", timeout=10),
        lambda: httpx.get(f"{server}/moved", follow_redirects=True),
    ):
        one = only(touched(work))
        assert (one.name, one.fingerprint) == ("/moved", fingerprint(PRICES))
        assert one.note == f"redirected to {server}/prices.csv"


def test_the_same_again_is_another_answer_unless_the_server_says_that_it_is_the_same(server: str) -> None:
    found = touched(lambda: [requests.get(f"{server}/chunked", timeout=10) for _ in range(2)])
    assert len(found.datasets) == 2
    found = touched(lambda: [requests.get(f"{server}/prices.csv", timeout=10) for _ in range(2)])
    assert len(found.datasets) == 1


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_no_whole_is_made_of_two_answers(server: str, library: str) -> None:
    """A weak tag says that two answers mean the same, not that they are the same bytes."""
    read: list[bytes] = []

    def step() -> None:
        if library == "requests":
            with requests.get(f"{server}/alike", stream=True, timeout=10) as answer:
                next(answer.iter_content(30))
            read.append(streamed_requests(f"{server}/alike"))
        else:
            with httpx.stream("GET", f"{server}/alike") as answer:
                next(answer.iter_raw(30))
            read.append(streamed_httpx(f"{server}/alike"))

    assert only(touched(step)).fingerprint in {None, fingerprint(read[0])}


def test_half_a_stream(server: str) -> None:
    def step() -> None:
        with requests.get(f"{server}/prices.csv", stream=True, timeout=10) as answer:
            next(answer.iter_content(10))
        with httpx.stream("GET", f"{server}/packed") as answer:
            next(answer.iter_raw(10))

    found = touched(step)
    assert found.errors == ()
    assert [item.fingerprint for item in found.datasets] == [None, None]
    assert found.datasets[0].note == f"not fingerprinted: 10 of {len(PRICES)} bytes were read"


@pytest.mark.parametrize("way", ["requests", "requests streamed", "httpx", "httpx streamed"])
def test_a_connection_that_breaks_raises_as_ever(server: str, way: str) -> None:
    def plain() -> type[BaseException]:
        with pytest.raises((requests.RequestException, httpx.HTTPError)) as raised:
            WAYS[way](f"{server}/cut")
        return raised.type

    expected = plain()
    kinds: list[type[BaseException]] = []
    found = touched(lambda: kinds.append(plain()))
    assert kinds == [expected]
    assert found.errors == ()
    assert all(item.fingerprint is None for item in found.datasets)


def test_a_closed_port_is_noted(server: str) -> None:
    def step() -> None:
        with pytest.raises(requests.ConnectionError):
            requests.get("http://127.0.0.1:9/x", timeout=5)
        with pytest.raises(httpx.ConnectError):
            httpx.get("http://127.0.0.1:9/y")

    found = touched(step)
    assert (found.datasets, found.errors) == ((), ())
    assert {"GET http://127.0.0.1:9/x: ConnectionError", "GET http://127.0.0.1:9/y: ConnectError"} <= set(
        found.unrestorable
    )


def test_other_methods_are_only_noted(server: str) -> None:
    found = touched(
        lambda: [
            requests.post(f"{server}/orders?token=hunter2", data=b"x", timeout=10),
            httpx.post(server, content=b"x"),
        ]
    )
    assert (found.datasets, found.errors) == ((), ())
    assert {f"POST {server}/orders", f"POST {server}/"} <= set(found.unrestorable)


def test_prefects_own_calls_are_nobodys_data(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(server.rpartition(":")[2])
    monkeypatch.setattr(network, "endpoints", lambda: (("127.0.0.1", port),))
    namespace: dict[str, Any] = {"__name__": "prefect.client.base", "httpx": httpx}
    exec(compile("def call(url): return httpx.get(url)", "/site-packages/prefect/client/base.py", "exec"), namespace)
    assert touched(lambda: namespace["call"](server)).datasets == ()

    async def background() -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.gather(client.get(server))  # a task of its own: nothing of Prefect is on the stack

    assert touched(lambda: asyncio.run(background())).datasets == ()


URLS = [
    ("http://h/a/b.csv", "http://h", "/a/b.csv"),
    ("https://me:hunter2@H.example:443/a?b=1#c", "https://h.example", "/a?b=1"),
    ("http://h:8080", "http://h:8080", "/"),
    ("http://[::1]:80/x", "http://[::1]", "/x"),
    ("http://h/?api_key=abc&symbol=SPY", "http://h", "/?symbol=SPY"),
    ("http://h/?key=abc&keyboard=x&monkey=y", "http://h", "/?keyboard=x&monkey=y"),
    ("http://h/?x=0123456789abcdef0123456789abcdef", "http://h", "/?x=***"),
    ("http://h/?q=eyJhbGciOiJIUzI1NiJ9.e30.abc", "http://h", "/?q=***"),
    ("https://b.s3.aws/k?X-Amz-Signature=ab&X-Amz-Expires=9&versionId=3", "https://b.s3.aws", "/k?versionId=3"),
    ("https://a.blob/c?sv=1&se=2030&sig=ab%2F", "https://a.blob", "/c?sv=1"),
    ("https://t/bot123:AAE-x_y/getFile", "https://t", "/***/getFile"),
    ("https://s/services/T1/abcdEFGH1234ijklMNOP5678", "https://s", "/services/T1/***"),
    (
        "http://h/blob/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "http://h",
        "/blob/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    ),
]


@pytest.mark.parametrize(("url", "namespace", "name"), URLS)
def test_urls_tell_no_secrets(url: str, namespace: str, name: str) -> None:
    target = target_of(url)
    assert (target.namespace, target.name, target.uri) == (namespace, name, namespace + name)


def test_a_version_without_the_seam_is_left_alone() -> None:
    unknown = ModuleType("httpx")
    unknown.Client = type("Client", (), {"send": lambda self, request: request})  # type: ignore[attr-defined]
    adapter = HttpxAdapter()
    with pytest.raises(seams.SeamMissingError, match=r"httpx [\d.]+ has no None\.send|AsyncClient"):
        adapter.install(unknown)
    adapter.uninstall()
    assert unknown.Client().send(3) == 3
