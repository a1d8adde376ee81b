"""The first write waits for the code to be recorded, and for nothing else."""

from __future__ import annotations

import threading

from lineage_flows.capture import snapshot_gate


def test_a_write_waits_until_the_tree_is_recorded():
    gate = snapshot_gate.begin()
    order: list[str] = []
    writing = threading.Event()

    def write() -> None:
        writing.set()
        snapshot_gate.wait()
        order.append("written")

    thread = threading.Thread(target=write)
    thread.start()
    assert writing.wait(10)
    order.append("recorded")
    snapshot_gate.end(gate)
    thread.join(10)
    assert order == ["recorded", "written"]


def test_nothing_waits_when_nothing_is_recorded():
    snapshot_gate.wait()
    gate = snapshot_gate.begin()
    snapshot_gate.end(gate)
    snapshot_gate.end(gate)
    snapshot_gate.wait()


def test_two_recordings_are_both_waited_for():
    first, second = snapshot_gate.begin(), snapshot_gate.begin()
    snapshot_gate.end(first)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (snapshot_gate.wait(), done.set()))
    thread.start()
    assert not done.is_set()
    snapshot_gate.end(second)
    assert done.wait(10)
    thread.join(10)
