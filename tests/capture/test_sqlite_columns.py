"""Columns that a step writes into files of SQLite: what is said of them, and only of what is there for good."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
import sqlalchemy as sa

from lineage_flows.capture import files
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.left_out import LeftOut
from lineage_flows.policy import Decision
from lineage_flows.records import DatasetRef

pytestmark = pytest.mark.usefixtures("libraries_watched")

COPY = "INSERT INTO signals (day, level) SELECT day, close * 2 FROM prices WHERE close > 0"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "desk.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE prices (day INTEGER, close REAL); INSERT INTO prices VALUES (1, 2.5), (2, 4.5);"
            "CREATE TABLE signals (day INTEGER, level REAL)"
        )
    connection.close()
    return path


def datasets(work: Callable[[], object], left_out: LeftOut | None = None) -> tuple[DatasetRef, ...]:
    log = FileLog(None, size_cap=1 << 20, left_out=left_out)
    with files.activate(log):
        work()
    found = log.close()
    assert found.errors == ()
    return found.datasets


def said(work: Callable[[], object]) -> set[str]:
    """``FILE:table.column how FILE:table.column`` of all that was written."""
    return {
        f"{Path(item.name).name}:{edge.output} {edge.how} {Path(source.name).name}:{source.column}"
        for item in datasets(work)
        for edge in item.column_lineage
        for source in edge.inputs
    }


COPIED = {
    "desk.db:signals.day identity desk.db:prices.day",
    "desk.db:signals.level transformation desk.db:prices.close",
    "desk.db:signals.day filter desk.db:prices.close",
    "desk.db:signals.level filter desk.db:prices.close",
}


def committing(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute(COPY)
    connection.commit()
    connection.close()


def leaving(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(COPY.upper())
    connection.close()


def at_once(file: Path) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.cursor().execute(COPY)
    connection.close()


def by_statement(file: Path) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute(COPY)
    connection.execute("COMMIT")
    connection.close()


def script(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.executescript(f"SELECT 1; BEGIN; {COPY}; COMMIT")
    connection.close()


def before_a_script(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute(COPY)
    connection.executescript("SELECT 1")
    connection.close()


def through_sqlalchemy(file: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{file}")
    prices = sa.table("prices", sa.column("day"), sa.column("close"))
    signals = sa.table("signals", sa.column("day"), sa.column("level"))
    query = sa.select(prices.c.day, prices.c.close * 2).where(prices.c.close > 0)
    with engine.begin() as connection:
        connection.execute(signals.insert().from_select(["day", "level"], query))
    engine.dispose()


def through_aiosqlite(file: Path) -> None:
    async def work() -> None:
        async with aiosqlite.connect(file) as connection:
            await connection.execute(COPY)
            await connection.commit()

    asyncio.run(work())


WAYS = [
    committing,
    leaving,
    at_once,
    by_statement,
    script,
    before_a_script,
    through_sqlalchemy,
    through_aiosqlite,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
def test_what_is_written_for_good_says_its_columns(file: Path, way: Callable[[Path], None]) -> None:
    assert said(lambda: way(file)) == COPIED
    rows = sqlite3.connect(file).execute("SELECT * FROM signals").fetchall()
    assert rows == [(1, 5.0), (2, 9.0)]


def rolled_back(connection: sqlite3.Connection) -> None:
    connection.execute(COPY)
    connection.rollback()


def left_by_an_error(connection: sqlite3.Connection) -> None:
    with pytest.raises(ZeroDivisionError), connection:
        connection.execute(COPY)
        raise ZeroDivisionError


def by_a_statement(connection: sqlite3.Connection) -> None:
    connection.execute(COPY)
    connection.execute("ROLLBACK")


def to_a_savepoint(connection: sqlite3.Connection) -> None:
    connection.execute("SAVEPOINT here")
    connection.execute(COPY)
    connection.execute("ROLLBACK TO here")
    connection.commit()


def in_a_script(connection: sqlite3.Connection) -> None:
    connection.executescript(f"SELECT 1; BEGIN; {COPY}; ROLLBACK")


def by_a_conflict(connection: sqlite3.Connection) -> None:
    connection.execute(COPY)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT OR ROLLBACK INTO days VALUES (1)")
    connection.commit()


def never(connection: sqlite3.Connection) -> None:
    connection.execute(COPY)


TAKEN_BACK = [rolled_back, left_by_an_error, by_a_statement, to_a_savepoint, in_a_script, by_a_conflict]


@pytest.mark.parametrize("way", [*TAKEN_BACK, never], ids=lambda way: str(way.__name__))
def test_what_was_taken_back_says_nothing(file: Path, way: Callable[[sqlite3.Connection], None]) -> None:
    def work() -> None:
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE days (day INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO days SELECT day FROM prices")
        connection.commit()
        way(connection)
        connection.close()

    assert said(work) == set()
    assert sqlite3.connect(file).execute("SELECT * FROM signals").fetchall() == []


def test_a_connection_of_the_user_s_own_class_answers_as_it_did(file: Path) -> None:
    class Own(sqlite3.Connection):
        def commit(self, *, why: str = "") -> str:  # type: ignore[override]
            super().commit()
            return why

    def work() -> None:
        connection = sqlite3.connect(file, factory=Own)
        connection.execute(COPY)
        assert connection.commit(why="it is time") == "it is time"
        connection.execute(COPY)
        connection.close()
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.commit()

    assert said(work) == COPIED


def test_a_statement_that_is_repeated_in_one_transaction_is_kept_once(file: Path) -> None:
    connections: list[Any] = []

    def work() -> None:
        connections.append(sqlite3.connect(file))
        for _ in range(50):
            connections[0].execute(COPY)
        assert len(connections[0]._lineage_pending) == 1
        connections[0].commit()

    assert said(work) == COPIED
    assert connections[0]._lineage_pending is None
    connections[0].close()


def test_what_was_committed_before_is_still_said(file: Path) -> None:
    def work() -> None:
        connection = sqlite3.connect(file)
        connection.execute(COPY)
        connection.commit()
        connection.execute("INSERT INTO signals (level) SELECT day FROM prices")
        connection.rollback()
        connection.close()

    assert said(work) == COPIED


def test_tables_of_two_files_are_told_apart(file: Path, tmp_path: Path) -> None:
    def work() -> None:
        connection = sqlite3.connect(tmp_path / "report.db")
        connection.execute("ATTACH ? AS desk", (str(file),))
        connection.execute("CREATE TABLE report AS SELECT day, close AS Price FROM desk.prices")
        connection.execute("INSERT INTO main.report (price) SELECT level FROM desk.signals")
        connection.execute(
            "INSERT INTO report (day) SELECT day FROM desk.prices"
        )  # in which of the two files is not said
        connection.execute("INSERT INTO main.report (day) SELECT level FROM signals")
        connection.commit()
        connection.close()

    assert said(work) == {
        "report.db:report.day identity desk.db:prices.day",
        "report.db:report.price identity desk.db:prices.close",
        "report.db:report.price identity desk.db:signals.level",
    }


def test_a_table_of_the_connection_alone_is_not_named(file: Path) -> None:
    def work() -> None:
        connection = sqlite3.connect(file)
        connection.execute("CREATE TEMP TABLE Kept AS SELECT day FROM prices")
        connection.execute("INSERT INTO signals (day) SELECT day FROM kept")
        connection.commit()
        connection.close()

    assert said(work) == set()


def test_a_file_that_is_left_out_is_not_named(file: Path, tmp_path: Path) -> None:
    def work() -> None:
        connection = sqlite3.connect(tmp_path / "report.db")
        connection.execute("CREATE TABLE report (day)")
        connection.execute("ATTACH ? AS desk", (str(file),))
        connection.execute("INSERT INTO main.report (day) SELECT day FROM desk.prices")
        connection.commit()
        connection.close()

    decision = Decision(emit=True, level="inputs", size_cap=1 << 20, exclude_datasets=("*desk.db",))
    found = datasets(work, LeftOut(decision))
    assert [(Path(item.name).name, item.column_lineage) for item in found] == [("report.db", ())]


def test_a_table_that_the_step_itself_put_into_a_new_file_is_none_that_it_read(tmp_path: Path) -> None:
    def work() -> None:
        connection = sqlite3.connect(tmp_path / "new.db")
        connection.execute("CREATE TABLE a (x)")
        connection.execute("CREATE TABLE b AS SELECT x FROM a")
        connection.commit()
        connection.close()

    assert said(work) == set()


@pytest.mark.parametrize("one_text", [True, False])
def test_what_the_step_itself_has_put_into_a_table_is_not_said_of_the_file_it_was_given(
    file: Path, one_text: bool
) -> None:
    statements = [
        "DROP TABLE IF EXISTS signals",
        "CREATE TABLE signals AS SELECT close AS level FROM prices",
        "CREATE TABLE totals AS SELECT sum(level) AS total FROM Signals",
        "INSERT INTO totals (total) SELECT close FROM prices",
    ]

    def work() -> None:
        connection = sqlite3.connect(file)
        for text in ["; ".join(statements)] if one_text else statements:
            connection.executescript(text) if one_text else connection.execute(text)
        connection.commit()
        connection.close()

    assert said(work) == {
        "desk.db:signals.level identity desk.db:prices.close",
        "desk.db:totals.total identity desk.db:prices.close",
    }


def test_a_name_with_a_dot_would_not_say_which_is_the_column(file: Path) -> None:
    def work() -> None:
        connection = sqlite3.connect(file)
        connection.execute('CREATE TABLE "a.b" AS SELECT day FROM prices')
        connection.commit()
        connection.close()

    assert said(work) == set()
