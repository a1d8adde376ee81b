"""Collects, while a run goes on, what is observed of it beside its files: how much is covered, and which gaps there are.

Knows kinds and texts; the observers tell it. Must not know Prefect, nor where the record goes. Cheap to make: every task has one.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineage_flows.record_gaps import GapKind, Ledger

__all__ = ["ALL_VARIABLES", "LedgerLog", "covered_connections", "is_covered_connection", "merged"]

MOST_GAPS = 200
"""Different gaps that are named of one run and kind together; of the others only the number is kept."""

ALL_VARIABLES = "*"
_MOST_TEXT = 300
_BEFORE = ", before the run"

_covering: ContextVar[str | None] = ContextVar("lineage_flows_covered_connections", default=None)
_lock = threading.RLock()
"""Of all logs: an entry takes a microsecond, and a lock of its own would make every task dearer. A finaliser may come in again."""

Closing = Callable[[], tuple[str, str]]
"""Gives text and ``unrestorable`` of a gap that is only known at the end: the exit code of a program."""


def _renew() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it when it forked
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew)


@contextmanager
def covered_connections(by: str) -> Iterator[None]:
    """What is connected inside, in this context and in what is started from it, is told by an adapter and is no gap.

    For adapters to libraries that connect while the adapter's own wrapper is on the stack. Of one that connects elsewhere (a pool,
    a thread of its own) the adapter calls ``LedgerLog.covers`` instead.

    Args:
        by: the adapter's name.
    """
    token = _covering.set(by)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a coroutine was closed from another context; there, nothing was set
            _covering.reset(token)


def is_covered_connection() -> bool:
    """Whether a connection that is made now is one that an adapter tells of."""
    return _covering.get() is not None


class LedgerLog:
    """What one run is observed to do, until ``close``. Thread-safe; gaps beyond ``MOST_GAPS`` are only counted."""

    __slots__ = (
        "_closing",
        "_covered",
        "_covered_peers",
        "_gaps",
        "_left_out",
        "_observed",
        "_peers",
        "told",
        "variables",
    )

    def __init__(self) -> None:
        # Nothing is made before there is something to say: most tasks are observed to do nothing.
        self._observed: dict[GapKind, int] | None = None
        self._covered: dict[GapKind, int] = {}
        self._gaps: dict[tuple[GapKind, str, str, str], int] = {}
        self._closing: list[tuple[GapKind, str, Closing]] = []
        self._peers: dict[tuple[str, ...], tuple[str, int]] = {}
        self._covered_peers: set[str] = set()
        self._left_out = 0
        self.variables: dict[tuple[str, bool], int] = {}
        """Environment variables that were read, and whether they were set -> how many times. ``ALL_VARIABLES`` stands for all."""
        self.told: set[str] = set()
        """Entries of ``unrestorable`` that an adapter tells of under a name of its own."""

    def __bool__(self) -> bool:
        return self._observed is not None

    def observed(self, kind: GapKind, *, covered: bool = False, times: int = 1) -> None:
        """Something happened that lineage covers, or that a gap which is told apart tells of."""
        with _lock:
            self._count(kind, times, covered)

    def gap(self, kind: GapKind, what: str, consequence: str, *, unrestorable: str = "", times: int = 1) -> None:
        """Something happened that lineage does not hold; it counts as observed.

        Args:
            kind: of what.
            what: see ``Gap``.
            consequence: see ``Gap``.
            unrestorable: the entry of the run's ``unrestorable`` that says the same.
            times: how many times.
        """
        with _lock:
            self._count(kind, times, covered=False)
            self._add((kind, _clipped(what), consequence, unrestorable), times)

    def gap_at_end(self, kind: GapKind, consequence: str, closing: Closing) -> None:
        """The same of something whose text is known only at the end. Beyond ``MOST_GAPS`` the text is taken now."""
        with _lock:
            self._count(kind, 1, covered=False)
            if len(self._closing) < MOST_GAPS:
                self._closing.append((kind, consequence, closing))
                return
        what, unrestorable = closing()
        with _lock:
            self._add((kind, _clipped(what), consequence, unrestorable), 1)

    def read_variable(self, name: str, is_set: bool) -> None:
        """The run reads an environment variable; which of them are covered is found out at the end."""
        with _lock:
            if self._observed is None:
                self._observed = {}
            key = (name, is_set)
            if key in self.variables or len(self.variables) < MOST_GAPS:
                self.variables[key] = self.variables.get(key, 0) + 1
            else:
                self._count("variable", 1, covered=False)
                self._left_out += 1

    def adopt(self, before: LedgerLog) -> None:
        """Take in what was observed before the run began."""
        with _lock:
            if before._observed is None:
                return
            for kind, times in before._observed.items():
                self._count(kind, times, covered=False)
            for kind, times in before._covered.items():
                self._covered[kind] = self._covered.get(kind, 0) + times
            for (kind, what, consequence, unrestorable), times in before._gaps.items():
                self._add((kind, what + _BEFORE, consequence, unrestorable), times)
            for (peer, *names), told in before._peers.items():
                self._peers[peer + _BEFORE, *names] = told
            for key, times in before.variables.items():
                self.variables[key] = self.variables.get(key, 0) + times
            self._closing += [
                (kind, consequence, _said_before(closing)) for kind, consequence, closing in before._closing
            ]

    def connected(self, peer: str, unrestorable: str, *names: str) -> bool:
        """The run connects to a peer; whether that is a gap, as far as adapters have spoken.

        Args:
            peer: host and port, or a socket's path.
            unrestorable: the entry of the run's ``unrestorable``.
            names: ``host:port`` as ``covers`` may name it: by the name that was asked for, and by the address.
        """
        with _lock:
            if self._covered_peers.intersection(names):
                self._count("connection", 1, covered=True)
                return False
            self._count("connection", 1, covered=False)
            key = (peer, *names)
            if key in self._peers or len(self._peers) < MOST_GAPS:
                self._peers[key] = (unrestorable, self._peers.get(key, ("", 0))[1] + 1)
            else:
                self._left_out += 1
            return True

    def covers(self, host: str, port: int) -> None:
        """An adapter tells what passes between this run and a server: its connections there, earlier ones too, are no gaps."""
        name = f"{host}:{port}"
        with _lock:
            self._covered_peers.add(name)
            for key in [key for key in self._peers if name in key[1:]]:
                unrestorable, times = self._peers.pop(key)
                self.told.add(unrestorable)
                self._covered["connection"] = self._covered.get("connection", 0) + times

    @property
    def has_open_connection(self) -> bool:
        """Whether there is a connection that no adapter tells of."""
        return bool(self._peers)

    def close(self, consequences: Callable[[GapKind], str]) -> Ledger | None:
        """The ledger as a record; None when nothing was observed. Once a run.

        Args:
            consequences: what a gap of a kind means for a replay, where the observer did not say it itself.
        """
        from lineage_flows.record_gaps import Gap, Ledger, Tally  # this module is loaded while Prefect starts

        with _lock:
            if self._observed is None:
                return None
            closing, self._closing = self._closing, []
        said = [(kind, consequence, *told()) for kind, consequence, told in closing]
        with _lock:
            for kind, consequence, what, unrestorable in said:
                self._add((kind, _clipped(what), consequence, unrestorable), 1)
            for (peer, *_), (unrestorable, times) in list(self._peers.items()):
                self._add(("connection", f"connects to {_clipped(peer)}", "", unrestorable), times)
            self._peers = {}
            return Ledger(
                tallies=tuple(
                    Tally(kind=kind, observed=times, covered=self._covered.get(kind, 0))
                    for kind, times in sorted(self._observed.items())
                ),
                gaps=tuple(
                    Gap(
                        kind=kind,
                        what=what,
                        consequence=consequence or consequences(kind),
                        count=times,
                        unrestorable=unrestorable,
                    )
                    for (kind, what, consequence, unrestorable), times in list(self._gaps.items())
                ),
                left_out=self._left_out,
            )

    def _count(self, kind: GapKind, times: int, covered: bool) -> None:
        if self._observed is None:
            self._observed = {}
        self._observed[kind] = self._observed.get(kind, 0) + times
        if covered:
            self._covered[kind] = self._covered.get(kind, 0) + times

    def _add(self, key: tuple[GapKind, str, str, str], times: int) -> None:
        if key in self._gaps:
            self._gaps[key] += times
        elif len(self._gaps) < MOST_GAPS:
            self._gaps[key] = times
        else:
            self._left_out += times


def merged(first: Ledger | None, second: Ledger | None) -> Ledger | None:
    """The ledger of two attempts of one run: counts added up, equal gaps once."""
    from lineage_flows.record_gaps import Ledger, Tally

    if first is None or second is None:
        return first or second
    tallies = {item.kind: item for item in first.tallies}
    for item in second.tallies:
        known = tallies.get(item.kind)
        tallies[item.kind] = Tally(
            kind=item.kind,
            observed=item.observed + (known.observed if known else 0),
            covered=item.covered + (known.covered if known else 0),
        )
    gaps = {(item.kind, item.what, item.consequence, item.unrestorable): item for item in first.gaps}
    left_out = first.left_out + second.left_out
    for gap in second.gaps:
        key = (gap.kind, gap.what, gap.consequence, gap.unrestorable)
        if key in gaps:
            gaps[key] = gap.model_copy(update={"count": gap.count + gaps[key].count})
        elif len(gaps) < MOST_GAPS:
            gaps[key] = gap
        else:
            left_out += gap.count
    return Ledger(
        tallies=tuple(tallies[kind] for kind in sorted(tallies)), gaps=tuple(gaps.values()), left_out=left_out
    )


def _said_before(closing: Closing) -> Closing:
    def told() -> tuple[str, str]:
        what, unrestorable = closing()
        return what + _BEFORE, unrestorable

    return told


def _clipped(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"
