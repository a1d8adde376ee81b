from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from lineage_flows.delivery import Spool
from lineage_flows.errors import DeliveryError, HomeError
from lineage_flows.records import DatasetRef, ValueRef
from tests.support.events import event, name_of
from tests.support.records import FLOW_ID, backtest_flow, backtest_steps, step

ALL = 1_000_000


@pytest.fixture
def spool(tmp_path: Path) -> Any:
    opened = Spool(tmp_path / "home" / "spool.db")
    yield opened
    opened.close()


def names(spool: Spool, receiver: str = "r") -> list[tuple[int, int]]:
    return [name_of(item.event) for item in spool.pending(receiver, ALL)]


def test_what_was_accepted_comes_back_whole_and_in_order(spool: Spool) -> None:
    accepted = [event(number, run=number % 3, size=number * 100) for number in range(50)]
    for one in accepted:
        spool.accept(one)
    pending = spool.pending("r", ALL)
    assert [item.event for item in pending] == accepted
    assert [item.seq for item in pending] == list(range(1, 51))
    assert spool.last() == 50
    assert spool.backlog("r") == 50
    assert [item.event for item in spool.pending("r", 7)] == accepted[:7]


def test_each_receiver_has_its_own_place(spool: Spool) -> None:
    for number in range(10):
        spool.accept(event(number))
    spool.acknowledge("a", 4)
    spool.acknowledge("b", 9)
    spool.acknowledge("b", 2)
    assert names(spool, "a") == [(0, number) for number in range(4, 10)]
    assert names(spool, "b") == [(0, 9)]
    assert names(spool, "c") == [(0, number) for number in range(10)]
    assert (spool.backlog("a"), spool.backlog("a", 6), spool.backlog("b")) == (6, 2, 1)


def test_a_parked_event_is_kept_aside_and_hides_none_before_or_behind_it(spool: Spool) -> None:
    for number in range(5):
        spool.accept(event(number))
    spool.park("r", 3, "no \ud800 good")
    assert names(spool) == [(0, 0), (0, 1), (0, 3), (0, 4)]
    assert spool.backlog("r") == 4
    assert names(spool, "other") == [(0, number) for number in range(5)]
    (parked,) = spool.parked("r")
    assert (parked.seq, name_of(parked.event), parked.reason, parked.receiver) == (3, (0, 2), "no \\ud800 good", "r")
    assert spool.parked("other") == []
    assert [item.receiver for item in spool.parked()] == ["r"]
    spool.unpark("r", 3)
    assert names(spool) == [(0, number) for number in range(5)]


def test_the_latest_record_of_each_run_in_order_of_first_acceptance(spool: Spool) -> None:
    flow, (first, second, *_) = backtest_flow(), backtest_steps()
    begun = first.model_copy(update={"state": "Running", "output": None})
    spool.accept(of(flow), flow)
    spool.accept(of(first), begun)
    spool.accept(of(second), second)
    spool.accept(of(first))
    assert spool.records(FLOW_ID) == [flow, begun, second]
    spool.accept(of(first), first)
    assert spool.records(FLOW_ID) == [flow, first, second]
    assert spool.record(first.run_id) == first
    assert spool.record("nobody") is None
    assert spool.records("nobody") == []


def test_what_completed_since_the_last_look(spool: Spool) -> None:
    flow, (first, second, third, *_) = backtest_flow(), backtest_steps()
    other = first.model_copy(update={"run_id": "other", "root_run_id": "of another flow"})
    spool.accept(of(other, "COMPLETE"), other)
    spool.accept(of(flow), flow)
    assert spool.completed(FLOW_ID, 0) == ([], 0)
    spool.accept(of(first), first)
    spool.accept(of(second, "FAIL"), second)
    spool.accept(of(first, "COMPLETE"), first)
    found, seen = spool.completed(FLOW_ID, 0)
    assert found == [first]
    assert spool.completed(FLOW_ID, seen) == ([], seen)
    spool.accept(of(third, "COMPLETE"), third)
    assert spool.completed(FLOW_ID, seen)[0] == [third]
    assert spool.completed(FLOW_ID, 0)[0] == [first, third]


def of(record: Any, kind: Any = "RUNNING") -> Any:
    from lineage_flows.events import Event

    return Event(record.run_id, record.root_run_id, kind, "2026-01-30T21:30:00.000000Z", b"{}")


