"""The ledger of a run while it goes on: counts, names, caps, and connections that an adapter tells of."""

from __future__ import annotations

import asyncio
import contextvars
import http.server
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.capture import files, seams
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.ledger_end import settle
from lineage_flows.capture.ledger_log import MOST_GAPS, LedgerLog, covered_connections, merged
from lineage_flows.records import Gap, Ledger, Tally
from tests.support.ledgers import gaps, ledger, tally, texts, watching


@pytest.fixture
def watched() -> Iterator[None]:
    with watching():
        yield


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield listening


@pytest.fixture
def site() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def connect(server: socket.socket) -> None:
    socket.create_connection(server.getsockname()).close()


def peer(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


def test_nothing_observed_is_no_ledger() -> None:
    log = LedgerLog()
    assert not log
    assert log.close(lambda _: "") is None


@pytest.mark.usefixtures("watched")
def test_a_connection_is_named_by_its_peer(server: socket.socket) -> None:
    found = ledger(lambda: [connect(server) for _ in range(3)])
    assert found.gaps == (
        Gap(
            kind="connection",
            what=f"connects to {peer(server)}",
            consequence="what passed over it is not recorded; a replay puts the step's result in place",
            count=3,
            unrestorable=f"network {peer(server)}",
        ),
    )
    assert tally(found, "connection") == (3, 0)


@pytest.mark.usefixtures("watched")
def test_a_socket_whose_name_is_not_utf8_is_told_as_text(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff"
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as one:
        listening.bind(name)
        listening.listen()
        found = ledger(lambda: one.connect(name))
    assert texts(found) == [rf"connects to socket {tmp_path}/\xff"]
    found.model_dump_json()


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("get", [requests.get, httpx.get])
def test_what_an_http_adapter_tells_is_covered(site: str, get: object) -> None:
    log = FileLog(None, size_cap=1 << 20)
    with files.activate(log):
        get(f"{site}/prices")  # type: ignore[operator]
    touched = log.close()
    found = settle(log, len, touched.datasets, drawn=0, restored=True)
    assert found is not None
    assert gaps(found) == []
    assert (tally(found, "connection"), tally(found, "object")) == ((1, 1), (1, 1))
    # The request says it already.
    assert touched.unrestorable == (f"GET {site}/prices",)


@pytest.mark.usefixtures("watched")
def test_an_async_client_is_covered_too(site: str) -> None:
    async def get() -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.gather(client.get(site), client.get(f"{site}/b"))

    found = ledger(lambda: asyncio.run(get()))
    assert gaps(found) == []
    assert tally(found, "connection") == (2, 2)


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_adapter_may_cover_a_peer_before_or_after_it_is_connected_to(server: socket.socket, when: str) -> None:
    log = FileLog(None, size_cap=1)
    with files.activate(log):
        if when == "before":
            log.ledger.covers("127.0.0.1", server.getsockname()[1])
        connect(server)
        connect(server)
        if when == "after":
            log.ledger.covers("127.0.0.1", server.getsockname()[1])
    touched = log.close()
    found = settle(log, len, (), drawn=0, restored=True)
    assert found is not None
    assert found.gaps == ()
    assert tally(found, "connection") == (2, 2)
    assert touched.unrestorable == ()


@pytest.mark.usefixtures("watched")
def test_a_covering_block_covers_what_is_connected_inside_and_no_more(server: socket.socket) -> None:
    def step() -> None:
        with covered_connections("SQL"):
            connect(server)
        connect(server)

    found = ledger(step)
    assert tally(found, "connection") == (2, 1)
    assert [gap.count for gap in gaps(found)] == [1]


@pytest.mark.usefixtures("watched")
def test_ten_thousand_connections_are_counted_and_some_named() -> None:
    def step() -> None:
        for number in range(10_000):
            with socket.socket() as one:
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", 1 + number % 1000))

    log = FileLog(None, size_cap=1)
    with files.activate(log):
        step()
    touched = log.close()
    found = settle(log, step, (), drawn=0, restored=True)
    assert found is not None
    assert tally(found, "connection") == (10_000, 0)
    assert len(found.gaps) == MOST_GAPS
    assert sum(gap.count for gap in found.gaps) + found.left_out == 10_000
    assert len(touched.unrestorable) == 200
    assert touched.errors == ()


@pytest.mark.usefixtures("watched")
def test_threads_count_together(server: socket.socket) -> None:
    def step() -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: connect(server), range(80)))

    found = ledger(step)
    assert tally(found, "connection") == (80, 0)
    assert [gap.count for gap in gaps(found, "connection")] == [80]


@pytest.mark.usefixtures("watched")
def test_a_thread_of_nobody_is_said_on_every_run_it_may_belong_to(server: socket.socket, tmp_path: object) -> None:
    """Two flow runs side by side, and a thread without a context."""
    logs = [FileLog(None, size_cap=1), FileLog(None, size_cap=1)]
    ready, done = threading.Barrier(3), threading.Event()

    def run(log: FileLog) -> None:
        with files.activate(log):
            ready.wait(20)
            done.wait(20)

    def stray() -> None:
        connect(server)
        open(f"{tmp_path}/mine", "w").close()

    runs = [threading.Thread(target=run, args=(log,)) for log in logs]
    for thread in runs:
        thread.start()
    ready.wait(20)
    nobody = threading.Thread(target=stray, name="pool-3")
    nobody.start()
    nobody.join()
    done.set()
    for thread in runs:
        thread.join()
    for log in logs:
        assert log.close().datasets == ()
        found = settle(log, len, (), drawn=0, restored=False)
        assert found is not None
        assert texts(found, "thread") == [
            f"has a thread that belongs to no step, or to another run: pool connects to {peer(server)}",
            f"has a thread that belongs to no step, or to another run: pool opens {tmp_path}/mine",
        ]


