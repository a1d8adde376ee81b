"""What the first page of a list was taken from, kept for the pages that follow.

Knows sizes, and nothing of what it keeps.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sized
from typing import Generic, TypeVar

__all__ = ["AnswerCache"]

_Asked = TypeVar("_Asked", bound=Hashable)
_Answer = TypeVar("_Answer", bound=Sized)


class AnswerCache(Generic[_Asked, _Answer]):
    """The latest answers, so that what has many pages is found once. Safe for threads.

    An answer whose page is asked for stays what it was when its first page was, whatever is written in between; one that had to
    make room is found anew, and goes on after the place where the last page ended.
    """

    def __init__(self, most: int = 250_000) -> None:
        """Keep answers of ``most`` entities and associations (whatever an answer counts as its length) together."""
        self._most = most
        self._lock = threading.Lock()
        self._answers: OrderedDict[_Asked, _Answer] = OrderedDict()

    def get(self, asked: _Asked) -> _Answer | None:
        """What the latest first page of this was taken from, if it is still there."""
        with self._lock:
            answer = self._answers.get(asked)
            if answer is not None:
                self._answers.move_to_end(asked)
            return answer

    def keep(self, asked: _Asked, answer: _Answer) -> None:
        """Keep an answer; the ones that were not asked for longest make room."""
        with self._lock:
            self._answers[asked] = answer
            self._answers.move_to_end(asked)
            while self._answers and sum(map(len, self._answers.values())) > self._most:
                self._answers.popitem(last=False)
