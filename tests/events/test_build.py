"""Events of whole runs: valid by every schema, alive in the right order, and saying what the records say."""

from __future__ import annotations

import sys
import threading
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openlineage.client.event_v2 import RunEvent
from openlineage.client.facet_v2 import (
    error_message_run,
    job_dependencies_run,
    parent_run,
    schema_dataset,
    tags_run,
)

from lineage_flows import redaction
from lineage_flows.delivery.client_events import run_event
from lineage_flows.errors import EventError
from lineage_flows.events import Event, EventBuilder
from lineage_flows.records import (
    AttemptRef,
    DeploymentRef,
    EntryPoint,
    Environment,
    ErrorRef,
    FlowRecord,
    FunctionRef,
    InputRef,
    JobAbout,
    ReplayInfo,
    RunRecord,
    Source,
    StepRecord,
    ValueRef,
    value_uri,
)
from tests.support.openlineage import check
from tests.support.records import (
    FLOW_ID,
    NAMESPACE,
    at,
    backtest_flow,
    backtest_record,
    backtest_steps,
    blob,
    fingerprint,
    function,
    literal,
    mapped_record,
    replay_record,
    step,
    step_id,
)
from tests.support.stream import begun, begun_step, stream

SUBFLOW_ID = "01935c2e-7a10-7c3e-9d1a-5b6f0a4caaaa"
ENVIRONMENT = Environment(
    python="3.11.9",
    implementation="CPython",
    platform="Linux",
    machine="x86_64",
    cpu="x",
    image="registry.example.com/desk@sha256:12",
    variables={"OMP_NUM_THREADS": "4", "DESK_API_TOKEN": "hunter2"},
)


def said(event: Event) -> dict[str, Any]:
    return orjson.loads(event.payload)


def run_facet(event: Event, key: str) -> dict[str, Any]:
    return said(event)["run"]["facets"][key]


def with_subflow() -> RunRecord:
    """A flow whose subflow is given one step's result, has a step of its own, and gives that step's result back."""
    outer = step(0, "load", output=ValueRef(fingerprint=fingerprint("raw"), type="pandas.DataFrame", kind="DataSet"))
    given = Source(run_id=outer.run_id, uri=uri(outer), fingerprint=fingerprint("raw"), known_by=("prefect",))
    inner = step(
        0,
        "clean",
        flow_id=SUBFLOW_ID,
        root_run_id=FLOW_ID,
        flow_name="cleaning",
        inputs=(InputRef(name="raw", value=outer.output, sources=(given,)),),
        output=ValueRef(fingerprint=fingerprint("clean"), type="pandas.DataFrame", kind="DataSet"),
        upstream=(outer.run_id,),
    )
    subflow = backtest_flow(
        SUBFLOW_ID,
        root_run_id=FLOW_ID,
        flow_name="cleaning",
        parent_run_id=FLOW_ID,
        parent_step_id=step_id(9),
        parameters=(InputRef(name="raw", value=outer.output, sources=(given,)),),
        result=inner.output,
        result_sources=(
            Source(run_id=inner.run_id, uri=uri(inner), fingerprint=fingerprint("clean"), known_by=("content",)),
        ),
        started=at(1),
        ended=at(2),
    )
    after = Source(
        run_id=SUBFLOW_ID,
        uri=value_uri(NAMESPACE, "flow-run", SUBFLOW_ID, "result"),
        fingerprint=fingerprint("clean"),
        known_by=("prefect",),
    )
    last = step(2, "fit", inputs=(InputRef(name="data", value=inner.output, sources=(after,)),), upstream=(SUBFLOW_ID,))
    return RunRecord(flow=backtest_flow(), subflows=(subflow,), steps=(outer, inner, last))


def uri(one: StepRecord) -> str:
    return value_uri(NAMESPACE, "task-run", one.run_id, "result")


def retried() -> list[Event]:
    """A step whose first attempt failed, and its flow, which failed in the end."""
    builder = EventBuilder(NAMESPACE)
    error = ErrorRef(type="ValueError", message="no prices", stack="Traceback …\nValueError: no prices\n")
    attempt = AttemptRef(attempt=1, state="AwaitingRetry", started=at(0), ended=at(0.5), error=error)
    flow = backtest_flow(state="Failed", state_type="FAILED", error=error, ended=at(100_000_000))
    one = step(0, "load", attempts=(attempt,), attempt=2, ended=at(99_999_999))
    crashed = step(1, "fit", state="Crashed", state_type="CRASHED", output=None, error=error, ended=at(99_999_999))
    return [
        builder.flow_event("START", begun(flow)),
        builder.step_event("START", begun_step(one), flow),
        builder.step_event("RUNNING", one.model_copy(update={"ended": None, "attempt": 1}), flow),
        builder.step_event("COMPLETE", one, flow),
        builder.step_event("START", begun_step(crashed), flow),
        builder.step_event("ABORT", crashed, flow),
        builder.flow_event("FAIL", flow),
    ]


