from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.graph.model import Action, Artifact, Association, Context, MetadataProperties, SourceType, Use
from lineage_flows.graph.neptune.tables import (
    FORMATS,
    MOST_COLUMNS,
    association_table,
    edge_id,
    entity_table,
    line,
)
from tests.support.neptune import read_export, records

ARN = "arn:aws:sagemaker:local:000000000000:artifact/one"
texts = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    [
        "",
        '"',
        '""',
        ",",
        "\n",
        "\r\n",
        ";",
        "\\;",
        "a;b",
        "007",
        "1e5",
        "true",
        "NaN",
        " x ",
        "'",
        "=1+1",
        "\ufeff",
        "\0",
        "é\u2028",
    ]
)
one_line = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\x85\u2028\u2029"), max_size=40
) | st.sampled_from(["", '"', ",", ";", "a;b", "007", "1e5", "true", " x ", "\\;", "x" * 4096])
keys = st.one_of(st.sampled_from(["name", "sharpe", "a.b", "type", "x" * 120]), one_line.map(lambda text: text[:2500]))


@given(st.lists(st.lists(st.none() | texts, min_size=1, max_size=5), max_size=5))
def test_what_is_written_is_read_again(rows):
    written = "".join(line(["id", *[]], row) for row in rows)
    assert list(records(written)) == [["id", *row] for row in rows]


def test_a_very_long_text_is_one_field():
    text = 'x,"\n' * 100_000
    assert list(records(line([ARN], [text]))) == [[ARN, text]]


@pytest.mark.parametrize("style", FORMATS)
@settings(deadline=None)
@given(
    properties=st.dictionaries(keys, one_line, max_size=6),
    source_uri=one_line.filter(bool).map(lambda text: text[:2048]),
    value=one_line,
)
def test_an_artifact_is_whole_in_its_row(tmp_path_factory, style, properties, source_uri, value):
    artifact = Artifact(
        arn=ARN,
        source_uri=source_uri,
        created_at="2026-01-30T21:30:00.123456Z",
        name="prices",
        source_types=(SourceType(type="Custom", value=value[:256]), SourceType(type="S3ETag", value="a;b")),
        artifact_type="DataSet",
        properties=properties,
        metadata=MetadataProperties(commit_id="9f2c"),
    )
    table, row = entity_table("Artifact", properties, style)
    folder = tmp_path_factory.mktemp("export")
    (folder / "artifacts.csv").write_bytes((table.header + row(artifact)).encode())
    label, found = read_export(folder, style).vertices[ARN]
    rest = orjson.loads(found.pop("otherProperties", "{}"))
    columns = {name.removeprefix("property_"): text for name, text in found.items() if name.startswith("property_")}
    assert {**columns, **rest} == properties
    assert not columns.keys() & rest.keys()
    assert label == "Artifact"
    assert {name: text for name, text in found.items() if not name.startswith("property_")} == {
        "type": "DataSet",
        "name": "prices",
        "displayName": artifact.label,
        "sourceUri": source_uri,
        "createdAt": "2026-01-30T21:30:00Z",
        "createdAtExact": "2026-01-30T21:30:00.123456Z",
        "fingerprint": value[:256],
        "sourceTypes": orjson.dumps(
            [{"type": "Custom", "value": value[:256]}, {"type": "S3ETag", "value": "a;b"}]
        ).decode(),
        "commitId": "9f2c",
    }


def test_headers_are_those_of_the_manual():
    assert entity_table("Context", ["flow"], "gremlin")[0].header == (
        "~id,~label,type:String(single),name:String(single),displayName:String(single),sourceUri:String(single),"
        "createdAt:Date(single),createdAtExact:String(single),sourceType:String(single),sourceId:String(single),"
        "description:String(single),property_flow:String(single),otherProperties:String(single)\n"
    )
    assert entity_table("Context", ["flow"], "opencypher")[0].header == (
        ":ID,:LABEL,type:String,name:String,displayName:String,sourceUri:String,createdAt:DateTime,createdAtExact:String,"
        "sourceType:String,sourceId:String,description:String,property_flow:String,otherProperties:String\n"
    )
    assert association_table("gremlin")[0].header == (
        "~id,~from,~to,~label,createdAt:Date,createdAtExact:String,uses:String\n"
    )
    assert association_table("opencypher")[0].header == (
        ":ID,:START_ID,:END_ID,:TYPE,createdAt:DateTime,createdAtExact:String,uses:String\n"
    )


def test_an_action_and_a_context_have_what_is_their_own():
    action = Action(
        arn=ARN.replace("artifact", "action"),
        source_uri="prefect://run",
        created_at="2026-01-30T21:30:00.000001Z",
        modified_at="2026-01-30T21:31:00.000002Z",
        name="fit",
        action_type="Training",
        status="Completed",
        source_type="PrefectTaskRun",
        source_id="one",
    )
    context = Context(
        arn=ARN.replace("artifact", "context"), source_uri="f", created_at="yesterday", name="f", context_type="Flow"
    )
    (found,) = records(entity_table("Action", [], "gremlin")[1](action))
    columns = entity_table("Action", [], "gremlin")[0].columns
    named = dict(zip(columns, found[2:], strict=True))
    assert (named["status"], named["modifiedAt"], named["modifiedAtExact"]) == (
        "Completed",
        "2026-01-30T21:31:00Z",
        action.modified_at,
    )
    (found,) = records(entity_table("Context", [], "opencypher")[1](context))
    named = dict(zip(entity_table("Context", [], "opencypher")[0].columns, found[2:], strict=True))
    assert (named["createdAt"], named["createdAtExact"]) == (None, "yesterday"), "a Date column takes moments alone"


def test_more_properties_than_columns_are_kept_in_one():
    names = [f"key{number:04}" for number in range(MOST_COLUMNS + 10)]
    table, row = entity_table("Artifact", names, "gremlin")
    last = Artifact(
        arn=ARN, source_uri="x", created_at="", artifact_type="Value", properties={names[-1]: "1", names[0]: "2"}
    )
    (found,) = records(row(last))
    named = dict(zip(table.columns, found[2:], strict=True))
    assert orjson.loads(named["otherProperties"] or "") == {names[-1]: "1"}
    assert named[f"property_{names[0]}"] == "2"


def test_an_association_has_its_uses_and_always_the_same_id():
    edge = Association(
        source_arn=ARN,
        destination_arn=ARN.replace("one", "two"),
        association_type="ContributedTo",
        uses=(Use(name="x;y", known_by=("prefect",)),),
        created_at="2026-01-30T21:30:00.123456Z",
    )
    rows = {style: next(records(association_table(style)[1](edge))) for style in FORMATS}
    assert rows["gremlin"] == rows["opencypher"]
    assert rows["gremlin"] == [
        edge_id(edge.source_arn, edge.destination_arn, "ContributedTo"),
        edge.source_arn,
        edge.destination_arn,
        "ContributedTo",
        "2026-01-30T21:30:00Z",
        "2026-01-30T21:30:00.123456Z",
        '[{"known_by":["prefect"],"name":"x;y"}]',
    ]
    assert edge_id("a b", "c", "d") != edge_id("a", "b c", "d")
