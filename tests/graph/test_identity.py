from __future__ import annotations

import json
import re
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from lineage_flows.graph import identity, model

NAMES = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}")
CONTEXT_NAMES = re.compile(r"[a-zA-Z0-9]([-_]*[a-zA-Z0-9]){0,119}")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=60,
)


@given(st.text(max_size=300), st.uuids())
def test_an_action_name_fits_sagemaker_and_ends_in_the_run_id(label, run_id):
    name = identity.action_name(label, str(run_id))
    assert NAMES.fullmatch(name)
    assert len(name) <= 120
    assert name.endswith(str(run_id))


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_context_name_fits_sagemaker(namespace, flow):
    assert CONTEXT_NAMES.fullmatch(identity.context_name(namespace, flow))


def test_flows_that_differ_only_in_what_no_name_can_hold_have_different_contexts():
    names = {identity.context_name("ns", flow) for flow in ("a b", "a-b", "a_b", "цена", "價格", "")}
    assert len(names) == 6
    assert identity.context_name("a-b", "c") != identity.context_name("a", "b-c")


@given(
    st.text(max_size=3000), st.lists(st.tuples(st.sampled_from(["Custom", "S3ETag"]), st.text(max_size=40)), max_size=3)
)
def test_an_artifact_name_and_arn_fit_sagemaker_and_forget_the_order_of_source_types(label, sources):
    arn = identity.artifact_arn(label, sources)
    assert arn == identity.artifact_arn(label, sources[::-1])
    TypeAdapter(model.Arn).validate_python(arn)
    assert NAMES.fullmatch(identity.artifact_name(label, arn))


def test_the_arn_of_an_artifact_is_a_function_of_uri_and_source_types_together():
    arns = [
        identity.artifact_arn("file:///a", ()),
        identity.artifact_arn("file:///a", (("Custom", "1"),)),
        identity.artifact_arn("file:///a", (("Custom", "2"),)),
        identity.artifact_arn("file:///a", (("S3ETag", "1"),)),
        identity.artifact_arn("file:///b", (("Custom", "1"),)),
        identity.artifact_arn('file:///a",["Custom","1"]', ()),
    ]
    assert len(set(arns)) == len(arns)


@pytest.mark.parametrize(
    ("namespace", "name", "uri"),
    [
        ("file", "/desk/a b.csv", "file:///desk/a%20b.csv"),
        ("s3://bucket", "key/x.parquet", "s3://bucket/key/x.parquet"),
        ("s3://bucket", "/key", "s3://bucket/key"),
        ("postgres://host:5432", "db.schema.table", "postgres://host:5432/db.schema.table"),
        ("inmemory://", "flow.task/result", "inmemory://flow.task/result"),
        ("bigquery", "project.set.table", "bigquery:project.set.table"),
        ("", "table", "table"),
    ],
)
def test_datasets_are_named_by_openlineages_table(namespace, name, uri):
    assert identity.dataset_uri(namespace, name) == uri


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5000))
def test_a_uri_fits_and_stays_the_only_one_of_its_kind(text):
    fitted = identity.fit_uri(text)
    TypeAdapter(model.SourceUri).validate_python(fitted)
    if fitted == text:
        assert identity.fit_uri(fitted) == text
    assert identity.fit_uri(text + "x") != fitted


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=600))
def test_a_version_fits(text):
    TypeAdapter(model.SourceId).validate_python(identity.fit_id(text))


def test_versions_too_long_to_keep_stay_different():
    assert identity.fit_id("x" * 300) != identity.fit_id("x" * 301)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=4000))
def test_a_text_fits(text):
    fitted = identity.fit_text(text)
    TypeAdapter(model.PropertyText).validate_python(fitted)
    if len(text) <= 2500 and not set(text) & set(model.LINE_BREAKS):
        assert fitted == text


@given(json_values, st.integers(40, 400))
def test_json_that_is_made_to_fit_is_json(value, length):
    fitted = identity.fit_json(value, length)
    loaded = json.loads(fitted)
    TypeAdapter(model.PropertyText).validate_python(fitted)
    if isinstance(value, list | dict):
        assert len(fitted) <= length
        assert type(loaded) is type(value)


def test_json_says_how_much_of_it_was_left_out():
    fitted = json.loads(identity.fit_json({f"parameter_{number}": "x" * 50 for number in range(1000)}))
    assert fitted["…"] == 1000 - (len(fitted) - 1)
    assert fitted["parameter_0"] == "x" * 50
    listed = json.loads(identity.fit_json(list(range(5000))))
    assert listed[:3] == [0, 1, 2]
    assert listed[-1] == {"…": 5000 - (len(listed) - 1)}


def test_what_a_value_uri_says():
    run = str(uuid.uuid4())
    assert identity.value_name(f"prefect://desk/task-run/{run}/result") == identity.ValueName(
        f"task-run/{run}/result", run, "result", ""
    )
    given_name = identity.value_name(f"prefect://desk/flow-run/{run}/parameter/a/b")
    assert given_name is not None
    assert (given_name.kind, given_name.name) == ("parameter", "a/b")
    for other in (
        "file:///a",
        f"prefect://desk/flow-run/{run}/record",
        f"prefect://desk/flow-run/{run}",
        "prefect://x",
    ):
        assert identity.value_name(other) is None


@given(st.text(alphabet=string.printable, max_size=50))
def test_any_uri_may_be_asked_what_it_says(text):
    identity.value_name(f"prefect://{text}")