@pytest.mark.usefixtures("watched")
def test_a_thread_beside_several_steps_is_said_on_their_flow(server: socket.socket) -> None:
    flow, *steps = (FileLog(None, size_cap=1) for _ in range(3))
    ready, done = threading.Barrier(3), threading.Event()

    def step(log: FileLog) -> None:
        with files.activate(log):
            ready.wait(20)
            done.wait(20)

    with files.activate(flow):
        both = [threading.Thread(target=contextvars.copy_context().run, args=(step, log)) for log in steps]
        for thread in both:
            thread.start()
        ready.wait(20)
        nobody = threading.Thread(target=connect, args=(server,), name="Thread-7 (work)")
        nobody.start()
        nobody.join()
        done.set()
        for thread in both:
            thread.join()
    assert [settle(log, len, (), drawn=0, restored=False) for log in steps] == [Ledger(), Ledger()]
    found = settle(flow, len, (), drawn=0, restored=False)
    assert found is not None
    assert texts(found) == [
        "has a thread without a context, Thread-7 (work), beside several steps",
        f"connects to {peer(server)}",
    ]


@pytest.mark.usefixtures("watched")
def test_data_without_a_fingerprint_is_a_gap(tmp_path: Path) -> None:
    kept, gone = tmp_path / "kept", tmp_path / "gone"

    def step() -> None:
        kept.write_text("a")
        gone.write_text("b")
        subprocess.run(["rm", str(gone)], check=True)

    found = ledger(step)
    assert tally(found, "file") == (2, 1)
    assert [(gap.what, gap.consequence) for gap in gaps(found, "file")] == [
        (f"writes {gone}", "not fingerprinted: it was gone when the run ended")
    ]


@pytest.mark.usefixtures("watched")
def test_what_the_kernel_tells_is_a_gap_where_the_user_asks() -> None:
    found = ledger(lambda: open("/proc/meminfo").close())
    assert [(gap.what, gap.consequence) for gap in gaps(found)] == [
        ("reads /proc/meminfo", "the machine's own: not kept, and another elsewhere")
    ]
    assert gaps(ledger(lambda: open("/dev/null").close())) == []


@pytest.mark.usefixtures("watched")
def test_a_library_that_is_not_watched_is_a_gap_where_the_code_uses_it(server: socket.socket) -> None:
    def uses() -> object:
        return requests.__version__

    def connects() -> None:
        connect(server)

    def neither() -> None:
        pass

    seams.disable("HTTP through requests", "requests 99 has no Session.send", "requests")
    try:
        consequence = "what passed through it is not recorded: requests 99 has no Session.send"
        assert [(gap.kind, gap.what, gap.consequence) for gap in gaps(ledger(uses))] == [
            ("library", "has code that uses requests: HTTP through requests", consequence)
        ]
        assert texts(ledger(connects), "library") == ["may have used HTTP through requests"]
        assert gaps(ledger(neither)) == []
        assert gaps(ledger(neither, restored=False)) == []
        # The flow's own ledger says it in any case.
        whole = settle(FileLog(None, size_cap=1), neither, (), drawn=0, restored=False, is_flow=True)
        assert whole is not None
        assert texts(whole) == ["may have used HTTP through requests"]
    finally:
        seams.forget("HTTP through requests")


GAP = st.builds(
    Gap,
    kind=st.sampled_from(["file", "clock"]),
    what=st.sampled_from("abc"),
    consequence=st.just("x"),
    count=st.integers(1, 9),
)
LEDGER = st.builds(
    lambda found, tallies, left: Ledger(
        gaps=tuple({(gap.kind, gap.what): gap for gap in found}.values()),
        tallies=tuple(Tally(kind=kind, observed=seen, covered=seen // 2) for kind, seen in sorted(tallies.items())),
        left_out=left,
    ),
    st.lists(GAP, max_size=6),
    st.dictionaries(st.sampled_from(["file", "clock"]), st.integers(1, 9)),
    st.integers(0, 3),
)


@given(LEDGER, LEDGER)
def test_attempts_add_up(first: Ledger, second: Ledger) -> None:
    whole = merged(first, second)
    assert whole is not None
    both = [*first.gaps, *second.gaps]
    assert {(gap.kind, gap.what): gap.count for gap in whole.gaps} == {
        (gap.kind, gap.what): sum(other.count for other in both if (other.kind, other.what) == (gap.kind, gap.what))
        for gap in both
    }
    assert whole.left_out == first.left_out + second.left_out
    for kind in ("file", "clock"):
        assert tally(whole, kind) == tuple(a + b for a, b in zip(tally(first, kind), tally(second, kind), strict=True))
    assert merged(None, second) is second
    assert merged(first, None) is first
