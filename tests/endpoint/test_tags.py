"""Tags over boto3."""

from __future__ import annotations

import pytest

from tests.endpoint.kit import KINDS, create, refuses

NOBODY = "arn:aws:sagemaker:local:000000000000:context/nobody"


def tags(**values):
    return [{"Key": key, "Value": value} for key, value in values.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_tags_of_a_creation_are_listed_overwritten_added_and_deleted(sagemaker, kind):
    arn = create(sagemaker, kind, "it", Tags=tags(owner="desk", stage="é b"))
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags(owner="desk", stage="é b")
    answer = sagemaker.add_tags(ResourceArn=arn, Tags=tags(stage="", year="2026"))
    assert answer["Tags"] == tags(owner="desk", stage="", year="2026")
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["owner", "nothing"])
    assert sagemaker.list_tags(ResourceArn=arn, MaxResults=50)["Tags"] == tags(stage="", year="2026")


def test_tags_go_with_what_had_them(sagemaker):
    arn = create(sagemaker, "Context", "it", Tags=tags(a="1"))
    sagemaker.delete_context(ContextName="it")
    create(sagemaker, "Context", "it")
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []


def test_at_most_fifty(sagemaker):
    many = [{"Key": f"k{number}", "Value": "v"} for number in range(51)]
    with refuses("ValidationException", "less than or equal to 50"):
        create(sagemaker, "Context", "it", Tags=many)
    arn = create(sagemaker, "Context", "it", Tags=many[:50])
    sagemaker.add_tags(ResourceArn=arn, Tags=many[:1])
    with refuses("ResourceLimitExceeded", "50"):
        sagemaker.add_tags(ResourceArn=arn, Tags=many[50:])
    assert len(sagemaker.list_tags(ResourceArn=arn)["Tags"]) == 50


def test_wrong_tags_are_refused(sagemaker):
    arn = create(sagemaker, "Context", "it")
    for wrong, words in (
        ([*tags(a="1"), *tags(a="2")], "Duplicate"),
        (tags(**{"aws:x": "1"}), "reserved"),
        (tags(**{"a!": "1"}), "regular expression"),
    ):
        with refuses("ValidationException", words):
            sagemaker.add_tags(ResourceArn=arn, Tags=wrong)
        with refuses("ValidationException", words):
            create(sagemaker, "Context", "other", Tags=wrong)
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []
    assert len(sagemaker.list_contexts()["ContextSummaries"]) == 1


def test_what_is_not_there_has_no_tags(sagemaker):
    for call in (
        lambda: sagemaker.add_tags(ResourceArn=NOBODY, Tags=tags(a="1")),
        lambda: sagemaker.list_tags(ResourceArn=NOBODY),
        lambda: sagemaker.delete_tags(ResourceArn=NOBODY, TagKeys=["a"]),
    ):
        with refuses("ResourceNotFound"):
            call()


def test_a_token_that_was_never_given_out_is_refused(sagemaker):
    arn = create(sagemaker, "Context", "it")
    with refuses("ValidationException", "NextToken"):
        sagemaker.list_tags(ResourceArn=arn, NextToken="x")
