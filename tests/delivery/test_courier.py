from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lineage_flows.delivery import Courier, OpenLineageReceiver, Spool, deliver_once
from lineage_flows.delivery import courier as courier_module
from lineage_flows.delivery.courier import _Carrier
from lineage_flows.delivery.route import STUCK_AFTER, Route
from lineage_flows.delivery.turns import Turns
from lineage_flows.errors import DeliveryError, EventError, HomeError
from lineage_flows.events import Event
from tests.support.events import Collector, event, name_of
from tests.support.records import backtest_record
from tests.support.stream import stream

LONG = 60.0
"""Seconds that nothing here takes: what is waited for happens, or the test fails."""


@pytest.fixture
def spool(tmp_path: Path) -> Any:
    opened = Spool(tmp_path / "spool.db")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(courier_module, "PERIOD", 0.02)


def accept(spool: Spool, count: int, runs: int = 1) -> list[tuple[int, int]]:
    accepted = [event(number, run=number % runs) for number in range(count)]
    for one in accepted:
        spool.accept(one)
    return [name_of(one) for one in accepted]


def waited(gate: threading.Event) -> None:
    assert gate.wait(LONG)


class Gathering(Collector):
    """Takes events as they are."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.events: list[Event] = []

    def receive(self, events: Sequence[Event]) -> None:
        self.events += events


class Running:
    """A courier that is stopped at the end of the block."""

    def __init__(self, spool: Spool, receivers: Sequence[Any]) -> None:
        self.courier = Courier(spool, receivers, spool.path.parent)

    def __enter__(self) -> Courier:
        self.courier.start()
        return self.courier

    def __exit__(self, *_: object) -> None:
        self.courier.stop(LONG)


# -------------------------------------------------------------------------------------------------------- deliveries


def test_everything_arrives_once_and_in_order(spool: Spool) -> None:
    receiver = Collector(batch=7)
    accepted = accept(spool, 100, runs=3)
    with Running(spool, [receiver]) as courier:
        assert courier.flush(LONG)
    assert receiver.got == accepted
    assert max(receiver.batches) == 7
    assert spool.backlog("collector") == 0


def test_it_goes_on_by_itself_while_events_come_in(spool: Spool) -> None:
    arrived = threading.Event()
    receiver = Collector(refuse=lambda events: arrived.set() if name_of(events[-1])[1] == 49 else None)
    with Running(spool, [receiver]):
        for number in range(50):
            spool.accept(event(number))
        assert arrived.wait(LONG)
    assert receiver.got == [(0, number) for number in range(50)]


def test_what_another_process_accepted_is_found(spool: Spool) -> None:
    arrived = threading.Event()
    with Running(spool, [Collector(refuse=lambda _: arrived.set())]):
        other = Spool(spool.path)
        other.accept(event(0))
        assert arrived.wait(LONG)
        other.close()


def test_flush_waits_for_what_was_accepted_before_it(spool: Spool) -> None:
    gate, entered = threading.Event(), threading.Event()

    def hold(_: Sequence[Event]) -> None:
        entered.set()
        assert gate.wait(LONG)

    receiver = Collector(refuse=hold)
    accept(spool, 3)
    with Running(spool, [receiver]) as courier:
        assert entered.wait(LONG)
        assert not courier.flush(0.05)
        assert not courier.flush(0.0)
        gate.set()
        assert courier.flush(LONG)


def test_flush_is_of_the_receivers_that_are_named(spool: Spool) -> None:
    gate = threading.Event()
    held = Collector("held", refuse=lambda _: waited(gate))
    accept(spool, 3)
    with Running(spool, [held, Collector("quick")]) as courier:
        assert courier.flush(LONG, receivers=("quick",))
        assert courier.flush(LONG, receivers=("nobody",))
        assert not courier.flush(0.05)
        gate.set()
        assert courier.flush(LONG)


def test_a_courier_that_was_not_started_is_by_flush(spool: Spool) -> None:
    receiver = Collector()
    accepted = accept(spool, 3)
    courier = Courier(spool, [receiver], spool.path.parent)
    assert courier.flush(LONG)
    assert receiver.got == accepted
    assert courier.stop(LONG)


def test_a_stopped_courier_lets_go_and_can_be_started_again(spool: Spool) -> None:
    receiver = Collector()
    accept(spool, 3)
    courier = Courier(spool, [receiver], spool.path.parent)
    courier.start()
    assert courier.flush(LONG)
    assert courier.stop(LONG)
    assert receiver.closed.is_set()
    spool.accept(event(3))
    courier.start()
    assert courier.flush(LONG)
    assert receiver.got == [(0, number) for number in range(4)]
    assert courier.stop(LONG)


def test_the_threads_are_daemons_with_a_name_that_tells_them(spool: Spool) -> None:
    """A process ends with them; and what they open is not of the flow that runs beside them: capture goes by the name."""
    with Running(spool, [Collector("x")]):
        (thread,) = [one for one in threading.enumerate() if one.name == "lineage-flows-courier-x"]
        assert thread.daemon


# ------------------------------------------------------------------------------------------- receivers out of order


def test_a_failing_receiver_is_tried_again_and_gets_everything_in_order(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    outages = iter([True] * 5 + [False] + [True] * 3)

    def sometimes(_: Sequence[Event]) -> None:
        if next(outages, False):
            raise DeliveryError("out of order")

    receiver = Collector(batch=4, refuse=sometimes)
    accepted = accept(spool, 20, runs=2)
    with caplog.at_level(logging.WARNING, "lineage_flows"), Running(spool, [receiver]):
        while spool.backlog("collector"):
            threading.Event().wait(0.01)
    assert receiver.got == accepted
    said = [record.message for record in caplog.records]
    assert len(said) == 2, "one line an outage, not one a try"
    assert all("out of order" in line and "collector" in line for line in said)


def test_the_pauses_between_tries_grow_to_half_a_minute(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "FIRST_DELAY", 0.2)
    carrier = _Carrier(spool, Collector(), spool.path.parent)
    pauses = []
    for failures in range(1, 12):
        carrier.route.failures = failures
        pauses.append(carrier._pause("failed"))
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]
    carrier.route.failures = 10_000
    assert carrier._pause("failed") == 30.0


def test_what_is_accepted_does_not_shorten_the_pause_of_a_receiver_that_fails(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "FIRST_DELAY", 30.0)
    failed = threading.Event()

    def refuse(_: Sequence[Event]) -> None:
        failed.set()
        raise DeliveryError("out of order")

    receiver, beside = Collector(refuse=refuse), Collector("beside")
    accept(spool, 1)
    with Running(spool, [receiver, beside]) as courier:
        assert failed.wait(LONG)
        for number in range(100):
            spool.accept(event(number))
        assert courier.flush(LONG, receivers=("beside",))
        assert receiver.tries == 1


def test_flush_tries_a_failing_receiver_at_once_and_then_gives_it_up(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Sequence[Event]) -> None:
        raise DeliveryError("out of order")

    receiver = Collector(refuse=refuse)
    accept(spool, 1)
    with Running(spool, [receiver]) as courier:
        assert not courier.flush(LONG)
        assert receiver.tries >= courier_module.GIVE_UP_AFTER
        monkeypatch.setattr(courier_module, "FIRST_DELAY", 1000.0)
        monkeypatch.setattr(courier_module, "LONGEST_DELAY", 1000.0)
        before = receiver.tries
        assert not courier.flush(LONG)
        assert receiver.tries > before, "the flow that ends now is told of an outage that may be over"
        receiver.refuse = lambda _: None
        assert courier.flush(LONG)


def test_an_error_of_any_kind_ends_no_courier(spool: Spool) -> None:
    errors: list[Exception] = [RuntimeError("x"), OSError("y"), MemoryError(), ValueError("z")]

    def refuse(_: Sequence[Event]) -> None:
        if errors:
            raise errors.pop()

    receiver = Collector(refuse=refuse)
    accepted = accept(spool, 3)
    with Running(spool, [receiver]):
        while spool.backlog("collector"):
            threading.Event().wait(0.01)
    assert receiver.got == accepted


def test_a_spool_that_fails_ends_no_courier(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = iter([True, True])
    acknowledge = spool.acknowledge

    def failing(receiver: str, seq: int) -> None:
        if next(faults, False):
            raise DeliveryError("disk full")
        acknowledge(receiver, seq)

    monkeypatch.setattr(spool, "acknowledge", failing)
    receiver = Collector()
    accepted = accept(spool, 3)
    with Running(spool, [receiver]):
        while spool.backlog("collector"):
            threading.Event().wait(0.01)
    assert receiver.got == accepted * 3, "delivered again, since it could not be noted"


def test_a_silent_receiver_holds_back_neither_accepting_nor_another_receiver(spool: Spool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        transport = {"type": "http", "url": url, "timeout": LONG}
        graph = Gathering("graph")
        waiting = OpenLineageReceiver(transport=transport)
        events = stream(backtest_record())
        for one in events[:5]:
            spool.accept(one)
        with_silent = Courier(spool, [waiting, graph], spool.path.parent)
        with_silent.start()
        connection, _ = silent.accept()
        for one in events[5:]:
            spool.accept(one)
        assert with_silent.flush(LONG, receivers=("graph",))
        assert graph.events == events
        assert not with_silent.flush(0.05)
        assert not with_silent.stop(0.05), "it waits for an answer, and ends with the process"
        assert spool.backlog("openlineage") == len(events)
        connection.close()


# ------------------------------------------------------------------------------------------------------------ poison


def test_flush_hardly_waits_for_a_receiver_that_has_been_silent_for_long(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow that ends while AWS is away would else wait each time as long as it may."""
    monkeypatch.setattr(courier_module, "OUTAGE_AFTER", 0.0)
    monkeypatch.setattr(courier_module, "IMPATIENCE", 0.01)
    asked, answers = threading.Event(), threading.Event()

    class Mute(Gathering):
        def receive(self, events: Sequence[Event]) -> None:
            asked.set()
            waited(answers)
            super().receive(events)

    with Running(spool, [Mute("a")]) as courier:
        accept(spool, 3)
        waited(asked)
        assert not courier.flush(1e6)
        answers.set()
        monkeypatch.setattr(courier_module, "OUTAGE_AFTER", LONG)
        assert courier.flush(LONG)


