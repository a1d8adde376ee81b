from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.delivery import Spool
from lineage_flows.delivery import journal as journals
from lineage_flows.delivery.journal import Journal, waiting
from lineage_flows.errors import DeliveryError
from tests.support.events import event, name_of


def all_of(beside: Path) -> list[bytes]:
    found = [entry for one in waiting(beside) for entry in one.entries(0, time.monotonic_ns())[0]]
    return [entry.body for entry in sorted(found, key=lambda entry: entry.moment)]


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.journal"))


@given(
    bodies=st.lists(st.binary(max_size=60) | st.just(b"lfj1" * 4), max_size=8),
    cut=st.integers(min_value=0, max_value=600),
)
def test_of_a_file_that_ends_anywhere_every_whole_entry_is_read(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], cut: int
) -> None:
    beside = tmp_path_factory.mktemp("home") / "spool.db"
    journal = Journal(beside)
    ends = [0]
    for body in bodies:
        journal.append(body)
        ends.append(files(beside.parent)[0].stat().st_size)
    journal.close()
    if not bodies:
        assert files(beside.parent) == []
        return
    (file,) = files(beside.parent)
    kept = file.read_bytes()[:cut]
    file.write_bytes(kept)
    whole = sum(end <= len(kept) for end in ends[1:])
    (one,) = waiting(beside)
    entries, offset = one.entries(0, time.monotonic_ns())
    assert [entry.body for entry in entries] == bodies[:whole]
    assert offset == ends[whole]
    assert not list(beside.parent.glob("*.damaged"))
    assert one.remove(offset)
    assert files(beside.parent) == []


@given(data=st.data(), bodies=st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=6))
def test_damage_is_put_aside_and_said(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], data: st.DataObject
) -> None:
    beside = tmp_path_factory.mktemp("home") / "spool.db"
    journal = Journal(beside)
    ends = [0]
    for body in bodies:
        journal.append(body)
        ends.append(files(beside.parent)[0].stat().st_size)
    (file,) = files(beside.parent)
    at = data.draw(st.integers(min_value=0, max_value=ends[-2] - 1))
    content = bytearray(file.read_bytes())
    # The moment is not part of what is checked; damage there changes no content.
    if at - max(end for end in ends if end <= at) in range(12, 20):
        at -= 12
    content[at] ^= 0x40
    file.write_bytes(content)
    whole = sum(end <= at for end in ends[1:])
    (one,) = waiting(beside)
    assert [entry.body for entry in one.entries(0, time.monotonic_ns())[0]] == bodies[:whole]
    assert not list(beside.parent.glob("*.damaged")), "a file that is still written to is let be"
    journal.close()
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("lineage_flows.delivery")
    logger.addHandler(handler)
    try:
        entries, offset = one.entries(0, time.monotonic_ns())
    finally:
        logger.removeHandler(handler)
    assert [entry.body for entry in entries] == bodies[:whole]
    assert offset == ends[-1]
    (aside,) = beside.parent.glob("*.damaged")
    assert aside.read_bytes() == bytes(content[ends[whole] :])
    assert len(messages) == 1
    assert str(aside) in messages[0]


def test_any_bytes_are_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "spool-1-a.journal").write_bytes(b"lfj1" + b"\xff" * 40)
    (tmp_path / "spool-2-b.journal").write_bytes(b"")
    (tmp_path / "spool-3-c.journal").mkdir()
    (tmp_path / "other-4-d.journal").write_bytes(b"not ours")
    spool = Spool(tmp_path / "spool.db")
    with pytest.raises(DeliveryError, match=r"spool-3-c\.journal cannot be read"):
        spool.last()
    (tmp_path / "spool-3-c.journal").rmdir()
    assert spool.last() == 0
    spool.accept(event(1))
    assert spool.last() == 1
    spool.close()
    assert (tmp_path / "other-4-d.journal").exists()


