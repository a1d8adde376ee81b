"""The files that duckdb opens: those its functions are given, those its SQL names, and databases; its SQL sees its caller."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from lineage_flows.capture import adapters, io_adapters
from lineage_flows.capture.duckdb_sql import named, tokens_of, with_paths
from lineage_flows.content import fingerprint_file
from tests.support import watched

pytestmark = pytest.mark.usefixtures("libraries_watched")

GLOBAL = pd.DataFrame({"a": [7]})


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "a.csv").write_text("a,k\n1,x\n2,y\n")
    (folder / "b.csv").write_text("a,k\n3,x\n")
    (folder / "r.json").write_text('{"a": 1}\n')
    GLOBAL.to_parquet(folder / "t.parquet")
    with duckdb.connect(str(folder / "x.db")) as connection:
        connection.execute("create table t as select 42 as a")
    return folder


touched = partial(watched.touched, size_cap=1 << 22)


READS: dict[str, tuple[list[str], Callable[[], object]]] = {
    "duckdb.sql": (["a.csv"], lambda: duckdb.sql("select * from 'a.csv'").fetchall()),
    "duckdb.query": (["a.csv"], lambda: duckdb.query("from 'a.csv'").df()),
    "duckdb.execute": (["a.csv"], lambda: duckdb.execute("FROM read_csv('a.csv', delim=',')").fetchall()),
    "connection.sql": (["t.parquet"], lambda: duckdb.connect().sql("from t.parquet").fetchall()),
    "connection.execute": (["t.parquet"], lambda: duckdb.connect().execute('select * from "t.parquet"').fetchall()),
    "of a statement": (
        ["a.csv"],
        lambda: duckdb.connect().execute(duckdb.extract_statements("from 'a.csv'")[0]).fetchall(),
    ),
    "connection.read_csv": (["a.csv"], lambda: duckdb.connect().read_csv("a.csv").fetchall()),
    "duckdb.read_csv of a list": (["a.csv", "b.csv"], lambda: duckdb.read_csv(["a.csv", "b.csv"]).fetchall()),
    "duckdb.read_csv of a pattern": (["a.csv", "b.csv"], lambda: duckdb.read_csv("*.csv").fetchall()),
    "duckdb.read_parquet": (["t.parquet"], lambda: duckdb.read_parquet("t.parquet").fetchall()),
    "duckdb.from_parquet": (["t.parquet"], lambda: duckdb.from_parquet("t.parquet").fetchall()),
    "duckdb.read_json": (["r.json"], lambda: duckdb.read_json("r.json").fetchall()),
    "connection.table": (["a.csv"], lambda: duckdb.connect().table("a.csv").fetchall()),
    "SQL with a list": (["a.csv", "b.csv"], lambda: duckdb.sql("from read_csv(['a.csv', 'b.csv'])").fetchall()),
    "SQL with a pattern": (["a.csv", "b.csv"], lambda: duckdb.sql("from read_csv('[ab].csv')").fetchall()),
    "SQL with a join": (
        ["a.csv", "b.csv"],
        lambda: duckdb.sql("select * from 'a.csv' x, 'b.csv' y where x.k = y.k and x.k = 'x'").fetchall(),
    ),
    "SQL with a subquery": (
        ["a.csv", "t.parquet"],
        lambda: duckdb.sql("with q as (from 'a.csv') select * from q where a < (select max(a) from 't.parquet')").df(),
    ),
    "SQL that makes a table": (["a.csv"], lambda: duckdb.connect().execute("create table q as from 'a.csv'")),
    "COPY FROM": (
        ["a.csv"],
        lambda: duckdb.connect().execute("create table q(a int, k text); copy q from 'a.csv' (header)"),
    ),
    "SUMMARIZE": (["a.csv"], lambda: duckdb.sql("summarize 'a.csv'").fetchall()),
    "PIVOT": (["a.csv"], lambda: duckdb.sql("pivot 'a.csv' on k using sum(a)").fetchall()),
    "connect": (["x.db"], lambda: duckdb.connect("x.db", read_only=True).execute("from t").fetchall()),
    "connect to write, writing nothing": (["x.db"], lambda: duckdb.connect(Path("x.db")).close()),
    "ATTACH": (["x.db"], lambda: duckdb.connect().execute("attach 'x.db' as d (read_only); from d.t").fetchall()),
}


@pytest.mark.parametrize("way", sorted(READS))
def test_reads(data: Path, way: str) -> None:
    names, work = READS[way]
    found = touched(work)
    assert [(item.direction, item.path, item.fingerprint, item.blob is not None) for item in found.datasets] == [
        ("read", str(data / name), fingerprint_file(data / name)[0], True) for name in names
    ]
    assert (found.unrestorable, found.errors) == ((), ())


def write_database() -> None:
    with duckdb.connect("x.db") as connection:
        connection.execute("insert into t values (43)")


def attach() -> None:
    connection = duckdb.connect()
    connection.execute("attach 'new.db' as d")
    connection.execute("create table d.t as select 1 as a")
    connection.close()


WRITES: dict[str, tuple[list[tuple[str, str]], Callable[[], object]]] = {
    "COPY TO": ([("write", "out")], lambda: duckdb.sql("copy (select 1 as a) to 'out' (format csv)")),
    "COPY TO through execute": ([("write", "out")], lambda: duckdb.connect().execute("COPY (from range(3)) TO 'out'")),
    "COPY of a file": (
        [("read", "a.csv"), ("write", "out")],
        lambda: duckdb.execute("copy (from 'a.csv' where k = 'x') to 'out' (format parquet)"),
    ),
    "COPY to a folder": (
        [("read", "a.csv"), ("write", "out")],
        lambda: duckdb.execute("copy (from 'a.csv') to 'out' (format parquet, partition_by (k))"),
    ),
    "relation.write_csv": ([("write", "out")], lambda: duckdb.sql("select 1 as a").write_csv("out")),
    "relation.to_parquet": ([("write", "out")], lambda: duckdb.sql("select 1 as a").to_parquet("out")),
    "connect": ([("read", "x.db"), ("write", "x.db")], write_database),
    "ATTACH": ([("write", "new.db")], attach),
    "EXPORT": (
        [("read", "a.csv"), ("write", "out")],
        lambda: duckdb.connect().execute("create table t as from 'a.csv'; export database 'out'"),
    ),
}


@pytest.mark.parametrize("way", sorted(WRITES))
def test_writes(data: Path, way: str) -> None:
    expected, work = WRITES[way]
    found = touched(work)
    assert [(item.direction, item.path) for item in found.datasets] == [
        (how, str(data / name)) for how, name in expected
    ]
    assert all(item.fingerprint for item in found.datasets)
    assert (found.unrestorable, found.errors) == ((), ())


@pytest.mark.parametrize(
    ("query", "parameters", "problem"),
    [
        ("from read_csv(?)", ["a.csv"], "read_csv of what is no literal path"),
        ("from read_csv('a' || '.csv')", None, "read_csv of what is no literal path"),
        ("select * from read_csv([concat('a', '.csv')])", None, "read_csv of what is no literal path"),
        ("set file_search_path = '/nowhere'", None, "a setting that changes where files are looked for"),
        ("set variable f = 'a.csv'", None, "a.csv, which a text in a statement names"),
        ("from glob('*.csv')", None, "glob, which lists files"),
        ("from read_csv(E'a.csv')", None, "a path in a text with escapes"),
    ],
)
def test_what_cannot_be_told_is_said(data: Path, query: str, parameters: list[str] | None, problem: str) -> None:
    found = touched(lambda: duckdb.connect().execute(query, parameters))
    assert f"duckdb: {problem}" in found.unrestorable
    assert found.errors == ()


def test_what_lies_elsewhere_is_said(data: Path) -> None:
    def work() -> None:
        for query in ("from 's3://me:secret@bucket/t.parquet?token=secret'", "attach 'postgres:password=secret' as p"):
            with pytest.raises(duckdb.Error):
                duckdb.connect(config={"autoinstall_known_extensions": False}).execute(query)

    found = touched(work)
    assert found.datasets == ()
    assert found.unrestorable == ("object s3://bucket/t.parquet", "duckdb: database of postgres")


@pytest.mark.parametrize(
    "query",
    [
        "select * from t where name = 'a.b' and k is distinct from 'z.csv'",
        "select trim(both 'x' from 'x.y'), extract(year from '2020-01-01'::date)",
        "insert into t values ('no.csv', 'x')",
        "select 'from' , 'no.csv' from main.t -- from 'comment.csv'",
        "",
        ";;",
        "select",
    ],
)
def test_texts_that_are_no_paths(query: str) -> None:
    found = named(query, tokens_of(query))
    assert [place for place in found.places if not place.perhaps] == []
    assert found.problems == []


def test_statements_with_other_paths() -> None:
    query = "select 'é', 'a.csv' from \"a.csv\", 'it''s.csv' join read_parquet(['p1', 'p2']) using (x) -- 'a.csv'"
    places = named(query, tokens_of(query)).places
    assert [place.path for place in places] == ["a.csv", "it's.csv", "p1", "p2"]
    said = with_paths(query, {place: f"/w's/{place.path}" for place in places})
    assert said == (
        "select 'é', 'a.csv' from \"/w's/a.csv\", '/w''s/it''s.csv' "
        "join read_parquet(['/w''s/p1', '/w''s/p2']) using (x) -- 'a.csv'"
    )


def test_the_callers_variables_are_seen_as_before(data: Path) -> None:
    local = pd.DataFrame({"a": [1, 2]})
    assert len(local)
    connection = duckdb.connect()

    def work() -> None:
        mine = pd.DataFrame({"a": [9]})
        assert duckdb.sql("select * from mine").fetchall() == [(9,)]
        assert connection.execute("select * from GLOBAL").fetchall() == [(7,)]
        assert connection.sql("select * from mine, GLOBAL").fetchall() == [(9, 7)]
        relation = duckdb.sql("from mine where a = 9")
        assert duckdb.query("select count(*) from relation").fetchall() == [(1,)]
        assert relation.query("view", "select a + 1 from view").fetchall() == [(10,)]
        del mine
        with pytest.raises(duckdb.CatalogException):
            duckdb.sql("select * from mine")
        for inner in ("original", "adapter", "log", "args", "seen"):
            with pytest.raises(duckdb.CatalogException):
                connection.execute(f"from {inner}")

    touched(work)
    work()
    assert connection.execute("select * from local").fetchall() == [(1,), (2,)]
    connection.execute("set python_scan_all_frames = true")
    for inner in ("original", "prepare", "_lineage_call", "_lineage_args", "call", "frame_at"):
        with pytest.raises(duckdb.CatalogException):
            connection.execute(f"from {inner}")


def test_errors_come_through(data: Path) -> None:
    def work() -> None:
        with pytest.raises(duckdb.ParserException):
            duckdb.sql("selec 1 'a.csv")
        with pytest.raises(duckdb.IOException):
            duckdb.sql("from 'nothing.csv'")
        with pytest.raises(duckdb.IOException):
            duckdb.connect("no/folder/x.db")
        with pytest.raises(TypeError):
            duckdb.execute()
        with pytest.raises((TypeError, duckdb.Error)):
            duckdb.sql(3)

    assert touched(work).datasets == ()


def test_paths_in_statements_are_redirected(data: Path, tmp_path: Path) -> None:
    def redirect(path: str, write: bool) -> str:
        return path.replace("/absent", str(data)) if not write else path.replace("/absent", str(tmp_path))

    io_adapters.redirect_paths(redirect)

    def work() -> None:
        assert duckdb.sql("select sum(a) from '/absent/*.csv'").fetchall() == [(6,)]
        duckdb.execute("copy (from read_json('/absent/r.json')) to '/absent/copy.csv'")
        with duckdb.connect("/absent/x.db", read_only=True) as connection:
            assert connection.execute("from t").fetchall() == [(42,)]
        duckdb.sql("from '/absent/a.csv'").write_parquet("/absent/made.parquet")

    found = touched(work)
    assert [item.path for item in found.datasets] == [
        *(str(data / name) for name in ("a.csv", "b.csv", "r.json")),
        str(tmp_path / "copy.csv"),
        str(data / "x.db"),
        str(tmp_path / "made.parquet"),
    ]
    assert (found.unrestorable, found.errors) == ((), ())


def test_a_write_ahead_log_is_said(data: Path) -> None:
    keep = duckdb.connect("x.db")
    keep.execute("insert into t values (1)")
    found = touched(lambda: duckdb.connect("x.db").execute("from t").fetchall())
    keep.close()
    assert found.unrestorable == (f"{data / 'x.db'}: part of it lies in its write-ahead log",)
    assert [(item.direction, item.fingerprint) for item in found.datasets] == [("read", None)]


def test_functions_pickle_as_before() -> None:
    for function in (duckdb.sql, duckdb.connect, duckdb.read_csv):
        assert pickle.loads(pickle.dumps(function)) is function
    ours = duckdb.sql
    adapters.uninstall()
    assert duckdb.sql is not ours
    assert duckdb.sql is ours.__wrapped__
