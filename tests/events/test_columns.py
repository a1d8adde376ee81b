from __future__ import annotations

from typing import Any

import pytest

from lineage_flows.record_base import ColumnEdge, ColumnSource
from lineage_flows.records import DatasetRef, InputRef, Part, Source, StepRecord, ValueRef, value_uri
from tests.events.test_datasets import FRAME, datasets
from tests.support.openlineage import check_event
from tests.support.records import NAMESPACE, backtest_flow, backtest_steps, fingerprint, step, step_id, taken


def edge(output: str, *inputs: tuple[str, str, str], **fields: Any) -> ColumnEdge:
    sources = tuple(ColumnSource(namespace=space, name=name, column=column) for space, name, column in inputs)
    return ColumnEdge(**{"output": output, "inputs": sources, "how": "identity", **fields})


def lineage(*edges: ColumnEdge, inputs: Any = ()) -> dict[str, Any] | None:
    """The facet on the result of a step."""
    made = FRAME.model_copy(update={"fingerprint": fingerprint("made"), "column_lineage": edges})
    record = step(9, "fit", inputs=inputs, output=made)
    _, (entry,) = datasets(record)
    return entry["facets"].get("columnLineage")


def listed(facet: dict[str, Any], output: str) -> list[tuple[str, str, str]]:
    return [(one["namespace"], one["name"], one["field"]) for one in facet["fields"][output]["inputFields"]]


def test_a_column_of_a_value_is_named_by_the_value_s_producer() -> None:
    loaded = taken("data", FRAME, backtest_steps()[0])
    facet = lineage(edge("x", ("inmemory://", "data", "a"), known_by="content"), inputs=(loaded,))
    assert facet is not None
    assert listed(facet, "x") == [("inmemory://", "backtest.load_prices/result", "a")]
    (use,) = facet["fields"]["x"]["inputFields"][0]["transformations"]
    assert (use["type"], use["subtype"], use["masking"]) == ("DIRECT", "IDENTITY", False)
    assert "equal content" in use["description"]
    assert "dataset" not in facet


def test_data_out_of_nowhere_is_named_as_the_event_lists_it() -> None:
    facet = lineage(edge("x", ("inmemory://", "data", "a")), inputs=(InputRef(name="data", value=FRAME),))
    assert facet is not None
    assert listed(facet, "x") == [("inmemory://", "backtest.fit/input/data", "a")]


def test_a_frame_in_a_list_is_named_by_its_own_producer() -> None:
    frames = ValueRef(
        fingerprint=fingerprint("list"),
        type="list",
        parts=(Part(path="/0", fingerprint=fingerprint("0")), Part(path="/1", fingerprint=fingerprint("1"))),
    )
    sources = tuple(
        Source(run_id=step_id(number), uri=value_uri(NAMESPACE, "task-run", step_id(number), "result"),
               fingerprint=fingerprint(str(number)), known_by=("content",))
        for number in range(2)
    )  # fmt: skip
    item = InputRef(name="frames", value=frames, sources=sources)
    facet = lineage(edge("x", ("inmemory://", "frames/1", "a")), inputs=(item,))
    assert facet is not None
    assert listed(facet, "x") == [("inmemory://", "backtest.make_features/result", "a")]


@pytest.mark.parametrize(
    "sources",
    [
        pytest.param([{"number": 0}, {"number": 1}], id="two producers of one content"),
        pytest.param([{"number": 0, "fingerprint": fingerprint("before")}], id="changed on its way"),
        pytest.param([{"number": 0, "part": "/train"}], id="a part of what was given out"),
    ],
)
def test_nothing_is_said_of_a_source_that_is_not_one_dataset(sources: list[dict[str, Any]]) -> None:
    made = tuple(
        Source(
            run_id=step_id(one["number"]),
            uri=value_uri(NAMESPACE, "task-run", step_id(one["number"]), "result"),
            fingerprint=one.get("fingerprint", FRAME.fingerprint),
            part=one.get("part", ""),
        )
        for one in sources
    )
    item = InputRef(name="data", value=FRAME, sources=made)
    assert lineage(edge("x", ("inmemory://", "data", "a")), inputs=(item,)) is None
    assert lineage(edge("x", ("inmemory://", "other", "a")), inputs=(item,)) is None


def test_filters_and_joins_are_said_of_the_whole_dataset() -> None:
    table = ("postgres://db:5432", "shop.public.orders", "id")
    facet = lineage(
        edge("", table, how="join"),
        edge("", table, how="filter"),
        edge("total", (*table[:2], "price"), how="aggregation"),
    )
    assert facet is not None
    (whole,) = facet["dataset"]
    assert [(use["type"], use["subtype"]) for use in whole["transformations"]] == [
        ("INDIRECT", "JOIN"),
        ("INDIRECT", "FILTER"),
    ]
    assert facet["fields"]["total"]["inputFields"][0]["transformations"][0]["subtype"] == "AGGREGATION"


def test_a_written_dataset_says_its_columns_and_no_credentials() -> None:
    table = DatasetRef(
        namespace="postgres://db:5432", name="shop.public.totals", uri="postgres://db:5432/shop.public.totals", path="",
        direction="write", fingerprint=None,
        column_lineage=(edge("total", ("postgres://me:hunter2@db:5432", "shop.public.orders", "price")),),
    )  # fmt: skip
    _, (entry,) = datasets(step(9, "load", datasets=(table,)))
    assert listed(entry["facets"]["columnLineage"], "total") == [("postgres://db:5432", "shop.public.orders", "price")]


def test_ten_thousand_columns_are_capped_and_the_event_is_valid() -> None:
    import orjson

    from lineage_flows.events import EventBuilder

    edges = tuple(edge(f"c{n}", ("inmemory://", "data", f"c{n}")) for n in range(10_000))
    made = FRAME.model_copy(update={"fingerprint": fingerprint("made"), "column_lineage": edges})
    record: StepRecord = step(9, "fit", inputs=(taken("data", FRAME, backtest_steps()[0]),), output=made)
    event = orjson.loads(EventBuilder(NAMESPACE).step_event("COMPLETE", record, backtest_flow()).payload)
    assert len(event["outputs"][0]["facets"]["columnLineage"]["fields"]) == 1000
    assert not [finding for finding in check_event(event) if "columnLineage" in finding]


def test_records_from_before_columns_can_be_read() -> None:
    assert ValueRef.model_validate({"fingerprint": None, "type": "x"}).column_lineage == ()
