"""SageMaker's protocol over HTTP: AWS JSON 1.1, a POST to ``/`` whose header ``X-Amz-Target`` names the operation.

Knows HTTP and the table of operations; must not know what an operation means. Signatures are not verified: whoever reaches the
port may write. So only loopback is listened on unless told otherwise, and a request has to name a host that is loopback: a web
page in a browser can make a name of its own mean 127.0.0.1, and the browser then lets it talk to us.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import socket
import struct
import threading
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import orjson

from lineage_flows.endpoint.errors import (
    ServiceError,
    access_refused,
    conflict,
    internal,
    serialization,
    throttled,
    too_large,
    unknown_operation,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from lineage_flows.endpoint.faults import Dice
    from lineage_flows.endpoint.service import Service

__all__ = ["LARGEST_REQUEST", "WireServer", "is_loopback"]

LARGEST_REQUEST = 4 << 20
"""Bytes of a body. The largest request that SageMaker's limits allow has a quarter of it."""

_log = logging.getLogger(__name__)
_IDLE_SECONDS = 300.0
_MEDIA_TYPE = "application/x-amz-json-1.1"
_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:\[\]]*)(?::[0-9]{1,5})?")


class _NoAnswerError(Exception):
    """The connection ends without an answer."""

    def __init__(self, *, reset: bool) -> None:
        self.reset = reset
        super().__init__()


def is_loopback(host: str) -> bool:
    """Whether a host, as a URL or a ``Host`` header names it without its port, is this machine for itself alone."""
    name = host.strip("[]").rstrip(".").casefold()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class WireServer(ThreadingHTTPServer):
    """Listens, with a thread for each connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], service: Service, dice: Dice, *, allowed_hosts: Collection[str] = ()
    ) -> None:
        self.service = service
        self.dice = dice
        self.calls: Counter[str] = Counter()
        self.closing = threading.Event()
        self._allowed = {host.casefold() for host in allowed_hosts}
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server who we are, as the base class does."""
        socket_address = self.server_address
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(socket_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def names_us(self, header: str | None) -> bool:
        """Whether a ``Host`` header names this endpoint."""
        match = _HOST.fullmatch(header or "")
        if match is None:
            return False
        return is_loopback(match["name"]) or match["name"].casefold() in self._allowed

    def count(self, operation: str) -> None:
        """Count a request by its operation, whatever becomes of it."""
        with self._lock:
            self.calls[operation] += 1

    def enter(self, connection: socket.socket) -> None:
        """A connection has begun, in this thread."""
        with self._lock:
            self._connections[connection] = threading.current_thread()

    def leave(self, connection: socket.socket) -> None:
        """A connection has ended."""
        with self._lock:
            self._connections.pop(connection, None)

    def stop(self, *, seconds: float = 10.0) -> None:
        """Stop listening; let what is being carried out end, and wait for it."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            open_connections = dict(self._connections)
        for connection in open_connections:
            with contextlib.suppress(OSError):  # those that wait for a next request get the end of the stream
                connection.shutdown(socket.SHUT_RD)
        for thread in open_connections.values():
            thread.join(seconds)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away in the middle are no news."""


class _Handler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    server: WireServer
    protocol_version = "HTTP/1.1"
    server_version = "lineage-flows"
    sys_version = ""
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle(self) -> None:
        """Serve until the client closes, the endpoint stops, or a fault ends the connection."""
        self.server.enter(self.connection)
        try:
            with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
                super().handle()
        except _NoAnswerError as ended:
            self._cut(reset=ended.reset)
        finally:
            self.server.leave(self.connection)

    def do_POST(self) -> None:
        """One call of an operation."""
        try:
            status, answer = 200, self._called()
        except ServiceError as error:
            status, answer = error.status, {"__type": error.code, "message": error.message}
        except _NoAnswerError:
            raise
        except Exception as error:  # noqa: BLE001 - the last boundary: it is told to the client, and logged
            # One request that the endpoint cannot cope with takes down neither the others nor the connection.
            _log.exception("the endpoint failed at %s", self.headers.get("X-Amz-Target"))
            status, answer = 500, {"__type": "InternalFailure", "message": f"{type(error).__name__}: {error}"}
        self._send(status, answer)

    def do_GET(self) -> None:
        """Nothing here answers to anything but POST; who asks in another way is told what this is."""
        self.close_connection = True
        message = "This is an endpoint of SageMaker's API (lineage): POST, with the header X-Amz-Target."
        self._send(404, {"__type": "UnknownOperationException", "message": message})

    do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = do_GET  # noqa: N815 - the base class looks for these names

    def _called(self) -> dict[str, object]:
        body = self._body()
        if not self.server.names_us(self.headers.get("Host")):
            raise access_refused("The Host header names no loopback address; see --allow-host.")
        if self.path.partition("?")[0] != "/":
            raise unknown_operation(f"There is nothing at {self.path[:200]!r}.")
        operation = self.server.service.operation(self.headers.get("X-Amz-Target", ""))
        self.server.count(operation)
        dice = self.server.dice
        if dice.falls("throttle"):
            raise throttled()
        if dice.falls("server_error"):
            raise internal(status=500 if dice.coin() else 503)
        if operation.startswith("Update") and dice.falls("conflict"):
            raise conflict("The entity is being modified by another request.")
        hang, reset = dice.falls("hang"), dice.falls("reset")
        if reset and dice.coin():
            raise _NoAnswerError(reset=True)
        try:
            answer = self.server.service.call(operation, body)
        finally:
            if hang:
                self.server.closing.wait(dice.faults.hang_seconds)
            if hang or reset:
                raise _NoAnswerError(reset=reset)
        return answer

    def _body(self) -> bytes:
        """The body, in whole: what is left unread would be taken for the next request."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise serialization("The request has no Content-Length.")
        if int(length) > LARGEST_REQUEST:
            self.close_connection = True
            raise too_large(f"A request has at most {LARGEST_REQUEST} bytes.")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise _NoAnswerError(reset=False)
        return body

    def _send(self, status: int, answer: dict[str, object]) -> None:
        content = orjson.dumps(answer)
        self.send_response(status)
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        if status >= 400:
            self.send_header("x-amzn-ErrorType", str(answer["__type"]))
        self.send_header("Content-Type", _MEDIA_TYPE)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection or self.server.closing.is_set():
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _cut(self, *, reset: bool) -> None:
        if reset:  # with nothing to linger for, closing sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.connection.close() if reset else self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a client that is refused is told so, and bodies are nobody else's business."""
