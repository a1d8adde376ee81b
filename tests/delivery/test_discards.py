"""What a person gave up is offered no more, by anybody, and stays known."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from lineage_flows.delivery import Spool, deliver_once
from lineage_flows.delivery.route import Route
from lineage_flows.errors import EventError
from tests.support.events import Collector, event, name_of


def refusing(*numbers: int) -> Collector:
    def refuse(events: object) -> None:
        if any(name_of(one)[1] in numbers for one in events):  # type: ignore[attr-defined]
            raise EventError("never")

    return Collector(batch=1, refuse=refuse)


def filled(path: Path, count: int = 6, runs: int = 2) -> Spool:
    spool = Spool(path / "spool.db")
    for number in range(count):
        spool.accept(event(number, run=number % runs))
    return spool


def test_what_was_put_aside_and_discarded_is_neither_offered_nor_counted_and_stays_known(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    receiver = refusing(2, 3)
    assert deliver_once(spool, [receiver], tmp_path).receivers[0].parked == 2
    first, second = spool.discards.left(["collector"])
    assert (first.id, first.reason) == ("collector/3", "never")
    (done,) = spool.discards.discard([first], "ana")
    assert (done.seq, done.who, done.reason, done.run_id) == (3, "ana", "never", first.run_id)
    assert [item.seq for item in spool.parked()] == [second.seq]
    tries = receiver.tries
    assert deliver_once(spool, [receiver], tmp_path).receivers[0].parked == 1
    assert receiver.tries == tries + 1, "the other one is offered again, and it alone"
    assert spool.discards.all() == [done]
    assert spool.discards.discard([first], "bob") == [], "it is discarded already"
    spool.close()
    assert Spool(tmp_path / "spool.db").discards.all() == [done]


def test_a_run_that_waits_is_discarded_for_those_who_do_not_have_it_and_the_others_arrive(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    run = event(0, run=0).run_id
    left = spool.discards.left(["collector", "beside"], run)
    assert [(item.receiver, item.seq, item.reason) for item in left] == [
        (name, seq, None) for name in ("collector", "beside") for seq in (1, 3, 5)
    ]
    spool.discards.discard([item for item in left if item.receiver == "collector"], "ana")
    assert (spool.backlog("collector"), spool.backlog("beside")) == (3, 6)
    receiver, beside = Collector(), Collector("beside")
    assert deliver_once(spool, [receiver, beside], tmp_path).complete
    assert receiver.got == [(1, 1), (1, 3), (1, 5)]
    assert len(beside.got) == 6
    assert spool.discards.discard(left, "ana") == [], "what was delivered meanwhile is not discarded"
    spool.close()


def test_a_courier_that_has_it_in_hand_does_not_put_it_aside_again(tmp_path: Path) -> None:
    spool = filled(tmp_path, 1, 1)

    def discard(_: object) -> None:
        spool.discards.discard(spool.discards.left(["collector"]), "ana")
        raise EventError("never")

    Route(spool, Collector(refuse=discard), tmp_path).attempt(threading.Event())
    assert spool.parked() == []
    assert len(spool.discards.all()) == 1
    assert spool.backlog("collector") == 0
    spool.close()


def test_a_run_that_was_discarded_is_dropped_with_the_others_and_the_note_of_it_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    spool.accept(event(0, kind="COMPLETE"))
    receiver = refusing(0)
    deliver_once(spool, [receiver], tmp_path)
    assert spool.prune(["collector"], older_than_days=0.0) == 0
    spool.discards.discard(spool.discards.left(["collector"]), "ana")
    assert spool.prune(["collector"], older_than_days=0.0) == 1
    assert [item.who for item in spool.discards.all()] == ["ana"]
    spool.close()


def test_a_spool_of_an_earlier_release_is_taken_on(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with sqlite3.connect(tmp_path / "spool.db") as connection:
        connection.execute("DROP TABLE discarded")
    spool = Spool(tmp_path / "spool.db")
    assert spool.backlog("collector") == 6
    assert spool.discards.all() == []
    assert len(spool.discards.discard(spool.discards.left(["collector"]), "ana")) == 6
    spool.close()
