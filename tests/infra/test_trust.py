"""Who may assume which role, under which conditions."""

from __future__ import annotations

import pytest

from tests.infra.conftest import EVERYBODY
from tests.support.cloud import ACCOUNT
from tests.support.iam import evaluate

SOMEBODY = f"arn:aws:iam::{ACCOUNT}:role/research"
STRANGER = "arn:aws:iam::999999999999:role/research"
PARTNER = "arn:aws:iam::210987654321:role/worker"


def assume(cloud, role_arn, principal, context=None, action="sts:AssumeRole"):
    return evaluate([cloud.trust(role_arn)], action, role_arn, context or {}, principal=principal) == "allowed"


def test_only_those_who_are_named_assume_a_role(cloud):
    for role in ("Writer", "Reader", "Replayer", "Registrar"):
        arn = cloud.outputs[f"{role}RoleArn"]
        assert assume(cloud, arn, SOMEBODY)
        assert not assume(cloud, arn, STRANGER)
        assert not assume(cloud, arn, "lambda.amazonaws.com")


def test_a_service_asks_for_its_own_account(cloud):
    writer = cloud.outputs["WriterRoleArn"]
    service = "ecs-tasks.amazonaws.com"
    assert assume(cloud, writer, service, {"aws:SourceAccount": ACCOUNT})
    assert assume(cloud, writer, service), "ec2 does not say for whom it asks"
    assert not assume(cloud, writer, service, {"aws:SourceAccount": "999999999999"})
    assert not assume(cloud, cloud.outputs["ReaderRoleArn"], service, {"aws:SourceAccount": ACCOUNT})


def test_the_pruner_has_signed_in_with_a_second_factor(cloud):
    arn, principal = cloud.outputs["PrunerRoleArn"], EVERYBODY["PrunerPrincipals"]
    assert not assume(cloud, arn, principal)
    assert not assume(cloud, arn, principal, {"aws:MultiFactorAuthPresent": "false"})
    assert assume(cloud, arn, principal, {"aws:MultiFactorAuthPresent": "true"})
    assert not assume(cloud, arn, SOMEBODY, {"aws:MultiFactorAuthPresent": "true"})


def test_a_role_that_nobody_may_assume_is_not_made(empty):
    found = empty.deploy(name="nobody", BucketName="nobody")
    assert not [name for name in found if name.endswith("RoleArn")]
    assert "AWS::IAM::Role" not in empty.resources("nobody").values()
    assert {"WriterPolicyArn", "ReaderPolicyArn", "ReplayerPolicyArn", "RegistrarPolicyArn"} <= set(found)


def test_external_id_organization_and_boundary(empty):
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    empty.client("iam").create_policy(
        PolicyName="boundary",
        PolicyDocument='{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}',
    )
    found = empty.deploy(
        name="partner",
        BucketName="partner",
        WriterPrincipals=PARTNER,
        PrunerPrincipals=f"{SOMEBODY},{PARTNER}",
        PrunerNeedsMfa="no",
        ExternalId="tell-me",
        OrganizationId="o-abcdefghij",
        PermissionsBoundary=boundary,
    )
    whole = {"sts:ExternalId": "tell-me", "aws:PrincipalOrgID": "o-abcdefghij"}
    for arn in (found["WriterRoleArn"], found["PrunerRoleArn"]):
        assert assume(empty, arn, PARTNER, whole)
        for key in whole:
            assert not assume(empty, arn, PARTNER, {name: value for name, value in whole.items() if name != key})
            assert not assume(empty, arn, PARTNER, {**whole, key: "o-else"})
        role = empty.client("iam").get_role(RoleName=arn.rpartition("/")[2])["Role"]
        assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
        assert role["Path"] == "/lineage-flows/"
    assert "ReaderRoleArn" not in found


@pytest.mark.parametrize(
    ("issuer", "subject"),
    [
        ("oidc.eks.eu-central-1.amazonaws.com/id/ABC", "system:serviceaccount:quant:worker"),
        ("token.actions.githubusercontent.com", "repo:quant/models:environment:production"),
    ],
)
def test_a_token_of_an_oidc_provider(cloud, issuer, subject):
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}"
    name = f"oidc-{abs(hash(issuer))}"
    found = cloud.deploy(
        "oidc-role.yaml",
        name,
        PolicyArn=cloud.outputs["WriterPolicyArn"],
        ProviderArn=provider,
        Issuer=issuer,
        Subject=subject,
    )
    action = "sts:AssumeRoleWithWebIdentity"
    token = {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": subject}
    assert assume(cloud, found["RoleArn"], provider, token, action)
    assert not assume(cloud, found["RoleArn"], provider, {**token, f"{issuer}:sub": subject + "2"}, action)
    assert not assume(cloud, found["RoleArn"], provider, {**token, f"{issuer}:aud": "else"}, action)
    assert not assume(cloud, found["RoleArn"], provider, {}, action)
    assert not assume(cloud, found["RoleArn"], provider + "2", token, action)
    assert not assume(cloud, found["RoleArn"], SOMEBODY, token)
    assert cloud.policies(found["RoleArn"]) == [cloud.document(cloud.outputs["WriterPolicyArn"])]
