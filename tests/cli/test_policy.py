from __future__ import annotations

import json

import pytest

RULES = [
    {"match": {"flow": "back*"}, "level": "all", "exclude_datasets": ["s3://pii/*"]},
    {"match": {"task": "fit", "tag": "pii"}, "emit": False},
    {"match": {"flow": "other"}, "level": "off"},
]


@pytest.fixture(autouse=True)
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_FLOWS_RULES", json.dumps(RULES))


def test_it_says_which_rule_decides_and_which_fit(call) -> None:
    found = call("policy", "backtest", "--task", "fit", "--tag", "x", "--tag", "pii", "--json").document
    decided = {name: (said["value"], said["decided_by"]) for name, said in found["settings"].items()}
    assert decided["emit"] == (False, "LINEAGE_FLOWS_RULES rules[2]")
    assert decided["level"] == ("off", "LINEAGE_FLOWS_RULES rules[2]")
    assert decided["exclude_datasets"] == (["s3://pii/*"], "LINEAGE_FLOWS_RULES rules[1]")
    assert decided["source_code"] == (True, "the project's setting")
    assert [rule["match"] for rule in found["rules"]] == ["task=fit tag=pii", "flow=back*"]


def test_it_says_so_where_no_rule_fits(call) -> None:
    said = call("policy", "unknown")
    assert said.code == 0
    assert "No rule fits" in said.out
    assert call("policy", "unknown", "--json").document["rules"] == []


def test_a_wrong_rule_is_named(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_FLOWS_RULES", '[{"match": {"flwo": "a"}, "level": "off"}]')
    said = call("policy", "a")
    assert said.code == 2
    assert "rules[1].match.flwo" in said.err
