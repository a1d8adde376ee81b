"""boto3 clients of an endpoint, and what tests say to it most."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError


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


class Refused:
    """What a call was refused with, once it was."""

    code: str
    message: str
    status: int


class refuses:  # noqa: N801 - reads as a statement
    """A block in which a call is refused with a code."""

    def __init__(self, code: str, words: str = "") -> None:
        self.code, self.words, self.told = code, words, Refused()

    def __enter__(self) -> Refused:
        return self.told

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, ClientError):
            if error is None:
                pytest.fail(f"not refused; expected {self.code}")
            return False
        self.told.code = error.response["Error"]["Code"]
        self.told.message = error.response["Error"]["Message"]
        self.told.status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert self.told.code == self.code, self.told.message
        assert self.words in self.told.message
        return True
