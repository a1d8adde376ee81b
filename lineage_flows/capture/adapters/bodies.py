"""Puts itself between a library and the stream it reads, and tells an assembly of what comes through.

Knows how urllib3, aiohttp and httpx give out bytes. Every method does what it did, in the same pieces, with the same exceptions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import wrapt

from lineage_flows.capture.adapters.shape import guarded
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.streams import Assembly

if TYPE_CHECKING:
    Proxy = wrapt.ObjectProxy[Any]
else:
    Proxy = wrapt.ObjectProxy  # before 2.0 it has no parameter

__all__ = ["Proxy", "Tee", "watch_async_body", "watch_body"]


class Tee:
    """Counts where in the object the stream is, and hands on what was read."""

    def __init__(self, assembly: Assembly, start: int, log: FileLog) -> None:
        self._assembly = assembly
        self._position = start
        self._log = log

    def took(self, data: bytes | bytearray | memoryview) -> None:
        """These bytes came next."""
        with guarded(self._log, "recording a stream"):
            self._assembly.feed(self._position, data)
            self._position += len(data)

    def ended(self) -> None:
        """Nothing more comes."""
        with guarded(self._log, "recording a stream"):
            self._assembly.ended()


class RawStream(Proxy):
    """A urllib3 response, or any file-like object, whose reader is seen."""

    def __init__(self, stream: Any, tee: Tee) -> None:  # noqa: ANN401 - any stream
        super().__init__(stream)
        self._self_tee = tee

    def _self_told(self, data: Any, *, at_end: bool) -> Any:  # noqa: ANN401 - bytes, but who knows
        if data:
            self._self_tee.took(data)
        if at_end:
            self._self_tee.ended()
        return data

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the stream's own
        data = self.__wrapped__.read(amt, *args, **kwargs)
        return self._self_told(data, at_end=amt is None or amt < 0 or (not data and amt > 0))

    def read1(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        return self._self_told(self.__wrapped__.read1(*args, **kwargs), at_end=False)

    def readinto(self, buffer: Any) -> Any:  # noqa: ANN401 - as above
        count = self.__wrapped__.readinto(buffer)
        self._self_told(bytes(memoryview(buffer)[: count or 0]), at_end=count == 0 and len(buffer) > 0)
        return count

    def readline(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        return self._self_told(self.__wrapped__.readline(*args, **kwargs), at_end=False)

    def readlines(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        lines = self.__wrapped__.readlines(*args, **kwargs)
        self._self_told(b"".join(lines), at_end=not args and not kwargs)
        return lines

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:  # noqa: ANN401 - as above
        for data in self.__wrapped__.stream(*args, **kwargs):
            self._self_tee.took(data)
            yield data
        self._self_tee.ended()

    def __iter__(self) -> Iterator[Any]:
        for data in self.__wrapped__:
            self._self_tee.took(data)
            yield data
        self._self_tee.ended()

    def __next__(self) -> Any:  # noqa: ANN401 - as above
        return self._self_told(next(self.__wrapped__), at_end=False)


class AsyncContent(Proxy):
    """aiohttp's reader of a response's content."""

    def __init__(self, content: Any, tee: Tee) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(content)
        self._self_tee = tee

    async def read(self, n: int = -1) -> Any:  # noqa: ANN401 - as the stream's own
        data = await self.__wrapped__.read(n)
        if data:
            self._self_tee.took(data)
        if n < 0 or (not data and n > 0):
            self._self_tee.ended()
        return data


class AsyncRaw(Proxy):
    """aiohttp's response, which keeps its reader under ``content``."""

    def __init__(self, response: Any, tee: Tee) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(response)
        self._self_content = AsyncContent(response.content, tee)

    @property
    def content(self) -> Any:  # noqa: ANN401 - aiohttp's
        return self._self_content


class AsyncBytes(Proxy):
    """httpx's response as aiobotocore reads it: by ``aiter_raw``."""

    def __init__(self, response: Any, tee: Tee) -> None:  # noqa: ANN401 - httpx's
        super().__init__(response)
        self._self_tee = tee

    async def aiter_raw(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - as above
        async for data in self.__wrapped__.aiter_raw(*args, **kwargs):
            self._self_tee.took(data)
            yield data
        self._self_tee.ended()


def watch_body(body: Any, assembly: Assembly, start: int, log: FileLog) -> bool:  # noqa: ANN401 - botocore's StreamingBody
    """See what is read of botocore's body of a response; False when it is not built as is known."""
    raw = getattr(body, "__dict__", {}).get("_raw_stream")
    if raw is None or not hasattr(raw, "read"):
        return False
    body._raw_stream = RawStream(raw, Tee(assembly, start, log))
    return True


def watch_async_body(body: Any, assembly: Assembly, start: int, log: FileLog) -> bool:  # noqa: ANN401 - aiobotocore's
    """The same of aiobotocore's, over aiohttp or httpx."""
    raw = getattr(body, "__dict__", {}).get("_raw_stream")
    if hasattr(getattr(raw, "content", None), "read"):
        body._raw_stream = AsyncRaw(raw, Tee(assembly, start, log))
    elif hasattr(raw, "aiter_raw"):
        body._raw_stream = AsyncBytes(raw, Tee(assembly, start, log))
    else:
        return False
    return True
