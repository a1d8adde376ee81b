"""The one lineage group, over boto3."""

from __future__ import annotations

from datetime import timedelta

from tests.endpoint.kit import client, create, refuses

NAME = "sagemaker-default-lineage-group"


def test_there_is_one_group_and_entities_are_in_it(sagemaker):
    (group,) = sagemaker.list_lineage_groups()["LineageGroupSummaries"]
    found = sagemaker.describe_lineage_group(LineageGroupName=NAME)
    assert group == {key: found[key] for key in group}
    assert group["LineageGroupName"] == NAME
    create(sagemaker, "Context", "it")
    assert sagemaker.describe_context(ContextName="it")["LineageGroupArn"] == group["LineageGroupArn"]
    for name in (NAME, group["LineageGroupArn"]):
        policy = sagemaker.get_lineage_group_policy(LineageGroupName=name)
        assert policy["LineageGroupArn"] == group["LineageGroupArn"]


def test_it_is_as_old_as_the_account_whatever_endpoint_is_asked(start):
    first = start()
    made = client(first.url).list_lineage_groups()["LineageGroupSummaries"][0]["CreationTime"]
    first.close()
    sagemaker = client(start().url)
    assert sagemaker.list_lineage_groups(CreatedAfter=made, CreatedBefore=made)["LineageGroupSummaries"][0][
        "CreationTime"
    ] == (made)
    assert sagemaker.list_lineage_groups(CreatedAfter=made + timedelta(seconds=1))["LineageGroupSummaries"] == []
    assert sagemaker.list_lineage_groups(CreatedBefore=made - timedelta(seconds=1))["LineageGroupSummaries"] == []


def test_there_is_no_other(sagemaker):
    with refuses("ResourceNotFound", "other"):
        sagemaker.describe_lineage_group(LineageGroupName="other")
    with refuses("ResourceNotFound", "other"):
        sagemaker.get_lineage_group_policy(LineageGroupName="other")
    with refuses("ValidationException", "NextToken"):
        sagemaker.list_lineage_groups(NextToken="x")
