from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest

from lineage_flows.content import describe
from lineage_flows.events import EventBuilder
from lineage_flows.records import Column, DatasetRef, FlowRecord, InputRef, Source, StepRecord, ValueRef, value_uri
from tests.support.records import (
    FLOW_ID,
    NAMESPACE,
    backtest_flow,
    backtest_steps,
    blob,
    equity_figure,
    fingerprint,
    literal,
    prices_file,
    step,
    step_id,
    taken,
)

FRAME = ValueRef(
    fingerprint=fingerprint("frame"),
    type="pandas.DataFrame",
    kind="DataSet",
    size=800,
    shape=(10, 2),
    columns=(Column(name="a", type="float64"), Column(name="b", type="str")),
    blob=blob("frame"),
)


def datasets(
    record: StepRecord | FlowRecord, kind: Any = "COMPLETE"
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    builder = EventBuilder(NAMESPACE)
    for known in backtest_steps():
        builder.step_event("START", known, backtest_flow())
    event = (
        builder.step_event(kind, record, backtest_flow())
        if isinstance(record, StepRecord)
        else builder.flow_event(kind, record)
    )
    document = orjson.loads(event.payload)
    return document["inputs"], document["outputs"]


def artifact(dataset: dict[str, Any]) -> dict[str, Any]:
    return dataset["facets"]["lineageFlows_artifact"]


def source(number: int = 0, **fields: Any) -> Source:
    uri = value_uri(NAMESPACE, "task-run", step_id(number), "result")
    return Source(**{"run_id": step_id(number), "uri": uri, "fingerprint": FRAME.fingerprint, **fields})


def test_an_input_is_its_producer_s_artifact() -> None:
    record = step(9, "fit", inputs=(taken("data", FRAME, backtest_steps()[0]),))
    (entry,), _ = datasets(record)
    assert (entry["namespace"], entry["name"]) == ("inmemory://", "backtest.load_prices/result")
    assert artifact(entry) | {"_producer": 0, "_schemaURL": 0} == {
        "_producer": 0,
        "_schemaURL": 0,
        "sourceUri": value_uri(NAMESPACE, "task-run", step_id(0), "result"),
        "artifactType": "DataSet",
        "fingerprint": FRAME.fingerprint,
        "role": "value",
        "name": "data",
        "pythonType": "pandas.DataFrame",
        "blob": blob("frame").digest,
        "format": "arrow",
        "size": 800,
        "knownBy": ["prefect", "content"],
        "rule": "canonical",
    }
    assert entry["facets"]["version"]["datasetVersion"] == FRAME.fingerprint
    assert [(f["name"], f["type"], f["ordinal_position"]) for f in entry["facets"]["schema"]["fields"]] == [
        ("a", "float64", 1),
        ("b", "str", 2),
    ]
    assert entry["inputFacets"]["inputStatistics"]["rowCount"] == 10
    assert entry["inputFacets"]["inputStatistics"]["size"] == 800


def test_a_part_says_nothing_of_the_whole_but_its_identity() -> None:
    whole = fingerprint("both frames")
    record = step(
        9, "fit", inputs=(InputRef(name="x", value=FRAME, sources=(source(part="/train", fingerprint=whole),)),)
    )
    (entry,), _ = datasets(record)
    said = artifact(entry)
    assert (said["fingerprint"], said["part"], said["artifactType"]) == (whole, "/train", "Value")
    assert not {"size", "blob", "pythonType", "preview"} & set(said)
    assert entry["facets"]["version"]["datasetVersion"] == whole
    assert "schema" not in entry["facets"]
    assert entry["inputFacets"] == {}


def test_a_value_that_was_changed_on_its_way_is_its_producer_s_as_that_wrote_it() -> None:
    changed = FRAME.model_copy(update={"fingerprint": fingerprint("mutated")})
    record = step(9, "fit", inputs=(InputRef(name="x", value=changed, sources=(source(),)),))
    (entry,), _ = datasets(record)
    assert artifact(entry)["fingerprint"] == FRAME.fingerprint
    assert artifact(entry)["artifactType"] == "DataSet"
    assert "schema" not in entry["facets"]


def test_what_the_flow_made_of_outputs_is_a_version_of_its_own_and_says_what_it_was_made_from() -> None:
    made = FRAME.model_copy(update={"fingerprint": fingerprint("filtered")})
    held = value_uri(NAMESPACE, "task-run", step_id(1), "argument/frame")
    sources = (
        source(known_by=("derivation",)),
        Source(run_id=step_id(1), uri=held, fingerprint=None, known_by=("mutation",)),
    )
    inputs, _ = datasets(step(9, "fit", inputs=(InputRef(name="x", value=made, sources=sources),)))
    assert [(one["name"], artifact(one)["knownBy"], artifact(one).get("fingerprint")) for one in inputs] == [
        ("backtest.load_prices/result", ["derivation"], FRAME.fingerprint),
        ("backtest.make_features/argument/frame", ["mutation"], None),
        ("backtest.fit/input/x", [], made.fingerprint),
    ]


def test_every_source_of_a_reduced_map_is_an_input() -> None:
    sources = tuple(source(number, part=f"/{number}", fingerprint=fingerprint(str(number))) for number in range(3))
    value = ValueRef(fingerprint=fingerprint("list"), type="list", shape=(3,))
    inputs, _ = datasets(step(9, "sum", inputs=(InputRef(name="xs", value=value, sources=sources),)))
    assert [artifact(one)["sourceUri"] for one in inputs] == [one.uri for one in sources]
    assert {artifact(one)["name"] for one in inputs} == {"xs"}


def test_what_a_step_is_given_out_of_nowhere_is_told_when_it_is_data() -> None:
    typed = (3, 0.3712, "prices.parquet", {"depth": 3, "rate": 0.1}, [0.1, 0.01], {"train": ["a text"]})
    literals = [InputRef(name=f"n{n}", value=describe(value)) for n, value in enumerate(typed)]
    record = step(9, "fit", inputs=(InputRef(name="data", value=FRAME), *literals))
    (entry,), _ = datasets(record)
    assert entry["name"] == "backtest.fit/input/data"
    for value in (np.arange(3.0), pd.DataFrame({"a": [1.5, 2.5]}), pd.Series([1.5, 2.5], ["a", "b"])):
        (entry,), _ = datasets(step(9, "fit", inputs=(InputRef(name="data", value=describe(value)),)))
        assert entry["name"] == "backtest.fit/input/data"
    assert artifact(entry)["sourceUri"] == value_uri(NAMESPACE, "task-run", step_id(9), "input/data")
    assert artifact(entry)["knownBy"] == []


def test_a_flow_s_own_values_belong_to_the_flow_run() -> None:
    config = ValueRef(fingerprint=fingerprint("config"), type="dict")
    flow = backtest_flow(
        parameters=(InputRef(name="data", value=FRAME), InputRef(name="config", value=config), literal("n", 3)),
        result=FRAME,
        result_sources=(source(),),
    )
    inputs, (result,) = datasets(flow)
    assert [(one["name"], artifact(one)["sourceUri"]) for one in inputs] == [
        ("backtest/parameter/data", value_uri(NAMESPACE, "flow-run", FLOW_ID, "parameter/data")),
        ("backtest/parameter/config", value_uri(NAMESPACE, "flow-run", FLOW_ID, "parameter/config")),
        ("backtest.load_prices/result", source().uri),
    ]
    assert result["name"] == "backtest/result"
    assert artifact(result)["sourceUri"] == value_uri(NAMESPACE, "flow-run", FLOW_ID, "result")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, False),
        (ValueRef(fingerprint=fingerprint("None"), type="NoneType"), False),
        (ValueRef(fingerprint=fingerprint("True"), type="bool", preview=True), True),
        (ValueRef(fingerprint=fingerprint("0"), type="int", preview=0), True),
        (ValueRef(fingerprint=fingerprint(""), type="str", preview=""), True),
        (ValueRef(fingerprint=None, type="socket", rule="none", note="cannot be hashed"), True),
        (ValueRef(fingerprint=None, type="SecretStr", rule="secret"), True),
    ],
)
def test_every_step_gives_out_what_it_returned_unless_that_is_none(value: ValueRef | None, told: bool) -> None:
    _, outputs = datasets(step(9, "fit", output=value))
    assert bool(outputs) is told
    if outputs and value is not None:
        said = artifact(outputs[0])
        assert said["sourceUri"] == value_uri(NAMESPACE, "task-run", step_id(9), "result")
        assert (said.get("preview"), said.get("note"), said["name"]) == (value.preview, value.note, "result")
        assert ("version" in outputs[0]["facets"]) is (value.fingerprint is not None)


