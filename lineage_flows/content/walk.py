"""Walks a value and makes its token: without recursion, past cycles, each shared part once.

Knows the rules by their form only (registry). A walk serves one call in one thread.

A value inside a cycle is met again while it is still being walked; it then stands for itself by its distance: up the path
when it contains the present one (``^``), else across the values that are still open (``~``), as in Tarjan's algorithm for
strongly connected components. A component that has been closed is known by its token, each other member of it by that and
its place in it (``m``). So a value without cycles has the token of its content alone, however often its parts are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from lineage_flows.content.hashing import count, digest
from lineage_flows.content.registry import FLAT, LEAVES, SECRET, STRIPPED, Leaf, Steps, find_rule
from lineage_flows.errors import ContentError

__all__ = ["ColumnLook", "Columns", "Memory", "Strength", "Walk"]

Memory = tuple[object, ...]
"""Where the values of a column lie, and all that says how they are read from there."""


class ColumnLook(NamedTuple):
    """A column of a frame: its token, and its memory where that is known and is not empty."""

    token: bytes
    memory: Memory | None


Columns = dict[int, list[ColumnLook]]
"""The columns of frames and series, in their order, by the object's id."""

Strength = Literal["canonical", "model", "pickle"]

_ORDER: tuple[Strength, ...] = ("canonical", "model", "pickle")

_DEEPEST = 20_000
"""A value nested deeper is taken for one that makes new parts for ever (``__reduce__`` returning a fresh copy of itself)."""

_KEPT = 64
"""Flat containers longer than this are remembered, so that one that is shared a thousand times is walked once."""


class _Open:
    """A value that is being walked, or is part of a cycle that is.

    Attributes:
        place: its place among the open values. low: the lowest place that a value below it refers to.
        depth: its place on the path from the root; -1 when its own token is made.
    """

    __slots__ = ("depth", "low", "pending", "place", "steps", "tokens", "value")

    def __init__(self, value: object, steps: Steps, asked: Sequence[object], place: int, depth: int) -> None:
        self.value = value
        self.steps = steps
        self.pending: Iterator[object] = iter(asked)
        self.place = self.low = place
        self.depth = depth
        self.tokens: list[bytes] = []


class Walk:
    """One traversal.

    Attributes:
        strip: the folder prefix that is taken off paths.
        strength: the weakest rule that was used.
        secrets: how many secrets were met (and not looked at).
        closings: how many cycles were closed so far.
        newest: the number of the newest closing on whose members' order a token made since depends.
        columns: takes in the columns of each frame that is met, by the frame's id; None: nobody asks.
    """

    __slots__ = (
        "_known",
        "_members",
        "_open",
        "_places",
        "closings",
        "columns",
        "leaves",
        "newest",
        "secrets",
        "strength",
        "strip",
    )

    def __init__(self, strip: str = "") -> None:
        self.strip = strip
        self.leaves: dict[type, Leaf] = LEAVES if not strip else _stripping(strip)
        self.strength: Strength = "canonical"
        self.secrets = 0
        self.closings = 0
        self.newest = 0
        self.columns: Columns | None = None
        self._known: dict[int, tuple[object, bytes]] = {}
        self._members: dict[int, int] = {}
        self._open: dict[int, _Open] = {}
        self._places: list[int] = []

    def weaken(self, strength: Strength) -> None:
        """Note that a rule of this strength was used."""
        if _ORDER.index(strength) > _ORDER.index(self.strength):
            self.strength = strength

    def token(self, value: object) -> bytes:
        """The token of a value.

        Raises:
            ContentError: when it has none; the value's own methods may raise anything.
        """
        token = self._direct(value)
        if token is not None:
            return token
        try:
            return self._walk(value)
        except BaseException:
            # What is known stays true; what was open will never be closed.
            self._open.clear()
            self._places.clear()
            raise

    def _walk(self, value: object) -> bytes:
        path: list[_Open] = []
        token = self._enter(value, path)
        while path:
            if token is not None:
                path[-1].tokens.append(token)
            token = self._advance(path[-1], path)
        assert token is not None  # an empty path means that the root's token was just made
        return token

    def _advance(self, present: _Open, path: list[_Open]) -> bytes | None:
        """Walk on from a value until it has its token, or one of its parts has to be walked first (None)."""
        leaves, tokens = self.leaves, present.tokens
        while True:
            for part in present.pending:
                leaf = leaves.get(type(part))
                if leaf is not None:
                    tokens.append(leaf(part))
                    continue
                token = self._direct(part) or self._enter(part, path)
                if token is None:
                    return None
                tokens.append(token)
            try:
                asked: Sequence[object] = present.steps.send(tokens)
            except StopIteration as done:
                path.pop()
                return self._close(present, done.value, path)
            present.pending = iter(asked)
            present.tokens = tokens = []

    def _direct(self, value: object) -> bytes | None:
        """The token of a leaf, of a flat container, or of what is known already; else None."""
        cls = type(value)
        leaf = self.leaves.get(cls)
        if leaf is not None:
            return leaf(value)
        flat = FLAT.get(cls)
        if flat is None:
            return None
        long = len(value) > _KEPT  # type: ignore[arg-type]  # what has a short cut is a builtin container
        if long and (known := self._known.get(id(value))) is not None:
            return known[1]
        token = flat(value, self)
        if long and token is not None:
            self._known[id(value)] = (value, token)
        return token

    def _enter(self, value: object, path: list[_Open]) -> bytes | None:
        """The token of a value that was met before; None when it now stands on the path, to be walked."""
        key = id(value)
        known = self._known.get(key)
        if known is not None:
            if known[1][:1] == b"m":
                self.newest = max(self.newest, self._members[key])
            return known[1]
        met = self._open.get(key)
        if met is not None:
            return self._refer(met, path)
        rule = find_rule(type(value))
        if rule.leaf is not None:
            self.secrets += rule is SECRET
            return rule.stripped(value, self.strip) if self.strip and rule.stripped is not None else rule.leaf(value)
        assert rule.steps is not None  # a rule has one of the two
        if len(path) >= _DEEPEST:
            raise ContentError("no fingerprint", why=f"the value is nested more than {_DEEPEST:,} deep")
        steps = rule.steps(value, self)
        try:
            asked = next(steps)
        except StopIteration as done:
            self._known[key] = (value, done.value)
            return self._known[key][1]
        opened = _Open(value, steps, asked, len(self._places), len(path))
        self._open[key] = opened
        self._places.append(key)
        path.append(opened)
        return None

    def _refer(self, met: _Open, path: list[_Open]) -> bytes:
        present = path[-1]
        present.low = min(present.low, met.place)
        if met.depth >= 0:
            return b"^" + count(len(path) - met.depth)
        self.newest = self.closings + 1
        return b"~" + count(present.place - met.place)

    def _close(self, done: _Open, token: bytes, path: list[_Open]) -> bytes:
        done.depth = -1
        if done.low < done.place:
            path[-1].low = min(path[-1].low, done.low)
            return token
        self._known[id(done.value)] = (done.value, token)
        self.closings += 1
        for place, key in enumerate(self._places[done.place + 1 :], start=1):
            self._members[key] = self.closings
            self._known[key] = (self._open.pop(key).value, b"m" + digest(token + count(place)))
        del self._open[id(done.value)]
        del self._places[done.place :]
        return token


def _stripping(strip: str) -> dict[type, Leaf]:
    return LEAVES | {cls: partial(_stripped, rule, strip) for cls, rule in STRIPPED.items()}


def _stripped(rule: Callable[[Any, str], bytes], strip: str, value: object) -> bytes:
    return rule(value, strip)
