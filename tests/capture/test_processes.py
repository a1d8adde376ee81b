"""Programs and processes that a step starts: real ones, by every way Python has, with how they ended."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from lineage_flows.capture import processes
from tests.support.ledgers import gaps, ledger, tally, texts, watching


@pytest.fixture(autouse=True)
def watched() -> Iterator[None]:
    with watching():
        yield


def no_work() -> None:
    pass


LOST = "what it read and wrote is not recorded; "


def test_a_program_is_named_with_its_arguments_and_exit_code() -> None:
    found = ledger(lambda: subprocess.run(["true", "--token=hunter2", "x"], check=True))
    (gap,) = gaps(found)
    assert (gap.kind, gap.what, gap.count) == ("process", "starts true --token=*** x (exit 0)", 1)
    assert gap.consequence == LOST + "a replay puts the step's result in place"
    assert gap.unrestorable == "program true"
    assert tally(found, "process") == (1, 0)


def test_what_is_not_restored_is_done_again() -> None:
    (gap,) = gaps(ledger(lambda: subprocess.run(["true"], check=True), restored=False))
    assert gap.consequence == LOST + "a replay does it again"


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (lambda: subprocess.run(["sh", "-c", "exit 3"], check=False), ["starts sh -c 'exit 3' (exit 3)"]),
        (lambda: subprocess.run("exit 4", shell=True, check=False), ["starts sh -c 'exit 4' (exit 4)"]),
        (lambda: subprocess.run(b"exit 5", shell=True, check=False), ["starts sh -c 'exit 5' (exit 5)"]),
        (lambda: subprocess.run([b"true", b"\xff"], check=False), [r"starts true \xff (exit 0)"]),
        (lambda: subprocess.call(["true", Path("/x")]), ["starts true /x (exit 0)"]),
        (lambda: subprocess.check_output(["echo", "a"]), ["starts echo a (exit 0)"]),
        (lambda: subprocess.run(["true"], cwd="/", check=False), ["starts true in / (exit 0)"]),
        (lambda: subprocess.run(["wrong"], executable="true", check=False), ["starts true (exit 0)"]),
        (lambda: os.system("true a"), ["starts true a (exit code not known)"]),
        (lambda: os.waitpid(os.posix_spawnp("true", ["true", "b"], {}), 0), ["starts true b (exit code not known)"]),
        (lambda: os.popen("true c").close(), ["starts sh -c 'true c' (exit 0)"]),
        (lambda: subprocess.run(["uname"], check=True, capture_output=True), []),
    ],
)
def test_every_way_to_start_a_program(start: object, said: list[str]) -> None:
    assert texts(ledger(start)) == said  # type: ignore[arg-type]


def test_a_killed_child_says_by_what() -> None:
    def step() -> None:
        for how in (signal.SIGKILL, signal.SIGTERM, 40):
            child = subprocess.Popen(["sleep", "60"])
            child.send_signal(how)
            child.wait()

    assert texts(ledger(step)) == [
        "starts sleep 60 (killed by SIGKILL)",
        "starts sleep 60 (killed by SIGTERM)",
        "starts sleep 60 (killed by signal 40)",
    ]


def test_a_program_that_outlives_the_step_is_neither_waited_for_nor_kept() -> None:
    left: list[weakref.ref[object]] = []
    pids: list[int] = []

    def step() -> None:
        child = subprocess.Popen(["sleep", "60"])
        left.append(weakref.ref(child))
        pids.append(child.pid)
        child.returncode = 0  # so that nothing warns of it when it is forgotten

    try:
        assert texts(ledger(step)) == ["starts sleep 60 (exit code not known)"]
        gc.collect()
        assert left[0]() is None
        os.kill(pids[0], 0)  # it runs on
    finally:
        os.kill(pids[0], signal.SIGKILL)
        os.waitpid(pids[0], 0)


def test_a_program_that_does_not_exist_raises_as_ever() -> None:
    def step() -> None:
        with pytest.raises(FileNotFoundError):
            subprocess.run(["/no/such/program"], check=False)

    assert texts(ledger(step)) == ["starts program (exit 255)"]


def test_programs_of_an_event_loop() -> None:
    async def one(code: int) -> int:
        child = await asyncio.create_subprocess_exec("sh", "-c", f"exit {code}")
        return await child.wait()

    async def both() -> list[int]:
        return await asyncio.gather(one(1), one(2))

    answers: list[list[int]] = []
    found = ledger(lambda: answers.append(asyncio.run(both())))
    assert answers == [[1, 2]]
    assert set(texts(found, "process")) == {"starts sh -c 'exit 1' (exit 1)", "starts sh -c 'exit 2' (exit 2)"}


def test_a_fork_is_named_and_the_child_goes_on_unwatched() -> None:
    def step() -> None:
        pid = os.fork()
        if pid == 0:
            try:
                subprocess.run(["true"], check=True)
                os.environ.get("HOME")
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

    found = ledger(step)
    assert texts(found) == ["forks itself"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_are_named_by_what_they_run(method: str) -> None:
    def step() -> None:
        child = multiprocessing.get_context(method).Process(target=no_work)
        child.start()
        child.join()
        assert child.exitcode == 0

    said = f"starts a process of multiprocessing that runs {__name__}.no_work (exit 0)"
    assert texts(ledger(step), "process") == [said]


def test_the_workers_of_a_pool_are_one_gap() -> None:
    def step() -> None:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            assert list(pool.map(abs, [-1, -2, -3])) == [1, 2, 3]

    (gap,) = gaps(ledger(step), "process")
    assert gap.what.startswith(
        "starts a process of multiprocessing that runs concurrent.futures.process._process_worker"
    )
    assert gap.count >= 1


def test_thousands_of_programs_are_counted() -> None:
    """The audit event alone: nothing is started."""

    def step() -> None:
        for number in range(1000):
            sys.audit("subprocess.Popen", "true", ["true", str(number)], None, None)

    found = ledger(step)
    assert tally(found, "process") == (1000, 0)
    assert len(found.gaps) == 200
    assert found.left_out == 800


def test_pythons_own_methods_come_back() -> None:
    before = subprocess.Popen.__dict__["_handle_exitstatus"], multiprocessing.process.BaseProcess.__dict__["start"]
    processes.uninstall()
    after = subprocess.Popen.__dict__["_handle_exitstatus"], multiprocessing.process.BaseProcess.__dict__["start"]
    assert all(ours is not own for ours, own in zip(before, after, strict=True))
    assert "lineage_flows" not in after[0].__code__.co_filename
    assert pickle.loads(pickle.dumps(subprocess.Popen)) is subprocess.Popen
