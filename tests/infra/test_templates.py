"""The templates themselves: what cfn-lint says, and what they may not hold."""

from __future__ import annotations

import json

import pytest
from cfnlint import decode
from cfnlint.api import lint_file
from cfnlint.config import ManualArgs

from tests.support.cloud import INFRA
from tests.support.iam import statements

TEMPLATES = sorted(INFRA.glob("*.yaml"))


def resources(path):
    template, problems = decode.decode(str(path))
    assert not problems
    return json.loads(json.dumps(template))["Resources"]


def documents(node):
    """Every policy document in a template."""
    if isinstance(node, dict):
        if "Statement" in node and "Version" in node:
            yield node
        for value in node.values():
            yield from documents(value)
    elif isinstance(node, list):
        for value in node:
            yield from documents(value)


def said(document):
    """The statements of a document of a template, those of a Fn::If too."""
    for statement in statements(document):
        branches = statement["Fn::If"][1:] if "Fn::If" in statement else [statement]
        yield from (branch for branch in branches if "Effect" in branch)


def test_there_are_templates():
    assert [path.name for path in TEMPLATES] == ["lineage.yaml", "oidc-role.yaml"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_cfn_lint_finds_nothing(path):
    config = ManualArgs(regions=["eu-central-1", "us-east-1", "cn-north-1"], include_checks=["I"])
    found = [
        match
        for match in lint_file(path, config)
        # Informational: snapshots and the like of what is retained anyway.
        if not match.rule.id.startswith("I")
    ]
    assert found == []


def test_no_allow_has_a_wildcard_in_its_actions_and_no_statement_a_negated_element():
    found = 0
    for path in TEMPLATES:
        for document in documents(resources(path)):
            for statement in said(document):
                found += 1
                assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement), statement["Sid"]
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                wild = [action for action in actions if "*" in action or "?" in action]
                assert not wild or (statement["Effect"], actions) == ("Deny", ["s3:*"]), statement["Sid"]
    assert found > 40


def test_only_what_takes_no_resource_is_allowed_on_all():
    for document in documents(resources(INFRA / "lineage.yaml")):
        for statement in said(document):
            if statement["Effect"] == "Allow" and statement.get("Resource") == "*":
                assert statement["Sid"] in {"ListLineage", "ListVersions", "TheAccountDecidesByIam"}


def test_what_holds_data_outlives_its_stack():
    kept = {
        name: found
        for name, found in resources(INFRA / "lineage.yaml").items()
        if found["Type"] in {"AWS::S3::Bucket", "AWS::KMS::Key"}
    }
    assert set(kept) == {"Bucket", "Key"}
    for found in kept.values():
        assert (found["DeletionPolicy"], found["UpdateReplacePolicy"]) == ("Retain", "Retain")