def test_a_record_with_texts_that_are_not_unicode_and_numbers_that_are_not_json(spool: Spool) -> None:
    file = DatasetRef(
        namespace="file", name="/d/\udce4.csv", uri="file:///d/%E4.csv", path="/d/\udce4.csv", direction="read", fingerprint=None
    )  # fmt: skip
    odd = step(0, "load", output=ValueRef(fingerprint=None, type="int", preview=2**80), datasets=(file,))
    spool.accept(of(odd), odd)
    assert spool.records(FLOW_ID) == [odd]


def test_a_record_of_another_version_is_told_apart_from_a_broken_disk(spool: Spool) -> None:
    one = backtest_steps()[0]
    spool.accept(of(one), one)
    assert spool.records(FLOW_ID) == [one]
    connection = sqlite3.connect(spool.path)
    connection.execute("UPDATE records SET body = ?", (b'{"run_id": "x", "from_the_future": 1}',))
    connection.commit()
    connection.close()
    with pytest.raises(DeliveryError, match="another version"):
        spool.records(FLOW_ID)


def test_what_was_accepted_is_there_after_opening_again(tmp_path: Path) -> None:
    first = Spool(tmp_path / "spool.db")
    first.accept(event(1))
    first.acknowledge("r", 0)
    second = Spool(tmp_path / "spool.db")
    assert names(second) == [(0, 1)]
    first.close()
    second.accept(event(2))
    second.close()
    third = Spool(tmp_path / "spool.db")
    assert names(third) == [(0, 1), (0, 2)]
    third.close()


def test_a_closed_spool_says_so(spool: Spool) -> None:
    spool.close()
    spool.close()
    for use in (lambda: spool.accept(event(1)), lambda: spool.pending("r", 1), lambda: spool.acknowledge("r", 1)):
        with pytest.raises(DeliveryError, match="closed"):
            use()


# --------------------------------------------------------------------------------------------------- many at a time