def test_poison_is_put_aside_and_the_others_arrive_in_order(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(events: Sequence[Event]) -> None:
        if any(name_of(one)[1] in {3, 4, 19} for one in events):
            raise EventError("never")

    receiver = Collector(batch=8, refuse=refuse)
    accepted = accept(spool, 20)
    with caplog.at_level(logging.WARNING, "lineage_flows"), Running(spool, [receiver]) as courier:
        assert courier.flush(LONG)
    assert receiver.got == [name for name in accepted if name[1] not in {3, 4, 19}]
    assert [name_of(item.event)[1] for item in spool.parked("collector")] == [3, 4, 19]
    assert {item.reason for item in spool.parked()} == {"never"}
    assert spool.backlog("collector") == 0
    assert len(caplog.records) == 3


def test_an_event_that_a_receiver_fails_on_for_ever_is_found_out(spool: Spool) -> None:
    """Its error says "later", each time; but later it takes the events of other runs and still not this one."""

    def refuse(events: Sequence[Event]) -> None:
        if name_of(events[0]) == (0, 0):
            raise DeliveryError("HTTP 500")

    receiver = Collector(batch=1, refuse=refuse)
    accepted = accept(spool, 6, runs=2)
    route = Route(spool, receiver, spool.path.parent)
    for _ in range(STUCK_AFTER):
        assert route.attempt(threading.Event()) == "failed"
    assert receiver.got == []
    assert route.attempt(threading.Event()) == "delivered"
    assert [name_of(item.event) for item in spool.parked()] == [(0, 0)]
    probe, *rest = receiver.got
    assert probe == (1, 1)
    assert rest == accepted[1:]


def test_an_outage_puts_nothing_aside_however_long_it_lasts(spool: Spool) -> None:
    def refuse(_: Sequence[Event]) -> None:
        raise DeliveryError("HTTP 503")

    receiver = Collector(batch=1, refuse=refuse)
    accepted = accept(spool, 6, runs=2)
    route = Route(spool, receiver, spool.path.parent)
    for _ in range(STUCK_AFTER * 3):
        assert route.attempt(threading.Event()) == "failed"
    assert spool.parked() == []
    receiver.refuse = lambda _: None
    assert route.attempt(threading.Event()) == "delivered"
    assert receiver.got == accepted


def test_an_outage_that_ends_in_the_middle_of_the_doubt_puts_nothing_aside(spool: Spool) -> None:
    answers = iter([True] * (STUCK_AFTER + 1))

    def refuse(_: Sequence[Event]) -> None:
        if next(answers, False):
            raise DeliveryError("HTTP 503")

    receiver = Collector(batch=1, refuse=refuse)
    accepted = accept(spool, 6, runs=2)
    route = Route(spool, receiver, spool.path.parent)
    for _ in range(STUCK_AFTER):
        route.attempt(threading.Event())
    assert route.attempt(threading.Event()) == "failed"
    assert route.attempt(threading.Event()) == "delivered"
    assert spool.parked() == []
    assert [name for name in receiver.got if name in accepted][-6:] == accepted


# -------------------------------------------------------------------------------------------------- several processes

DELIVERING = """
import os, sys
from pathlib import Path
from lineage_flows.delivery import Spool, deliver_once
from tests.support.events import Collector, name_of

out = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
dies_after = int(sys.argv[3])

class Appending(Collector):
    taken = 0
    def receive(self, events):
        for one in events:
            os.write(out, b"%d %d\\n" % name_of(one))
            self.taken += 1
        if dies_after and self.taken >= dies_after:
            os.kill(os.getpid(), 9)

path = Path(sys.argv[1])
report = deliver_once(Spool(path), [Appending(batch=3)], path.parent, timeout=60)
sys.exit(0 if report.complete else 3)
"""


def delivering(spool: Spool, out: Path, dies_after: int = 0) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", DELIVERING, str(spool.path), str(out), str(dies_after)])


def lines(path: Path) -> list[tuple[int, int]]:
    return [(int(run), int(number)) for run, number in (line.split() for line in path.read_text().splitlines())]


def test_couriers_of_several_processes_take_turns(spool: Spool, tmp_path: Path) -> None:
    accepted = accept(spool, 300, runs=4)
    children = [delivering(spool, tmp_path / "out") for _ in range(4)]
    assert [child.wait(timeout=LONG) for child in children] == [0] * 4
    assert lines(tmp_path / "out") == accepted, "once each, in order, whoever brought them"


def test_killed_between_receiving_and_acknowledging(spool: Spool, tmp_path: Path) -> None:
    accepted = accept(spool, 40, runs=2)
    for dies_after in (3, 9, 15):
        assert delivering(spool, tmp_path / "out", dies_after).wait(timeout=LONG) == -9
    assert delivering(spool, tmp_path / "out").wait(timeout=LONG) == 0
    got = lines(tmp_path / "out")
    assert len(got) == 40 + 9, "the batch that was not acknowledged, three times, and nothing else, came twice"
    assert list(dict.fromkeys(got)) == accepted, "each in effect once, first in its order"
    assert spool.backlog("collector") == 0


def test_a_turn_ends_with_its_context(tmp_path: Path) -> None:
    mine, other = Turns(tmp_path, "openlineage:a/b"), Turns(tmp_path, "openlineage:a/b")
    with mine.take() as got:
        assert got
        with other.take() as got_too:
            assert not got_too
        with Turns(tmp_path, "graph").take() as unrelated:
            assert unrelated
    with other.take() as got_too:
        assert got_too
    assert sorted(path.name for path in tmp_path.iterdir()) == ["courier-graph.lock", "courier-openlineage_a_b.lock"]


def test_a_forked_child_does_not_keep_its_parent_s_turn(tmp_path: Path) -> None:
    turns, other = Turns(tmp_path, "r"), Turns(tmp_path, "r")
    up_r, up_w = os.pipe()
    end_r, end_w = os.pipe()
    with turns.take() as mine:
        assert mine
        child = os.fork()
        if child == 0:
            os.close(end_w)
            os.write(up_w, b"x")
            os.read(end_r, 1)
            os._exit(0)
        assert os.read(up_r, 1) == b"x"
    with other.take() as got:
        assert got, "held by a child that knows nothing of it"
    os.close(end_w)
    os.waitpid(child, 0)
    for end in (up_r, up_w, end_r):
        os.close(end)


def test_a_home_for_the_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeError, match="lock file"), Turns(tmp_path / "home", "r").take():
        pass


