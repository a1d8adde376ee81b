"""Which columns of SQLite's tables were made from which, once they are there for good.

Knows the connections of ``sqlite3`` that are watched, and how transactions end. A file is one dataset: its columns are called
``table.column``. What may have been taken back is not said.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from lineage_flows.capture.adapters.shape import guarded
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.targets import ColumnUse, Queries

if TYPE_CHECKING:
    from lineage_flows.capture.adapters.statements import Statement, Table

__all__ = ["before", "executed", "members"]

_Files = Mapping[str, tuple[str, bool] | None]

_LEGACY = -1
"""``sqlite3.LEGACY_TRANSACTION_CONTROL``, which is all there is before Python 3.12: a script commits what came before it."""


class _Pending(NamedTuple):
    """What a statement says of columns, by the file; the statement is kept so that no other is taken for it."""

    statement: Statement
    made: tuple[tuple[Queries, tuple[ColumnUse, ...]], ...]


def members(base: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of connections
    """What a watched connection has besides: the ends of its transactions are seen."""

    def commit(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        was_open = _waits(self)
        result = base.commit(self, *args, **kwargs)
        _settle(self, committed=was_open)
        return result

    def rollback(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        result = base.rollback(self, *args, **kwargs)
        _settle(self, committed=False)
        return result

    def leave(self: Any, *exception: Any) -> Any:  # noqa: ANN401 - as above
        was_open = _waits(self)
        result = base.__exit__(self, *exception)
        _settle(self, committed=was_open and exception[:1] == (None,))
        return result

    wrapped = {"commit": commit, "rollback": rollback, "__exit__": leave}
    return {
        **{name: functools.wraps(getattr(base, name))(function) for name, function in wrapped.items()},
        "_lineage_pending": None,
    }


def _waits(connection: Any) -> bool:  # noqa: ANN401 - as above
    """Whether anything waits for the transaction that is open; sqlite3 itself says what is wrong with a connection."""
    try:
        return connection._lineage_pending is not None and bool(connection.in_transaction)
    except Exception:  # noqa: BLE001 - it is closed, or another thread's: sqlite3 itself says so when it is asked to commit
        return False


def before(connection: Any) -> None:  # noqa: ANN401 - sqlite3's
    """A statement is about to be executed: what waits for a transaction that has ended, nobody knows how, is let go."""
    if connection._lineage_pending and not connection.in_transaction:
        _settle(connection, committed=False)


def executed(log: FileLog, connection: Any, statement: Statement | None, *, is_script: bool) -> None:  # noqa: ANN401 - as above
    """A statement was executed.

    Args:
        log: of the run.
        connection: that it was executed on.
        statement: what is known of it.
        is_script: whether it is one of ``executescript``, which commits before it begins.
    """
    if statement is None:
        return
    if connection._lineage_pending:
        ends = statement.word in {"COMMIT", "END"} and ";" not in statement.text
        if (is_script and getattr(connection, "autocommit", _LEGACY) == _LEGACY) or ends:
            _settle(connection, committed=True)
        elif statement.word == "ROLLBACK":  # also to a savepoint: what was before it is let go too
            _settle(connection, committed=False)
    if statement.columns:
        _add(log, connection, statement)
    if (
        statement.writes
        and (key := ("sqlite tables", statement.writes, len(connection._lineage_databases))) not in log.told
    ):
        log.told |= {key, *_written(connection._lineage_databases, statement)}


def _add(log: FileLog, connection: Any, statement: Statement) -> None:  # noqa: ANN401 - as above
    pending: dict[tuple[FileLog, int], _Pending] = connection._lineage_pending or {}
    if (key := (log, id(statement))) not in pending:  # some flows ask a million times
        found = _by_file(log, connection._lineage_databases, statement, connection._lineage_temporary)
        made = tuple((log.objects.queries(path, "write"), uses) for path, uses in found.items())
        pending[key] = _Pending(statement, made)
        connection._lineage_pending = pending
    if not connection.in_transaction:
        _settle(connection, committed=True)


def _settle(connection: Any, *, committed: bool) -> None:  # noqa: ANN401 - as above
    pending: dict[tuple[FileLog, int], _Pending] | None = connection._lineage_pending
    if not pending:
        return
    connection._lineage_pending = None
    for (log, _), entry in pending.items() if committed else ():
        with guarded(log, "recording columns"):
            for queries, columns in entry.made:
                queries.made(columns)


def _written(databases: _Files, statement: Statement) -> set[tuple[str, str, str]]:
    """The tables that a statement has written, as a log is told of them; all that they may be, where the name does not say."""
    found = set()
    for table in statement.writes:
        place = _place(databases, table, set())
        files = [file[0] for file in databases.values() if file is not None] if place is None else [place[0]]
        found |= {("sqlite table", path, table[-1].lower()) for path in files}
    return found


def _by_file(
    log: FileLog, databases: _Files, statement: Statement, temporary: frozenset[str]
) -> dict[str, tuple[ColumnUse, ...]]:
    """What a statement says of columns, by the file that it writes.

    What it takes from a table that the step itself has written is not said: the file as the step was given it may not hold that.
    """
    hidden = {name.casefold() for name in temporary}
    own = _written(databases, statement) if ";" in statement.text else set()
    found: dict[str, dict[ColumnUse, None]] = {}
    for edge in statement.columns:
        target = _place(databases, edge.target, hidden, creates=edge.creates)
        source = _place(databases, edge.source, hidden)
        if target is None or source is None or ("sqlite table", *source) in (log.told | own if own else log.told):
            continue
        # The file has columns of other tables too: what decides all that is written is said of each column.
        for output in (edge.output,) if edge.output else edge.outputs:
            use = ColumnUse(f"{target[1]}.{output}", edge.how, "file", source[0], f"{source[1]}.{edge.column}")
            found.setdefault(target[0], {})[use] = None
    return {path: tuple(uses) for path, uses in found.items()}


def _place(databases: _Files, table: Table, hidden: set[str], *, creates: bool = False) -> tuple[str, str] | None:
    """The file that a table lies in and its name there; None where it may lie in another, or in memory."""
    name = table[-1].lower()
    if "." in name:
        return None  # `table.column` would not say which is which
    if len(table) > 1:
        file = databases.get(table[-2].lower())
    elif name.casefold() in hidden:
        return None
    elif creates:
        file = databases.get("main")
    else:
        files = {None if one is None else one[0]: one for one in databases.values()}
        file = next(iter(files.values())) if len(files) == 1 else None
    return None if file is None else (file[0], name)
