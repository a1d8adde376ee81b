"""An account with the stack of infra/ in it, made once for a module."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.cloud import ACCOUNT, Cloud, account

EVERYBODY = {
    "WriterPrincipals": f"arn:aws:iam::{ACCOUNT}:root",
    "WriterServices": "ecs-tasks.amazonaws.com",
    "ReaderPrincipals": f"arn:aws:iam::{ACCOUNT}:root",
    "ReplayerPrincipals": f"arn:aws:iam::{ACCOUNT}:root",
    "RegistrarPrincipals": f"arn:aws:iam::{ACCOUNT}:root",
    "PrunerPrincipals": f"arn:aws:iam::{ACCOUNT}:role/keeper-of-keys",
}


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def empty(patch) -> Iterator[Cloud]:
    """An account without a stack."""
    with account() as url:
        yield Cloud(url, patch)


@pytest.fixture(scope="module")
def cloud(empty) -> Cloud:
    """An account with the stack, encrypted by KMS and with all roles; ``outputs`` are the stack's."""
    empty.outputs = empty.deploy(Encryption="aws:kms", **EVERYBODY)
    return empty


@pytest.fixture(autouse=True)
def as_administrator(request) -> None:
    """Each test begins as the administrator."""
    for name in ("cloud", "empty"):
        if name in request.fixturenames:
            request.getfixturevalue(name).use({})
    assert os.environ.get("AWS_PROFILE") is None
