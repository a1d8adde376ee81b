from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.errors import EventError
from lineage_flows.events import Event
from lineage_flows.graph.incoming import Facet, read_event, utc

RUN = "0190aa11-0000-7000-8000-000000000001"
EVENT: dict[str, Any] = {
    "eventType": "COMPLETE",
    "eventTime": "2026-01-30T21:30:00Z",
    "producer": "https://example.com/spark",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    "run": {"runId": RUN},
    "job": {"namespace": "spark", "name": "job"},
}


def changed(**fields: Any) -> dict[str, Any]:
    return {**EVENT, **fields}


def test_a_plain_event_of_another_producer_is_read():
    event = read_event(EVENT)
    assert (event.kind, event.run_id, event.namespace, event.job) == ("COMPLETE", RUN, "spark", "job")
    assert event.time == "2026-01-30T21:30:00.000000Z"
    assert event.datasets == ()


def test_an_event_is_read_from_its_bytes_as_from_its_object():
    sent = Event(run_id=RUN, root_run_id=RUN, kind="COMPLETE", time=EVENT["eventTime"], payload=orjson.dumps(EVENT))
    assert read_event(sent) == read_event(EVENT)


@pytest.mark.parametrize(
    "event",
    [
        {},
        changed(eventType="FINISHED"),
        changed(eventType=["START"]),
        changed(eventTime=None),
        changed(eventTime="yesterday"),
        changed(eventTime="2026-13-01T00:00:00Z"),
        changed(eventTime="0001-01-01T00:00:00+23:00"),
        changed(run={}),
        changed(run={"runId": "1"}),
        changed(run={"runId": 7}),
        changed(run=[RUN]),
        changed(run={"runId": RUN, "facets": [1]}),
        changed(job=None),
        changed(job={"namespace": "n"}),
        changed(job={"namespace": "n", "name": ""}),
        changed(job={"namespace": None, "name": "j"}),
        changed(inputs={"name": "x"}),
        changed(inputs=["x"]),
        changed(outputs=[{"namespace": "n"}]),
        changed(outputs=[{"namespace": "n", "name": 1}]),
        changed(outputs=[{"namespace": "n", "name": "x", "facets": 1}]),
        changed(run={"runId": RUN, "facets": {"y": {1, 2}}}),
        changed(job={"namespace": "n", "name": "half a surrogate pair: \ud800"}),
        {key: value for key, value in EVENT.items() if key not in {"run", "job"}},
    ],
)
def test_what_is_no_event_is_refused(event):
    with pytest.raises(EventError) as caught:
        read_event(event)
    assert caught.value.why
    assert caught.value.fix


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_event_are_refused(payload):
    with pytest.raises(EventError):
        read_event(Event(run_id=RUN, root_run_id=RUN, kind="START", time="", payload=payload))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries({key: json_values | st.just(value) for key, value in EVENT.items()}), json_values, json_values
)
def test_any_object_is_read_or_refused(event, inputs, outputs):
    with contextlib.suppress(EventError):
        read_event({**event, "inputs": inputs, "outputs": outputs})


@given(
    st.datetimes(
        timezones=st.timezones() | st.none(),
        min_value=datetime(1902, 1, 1),
        max_value=datetime(2200, 1, 1),
    )
)
def test_times_sort_as_texts(moment):
    text = utc(moment.isoformat(), "eventTime")
    assert len(text) == 27
    said = datetime.fromisoformat(moment.isoformat())
    assert datetime.fromisoformat(text) == (said if said.tzinfo else said.replace(tzinfo=UTC))


def test_run_ids_are_brought_into_one_form():
    assert read_event(changed(run={"runId": RUN.upper()})).run_id == RUN
    assert read_event(changed(run={"runId": RUN.replace("-", "")})).run_id == RUN


def test_an_odd_facet_of_another_producer_is_passed_over_and_one_of_ours_refused():
    odd = {"text": 1, "number": True, "flag": "yes", "texts": [1], "objects": [1], "object": [], "run": "x"}
    lenient, strict = Facet(odd, "theirs", strict=False), Facet(odd, "lineageFlows_x", strict=True)
    for facet in (lenient, strict):
        reads = [
            (lambda f: f.text("text"), None),
            (lambda f: f.number("number"), None),
            (lambda f: f.flag("flag"), None),
            (lambda f: f.texts("texts"), []),
            (lambda f: f.objects("objects"), []),
            (lambda f: f.object("object"), None),
            (lambda f: f.mapping("object"), {}),
            (lambda f: f.run_id("run"), None),
        ]
        for read, absent in reads:
            if facet is lenient:
                assert read(facet) == absent
            else:
                with pytest.raises(EventError, match="lineageFlows_x"):
                    read(facet)


def test_an_event_about_a_dataset_or_a_job_has_no_run():
    dataset = {"namespace": "file", "name": "/a"}
    base = {key: EVENT[key] for key in ("eventTime", "producer", "schemaURL")}
    about_dataset = read_event({**base, "dataset": dataset})
    assert about_dataset.run_id is None
    assert [item.name for item in about_dataset.datasets] == ["/a"]
    about_job = read_event({**base, "job": EVENT["job"], "outputs": [dataset]})
    assert (about_job.run_id, about_job.job, about_job.datasets[0].is_output) == (None, "job", True)
