"""An account on loopback for the tests of the model registry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cloud import Cloud, account


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def cloud(patch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An empty account whose administrator this process is, with a bucket for models."""
    with account() as url:
        cloud = Cloud(url, patch)
        place = {"LocationConstraint": "eu-central-1"}
        cloud.client("s3").create_bucket(Bucket="models-of-desk", CreateBucketConfiguration=place)
        yield cloud