def test_a_forked_child_s_courier_delivers_what_the_child_accepts(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "PERIOD", LONG)  # the parent's would bring it just as well
    receiver = Collector()
    accept(spool, 3)
    courier = Courier(spool, [receiver], spool.path.parent)
    assert courier.flush(LONG)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            spool.accept(event(3))
            code = 0 if courier.flush(LONG) and receiver.got[-1] == (0, 3) and len(receiver.got) == 4 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    spool.accept(event(4))
    assert courier.flush(LONG)
    assert receiver.got == [(0, 0), (0, 1), (0, 2), (0, 4)], "what the child delivered is not delivered again"
    assert courier.stop(LONG)


ENDING = """
import sys, threading
from pathlib import Path
from lineage_flows.delivery import Courier, Spool
from tests.support.events import Collector, event

path, entered = Path(sys.argv[1]), threading.Event()

class Silent(Collector):
    def receive(self, events):
        entered.set()
        threading.Event().wait(1000)

spool = Spool(path)
spool.accept(event(0))
courier = Courier(spool, [Silent("silent"), Collector("quick")], path.parent)
courier.start()
assert entered.wait(60)
assert courier.flush(60, receivers=["quick"])
"""


def test_a_process_ends_while_a_receiver_is_silent(spool: Spool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING, str(spool.path)], capture_output=True, text=True, timeout=LONG, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (spool.backlog("silent"), spool.backlog("quick")) == (1, 0)


