"""Entities as SageMaker takes and gives them: nothing gets lost between the two, and every limit is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.graph.identity import fit_json, fit_text
from lineage_flows.graph.model import Action, Artifact, Context, Entity, MetadataProperties, SourceType
from lineage_flows.graph.sagemaker import wire
from tests.graph.sagemaker.double import _check

MODEL = botocore.session.get_session().get_service_model("sagemaker")
MOMENT = "2026-11-20T10:00:00.000000Z"
TIME = datetime(2026, 11, 20, 10, tzinfo=UTC)
ARN = "arn:aws:sagemaker:eu-central-1:123456789012"

lines = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\x85\u2028\u2029"), max_size=40)
keys = st.text("abcdefgh.", min_size=1, max_size=8)
metadata = st.builds(
    MetadataProperties, commit_id=st.none() | lines.filter(bool), repository=st.none() | lines.filter(bool)
)


def properties(longest: int) -> Any:
    values = lines | st.integers(0, longest).map(lambda length: "v" * length)
    return st.dictionaries(keys, values, max_size=30).map(lambda found: dict(sorted(found.items())))


actions = st.builds(
    Action,
    arn=st.just(f"{ARN}:action/a-b"),
    name=st.just("a-b"),
    source_uri=st.just("prefect://quant/flow-run/1"),
    source_type=st.just("PrefectFlowRun"),
    source_id=st.just("1"),
    action_type=st.sampled_from(["FlowRun", "Replay"]),
    status=st.sampled_from(["InProgress", "Completed", "Failed"]),
    description=st.none() | lines.filter(bool),
    properties=properties(2500),
    metadata=metadata,
    created_at=st.just(MOMENT),
    modified_at=st.just(MOMENT),
)
artifacts = st.builds(
    Artifact,
    arn=st.just(f"{ARN}:artifact/0a"),
    name=st.just("prices-0a"),
    source_uri=st.just("s3://bucket/prices"),
    source_types=st.sampled_from([(), (SourceType(type="S3ETag", value="e"), SourceType(type="S3Version", value="v"))]),
    artifact_type=st.sampled_from(["DataSet", "Model"]),
    properties=properties(4096),
    metadata=metadata,
    created_at=st.just(MOMENT),
)
contexts = st.builds(
    Context,
    arn=st.just(f"{ARN}:context/flow_1"),
    name=st.just("flow_1"),
    source_uri=st.just("prefect://quant/flow/f"),
    source_type=st.just("Flow"),
    source_id=st.just("f"),
    context_type=st.just("Flow"),
    description=st.none() | lines.filter(bool),
    properties=properties(2500),
    created_at=st.just(MOMENT),
)


def described(entity: Entity, parameters: dict[str, Any]) -> dict[str, Any]:
    """What Describe says of what a Create said."""
    named = {f"{entity.lineage_type}Arn": entity.arn, "CreationTime": TIME, "LastModifiedTime": TIME}
    return {**{key: value for key, value in parameters.items() if key != "Tags"}, **named}


def allowed(operation: str, parameters: dict[str, Any]) -> None:
    shape = MODEL.operation_model(operation).input_shape
    assert not ParamValidator().validate(parameters, shape).has_errors()
    _check(parameters, shape)


@given(entity=actions | artifacts | contexts)
def test_what_is_created_is_read_as_it_was(entity: Entity) -> None:
    fixed = wire.fixed_of(entity)
    state = wire.state_of(entity, fixed)
    operation, _, parameters = wire.create(entity, state, {"managed-by": "lineage-flows"})
    allowed(operation, parameters)
    answer = described(entity, parameters)
    assert wire.read(entity.lineage_type, answer) == entity
    assert wire.read_state(entity.lineage_type, answer) == (fixed, state)
    assert wire.same_thing(entity, answer["Source"])


@given(data=st.data(), kind=st.sampled_from([actions, artifacts, contexts]))
def test_what_is_updated_is_read_as_it_became(data: Any, kind: Any) -> None:
    """Also what no Update can change: type, commit, repository."""
    before, after = data.draw(kind), data.draw(kind)
    if isinstance(before, Artifact):
        after = after.model_copy(update={"source_types": before.source_types})
    fixed = wire.fixed_of(before)
    answer = described(before, wire.create(before, wire.state_of(before, fixed), {})[2])
    held = set(answer["Properties"])
    operation, _, parameters = wire.update(after, before.arn, wire.state_of(after, fixed), held)
    allowed(operation, parameters)
    removed = set(parameters.pop("PropertiesToRemove", ()))
    assert not removed & parameters["Properties"].keys()
    assert removed | parameters["Properties"].keys() >= held
    answer |= {key: value for key, value in parameters.items() if key != f"{before.lineage_type}Arn"}
    read = wire.read(before.lineage_type, answer)
    # What is too long for the property that several must share is cut there, and says so.
    assert read == after or "lineage-flows.more" in parameters["Properties"]


@given(entity=actions, others=st.dictionaries(keys, lines, max_size=30))
def test_what_others_said_stays_beside_ours_within_thirty(entity: Action, others: dict[str, str]) -> None:
    state = wire.state_of(entity, wire.fixed_of(entity), others)
    assert len(state.properties) <= 30
    whole = wire.unpacked(state.properties)
    # Where both find no room together, what others said stays whole, and what is missing of ours is named with where it stands.
    pointer = state.properties.get("lineage-flows.whole", "")
    named = pointer.partition("leaves out of ")[2].partition(" stands in ")[0].split(", ")
    assert {key for key in entity.properties if whole.get(key) != entity.properties[key]} <= set(named)
    assert whole.keys() >= others.keys()


def test_what_was_cut_short_says_where_the_rest_is() -> None:
    long = "p" * 5000
    action = Action(
        arn=f"{ARN}:action/a",
        name="a",
        source_uri="prefect://quant/task-run/7",
        source_id="7",
        action_type="Training",
        properties={
            "rootRunId": "1",
            "error": fit_text(long),
            "parameters": fit_json({str(number): long[:90] for number in range(99)}),
            "fine": "…and so on: no ellipsis at its end",
        },
        created_at=MOMENT,
        modified_at=MOMENT,
    )
    state = wire.state_of(action, wire.fixed_of(action))
    assert state.properties["lineage-flows.whole"] == (
        "what … leaves out of error, parameters stands in the run record prefect://quant/flow-run/1/record"
    )
    read = wire.read("Action", described(action, wire.create(action, state, {})[2]))
    assert read.properties == dict(sorted(action.properties.items()))


def test_a_source_is_the_same_only_with_the_same_source_types() -> None:
    artifact = Artifact(
        arn=f"{ARN}:artifact/0a",
        source_uri="s3://b/k",
        source_types=(SourceType(type="S3ETag", value="e"),),
        artifact_type="DataSet",
        created_at=MOMENT,
    )
    assert wire.same_thing(
        artifact, {"SourceUri": "s3://b/k", "SourceTypes": [{"SourceIdType": "S3ETag", "Value": "e"}]}
    )
    assert not wire.same_thing(artifact, {"SourceUri": "s3://b/k"})
    assert not wire.same_thing(
        artifact, {"SourceUri": "s3://b/k", "SourceTypes": [{"SourceIdType": "Custom", "Value": "e"}]}
    )
    assert not wire.same_thing(
        artifact, {"SourceUri": "s3://b/K", "SourceTypes": [{"SourceIdType": "S3ETag", "Value": "e"}]}
    )


def dataset(**said: str) -> Artifact:
    return Artifact(
        arn=f"{ARN}:artifact/0a", source_uri="s3://b/k", artifact_type="DataSet", created_at=MOMENT, properties=said
    )


def test_of_too_many_properties_ours_share_one_and_others_stay_as_they_are() -> None:
    ours = dataset(**{f"ours{number:02}": "a longer value of ours" for number in range(20)})
    others = {f"theirs{number:02}": "v" for number in range(20)}
    state = wire.state_of(ours, wire.fixed_of(ours), others)
    assert len(state.properties) <= 30
    assert others.items() <= state.properties.items()
    assert wire.unpacked(state.properties).items() >= ours.properties.items()


def test_what_there_is_no_room_for_says_where_it_stands() -> None:
    """Others' values stand nowhere else, so that they stay; ours are in the run record."""
    ours = dataset(**{f"ours{number:02}": str(number) + "v" * 200 for number in range(30)})
    others = {f"theirs{number:02}": "w" * 150 for number in range(20)}
    state = wire.state_of(ours, wire.fixed_of(ours), others)
    found = wire.unpacked(state.properties)
    assert len(state.properties) <= 30
    assert others.items() <= found.items()
    left_out = [key for key, value in ours.properties.items() if found.get(key) != value]
    assert left_out
    assert all(key in state.properties["lineage-flows.whole"] for key in left_out)
    assert "stands in the run record of each run" in state.properties["lineage-flows.whole"]


def test_a_value_of_anothers_that_was_cut_keeps_its_pointer() -> None:
    theirs, ours = dataset(theirs=fit_text("v" * 5000)), dataset(ours=fit_text("w" * 5000))
    there = wire.state_of(theirs, wire.fixed_of(theirs)).properties
    pointer = there["lineage-flows.whole"]
    others = {"theirs": there["theirs"]} | wire.pointers_of(there, {"theirs"})
    both = wire.state_of(ours, wire.fixed_of(ours), others).properties
    assert pointer in both["lineage-flows.whole"]
    assert "leaves out of ours" in both["lineage-flows.whole"]
    again = {"theirs": there["theirs"]} | wire.pointers_of(both, {"theirs"})
    assert again == others, "however often it is taken up, it is said once"
    assert wire.pointers_of(both, {"gone"}) == {}


def test_what_stands_by_itself_is_not_hidden_by_what_was_packed() -> None:
    assert wire.unpacked({"a": "by hand", "lineage-flows.more": '{"a": "packed", "b": "packed"}'}) == {
        "a": "by hand",
        "b": "packed",
    }