RUNS = {
    "backtest": lambda: stream(backtest_record(ended=at(60))),
    "subflow": lambda: stream(with_subflow()),
    "mapped": lambda: stream(mapped_record(12, tasks=3).model_copy(update={"flow": backtest_flow(ended=at(60))})),
    "replay": lambda: stream(backtest_record(ended=at(60))) + stream(replay_record(backtest_record(), different=2)),
    "retried": retried,
}


@pytest.mark.parametrize("name", RUNS)
def test_every_event_of_a_run_is_valid(name: str) -> None:
    assert check([event.payload for event in RUNS[name]()]) == []


@pytest.mark.parametrize("name", RUNS)
def test_every_event_is_one_of_openlineage_s_own_objects(name: str) -> None:
    for event in RUNS[name]():
        as_object = run_event(event.payload)
        assert isinstance(as_object, RunEvent)
        own = [key for key in as_object.run.facets if key.startswith("lineageFlows_")]
        plain = [key for key, facet in as_object.run.facets.items() if isinstance(facet, dict)]
        assert plain == own, "a standard facet that openlineage-python does not know as such"
        assert not [key for key, facet in as_object.job.facets.items() if isinstance(facet, dict)]


def test_the_event_says_what_the_fields_of_the_envelope_say() -> None:
    for event in RUNS["subflow"]():
        document = said(event)
        assert document["run"]["runId"] == event.run_id
        assert document["eventType"] == event.kind
        assert document["eventTime"] == event.time
        assert event.root_run_id == FLOW_ID


def test_times_are_those_of_the_record_in_utc() -> None:
    flow = backtest_flow(started="2026-01-30T22:30:00+01:00", ended="2026-01-30T22:31:00.5+01:00")
    builder = EventBuilder(NAMESPACE)
    assert builder.flow_event("START", flow).time == "2026-01-30T21:30:00.000000Z"
    assert builder.flow_event("COMPLETE", flow).time == "2026-01-30T21:31:00.500000Z"
    assert builder.flow_event("RUNNING", flow, time=at(3)).time == at(3)
    assert builder.flow_event("RUNNING", flow).time > at(0)


def test_parent_and_root_of_a_step_of_a_subflow() -> None:
    events = stream(with_subflow())
    (clean,) = [e for e in events if e.kind == "COMPLETE" and said(e)["job"]["name"] == "cleaning.clean"]
    parent = run_facet(clean, "parent")
    assert parent["run"]["runId"] == SUBFLOW_ID
    assert parent["job"] == {"namespace": NAMESPACE, "name": "cleaning"}
    assert parent["root"] == {"run": {"runId": FLOW_ID}, "job": {"namespace": NAMESPACE, "name": "backtest"}}


def test_dependencies_name_run_and_job() -> None:
    (fit,) = [e for e in RUNS["backtest"]() if e.kind == "START" and said(e)["job"]["name"] == "backtest.walk_forward"]
    upstream = run_facet(fit, "jobDependencies")["upstream"]
    assert [(one["run"]["runId"], one["job"]["name"]) for one in upstream] == [
        (step_id(2), "backtest.fit_model"),
        (step_id(1), "backtest.make_features"),
    ]


def test_a_run_of_another_process_is_asked_for() -> None:
    load, make, *_ = backtest_steps()
    asked = []

    def find(run_id: str) -> StepRecord | FlowRecord | None:
        asked.append(run_id)
        return load if run_id == load.run_id else None

    event = EventBuilder(NAMESPACE, find).step_event("START", make, backtest_flow())
    assert [one["job"]["name"] for one in run_facet(event, "jobDependencies")["upstream"]] == ["backtest.load_prices"]
    assert said(event)["inputs"][0]["name"] == "backtest.load_prices/result"
    assert asked == [load.run_id], "what was found once is remembered"


def test_a_run_that_nobody_knows_is_left_out_of_dependencies_and_named_by_its_id() -> None:
    load, make, *_ = backtest_steps()
    event = EventBuilder(NAMESPACE).step_event("START", make, backtest_flow())
    assert "jobDependencies" not in said(event)["run"]["facets"]
    assert said(event)["inputs"][0]["name"] == f"backtest/{load.run_id}/result"
    assert check([event.payload])[0].startswith("run "), "only the life cycle of the cut stream is wrong"