def test_many_threads(spool: Spool) -> None:
    def accept(run: int) -> None:
        for number in range(100):
            spool.accept(event(number, run=run), step(run, "t", run_id=event(0, run=run).run_id))
            spool.pending("r", 5)
            spool.acknowledge(f"receiver {run}", number)

    threads = [threading.Thread(target=accept, args=(run,)) for run in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = names(spool)
    assert len(got) == 800
    for run in range(8):
        assert [number for of_run, number in got if of_run == run] == list(range(100)), "out of order within a run"


ACCEPTING = """
import sys
from pathlib import Path
from lineage_flows.delivery import Spool
from tests.support.events import event

run = int(sys.argv[2])
print("up", flush=True)
sys.stdin.readline()
spool = Spool(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    spool.accept(event(number, run=run, size=2000))
"""


def test_eight_processes_that_open_it_for_the_first_time_at_once(tmp_path: Path) -> None:
    path = tmp_path / "home" / "spool.db"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", ACCEPTING, str(path), str(run), "100"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for run in range(8)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert (child.returncode, errors) == (0, "")
    spool = Spool(path)
    got = names(spool)
    assert len(got) == 800
    for run in range(8):
        assert [number for of_run, number in got if of_run == run] == list(range(100))
    spool.close()


def test_a_fork_after_use(spool: Spool) -> None:
    """Parent and child go on with what they have; the parent closes first, which must not take the log from under the child."""
    spool.accept(event(0, run=0))
    spool.pending("r", 1)
    ready_r, ready_w = os.pipe()
    closed_r, closed_w = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for number in range(20):
                spool.accept(event(number, run=1))
            os.write(ready_w, b"x")
            os.read(closed_r, 1)
            for number in range(20, 40):
                spool.accept(event(number, run=1))
            code = 0 if len(spool.pending("r", ALL)) == 61 else 2
        finally:
            os._exit(code)
    for number in range(1, 21):
        spool.accept(event(number, run=0))
    assert os.read(ready_r, 1) == b"x"
    spool.close()
    os.write(closed_w, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for end in (ready_r, ready_w, closed_r, closed_w):
        os.close(end)
    again = Spool(spool.path)
    got = names(again)
    assert [number for run, number in got if run == 0] == list(range(21))
    assert [number for run, number in got if run == 1] == list(range(40))
    again.close()


def test_a_fork_while_other_threads_accept(spool: Spool) -> None:
    stop = threading.Event()
    accepted = [0, 0, 0]

    def accept(run: int) -> None:
        while not stop.is_set():
            spool.accept(event(accepted[run], run=run))
            accepted[run] += 1

    threads = [threading.Thread(target=accept, args=(run,)) for run in range(3)]
    for thread in threads:
        thread.start()
    codes = []
    for fork in range(10):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                spool.accept(event(0, run=100 + fork))
                code = 0
            finally:
                os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stop.set()
    for thread in threads:
        thread.join()
    assert codes == [0] * 10
    got = names(spool)
    for run in range(3):
        assert [number for of_run, number in got if of_run == run] == list(range(accepted[run]))
    assert sum(run >= 100 for run, _ in got) == 10


# ----------------------------------------------------------------------------------------------------------- faults

KILLED = """
import os, sys
from pathlib import Path
from lineage_flows.delivery import Spool
from tests.support.events import event

spool, run = Spool(Path(sys.argv[1])), int(sys.argv[2])
number = 0
while True:
    spool.accept(event(number, run=run, size=500))
    os.write(1, b"%d\\n" % number)
    number += 1
"""


def test_killed_at_any_moment_nothing_that_was_accepted_is_lost(tmp_path: Path) -> None:
    """Fifty processes are killed, each after so many reports as its number says, so at ever another point of its work."""
    path = tmp_path / "spool.db"
    reported: dict[int, int] = {}
    for first in range(0, 50, 5):
        children = {
            run: subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(run)], stdout=subprocess.PIPE)
            for run in range(first, first + 5)
        }
        for run, child in children.items():
            assert child.stdout is not None
            for _ in range(1 + run * 3):
                assert child.stdout.readline()
            child.kill()
            lines = child.stdout.read().count(b"\n")
            reported[run] = 1 + run * 3 + lines
            child.wait()
            child.stdout.close()
    spool = Spool(path)
    got = names(spool)
    for run, count in reported.items():
        numbers = [number for of_run, number in got if of_run == run]
        assert numbers == list(range(len(numbers))), "torn, twice, or out of order"
        assert len(numbers) in {count, count + 1}, "accepted and lost, or kept and never accepted"
    assert spool._database.read("PRAGMA integrity_check") == [("ok",)]
    spool.close()


FULL = """
import resource, signal, sys
from pathlib import Path
from lineage_flows.delivery import Spool
from lineage_flows.errors import DeliveryError
from tests.support.events import event, name_of

spool = Spool(Path(sys.argv[1]))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
accepted = []
for number in range(400):
    try:
        spool.accept(event(number, size=4000))
    except DeliveryError as error:
        message = str(error)
        break
    accepted.append(number)
else:
    sys.exit("never full")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
spool.accept(event(1000))
got = [name_of(item.event)[1] for item in spool.pending("r", 10_000)]
assert got == [*accepted, 1000], (got, accepted)
assert len(accepted) > 20
print(message)
"""


def test_a_file_that_cannot_grow(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{path} cannot be written" in done.stdout
    assert "ree some space" in done.stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of one megabyte, where the tests may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    spool = Spool(small_disk / "spool.db")
    accepted = 0

    def fill() -> None:
        nonlocal accepted
        for number in range(1000):
            spool.accept(event(number, size=4000))
            accepted += 1

    with pytest.raises(DeliveryError, match="ree some space"):
        fill()
    assert accepted > 20
    with pytest.raises(DeliveryError, match="ree some space"):
        names(spool)
    ballast = small_disk / "spool.db.lock"
    assert ballast.exists()
    spool.close()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    again = Spool(small_disk / "spool.db")
    again.accept(event(5000))
    assert [number for _, number in names(again)] == [*range(accepted), 5000]
    again.close()


def test_no_space_for_a_new_spool(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * (1 << 20))
    with pytest.raises(HomeError, match="space"):
        Spool(small_disk / "home" / "spool.db")


def test_a_spool_of_a_later_format(tmp_path: Path) -> None:
    Spool(tmp_path / "spool.db").close()
    connection = sqlite3.connect(tmp_path / "spool.db")
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(HomeError, match=r"format 7.*knows format 1.*[Uu]pgrade"):
        Spool(tmp_path / "spool.db")


def test_a_database_of_something_else(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "spool.db")
    connection.execute("CREATE TABLE accounts (id)")
    connection.close()
    with pytest.raises(HomeError, match="something else"):
        Spool(tmp_path / "spool.db")
    connection = sqlite3.connect(tmp_path / "spool.db")
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("accounts",)], "it was written into"
    connection.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_text("not a database, but long enough to be looked at " * 100)
    with pytest.raises(HomeError, match="ove the file away"):
        Spool(tmp_path / "spool.db")


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeError, match="LINEAGE_FLOWS_HOME"):
        Spool(tmp_path / "home" / "spool.db")


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="cannot be opened"):
        Spool(tmp_path)


