"""A stand-in for AWS's S3 on loopback (moto's server), and a bucket in it as a user has one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

__all__ = ["fresh_bucket", "moto_server"]


@contextmanager
def moto_server() -> Iterator[str]:
    """The URL of a server that ends with the block."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def fresh_bucket(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client whose ``bucket`` is the name of a new one; the environment is what a user would set."""
    import boto3

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.bucket = f"bucket-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=client.bucket)
    return client
