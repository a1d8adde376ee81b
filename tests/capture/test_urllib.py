"""What ``urllib.request`` gets, against a server on loopback: named without secrets, hashed as the step itself reads it."""

from __future__ import annotations

import contextlib
import email.message
import gzip
import http.client
import http.server
import inspect
import io
import json
import os
import shutil
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
import urllib.response
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import polars as pl
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.capture import adapters, files, io_adapters, network, seams, streams
from lineage_flows.capture.adapters.urllib_http import UrllibAdapter
from lineage_flows.capture.files import FileLog, Touched
from lineage_flows.capture.left_out import LeftOut
from lineage_flows.content import fingerprint
from lineage_flows.policy import Rule, decide
from lineage_flows.records import DatasetRef
from tests.support import watched
from tests.support.dict_store import DictStore

pytestmark = pytest.mark.usefixtures("libraries_watched")

PRICES = b"day,close\n" + b"1,2.5\n" * 200
PACKED = gzip.compress(PRICES, mtime=0)
ALIKE = b"x" * 300
RECORDS = json.dumps([{"day": 1, "close": 2.5}]).encode()
STORE = DictStore()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urllib.parse.urlsplit(self.path).path
        if path == "/moved":
            self.answer(302, b"", Location="/prices.csv?token=hunter2")
        elif path == "/round":
            self.answer(302, b"", Location="/round")
        elif path == "/packed":
            self.answer(200, PACKED, **{"Content-Encoding": "gzip"})
        elif path == "/cut":
            self.answer(200, PRICES[:100], length=len(PRICES))
            self.close_connection = True
        elif path == "/empty":
            self.answer(200, b"")
        elif path == "/nothing":
            self.send_response(204)
            self.end_headers()
        elif path == "/old":  # without a length: the end of the connection is the end
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PRICES)
            self.close_connection = True
        elif path in {"/chunked", "/chunked-cut", "/chunked-none"}:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            parts = (PRICES[:500], PRICES[500:503], PRICES[503:])
            for part in parts if path != "/chunked-none" else ():
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            if path == "/chunked":
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = path != "/chunked"
        elif path == "/alike":  # the same ETag for other bytes
            self.send_response(200)
            self.send_header("ETag", 'W/"alike"')
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(
                b"%x\r\n%s\r\n0\r\n\r\n" % (len(ALIKE), ALIKE if self.headers["X-Other"] else PRICES[: len(ALIKE)])
            )
        elif path == "/part":
            start, end = (int(item) for item in self.headers["Range"].removeprefix("bytes=").split("-"))
            said = {"Content-Range": f"bytes {start}-{end}/{len(PRICES)}", "ETag": '"v7"'}
            self.answer(206, PRICES[start : end + 1], **said)
        elif path == "/parts":
            self.answer(206, b"--b\r\n", **{"Content-Type": "multipart/byteranges; boundary=b"})
        elif path == "/none":
            self.answer(404, b"no such thing", ETag='"lost"')
        elif path == "/closed":
            self.answer(401, b"who are you")
        elif path == "/records.json":
            self.answer(200, RECORDS)
        else:
            self.answer(200, PRICES, ETag='"v7"')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, b"thanks")

    def do_PUT(self) -> None:
        self.do_POST()

    def do_HEAD(self) -> None:
        self.answer(200, b"", length=5)

    def answer(self, status: int, body: bytes, *, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
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


@pytest.fixture(autouse=True)
def no_opener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "_opener", None)


touched = partial(watched.touched, store=STORE)


def over_http(found: Touched) -> list[DatasetRef]:
    assert found.errors == ()
    return [item for item in found.datasets if item.namespace.startswith("http")]


def only(found: Touched) -> DatasetRef:
    (one,) = over_http(found)
    return one


def get(url: str | urllib.request.Request) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        data: bytes = answer.read()
        return data


# ------------------------------------------------------------------------------------------------------- ways of reading


