"""A real HTTP server on loopback that takes OpenLineage events, and answers as it is told."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


class Backend:
    """Use as a context manager. ``answer`` gives the status for an event; those answered with 2xx are in ``got``."""

    def __init__(self, answer: Callable[[dict[str, Any]], int] = lambda _: 201) -> None:
        self.answer = answer
        self.got: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                event = orjson.loads(body)
                status = backend.answer(event)
                backend.requests.append((self.path, dict(self.headers)))
                if status < 300:
                    backend.got.append(event)
                    backend.raw.append(body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Backend:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
