"""Columns of what real flows write by SQL: in valid events, in the graph, followed over two steps, and unchanged by a replay."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.events.test_captured_objects import ends, payloads, replayed
from tests.support.flows import flow_environment, run_script
from tests.support.openlineage import check

pytestmark = [pytest.mark.server, pytest.mark.slow]

FLOW = """
import os, sqlite3
import sqlalchemy as sa
from prefect import flow, task

DESK, SIGNALS, REPORT = (os.environ[name] for name in ("DESK", "SIGNALS", "REPORT"))

@task
def derive():
    connection = sqlite3.connect(SIGNALS)
    connection.execute("ATTACH ? AS desk", (DESK,))
    with connection:
        connection.execute("CREATE TABLE signals AS WITH p AS (SELECT Day, Close, name FROM desk.prices WHERE name <> 'hunter2')"
                           " SELECT day, avg(close) OVER (PARTITION BY name ORDER BY day) AS Level FROM p")
    connection.execute("INSERT INTO main.signals (level) SELECT name FROM desk.prices")
    connection.rollback()
    connection.close()

@task
def report():
    engine = sa.create_engine(f"sqlite:///{REPORT}")
    with engine.connect() as connection:
        connection.execute(sa.text("ATTACH :path AS made"), {"path": SIGNALS})
        connection.execute(sa.text("INSERT INTO main.totals (day, total) SELECT day, sum(LEVEL) FROM made.signals GROUP BY day"))
        connection.commit()
    engine.dispose()

@flow
def columns():
    derive()
    report()

if __name__ == "__main__":
    columns()
"""


def fields(ran: Any, job: str) -> dict[str, set[tuple[str, str, str, str]]]:
    """Of the one written dataset of a step: each column with type, subtype, file and column of what it was made from."""
    (output,) = (one for one in ends(ran)[job]["outputs"] if "columnLineage" in one["facets"])
    facet = output["facets"]["columnLineage"]
    assert "dataset" not in facet, "a file has other tables too"
    return {
        column: {
            (way["type"], way["subtype"], Path(used["name"]).name, used["field"])
            for used in made["inputFields"]
            for way in used["transformations"]
        }
        for column, made in facet["fields"].items()
    }


def test_a_column_is_followed_over_two_steps_to_the_table_it_comes_from(tmp_path: Path, prefect_server: str) -> None:
    names = {name: tmp_path / f"{name.lower()}.db" for name in ("DESK", "SIGNALS", "REPORT")}
    with sqlite3.connect(names["DESK"]) as connection:
        connection.executescript(
            "CREATE TABLE prices (Day INTEGER, Close REAL, name TEXT); INSERT INTO prices VALUES (1, 2.5, 'a'), (2, 1.5, 'a')"
        )
    connection.close()
    with sqlite3.connect(names["REPORT"]) as connection:
        connection.execute("CREATE TABLE totals (day INTEGER, total REAL)")
    connection.close()
    places = {name: str(path) for name, path in names.items()}
    ran = run_script(FLOW, tmp_path / "project", tmp_path / "home", PREFECT_API_URL=prefect_server, **places)
    assert ran.code == 0, ran.err
    assert [step.capture_errors for step in ran.steps()] == [(), ()]
    assert sqlite3.connect(names["REPORT"]).execute("SELECT * FROM totals").fetchall() == [(1, 2.5), (2, 2.0)]

    sent = payloads(ran)
    assert check(sent) == []
    assert fields(ran, "columns.derive") == {
        "signals.day": {
            ("DIRECT", "IDENTITY", "desk.db", "prices.day"),
            ("INDIRECT", "FILTER", "desk.db", "prices.name"),
        },
        "signals.level": {
            ("DIRECT", "AGGREGATION", "desk.db", "prices.close"),
            ("INDIRECT", "WINDOW", "desk.db", "prices.name"),
            ("INDIRECT", "WINDOW", "desk.db", "prices.day"),
            ("INDIRECT", "FILTER", "desk.db", "prices.name"),
        },
    }
    assert fields(ran, "columns.report") == {
        "totals.day": {
            ("DIRECT", "IDENTITY", "signals.db", "signals.day"),
            ("INDIRECT", "GROUP_BY", "signals.db", "signals.day"),
        },
        "totals.total": {
            ("DIRECT", "AGGREGATION", "signals.db", "signals.level"),
            ("INDIRECT", "GROUP_BY", "signals.db", "signals.day"),
        },
    }

    asked = subprocess.run(
        [
            str(Path(sys.executable).parent / "lineage-flows"),
            "upstream",
            names["REPORT"].as_uri(),
            "--column",
            "totals.total",
            "--json",
        ],
        env=flow_environment(ran.home, PREFECT_API_URL=prefect_server),
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    links = [
        (link["column"], link["how"], Path(link["source_uri"]).name, link["source_column"], link["depth"])
        for link in json.loads(asked.stdout)["links"]
    ]
    assert ("totals.total", "aggregation", "signals.db", "signals.level", 1) in links
    assert ("signals.level", "aggregation", "desk.db", "prices.close", 2) in links

    answer = replayed(ran, ran.flows()["columns"].run_id, PREFECT_API_URL=prefect_server, **places)
    assert answer["verdict"] in {"identical", "equivalent"}, answer