def test_errors_are_told_where_they_last() -> None:
    events = retried()
    running, completed, aborted, failed = events[2], events[3], events[5], events[6]
    assert "errorMessage" not in said(running)["run"]["facets"]
    assert run_facet(running, "lineageFlows_taskRun")["attempts"][0]["error"] == "ValueError: no prices"
    assert "errorMessage" not in said(completed)["run"]["facets"]
    for event in (aborted, failed):
        facet = run_facet(event, "errorMessage")
        assert facet["message"] == "ValueError: no prices"
        assert facet["stackTrace"].endswith("ValueError: no prices\n")
        assert facet["programmingLanguage"] == "python"


def test_a_failure_without_an_exception_says_its_state() -> None:
    flow = backtest_flow(state="TimedOut", state_type="FAILED")
    assert run_facet(EventBuilder(NAMESPACE).flow_event("FAIL", flow), "errorMessage")["message"] == "TimedOut"


def test_a_deployed_and_scheduled_flow_run() -> None:
    flow = backtest_flow(
        deployment=DeploymentRef(id="9b1d", name="nightly", work_pool="desk"),
        nominal_start="2026-01-30T21:30:00Z",
        created_by="scheduler",
        tags=("prod", "equities"),
    )
    event = EventBuilder(NAMESPACE).flow_event("COMPLETE", flow, run_record=blob("r", "json"), environment=ENVIRONMENT)
    facet = run_facet(event, "lineageFlows_flowRun")
    assert (facet["deploymentId"], facet["deploymentName"], facet["workPool"]) == ("9b1d", "nightly", "desk")
    assert facet["nominalStart"] == run_facet(event, "nominalTime")["nominalStartTime"] == "2026-01-30T21:30:00.000000Z"
    assert facet["createdBy"] == "scheduler"
    assert facet["runRecord"] == {"digest": blob("r").digest, "size": 1}
    assert facet["image"] == "registry.example.com/desk@sha256:12"
    assert [(tag["key"], tag["value"]) for tag in run_facet(event, "tags")["tags"]] == [
        ("prod", "true"),
        ("equities", "true"),
    ]
    variables = run_facet(event, "environmentVariables")["environmentVariables"]
    assert {one["name"]: one["value"] for one in variables} == {"OMP_NUM_THREADS": "4", "DESK_API_TOKEN": "***"}


def test_the_image_is_said_again_when_the_environment_is_not_given() -> None:
    builder, flow = EventBuilder(NAMESPACE), backtest_flow()
    builder.flow_event("START", flow, environment=ENVIRONMENT)
    assert run_facet(builder.flow_event("COMPLETE", flow), "lineageFlows_flowRun")["image"] == ENVIRONMENT.image


def test_a_replay_says_what_it_repeats_and_what_it_found() -> None:
    original = backtest_record()
    replay = replay_record(original, different=2)
    builder = EventBuilder(NAMESPACE)
    unfinished = replay.flow.model_copy(update={"replay": ReplayInfo(replay_of=FLOW_ID, requested_by="me")})
    facet = run_facet(builder.flow_event("START", unfinished), "lineageFlows_flowRun")
    assert facet["kind"] == "replay"
    assert facet["replay"] == {"replayOf": FLOW_ID, "requestedBy": "me", "steps": []}
    facet = run_facet(builder.flow_event("COMPLETE", replay.flow), "lineageFlows_flowRun")["replay"]
    assert (facet["verdict"], facet["firstDivergence"]) == ("different", 2)
    assert facet["steps"][2]["causes"] == ["code"]
    assert facet["steps"][2]["originalRunId"] == original.steps[2].run_id


def test_parameters_are_texts_and_secrets_are_not_said() -> None:
    secret = ValueRef(fingerprint=None, type="pydantic.types.SecretStr", rule="secret")
    frame = ValueRef(fingerprint=fingerprint("f"), type="pandas.DataFrame", kind="DataSet")
    given = (
        literal("n", 3),
        literal("rate", float("nan"), "float"),
        literal("on", True, "bool"),
        literal("url", "postgres://u:hunter2@host/db", "str"),
        InputRef(name="nothing", value=ValueRef(fingerprint=fingerprint("None"), type="NoneType")),
        InputRef(name="password", value=secret),
        InputRef(name="frame", value=frame),
    )
    event = EventBuilder(NAMESPACE).flow_event("START", backtest_flow(parameters=given))
    expected = {
        "n": "3",
        "rate": "NaN",
        "on": "true",
        "url": "postgres://***@host/db",
        "nothing": "null",
        "password": "<secret>",
        "frame": fingerprint("f"),
    }
    assert run_facet(event, "lineageFlows_flowRun")["parameters"] == expected
    listed = run_facet(event, "executionParameters")["parameters"]
    assert {one["key"]: one["value"] for one in listed} == expected
    assert b"hunter2" not in event.payload