# ---------------------------------------------------------------------------------------------------------- at once


def test_deliver_once_says_what_became_of_each(spool: Spool) -> None:
    def poison(events: Sequence[Event]) -> None:
        if any(name_of(one)[1] == 2 for one in events):
            raise EventError("never")

    def refuse(_: Sequence[Event]) -> None:
        raise DeliveryError("out of order")

    accepted = accept(spool, 5)
    progress: list[tuple[str, int, int]] = []
    good, picky, bad = Collector("good"), Collector("picky", refuse=poison), Collector("bad", refuse=refuse)
    report = deliver_once(
        spool, [good, picky, bad], spool.path.parent, timeout=LONG, on_progress=lambda *said: progress.append(said)
    )
    by_name = {one.name: one for one in report.receivers}
    assert (by_name["good"].delivered, by_name["good"].left, by_name["good"].error) == (5, 0, None)
    assert (by_name["picky"].delivered, by_name["picky"].parked, by_name["picky"].left) == (4, 1, 0)
    assert (by_name["bad"].delivered, by_name["bad"].left, by_name["bad"].error) == (0, 5, "out of order")
    assert not report.complete
    assert good.got == accepted
    assert ("good", 5, 5) in progress
    assert all(one.closed.is_set() for one in (good, picky, bad))