def test_a_home_that_cannot_be_made() -> None:
    with pytest.raises(HomeError, match="cannot be opened"):
        Spool(Path("/proc/lineage-flows/spool.db"))


def test_a_spool_that_was_removed_is_made_anew(spool: Spool) -> None:
    spool.accept(event(0))
    for file in spool.path.parent.iterdir():
        file.unlink()
    spool.path.parent.rmdir()
    spool.accept(event(1))
    other = Spool(spool.path)
    assert names(other) == names(spool) == [(0, 1)], "written into a file that nobody else sees"
    other.close()


def test_an_interrupted_writer_leaves_no_transaction_open(spool: Spool) -> None:
    def interrupt() -> None:
        with spool._database.write() as connection:
            connection.execute("INSERT INTO receivers VALUES ('x', 1)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    spool.accept(event(1))
    assert spool._database.read("SELECT * FROM receivers") == []
    assert names(spool) == [(0, 1)]


# ---------------------------------------------------------------------------------------------------------- pruning


def finished(spool: Spool, run: int) -> int:
    spool.accept(
        event(0, run=run, kind="START"),
        step(run, "t", run_id=event(0, run=run).run_id, root_run_id=event(0, run=run).run_id),
    )
    spool.accept(event(1, run=100 + run, root=run, kind="COMPLETE"))
    spool.accept(event(2, run=run, kind="COMPLETE"))
    return spool.last()


def test_only_what_everybody_has_of_runs_that_have_ended_is_dropped(spool: Spool) -> None:
    finished(spool, 0)
    last = finished(spool, 1)
    spool.accept(event(0, run=2, kind="START"))
    spool.accept(event(0, run=102, root=2, kind="COMPLETE"))
    last_of_all = finished(spool, 3)
    spool.acknowledge("a", last_of_all)
    spool.acknowledge("b", last)
    assert spool.prune([], older_than_days=0) == 0
    assert spool.prune(["a", "b", "new"], older_than_days=0) == 0
    assert spool.prune(["a", "b"], older_than_days=1) == 0
    spool.park("a", 1, "poison of run 0")
    assert spool.prune(["a", "b"], older_than_days=0) == 3
    assert {run % 100 for run, _ in names(spool)} == {0, 2, 3}
    assert spool.record(event(0, run=1).run_id) is None
    assert spool.record(event(0, run=3).run_id) is not None
    spool.acknowledge("b", last_of_all)
    assert spool.prune(["a", "b"], older_than_days=0) == 3
    assert {run % 100 for run, _ in names(spool)} == {0, 2}, "parked, and not ended"


def test_numbers_are_not_given_again_after_all_was_dropped(spool: Spool) -> None:
    last = finished(spool, 0)
    spool.acknowledge("r", last)
    assert spool.prune(["r"], older_than_days=0) == 3
    spool.accept(event(7))
    assert names(spool, "r") == [(0, 7)], "a receiver that has everything up to the old numbers would never get it"


def test_the_log_is_moved_into_the_file_by_who_delivers(spool: Spool) -> None:
    for number in range(1500):
        spool.accept(event(number, size=4000))
    assert spool.last() == 1500
    log = spool.path.with_name("spool.db-wal")
    assert log.stat().st_size > 6_000_000, "who reads does not wait for the disk"
    spool.acknowledge("r", 1500)
    for number in range(20):
        spool.accept(event(number))
    assert spool.last() == 1520
    assert log.stat().st_size <= 6_500_000
    assert spool.path.stat().st_size > 6_000_000
