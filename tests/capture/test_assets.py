"""Prefect's assets as datasets of the steps that depend on them and materialise them: records, events, graph."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from lineage_flows.content import fingerprint_file
from lineage_flows.delivery import Spool
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.query import upstream
from tests.support.flows import Ran, run_script
from tests.support.openlineage import check

pytestmark = pytest.mark.server

SCRIPT = """
import sys
import pandas as pd
from prefect import flow, task
from prefect.assets import Asset, AssetProperties, add_asset_metadata, materialize
from prefect.cache_policies import INPUTS

RAW = Asset(key="postgres://me:hunter2@db.desk/prod/raw/prices")
PRICES = Asset(
    key="s3://desk/clean/prices.parquet",
    properties=AssetProperties(
        name="Clean prices", owners=["quants", "token=hunter2"], description="Prices without gaps.", url="https://wiki.desk/p"
    ),
)

@materialize(PRICES, asset_deps=[RAW], by="pandas", tags=["preprocessing"])
def clean(factor):
    PRICES.add_metadata({"source": "vendor", "password": "hunter2"})
    return pd.DataFrame({"close": [1.0, factor]})

@materialize("s3://desk/left", "s3://desk/right")
def two():
    return pd.DataFrame({"a": [1]})

@materialize(f"file://{sys.argv[1]}/local.csv")
def local():
    pd.DataFrame({"a": [1, 2]}).to_csv(f"{sys.argv[1]}/local.csv", index=False)

@materialize("s3://desk/flag")
def flag():
    return True

@materialize("s3://desk/never", asset_deps=[RAW], retries=1)
def fails():
    raise ValueError("no")

ATTEMPTS = []

@materialize("s3://desk/second", retries=1)
def second():
    ATTEMPTS.append(1)
    if len(ATTEMPTS) == 1:
        raise ValueError("once")
    return pd.DataFrame({"a": ATTEMPTS})

@materialize("s3://desk/cached", asset_deps=[RAW], cache_policy=INPUTS, persist_result=True)
def cached(x):
    return pd.DataFrame({"a": [x]})

@materialize("s3://desk/mapped")
async def mapped(x):
    add_asset_metadata("s3://desk/mapped", {"x": x})
    return pd.DataFrame({"a": [x]})

@materialize("s3://desk/stream")
def stream():
    yield 1

@task(asset_deps=[PRICES])
def use():
    return {"rmse": 0.5}

@flow
def assets():
    clean(3.0)
    two(); local(); flag(); second()
    cached(7); cached(7)
    mapped.map([1, 2]).result()
    list(stream())
    try:
        fails()
    except ValueError:
        pass
    return use()

if __name__ == "__main__":
    assets()