def test_deliver_once_offers_what_was_parked_again(spool: Spool) -> None:
    mended = False

    def refuse(events: Sequence[Event]) -> None:
        if not mended and any(name_of(one)[1] in {1, 3} for one in events):
            raise EventError("never")

    receiver = Collector(refuse=refuse)
    accept(spool, 5)
    home = spool.path.parent
    assert deliver_once(spool, [receiver], home, timeout=LONG).receivers[0].parked == 2
    assert deliver_once(spool, [receiver], home, timeout=LONG).receivers[0].parked == 2
    mended = True
    (report,) = deliver_once(spool, [receiver], home, timeout=LONG).receivers
    assert (report.delivered, report.parked, report.left) == (2, 0, 0)
    assert [number for _, number in receiver.got] == [0, 2, 4, 1, 3]
    assert deliver_once(spool, [receiver], home, timeout=LONG).receivers[0].delivered == 0


def test_deliver_once_does_not_wait_for_ever(spool: Spool) -> None:
    gate = threading.Event()
    held = Collector("held", refuse=lambda _: waited(gate))
    accepted, quick = accept(spool, 3), Collector("quick")
    report = deliver_once(spool, [held, quick], spool.path.parent, timeout=0.3)
    gate.set()
    assert quick.got == accepted
    assert [(one.name, one.left) for one in report.receivers] == [("held", 3), ("quick", 0)]
    assert report.receivers[0].error == "it did not answer in time"


