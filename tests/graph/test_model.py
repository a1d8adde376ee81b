from __future__ import annotations

import pytest
from pydantic import ValidationError

from lineage_flows.graph.identity import LOCAL
from lineage_flows.graph.model import Action, Artifact, Association, Context, MetadataProperties, SourceType

TIME = "2026-01-30T21:30:00.000000Z"
ARTIFACT = {"arn": f"{LOCAL}:artifact/ab", "source_uri": "file:///a", "artifact_type": "DataSet", "created_at": TIME}
ACTION = {
    "arn": f"{LOCAL}:action/a",
    "name": "a",
    "source_uri": "prefect://a",
    "action_type": "FlowRun",
    "created_at": TIME,
    "modified_at": TIME,
}
CONTEXT = {
    "arn": f"{LOCAL}:context/a",
    "name": "a",
    "source_uri": "prefect://a",
    "context_type": "Flow",
    "created_at": TIME,
}


@pytest.mark.parametrize(
    ("kind", "base", "change"),
    [
        (Artifact, ARTIFACT, {"name": "a" * 121}),
        (Artifact, ARTIFACT, {"name": "a_b"}),
        (Artifact, ARTIFACT, {"name": "-a"}),
        (Artifact, ARTIFACT, {"name": "a-"}),
        (Artifact, ARTIFACT, {"name": ""}),
        (Artifact, ARTIFACT, {"name": "a\n"}),
        (Artifact, ARTIFACT, {"source_uri": ""}),
        (Artifact, ARTIFACT, {"source_uri": "x" * 2049}),
        (Artifact, ARTIFACT, {"artifact_type": "x" * 257}),
        (Artifact, ARTIFACT, {"properties": {str(number): "" for number in range(31)}}),
        (Artifact, ARTIFACT, {"properties": {"k": "x" * 4097}}),
        (Artifact, ARTIFACT, {"properties": {"k" * 2501: ""}}),
        (Artifact, ARTIFACT, {"properties": {"k": "two\nlines"}}),
        (Artifact, ARTIFACT, {"source_types": ({"type": "SHA", "value": "1"},)}),
        (Artifact, ARTIFACT, {"source_types": ({"type": "Custom", "value": "x" * 257},)}),
        (Artifact, ARTIFACT, {"metadata": {"commit_id": "x" * 1025}}),
        (Artifact, ARTIFACT, {"arn": "arn:aws:s3:::bucket"}),
        (Action, ACTION, {"name": "a_b"}),
        (Action, ACTION, {"status": "Running"}),
        (Action, ACTION, {"description": "x" * 3073}),
        (Action, ACTION, {"properties": {"k": "x" * 2501}}),
        (Action, ACTION, {"colour": "red"}),
        (Context, CONTEXT, {"name": "_a"}),
        (Context, CONTEXT, {"metadata": {}}),
        (MetadataProperties, {}, {"project_id": "x" * 1025}),
        (SourceType, {"type": "Custom", "value": "1"}, {"value": "x" * 257}),
    ],
)
def test_what_sagemaker_would_refuse_is_refused_here(kind, base, change):
    kind(**base)
    with pytest.raises(ValidationError):
        kind(**{**base, **change})


def test_what_sagemaker_allows_is_allowed():
    Context(**{**CONTEXT, "name": "a_b-c"})
    Artifact(**{**ARTIFACT, "properties": {str(number): "x" * 4096 for number in range(30)}, "source_uri": "x" * 2048})
    for kind in ("ContributedTo", "AssociatedWith", "DerivedFrom", "Produced", "SameAs"):
        Association(source_arn=ARTIFACT["arn"], destination_arn=ACTION["arn"], association_type=kind, created_at=TIME)
    with pytest.raises(ValidationError):
        Association(source_arn=ARTIFACT["arn"], destination_arn=ACTION["arn"], association_type="Made", created_at=TIME)


def test_labels_are_what_a_reader_calls_things():
    assert Artifact(**ARTIFACT).label == "file:///a"
    assert Artifact(**{**ARTIFACT, "properties": {"name": "/a"}}).label == "/a"
    assert Action(**{**ACTION, "properties": {"name": "brave-otter"}}).label == "brave-otter"
    assert Action(**{**ACTION, "properties": {"name": "fit-000", "task": "fit"}}).label == "fit"
    assert Context(**{**CONTEXT, "properties": {"flow": "back test"}}).label == "back test"
