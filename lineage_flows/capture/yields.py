"""What a generator task yields, put together as one value while it is yielded: nothing is kept of it but fingerprints.

Knows records and how bytes are hashed; must not know Prefect. There may be no end of yields, so what is stored of them is bounded;
the fingerprint covers all of them.
"""

from __future__ import annotations

from lineage_flows.capture.links import is_trivial
from lineage_flows.content.hashing import count, fingerprint_of, hasher, node
from lineage_flows.records import Part, ValueRef

__all__ = ["MOST_PARTS", "UNSEEN", "Yields"]

MOST_PARTS = 256
"""Yields whose own fingerprints are stored, as many as a container's parts."""

UNSEEN = "what it yields is not recorded: this release of Prefect hands it on in a way that is not known"

_STRENGTHS = ("canonical", "model", "pickle")


class Yields:
    """The yields of one attempt of a generator, in order.

    Args:
        kind: the type's name, ``generator`` or ``async_generator``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.count = 0
        self._hash = hasher()
        self._parts: list[Part] = []
        self._rule = 0
        self._unknown: str | None = None

    def add(self, value: ValueRef) -> str:
        """Take in the next yield, as it was before its reader saw it; its path in the whole."""
        path = f"/{self.count}"
        self.count += 1
        self._take(path, value)
        if value.fingerprint is not None and len(self._parts) < MOST_PARTS:
            self._parts.append(Part(path=path, fingerprint=value.fingerprint, common=is_trivial(value)))
        return path

    def whole(self, returned: ValueRef | None = None, *, left: bool = False) -> ValueRef:
        """All that was yielded so far as one value, ``returned`` with it when that is more than None.

        Args:
            returned: what the generator returned at its end.
            left: whether its reader, or an error, left it before its end.
        """
        yielded = self.count
        if returned is not None and returned.type.rpartition(".")[2] != "NoneType":
            self._take("/return", returned)
        notes = []
        if self._unknown is not None:
            notes.append(self._unknown)
        if left:
            notes.append(f"not read to its end: {yielded} value{' was' if yielded == 1 else 's were'} yielded")
        token = node(b"yields", count(yielded), self._hash.digest())
        return ValueRef(
            fingerprint=fingerprint_of(token) if self._unknown is None else None,
            type=self.kind,
            rule=_STRENGTHS[self._rule] if self._unknown is None else "none",
            shape=(yielded,),
            parts=tuple(self._parts),
            note="; ".join(notes) or None,
        )

    def _take(self, path: str, value: ValueRef) -> None:
        if value.fingerprint is None:
            reason = f": {value.note}" if value.note else ""
            self._unknown = self._unknown or f"no fingerprint, since {path} has no fingerprint{reason}"
            return
        self._hash.update(value.fingerprint.encode())
        if value.rule in _STRENGTHS:
            self._rule = max(self._rule, _STRENGTHS.index(value.rule))
