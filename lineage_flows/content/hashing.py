"""The bytes under every fingerprint: atoms, nodes and digests. docs/fingerprints.md is the specification.

Knows blake3 and nothing about types of values. A *token* is the canonical, self-delimiting form of a value: small values
stand in it themselves, larger ones by digest. A fingerprint is the blake3-256 of a token.
"""

from __future__ import annotations

import os
import struct

from blake3 import blake3

__all__ = [
    "CHUNK",
    "PREFIX",
    "atom",
    "blob_token",
    "count",
    "digest",
    "fingerprint_of",
    "hasher",
    "name",
    "node",
]

PREFIX = "lf1:"
"""Names the version of the rules; any change that alters a fingerprint takes the next number."""

CHUNK = 4 << 20
"""Bytes handled at a time where a buffer must be looked at before it is hashed: small enough to be still in the CPU's cache."""

_INLINE = 255
_THREADED = 1 << 20
_pool = blake3.AUTO


def hasher(size: int = 0) -> blake3:
    """A fresh hasher, meant for about ``size`` bytes; below 1 MB waking more threads costs more than it gains."""
    return blake3(max_threads=_pool if size > _THREADED else 1)


def digest(data: bytes | bytearray | memoryview) -> bytes:
    """The 32 bytes of blake3-256; ``data`` is not copied."""
    if len(data) > _THREADED:
        return blake3(data, max_threads=_pool).digest()
    return blake3(data).digest()


def fingerprint_of(token: bytes) -> str:
    """The fingerprint of the value a token stands for."""
    return PREFIX + blake3(token).hexdigest()


def blob_token(content: bytes) -> bytes:
    """Token of a ``bytes`` value, given the blake3-256 of its content, so that a file can be hashed without being held."""
    return b"b" + content


def atom(kind: bytes, payload: bytes) -> bytes:
    """Token of an indivisible value: its kind's name, and its canonical bytes (their digest when longer than 255)."""
    if len(payload) <= _INLINE:
        return b"a" + bytes((len(kind),)) + kind + bytes((len(payload),)) + payload
    return b"A" + bytes((len(kind),)) + kind + digest(payload)


def node(kind: bytes, *body: bytes) -> bytes:
    """Token of a composed value: the digest of its kind's name and its body."""
    return b"n" + digest(b"".join((bytes((len(kind),)), kind, *body)))


def count(*numbers: int) -> bytes:
    """Numbers inside a body, eight bytes each, little-endian."""
    return struct.pack(f"<{len(numbers)}q", *numbers)


def name(*texts: str) -> bytes:
    """Texts inside a body, each with its length before it."""
    return b"".join(_prefixed(text.encode("utf-8", "surrogatepass")) for text in texts)


def _prefixed(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data


def _after_fork() -> None:
    """A forked child has blake3's global thread pool without its threads: using it there would hang for ever (measured)."""
    global _pool  # noqa: PLW0603 - the one fact about this process that a fork changes
    _pool = 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
