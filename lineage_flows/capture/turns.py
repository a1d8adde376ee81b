"""Takes turns with a generator task: what its code touches while it runs is its step's, what its reader touches is not.

Knows generators, and which step is active; must not know Prefect. A relay is a generator itself and hands everything on: values,
what is sent or thrown in, the end and its value.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar, Token
from functools import partial
from typing import TYPE_CHECKING, Any

from lineage_flows.capture import files
from lineage_flows.capture.live import current_step

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lineage_flows.capture.live import LiveStep

__all__ = ["Turn", "current_turn", "relay", "relay_async"]


class Turn:
    """The turns of one generator. Whose it is, ``attempt`` says during the first."""

    __slots__ = ("_activation", "_step", "_step_token", "_token")

    def __init__(self) -> None:
        self._step: LiveStep | None = None
        self._activation: AbstractContextManager[None] | None = None
        self._token: Token[Turn | None] | None = None
        self._step_token: Token[LiveStep | None] | None = None

    def __enter__(self) -> None:
        self._token = current_turn.set(self)
        self._activate()

    def __exit__(self, *_: object) -> None:
        self._deactivate()
        if self._token is not None:
            current_turn.reset(self._token)
            self._token = None

    def attempt(self, step: LiveStep) -> None:
        """The code that runs now is that of an attempt of this step, until the turn ends."""
        self._deactivate()
        self._step = step
        self._activate()

    def _activate(self) -> None:
        if self._step is not None:
            self._step_token = current_step.set(self._step)
            self._activation = files.activate(self._step.files)
            self._activation.__enter__()

    def _deactivate(self) -> None:
        if self._activation is not None:
            self._activation.__exit__(None, None, None)
            self._activation = None
        if self._step_token is not None:
            current_step.reset(self._step_token)
            self._step_token = None


current_turn: ContextVar[Turn | None] = ContextVar("lineage_flows_turn", default=None)


def relay(turn: Turn, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """The same generator, with its turns taken."""
    resume: Callable[[], Any] = partial(next, generator)
    while True:
        try:
            with turn:
                value = resume()
        except StopIteration as end:
            return end.value
        try:
            sent = yield value
        except GeneratorExit:
            with turn:
                generator.close()
            raise
        except BaseException as error:  # noqa: BLE001 - it is the generator's
            resume = partial(generator.throw, error)
        else:
            resume = partial(generator.send, sent)


async def relay_async(turn: Turn, generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """The same asynchronous generator, with its turns taken."""
    resume: Callable[[], Any] = generator.__anext__
    while True:
        try:
            with turn:
                value = await resume()
        except StopAsyncIteration:
            return
        try:
            sent = yield value
        except GeneratorExit:
            with turn:
                await generator.aclose()
            raise
        except BaseException as error:  # noqa: BLE001 - it is the generator's
            resume = partial(generator.athrow, error)
        else:
            resume = partial(generator.asend, sent)
