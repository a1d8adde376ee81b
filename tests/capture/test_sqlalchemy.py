"""Tables that a step reads and writes through SQLAlchemy: a real PostgreSQL where one is installed, and names of all the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from lineage_flows.capture import adapters, files, prefect_places, seams
from lineage_flows.capture.adapters.databases import database_of
from lineage_flows.capture.adapters.sqlalchemy_sql import SqlalchemyAdapter
from lineage_flows.capture.files import FileLog, Touched
from lineage_flows.records import DatasetRef
from tests.support.dict_store import DictStore
from tests.support.postgres import postgres

pytestmark = pytest.mark.usefixtures("libraries_watched")


# ----------------------------------------------------------------------------------------------------------------- names

NAMES = [
    ("postgresql://me:hunter2@DB/desk", "public", ("prices",), "postgres://db:5432", "desk.public.prices"),
    ("postgresql://db:6543/desk", "public", ("ref", "prices"), "postgres://db:6543", "desk.ref.prices"),
    ("postgresql://db/desk", "public", ("other", "ref", "prices"), "postgres://db:5432", "other.ref.prices"),
    ("postgresql://[::1]/desk", None, ("prices",), "postgres://[::1]:5432", "desk.prices"),
    ("mysql://db/desk", "desk", ("prices",), "mysql://db:3306", "desk.prices"),
    ("mysql://db/desk", "desk", ("other", "prices"), "mysql://db:3306", "other.prices"),
    ("mssql://db/desk", "dbo", ("prices",), "mssql://db:1433", "desk.dbo.prices"),
    ("oracle://db/?service_name=x", "me", ("PRICES",), "oracle://db:1521", "x.me.PRICES"),
    ("snowflake://me:hunter2@org-account/desk/raw", None, ("PRICES",), "snowflake://org-account", "desk.raw.PRICES"),
    ("trino://me@db/hive/raw", None, ("prices",), "trino://db:8080", "hive.raw.prices"),
    ("bigquery://project/raw", None, ("prices",), "bigquery", "project.raw.prices"),
    ("postgresql://", "public", ("prices",), "postgres", "prices"),
    ("unheard+of://db:1/desk", None, ("prices",), "unheard://db:1", "desk.prices"),
]


@pytest.mark.parametrize(("url", "schema", "table", "namespace", "name"), NAMES)
def test_tables_are_named_as_openlineage_names_them(
    url: str, schema: str | None, table: tuple[str, ...], namespace: str, name: str
) -> None:
    parsed = sa.engine.make_url(url)
    dialect = SimpleNamespace(name=parsed.get_backend_name(), default_schema_name=schema)
    database = database_of(parsed, dialect)
    target = database.table(table)
    assert (target.namespace, target.name, target.uri) == (namespace, name, f"{namespace}/{name}")
    assert "hunter2" not in str((database, target, database.itself(), database.label))


def test_a_version_without_events_is_left_alone() -> None:
    with pytest.raises(seams.SeamMissingError, match="no events of engines"):
        SqlalchemyAdapter().install(ModuleType("sqlalchemy"))


# ------------------------------------------------------------------------------------------------------------ PostgreSQL


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    async def prepare(connection: AsyncConnection) -> None:
        for statement in (
            "DROP SCHEMA IF EXISTS ref CASCADE", "DROP TABLE IF EXISTS prices, sums", "CREATE SCHEMA ref",
            "CREATE TABLE prices (day int, name text, close numeric)", "CREATE TABLE sums (n int)",
            "CREATE TABLE ref.prices (day int)",
            "INSERT INTO prices VALUES (1, 'a', 1.5), (2, 'b', NULL), (3, 'hunter2', 'NaN')",
        ):  # fmt: skip
            await connection.execute(sa.text(statement))

    adapters.uninstall()
    asyncio.run(within(server, prepare))
    adapters.install()
    return server


async def within(url: str, work: Callable[[AsyncConnection], Awaitable[None]], **options: Any) -> None:
    engine = create_async_engine(url, poolclass=NullPool, **options)
    async with engine.begin() as connection:
        await work(connection)
    await engine.dispose()


def touched(url: str, work: Callable[[AsyncConnection], Awaitable[None]], **options: Any) -> Touched:
    log = FileLog(DictStore(), size_cap=1 << 20)
    with files.activate(log):
        asyncio.run(within(url, work, **options))
    return log.close()


def said(found: Touched) -> list[tuple[str, str, int | None]]:
    assert found.errors == ()
    return [(item.direction, item.name, item.facts.rows if item.facts else None) for item in found.datasets]


def the(found: Touched, name: str) -> DatasetRef:
    (one,) = (item for item in found.datasets if item.name == name)
    return one


def test_tables_are_read_and_written_under_their_names(url: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        rows = await connection.execute(sa.text("SELECT * FROM Prices WHERE name <> :n ORDER BY day"), {"n": "zzz"})
        assert len(rows.all()) == 3
        await connection.execute(sa.text("INSERT INTO sums SELECT day FROM prices WHERE name = 'hunter2'"))
        await connection.execute(sa.text("INSERT INTO sums VALUES (:n)"), [{"n": n} for n in range(3)])
        await connection.execute(sa.text("SELECT day FROM ref.prices"))

    found = touched(url, work)
    assert said(found) == [
        ("read", "postgres.public.prices", 3),
        ("read", "postgres.ref.prices", 0),
        ("write", "postgres.public.sums", None),  # the driver does not count what many parameters change
    ]
    port = sa.engine.make_url(url).port
    read = the(found, "postgres.public.prices")
    assert read.namespace == f"postgres://127.0.0.1:{port}"
    assert read.uri == f"postgres://127.0.0.1:{port}/postgres.public.prices"
    assert (read.fingerprint, read.blob, read.via) == (None, None, ("sqlalchemy.postgresql",))
    assert read.facts is not None
    assert len(read.facts.results) == 1
    assert read.facts.statements == (
        "SELECT * FROM Prices WHERE name <> $1 ORDER BY day",
        "INSERT INTO sums SELECT day FROM prices WHERE name = ?",
    )
    assert f"query not repeatable: reads postgres://127.0.0.1:{port}/postgres" in found.unrestorable
    assert f"statement not repeatable: writes postgres://127.0.0.1:{port}/postgres" in found.unrestorable
    assert "hunter2" not in str(found)


def test_a_result_has_the_same_fingerprint_however_it_is_fetched(url: str) -> None:
    async def every(connection: AsyncConnection) -> None:
        assert len((await connection.execute(QUERY)).all()) == 3

    async def one_by_one(connection: AsyncConnection) -> None:
        result = await connection.execute(QUERY)
        assert len(list(iter(result.fetchone, None))) == 3

    async def some(connection: AsyncConnection) -> None:
        result = await connection.execute(QUERY)
        assert [len(result.fetchmany(2)) for _ in range(2)] == [2, 1]

    async def streamed(connection: AsyncConnection) -> None:
        async with connection.stream(QUERY) as result:
            assert len([row async for row in result]) == 3

    async def mappings(connection: AsyncConnection) -> None:
        assert len((await connection.execute(QUERY)).mappings().all()) == 3

    seen = set()
    for way in (every, one_by_one, some, streamed, mappings):
        found = touched(url, way)
        assert said(found) == [("read", "postgres.public.prices", 3)], way.__name__
        facts = found.datasets[0].facts
        assert facts is not None
        assert len(facts.results) == 1, way.__name__
        seen.update(facts.results)
    assert len(seen) == 1


QUERY = sa.text(
    "SELECT day, name, close, now() = now() AS yes, NULL AS no, '\\x00ff'::bytea AS b FROM prices ORDER BY day"
)


def test_a_result_that_is_left_half_read_has_no_fingerprint(url: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        result = await connection.execute(sa.text("SELECT day FROM prices"))
        assert result.fetchone() is not None
        result.close()
        assert (await connection.execute(sa.text("SELECT count(*) FROM ref.prices"))).scalar() == 0

    found = touched(url, work)
    facts = the(found, "postgres.public.prices").facts
    assert facts is not None
    assert (facts.rows, facts.results) == (1, ())


def test_what_is_taken_back_was_not_written(url: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(sa.text("INSERT INTO sums VALUES (1)"))
        inner = await connection.begin_nested()
        await connection.execute(sa.text("INSERT INTO prices VALUES (9)"))
        await inner.rollback()
        async with connection.begin_nested():
            await connection.execute(sa.text("INSERT INTO ref.prices VALUES (9)"))

    assert said(touched(url, work)) == [("write", "postgres.public.sums", 1), ("write", "postgres.ref.prices", 1)]

    async def failing(connection: AsyncConnection) -> None:
        await connection.execute(sa.text("INSERT INTO sums VALUES (1)"))
        await connection.execute(sa.text("INSERT INTO nothing VALUES ('hunter2')"))

    log = FileLog(None, size_cap=1)
    with files.activate(log), pytest.raises(sa.exc.DBAPIError):
        asyncio.run(within(url, failing))
    found = log.close()
    assert said(found) == []
    assert "hunter2" not in str(found)


def test_where_every_statement_commits_itself_all_are_written(url: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(sa.text("INSERT INTO sums VALUES (1)"))
        raise RuntimeError("SQLAlchemy rolls back what is committed already")

    def failing(url: str) -> Touched:
        log = FileLog(None, size_cap=1)
        with files.activate(log), pytest.raises(RuntimeError, match="rolls back"):
            asyncio.run(within(url, work, isolation_level="AUTOCOMMIT"))
        return log.close()

    assert said(failing(url)) == [("write", "postgres.public.sums", 1)]


def test_what_was_not_committed_when_the_run_ended_says_so(url: str) -> None:
    log = FileLog(None, size_cap=1)

    async def work(engine: AsyncEngine) -> None:
        connection = await engine.connect()
        with files.activate(log):
            await connection.execute(sa.text("INSERT INTO sums VALUES (1)"))
        found.append(log.close())
        await connection.commit()
        await connection.close()
        await engine.dispose()

    found: list[Touched] = []
    asyncio.run(work(create_async_engine(url, poolclass=NullPool)))
    (one,) = found[0].datasets
    assert (one.direction, one.note) == ("write", "not committed when the run ended")


def test_a_temporary_table_is_no_data(url: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(sa.text("CREATE TEMP TABLE mine AS SELECT day FROM prices"))
        await connection.execute(sa.text("INSERT INTO mine VALUES (9)"))
        await connection.execute(sa.text("INSERT INTO sums SELECT day FROM mine"))

    assert [(direction, name) for direction, name, _ in said(touched(url, work))] == [
        ("read", "postgres.public.prices"),
        ("write", "postgres.public.sums"),
    ]


def test_where_the_search_path_was_changed_the_schema_is_not_claimed(url: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(sa.text("SET search_path TO ref"))
        await connection.execute(sa.text("SELECT day FROM prices"))
        await connection.execute(sa.text("SELECT day FROM public.prices"))

    found = touched(url, work)
    assert (found.datasets[0].name, found.datasets[0].note) == (
        "postgres.prices",
        "its schema is not known: the search path was changed",
    )
    assert found.datasets[1].name == "postgres.public.prices"


def test_what_cannot_be_parsed_is_said_of_the_whole_database(url: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(
            sa.text("CREATE PROCEDURE p(x text DEFAULT 'hunter2') LANGUAGE SQL AS $$ SELECT 'hunter2' $$")
        )
        await connection.execute(sa.text("DROP PROCEDURE p"))

    found = touched(url, work)
    assert "hunter2" not in str(found)
    assert found.errors == ()


def test_prefects_own_database_is_nobodys(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = sa.engine.make_url(url)
    own = f"127.0.0.1:{parsed.port}/postgres"
    monkeypatch.setattr(prefect_places, "is_database", lambda place: place == own)

    async def work(connection: AsyncConnection) -> None:
        assert len((await connection.execute(sa.text("SELECT day FROM prices"))).all()) == 3
        await connection.execute(sa.text("INSERT INTO sums VALUES (1)"))

    found = touched(url, work)
    assert found.datasets == ()
    assert not [text for text in found.unrestorable if "repeatable" in text]


def test_tasks_that_are_gathered_each_have_their_own(url: str) -> None:
    logs = {"prices": FileLog(None, size_cap=1), "sums": FileLog(None, size_cap=1)}

    async def one(engine: AsyncEngine, table: str) -> None:
        with files.activate(logs[table]):
            async with engine.begin() as connection:
                for _ in range(5):
                    (await connection.execute(sa.text(f"SELECT * FROM {table}"))).all()
                    await asyncio.sleep(0)

    async def work() -> None:
        engine = create_async_engine(url)
        await asyncio.gather(*(one(engine, table) for table in logs))
        await engine.dispose()

    asyncio.run(work())
    assert {table: [item.name for item in log.close().datasets] for table, log in logs.items()} == {
        "prices": ["postgres.public.prices"],
        "sums": ["postgres.public.sums"],
    }
