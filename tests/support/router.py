"""SageMaker as one address: its lineage answered by our endpoint, its model registry by moto, neither of which has the other's."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["routed"]

_KINDS = ("Artifact", "Action", "Context", "Association", "Lineage")


def _is_lineage(operation: str) -> bool:
    return any(operation.removesuffix("s").endswith(kind) for kind in _KINDS)


@contextmanager
def routed(lineage: str, everything_else: str) -> Iterator[str]:
    """A server on loopback that passes each request on to one of two others; its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            operation = str(self.headers.get("X-Amz-Target")).rpartition(".")[2]
            target = lineage if _is_lineage(operation) else everything_else
            headers = {key: text for key, text in self.headers.items() if key.lower() not in {"host", "content-length"}}
            try:
                with urllib.request.urlopen(urllib.request.Request(target, body, headers)) as answer:
                    self._answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                self._answer(error.code, error.read())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
