"""Each role's policy, as deployed and read back, against what the product calls, and against what nobody may."""

from __future__ import annotations

import json

import pytest

from lineage_flows.permissions import MANAGED_BY, ROLES, VERBS, Places, of_role
from tests.support.cloud import ACCOUNT, REGION
from tests.support.iam import evaluate, statements

KEY, VALUE = MANAGED_BY
OURS = {f"aws:ResourceTag/{KEY}": VALUE}
THEIRS = {f"aws:ResourceTag/{KEY}": "terraform"}
NEW = {f"aws:RequestTag/{KEY}": VALUE, "aws:TagKeys": [KEY]}
MAKING = {**NEW, "sagemaker:TaggingAction": "CreateArtifact"}
PENDING = {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}
ELSEWHERE = "arn:aws:s3:::another-bucket/blobs/ab"
LONGEST_MANAGED, LONGEST_INLINE = 6144, 10240


def sagemaker(kind, name="0123abcd"):
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


@pytest.fixture(scope="module")
def places(cloud):
    return Places(
        region=REGION,
        account=ACCOUNT,
        bucket=cloud.outputs["BucketName"],
        prefix="blobs",
        key=cloud.outputs["KeyArn"],
        role=cloud.outputs["WriterRoleArn"],
    )


@pytest.fixture(scope="module")
def policies(cloud):
    return {role: cloud.policies(cloud.outputs[f"{role.capitalize()}RoleArn"]) for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_what_the_product_calls(role, policies, places):
    for item in of_role(role):
        assert evaluate(policies[role], item.action, item.arn(places), item.context(places)) == "allowed", item


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_nothing_that_only_others_need(role, policies, places):
    others = {item for items in VERBS.values() for item in items} - set(of_role(role))
    assert others
    for item in others:
        verdict = evaluate(policies[role], item.action, item.arn(places), item.context(places))
        assert verdict in {"implicitDeny", "explicitDeny"}, item


@pytest.mark.parametrize("role", ROLES)
def test_a_policy_names_no_action_that_the_product_does_not_call(role, policies):
    allowed = {
        action
        for policy in policies[role]
        for statement in statements(policy)
        if statement["Effect"] == "Allow"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert allowed == {item.action for item in of_role(role)}


@pytest.mark.parametrize("role", ROLES)
def test_a_policy_is_not_longer_than_iam_allows(role, policies):
    for policy in policies[role]:
        assert len(json.dumps(policy, separators=(",", ":"))) < (
            LONGEST_INLINE if role == "pruner" else LONGEST_MANAGED
        )


FORBIDDEN_TO_ALL = [
    ("s3:PutObject", "BUCKET/other/ab", {}),
    ("s3:GetObject", ELSEWHERE, {}),
    ("s3:PutObject", ELSEWHERE, {}),
    ("s3:DeleteObjectVersion", ELSEWHERE, {}),
    ("s3:PutBucketPolicy", "BUCKET", {}),
    ("s3:DeleteBucketPolicy", "BUCKET", {}),
    ("s3:DeleteBucket", "BUCKET", {}),
    ("s3:PutBucketVersioning", "BUCKET", {}),
    ("s3:PutLifecycleConfiguration", "BUCKET", {}),
    ("s3:BypassGovernanceRetention", "BUCKET/blobs/ab", {}),
    ("s3:PutObjectRetention", "BUCKET/blobs/ab", {}),
    ("s3:PutObjectLegalHold", "BUCKET/blobs/ab", {}),
    ("s3:ListAllMyBuckets", "*", {}),
    ("sagemaker:CreateArtifact", sagemaker("artifact"), {}),
    ("sagemaker:CreateArtifact", sagemaker("artifact"), {f"aws:RequestTag/{KEY}": "terraform", "aws:TagKeys": [KEY]}),
    ("sagemaker:CreateArtifact", sagemaker("artifact"), {**NEW, "aws:TagKeys": [KEY, "cost-center"]}),
    ("sagemaker:CreateContext", sagemaker("context"), OURS),
    # On what is there already: it would hand over what is not ours.
    ("sagemaker:AddTags", sagemaker("artifact"), NEW),
    ("sagemaker:AddTags", sagemaker("artifact"), {**NEW, **OURS}),
    ("sagemaker:AddTags", sagemaker("model"), {**NEW, "sagemaker:TaggingAction": "CreateModel"}),
    ("sagemaker:DeleteTags", sagemaker("artifact"), OURS),
    *(
        (f"sagemaker:{verb}{kind}", sagemaker(kind.lower()), tags)
        for verb in ("Update", "Delete")
        for kind in ("Artifact", "Action", "Context")
        for tags in ({}, THEIRS)
    ),
    ("sagemaker:AddAssociation", sagemaker("artifact"), THEIRS),
    ("sagemaker:DeleteAssociation", sagemaker("artifact"), THEIRS),
    ("sagemaker:AddAssociation", sagemaker("endpoint"), {}),
    ("sagemaker:CreateTrainingJob", sagemaker("training-job"), NEW),
    ("sagemaker:DeleteTrialComponent", sagemaker("experiment-trial-component"), {}),
    ("sagemaker:PutLineageGroupPolicy", sagemaker("lineage-group"), {}),
    ("sagemaker:UpdateModelPackage", sagemaker("model-package", "desk/1"), {}),
    ("sagemaker:UpdateModelPackage", sagemaker("model-package", "desk/1"), PENDING),
    ("sagemaker:DeleteModelPackage", sagemaker("model-package", "desk/1"), OURS),
    ("sagemaker:CreateModelPackage", sagemaker("model-package", "desk/1"), {}),
    *(
        ("sagemaker:CreateModelPackage", sagemaker(kind), {"sagemaker:ModelApprovalStatus": status})
        for kind in ("model-package", "model-package-group")
        for status in ("Approved", "Rejected")
    ),
    ("sagemaker:CreateModelPackageGroup", sagemaker("model-package-group"), {}),
    ("sagemaker:AddTags", sagemaker("model-package-group"), NEW),
    (
        "sagemaker:AddTags",
        sagemaker("model-package", "desk/1"),
        {**NEW, "sagemaker:TaggingAction": "CreateModelPackage"},
    ),
    ("kms:Decrypt", "KEY", {}),
    ("kms:Decrypt", "KEY", {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}),
    ("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/another", {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}),
    ("kms:ScheduleKeyDeletion", "KEY", {}),
    ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/lineage-flows/x", {}),
    ("iam:AttachRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/lineage-flows/x", {}),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/lineage-flows/x", {}),
    ("iam:GetRole", f"arn:aws:iam::{ACCOUNT}:role/administrator", {}),
    ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/lineage-flows/x", {}),
]
DELETIONS = [
    ("s3:DeleteObject", "BUCKET/blobs/ab", {}),
    ("s3:DeleteObjectVersion", "BUCKET/blobs/ab", {}),
    *((f"sagemaker:Delete{kind}", sagemaker(kind.lower()), OURS) for kind in ("Artifact", "Action", "Context")),
    ("sagemaker:DeleteAssociation", sagemaker("artifact"), OURS),
    ("sagemaker:DeleteAssociation", sagemaker("experiment-trial-component"), {}),
]
WRITES = [
    ("s3:PutObject", "BUCKET/blobs/ab", {}),
    *((f"sagemaker:Create{kind}", sagemaker(kind.lower()), NEW) for kind in ("Artifact", "Action", "Context")),
    ("sagemaker:AddTags", sagemaker("artifact"), MAKING),
    *((f"sagemaker:Update{kind}", sagemaker(kind.lower()), OURS) for kind in ("Artifact", "Action", "Context")),
    ("sagemaker:AddAssociation", sagemaker("artifact"), OURS),
    ("sagemaker:AddAssociation", sagemaker("experiment-trial-component"), {}),
]
QUESTIONS = [("sagemaker:QueryLineage", "*", {}), ("sagemaker:Search", "*", {})]
REGISTRATIONS = [
    ("s3:PutObject", "BUCKET/models/ab", {}),
    ("sagemaker:CreateModelPackage", sagemaker("model-package", "desk/1"), PENDING),
    ("sagemaker:CreateModelPackageGroup", sagemaker("model-package-group"), NEW),
]
FORBIDDEN = {
    "writer": [*DELETIONS, *REGISTRATIONS, *QUESTIONS],
    "reader": [*DELETIONS, *WRITES, *REGISTRATIONS],
    "replayer": [*DELETIONS, *REGISTRATIONS, ("sagemaker:UpdateContext", sagemaker("context"), OURS)],
    "registrar": [*DELETIONS, *QUESTIONS],
    "pruner": [*WRITES, *REGISTRATIONS, *QUESTIONS],
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_not_what_is_forbidden_to_it(role, policies, cloud):
    for action, resource, context in FORBIDDEN_TO_ALL + FORBIDDEN[role]:
        where = resource.replace("BUCKET", f"arn:aws:s3:::{cloud.outputs['BucketName']}").replace(
            "KEY", cloud.outputs["KeyArn"]
        )
        assert evaluate(policies[role], action, where, context) != "allowed", (action, resource, context)


def test_only_the_pruner_has_a_deleting_action():
    for role in ROLES:
        deleting = {item.action for item in of_role(role) if item.action.split(":")[1].startswith("Delete")}
        assert bool(deleting) == (role == "pruner")


def test_writing_is_denied_deletion_even_beside_a_policy_that_allows_all(policies):
    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}}
    for role in ("writer", "replayer"):
        for action, resource, context in DELETIONS:
            if action.startswith("sagemaker:"):
                assert evaluate([*policies[role], everything], action, resource, context) == "explicitDeny"


def test_who_registers_cannot_approve_even_beside_a_policy_that_allows_all(policies):
    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}}
    package = sagemaker("model-package", "desk/1")
    for action, context in (
        ("sagemaker:UpdateModelPackage", {}),
        ("sagemaker:CreateModelPackage", {"sagemaker:ModelApprovalStatus": "Approved"}),
    ):
        assert evaluate([*policies["registrar"], everything], action, package, context) == "explicitDeny"


