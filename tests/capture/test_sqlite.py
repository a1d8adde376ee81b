"""What is asked of databases of SQLite: through sqlite3, pandas, SQLAlchemy and aiosqlite."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from lineage_flows.capture import adapters, files, io_adapters, prefect_places
from lineage_flows.capture.adapters.sqlite import is_watched
from lineage_flows.capture.files import FileLog, Touched
from lineage_flows.content import fingerprint_file
from lineage_flows.records import DatasetRef
from tests.support import watched

pytestmark = pytest.mark.usefixtures("libraries_watched")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "desk.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE prices (day INTEGER, close REAL)")
        connection.executemany("INSERT INTO prices VALUES (?, ?)", [(1, 2.5), (2, None), (3, 4.5)])
    connection.close()
    return path


touched = partial(watched.touched, size_cap=1 << 22)


def only(found: Touched, direction: str = "read") -> DatasetRef:
    assert found.errors == ()
    (one,) = (item for item in found.datasets if item.direction == direction)
    assert one.facts is not None
    return one


ROWS = [(1, 2.5), (2, None), (3, 4.5)]


def fetchall(connection: sqlite3.Connection) -> list[Any]:
    return connection.execute("SELECT * FROM prices").fetchall()


def fetchone(connection: sqlite3.Connection) -> list[Any]:
    cursor = connection.cursor()
    cursor.execute("SELECT * FROM prices")
    return list(iter(cursor.fetchone, None))


def fetchmany(connection: sqlite3.Connection) -> list[Any]:
    cursor = connection.execute("SELECT * FROM prices")
    return [row for _ in range(2) for row in cursor.fetchmany(2)]


def iterated(connection: sqlite3.Connection) -> list[Any]:
    return list(connection.execute("SELECT * FROM prices"))


def mixed(connection: sqlite3.Connection) -> list[Any]:
    cursor = connection.execute("SELECT * FROM prices")
    return [cursor.fetchone(), next(cursor), *cursor.fetchall()]


WAYS = [fetchall, fetchone, fetchmany, iterated, mixed]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
def test_a_query_names_its_table_its_rows_and_the_fingerprint_of_its_result(file: Path, way: Any) -> None:
    before, _ = fingerprint_file(file)

    def work() -> None:
        connection = sqlite3.connect(file)
        assert way(connection) == ROWS
        connection.close()

    one = only(touched(work))
    assert (one.namespace, one.path, one.fingerprint) == ("file", str(file), before)
    assert one.facts is not None
    assert (one.facts.rows, one.facts.statements, one.facts.tables) == (3, ("SELECT * FROM prices",), ("prices",))
    whole = only(touched(lambda: fetchall(sqlite3.connect(file)))).facts
    assert whole is not None
    assert one.facts.results == whole.results
    assert len(whole.results) == 1


def test_another_result_has_another_fingerprint(file: Path) -> None:
    seen = set()
    for query in ("SELECT day FROM prices", "SELECT day AS d FROM prices", "SELECT day FROM prices ORDER BY day DESC",
                  "SELECT CAST(day AS REAL) FROM prices", "SELECT CAST(day AS TEXT) FROM prices", "SELECT x'00ff' FROM prices",
                  "SELECT day FROM prices WHERE day > 5"):  # fmt: skip
        facts = only(touched(lambda query=query: sqlite3.connect(file).execute(query).fetchall())).facts
        assert facts is not None
        seen.update(facts.results)
    assert len(seen) == 7


def test_a_result_that_is_left_half_read_has_none(file: Path) -> None:
    def work() -> None:
        connection = sqlite3.connect(file)
        cursor = connection.execute("SELECT * FROM prices")
        assert cursor.fetchone() == (1, 2.5)
        cursor.execute("SELECT day FROM prices")
        assert next(cursor) == (1,)
        connection.close()

    facts = only(touched(work)).facts
    assert facts is not None
    assert (facts.rows, facts.results) == (2, ())


def test_what_is_fetched_after_the_run_does_not_count(file: Path) -> None:
    cursors: list[sqlite3.Cursor] = []
    facts = only(touched(lambda: cursors.append(sqlite3.connect(file).execute("SELECT * FROM prices")))).facts
    assert cursors[0].fetchall() == ROWS
    assert facts is not None
    assert (facts.rows, facts.results) == (0, ())


def test_a_write_says_its_table_and_rows_and_no_value(file: Path) -> None:
    def work() -> None:
        with sqlite3.connect(file) as connection:
            connection.executemany("INSERT INTO prices VALUES (?, ?)", ((n, "hunter2") for n in range(1000)))
            connection.execute("INSERT INTO prices SELECT day, 'hunter2' FROM prices WHERE close = 'hunter2' LIMIT 1")
            connection.execute('UPDATE prices SET close = "hunter2" WHERE day = :day', {"day": "hunter2"})
            connection.executescript("CREATE TABLE other (a); INSERT INTO other VALUES ('hunter2'); DROP TABLE other")
        connection.close()

    found = touched(work)
    one = only(found, "write")
    assert one.fingerprint == fingerprint_file(file)[0]
    assert one.facts is not None
    assert one.facts.rows is None, "sqlite3 does not count what a script changes"
    assert one.facts.tables == ("prices", "other")
    assert one.facts.statements[0] == "INSERT INTO prices VALUES (?, …)"
    assert "hunter2" not in str(found)
    one = only(touched(lambda: count(file)), "write")
    assert one.facts is not None
    assert one.facts.rows == 101


def count(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE counted (a)")
        connection.executemany("INSERT INTO counted VALUES (?)", ((n,) for n in range(100)))
        connection.execute("UPDATE counted SET a = 0 WHERE a = 7")
    connection.close()


def test_what_is_rolled_back_was_not_written(file: Path) -> None:
    def work() -> None:
        connection = sqlite3.connect(file)
        connection.execute("INSERT INTO prices VALUES (9, 9)")
        connection.rollback()
        connection.close()

    found = touched(work)
    assert [item.direction for item in found.datasets] == ["read"]


def test_a_connection_that_is_older_than_the_run_is_seen(file: Path) -> None:
    connection = sqlite3.connect(file)
    before, _ = fingerprint_file(file)
    found = touched(lambda: connection.execute("SELECT * FROM prices").fetchall())
    assert [(item.direction, item.fingerprint) for item in found.datasets] == [("read", before)]

    def write() -> None:
        connection.execute("INSERT INTO prices VALUES (9, 9)")
        connection.commit()

    found = touched(write)
    assert [(item.direction, item.fingerprint) for item in found.datasets] == [
        ("read", before),
        ("write", fingerprint_file(file)[0]),
    ]


def test_what_lies_in_a_write_ahead_log_is_a_write_without_a_fingerprint(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")

    def write() -> None:
        connection.execute("INSERT INTO prices VALUES (9, 9)")
        connection.commit()

    one = only(touched(write), "write")
    assert (one.fingerprint, one.note) == (None, "part of it lies in its write-ahead log")
    found = touched(lambda: connection.execute("SELECT * FROM prices").fetchall())
    assert (only(found).fingerprint, found.unrestorable) == (None, (f"{file}: part of it lies in its write-ahead log",))
    connection.close()


@pytest.mark.parametrize(
    "statement", ["ATTACH '{}' AS other", 'ATTACH DATABASE "{}" AS "other"', "attach ? as other", "ATTACH :f AS other"]
)
def test_an_attached_database_is_a_dataset_of_its_own(file: Path, tmp_path: Path, statement: str) -> None:
    second = tmp_path / "second's.db"
    with sqlite3.connect(second) as connection:
        connection.execute("CREATE TABLE names (a)")
    connection.close()

    def work() -> None:
        connection = sqlite3.connect(file)
        quote = "''" if "'{" in statement else "'"
        parameters: Any = {"f": str(second)} if ":f" in statement else (str(second),) if "?" in statement else ()
        connection.execute(statement.format(str(second).replace("'", quote)), parameters)
        connection.execute("INSERT INTO other.names SELECT day FROM main.prices")
        connection.commit()
        connection.close()

    found = touched(work)
    assert found.errors == ()
    said = {(item.direction, Path(item.path).name): item.facts for item in found.datasets}
    assert set(said) == {("read", "desk.db"), ("read", "second's.db"), ("write", "second's.db")}
    written, read = said["write", "second's.db"], said["read", "desk.db"]
    assert written is not None
    assert read is not None
    assert (written.tables, written.rows, read.tables) == (("names",), 3, ("prices",))


def test_a_database_in_memory_is_nothing() -> None:
    def work() -> None:
        for name in (":memory:", "", "file:x?mode=memory&cache=shared", "file::memory:"):
            connection = sqlite3.connect(name, uri=True)
            connection.execute("CREATE TABLE t (a)")
            assert connection.execute("SELECT * FROM t").fetchall() == []
            connection.close()

    assert touched(work) == Touched()


class Rows(sqlite3.Cursor):
    pass


class Desk(sqlite3.Connection):
    pass


def test_connections_and_cursors_are_what_they_were(file: Path) -> None:
    def outcome() -> list[object]:
        connection = sqlite3.connect(file, 5.0, 0, None, True, Desk)
        cursor = connection.cursor(Rows)
        plain = sqlite3.connect(file)
        plain.row_factory = sqlite3.Row
        dicts = sqlite3.connect(file)
        dicts.row_factory = lambda cursor, row: {
            column[0]: value for column, value in zip(cursor.description, row, strict=True)
        }
        found: list[object] = [
            isinstance(connection, Desk),
            isinstance(cursor, Rows),
            isinstance(plain, sqlite3.Connection),
            type(plain).__name__,
            type(plain).__module__,
            iter(cursor) is cursor,
            plain.execute("SELECT * FROM prices").connection is plain,
            [tuple(row) for row in plain.execute("SELECT * FROM prices")],
            plain.execute("SELECT day FROM prices").fetchone()["day"],
            dicts.execute("SELECT * FROM prices").fetchall(),
            cursor.executemany("INSERT INTO prices VALUES (?, ?)", [(7, 7)]).rowcount,
            cursor.execute("DELETE FROM prices WHERE day = 7").rowcount,
            list(connection.iterdump())[:2],
        ]
        wrongs: list[Callable[..., object]] = [
            lambda: plain.execute("SELEC"),
            lambda: plain.execute(3),  # type: ignore[arg-type]
            lambda: plain.execute(),  # type: ignore[call-arg]
            lambda: plain.execute("SELECT ?", ()),
            lambda: plain.execute("SELECT 1; SELECT 2"),
            lambda: sqlite3.connect(),  # type: ignore[call-overload]
            lambda: sqlite3.connect(file, nothing=1),  # type: ignore[call-overload]
        ]
        for wrong in wrongs:
            with pytest.raises(Exception) as caught:
                wrong()
            found.append((type(caught.value), str(caught.value)))
        for each in (connection, plain, dicts):
            each.close()
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            plain.execute("SELECT 1")
        return found

    seen: list[object] = []
    found = touched(lambda: seen.append(outcome()))
    adapters.uninstall()
    assert seen == [outcome()]
    assert found.errors == ()


def test_a_temporary_table_is_no_table_of_the_file(file: Path) -> None:
    def work() -> None:
        connection = sqlite3.connect(file)
        connection.execute("CREATE TEMP TABLE mine AS SELECT day FROM prices")
        assert len(connection.execute("SELECT * FROM mine").fetchall()) == 3
        connection.close()

    facts = only(touched(work)).facts
    assert facts is not None
    assert (facts.tables, facts.rows, facts.results) == (("prices",), None, ())


def test_pandas_reads_and_writes_through_it(file: Path) -> None:
    def work() -> None:
        connection = sqlite3.connect(file)
        frame = pd.read_sql("SELECT * FROM prices WHERE day < 3", connection)
        assert frame["day"].tolist() == [1, 2]
        frame.to_sql("copied", connection, index=False)
        connection.close()

    found = touched(work)
    read, written = only(found).facts, only(found, "write").facts
    assert read is not None
    assert written is not None
    assert (read.rows, read.tables, len(read.results)) == (2, ("prices",), 1)
    assert (written.rows, written.tables) == (2, ("copied",))


def test_sqlalchemy_goes_through_it_and_counts_once(file: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.connect():
        pass  # the connection is older than the run

    def work() -> None:
        with engine.begin() as connection:
            rows = connection.execute(sa.text("SELECT * FROM prices WHERE day > :day"), {"day": 1}).all()
            assert len(rows) == 2
            connection.execute(sa.text("INSERT INTO prices VALUES (:day, 1)"), [{"day": 8}, {"day": 9}])

    found = touched(work)
    engine.dispose()
    read, written = only(found), only(found, "write")
    assert read.via == ("sqlite3",)
    assert read.facts is not None
    assert written.facts is not None
    assert (read.facts.rows, written.facts.rows) == (2, 2)
    assert found.unrestorable == ()


def test_aiosqlite_works_for_the_one_who_awaits(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    sqlite3.connect(other).executescript("CREATE TABLE names (a); INSERT INTO names VALUES (1)").close()
    logs = [FileLog(None, size_cap=1) for _ in range(3)]

    async def ask(log: FileLog, path: Path, query: str) -> list[Any]:
        with files.activate(log):
            async with aiosqlite.connect(path) as connection:
                await asyncio.sleep(0)
                assert is_watched(connection)
                async with connection.execute(query) as cursor:
                    return [tuple(row) async for row in cursor]

    async def engine(log: FileLog) -> list[Any]:
        with files.activate(log):
            engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
            async with engine.connect() as connection:
                found = [tuple(row) for row in (await connection.execute(sa.text("SELECT day FROM prices"))).all()]
            await engine.dispose()
            return found

    async def work() -> list[list[Any]]:
        return await asyncio.gather(
            ask(logs[0], file, "SELECT day FROM prices"), ask(logs[1], other, "SELECT a FROM names"), engine(logs[2])
        )

    assert asyncio.run(work()) == [[(1,), (2,), (3,)], [(1,)], [(1,), (2,), (3,)]]
    assert [
        [
            (item.path, item.facts and (item.facts.tables, item.facts.rows, len(item.facts.results)))
            for item in log.close().datasets
        ]
        for log in logs
    ] == [
        [(str(file), (("prices",), 3, 1))],
        [(str(other), (("names",), 1, 1))],
        [(str(file), (("prices",), 3, 1))],
    ]


def test_prefects_own_database_is_nobodys(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_places, "is_database", lambda place: place == str(file))
    connections: list[sqlite3.Connection] = []
    touched(lambda: connections.append(sqlite3.connect(file)))
    assert not is_watched(connections[0])
    assert touched(lambda: connections[0].execute("SELECT * FROM prices").fetchall()) == Touched()


def test_the_place_of_prefects_database_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    import prefect.settings
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings

    assert prefect_places.is_database(f"{prefect.settings.get_current_settings().home}/prefect.db")
    assert not prefect_places.is_database("/data/desk.db")
    with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: "postgresql+asyncpg://me:hunter2@db:6543/state"}):
        assert prefect_places.is_database("db:6543/state")
        assert not prefect_places.is_database("db:6543/desk")
    with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: "sqlite+aiosqlite:////elsewhere/p.db"}):
        assert prefect_places.is_database("/elsewhere/p.db")


def test_in_a_replay_files_lie_in_the_workspace(file: Path, tmp_path: Path) -> None:
    io_adapters.redirect_paths(lambda path, _writes: path.replace("/absent", str(tmp_path)))

    def work() -> None:
        connection = sqlite3.connect("file:/absent/desk.db?mode=ro", uri=True)
        assert len(connection.execute("SELECT * FROM prices").fetchall()) == 3
        connection.close()
        connection = sqlite3.connect(":memory:")
        connection.execute("ATTACH '/absent/desk.db' AS d")
        assert len(connection.execute("SELECT * FROM d.prices").fetchall()) == 3
        connection.execute("VACUUM d INTO '/absent/copy.db'")
        connection.close()

    found = touched(work, original_path=lambda path: path.replace(str(tmp_path), "/absent"))
    assert [(item.direction, item.path) for item in found.datasets] == [
        ("read", "/absent/desk.db"),
        ("write", "/absent/copy.db"),
    ]
    read = only(found).facts
    assert read is not None
    assert (read.tables, read.rows) == (("prices",), 6)


def test_what_goes_wrong_in_recording_breaks_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("lineage_flows.capture.adapters.sqlite.looked_at", broken)
    monkeypatch.setattr("lineage_flows.capture.adapters.rows.Rows.more", broken)
    rows: list[object] = []
    found = touched(lambda: rows.extend(sqlite3.connect(file).execute("SELECT * FROM prices").fetchall()))
    assert rows == ROWS
    assert found.errors == ("recording a statement: RuntimeError: no",)


def test_what_watches_a_database_is_imported_with_its_library_only() -> None:
    program = (
        "import sys; from lineage_flows.capture import adapters; adapters.install(); here = adapters.__name__;"
        "mine = lambda: sorted(name.rpartition('.')[2] for name in sys.modules if name.startswith(here + '.')"
        " and name.rpartition('.')[2] in {'sqlite', 'statements', 'sqlalchemy_sql', 'duckdb_files', 'aiosqlite_threads'});"
        "first = mine(); import sqlite3; print(first, mine(), sqlite3.connect(':memory:').__class__.__mro__[1].__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] ['sqlite', 'statements'] Connection"
