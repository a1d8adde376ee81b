"""Search's expressions against a plain evaluator, and each rule that AWS documents by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.endpoint.errors import ServiceError
from lineage_flows.endpoint.search_pages import Found, Key, key_of_texts, search, texts_of_key
from lineage_flows.endpoint.search_properties import RESOURCES

COMPONENT = "ExperimentTrialComponent"


def component(name: str, **members: Any) -> dict[str, Any]:
    return {
        "TrialComponentName": name,
        "TrialComponentArn": f"arn:aws:sagemaker:local:000000000000:experiment-trial-component/{name}",
        "LastModifiedTime": "2026-01-01T00:00:00.000000Z",
        **members,
    }


def names(found: Found) -> list[str]:
    return [str(record["TrialComponentName"]) for _, record in found.records]


def found(records: list[dict[str, Any]], *filters: dict[str, str], **expression: Any) -> list[str]:
    whole = {"Filters": list(filters), **expression} if filters else expression
    return names(search(COMPONENT, records, expression=whole, most=100))


def condition(name: str, operator: str | None = None, value: str | None = None) -> dict[str, str]:
    parts = {"Name": name, "Operator": operator, "Value": value}
    return {key: part for key, part in parts.items() if part is not None}


PARTS = [
    component(
        "a",
        DisplayName="alpha",
        Parameters={"depth": {"NumberValue": 3.7}, "loss": {"StringValue": "mse"}, "a.b": {"NumberValue": 1.0}},
        Tags=[{"Key": "team", "Value": "risk"}, {"Key": "Key", "Value": "x"}],
        Metrics=[{"MetricName": "r2", "Last": 0.9, "Max": 0.95, "Count": 4}],
        InputArtifacts={"train": {"Value": "s3://bucket/train.csv", "MediaType": "text/csv"}},
        Source={"SourceArn": "arn:1", "SourceType": "SageMakerTrainingJob"},
        Parents=[
            {"TrialName": "one", "ExperimentName": "left"},
            {"TrialName": "two", "ExperimentName": "right"},
        ],
        CreationTime="2026-01-01T10:00:00.500000Z",
        Status={"PrimaryStatus": "Completed"},
    ),
    component("b", DisplayName="beta", Parameters={"depth": {"NumberValue": 10.0}}, Tags=[]),
    component("c", DisplayName="gamma", Parameters={"depth": {"StringValue": "deep"}}),
]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([condition("DisplayName", "Equals", "beta")], "b"),
        ([condition("DisplayName", None, "beta")], "b"),
        ([condition("DisplayName", "NotEquals", "beta")], "ac"),
        ([condition("DisplayName", "Contains", "a")], "abc"),
        ([condition("DisplayName", "In", "alpha,gamma")], "ac"),
        ([condition("DisplayName", "In", "alphagamma")], ""),
        ([condition("Tags.team", "Equals", "risk")], "a"),
        ([condition("Tags.team", "NotEquals", "risk")], "bc"),
        ([condition("Tags.Key", "Exists")], "a"),
        ([condition("Tags.team", "NotExists")], "bc"),
        ([condition("Parameters.depth", "GreaterThan", "3.5")], "ab"),
        ([condition("Parameters.depth.NumberValue", "GreaterThan", "3.7")], "b"),
        ([condition("Parameters.depth", "Equals", "10")], "b"),
        ([condition("Parameters.depth", "Equals", "3")], ""),
        ([condition("Parameters.depth", "Equals", "deep")], "c"),
        ([condition("Parameters.depth.StringValue", "Exists")], "c"),
        ([condition("Parameters.a.b", "LessThanOrEqualTo", "1")], "a"),
        ([condition("Parameters.a.b.NumberValue", "GreaterThanOrEqualTo", "1")], "a"),
        ([condition("Metrics.r2", "GreaterThan", "0.92")], ""),
        ([condition("Metrics.r2.Max", "GreaterThan", "0.92")], "a"),
        ([condition("InputArtifacts.train.Value", "Contains", "bucket/")], "a"),
        ([condition("InputArtifacts", "Contains", "train.csv")], "a"),
        ([condition("Source.SourceArn", "Equals", "arn:1")], "a"),
        ([condition("Status.PrimaryStatus", "Equals", "Completed")], "a"),
        ([condition("Parents.ExperimentName", "Equals", "right")], "a"),
        ([condition("CreationTime", "GreaterThan", "2026-01-01T09:59:59")], "a"),
        ([condition("CreationTime", "Equals", "2026-01-01T10:00:00")], "a"),
        ([condition("CreationTime", "LessThan", "2026-01-01T10:00:00+02:00")], ""),
        ([condition("CreationTime", "LessThan", "2026-01-01T12:00:01+02:00")], "a"),
        ([condition("DisplayName", "Contains", "l"), condition("Tags.team", "Exists")], "a"),
    ],
)
def test_filters(filters: list[dict[str, str]], expected: str) -> None:
    assert sorted(found(PARTS, *filters)) == list(expected)


def test_one_object_has_to_satisfy_a_whole_nested_filter() -> None:
    def nested(trial: str, experiment: str) -> dict[str, Any]:
        filters = [
            condition("Parents.TrialName", "Equals", trial),
            condition("Parents.ExperimentName", "Equals", experiment),
        ]
        return {"NestedPropertyName": "Parents", "Filters": filters}

    assert found(PARTS, NestedFilters=[nested("one", "left")]) == ["a"]
    assert found(PARTS, NestedFilters=[nested("one", "right")]) == []


def test_a_training_job_by_the_path_of_its_model_and_by_hyperparameters() -> None:
    jobs = [
        {
            "TrainingJobName": name,
            "TrainingJobArn": f"arn:{name}",
            "HyperParameters": {"depth": depth, "rate": "0.25"},
            "ModelArtifacts": {"S3ModelArtifacts": f"s3://bucket/{name}/model.tar.gz"},
            "FinalMetricDataList": [{"MetricName": "test:r2", "Value": 0.5}],
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "s3://bucket/in"}}}],
        }
        for name, depth in (("one", "3.7"), ("two", "4"))
    ]

    def jobs_of(*filters: dict[str, str], **expression: Any) -> list[str]:
        whole = {"Filters": list(filters), **expression} if filters else expression
        return sorted(job["TrainingJobName"] for _, job in search("TrainingJob", jobs, expression=whole).records)

    assert jobs_of(condition("ModelArtifacts.S3ModelArtifacts", "Equals", "s3://bucket/two/model.tar.gz")) == ["two"]
    # Decimals of a hyperparameter do not count against a whole number, and do against another decimal.
    assert jobs_of(condition("HyperParameters.depth", "Equals", "3")) == ["one"]
    assert jobs_of(condition("HyperParameters.depth", "Equals", "3.0")) == []
    assert jobs_of(condition("HyperParameters.rate", "LessThan", "0.5")) == ["one", "two"]
    assert jobs_of(condition("Metrics.test:r2", "GreaterThan", "0.4")) == ["one", "two"]
    uri = condition("InputDataConfig.DataSource.S3DataSource.S3Uri", "Contains", "bucket/in")
    channel = condition("InputDataConfig.ChannelName", "Equals", "train")
    assert jobs_of(NestedFilters=[{"NestedPropertyName": "InputDataConfig", "Filters": [uri, channel]}]) == [
        "one",
        "two",
    ]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ({}, "at least one subexpression, filter, or nested filter"),
        ({"Operator": "And"}, "at least one subexpression, filter, or nested filter"),
        ({"Filters": [condition("Nonsense", "Exists")]}, "Unknown property name: Nonsense"),
        ({"Filters": [condition("Source.Nonsense", "Exists")]}, "Unknown property name: Source.Nonsense"),
        ({"Filters": [condition("DisplayName.More", "Exists")]}, "Unknown property name: DisplayName.More"),
        ({"Filters": [condition("Source.", "Exists")]}, "Unknown property name: Source."),
        ({"Filters": [condition("DisplayName", "GreaterThan", "a")]}, "not supported for text properties"),
        ({"Filters": [condition("CreationTime", "Contains", "2026")]}, "only supported for text properties"),
        ({"Filters": [condition("CreationTime", "GreaterThan", "yesterday")]}, "date and time"),
        ({"Filters": [condition("CreationTime", "LessThan", "9999-12-31T23:59:59-12:00")]}, "date and time"),
        ({"Filters": [condition("Metrics.r2", "GreaterThan", "high")]}, "integer or a decimal"),
        ({"Filters": [condition("Parameters.x", "GreaterThan", "high")]}, "needs a number"),
        ({"Filters": [condition("DisplayName", "Equals")]}, "needs a value"),
        ({"Filters": [condition("DisplayName")]}, "needs a value"),
        (
            {"Filters": [condition("Source.SourceArn", "Contains", "a")] * 2},
            "'CONTAINS' operator usage limit of 1 exceeded.",
        ),
        ({"Filters": [condition("DisplayName", "Exists")] * 15, "SubExpressions": [{}] * 6}, "up to 20 elements"),
        (
            {"SubExpressions": [{"Filters": [condition("DisplayName", "Exists")] * 17}] * 3},
            "more than 50 conditions",
        ),
        ({"NestedFilters": [{"NestedPropertyName": "DisplayName", "Filters": []}]}, "Unknown nested property name"),
        (
            {"NestedFilters": [{"NestedPropertyName": "Parents", "Filters": [condition("Parents.", "Exists")]}]},
            "Unknown property name: Parents.",
        ),
        (
            {"NestedFilters": [{"NestedPropertyName": "Parents", "Filters": [condition("TrialName", "Exists")]}]},
            "begins with Parents.",
        ),
    ],
)
def test_what_is_refused(expression: dict[str, Any], message: str) -> None:
    with pytest.raises(ServiceError) as caught:
        search(COMPONENT, PARTS, expression=expression)
    assert caught.value.code == "ValidationException"
    assert message in caught.value.message


def test_contains_may_be_repeated_on_the_names_that_aws_lists() -> None:
    assert found(PARTS, condition("DisplayName", "Contains", "a"), condition("DisplayName", "Contains", "lph")) == ["a"]
    assert found(PARTS, *[condition("InputArtifacts.train.Value", "Contains", text) for text in ("s3", "csv")]) == ["a"]


def test_visibility_hides_what_has_another_value_of_the_tag_and_nothing_that_lacks_it() -> None:
    def shown(value: str) -> list[str]:
        page = search(COMPONENT, PARTS, visibility=[{"Key": "Tags.team", "Value": value}])
        return sorted(names(page))

    assert shown("risk") == ["a", "b", "c"]
    assert shown("sales") == ["b", "c"]


def test_order_is_newest_first_or_by_any_property_with_what_has_none_last() -> None:
    parts = [
        component("old", LastModifiedTime="2026-01-01T00:00:00.000000Z", Parameters={"depth": {"NumberValue": 2.0}}),
        component("new", LastModifiedTime="2026-03-01T00:00:00.000000Z"),
        component("mid", LastModifiedTime="2026-02-01T00:00:00.000000Z", Parameters={"depth": {"NumberValue": 10.0}}),
    ]
    assert names(search(COMPONENT, parts)) == ["new", "mid", "old"]
    assert names(search(COMPONENT, parts, descending=False)) == ["old", "mid", "new"]
    assert names(search(COMPONENT, parts, sort_by="Parameters.depth")) == ["mid", "old", "new"]
    assert names(search(COMPONENT, parts, sort_by="Parameters.depth", descending=False)) == [
        "old",
        "mid",
        "new",
    ]
    assert names(search(COMPONENT, parts, sort_by="TrialComponentName")) == ["old", "new", "mid"]
    with pytest.raises(ServiceError, match="Unknown property name: Depth"):
        search(COMPONENT, parts, sort_by="Depth")


# Against a plain evaluator

OPERATORS = [
    "Equals",
    "NotEquals",
    "GreaterThan",
    "GreaterThanOrEqualTo",
    "LessThan",
    "LessThanOrEqualTo",
    "Exists",
    "NotExists",
]
numbers = st.integers(-3, 3)
filters_of = st.builds(
    lambda key, operator, value: condition(f"Parameters.{key}.NumberValue", operator, str(value)),
    st.sampled_from(["x", "y"]),
    st.sampled_from(OPERATORS),
    numbers,
)
expressions = st.recursive(
    st.builds(
        lambda filters, how: {"Filters": filters, **how}, st.lists(filters_of, min_size=1, max_size=3), st.just({})
    ),
    lambda inner: st.builds(
        lambda filters, parts, how: {
            "SubExpressions": parts,
            "Operator": how,
            **({"Filters": filters} if filters else {}),
        },
        st.lists(filters_of, max_size=2),
        st.lists(inner, min_size=1, max_size=3),
        st.sampled_from(["And", "Or"]),
    ),
    max_leaves=5,
)
points = st.lists(st.dictionaries(st.sampled_from(["x", "y"]), numbers), max_size=8)


def plainly(expression: dict[str, Any], point: dict[str, int]) -> bool:
    results = [plainly(part, point) for part in expression.get("SubExpressions", [])]
    for part in expression.get("Filters", []):
        own, value = point.get(part["Name"].split(".")[1]), int(part["Value"])
        results.append(
            {
                "Equals": own == value,
                "NotEquals": own != value,
                "GreaterThan": own is not None and own > value,
                "GreaterThanOrEqualTo": own is not None and own >= value,
                "LessThan": own is not None and own < value,
                "LessThanOrEqualTo": own is not None and own <= value,
                "Exists": own is not None,
                "NotExists": own is None,
            }[part["Operator"]]
        )
    return any(results) if expression.get("Operator") == "Or" else all(results)


@given(points, expressions)
def test_expressions_mean_what_a_plain_evaluator_says(places: list[dict[str, int]], expression: dict[str, Any]) -> None:
    parts = [
        component(f"n{number}", Parameters={key: {"NumberValue": float(value)} for key, value in point.items()})
        for number, point in enumerate(places)
    ]
    expected = [f"n{number}" for number, point in enumerate(places) if plainly(expression, point)]
    page = search(COMPONENT, parts, expression=expression, most=100)
    assert sorted(names(page)) == expected
    assert page.total == len(expected)


@given(points, st.integers(1, 4), st.booleans(), st.sampled_from(["", "Parameters.x", "TrialComponentName"]))
def test_pages_hand_out_everything_once_in_order(
    places: list[dict[str, int]], size: int, descending: bool, sort_by: str
) -> None:
    parts = [
        component(f"n{number}", Parameters={key: {"NumberValue": float(value)} for key, value in point.items()})
        for number, point in enumerate(places)
    ]
    listed: list[str] = []
    last: Key | None = None
    while True:
        page = search(COMPONENT, parts, sort_by=sort_by, descending=descending, after=last, most=size)
        assert len(page.records) <= size
        assert page.total == len(parts)
        listed += names(page)
        if len(page.records) < size:
            break
        last = key_of_texts(texts_of_key(page.records[-1][0]))
    assert listed == names(search(COMPONENT, parts, sort_by=sort_by, descending=descending, most=100))
    assert len(set(listed)) == len(parts)
    if sort_by == "Parameters.x":
        values = [places[int(name[1:])]["x"] for name in listed if "x" in places[int(name[1:])]]
        assert values == sorted(values, reverse=descending)


# Anything at all

MEMBERS = [
    "Tags", "Parameters", "Metrics", "HyperParameters", "InputDataConfig", "DataSource", "Source", "Parents", "TrialName",
    "NumberValue", "depth", "Last", "", "CreationTime", "EnableNetworkIsolation", "Value", "SourceDetail", "TrainingJob",
]  # fmt: skip
some_names = st.lists(st.sampled_from(MEMBERS) | st.text(max_size=3), min_size=1, max_size=4).map(".".join)
some_filters = st.fixed_dictionaries(
    {"Name": some_names},
    optional={
        "Operator": st.sampled_from([*OPERATORS, "Contains", "In"]),
        "Value": st.sampled_from(
            ["3", "0.5", "true", "2026-01-01T00:00:00", "9999-12-31T23:59:59-12:00", "1e999", "s3"]
        )
        | st.text(min_size=1, max_size=3),
    },
)


@given(
    st.sampled_from(sorted(RESOURCES)),
    st.lists(some_filters, max_size=2),
    st.none() | st.tuples(some_names, st.lists(some_filters, max_size=2)),
    st.just("") | some_names,
)
def test_whatever_is_asked_is_answered_or_refused(
    resource: str, filters: list[dict[str, str]], nested: tuple[str, list[dict[str, str]]] | None, sort_by: str
) -> None:
    expression: dict[str, Any] = {"Filters": filters}
    if nested is not None:
        name, inner = nested
        inner = [{**item, "Name": f"{name}.{item['Name']}"} for item in inner]
        expression["NestedFilters"] = [{"NestedPropertyName": name, "Filters": inner}]
    job = {"TrainingJobArn": "arn:1", "HyperParameters": {"depth": "3"}, "EnableNetworkIsolation": False}
    records: list[dict[str, Any]] = PARTS if resource == COMPONENT else [{**job, RESOURCES[resource][1]: "arn:1"}]
    refused = None
    try:
        total = search(resource, records, expression=expression, sort_by=sort_by).total
    except ServiceError as error:
        total, refused = 0, error.code
    assert refused in (None, "ValidationException")
    assert 0 <= total <= len(records)
