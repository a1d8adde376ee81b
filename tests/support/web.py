"""A real HTTP server on loopback that takes OpenLineage events, and answers as it is told."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import orjson

from tests.support.served import Asked, Served


class Backend(Served):
    """Use as a context manager. ``answer`` gives the status for an event; those answered with 2xx are in ``got``."""

    def __init__(self, answer: Callable[[dict[str, Any]], int] = lambda _: 201) -> None:
        self.answer = answer
        self.got: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        super().__init__()

    def answered(self, asked: Asked) -> tuple[int, bytes]:
        body = gzip.decompress(asked.body) if asked.headers.get("Content-Encoding") == "gzip" else asked.body
        event = orjson.loads(body)
        status = self.answer(event)
        self.requests.append((asked.path, asked.headers))
        if status < 300:
            self.got.append(event)
            self.raw.append(body)
        return status, b""
