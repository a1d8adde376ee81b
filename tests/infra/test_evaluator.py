"""The evaluator that the other tests rest on, by the rules and examples of AWS's documentation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.iam import evaluate, matching, matching_arn

BUCKET = "arn:aws:s3:::b"


def policy(effect="Allow", action="s3:GetObject", resource="*", **more):
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_nothing_is_allowed_unless_it_is_said_and_a_deny_wins():
    assert evaluate([], "s3:GetObject", BUCKET) == "implicitDeny"
    assert evaluate([policy()], "s3:GetObject", BUCKET) == "allowed"
    assert evaluate([policy()], "S3:getobject", BUCKET) == "allowed"
    assert evaluate([policy()], "s3:PutObject", BUCKET) == "implicitDeny"
    for policies in ([policy(), policy("Deny")], [policy("Deny"), policy()]):
        assert evaluate(policies, "s3:GetObject", BUCKET) == "explicitDeny"


def test_actions_and_resources_have_wildcards():
    assert evaluate([policy(action="s3:Get*")], "s3:GetObject", BUCKET) == "allowed"
    assert evaluate([policy(action=["s3:Put*", "s3:?etObject"])], "s3:GetObject", BUCKET) == "allowed"
    assert evaluate([policy(resource=f"{BUCKET}/*")], "s3:GetObject", f"{BUCKET}/a/b") == "allowed"
    assert evaluate([policy(resource=f"{BUCKET}/*")], "s3:GetObject", BUCKET) == "implicitDeny"
    assert evaluate([policy(resource=f"{BUCKET}/[a]")], "s3:GetObject", f"{BUCKET}/a") == "implicitDeny"


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"aws:RequestTag/a": "x"}}, {"aws:requesttag/a": "x"}, True),
        ({"StringEquals": {"aws:RequestTag/a": ["x", "y"]}}, {"aws:RequestTag/a": "y"}, True),
        ({"StringEquals": {"aws:RequestTag/a": "x"}}, {"aws:RequestTag/a": "X"}, False),
        ({"StringEquals": {"aws:RequestTag/a": "x"}}, {}, False),
        ({"StringEqualsIfExists": {"aws:RequestTag/a": "x"}}, {}, True),
        ({"StringEqualsIfExists": {"aws:RequestTag/a": "x"}}, {"aws:RequestTag/a": "y"}, False),
        ({"StringNotEquals": {"aws:RequestTag/a": ["x", "y"]}}, {"aws:RequestTag/a": "y"}, False),
        ({"StringNotEquals": {"aws:RequestTag/a": "x"}}, {}, True),
        ({"StringLike": {"s3:prefix": "home/*"}}, {"s3:prefix": "home/a"}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ["a"]}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ["a", "c"]}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ["c", "b"]}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}, {}, False),
        ({"Null": {"k": "true"}}, {}, True),
        ({"Null": {"k": "true"}}, {"k": "v"}, False),
        ({"Null": {"k": "false"}}, {"k": "v"}, True),
        ({"Null": {"k": "false"}}, {}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": False}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, {}, False),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, {"s3:TlsVersion": "1.1"}, True),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, {"s3:TlsVersion": "1.2"}, False),
        # All keys of all operators.
        ({"StringEquals": {"a": "1", "b": "2"}}, {"a": "1", "b": "3"}, False),
        ({"StringEquals": {"a": "1"}, "Null": {"b": "true"}}, {"a": "1", "b": "2"}, False),
        ({}, {}, True),
    ],
)
def test_conditions(condition, context, holds):
    found = evaluate([policy(Condition=condition)], "s3:GetObject", BUCKET, context)
    assert found == ("allowed" if holds else "implicitDeny")


def test_a_resource_policy_is_for_its_principals():
    role = "arn:aws:iam::111122223333:role/a"
    for principal, fits in (
        ("*", True),
        ({"AWS": role}, True),
        ({"AWS": [role, "x"]}, True),
        ({"AWS": "arn:aws:iam::111122223333:root"}, True),
        ({"AWS": "arn:aws:iam::444455556666:root"}, False),
        ({"Service": "ec2.amazonaws.com"}, False),
    ):
        found = evaluate([policy(Principal=principal)], "s3:GetObject", BUCKET, principal=role)
        assert (found == "allowed") == fits, principal
    deny = policy("Deny", Principal="*", Condition={"ArnNotEquals": {"aws:PrincipalArn": role}})
    assert evaluate([policy(), deny], "s3:GetObject", BUCKET, principal=role) == "allowed"
    assert evaluate([policy(), deny], "s3:GetObject", BUCKET, principal=role + "b") == "explicitDeny"


def test_what_is_not_evaluated_is_not_passed_over():
    with pytest.raises(AssertionError, match="NotAction"):
        evaluate([policy(NotAction="s3:GetObject")], "s3:GetObject", BUCKET)
    with pytest.raises(KeyError):
        evaluate([policy(Condition={"DateLessThan": {"k": "1"}})], "s3:GetObject", BUCKET, {"k": "1"})


@given(st.text("abc[]!^-", max_size=8), st.text("abc[]!^-", max_size=8))
def test_without_wildcards_a_pattern_is_the_text(pattern, text):
    assert matching(pattern, text) == (pattern == text)
    assert matching(f"{pattern}*", pattern + text)
    assert matching("*", text)


def test_a_wildcard_of_an_arn_stays_in_its_part():
    assert matching_arn("arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a/b:c")
    assert not matching_arn("arn:aws:iam::*", "arn:aws:iam::1:role/a")
