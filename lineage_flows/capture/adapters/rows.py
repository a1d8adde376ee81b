"""Hashes the rows of a result as the user's own code fetches them, so that nothing is asked or read a second time.

Knows rows of Python values; must not know databases. A fingerprint is that of all rows in the order they came, with the names of
the columns, however many were fetched at a time.
"""

from __future__ import annotations

import datetime as dt
import decimal
import marshal
import uuid
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

__all__ = ["Rows"]

_FORMAT = 2
"""Of marshal: exact for numbers, text and bytes, and without references, which would depend on what else holds a value."""

_BATCH = 512
_AS_TEXT = (decimal.Decimal, dt.date, dt.datetime, dt.time, dt.timedelta, uuid.UUID)


class Rows:
    """The rows of one result as far as they have been fetched.

    Args:
        columns: names of the columns.
        hashed: False to count only.
    """

    def __init__(self, columns: Iterable[object], *, hashed: bool = True) -> None:
        self.problem: str | None = None if hashed else "not hashed"
        self._fed = 0
        self._waiting: list[Any] = []
        if hashed:
            from lineage_flows.content.hashing import hasher

            self._hash = hasher()
            self._hash.update(b"rows\0" + marshal.dumps(tuple(str(column) for column in columns), _FORMAT))

    @property
    def count(self) -> int:
        """How many have been fetched."""
        return self._fed + len(self._waiting)

    def one(self, row: object) -> bool:
        """A row was fetched; whether enough have come to be taken in together."""
        self._waiting.append(row)
        return len(self._waiting) >= _BATCH

    def more(self, rows: Sequence[Any]) -> None:
        """Rows were fetched."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._feed(waiting)
        if rows:
            self._feed(rows)

    def fingerprint(self) -> str | None:
        """That of all rows so far; None when ``problem`` says why there is none."""
        self.more(())
        if self.problem is not None:
            return None
        from lineage_flows.content.hashing import fingerprint_of

        return fingerprint_of(b"rows" + self._hash.digest())

    def _feed(self, rows: Sequence[Any]) -> None:
        self._fed += len(rows)
        if self.problem is not None:
            return
        if type(rows[0]) is not tuple:
            if not hasattr(rows[0], "keys") or isinstance(rows[0], dict):
                self.problem = f"rows are made into {type(rows[0]).__name__}"
                return
            rows = [tuple(row) for row in rows]  # sqlite3.Row, and others that are rows by the same protocol
        try:
            data = b"".join(map(marshal.dumps, rows, repeat(_FORMAT)))
        except ValueError:
            try:
                data = b"".join(marshal.dumps(tuple(map(_plain, row)), _FORMAT) for row in rows)
            except ValueError:
                self.problem = "values of a type that is not known"
                return
        self._hash.update(data)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value
    """A value as one that marshal knows, with its type; any other raises there."""
    if isinstance(value, _AS_TEXT):
        return type(value).__name__, str(value)
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return value
