"""A store that keeps nothing names contents as a real one would."""

from __future__ import annotations

import pytest

from lineage_flows.capture.hash_only import HashOnlyStore
from lineage_flows.content import open_store
from lineage_flows.errors import BlobMissingError


def test_names_are_those_of_a_real_store(tmp_path):
    real, nothing = open_store(str(tmp_path / "blobs")), HashOnlyStore()
    file = tmp_path / "data"
    file.write_bytes(b"prices" * 1000)
    assert nothing.put(b"abc") == real.put(b"abc")
    assert nothing.put([b"ab", b"c"]) == real.put(b"abc")
    assert nothing.put_file(file) == real.put_file(file)


def test_nothing_is_there():
    store = HashOnlyStore()
    digest, _ = store.put(b"abc")
    assert not store.has(digest)
    with pytest.raises(BlobMissingError):
        store.get(digest)
