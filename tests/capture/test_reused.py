"""A value out of Prefect's cache is its maker's only when it is the value that its maker gave out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lineage_flows.capture.disk_cache import DiskCache
from lineage_flows.capture.reused import maker, remember
from lineage_flows.content import describe


def transaction(key: str | None, folder: str = "/results", *, writes: bool = True):
    storage = SimpleNamespace(basepath=folder, _block_document_id=None)
    return SimpleNamespace(key=key, store=SimpleNamespace(result_storage=storage), write_on_commit=writes)


@pytest.fixture
def cache(tmp_path):
    cache = DiskCache(tmp_path)
    remember(cache, transaction("k"), "run-1", "uri:1", describe(7.125))
    return cache


def test_the_maker_is_found_in_another_process(cache, tmp_path):
    source = maker(DiskCache(tmp_path), transaction("k"), describe(7.125))
    assert (source.run_id, source.uri, source.known_by) == ("run-1", "uri:1", ("content", "prefect"))
    assert source.fingerprint == describe(7.125).fingerprint


def test_another_value_storage_or_key_is_not_its(cache):
    assert maker(cache, transaction("k"), describe(8.125)) is None, "a run that was not captured wrote it"
    assert maker(cache, transaction("k", "/other"), describe(7.125)) is None
    assert maker(cache, transaction("other"), describe(7.125)) is None
    assert maker(cache, transaction(None), describe(7.125)) is None


def test_the_last_maker_counts(cache):
    remember(cache, transaction("k"), "run-2", "uri:2", describe(7.125))
    assert maker(cache, transaction("k"), describe(7.125)).run_id == "run-2"


def test_what_prefect_does_not_keep_is_not_remembered(cache):
    remember(cache, transaction("kept nowhere", writes=False), "run-3", "uri:3", describe(1.5))
    assert maker(cache, transaction("kept nowhere"), describe(1.5)) is None


def test_a_value_without_a_fingerprint_is_known_by_prefect_alone(cache):
    value = describe(iter([1]))
    remember(cache, transaction("opaque"), "run-4", "uri:4", value)
    assert maker(cache, transaction("opaque"), value).known_by == ("prefect",)
