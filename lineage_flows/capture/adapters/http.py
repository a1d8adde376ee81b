"""Sees what requests and httpx get over HTTP.

Knows how both send a request and give out the answer. Every GET is a dataset that was read; what else is sent is only noted. What
Prefect asks of its own API is nobody's data. ``Asked`` is one request, whichever library sends it.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from lineage_flows.capture.adapters.bodies import Proxy, RawStream, Tee
from lineage_flows.capture.adapters.shape import Patches, guarded, the_log
from lineage_flows.capture.adapters.urls import target_of
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.ledger_log import covered_connections
from lineage_flows.capture.objects import Facts, Touch
from lineage_flows.capture.paths import printable
from lineage_flows.capture.streams import Assembly

__all__ = ["Asked", "HttpxAdapter", "RequestsAdapter", "log_for"]

_sending: ContextVar[bool] = ContextVar("lineage_flows_sending", default=False)
"""Set while a request is sent: redirects that are followed meanwhile are part of it."""

_PORTS = {"https": 443, "ftp": 21}


class RequestsAdapter:
    """Wraps the one function that every request of a session goes through."""

    name = "HTTP through requests"
    module = "requests.sessions"

    def __init__(self) -> None:
        self._patches = Patches("requests")

    def install(self, module: ModuleType) -> None:
        """Wrap ``Session.send``."""
        if not self._patches:
            self._patches.wrap(getattr(module, "Session", None), "send", ("self", "request"), _requests)

    def uninstall(self) -> None:
        """Give requests its own function back."""
        self._patches.undo()


class HttpxAdapter:
    """The same of httpx, sync and async."""

    name = "HTTP through httpx"
    module = "httpx"

    def __init__(self) -> None:
        self._patches = Patches("httpx")

    def install(self, module: ModuleType) -> None:
        """Wrap ``Client.send`` and ``AsyncClient.send``."""
        if not self._patches:
            self._patches.wrap(getattr(module, "Client", None), "send", ("self", "request"), _httpx)
            self._patches.wrap(getattr(module, "AsyncClient", None), "send", ("self", "request"), _httpx_async)

    def uninstall(self) -> None:
        """Give httpx its own functions back."""
        self._patches.undo()


def _requests(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Any, request: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the library takes and gives
        asked = _asked("requests", request)
        if asked is None:
            return original(self, request, **kwargs)
        with asked:
            answer = original(self, request, **kwargs)
        asked.answered(answer, _requests_content)
        return answer

    return send


def _httpx(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        asked = _asked("httpx", request)
        if asked is None:
            return original(self, request, *args, **kwargs)
        with asked:
            answer = original(self, request, *args, **kwargs)
        asked.answered(answer, _httpx_content)
        return answer

    return send


def _httpx_async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        asked = _asked("httpx", request)
        if asked is None:
            return await original(self, request, *args, **kwargs)
        with asked:
            answer = await original(self, request, *args, **kwargs)
        asked.answered(answer, _httpx_content)
        return answer

    return send


# ----------------------------------------------------------------------------------------------------------- one request


def _asked(library: str, request: Any) -> Asked | None:  # noqa: ANN401 - either library's
    """The request as it will be recorded; None when nobody's, Prefect's own, or part of another."""
    url, method = str(request.url), str(request.method).upper()
    log = log_for(url)
    return None if log is None else Asked(log, library, method, url)


def log_for(url: str) -> FileLog | None:
    """Where a request for this URL is recorded; None when it is nobody's, Prefect's own, or part of another."""
    if _sending.get():
        return None
    try:
        parts = urlsplit(url)
        return the_log(parts.hostname, parts.port or _PORTS.get(parts.scheme.lower(), 80))
    except ValueError:
        return None  # the library will say that it is no URL


class Asked:
    """A request of a run's, while it is entered being sent.

    Args:
        log: the run's.
        library: the name of the library that sends it.
        method: in capitals.
        url: as the flow wrote it.
    """

    def __init__(self, log: FileLog, library: str, method: str, url: str) -> None:
        self.log = log
        self.via = f"{library}.{method}"
        self.method = method
        with guarded(log, f"recording {self.via}"):
            self.target = target_of(url)
            log.cannot_restore(f"{method} {printable(self.target.uri)}", self.target.uri)

    def __enter__(self) -> None:
        self._token = _sending.set(True)
        self._connections = covered_connections(self.via)
        self._connections.__enter__()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._connections.__exit__(None, None, None)
        _sending.reset(self._token)
        if isinstance(error, Exception):
            self.raised(error)

    def raised(self, error: Exception) -> None:
        """There is no answer."""
        with guarded(self.log, f"recording {self.via}"):
            what = f"{self.method} {printable(self.target.uri)}: {type(error).__name__}"
            self.log.cannot_restore(what, self.target.uri)

    def answered(self, answer: Any, content: Callable[[Any, FileLog, Touch], None]) -> None:  # noqa: ANN401 - as above
        """There is an answer: of a GET it is what was read."""
        if self.method != "GET":
            return
        with guarded(self.log, f"recording {self.via}"):
            headers = answer.headers
            encoded = headers.get("content-encoding", "identity").lower() != "identity"
            length = headers.get("content-length", "")
            size = int(length) if length.isdigit() and not encoded else None
            touch = self.read(int(answer.status_code), headers, str(answer.url), size)
            content(answer, self.log, touch)

    def read(self, status: int | None, headers: Mapping[str, str], url: str, size: int | None) -> Touch:
        """What was read is this answer; ``url`` is where it was found, ``size`` how many bytes it has, if known."""
        facts = Facts(etag=headers.get("etag", "").strip('"') or None, status=status)
        touch = self.log.objects.read(self.target, self.via, facts, size=size)
        final = target_of(url).uri
        if final != self.target.uri:
            touch.note = f"redirected to {printable(final)}"
        return touch


def _requests_content(answer: Any, log: FileLog, touch: Touch) -> None:  # noqa: ANN401 - a response of requests
    content = answer.__dict__.get("_content")
    if isinstance(content, bytes):
        log.objects.received(touch, content)
        return
    assembly = log.objects.answer(touch, touch.size)
    if assembly is not None and hasattr(answer.raw, "read"):
        answer.raw = RawStream(answer.raw, Tee(assembly, 0, log))


def _httpx_content(answer: Any, log: FileLog, touch: Touch) -> None:  # noqa: ANN401 - a response of httpx
    if hasattr(answer, "_content"):
        log.objects.received(touch, answer.content)
        return
    encoding = answer.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "deflate"):
        touch.note = f"not fingerprinted: streamed in encoding {encoding}"
        return
    assembly = log.objects.answer(touch, touch.size)
    if assembly is not None:
        tee = Tee(assembly, 0, log) if encoding == "identity" else _Inflating(assembly, log)
        answer.stream = _Stream(answer.stream, tee)


class _Inflating(Tee):
    """Takes a compressed stream, and hands on what it holds."""

    def __init__(self, assembly: Assembly, log: FileLog) -> None:
        super().__init__(assembly, 0, log)
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def took(self, data: bytes | bytearray | memoryview) -> None:
        """These compressed bytes came next."""
        with guarded(self._log, "recording a compressed stream"):
            super().took(self._inflate.decompress(data))

    def ended(self) -> None:
        """Nothing more comes; a stream that was cut off is not whole."""
        if self._inflate.eof:
            super().ended()


class _Stream(Proxy):
    """A stream of bytes of httpx's, sync or async."""

    def __init__(self, stream: Any, tee: Tee) -> None:  # noqa: ANN401 - httpx's
        super().__init__(stream)
        self._self_tee = tee

    def __iter__(self) -> Iterator[bytes]:
        for data in self.__wrapped__:
            self._self_tee.took(data)
            yield data
        self._self_tee.ended()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self.__wrapped__:
            self._self_tee.took(data)
            yield data
        self._self_tee.ended()