def test_metrics_are_shown_and_their_nan_is_said() -> None:
    metrics = ValueRef(
        fingerprint=fingerprint("m"), type="dict", kind="Metrics", preview={"sharpe": float("nan"), "n": 2}
    )
    _, (entry,) = datasets(step(9, "evaluate", output=metrics))
    assert artifact(entry)["preview"] == {"sharpe": "NaN", "n": 2}
    assert "outputStatistics" not in entry["outputFacets"]


def test_files_are_datasets_under_their_own_names() -> None:
    inputs, outputs = datasets(step(9, "load", datasets=(prices_file(), equity_figure())))
    (prices,), (figure,) = inputs, outputs
    assert (prices["namespace"], prices["name"]) == ("file", "/desk/data/prices.parquet")
    said = artifact(prices)
    assert (said["sourceUri"], said["role"], said["artifactType"]) == (
        "file:///desk/data/prices.parquet",
        "data",
        "DataSet",
    )
    assert (said["name"], said["via"], said["blob"]) == (
        "prices.parquet",
        ["pandas.read_parquet"],
        blob("prices 1").digest,
    )
    assert prices["facets"]["dataSource"]["uri"] == "file:///"
    assert prices["facets"]["version"]["datasetVersion"] == fingerprint("prices 1")
    assert prices["inputFacets"]["inputStatistics"]["size"] == 1_432_118
    assert figure["outputFacets"]["outputStatistics"]["fileCount"] == 1


def test_a_file_says_when_it_was_touched_if_that_is_known() -> None:
    read = prices_file().model_copy(update={"touched": "2026-01-30T22:30:01.5+01:00"})
    inputs, outputs = datasets(step(9, "load", datasets=(read, equity_figure())))
    assert artifact(inputs[0])["touched"] == "2026-01-30T21:30:01.500000Z"
    assert "touched" not in artifact(outputs[0])


def test_credentials_do_not_reach_a_dataset() -> None:
    remote = DatasetRef(
        namespace="postgres://me:hunter2@db:5432", name="a.b.c", uri="postgres://me:hunter2@db:5432/a.b.c", path="",
        direction="read", fingerprint=None, note="token=hunter2",
    )  # fmt: skip
    (entry,), _ = datasets(step(9, "load", datasets=(remote,)))
    assert entry["namespace"] == entry["facets"]["dataSource"]["uri"] == "postgres://db:5432"
    assert b"hunter2" not in orjson.dumps(entry)