def test_deliver_once_with_nobody_to_deliver_to(spool: Spool) -> None:
    accept(spool, 3)
    assert deliver_once(spool, [], spool.path.parent, timeout=LONG).complete


# ----------------------------------------------------------------------------------------------------------- silence


class Silent(Gathering):
    """Waits for an answer until it comes; ``seconds`` is how long it says that it has."""

    def __init__(self) -> None:
        super().__init__("far")
        self.seconds = 0.0
        self.asked, self.answers = threading.Event(), threading.Event()

    def receive(self, events: Sequence[Event]) -> None:
        self.asked.set()
        waited(self.answers)
        super().receive(events)

    def silent_for(self) -> float:
        return self.seconds if self.asked.is_set() and not self.answers.is_set() else 0.0


def test_flush_leaves_a_receiver_alone_that_waits_for_an_answer_in_vain(spool: Spool) -> None:
    far = Silent()
    far.seconds = courier_module.QUIET + 1
    accept(spool, 3)
    with Running(spool, [far]) as courier:
        assert not courier.flush(1e6)
        far.answers.set()
        assert courier.flush(LONG)
    assert len(far.events) == 3


def test_flush_waits_for_a_receiver_that_is_answered(spool: Spool) -> None:
    far = Silent()
    accept(spool, 3)
    threading.Timer(0.3, far.answers.set).start()
    with Running(spool, [far]) as courier:
        assert courier.flush(LONG)


def test_a_silence_is_remembered_by_the_next_process_for_a_while(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "IMPATIENCE", 0.01)
    far = Silent()
    far.seconds = courier_module.QUIET + 1
    accept(spool, 3)
    with Running(spool, [far]) as courier:
        assert not courier.flush(1e6)
        note = spool.path.parent / "courier-far.silent"
        assert note.exists()
        again = Silent()
        later = Courier(spool, [again], spool.path.parent)  # of another process; it is not its turn
        accept(spool, 1)
        assert not later.flush(1e6), "it hardly waits, though its own receiver has not been silent"
        far.answers.set()
        assert courier.flush(LONG)
        assert not note.exists(), "it has answered"
        assert later.stop(LONG)
    note.touch()
    os.utime(note, (0, 0))
    accept(spool, 1)
    quick = Courier(spool, [Gathering("far")], spool.path.parent)
    assert quick.flush(LONG), "a silence of long ago says nothing"
    assert quick.stop(LONG)
