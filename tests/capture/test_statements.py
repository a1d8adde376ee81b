"""What a statement of SQL reads and writes, and that no value in it is written down."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.capture.adapters import statements
from lineage_flows.capture.adapters.statements import looked_at

STATEMENTS = [
    ("SELECT a FROM prices WHERE s = 'x' AND n > 5", "prices", "", "SELECT a FROM prices WHERE s = ? AND n > ?"),
    ("SELECT * FROM a JOIN ref.B ON a.i = b.i", "a ref.b", "", "SELECT * FROM a JOIN ref.B ON a.i = b.i"),
    ('SELECT * FROM "Prices"', "Prices", "", 'SELECT * FROM "Prices"'),
    ("INSERT INTO o (a) VALUES (%(a_1)s), (%(a_2)s)", "", "o", "INSERT INTO o (a) VALUES (:a_2)"),
    ("INSERT INTO o VALUES (1, 'a'), (2, 'b''c')", "", "o", "INSERT INTO o VALUES (…)"),
    ("SELECT a FROM t WHERE a IN (1, 2, 3)", "t", "", "SELECT a FROM t WHERE a IN (?, …)"),
    ("INSERT INTO o SELECT * FROM i", "i", "o", "INSERT INTO o SELECT * FROM i"),
    ("UPDATE t SET a = 5 FROM u WHERE t.i = u.i", "u", "t", "UPDATE t SET a = ? FROM u WHERE t.i = u.i"),
    ("DELETE FROM a USING b WHERE a.i = b.i", "b", "a", "DELETE FROM a USING b WHERE a.i = b.i"),
    ("WITH c AS (SELECT * FROM x) SELECT * FROM c", "x", "", "WITH c AS (SELECT * FROM x) SELECT * FROM c"),
    ("CREATE TABLE x AS SELECT * FROM y", "y", "x", "CREATE TABLE x AS SELECT * FROM y"),
    ("SELECT a INTO x FROM y", "y", "x", "SELECT a INTO x FROM y"),
    ("CREATE VIEW v AS SELECT * FROM y", "", "v", "CREATE VIEW v AS SELECT * FROM y"),
    ("CREATE INDEX i ON t (a)", "", "t", "CREATE INDEX i ON t (a)"),
    ("CREATE TABLE x (a INTEGER REFERENCES y (b))", "", "x", "CREATE TABLE x (a INTEGER REFERENCES y (b))"),
    ("TRUNCATE TABLE a, b", "", "a b", "TRUNCATE TABLE a, b"),
    ("DROP TABLE IF EXISTS s.a", "", "s.a", "DROP TABLE IF EXISTS s.a"),
    ("SELECT * FROM generate_series(1, 3) AS g, t", "t", "", "SELECT * FROM generate_series(?, …) AS g, t"),
    ("SELECT 1; INSERT INTO t VALUES ('x')", "", "t", "SELECT ?; INSERT INTO t VALUES (?)"),
    ("SELECT a -- hunter2\n FROM /* hunter2 */ t", "t", "", "SELECT a FROM t"),
    ("SELECT $1, a FROM t WHERE b = $2", "t", "", "SELECT $1, a FROM t WHERE b = $2"),
    ("SELECT a, 1::int FROM t GROUP BY a ORDER  BY a", "t", "", "SELECT a, ?::int FROM t GROUP BY a ORDER  BY a"),
    ("SELECT * FROM pg_catalog.pg_class", "", "", "SELECT * FROM pg_catalog.pg_class"),
]


@pytest.mark.parametrize(("sql", "reads", "writes", "text"), STATEMENTS)
def test_what_a_statement_reads_and_writes(sql: str, reads: str, writes: str, text: str) -> None:
    found = looked_at(sql, "postgres", "pyformat")
    assert sorted(".".join(table) for table in found.reads) == reads.split()
    assert sorted(".".join(table) for table in found.writes) == writes.split()
    assert (found.text, found.note) == (text, None)
    assert found.changes == bool(writes)
    assert found.is_data == bool(reads or writes)


def test_a_statement_that_deletes_and_puts_in_at_once() -> None:
    found = looked_at("WITH m AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM m", "postgres")
    assert (found.reads, set(found.writes)) == ((), {("a",), ("b",)})


@pytest.mark.parametrize(
    ("sql", "dialect", "reads"),
    [
        ("CREATE TEMP TABLE x AS SELECT * FROM y", "postgres", (("y",),)),
        ("CREATE TEMPORARY TABLE x (a INTEGER)", "sqlite", ()),
        ("SELECT * INTO TEMP x FROM y", "postgres", (("y",),)),
    ],
)
def test_a_table_of_the_connection_alone_is_no_data(sql: str, dialect: str, reads: tuple[tuple[str, ...], ...]) -> None:
    found = looked_at(sql, dialect)
    assert (found.reads, found.writes, found.temporary) == (reads, (), ("x",))
    later = looked_at("INSERT INTO z SELECT * FROM x JOIN s.x ON 1 = 1", dialect).without(frozenset(found.temporary))
    assert (later.reads, later.writes, later.is_data) == ((("s", "x"),), (("z",),), True)
    assert not looked_at("SELECT * FROM x", dialect).without(frozenset(found.temporary)).is_data


@pytest.mark.parametrize(
    "sql", ["BEGIN", "SET password TO hunter2", "show x", "", "GRANT ALL ON t TO u", "PRAGMA key = hunter2"]
)
def test_what_is_about_the_session_is_no_data(sql: str) -> None:
    found = looked_at(sql, "postgres", "pyformat")
    assert not found.is_data
    assert "hunter2" not in found.text


SECRETS = [
    ("postgres", "SELECT FROM WHERE 'hunter2' (("),
    ("postgres", "CREATE SUBSCRIPTION s CONNECTION 'password=hunter2' PUBLICATION p"),
    ("postgres", "CREATE USER u PASSWORD 'hunter2'"),
    ("postgres", "ALTER ROLE u PASSWORD $$hunter2$$"),
    ("postgres", "SELECT $x$hunter2$x$, E'\\'hunter2', U&'hunter2', N'hunter2' FROM t"),
    ("postgres", "SELECT a->>'hunter2', b #> '{hunter2}' FROM t"),
    ("postgres", "SELECT 'it''s hunter2' FROM t -- it's hunter2"),
    ("postgres", "SELECT '\\' FROM t WHERE a = 'hunter2' AND b = '\\'"),
    ("postgres", "COPY t FROM 's3://b' CREDENTIALS 'key=hunter2'"),
    ("mysql", 'SELECT a FROM t WHERE b = "hunter2"'),
    ("mysql", "SELECT 'a\\' hunter2', 'b\\' c' FROM t # hunter2"),
    ("mysql", "SELECT a FROM t WHERE b = 'x\\'' AND c = ' hunter2 '"),
    ("sqlite", 'SELECT "a" FROM t WHERE b = "hunter2"'),
    ("sqlite", 'UPDATE "t" SET "a" = "hunter2"'),
    ("sqlite", "INSERT INTO t VALUES (x'68', 'hunter2', \"hunter2\")"),
    ("sqlite", "REPLACE INTO t VALUES ('hunter2')"),
    ("sqlite", "SELECT a FROM t WHERE a = 'hunter2"),
    ("sqlite", "ATTACH 'x' AS y KEY 'hunter2'"),
    (None, 'SELECT a FROM t WHERE b = "hunter2"'),
    (None, "SELECT a FROM t WHERE b = $$hunter2$$"),
    (None, "SELECT a FROM t WHERE b = 'x\\' hunter2' OR c = 'y\\''"),
    ("tsql", "SELECT a FROM [t] WHERE b = N'hunter2'"),
    ("oracle", "SELECT a FROM t WHERE b = q'[hunter2]'"),
    ("bigquery", 'SELECT a FROM t WHERE b = """hunter2""" OR c = r"hunter2"'),
    ("snowflake", "SELECT a FROM t WHERE b = $$it's hunter2$$"),
    ("sqlite", "INSERT INTO t VALUES " + ", ".join("(1, 'hunter2')" for _ in range(100_000))),
    ("sqlite", "SELECT a FROM t WHERE b IN (" + ", ".join("'hunter2'" for _ in range(200_000)) + ")"),
    ("postgres", "INSERT INTO t VALUES ('hunter2" + "x" * 1_100_000 + "')"),
]


@pytest.mark.parametrize(("dialect", "sql"), SECRETS, ids=lambda item: str(item)[:40])
def test_no_value_is_ever_written_down(dialect: str | None, sql: str, caplog: pytest.LogCaptureFixture) -> None:
    for paramstyle in ("qmark", "pyformat", "numeric_dollar"):
        found = looked_at(sql, dialect, paramstyle)
        assert "hunter2" not in str(found)
        assert len(found.text) <= 2_000
    assert caplog.records == []


@settings(max_examples=150, deadline=None)
@given(
    st.text(min_size=1).map(lambda text: f"hunter2{text}hunter2"),
    st.sampled_from(["postgres", "sqlite", "mysql", "duckdb", None]),
    st.sampled_from(["SELECT a FROM t WHERE b = {} AND c = {}", "INSERT INTO t (a, b) VALUES ({}, {})"]),
)
def test_values_in_quotes_are_masked_whatever_they_hold(value: str, dialect: str | None, statement: str) -> None:
    quoted = "'" + value.replace("'", "''") + "'"
    found = looked_at(statement.format(quoted, quoted), dialect)
    assert "hunter2" not in str(found)


@settings(max_examples=150, deadline=None)
@given(
    st.text(alphabet="SELECTFROMhunter2 '\"`$\\-/*#()[];,=%:?", max_size=60),
    st.sampled_from(["postgres", "sqlite", "mysql", None]),
)
def test_any_text_is_taken(text: str, dialect: str | None) -> None:
    found = looked_at(text, dialect)
    assert len(found.text) <= 2_000


def test_what_cannot_be_parsed_says_so() -> None:
    found = looked_at("SELECT FROM WHERE 'x' ((", "postgres")
    assert (found.text, found.note) == ("SELECT …", "its tables are not known: ParseError")
    assert (found.reads, found.writes, found.changes) == ((), (), False)


def test_of_a_long_list_of_rows_the_table_is_known() -> None:
    found = looked_at("INSERT INTO t (a, b) VALUES " + ", ".join(f"({n}, 'x')" for n in range(20_000)), "sqlite")
    assert (found.writes, found.note) == ((("t",),), "only the beginning of a long statement was looked at")
    found = looked_at("INSERT INTO t (a, b) VALUES " + ", ".join("(?, ?)" for _ in range(20_000)), "sqlite")
    assert (found.writes, found.note, found.text) == ((("t",),), None, "INSERT INTO t (a, b) VALUES (?, …)")


def test_statements_that_differ_in_their_values_are_looked_at_once() -> None:
    statements._remembered.cache_clear()
    for number in range(50):
        looked_at(f"SELECT a FROM t WHERE n = {number} AND s = 'row {number}'", "sqlite")
    assert statements._remembered.cache_info().misses == 1


def test_without_sqlglot_the_first_word_alone_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    statements._remembered.cache_clear()
    statements._often.cache_clear()
    found = looked_at("INSERT INTO t VALUES ('hunter2', 5)", "postgres", "pyformat")
    statements._remembered.cache_clear()
    statements._often.cache_clear()
    assert (found.reads, found.writes, found.text) == ((), (), "INSERT …")
    assert found.note == "its tables are not known: sqlglot is not installed"


@pytest.mark.parametrize(
    "before",
    [
        "BEGIN;",
        "begin immediate transaction ;\n",
        "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n",
        "-- a dump\nSTART TRANSACTION READ WRITE; /* of * what */",
        "PRAGMA table_info('x');;",
    ],
)
def test_what_a_script_says_of_its_transaction_does_not_hide_what_it_does(before: str) -> None:
    found = looked_at(f"{before} INSERT INTO signals (x) SELECT x FROM prices; COMMIT;", "sqlite")
    assert (found.reads, found.writes, found.is_data) == ((("prices",),), (("signals",),), True)


@pytest.mark.parametrize("text", ["BEGIN", " BEGIN ; ", "PRAGMA journal_mode = WAL;", "BEGIN; -- nothing"])
def test_a_script_that_does_nothing_is_no_data(text: str) -> None:
    assert not looked_at(text, "sqlite").is_data


@pytest.mark.parametrize("part", ["/**/", "/* a * b */", "-- x\n", ";", "PRAGMA x;", "BEGIN;", "(", "/*"])
def test_a_text_of_many_comments_takes_no_time(part: str) -> None:
    """Each comment once had as many ends as there were comments after it."""
    assert not looked_at(part * 500 + "1", "sqlite").writes
