"""Requests against the shapes of the service model: what fits them passes, what breaks one is refused in SageMaker's words."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lineage_flows.endpoint.errors import ServiceError
from lineage_flows.endpoint.moments import epoch_seconds, moment
from lineage_flows.endpoint.patterns import compiled
from lineage_flows.endpoint.service import OPERATIONS
from lineage_flows.endpoint.shapes import input_shape
from lineage_flows.endpoint.validation import read_request
from tests.endpoint.kit import client, refuses

CREATE = input_shape("CreateArtifact")
GOOD = {"Source": {"SourceUri": "s3://x"}, "ArtifactType": "DataSet"}


def refused(operation, **members):
    with pytest.raises(ServiceError) as told:
        read_request(input_shape(operation), members)
    return told.value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"Source": {"SourceUri": "x" * 2049}},
            f"1 validation error detected: Value '{'x' * 2049}' at 'source.sourceUri' failed to satisfy constraint: "
            "Member must have length less than or equal to 2048",
        ),
        (
            {"Source": {"SourceUri": ""}},
            "1 validation error detected: Value '' at 'source.sourceUri' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
        ),
        (
            {"ArtifactType": None},
            "1 validation error detected: Value null at 'artifactType' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            {"ArtifactName": "a_b"},
            "1 validation error detected: Value 'a_b' at 'artifactName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}",
        ),
        (
            {"Source": {"SourceUri": "x", "SourceTypes": [{"SourceIdType": "ETag", "Value": "1"}]}},
            "1 validation error detected: Value 'ETag' at 'source.sourceTypes.1.member.sourceIdType' failed to satisfy "
            "constraint: Member must satisfy enum value set: [MD5Hash, S3ETag, S3Version, Custom]",
        ),
        (
            {"Properties": {str(number): "" for number in range(31)}},
            "at 'properties' failed to satisfy constraint: Member must have length less than or equal to 30",
        ),
        (
            {"Properties": {"a": "x" * 4097}},
            "at 'properties' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length "
            "less than or equal to 4096, Member must have length greater than or equal to 0, "
            "Member must satisfy regular expression pattern: .*]",
        ),
        ({"Properties": {"x" * 2501: ""}}, "Map keys must satisfy constraint"),
        ({"Properties": {"a": None}}, "Map value must satisfy constraint"),
        ({"Properties": {"a": "two\nlines"}}, "Member must satisfy regular expression pattern: .*"),
        ({"Tags": [{"Key": "", "Value": "v"}]}, "Value '' at 'tags.1.member.key'"),
        ({"Tags": [None]}, "Value null at 'tags.1.member' failed to satisfy constraint: Member must not be null"),
        (
            {"Source": {"SourceUri": ""}, "ArtifactName": ""},
            "3 validation errors detected: Value '' at 'source.sourceUri'",
        ),
    ],
)
def test_a_broken_constraint_is_said_as_sagemaker_says_it(change, message):
    error = refused("CreateArtifact", **{**GOOD, **change})
    assert error.code == "ValidationException"
    assert message in error.message


def test_numbers_have_their_range():
    assert (
        "Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100"
        in (refused("ListArtifacts", MaxResults=101).message)
    )
    assert "greater than or equal to 1" in refused("ListArtifacts", MaxResults=0).message
    assert read_request(input_shape("ListArtifacts"), {"MaxResults": 100.0}) == {"MaxResults": 100}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({**GOOD, "ArtifactType": 7}, "NUMBER_VALUE can not be converted to a String"),
        ({**GOOD, "ArtifactType": True}, "TRUE_VALUE can not be converted to a String"),
        ({**GOOD, "ArtifactType": ["x"]}, "Start of list found where not expected"),
        ({**GOOD, "Source": "x"}, "STRING_VALUE can not be converted to a structure"),
        ({**GOOD, "Properties": []}, "Start of list found where not expected"),
        ({**GOOD, "Tags": {}}, "Start of structure or map found where not expected"),
        ({**GOOD, "Colour": "red"}, "has no member 'Colour'"),
    ],
)
def test_a_wrong_type_is_no_request(members, words):
    error = refused("CreateArtifact", **members)
    assert (error.code, error.status) == ("SerializationException", 400)
    assert words in error.message


@pytest.mark.parametrize("wrong", ["2026-01-01T00:00:00Z", True, 1e300, [], -1e12])
def test_a_moment_is_a_number_that_a_calendar_has(wrong):
    assert refused("ListArtifacts", CreatedAfter=wrong).code == "SerializationException"


@pytest.mark.parametrize("wrong", [5.5, "5", True])
def test_a_whole_number_is_one(wrong):
    assert refused("ListArtifacts", MaxResults=wrong).code == "SerializationException"


def test_null_is_the_same_as_nothing():
    assert read_request(CREATE, {**GOOD, "ArtifactName": None, "Properties": None}) == GOOD


@settings(deadline=None)
@given(st.datetimes().filter(lambda time: 1 < time.year < 9999))
def test_moments_go_to_seconds_and_back(time):
    text = time.isoformat(timespec="microseconds") + "Z"
    assert abs(epoch_seconds(moment(epoch_seconds(text))) - epoch_seconds(text)) < 1e-3
    if 1970 <= time.year < 2100:
        assert moment(epoch_seconds(text)) == text


def test_boto3_sends_what_it_does_not_check_and_is_told(endpoint):
    sagemaker = client(endpoint.url, checks=False)
    with refuses("ValidationException", "Member must not be null") as told:
        sagemaker.create_artifact(ArtifactType="x")
    assert told.status == 400
    with refuses("ValidationException", "enum value set"):
        sagemaker.create_action(ActionName="a", ActionType="x", Source={"SourceUri": "x"}, Status="Done")


# Values of any shape


def values(shape, inside=()):
    """Values that a shape allows. A shape that is inside itself (a search expression) is left out there."""
    own = shape.metadata
    inside = (*inside, shape.name)
    if shape.type_name == "structure":
        required = {name: values(shape.members[name], inside) for name in shape.required_members}
        others = {name: member for name, member in shape.members.items() if name not in required}
        optional = {name: values(member, inside) for name, member in others.items() if not _again(member, inside)}
        return st.fixed_dictionaries(required, optional=optional)
    if shape.type_name == "list":
        most = min(own.get("max", 3), 3)
        return st.lists(values(shape.member, inside), min_size=min(own.get("min", 0), most), max_size=most)
    if shape.type_name == "map":
        return st.dictionaries(values(shape.key, inside), values(shape.value, inside), max_size=3)
    if shape.type_name == "string":
        if "enum" in own:
            return st.sampled_from(own["enum"])
        if "\\p" in own.get("pattern", ""):
            texts = st.text("aZé日٣ _.:/=+-@", max_size=20)  # the classes have too many characters to draw from
        elif "pattern" in own and own["pattern"] != ".*":
            texts = st.from_regex(compiled(own["pattern"]), fullmatch=True)
        else:
            texts = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\x85\u2028\u2029"), max_size=20)
        return texts.filter(lambda text: own.get("min", 0) <= len(text) <= own.get("max", 10_000))
    if shape.type_name == "integer":
        return st.integers(own.get("min", 1), own.get("max", 1000))
    if shape.type_name == "boolean":
        return st.booleans()
    if shape.type_name == "double":
        return st.floats(allow_nan=False, allow_infinity=False)
    assert shape.type_name == "timestamp", shape
    return st.integers(0, 4_000_000_000) | st.floats(0, 4e9)


def _again(shape, inside):
    return shape.name in inside or (shape.type_name == "list" and shape.member.name in inside)


def breakings(shape, value, path=()):
    """Every way to break one constraint of a value: the path to it, and what to put there."""
    own = shape.metadata
    if shape.type_name == "structure":
        for name in shape.required_members:
            yield (*path, name), None
        for name, item in value.items():
            yield from breakings(shape.members[name], item, (*path, name))
    elif shape.type_name == "list":
        if "max" in own and value:
            yield path, value * (own["max"] + 1)
        for position, item in enumerate(value):
            yield from breakings(shape.member, item, (*path, position))
    elif shape.type_name == "map":
        if "max" in own and value:
            item = next(iter(value.values()))
            yield path, {f"k{number}": item for number in range(own["max"] + 1)}
        for key, item in value.items():
            yield from breakings(shape.value, item, (*path, key))
    elif shape.type_name == "string":
        if "enum" in own:
            yield path, "something else"
        if "max" in own:
            yield path, "x" * (own["max"] + 1)
        if own.get("min"):
            yield path, ""
        if "pattern" in own:
            yield path, "two\nlines"
    elif shape.type_name == "integer":
        yield from ((path, own[end] + step) for end, step in (("min", -1), ("max", 1)) if end in own)


def changed(value, path, new):
    if not path:
        return new
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = changed(copy.get(path[0]) if isinstance(copy, dict) else copy[path[0]], path[1:], new)
    return copy


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_fits_every_shape_passes_and_what_breaks_one_is_refused(data):
    operation = data.draw(st.sampled_from(sorted(OPERATIONS)))
    shape = input_shape(operation)
    request = data.draw(values(shape))
    read = read_request(shape, request)
    assert read.keys() == request.keys()
    ways = list(breakings(shape, request))
    assume(ways)
    path, new = data.draw(st.sampled_from(ways))
    with pytest.raises(ServiceError) as told:
        read_request(shape, changed(request, path, new))
    assert told.value.code == "ValidationException"
    assert "failed to satisfy constraint: " in told.value.message


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["Source", "SourceUri", "ArtifactType", "Tags", "x"]), inner, max_size=3)
        ),
    )
)
def test_any_json_is_a_request_or_is_refused(document):
    for operation in ("CreateArtifact", "ListAssociations", "AddTags"):
        with suppress(ServiceError):  # and nothing else
            assert isinstance(read_request(input_shape(operation), document), dict)
