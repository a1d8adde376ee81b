"""Flows whose data is read by libraries in native code, replayed when every file they read is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.replay.test_end_to_end import Desk, assert_identical, desk, verdicts

__all__ = ["desk"]

pytestmark = [pytest.mark.server, pytest.mark.slow]

POLARS = """
from pathlib import Path

import polars as pl
from prefect import flow, task

SHARED = "{shared}"


@task
def patterns():
    far = pl.read_parquet(SHARED + "/parts/*.parquet")
    near = pl.scan_csv("data/*.csv", include_file_paths="path").select("a").collect()
    return far["a"].sum() + near["a"].sum()


@task
def lists():
    return pl.read_parquet([SHARED + "/parts/0.parquet", Path(SHARED) / "parts" / "1.parquet"])


@task
def write():
    frame = pl.DataFrame({{"a": [1.5, 2.5], "k": ["x", "y"]}})
    Path("out").mkdir(exist_ok=True)
    frame.write_parquet("out/made.parquet")
    frame.lazy().sink_csv(SHARED + "/made.csv")
    return frame.height


@task
def read_back(rows):
    return pl.read_parquet("out/made.parquet").vstack(pl.read_csv(SHARED + "/made.csv")), rows


@task
def planned():
    return pl.scan_ndjson(SHARED + "/rows.ndjson").with_columns(b=pl.col("a") * 2).collect().to_dicts()


@flow
def pour():
    total = patterns()
    same = lists()
    back = read_back(write())
    return total, same, back, planned()


if __name__ == "__main__":
    pour()
"""


def test_what_polars_read_is_all_that_a_replay_needs(desk: Desk, tmp_path: Path) -> None:
    import polars as pl

    shared = tmp_path / "shared"
    (shared / "parts").mkdir(parents=True)
    for number in range(2):
        pl.DataFrame({"a": [number, 10], "k": ["x", "y"]}).write_parquet(shared / "parts" / f"{number}.parquet")
    (shared / "rows.ndjson").write_text('{"a": 1}\n{"a": 2}\n')
    desk.write("data/x.csv", "a\n1\n2\n")
    desk.write("data/y.csv", "a\n3\n")
    run = desk.run(POLARS.format(shared=shared))
    # What lies in place of the data when it is made again must not be read, nor written over.
    shutil.rmtree(desk.folder)
    shutil.rmtree(shared)
    (shared / "parts").mkdir(parents=True)
    pl.DataFrame({"a": [77], "k": ["z"]}).write_parquet(shared / "parts" / "9.parquet")
    report = desk.replay(run)
    assert_identical(report)
    assert set(verdicts(report).values()) == {"identical"}
    assert sorted(path.name for path in shared.rglob("*") if path.is_file()) == ["9.parquet"]


DUCKDB = """
from pathlib import Path

import duckdb
import pandas as pd
from prefect import flow, task

SHARED = "{shared}"


@task
def patterns():
    far = duckdb.sql("select sum(a) from '" + SHARED + "/parts/*.parquet'").fetchall()
    near = duckdb.connect().execute("select sum(a) from read_csv(['data/x.csv', 'data/y.csv'])").fetchall()
    return far, near, duckdb.read_json(SHARED + "/rows.ndjson").fetchall()


@task
def database(rows):
    kept = pd.DataFrame({{"a": [row[0] for row in rows]}})
    with duckdb.connect(SHARED + "/desk.db") as connection:
        connection.execute("insert into prices select a from kept")
        return connection.sql("from prices order by a").fetchall(), len(kept)


@task
def write():
    made = pd.DataFrame({{"a": [1.5, 2.5], "k": ["x", "y"]}})
    Path("out").mkdir(exist_ok=True)
    duckdb.sql("copy (select * from made) to 'out/made.parquet' (format parquet)")
    duckdb.sql("from made").write_csv(SHARED + "/made.csv")
    return len(made)


@task
def read_back(rows):
    return duckdb.sql("from 'out/made.parquet' union all from '" + SHARED + "/made.csv' order by a").fetchall(), rows


@task
def attached():
    connection = duckdb.connect()
    connection.execute("attach '" + SHARED + "/desk.db' as desk (read_only)")
    found = connection.execute("select max(a) from desk.prices").fetchall()
    connection.close()
    return found


@flow
def pour():
    total = patterns()
    return total, database([(10,), (20,)]), attached(), read_back(write())


if __name__ == "__main__":
    pour()
"""


def test_what_duckdb_read_is_all_that_a_replay_needs(desk: Desk, tmp_path: Path) -> None:
    import duckdb

    shared = tmp_path / "shared"
    (shared / "parts").mkdir(parents=True)
    for number in range(2):
        duckdb.sql(f"copy (select {number} as a) to '{shared}/parts/{number}.parquet'")
    (shared / "rows.ndjson").write_text('{"a": 1}\n{"a": 2}\n')
    with duckdb.connect(str(shared / "desk.db")) as connection:
        connection.execute("create table prices as select 5 as a")
    desk.write("data/x.csv", "a\n1\n2\n")
    desk.write("data/y.csv", "a\n3\n")
    run = desk.run(DUCKDB.format(shared=shared))
    # As above; and the database that lies there now is another.
    shutil.rmtree(desk.folder)
    shutil.rmtree(shared)
    (shared / "parts").mkdir(parents=True)
    duckdb.sql(f"copy (select 77 as a) to '{shared}/parts/9.parquet'")
    with duckdb.connect(str(shared / "desk.db")) as connection:
        connection.execute("create table prices as select 99 as a")
    before = (shared / "desk.db").read_bytes()
    report = desk.replay(run)
    assert_identical(report)
    assert set(verdicts(report).values()) == {"identical"}
    assert sorted(path.name for path in shared.rglob("*") if path.is_file()) == ["9.parquet", "desk.db"]
    assert (shared / "desk.db").read_bytes() == before