def test_the_policies_for_roles_of_ones_own_are_those_of_the_roles(cloud, policies):
    for role in ("writer", "reader", "replayer"):
        assert [cloud.document(cloud.outputs[f"{role.capitalize()}PolicyArn"])] == policies[role]
    two = [cloud.document(cloud.outputs[f"{name}PolicyArn"]) for name in ("Writer", "Registrar")]
    assert sorted(two, key=json.dumps) == sorted(policies["registrar"], key=json.dumps)
    assert "PrunerPolicyArn" not in cloud.outputs


def test_tags_of_ones_own_are_allowed_when_the_stack_says_so(empty):
    found = empty.deploy(name="more-tags", TagKeys="managed-by,team", BucketName="more-tags")
    (policy,) = [empty.document(found["WriterPolicyArn"])]
    more = {**NEW, "aws:TagKeys": [KEY, "team"]}
    assert evaluate([policy], "sagemaker:CreateArtifact", sagemaker("artifact"), more) == "allowed"
    without = {f"aws:RequestTag/{KEY}": VALUE, "aws:TagKeys": ["team", "other"]}
    assert evaluate([policy], "sagemaker:CreateArtifact", sagemaker("artifact"), without) == "implicitDeny"


def test_without_kms_no_policy_speaks_of_a_key(empty):
    found = empty.deploy(name="plain", BucketName="plain-bucket")
    assert "KeyArn" not in found
    assert "kms:" not in json.dumps(empty.document(found["WriterPolicyArn"]))
    assert "AWS::KMS::Key" not in empty.resources("plain").values()
