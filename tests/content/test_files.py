"""Files by content."""

from __future__ import annotations

import hashlib
import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.content import fingerprint, fingerprint_file
from lineage_flows.content.files import hash_file, publish_copy
from lineage_flows.errors import BlobAlteredError, HomeError


@given(st.binary(max_size=10_000))
@settings(deadline=None, max_examples=50)
def test_a_file_is_its_bytes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("files") / "a"
    path.write_bytes(data)
    assert fingerprint_file(path) == fingerprint_file(str(path)) == (fingerprint(data), len(data))
    assert hash_file(path) == (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), fingerprint(data))


def test_a_large_file(tmp_path):
    data = os.urandom(1 << 20) * 21 + b"end"
    (tmp_path / "a").write_bytes(data)
    assert fingerprint_file(tmp_path / "a") == (fingerprint(data), len(data))


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", tmp_path, tmp_path / "nothing", "/dev/zero"):
            with pytest.raises(OSError):  # a pipe that nobody writes to would block for ever
                fingerprint_file(path)


def test_files_that_say_they_are_empty_are_read():
    """Files of /proc have size 0 and content."""
    _, size = fingerprint_file("/proc/self/status")
    assert size > 0


def test_a_copy_appears_whole_or_not_at_all(tmp_path):
    digest = f"sha256:{hashlib.sha256(b'abc').hexdigest()}"
    target = tmp_path / "deep" / "er" / "a.csv"
    publish_copy([b"a", memoryview(b"bc")], digest, target, where="there")
    assert target.read_bytes() == b"abc"
    with pytest.raises(BlobAlteredError):
        publish_copy([b"abd"], digest, target, where="there")
    assert target.read_bytes() == b"abc"

    def fails():
        yield b"a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish_copy(fails(), digest, target, where="there")
    assert [path.name for path in target.parent.iterdir()] == ["a.csv"]


def test_a_copy_that_cannot_be_written_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    digest = f"sha256:{hashlib.sha256(b'').hexdigest()}"
    with pytest.raises(HomeError, match="Remove the file that is in the way"):
        publish_copy([], digest, tmp_path / "file" / "below", where="there")
