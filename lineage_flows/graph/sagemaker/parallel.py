"""Work done side by side in threads that nobody has to wait for.

Knows threads only. ``concurrent.futures`` would do, but for one thing: the interpreter waits for its threads when it ends, and a
process that must end does not wait for AWS.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

__all__ = ["in_parallel"]

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_parallel(
    work: Callable[[_T], _R], items: Sequence[_T], workers: int
) -> Iterator[tuple[_T, _R | None, BaseException | None]]:
    """Do some work for each item: what came of each, as it comes. Who stops asking leaves the items that were not begun undone.

    When it ends nothing is under way any more.

    Args:
        work: called in another thread, or in this one for a single item.
        items: what is to be done.
        workers: how many at once, at most.

    Yields:
        The item, the result, and the exception in its place.
    """
    if len(items) <= 1 or workers <= 1:
        for item in items:
            yield (item, *_try(work, item))
        return
    waiting: queue.SimpleQueue[_T] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[_T, _R | None, BaseException | None]] = queue.SimpleQueue()
    stopping = threading.Event()
    ahead = threading.Semaphore(workers)  # of what was looked at: who stops asking after a failure stops the calls, too
    for item in items:
        waiting.put(item)

    def serve() -> None:
        while ahead.acquire() and not stopping.is_set():
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            done.put((item, *_try(work, item)))

    threads = [
        threading.Thread(target=serve, name=f"lineage-flows-sagemaker-{number}", daemon=True)
        for number in range(min(workers, len(items)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in items:
            came = done.get()
            yield came
            ahead.release()
    finally:
        stopping.set()
        ahead.release(workers)
        for thread in threads:  # what is under way must not land after what the caller does next
            thread.join()


def _try(work: Callable[[_T], _R], item: _T) -> tuple[_R | None, BaseException | None]:
    try:
        return work(item), None
    except BaseException as error:  # noqa: BLE001 - handed to the caller, who waits for it and knows what it means
        return None, error
