"""Sees what ``urllib.request`` gets over HTTP, for whoever calls it: ``urlopen``, ``urlretrieve``, an opener, pandas.

Knows how an opener sends a request, and how ``http.client.HTTPResponse`` gives out the body. The answer stays the object that it
was: its class's readers are replaced, once, and look for a mark on the answers that are watched. The bytes are those that the flow
reads: as sent, since urllib undoes no Content-Encoding.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import unwrap, urlsplit

from lineage_flows.capture.adapters.bodies import Tee
from lineage_flows.capture.adapters.http import Asked, log_for
from lineage_flows.capture.adapters.shape import Patches, guarded
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.objects import Touch

__all__ = ["UrllibAdapter"]

_MARK = "_lineage_flows_body"
_READERS = {"read": "amt", "read1": "n", "readinto": "b", "readline": "limit", "peek": "n"}
"""What every other way of reading (``readlines``, iteration, ``readinto1``, a wrapper's) calls in the end."""

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_PARTIAL = 206


class UrllibAdapter:
    """Wraps the one method that every opener sends through, and the readers of answers."""

    name = "HTTP through urllib"
    module = "urllib.request"

    def __init__(self) -> None:
        self._patches = Patches("urllib")

    def install(self, module: ModuleType) -> None:
        """Wrap ``OpenerDirector.open``, and the methods of ``http.client.HTTPResponse`` that give out bytes."""
        if self._patches:
            return
        response: Any = getattr(getattr(getattr(module, "http", None), "client", None), "HTTPResponse", None)
        for name, parameter in _READERS.items():
            self._patches.wrap(response, name, ("self", parameter), functools.partial(_reader, name))
        error: Any = getattr(module, "HTTPError", ())
        opening = functools.partial(_opening, response, error)
        opener = getattr(module, "OpenerDirector", None)
        self._patches.wrap(opener, "open", ("self", "fullurl", "data", "timeout"), opening)

    def uninstall(self) -> None:
        """Give both classes their own functions back."""
        self._patches.undo()


# --------------------------------------------------------------------------------------------------------------- asking


def _opening(response: type, error: type[Exception], original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the library's own
        sent = _sent(args, kwargs, response, error)
        if sent is None:
            return original(self, *args, **kwargs)
        with sent:
            answer = original(self, *args, **kwargs)
        sent.given(answer)
        return answer

    return send


def _sent(args: tuple[Any, ...], kwargs: dict[str, Any], response: type, error: type[Exception]) -> _Sent | None:
    """The request that a call sends, if it is recorded; one of FTP's is only noted."""
    asked: Any = args[0] if args else kwargs.get("fullurl")
    data = args[1] if len(args) > 1 else kwargs.get("data")
    try:
        url = str(unwrap(asked)) if isinstance(asked, str) else str(asked.full_url)
        scheme = urlsplit(url).scheme.lower()
        if scheme not in {"http", "https", "ftp"}:
            return None  # a file is seen where it is opened; what a URL holds itself is no data of anybody else's
        log = log_for(url)
        if log is None:
            return None
        method = _method(asked, data)
    except (AttributeError, TypeError, ValueError):
        return None  # the library will say that it is no request
    if scheme == "ftp":
        Asked(log, "urllib", method, url)
        return None
    log.told.discard(("elsewhere", url))  # see `io_adapters`: what polars was asked for is read here
    return _Sent(log, method, url, response, error)


def _method(asked: Any, data: object) -> str:  # noqa: ANN401 - a URL, a Request, or what looks like one
    if isinstance(asked, str):
        return "GET" if data is None else "POST"
    method = str(asked.get_method()).upper()
    # The opener puts the data into the request first, which makes a POST of it where nobody has chosen.
    return "POST" if data is not None and method == "GET" and getattr(asked, "method", None) is None else method


class _Sent(Asked):
    """A request that an opener sends. An answer that says that it failed is raised, and is read like any other."""

    def __init__(self, log: FileLog, method: str, url: str, response: type, error: type[Exception]) -> None:
        super().__init__(log, "urllib", method, url)
        self._url = url
        self._response = response
        self._error = error

    def raised(self, error: Exception) -> None:
        """There is no answer, or there is one and it is an error."""
        if isinstance(error, self._error):
            self.given(error)
        else:
            super().raised(error)

    def given(self, answer: Any) -> None:  # noqa: ANN401 - a handler may answer with anything
        """There is an answer: of a GET it is what is read."""
        if self.method != "GET" or answer is None:
            return
        with guarded(self.log, f"recording {self.via}"):
            # A handler may put the answer into another object; the error of a status is one, too.
            body = answer if _is_plain(answer, self._response) else getattr(answer, "fp", None)
            headers = getattr(answer, "headers", None) or {}
            start, size, why = _extent(body, self._response, headers)
            status, found = getattr(answer, "status", None), getattr(answer, "url", None) or self._url
            touch = self.read(status, headers, str(found), size)
            encoding = headers.get("content-encoding", "identity").lower()
            if encoding != "identity" and not why:
                why = f"its bytes are those that were sent, in encoding {encoding}"
            if why:
                touch.note = "; ".join(note for note in (touch.note, why) if note)
            if start is not None:
                _watch(body, touch, start, size, self.log)


def _extent(body: Any, response: type, headers: Any) -> tuple[int | None, int | None, str]:  # noqa: ANN401 - as above
    """Where in the object the body begins (None: it is not watched), how long the object is if that is known, and what to note."""
    if not _is_plain(body, response):
        return None, None, f"not fingerprinted: the answer is no HTTPResponse but {type(body).__name__}"
    length = headers.get("content-length", "")
    read = body.chunk_left is not None if body.chunked else body.length and str(body.length) != length.strip()
    if read or body.fp is None:
        return None, None, "not fingerprinted: a handler of the opener read of it"
    if body.status != _PARTIAL:
        return 0, body.length, ""
    part = _RANGE.fullmatch(headers.get("content-range", ""))
    if part is None or headers.get("etag", "").startswith(
        "W/"
    ):  # parts that are alike, and not the same, make no whole
        return None, None, "not fingerprinted: only parts were asked for"
    return int(part[1]), int(part[2]), ""


def _is_plain(body: object, response: type) -> bool:
    """Whether it is the library's own answer; one of a class derived from it may read in its own way."""
    return type(body) is response


# -------------------------------------------------------------------------------------------------------------- reading


def _watch(body: Any, touch: Touch, start: int, size: int | None, log: FileLog) -> None:  # noqa: ANN401 - http.client's answer
    objects = log.objects
    assembly = objects.stream(touch) if body.status == _PARTIAL else objects.answer(touch, size)
    if assembly is not None:
        body.__dict__[_MARK] = _Body(Tee(assembly, start, log), log)


def _reader(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the library's own
        watched = self.__dict__.get(_MARK)
        if watched is None:
            return original(self, *args, **kwargs)
        return watched.call(name, original, self, args, kwargs)

    return read


class _Body:
    """The body of one answer, as far as it was read.

    One reader may call another (``readline`` of a chunked body calls ``peek`` and ``read``): what the outermost gives is what the
    flow gets. Once a reader has raised, or two threads have read at a time, nobody knows which bytes are gone: from then on nothing
    counts as read.
    """

    __slots__ = ("_any", "_log", "_lost", "_reading", "_tee", "_thread")

    def __init__(self, tee: Tee, log: FileLog) -> None:
        self._tee = tee
        self._log = log
        self._reading = threading.Lock()
        self._thread: int | None = None
        self._lost = False
        self._any = False

    def call(self, name: str, original: Callable[..., Any], body: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401 - as above
        """Call a reader, and tell of what it gave."""
        if not self._reading.acquire(blocking=False):
            if self._thread != threading.get_ident():
                self._lost = True
            return original(body, *args, **kwargs)
        self._thread = threading.get_ident()
        try:
            was_open = body.fp is not None
            try:
                given = original(body, *args, **kwargs)
            except BaseException:
                self._lost = True
                raise
            with guarded(self._log, "recording a body"):
                self._told(name, given, body, was_open, (*args, *kwargs.values()))
            return given
        finally:
            self._thread = None
            self._reading.release()

    def _told(self, name: str, given: Any, body: Any, was_open: bool, values: tuple[Any, ...]) -> None:  # noqa: ANN401
        if self._lost:
            return
        if name == "readinto":
            view = memoryview(values[0])
            if view.itemsize != 1 or not view.contiguous:
                self._lost = True  # the library counts items there, and bytes here
                return
            data = view[: given or 0]
        else:
            data = given
        if data and name != "peek":
            self._any = True
            self._tee.took(data)
        if self._at_end(name, body, was_open, values):
            self._tee.ended()

    def _at_end(self, name: str, body: Any, was_open: bool, values: tuple[Any, ...]) -> bool:  # noqa: ANN401
        """Whether this call came to the end of the body: http.client then lets go of the connection."""
        let_go = was_open and body.fp is None and not body.closed
        if not body.chunked:
            to_the_end = name == "read" and bool(values) and values[0] is not None and values[0] < 0
            return let_go or to_the_end
        # ``peek``, and ``readline`` through it, take a body that breaks off for one that ends; then the length of a chunk is left.
        return let_go and body.chunk_left is None and (self._any or name not in {"peek", "readline"})