def test_a_journal_is_removed_once_all_has_moved_and_its_writer_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    writer, reader = Spool(path), Spool(path)
    writer.accept(event(1))
    assert reader.last() == 1
    assert len(files(tmp_path)) == 1, "its writer goes on"
    writer._journal.close()
    assert reader.last() == 1
    writer.accept(event(2))
    assert reader.last() == 2
    assert len(files(tmp_path)) == 1, "the first was left"
    writer._journal.close()
    reader.acknowledge("r", 2)
    assert files(tmp_path) == [], "who delivers sweeps"
    writer.close()
    reader.accept(event(3))
    reader.close()
    again = Spool(path)
    assert [name_of(item.event)[1] for item in again.pending("all", 10)] == [1, 2, 3]
    again.accept(event(4))
    again.last()
    assert len(again._database.read("SELECT * FROM journals")) == 1, "those that are gone are forgotten"
    again.close()


def test_a_large_journal_is_left_for_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "LARGEST", 1000)
    spool = Spool(tmp_path / "spool.db")
    for number in range(30):
        spool.accept(event(number, size=300))
    assert len(files(tmp_path)) > 5
    assert [name_of(item.event)[1] for item in spool.pending("r", 100)] == list(range(30))
    assert len(files(tmp_path)) == 1
    spool.close()


WRITING = """
import sys
from pathlib import Path
from typing import Any
from lineage_flows.delivery import Spool
from tests.support.events import event

spool, mine = Spool(Path(sys.argv[1])), int(sys.argv[2])
for line in sys.stdin:
    spool.accept(event(int(line), run=0))
    print("done", flush=True)
"""


def test_what_followed_from_another_process_comes_after_it(tmp_path: Path) -> None:
    """Two processes accept in turn, each after the other has, while a third reads as fast as it can."""
    path = tmp_path / "spool.db"
    spool = Spool(path)
    stop = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                spool.last()
        except BaseException as error:
            failures.append(error)

    reading = threading.Thread(target=read)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", WRITING, str(path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    reading.start()
    for number in range(300):
        child = children[number % 2]
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"{number}\n")
        child.stdin.flush()
        assert child.stdout.readline() == "done\n"
    stop.set()
    reading.join()
    assert failures == []
    assert [name_of(item.event)[1] for item in spool.pending("r", 1000)] == list(range(300))
    for child in children:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        assert child.wait(timeout=30) == 0
        child.stdout.close()
    spool.close()
    assert files(tmp_path) == []


def test_a_child_writes_a_file_of_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    spool.accept(event(1))

    def child() -> None:
        spool.accept(event(2))
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert len(files(tmp_path)) == 2
    spool.accept(event(3))
    assert [name_of(item.event)[1] for item in spool.pending("r", 10)] == [1, 2, 3]
    assert len(files(tmp_path)) == 1, "that of the child was left"
    spool.close()


def test_a_clock_that_is_ahead_holds_nothing_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a boot, or in another container: the moments of what was left then say nothing."""
    spool = Spool(tmp_path / "spool.db")
    now = time.monotonic_ns()
    monkeypatch.setattr(journals.time, "monotonic_ns", lambda: now + 3600 * 10**9)
    spool.accept(event(1))
    monkeypatch.undo()
    assert spool.last() == 1
    spool.close()


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "spool.db")
    journal.append(b"first")
    write = os.write

    def short(handle: int, data: bytes) -> int:
        return write(handle, data[:10])

    monkeypatch.setattr(journals.os, "write", short)
    with pytest.raises(DeliveryError, match="ree some space"):
        journal.append(b"second")
    monkeypatch.undo()
    journal.append(b"third")
    assert all_of(tmp_path / "spool.db") == [b"first", b"third"]
    journal.close()


def test_what_is_accepted_and_moved_while_another_waits_to_move_is_moved_once(tmp_path: Path) -> None:
    """The one that waits has listed the journals before there was the other's, and must not take it for one that is gone."""
    path = tmp_path / "spool.db"
    waits, others, moves = Spool(path), Spool(path), Spool(path)
    waits.accept(event(0, run=0))
    write = waits._database.write

    def late() -> Any:
        others.accept(event(0, run=1))
        assert moves.last() == 2
        waits.accept(event(1, run=0))
        return write()

    waits._database.write = late  # type: ignore[method-assign]
    waits.last()
    waits._database.write = write  # type: ignore[method-assign]
    others.accept(event(1, run=1))
    found = [name_of(item.event) for item in moves.pending("r", 100)]
    assert sorted(found) == [(0, 0), (0, 1), (1, 0), (1, 1)], "lost or twice"
    for spool in (waits, others, moves):
        spool.close()
