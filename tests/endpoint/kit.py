"""boto3 clients of an endpoint, the operations without HTTP, and what tests say to them most."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import orjson
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lineage_flows.endpoint.backend import Backend, Quotas
from lineage_flows.endpoint.errors import ServiceError
from lineage_flows.endpoint.service import Service
from lineage_flows.endpoint.shapes import output_shape
from lineage_flows.endpoint.store import Store
from lineage_flows.endpoint.validation import read_request

KINDS = ("Artifact", "Action", "Context")


def client(url: str, *, attempts: int = 1, read_timeout: float = 20, checks: bool = True) -> Any:
    """A real client. ``checks`` off leaves all checking of parameters to the service."""
    return boto3.client(
        "sagemaker",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            retries={"total_max_attempts": attempts, "mode": "standard"},
            read_timeout=read_timeout,
            connect_timeout=10,
            parameter_validation=checks,
        ),
    )


def wrong_in_answer(operation: str, answer: dict[str, Any]) -> list[str]:
    """What an answer has that the service model does not allow, once it is JSON."""
    try:
        read_request(output_shape(operation), orjson.loads(orjson.dumps(answer)))
    except ServiceError as error:
        return [f"{operation}: {error.message}"]
    return []


class Direct:
    """The operations without HTTP: ``call("CreateAction", ActionName=…)``; moments are seconds since 1970."""

    def __init__(self, path: Path | None = None, *, quotas: Quotas | None = None) -> None:
        self.store = Store(path or Path(_folder.name, f"{next(_numbers)}.db"))
        self.clock = itertools.count()
        self.service = Service(Backend(self.store, quotas or Quotas(), self._now))

    def __call__(self, operation: str, **members: Any) -> dict[str, Any]:
        return self.service.call(operation, orjson.dumps(members))

    def _now(self) -> str:
        """A microsecond later than the last time."""
        return f"2026-02-01T08:00:{next(self.clock) / 1_000_000:09.6f}Z"


# In memory where there is such a folder: a graph waits for the disk at each write, and tests make thousands.
_folder = TemporaryDirectory(prefix="endpoint-tests-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
_numbers = itertools.count()


class Refused:
    """What a call was refused with, once it was."""

    code: str
    message: str
    status: int


@contextmanager
def refuses(code: str, words: str = "") -> Iterator[Refused]:
    """A block in which a call is refused with a code, over boto3 or directly."""
    told = Refused()
    try:
        yield told
    except ClientError as error:
        told.code, told.message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        told.status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    except ServiceError as error:
        told.code, told.message, told.status = error.code, error.message, error.status
    else:
        pytest.fail(f"not refused; expected {code}")
    assert told.code == code, told.message
    assert words in told.message


def create(sagemaker: Any, kind: str, name: str, **more: Any) -> str:
    """An entity of a kind; gives its ARN."""
    members: dict[str, Any] = {
        "Source": {"SourceUri": f"s3://desk/{name}"},
        f"{kind}Name": name,
        f"{kind}Type": "Thing",
    }
    return getattr(sagemaker, f"create_{kind.lower()}")(**{**members, **more})[f"{kind}Arn"]


def describe(sagemaker: Any, kind: str, arn: str) -> dict[str, Any]:
    """An entity by its ARN."""
    key = "ArtifactArn" if kind == "Artifact" else f"{kind}Name"
    return getattr(sagemaker, f"describe_{kind.lower()}")(**{key: arn})


def pages(sagemaker: Any, operation: str, **members: Any) -> Iterator[dict[str, Any]]:
    """Every page of a list, by its tokens."""
    while True:
        answer = getattr(sagemaker, operation)(**members)
        yield answer
        if "NextToken" not in answer:
            return
        members["NextToken"] = answer["NextToken"]
