"""Bytes under fingerprints: the documented layout, and blake3's threads after a fork."""

from __future__ import annotations

import os
import signal

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.content import fingerprint, hashing


def test_the_layout_that_the_documentation_states():
    assert fingerprint(None) == "lf1:" + blake3(b"N").hexdigest()
    assert fingerprint(True) == "lf1:" + blake3(b"T").hexdigest()
    assert fingerprint(1) == "lf1:" + blake3(b"i\x01\x01").hexdigest()
    assert fingerprint("ab") == "lf1:" + blake3(b"s\x02ab").hexdigest()
    assert fingerprint(b"ab") == "lf1:" + blake3(b"b" + blake3(b"ab").digest()).hexdigest()
    items = b"q" + (2).to_bytes(8, "little") + (1).to_bytes(8, "little") + (2).to_bytes(8, "little")
    assert fingerprint([1, 2]) == "lf1:" + blake3(b"n" + blake3(b"\x04list" + items).digest()).hexdigest()


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=5), st.binary(max_size=600)), max_size=6))
def test_atoms_in_a_row_can_be_told_apart(atoms):
    tokens = [hashing.atom(kind, payload) for kind, payload in atoms]
    joined = b"".join(tokens)
    found = []
    while joined:
        kind_end = 2 + joined[1]
        end = kind_end + (1 + joined[kind_end] if joined[:1] == b"a" else 32)
        found.append(joined[:end])
        joined = joined[end:]
    assert found == tokens


@given(st.lists(st.text()), st.lists(st.text()))
def test_names_in_a_row_can_be_told_apart(first, second):
    assert (hashing.name(*first) == hashing.name(*second)) == (first == second)


@given(st.binary(max_size=100))
def test_digest_is_blake3_of_any_buffer(data):
    expected = blake3(data).digest()
    assert hashing.digest(data) == hashing.digest(bytearray(data)) == hashing.digest(memoryview(data)) == expected


def test_large_buffers_with_many_threads_hash_the_same():
    data = bytes(5 << 20)
    assert hashing.digest(data) == blake3(data).digest()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_can_hash_large_values():
    """blake3's global thread pool has no threads in a forked child: hashing with it there never returns."""
    value = b"x" * (8 << 20)
    expected = fingerprint(value)  # the pool is now in use
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os.write(write, (fingerprint(value) or "").encode())
        os._exit(0)
    os.close(write)
    found = os.read(read, 100).decode()
    os.close(read)
    assert os.waitpid(child, 0)[1] == 0
    assert found == expected
