"""Columns that a step writes through SQLAlchemy into tables of a server: a real PostgreSQL, where one is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from lineage_flows.capture import adapters, files
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.left_out import LeftOut
from lineage_flows.policy import Decision
from lineage_flows.records import DatasetRef
from tests.support.postgres import postgres

pytestmark = pytest.mark.usefixtures("libraries_watched")

TABLES = (
    "CREATE TABLE prices (day int, close float)",
    "CREATE TABLE rates (day int, rate float)",
    "CREATE TABLE signals (day int, level float, PRIMARY KEY (day))",
    'CREATE TABLE "Report" (day int, "Level" float)',
    "INSERT INTO prices VALUES (1, 2.5), (2, 4.5)",
    "INSERT INTO rates VALUES (1, 2), (2, 2)",
)
COPY = "INSERT INTO signals (day, level) SELECT p.day, p.close * r.rate FROM prices p JOIN rates r ON p.day = r.day"
Work = Callable[[AsyncConnection], Awaitable[None]]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    async def prepare(connection: AsyncConnection) -> None:
        await connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        await connection.execute(sa.text("CREATE SCHEMA public"))
        for statement in TABLES:
            await connection.execute(sa.text(statement))

    adapters.uninstall()
    asyncio.run(within(server, prepare))
    adapters.install()
    return server


async def within(url: str, work: Work) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        await work(connection)
    await engine.dispose()


def executing(*statements: str) -> Work:
    async def work(connection: AsyncConnection) -> None:
        for statement in statements:
            await connection.execute(sa.text(statement))

    return work


def datasets(url: str, work: Work, left_out: LeftOut | None = None) -> list[DatasetRef]:
    log = FileLog(None, size_cap=1 << 20, left_out=left_out)
    with files.activate(log):
        asyncio.run(within(url, work))
    found = log.close()
    assert found.errors == ()
    tables = [item for item in found.datasets if item.namespace.startswith("postgres://")]
    named = {(item.namespace, item.name) for item in tables if item.direction == "read"}
    for item in tables:
        for edge in item.column_lineage:
            assert {(source.namespace, source.name) for source in edge.inputs} <= named
            assert edge.known_by == "statement"
    return tables


def said(found: list[DatasetRef]) -> set[str]:
    return {
        f"{item.name.rpartition('.')[2]}.{edge.output or '*'} {edge.how} {source.name.rpartition('.')[2]}.{source.column}"
        for item in found
        for edge in item.column_lineage
        for source in edge.inputs
    }


COPIED = {
    "signals.day identity prices.day",
    "signals.level transformation prices.close",
    "signals.level transformation rates.rate",
    "signals.* join prices.day",
    "signals.* join rates.day",
}


def test_columns_of_tables_are_named_by_the_tables_that_were_read(url: str) -> None:
    found = datasets(url, executing(COPY))
    assert said(found) == COPIED
    (written,) = [item for item in found if item.direction == "write"]
    assert written.name == "postgres.public.signals"


def test_several_statements_say_what_is_true_of_each(url: str) -> None:
    upsert = "INSERT INTO signals (day, level) SELECT day, close FROM prices ON CONFLICT (day) DO UPDATE SET level = excluded.level"
    quoted = 'INSERT INTO "Report" (DAY, "Level") SELECT s.Day, s.level FROM Signals AS s'
    update = "UPDATE signals SET level = r.rate FROM rates r WHERE signals.day = r.day"
    assert said(datasets(url, executing(upsert, update, quoted))) == {
        "signals.day identity prices.day",
        "signals.level identity prices.close",
        "signals.level identity rates.rate",
        "signals.level filter rates.day",
        "Report.day identity signals.day",
        "Report.Level identity signals.level",
    }


def test_what_was_rolled_back_says_nothing(url: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        nested = await connection.begin_nested()
        await connection.execute(sa.text(COPY))
        await nested.rollback()
        await connection.execute(sa.text("INSERT INTO signals (day) SELECT day FROM rates"))

    assert said(datasets(url, work)) == {"signals.day identity rates.day"}


def test_a_table_that_is_left_out_is_named_by_no_column(url: str) -> None:
    left_out = LeftOut(Decision(emit=True, level="inputs", size_cap=1 << 20, exclude_datasets=("*.rates",)))
    found = datasets(url, executing(COPY), left_out)
    assert said(found) == {item for item in COPIED if "rates" not in item}
    assert "rates" not in str([item.column_lineage for item in found])


def test_tables_of_the_connection_alone_are_not_named(url: str) -> None:
    found = datasets(
        url,
        executing("CREATE TEMP TABLE kept AS SELECT day FROM prices", "INSERT INTO signals (day) SELECT day FROM kept"),
    )
    assert said(found) == set()


def test_an_expression_of_sqlalchemy_says_its_columns(url: str) -> None:
    prices = sa.table("prices", sa.column("day"), sa.column("close"))
    signals = sa.table("signals", sa.column("day"), sa.column("level"))
    latest = sa.select(prices.c.day, sa.func.max(prices.c.close).label("top")).group_by(prices.c.day).cte("latest")
    query = sa.select(latest.c.day, latest.c.top + 1).where(latest.c.top > 2)

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(signals.insert().from_select(["day", "level"], query))

    assert said(datasets(url, work)) == {
        "signals.day identity prices.day",
        "signals.level aggregation prices.close",
        "signals.* group_by prices.day",
        "signals.* filter prices.close",
    }
