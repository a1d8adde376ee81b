"""What real flows ask of databases: in the record, in valid events, as artifacts of the graph, and in a replay."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from lineage_flows.records import DatasetRef, StepRecord
from tests.events.test_captured_objects import artifacts, ends, payloads, replayed
from tests.support.flows import run_script
from tests.support.openlineage import check
from tests.support.postgres import postgres

pytestmark = [pytest.mark.server, pytest.mark.slow]

FLOW = """
import asyncio, os, sqlite3
import duckdb
import pandas as pd
import sqlalchemy as sa
from prefect import flow, task
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

DESK = os.environ["DESK"]
ENGINE = create_async_engine(os.environ["PG"], poolclass=NullPool)

@task
def load():
    connection = sqlite3.connect(DESK)
    frame = pd.read_sql("SELECT * FROM prices WHERE name <> 'hunter2' ORDER BY day", connection)
    connection.close()
    return frame

@task
async def store(frame):
    async with ENGINE.begin() as connection:
        await connection.execute(sa.text("INSERT INTO prices VALUES (:day, :close, 'hunter2')"),
                                 frame[["day", "close"]].to_dict("records"))
        await connection.execute(sa.text("INSERT INTO totals SELECT sum(close) FROM prices"))
    return len(frame)

@task
async def quote(_):
    async with ENGINE.connect() as connection:
        return float((await connection.execute(sa.text("SELECT total FROM totals"))).scalar_one())

@task
def report(frame, total):
    duckdb.sql(f"copy (select day, close / {total} as part from frame order by day) to 'report.csv'")
    with sqlite3.connect("report.db") as connection:
        connection.execute("CREATE TABLE report AS SELECT 1 AS day")
        connection.execute("ATTACH ? AS desk", (DESK,))
        connection.execute("INSERT INTO report SELECT day FROM desk.prices")
    connection.close()
    return duckdb.sql("from 'report.csv'").fetchall()

@flow
def queries():
    frame = load()
    total = asyncio.run(both(frame))
    return report(frame, total)

async def both(frame):
    return await quote(await store(frame))

if __name__ == "__main__":
    print("RESULT", queries())
"""


def touched(step: StepRecord, direction: str) -> dict[str, DatasetRef]:
    return {Path(item.name).name: item for item in step.datasets if item.direction == direction}


def test_queries(tmp_path: Path, prefect_server: str) -> None:
    desk = tmp_path / "desk.db"
    with sqlite3.connect(desk) as connection:
        connection.executescript(
            "CREATE TABLE prices (day INTEGER, close REAL, name TEXT); INSERT INTO prices VALUES (1, 2.5, 'a'), (2, 1.5, 'b')"
        )
    connection.close()
    with postgres() as url:

        async def ask(*statements: str) -> list[object]:
            engine = create_async_engine(url)
            async with engine.begin() as server:
                found = [
                    [tuple(row) for row in result]
                    if (result := await server.execute(sa.text(text))).returns_rows
                    else None
                    for text in statements
                ]
            await engine.dispose()
            return found

        asyncio.run(ask("CREATE TABLE prices (day int, close float, name text)", "CREATE TABLE totals (total float)"))
        ran = run_script(
            FLOW, tmp_path / "project", tmp_path / "home", PREFECT_API_URL=prefect_server, DESK=str(desk), PG=url
        )
        assert ran.code == 0, ran.err
        assert "RESULT [(1, 0.625), (2, 0.375)]" in ran.out
        namespace = f"postgres://127.0.0.1:{sa.engine.make_url(url).port}"

        load, store, quote, report = (ran.step(name) for name in ("load", "store", "quote", "report"))
        assert [step.capture_errors for step in (load, store, quote, report)] == [(), (), (), ()]
        read = touched(load, "read")["desk.db"].facts
        assert read is not None
        assert (read.rows, read.tables, len(read.results)) == (2, ("prices",), 1)
        assert load.unrestorable == ()
        assert set(touched(store, "write")) == {"postgres.public.prices", "postgres.public.totals"}
        assert set(touched(store, "read")) == {"postgres.public.prices"}
        assert f"query not repeatable: reads {namespace}/postgres" in store.unrestorable
        assert set(touched(quote, "read")) == {"postgres.public.totals"}
        assert set(touched(report, "write")) == {"report.csv", "report.db"}
        assert set(touched(report, "read")) == {"desk.db"}

        sent = payloads(ran)
        assert check(sent) == []
        assert not any(
            b"hunter2" in payload for payload in sent if b"SELECT" in payload and b"sourceCode" not in payload
        )
        (table,) = [one for one in ends(ran)["queries.quote"]["inputs"] if one["namespace"] == namespace]
        assert table["name"] == "postgres.public.totals"
        assert table["inputFacets"]["inputStatistics"]["rowCount"] == 1
        assert table["facets"]["lineageFlows_artifact"]["statements"] == ["SELECT total FROM totals"]
        assert len(table["facets"]["lineageFlows_artifact"]["results"]) == 1

        found = artifacts(ran, f"{namespace}/")
        assert {name: (made, readers) for name, (_, made, readers) in found.items()} == {
            "postgres.public.prices": (["store"], ["store"]),
            "postgres.public.totals": (["store"], ["quote"]),
        }

        counted = asyncio.run(ask("SELECT count(*) FROM prices"))
        desk.unlink()
        (tmp_path / "project" / "report.csv").unlink()
        answer = replayed(ran, ran.flows()["queries"].run_id, PREFECT_API_URL=prefect_server, DESK=str(desk), PG=url)
        assert answer["verdict"] in {"identical", "equivalent"}, answer
        assert {step["task"]: step["verdict"] for step in answer["steps"]} == {
            "load": "identical",
            "store": "restored",
            "quote": "restored",
            "report": "identical",
        }
        assert asyncio.run(ask("SELECT count(*) FROM prices")) == counted, "nothing is written into a server again"
        assert not desk.exists()
