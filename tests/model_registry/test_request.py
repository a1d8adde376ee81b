"""What is asked of the registry: whatever is said, a request that SageMaker's own description takes, or a refusal."""

from __future__ import annotations

import numpy as np
import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.errors import RegistrationError
from lineage_flows.model_registry.registered import Wanted
from lineage_flows.model_registry.request import CONTENT, check, check_wanted, package_request, plain_metrics, token_of
from lineage_flows.model_registry.subject import Subject

SHAPE = get_session().get_service_model("sagemaker").operation_model("CreateModelPackage").input_shape
TEXT = st.text(max_size=300)


@settings(deadline=None)  # the first call reads SageMaker's description
@given(
    flow=TEXT, task=TEXT, uri=TEXT, commit=st.text(max_size=2_000), namespace=TEXT, repository=st.text(max_size=2_000)
)
def test_whatever_runs_are_called_the_request_is_one_that_is_taken(
    flow: str, task: str, uri: str, commit: str, namespace: str, repository: str
) -> None:
    subject = Subject(
        content="lf1:" + "a" * 64,
        run_id="01935c2e-7a10-7c3e-9d1a-5b6f0a4c1e00",
        flow=flow,
        task=task,
        commit=commit,
        repository=repository,
    )
    request = package_request(Wanted("desk"), subject, None, "prefect", {"registered-by": uri})
    properties = request["CustomerMetadataProperties"]
    assert properties[CONTENT] == subject.content
    assert properties["lineage-flows.run-id"] == subject.run_id
    assert all(0 < len(text) <= 256 for text in properties.values())
    assert not ParamValidator().validate(request, SHAPE).has_errors()
    check("CreateModelPackage", request)


@settings(deadline=None)  # the first call reads SageMaker's description
@given(st.dictionaries(st.text(max_size=140), st.text(max_size=270), max_size=3), st.text(max_size=70), TEXT)
def test_what_a_caller_says_is_taken_or_refused_with_the_reason(
    properties: dict[str, str], group: str, description: str
) -> None:
    wanted = Wanted(group, description=description, properties=properties)
    try:
        check_wanted(wanted)
    except RegistrationError:
        return
    subject = Subject(content="lf1:" + "a" * 64)
    request = package_request(wanted, subject, None, "", {})
    assert request["CustomerMetadataProperties"].items() >= properties.items()
    check("CreateModelPackage", request)


def test_a_container_and_a_source_are_never_said_together() -> None:
    subject = Subject(content="x", source_uri="prefect://prefect/task-run/1/result")
    data = "s3://bucket/model.tar.gz"
    bare = package_request(Wanted("desk"), subject, None, "", {})
    assert (bare["SourceUri"], "InferenceSpecification" in bare) == (subject.source_uri, False)
    assert package_request(Wanted("desk"), subject, data, "", {})["SourceUri"] == data
    served = package_request(Wanted("desk", image="image:1"), subject, data, "", {})
    assert "SourceUri" not in served
    assert served["InferenceSpecification"]["Containers"] == [{"Image": "image:1", "ModelDataUrl": data}]
    assert "Tags" not in served


def test_the_same_request_has_the_same_token_and_a_later_one_another() -> None:
    request = {"ModelPackageGroupName": "desk"}
    assert token_of(request, 3) == token_of(dict(request), 3)
    assert len({token_of(request, 3), token_of(request, 4), token_of({}, 3), token_of(request, 3, "again")}) == 4
    check("CreateModelPackage", {**request, "ClientToken": token_of(request)})


@pytest.mark.parametrize(
    "metrics",
    [
        {"a": True},
        {"a": float("inf")},
        {"a": "1"},
        {"a b#": 1.0},
        {"a": 10**400},
        {"a": np.bool_(True)},
        {"a": np.float32("nan")},
    ],
)
def test_metrics_are_finite_numbers_by_names(metrics: dict[str, float]) -> None:
    with pytest.raises(RegistrationError):
        check_wanted(Wanted("desk", metrics=metrics))


def test_metrics_may_be_numbers_of_numpys() -> None:
    metrics = {"r2": np.float64(0.5), "mae": np.float32(0.25), "rows": np.int64(3), "plain": 0.1, "whole": 7}
    wanted = Wanted("desk", metrics=metrics)
    check_wanted(wanted)
    said = package_request(wanted, Subject(content="x"), None, "", {})["CustomerMetadataProperties"]
    found = {name.removeprefix("metric."): text for name, text in said.items() if name.startswith("metric.")}
    assert found == {"r2": "0.5", "mae": "0.25", "rows": "3", "plain": "0.1", "whole": "7"}
    assert {type(value) for value in plain_metrics(wanted).values()} == {int, float}


def test_a_refusal_does_not_repeat_what_properties_say() -> None:
    properties = {"desk": "equities-0123456789abcdef", "empty": "", "note": "it's 'quoted'} at 'home'"}
    with pytest.raises(RegistrationError, match="greater than or equal to 1") as caught:
        check_wanted(Wanted("desk", properties=properties))
    assert "equities" not in str(caught.value)
    with pytest.raises(RegistrationError) as caught:
        check_wanted(Wanted("desk", image="image with ghp_0123456789abcdefghijklmnopqrstuvwxyzAB"))
    assert "ghp_" not in str(caught.value)


@pytest.mark.parametrize(
    "properties",
    [{"api_key": "sk-live-1234"}, {"source": "https://desk:hunter2@vendor.example/prices"}],  # by name, and by looks
)
def test_a_secret_among_the_properties_is_refused_and_not_repeated(properties: dict[str, str]) -> None:
    with pytest.raises(RegistrationError, match="secret") as caught:
        check_wanted(Wanted("desk", properties=properties))
    assert not any(text in str(caught.value) for text in properties.values())
    check_wanted(Wanted("desk", properties={"tokens": "4096", "desk": "equities"}))
