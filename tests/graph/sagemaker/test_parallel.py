"""Work side by side, and one at a time between processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.errors import GraphError
from lineage_flows.graph.sagemaker.parallel import in_parallel
from lineage_flows.graph.sagemaker.turn import turn

forked = multiprocessing.get_context("fork")


@given(items=st.lists(st.integers()), workers=st.integers(1, 9))
def test_each_item_has_one_outcome(items: list[int], workers: int) -> None:
    def work(item: int) -> int:
        if item % 3 == 0:
            raise ValueError(item)
        return item * 2

    found = sorted((item, result, str(error)) for item, result, error in in_parallel(work, items, workers) if error)
    assert found == sorted((item, None, str(item)) for item in items if item % 3 == 0)
    done = sorted((item, result) for item, result, error in in_parallel(work, items, workers) if not error)
    assert done == sorted((item, item * 2) for item in items if item % 3)


def test_they_are_done_at_the_same_time_and_only_so_many() -> None:
    meeting = threading.Barrier(4, timeout=10)
    assert len(list(in_parallel(lambda _: meeting.wait(), range(8), 4))) == 8


def test_who_stops_asking_stops_the_work_soon() -> None:
    done: list[int] = []
    for item, _, _ in in_parallel(lambda item: done.append(item), range(1000), 4):
        if item >= 0:
            break
    done_then = len(done)
    assert done_then <= 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lineage-flows-sagemaker")]
    assert len(done) == done_then


def test_a_thread_waits_for_its_turn_and_gives_up(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with turn(path), pytest.raises(GraphError, match="another thread"), turn(path, wait=0.05):
        pass
    with turn(path, wait=0.05):
        pass


def test_a_process_waits_for_another_and_goes_on_when_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    began, held = os.pipe()

    def hold() -> None:
        with turn(path):
            os.write(held, b"x")
            threading.Event().wait()

    child = forked.Process(target=hold)
    child.start()
    os.read(began, 1)
    with pytest.raises(GraphError, match="another process"), turn(path, wait=0.1):
        pass
    child.kill()
    child.join()
    with turn(path, wait=5):
        pass


def test_a_forked_child_does_not_inherit_the_turn(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    def take() -> None:
        try:
            with turn(path, wait=0.1):
                os._exit(1)
        except GraphError:
            os._exit(0)

    with turn(path):
        child = forked.Process(target=take)
        child.start()
        child.join()
    assert child.exitcode == 0
