"""Turns of generators: the code between two yields is the step's, the reader's is not, and nothing else changes."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest

from lineage_flows.capture import audit, files
from lineage_flows.capture.live import current_step
from lineage_flows.capture.turns import Turn, current_turn, relay, relay_async


@pytest.fixture(autouse=True)
def watching():
    audit.install()
    yield
    audit.pause()


def step():
    return SimpleNamespace(files=files.FileLog(None, size_cap=1 << 20))


def names(log) -> list[str]:
    return [data.name.rpartition("/")[2] for data in log.close().datasets]


def test_files_of_each_side_are_its_own(tmp_path):
    generating, reading = step(), step()
    inside: list[object] = []

    def body():
        current_turn.get().attempt(generating)
        for i in range(2):
            inside.append(current_step.get())
            (tmp_path / f"made-{i}").write_text("x")
            yield i

    with files.activate(reading.files):
        for i in relay(Turn(), body()):
            assert current_step.get() is None
            assert current_turn.get() is None
            (tmp_path / f"read-{i}").write_text("x")
    assert inside == [generating, generating]
    assert names(generating.files) == ["made-0", "made-1"]
    assert names(reading.files) == ["read-0", "read-1"]


def test_it_hands_on_what_is_sent_thrown_in_and_returned():
    seen: list[object] = []

    def body():
        seen.append((yield 1))
        try:
            yield 2
        except KeyError as error:
            seen.append(type(error))
        yield 3
        return "the end"

    generator = relay(Turn(), body())
    assert next(generator) == 1
    assert generator.send("sent") == 2
    assert generator.throw(KeyError("thrown")) == 3
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert (end.value.value, seen) == ("the end", ["sent", KeyError])


def test_its_own_errors_pass_and_leave_no_turn():
    def body():
        current_turn.get().attempt(step())
        yield 1
        raise ValueError("its own")

    generator = relay(Turn(), body())
    next(generator)
    with pytest.raises(ValueError, match="its own"):
        next(generator)
    assert current_turn.get() is None
    assert current_step.get() is None


def test_who_leaves_it_closes_it():
    closed: list[str] = []

    def body():
        try:
            yield 1
            yield 2
        finally:
            closed.append("closed")

    for _ in relay(Turn(), body()):
        break
    gc.collect()
    assert closed == ["closed"]


async def test_an_asynchronous_one_is_handed_on_likewise():
    seen: list[object] = []
    mine = step()

    async def body():
        current_turn.get().attempt(mine)
        try:
            seen.append((yield 1))
            seen.append(current_step.get())
            yield 2
        except KeyError:
            yield 3
        finally:
            seen.append("closed")

    generator = relay_async(Turn(), body())
    assert await generator.__anext__() == 1
    assert current_step.get() is None
    assert await generator.asend("sent") == 2
    assert await generator.athrow(KeyError()) == 3
    await generator.aclose()
    assert seen == ["sent", mine, "closed"]
    assert [value async for value in relay_async(Turn(), _two())] == [1, 2]


async def _two():
    yield 1
    yield 2
