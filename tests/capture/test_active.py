from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable

from lineage_flows.capture.active import Active, is_unobserved, unobserved


def in_thread(work: Callable[[], object], *, context: contextvars.Context | None = None) -> object:
    found: list[object] = []

    def run() -> None:
        found.append(work() if context is None else context.run(work))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def test_the_innermost_is_meant_and_then_the_one_around() -> None:
    active: Active[str] = Active("test")
    assert active.current() is None
    with active.activate("outer"):
        with active.activate("inner"):
            assert active.current() == "inner"
        assert active.current() == "outer"
    assert active.current() is None
    assert not active.any


def test_nothing_is_meant_where_nothing_is_observed() -> None:
    active: Active[str] = Active("test")
    with active.activate("run"):
        with unobserved(), unobserved():
            assert is_unobserved()
            assert active.current() is None
            assert in_thread(active.current, context=contextvars.copy_context()) is None
        assert active.current() == "run"


def test_a_context_outlives_its_run() -> None:
    active: Active[str] = Active("test")
    with active.activate("flow"):
        with active.activate("step"):
            context = contextvars.copy_context()
            assert context.run(active.current) == "step"
        assert context.run(active.current) == "flow"
    assert context.run(active.current) is None
    with active.activate("another flow"):
        assert context.run(active.current) is None


def test_a_thread_without_context() -> None:
    active: Active[str] = Active("test")
    assert in_thread(active.current) is None
    with active.activate("flow"):
        assert in_thread(active.current) == "flow"
        with active.activate("step"):
            assert in_thread(active.current) == "step"


def test_a_thread_without_context_among_several_runs() -> None:
    active: Active[str] = Active("test")
    barrier, done = threading.Barrier(3), threading.Event()

    def step(name: str) -> None:
        with active.activate(name):
            barrier.wait()
            done.wait()

    for same_flow, expected in ((True, "flow"), (False, None)):
        barrier, done = threading.Barrier(3), threading.Event()
        with active.activate("flow"):
            contexts = [contextvars.copy_context() if same_flow else contextvars.Context() for _ in range(2)]
            threads = [threading.Thread(target=c.run, args=(step, n)) for c, n in zip(contexts, "ab", strict=True)]
            for thread in threads:
                thread.start()
            barrier.wait()
            found = in_thread(active.current)
            done.set()
            for thread in threads:
                thread.join()
        assert found == expected


async def test_coroutines_have_their_own() -> None:
    active: Active[int] = Active("test")

    async def run(number: int) -> list[int | None]:
        with active.activate(number):
            found = []
            for _ in range(5):
                await asyncio.sleep(0)
                found.append(active.current())
            return found

    assert await asyncio.gather(*(run(number) for number in range(5))) == [[number] * 5 for number in range(5)]


def test_a_generator_that_is_closed_elsewhere() -> None:
    active: Active[str] = Active("test")

    def work():
        with active.activate("run"):
            yield

    generator = work()
    context = contextvars.copy_context()
    context.run(next, generator)
    generator.close()  # in another context than it was begun in
    assert context.run(active.current) is None
    assert not active.any