@pytest.mark.parametrize("run_id", ["", "not-a-uuid", "1234"])
def test_a_run_id_that_is_none_is_refused(run_id: str) -> None:
    with pytest.raises(EventError, match="UUID"):
        EventBuilder(NAMESPACE).flow_event("START", backtest_flow(run_id=run_id))


def test_a_run_id_is_written_in_lower_case() -> None:
    event = EventBuilder(NAMESPACE).flow_event("START", backtest_flow(run_id=FLOW_ID.upper(), root_run_id=FLOW_ID))
    assert event.run_id == event.root_run_id == said(event)["run"]["runId"] == FLOW_ID


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(EventError, match="yesterday"):
        EventBuilder(NAMESPACE).flow_event("START", backtest_flow(started="yesterday"))


def test_names_with_dots_and_of_any_script_are_kept() -> None:
    odd = step(0, "fit.α β/γ", flow_name="desk.1 ∂")
    event = EventBuilder(NAMESPACE).step_event("START", odd, backtest_flow(flow_name="desk.1 ∂"))
    assert said(event)["job"]["name"] == "desk.1 ∂.fit.α β/γ"


def test_building_events_leaves_openlineage_s_client_unimported() -> None:
    import subprocess

    source = (
        "import sys; from tests.support.records import *; from tests.support.stream import stream;"
        "stream(backtest_record()); print([m for m in sys.modules if m.split('.')[0] in"
        " {'openlineage', 'requests', 'pandas', 'pyarrow'}])"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", done.stderr


def test_threads_share_a_builder() -> None:
    builder, flow, steps = EventBuilder(NAMESPACE), backtest_flow(), backtest_steps()
    alone = [builder.step_event("COMPLETE", one, flow).payload for one in steps]
    results: list[list[bytes]] = []

    def build() -> None:
        for _ in range(50):
            results.append([builder.step_event("COMPLETE", one, flow).payload for one in steps])

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 200
    assert all(result == alone for result in results)


# ------------------------------------------------------------------------------------------------- anything a record may hold

TEXT = st.text(st.characters(codec=None, categories=None), max_size=40)
WORDS = st.one_of(
    TEXT,
    st.sampled_from(["\ud800", "a\0b", "https://u:p@h/x", "token=abc", '"', "\\u0000", "\u2028", "🧪", ""]),
)
NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none())
PREVIEWS = st.one_of(NUMBERS, WORDS, st.dictionaries(WORDS, NUMBERS, max_size=3), st.lists(NUMBERS, max_size=3))
VALUES = st.builds(
    ValueRef,
    fingerprint=st.one_of(st.none(), WORDS.map(lambda text: fingerprint(repr(text)))),
    type=WORDS,
    kind=st.sampled_from(["Value", "DataSet", "Model", "Metrics", "TimeSeries", "Figure"]),
    size=st.one_of(st.none(), st.integers(0, 2**62)),
    shape=st.one_of(st.none(), st.tuples(st.integers(0, 9)), st.just(())),
    preview=PREVIEWS,
    note=st.one_of(st.none(), WORDS),
)
SOURCES = st.builds(
    Source,
    run_id=st.sampled_from([FLOW_ID, step_id(3)]),
    uri=st.one_of(st.just(value_uri(NAMESPACE, "task-run", step_id(3), "result")), WORDS.filter(bool)),
    fingerprint=st.one_of(st.none(), st.just(fingerprint("x"))),
    part=st.sampled_from(["", "/train", "/0/a b"]),
    known_by=st.sampled_from([(), ("prefect",), ("prefect", "content")]),
)
INPUTS = st.lists(
    st.builds(InputRef, name=WORDS, value=VALUES, sources=st.lists(SOURCES, max_size=2).map(tuple)), max_size=4
).map(tuple)
ERRORS = st.builds(ErrorRef, type=WORDS, message=WORDS, stack=WORDS)
STEPS = st.builds(
    step,
    number=st.just(0),
    task=st.just("t"),
    task_name=WORDS,
    flow_name=WORDS,
    run_name=WORDS,
    function=st.builds(FunctionRef, name=WORDS, module=WORDS, path=st.one_of(st.none(), WORDS)),
    inputs=INPUTS,
    output=st.one_of(st.none(), VALUES),
    tags=st.lists(WORDS, max_size=2).map(tuple),
    upstream=st.lists(st.sampled_from([FLOW_ID, step_id(3)]), max_size=2).map(tuple),
    error=st.one_of(st.none(), ERRORS),
    unrestorable=st.lists(WORDS, max_size=2).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(one=STEPS, kind=st.sampled_from(["START", "RUNNING", "COMPLETE", "FAIL", "ABORT"]))
def test_whatever_a_step_s_record_holds_its_event_is_valid(one: StepRecord, kind: Any) -> None:
    flow = backtest_flow(flow_name=one.flow_name)
    event = EventBuilder(NAMESPACE).step_event(kind, one, flow)
    found = [finding for finding in check([event.payload]) if not finding.startswith(("run ", "0: upstream run"))]
    assert [finding for finding in found if "is unknown" not in finding] == []
    run_event(event.payload)


@settings(max_examples=60, deadline=None)
@given(given_=INPUTS, result=st.one_of(st.none(), VALUES), name=WORDS, path=st.one_of(st.none(), WORDS), tag=WORDS)
def test_whatever_a_flow_s_record_holds_its_event_is_valid(
    given_: Any, result: Any, name: str, path: str | None, tag: str
) -> None:
    flow = backtest_flow(
        flow_name=name,
        parameters=given_,
        result=result,
        result_sources=given_[0].sources if given_ else (),
        entry=EntryPoint(path=path, qualname=name, module=name, working_directory=name),
        tags=(tag,),
        created_by=tag,
    )
    event = EventBuilder(NAMESPACE).flow_event("COMPLETE", flow)
    assert [finding for finding in check([event.payload]) if not finding.startswith("run ")] == []


def test_the_client_s_objects_are_the_classes_its_own_code_looks_for() -> None:
    (fit,) = [
        e for e in RUNS["backtest"]() if e.kind == "COMPLETE" and said(e)["job"]["name"] == "backtest.make_features"
    ]
    event = run_event(fit.payload)
    assert isinstance(event.run.facets["parent"], parent_run.ParentRunFacet)
    assert event.run.facets["parent"].root.job.name == "backtest"
    assert isinstance(event.run.facets["jobDependencies"].upstream[0], job_dependencies_run.JobDependency)
    assert isinstance(event.outputs[0].facets["schema"].fields[0], schema_dataset.SchemaDatasetFacetFields)
    tagged = EventBuilder(NAMESPACE).flow_event("FAIL", backtest_flow(tags=("a",), state="Failed", state_type="FAILED"))
    event = run_event(tagged.payload)
    assert isinstance(event.run.facets["tags"].tags[0], tags_run.TagsRunFacetFields)
    assert isinstance(event.run.facets["errorMessage"], error_message_run.ErrorMessageRunFacet)


def test_functions_are_said_with_where_their_source_is_kept() -> None:
    kept = function("load").model_copy(update={"blob": blob("source", "text")})
    facet = run_facet(
        EventBuilder(NAMESPACE).step_event("START", step(0, "load", function=kept), backtest_flow()),
        "lineageFlows_taskRun",
    )
    assert facet["function"] == {
        "name": "load",
        "module": "backtest",
        "path": "backtest.py",
        "line": 10,
        "digest": kept.digest,
        "blob": blob("source").digest,
    }


def test_a_secret_that_is_met_later_is_masked_in_what_all_runs_of_a_task_have_in_common():
    """The constant part of a task's events is made once, and again when there is more to be masked."""
    redaction.forget()
    builder, flow = EventBuilder("prefect"), backtest_flow()
    record = backtest_steps()[0].model_copy(update={"about": JobAbout(documentation="plover-1789-xyzzy")})
    try:
        assert b"plover-1789" in builder.step_event("START", record, flow).payload
        redaction.remember("plover-1789-xyzzy")
        assert b"plover-1789" not in builder.step_event("START", record, flow).payload
    finally:
        redaction.forget()


def test_runs_that_differ_in_one_thing_share_nothing_of_it():
    builder, flow = EventBuilder("prefect"), backtest_flow()
    one = backtest_steps()[0]
    for change in (
        {"tags": ("nightly",)},
        {"about": JobAbout(documentation="other")},
        {"function": one.function.model_copy(update={"path": "other.py"})},
        {"task_name": "other"},
        {},
    ):
        record = one.model_copy(update=change)
        for source in ("def one(): ...", "def two(): ...", None):
            fresh = EventBuilder("prefect").step_event("START", record, flow, source=source)
            assert builder.step_event("START", record, flow, source=source) == fresh
    other = flow.model_copy(update={"prefect_version": "3.9.9"})
    assert b"3.9.9" in builder.step_event("START", one, other).payload