"""


@pytest.fixture(scope="module")
def ran(prefect_server: object, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("assets")
    done = run_script(SCRIPT, folder / "project", folder / "home", str(folder))
    assert done.code == 0, done.err
    assert [error for record in done.records() for error in record.capture_errors] == []
    return done


def test_a_materialised_asset_is_an_output_and_its_version_is_the_result(ran: Ran) -> None:
    step = ran.step("clean")
    raw, prices = step.datasets
    assert (raw.direction, raw.namespace, raw.name) == ("read", "postgres://db.desk:5432", "prod.raw.prices")
    assert (raw.via, raw.fingerprint) == (("prefect.asset_deps",), None)
    assert step.unrestorable == ()  # nobody saw it read: a dependency is what the task's author says
    assert (prices.direction, prices.uri, prices.via) == (
        "write",
        "s3://desk/clean/prices.parquet",
        ("prefect.materialize",),
    )
    assert prices.fingerprint == step.output.fingerprint  # type: ignore[union-attr]
    assert (prices.rows, [column.name for column in prices.columns]) == (2, ["close"])
    assert prices.owners == ("quants", "token=***")
    assert prices.description == "Prices without gaps."
    assert prices.properties == {
        "asset_key": "s3://desk/clean/prices.parquet",
        "asset_name": "Clean prices",
        "asset_url": "https://wiki.desk/p",
        "materialized_by": "pandas",
        "source": "vendor",
        "password": "***",
    }


def test_an_asset_without_data_of_its_own_says_why_it_has_no_fingerprint(ran: Ran) -> None:
    left, right = ran.step("two").datasets
    assert (left.name, right.name) == ("left", "right")
    assert {item.fingerprint for item in (left, right)} == {None}
    assert left.note is not None
    assert "several assets" in left.note
    (flagged,) = ran.step("flag").datasets
    assert (flagged.fingerprint, flagged.note) == (None, "not fingerprinted: the task returned no data")
    (streamed,) = ran.step("stream").datasets
    assert (streamed.direction, streamed.fingerprint) == ("write", None)


def test_an_asset_that_was_seen_to_be_written_is_one_dataset(ran: Ran) -> None:
    (one,) = ran.step("local").datasets
    assert one.via == ("open", "prefect.materialize")
    assert (one.fingerprint, one.rows) == (fingerprint_file(one.path)[0], 2)
    assert one.properties == {"asset_key": one.uri}


def test_failed_cached_retried_and_mapped(ran: Ran) -> None:
    assert [(item.name, item.direction) for item in ran.step("fails").datasets] == [("prod.raw.prices", "read")]
    assert [(item.name, item.direction) for item in ran.step("second").datasets] == [("second", "write")]
    by_state = {step.state: step for step in ran.steps("cached")}
    assert [item.direction for item in by_state["Completed"].datasets] == ["read", "write"]
    assert by_state["Cached"].datasets == ()  # its function was not called: it read and wrote nothing
    mapped = [step.datasets[0] for step in ran.steps("mapped")]
    assert sorted(item.properties["x"] for item in mapped) == [1, 2]
    assert len({item.fingerprint for item in mapped}) == 2


def test_events_are_valid_and_carry_owners_and_documentation(ran: Ran) -> None:
    with closing(Spool(ran.home / "spool.db")) as spool:
        payloads = [item.event.payload for item in spool.pending("nobody", 100_000)]
    assert check(payloads) == []
    assert b"hunter2" not in b"".join(payloads)
    events = [orjson.loads(payload) for payload in payloads]
    (end,) = (event for event in events if event["eventType"] == "COMPLETE" and event["job"]["name"] == "assets.clean")
    (output,) = (item for item in end["outputs"] if item["namespace"] == "s3://desk")
    assert output["facets"]["ownership"]["owners"] == [{"name": "quants"}, {"name": "token=***"}]
    assert output["facets"]["documentation"]["description"] == "Prices without gaps."
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 2


def test_a_dependency_is_taken_to_be_the_last_that_was_materialised(ran: Ran) -> None:
    (prices,) = ran.step("use").datasets
    (_, made) = ran.step("clean").datasets
    assert (prices.direction, prices.fingerprint) == ("read", made.fingerprint)
    assert prices.note == "the version is taken to be the last that was materialized before"
    assert prices.blob is None


def test_the_graph_leads_from_who_uses_an_asset_to_what_it_was_made_from(ran: Ran, tmp_path: Path) -> None:
    with closing(open_embedded(ran.home / "graph.db", read_only=True)) as graph:
        artifacts = graph.list_artifacts()
        (metrics,) = (item for item in artifacts if item.type == "Metrics" and "/task-run/" in item.source_uri)
        above = {getattr(node.entity, "source_uri", "") for node in upstream(graph, metrics.arn).nodes}
        assert {"s3://desk/clean/prices.parquet", "postgres://db.desk:5432/prod.raw.prices"} <= above
        (made,) = (
            item for item in artifacts if item.source_uri == "s3://desk/clean/prices.parquet" and item.fingerprint
        )
        assert json.loads(made.properties["owners"]) == ["quants", "token=***"]
        assert made.properties["description"] == "Prices without gaps."


LATER = """
from prefect import flow, task
from prefect.assets import Asset

@task(asset_deps=["s3://desk/clean/prices.parquet", "s3://desk/unheard-of"])
def report():
    return {"mae": 0.25}

@flow
def later():
    return report()

if __name__ == "__main__":
    later()
"""


def test_another_run_that_depends_on_an_asset_descends_from_what_made_it(ran: Ran, tmp_path: Path) -> None:
    done = run_script(LATER, tmp_path / "project", ran.home)
    assert done.code == 0, done.err
    known, unknown = done.step("report").datasets
    assert known.fingerprint == ran.step("clean").datasets[1].fingerprint
    assert (unknown.fingerprint, unknown.note) == (None, None)
    with closing(open_embedded(ran.home / "graph.db", read_only=True)) as graph:
        (metrics,) = (
            item
            for item in graph.list_artifacts()
            if item.type == "Metrics" and "/task-run/" in item.source_uri and "mae" in item.properties["preview"]
        )
        above = {getattr(node.entity, "source_uri", "") for node in upstream(graph, metrics.arn).nodes}
    assert {"s3://desk/clean/prices.parquet", "postgres://db.desk:5432/prod.raw.prices"} <= above


LEFT_OUT = """
from prefect import flow
from prefect.assets import Asset, materialize

@materialize("s3://pii/people-made", asset_deps=["postgres://db/pii/people-read"])
def hides():
    return {"rmse": 1.0}

@flow
def quiet():
    return hides()

if __name__ == "__main__":
    quiet()
"""


def test_an_asset_that_a_rule_leaves_out_is_only_counted(tmp_path: Path, prefect_server: str) -> None:
    rules = json.dumps([{"match": {"flow": "quiet"}, "exclude_datasets": ["s3://pii/*", "postgres://db/pii/*"]}])
    done = run_script(
        LEFT_OUT, tmp_path / "project", tmp_path / "home", LINEAGE_FLOWS_RULES=rules, PREFECT_API_URL=prefect_server
    )
    assert done.code == 0, done.err
    step = done.step("hides")
    assert step.datasets == ()
    assert step.policy is not None
    assert step.policy.datasets == 2
    assert not [one for one in step.unrestorable if "people" in one]
    with closing(Spool(done.home / "spool.db")) as spool:
        for item in spool.pending("nobody", 1000):
            document = orjson.loads(item.event.payload)
            assert not [one["name"] for one in (*document["inputs"], *document["outputs"]) if "people" in one["name"]]