def chunks(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return b"".join(iter(lambda: answer.read(7), b""))


def ones(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return b"".join(iter(lambda: answer.read1(50), b""))


def into(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        found, buffer = bytearray(), bytearray(64)
        while count := answer.readinto(buffer):
            found += buffer[:count]
        return bytes(found)


def lines(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return b"".join(answer)


def all_lines(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return b"".join(answer.readlines())


def copied(url: str) -> bytes:
    target = io.BytesIO()
    with urllib.request.urlopen(url, timeout=10) as answer:
        shutil.copyfileobj(answer, target)
    return target.getvalue()


def text(url: str) -> bytes:
    with (
        urllib.request.urlopen(url, timeout=10) as answer,
        io.TextIOWrapper(answer, encoding="latin-1", newline="") as file,
    ):
        return file.read().encode("latin-1")


def buffered(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return io.BufferedReader(answer).read()


def retrieved(url: str) -> bytes:
    name, _ = urllib.request.urlretrieve(url)
    try:
        return Path(name).read_bytes()
    finally:
        urllib.request.urlcleanup()


def opened(url: str) -> bytes:
    data: bytes = urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(url, None, 10).read()
    return data


def installed(url: str) -> bytes:
    urllib.request.install_opener(urllib.request.build_opener())
    return get(url)


def in_a_thread(url: str) -> bytes:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(get, url).result()


WAYS: dict[str, Callable[[str], bytes]] = {
    "read": get,
    "a Request": lambda url: get(urllib.request.Request(url, headers={"Authorization": "Bearer hunter2"})),
    "read, and nothing closed": lambda url: urllib.request.urlopen(url, timeout=10).read(),
    "read in pieces": chunks,
    "read1": ones,
    "readinto": into,
    "lines": lines,
    "readlines": all_lines,
    "copyfileobj": copied,
    "TextIOWrapper": text,
    "BufferedReader": buffered,
    "urlretrieve": retrieved,
    "an opener": opened,
    "an opener that is installed": installed,
    "a thread": in_a_thread,
}


@pytest.mark.parametrize("path", ["/prices.csv", "/chunked", "/old"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_got_is_hashed_and_kept_as_the_step_got_it(server: str, way: str, path: str) -> None:
    got: list[bytes] = []
    found = touched(lambda: got.append(WAYS[way](server + path)))
    one = only(found)
    assert got == [PRICES]
    assert (one.namespace, one.name, one.uri, one.path) == (server, path, server + path, server + path)
    assert (one.direction, one.fingerprint, one.size) == ("read", fingerprint(PRICES), len(PRICES))
    assert one.blob is not None
    assert STORE.get(one.blob.digest) == PRICES
    assert one.facts is not None
    assert (one.facts.status, one.facts.etag) == (200, "v7" if path == "/prices.csv" else None)
    assert (one.via, one.note) == (("urllib.GET",), None)
    assert [item for item in found.unrestorable if "127.0.0.1" in item] == [f"GET {server}{path}"]


def test_what_is_packed_is_hashed_as_it_was_sent(server: str) -> None:
    for work, expected in ((get, PACKED), (lambda url: gzip.open(urllib.request.urlopen(url)).read(), PRICES)):
        got: list[bytes] = []
        one = only(touched(lambda work=work, got=got: got.append(work(f"{server}/packed"))))
        assert got == [expected]
        assert (one.fingerprint, one.size) == (fingerprint(PACKED), len(PACKED))
        assert one.note == "its bytes are those that were sent, in encoding gzip"


class Offline(io.BytesIO):
    """An answer that no adapter sees."""

    def __init__(self) -> None:
        super().__init__(PRICES[:100])
        self.headers: dict[str, str] = {}


@pytest.fixture
def watching_tables() -> Iterator[None]:
    io_adapters.install()
    yield
    io_adapters.uninstall()


@pytest.mark.usefixtures("watching_tables")
def test_pandas(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = pd.read_csv(io.BytesIO(PRICES))
    for path in ("/prices.csv", "/packed", "/moved"):
        frames: list[pd.DataFrame] = []
        found = touched(lambda path=path, frames=frames: frames.append(pd.read_csv(server + path)))
        pd.testing.assert_frame_equal(frames[0], expected)
        one = only(found)
        assert one.fingerprint == fingerprint(PACKED if path == "/packed" else PRICES)
        assert (one.rows, [column.name for column in one.columns]) == (200, ["day", "close"])
        assert [item for item in found.unrestorable if "127.0.0.1" in item] == [f"GET {server}{path}"]
    both = over_http(touched(lambda: [pd.read_csv(f"{server}/chunked"), get(f"{server}/chunked")]))
    assert [(one.rows, one.fingerprint) for one in both] == [(200, fingerprint(PRICES)), (None, fingerprint(PRICES))]
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("pandas.io.common.urlopen", lambda _: Offline())
        one = only(touched(lambda: [get(f"{server}/prices.csv"), pd.read_csv(f"{server}/prices.csv")]))
        assert (one.rows, one.fingerprint) == (None, fingerprint(PRICES)), "these are the rows of something else"
    assert only(touched(lambda: pd.read_json(f"{server}/records.json"))).fingerprint == fingerprint(RECORDS)
    with pytest.raises(urllib.error.HTTPError):
        pd.read_csv(f"{server}/none")


@pytest.mark.usefixtures("watching_tables")
def test_polars_says_of_a_url_that_urllib_gets_no_more_than_that(server: str) -> None:
    frames: list[pl.DataFrame] = []
    url = f"{server}/prices.csv?token=hunter2"
    found = touched(lambda: frames.append(pl.read_csv(url, encoding="latin-1")))
    assert frames[0].equals(pl.read_csv(io.BytesIO(PRICES)))
    one = only(found)
    assert (one.fingerprint, one.rows) == (fingerprint(PRICES), 200)
    assert [item for item in found.unrestorable if "127.0.0.1" in item] == [f"GET {server}/prices.csv"]

    def natively() -> None:
        get(url)  # what was asked before is not what polars asks now
        with pytest.raises(OSError, match="object-store"):
            pl.read_csv(url)

    unseen = [item for item in touched(natively).unrestorable if item.startswith("object")]
    assert len(unseen) == 1
    assert "hunter2" not in unseen[0]


def test_the_answer_is_what_it_is_without_capture(server: str) -> None:
    seen: list[Any] = []

    def look() -> None:
        with urllib.request.urlopen(f"{server}/prices.csv", timeout=10) as answer:
            seen.append(
                (
                    type(answer),
                    isinstance(answer, io.BufferedIOBase),
                    type(answer.fp),
                    (answer.status, answer.getcode(), answer.code, answer.reason, answer.msg),
                    (answer.url, answer.geturl()),
                    {name: value for name, value in answer.headers.items() if name != "Date"},
                    answer.info() is answer.headers,
                    (answer.length, answer.chunked, answer.closed, answer.isclosed(), answer.readable()),
                    answer.peek(3)[:3],
                    answer.read(3),
                    answer.length,
                    answer.read(),
                    (answer.isclosed(), answer.fp, answer.read(), answer.readline(), list(answer)),
                )
            )
        seen.append(answer.closed)

    adapters.uninstall()
    look()
    adapters.install()
    found = touched(look)
    assert seen[:2] == seen[2:]
    assert seen[2][0] is http.client.HTTPResponse
    assert only(found).fingerprint == fingerprint(PRICES)


def test_signatures_stay_and_uninstalling_gives_the_functions_back() -> None:
    owners = [
        (urllib.request.OpenerDirector, "open"),
        *((http.client.HTTPResponse, name) for name in ("read", "read1", "readinto", "readline", "peek")),
    ]
    ours = [vars(owner)[name] for owner, name in owners]
    adapters.uninstall()
    theirs = [vars(owner)[name] for owner, name in owners]
    for (owner, name), our, their in zip(owners, ours, theirs, strict=True):
        assert our is not their, name
        assert our.__wrapped__ is their
        assert their.__module__ == owner.__module__
        assert (inspect.signature(our), our.__name__, our.__doc__) == (
            inspect.signature(their),
            their.__name__,
            their.__doc__,
        )


def test_without_a_run_nothing_is_marked(server: str) -> None:
    with urllib.request.urlopen(f"{server}/prices.csv", timeout=10) as answer:
        assert [name for name in vars(answer) if "lineage" in name] == []
        assert answer.read() == PRICES


def test_an_answer_that_nobody_holds_is_closed_at_once(server: str) -> None:
    def step() -> None:
        answer = urllib.request.urlopen(f"{server}/prices.csv", timeout=10)
        number = answer.fileno()
        os.fstat(number)
        del answer  # no cycle keeps it until the garbage collector comes by
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        found = touched(step)
    assert only(found).note == f"not fingerprinted: 0 of {len(PRICES)} bytes were read"


# ------------------------------------------------------------------------------------------------- any sequence of reads

READS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.sampled_from([None, 0, 1, 7, 499, 500, 501, 900, 5000])),
        st.tuples(st.just("read1"), st.sampled_from([-1, 0, 1, 40, 600])),
        st.tuples(st.just("readinto"), st.sampled_from([0, 1, 64, 503, 5000])),
        st.tuples(st.just("readinto1"), st.sampled_from([1, 64])),
        st.tuples(st.just("readline"), st.sampled_from([-1, 0, 3, 50])),
        st.tuples(st.just("readlines"), st.sampled_from([-1, 30])),
        st.tuples(st.just("next"), st.none()),
        st.tuples(st.just("peek"), st.sampled_from([-1, 0, 10])),
        st.tuples(st.just("close"), st.none()),
    ),
    max_size=14,
)


def one_read(answer: Any, how: str, count: Any) -> bytes:
    if how.startswith("readinto"):
        buffer = bytearray(count)
        return bytes(buffer[: getattr(answer, how)(buffer)])
    if how == "readlines":
        return b"".join(answer.readlines(count))
    if how == "next":
        return next(answer, b"")
    if how in {"peek", "close"}:
        getattr(answer, how)(*[count] * (how == "peek"))
        return b""
    data: bytes = getattr(answer, how)(count)
    return data


def run_reads(url: str, reads: list[tuple[str, Any]], to_end: str | None) -> tuple[list[bytes], bool]:
    """What each call gave, and whether the body was read to its end before anything was closed."""
    got: list[bytes] = []
    with urllib.request.urlopen(url, timeout=10) as answer:
        for how, count in reads:
            try:
                got.append(one_read(answer, how, count))
            except ValueError as error:  # it is closed: `readinto1` and `readlines` say so
                got.append(str(error).encode())
                return got, False
        if to_end == "read":
            got.append(answer.read())
        elif to_end == "pieces":
            got.extend(iter(lambda: answer.read(100), b""))
        elif to_end == "lines":
            got.extend(answer)
    return got, True


@settings(max_examples=120, deadline=None)
@given(
    path=st.sampled_from(["/prices.csv", "/chunked", "/old"]),
    reads=READS,
    to_end=st.sampled_from([None, "read", "pieces", "lines"]),
)
def test_any_reads_give_the_same_and_a_fingerprint_only_of_the_whole(
    server: str, path: str, reads: list[tuple[str, Any]], to_end: str | None
) -> None:
    plain, _ = run_reads(server + path, reads, to_end)
    results: list[tuple[list[bytes], bool]] = []
    one = only(touched(lambda: results.append(run_reads(server + path, reads, to_end))))
    ((got, whole_way),) = results
    joined = b"".join(got)
    if not any(how in {"read1", "readinto1", "peek"} for how, _ in reads):  # these give what has arrived
        assert got == plain
    if whole_way:
        assert PRICES.startswith(joined)
    if one.fingerprint is not None:
        assert (one.fingerprint, joined) == (fingerprint(PRICES), PRICES)
        assert one.blob is not None
        assert STORE.get(one.blob.digest) == PRICES
    else:
        assert "bytes were read" in (one.note or "")
        closed = any(how == "close" for how, _ in reads)
        assert joined != PRICES or (path != "/prices.csv" and (closed or to_end is None))
    if whole_way and to_end is not None and joined == PRICES and not any(how == "close" for how, _ in reads):
        assert one.fingerprint == fingerprint(PRICES)


def test_half_a_body_is_not_the_whole_whatever_is_called_after_it_was_closed(server: str) -> None:
    for path in ("/prices.csv", "/chunked", "/old"):

        def step(path: str = path) -> None:
            answer = urllib.request.urlopen(server + path, timeout=10)
            assert answer.read(10) == PRICES[:10]
            answer.close()
            assert (answer.read(), answer.read(5), answer.readline(), list(answer)) == (b"", b"", b"", [])

        one = only(touched(step))
        of = f" of {len(PRICES)}" if path == "/prices.csv" else ""
        assert (one.fingerprint, one.blob) == (None, None)
        assert one.note == f"not fingerprinted: 10{of} bytes were read"


@pytest.mark.parametrize("path", ["/cut", "/chunked-cut", "/chunked-none"])
@pytest.mark.parametrize(
    "way", ["read", "read in pieces", "readinto", "lines", "readlines", "urlretrieve", "TextIOWrapper"]
)
def test_a_body_that_breaks_off_raises_as_ever_and_is_never_the_whole(server: str, way: str, path: str) -> None:
    def outcome() -> object:
        try:
            return WAYS[way](server + path)
        except Exception as error:
            return type(error), str(error), getattr(error, "partial", None)

    adapters.uninstall()
    expected = outcome()
    adapters.install()
    got: list[object] = []
    one = only(touched(lambda: got.append(outcome())))
    assert got == [expected]
    assert one.fingerprint is None
    assert "not fingerprinted" in (one.note or "")


def test_a_reader_that_raises_ends_the_record(server: str) -> None:
    def step() -> None:
        with urllib.request.urlopen(f"{server}/old", timeout=10) as answer:
            with pytest.raises(TypeError):
                answer.readinto("no buffer")
            assert answer.read() == PRICES

    assert only(touched(step)).fingerprint is None


def test_two_threads_at_one_body(server: str) -> None:
    """Each gets its bytes; in which order they lie nobody can say, so nothing is claimed."""

    class Slow:
        """A connection whose first reader is overtaken by the second."""

        def __init__(self, original: Any) -> None:
            self._original = original
            self.entered, self.go = threading.Event(), threading.Event()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._original, name)

        def read(self, *args: Any) -> bytes:
            if not self.entered.is_set():
                self.entered.set()
                assert self.go.wait(30)
            data: bytes = self._original.read(*args)
            return data

    def step() -> None:
        with urllib.request.urlopen(f"{server}/old", timeout=10) as answer, ThreadPoolExecutor(1) as pool:
            slow = answer.fp = Slow(answer.fp)
            first = pool.submit(answer.read, 100)
            assert slow.entered.wait(30)
            assert answer.read(100) == PRICES[:100]
            slow.go.set()
            assert first.result() == PRICES[100:200]
            assert answer.read() == PRICES[200:]

    assert only(touched(step)).fingerprint is None


# ---------------------------------------------------------------------------------------------------- answers and errors


def test_redirects_are_one_request(server: str) -> None:
    found = touched(lambda: get(f"{server}/moved"))
    one = only(found)
    assert (one.name, one.fingerprint) == ("/moved", fingerprint(PRICES))
    assert one.note == f"redirected to {server}/prices.csv"


def test_a_failing_status_is_raised_and_is_read_all_the_same(server: str) -> None:
    kept: list[urllib.error.HTTPError] = []

    def step() -> None:
        with pytest.raises(urllib.error.HTTPError, match="HTTP Error 404: Not Found") as raised:
            urllib.request.urlopen(f"{server}/none", timeout=10)
        kept.append(raised.value)
        assert (raised.value.code, raised.value.url) == (404, f"{server}/none")
        assert raised.value.read() == b"no such thing"

    one = only(touched(step))
    assert one.facts is not None
    assert (one.facts.status, one.facts.etag, one.fingerprint) == (404, "lost", fingerprint(b"no such thing"))

    def unread() -> None:
        with contextlib.suppress(urllib.error.HTTPError):
            get(f"{server}/closed")

    found = touched(unread)
    assert only(found).note == "not fingerprinted: 0 of 11 bytes were read"
    assert [item for item in found.unrestorable if "127.0.0.1" in item] == [f"GET {server}/closed"]


def test_endless_redirects(server: str) -> None:
    def step() -> None:
        with pytest.raises(urllib.error.HTTPError, match="infinite loop"):
            get(f"{server}/round")

    one = only(touched(step))
    assert one.facts is not None
    assert one.facts.status == 302


def test_no_answer_is_said(server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        quiet = f"http://127.0.0.1:{silent.getsockname()[1]}/slow"

        def step() -> None:
            with pytest.raises(urllib.error.URLError, match="refused"):
                urllib.request.urlopen("http://127.0.0.1:9/x", timeout=5)
            with pytest.raises(TimeoutError):
                urllib.request.urlopen(quiet, timeout=0.2)
            with pytest.raises(ValueError, match="unknown url type"):
                urllib.request.urlopen("prices.csv")
            with pytest.raises(http.client.InvalidURL):
                urllib.request.urlopen(f"{server}/a b")
            with pytest.raises(TypeError):
                urllib.request.build_opener().open()  # type: ignore[call-arg]
            with pytest.raises(AttributeError):
                urllib.request.urlopen(3)  # type: ignore[arg-type]

        found = touched(step)
    assert (found.datasets, found.errors) == ((), ())
    assert {
        "GET http://127.0.0.1:9/x: URLError",
        f"GET {quiet}: TimeoutError",
        f"GET {server}/a b: InvalidURL",
    } <= set(found.unrestorable)


def test_other_methods_are_only_noted(server: str) -> None:
    def step() -> None:
        assert urllib.request.urlopen(f"{server}/orders?token=hunter2", data=b"x").read() == b"thanks"
        made = urllib.request.Request(f"{server}/made", headers={"X-Api-Key": "hunter2"})
        assert urllib.request.urlopen(made, b"x").status == 201
        put = urllib.request.Request(f"{server}/put", data=b"x", method="PUT")
        assert urllib.request.urlopen(put).status == 201
        assert urllib.request.urlopen(urllib.request.Request(f"{server}/head", method="HEAD")).read() == b""

    found = touched(step)
    assert (found.datasets, found.errors) == ((), ())
    assert [item for item in found.unrestorable if "127.0.0.1" in item] == [
        f"POST {server}/orders",
        f"POST {server}/made",
        f"PUT {server}/put",
        f"HEAD {server}/head",
    ]


def test_answers_without_content(server: str) -> None:
    for path, status in (("/empty", 200), ("/nothing", 204)):
        one = only(touched(lambda path=path: get(server + path)))
        assert one.facts is not None
        assert (one.facts.status, one.fingerprint, one.size) == (status, fingerprint(b""), 0)


def test_parts_are_put_together_and_are_not_the_whole(server: str) -> None:
    def part(start: int, end: int) -> bytes:
        return get(urllib.request.Request(f"{server}/part", headers={"Range": f"bytes={start}-{end}"}))

    one = only(touched(lambda: part(0, 99)))
    assert (one.fingerprint, one.note) == (None, f"not fingerprinted: 100 of {len(PRICES)} bytes were read")
    one = only(touched(lambda: [part(100, len(PRICES) - 1), part(0, 99)]))
    assert (one.fingerprint, one.note) == (fingerprint(PRICES), None)
    one = only(touched(lambda: get(f"{server}/parts")))
    assert (one.fingerprint, one.note) == (None, "not fingerprinted: only parts were asked for")


def test_the_same_again_is_another_answer_unless_the_server_says_that_it_is_the_same(server: str) -> None:
    assert len(over_http(touched(lambda: [get(f"{server}/chunked") for _ in range(2)]))) == 2
    assert len(over_http(touched(lambda: [get(f"{server}/prices.csv") for _ in range(2)]))) == 1


def test_a_beginning_of_one_answer_and_the_rest_of_another_are_no_whole(server: str) -> None:
    other = urllib.request.Request(f"{server}/alike", headers={"X-Other": "1"})

    def step() -> None:
        first = urllib.request.urlopen(f"{server}/alike", timeout=10)
        first.read(10)
        assert get(other) == ALIKE
        first.close()

    assert only(touched(step)).fingerprint == fingerprint(ALIKE)

    def at_a_time() -> None:
        first = urllib.request.urlopen(f"{server}/alike", timeout=10)
        first.read(10)
        second = urllib.request.urlopen(other, timeout=10)
        second.read(20)
        first.read()
        second.close()

    assert only(touched(at_a_time)).fingerprint == fingerprint(PRICES[: len(ALIKE)])

    def often() -> None:
        for _ in range(40):
            with urllib.request.urlopen(f"{server}/alike", timeout=10) as answer:
                answer.read(10)

    assert only(touched(often)).note == "not fingerprinted: 10 bytes were read"


def test_at_level_metadata_and_over_the_cap_nothing_is_kept(server: str) -> None:
    one = only(touched(lambda: get(f"{server}/prices.csv"), store=None))
    assert (one.fingerprint, one.blob, one.note) == (fingerprint(PRICES), None, None)
    one = only(touched(lambda: get(f"{server}/prices.csv"), size_cap=100))
    assert (one.fingerprint, one.blob) == (fingerprint(PRICES), None)
    assert one.note == f"not kept: {len(PRICES)} bytes are over the size cap of 100"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk without space")
def test_without_space_to_set_it_aside_it_is_hashed_and_not_kept(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> Any:
        return open("/dev/full", "wb+", buffering=0)

    monkeypatch.setattr(streams.tempfile, "SpooledTemporaryFile", full)
    for path in ("/prices.csv", "/chunked", "/old"):
        one = only(touched(lambda path=path: chunks(server + path)))
        assert (one.fingerprint, one.blob) == (fingerprint(PRICES), None)
        assert one.note == "not kept: [Errno 28] No space left on device"


def test_what_a_rule_leaves_out_is_not_named(server: str) -> None:
    rule = Rule(origin="r", exclude_datasets=[f"{server}/*"])
    left_out = LeftOut(decide([rule], "f", task=None, tags=(), level="all", size_cap=1 << 20))
    found = touched(lambda: get(f"{server}/prices.csv"), left_out=left_out)
    assert (over_http(found), [item for item in found.unrestorable if "127.0.0.1" in item]) == ([], [])


# ------------------------------------------------------------------------------------------------------- openers, schemes


class Cached(urllib.request.BaseHandler):
    """Answers by itself."""

    handler_order = 100

    def http_open(self, request: urllib.request.Request) -> urllib.response.addinfourl:
        answer = urllib.response.addinfourl(io.BytesIO(PRICES), email.message.Message(), request.full_url, 200)
        answer.msg = "OK"  # type: ignore[attr-defined]  # which the opener itself asks for
        return answer


class Unpacking(urllib.request.BaseHandler):
    """Puts the body that it has read into another object."""

    handler_order = 2_000

    def http_response(self, _: urllib.request.Request, answer: http.client.HTTPResponse) -> Any:
        return urllib.response.addinfourl(io.BytesIO(gzip.decompress(answer.read())), answer.headers, answer.url, 200)


class Greedy(urllib.request.BaseHandler):
    """Reads the beginning of an answer."""

    def http_response(self, _: urllib.request.Request, answer: http.client.HTTPResponse) -> Any:
        answer.read(10)
        return answer


class Around(urllib.request.BaseHandler):
    """Puts the answer into another object."""

    handler_order = 2_000

    def http_response(self, _: urllib.request.Request, answer: http.client.HTTPResponse) -> Any:
        return urllib.response.addinfourl(answer, answer.headers, answer.url, answer.status)


@pytest.mark.parametrize(
    ("handler", "path", "read", "note"),
    [
        (Cached, "/prices.csv", PRICES, "not fingerprinted: the answer is no HTTPResponse but BytesIO"),
        (Unpacking, "/packed", PRICES, "not fingerprinted: the answer is no HTTPResponse but BytesIO"),
        (Greedy, "/prices.csv", PRICES[10:], "not fingerprinted: a handler of the opener read of it"),
        (Greedy, "/chunked", PRICES[10:], "not fingerprinted: a handler of the opener read of it"),
        (Around, "/chunked", PRICES, None),
        (Around, "/prices.csv", PRICES, None),
    ],
)
def test_handlers_of_the_flows_own(server: str, handler: type, path: str, read: bytes, note: str | None) -> None:
    got: list[bytes] = []
    opener = urllib.request.build_opener(handler)
    one = only(touched(lambda: got.append(opener.open(server + path).read())))
    assert got == [read]
    assert (one.note, one.fingerprint) == (note, None if note else fingerprint(PRICES))


def test_an_answer_that_is_anything(server: str) -> None:
    class Odd(urllib.request.BaseHandler):
        def http_open(self, _: urllib.request.Request) -> str:
            return "odd"

        def http_error_default(self, *_: object) -> None:
            return None

        def http_response(self, _: urllib.request.Request, answer: object) -> object:
            return answer

    opener = urllib.request.OpenerDirector()
    opener.add_handler(Odd())
    got: list[object] = []
    one = only(touched(lambda: got.append(opener.open(f"{server}/x"))))
    assert (got, one.fingerprint) == (["odd"], None)


def test_a_proxy_of_the_environment(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.replace("://", "://me:hunter2@"))
    monkeypatch.setenv("no_proxy", "")
    found = touched(lambda: get("http://vendor.example/prices.csv"))
    one = only(found)
    assert (one.uri, one.fingerprint) == ("http://vendor.example/prices.csv", fingerprint(PRICES))
    assert [item for item in found.unrestorable if "http" in item or "network" in item] == [
        "GET http://vendor.example/prices.csv"
    ]


def test_files_are_seen_once_and_data_is_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(PRICES)
    found = touched(lambda: get((tmp_path / "a.csv").as_uri()))
    assert [(item.path, item.via, item.fingerprint) for item in found.datasets] == [
        (str(tmp_path / "a.csv"), ("open",), fingerprint(PRICES))
    ]
    assert found.unrestorable == ()
    found = touched(lambda: get("data:text/plain,day"))
    assert (found.datasets, found.unrestorable, found.errors) == ((), (), ())


def test_ftp_is_noted(server: str) -> None:
    def step() -> None:
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen("ftp://me:hunter2@127.0.0.1:9/prices.csv", timeout=5)

    found = touched(step)
    assert (found.datasets, found.errors) == ((), ())
    assert "GET ftp://127.0.0.1:9/prices.csv" in found.unrestorable
    assert "hunter2" not in "".join(found.unrestorable)


def test_its_connections_are_no_gaps(server: str) -> None:
    log = FileLog(STORE, size_cap=1 << 20)
    with files.activate(log):
        get(f"{server}/prices.csv")
        assert not log.ledger.has_open_connection
        socket.create_connection(("127.0.0.1", int(server.rpartition(":")[2]))).close()
        assert log.ledger.has_open_connection
    log.close()


def test_beside_requests_nothing_counts_twice(server: str) -> None:
    found = touched(lambda: requests.get(f"{server}/prices.csv", timeout=10))
    assert only(found).via == ("requests.GET",)


def test_prefects_own_calls_are_nobodys_data(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(server.rpartition(":")[2])
    monkeypatch.setattr(network, "endpoints", lambda: (("127.0.0.1", port),))
    namespace: dict[str, Any] = {"__name__": "prefect.client.base", "urlopen": urllib.request.urlopen}
    exec(
        compile("def call(url): return urlopen(url).read()", "/site-packages/prefect/client/base.py", "exec"), namespace
    )
    found = touched(lambda: namespace["call"](server))
    assert (found.datasets, found.unrestorable) == ((), ())


def test_many_threads(server: str) -> None:
    def step() -> None:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda number: get(f"{server}/chunked?n={number}"), range(40)))
        assert found == [PRICES] * 40

    found = over_http(touched(step))
    assert sorted(item.name for item in found) == sorted(f"/chunked?n={number}" for number in range(40))
    assert {item.fingerprint for item in found} == {fingerprint(PRICES)}


def test_a_version_without_the_seam_is_left_alone() -> None:
    unknown = ModuleType("urllib.request")
    unknown.http = http  # type: ignore[attr-defined]
    adapters.uninstall()
    before = dict(vars(http.client.HTTPResponse))
    adapter = UrllibAdapter()
    with pytest.raises(seams.SeamMissingError, match=r"urllib has no None\.open"):
        adapter.install(unknown)
    adapter.uninstall()
    assert dict(vars(http.client.HTTPResponse)) == before
