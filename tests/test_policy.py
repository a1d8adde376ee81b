"""Rules: which one has the last word, what a wrong one says, and where rules come from."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.errors import SettingsError
from lineage_flows.policy import (
    LEVELS,
    Match,
    Rule,
    RuleError,
    decide,
    leaves_out_dataset,
    leaves_out_parameter,
    parse_rules,
    rules_json,
)
from lineage_flows.settings import load_settings

PATTERNS = st.sampled_from([None, "*", "a*", "ab*", "abc", "?bc", "[ab]bc", "x"])
MATCHES = st.builds(Match, flow=PATTERNS, task=PATTERNS, tag=PATTERNS)
NAMES = st.sampled_from(["abc", "ab", "bbc", "x", "other"])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def level_of(rules, flow="abc", task="abc", tags=("abc",)):
    return decide(rules, flow, task=task, tags=tags, level="inputs", size_cap=1).level


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (Match(), Match(flow="abc")),
        (Match(flow="abc"), Match(tag="a*")),
        (Match(tag="abc"), Match(flow="*", tag="*")),
        (Match(flow="abc", tag="abc"), Match(task="*")),
        (Match(task="abc"), Match(task="*", flow="*")),
        (Match(task="abc", flow="abc"), Match(task="*", tag="*")),
        (Match(task="abc", tag="abc"), Match(task="*", tag="*", flow="*")),
        (Match(task="ab*"), Match(task="abc")),
        (Match(task="a*"), Match(task="ab*")),
        (Match(task="abc", flow="a*"), Match(task="abc", flow="abc")),
        (Match(tag="a*"), Match(tag="[a]bc*")),
    ],
)
def test_the_more_specific_rule_has_the_last_word_wherever_it_stands(less, more):
    weak, strong = Rule(less, level="all"), Rule(more, level="metadata")
    assert level_of([weak, strong]) == level_of([strong, weak]) == "metadata"


def test_of_equally_specific_rules_the_last_one_holds():
    rules = [Rule(Match(flow="a?c"), level="all"), Rule(Match(flow="ab?"), level="metadata")]
    assert level_of(rules) == "metadata"
    assert level_of(rules[::-1]) == "all"


@given(
    st.lists(st.tuples(MATCHES, st.sampled_from(LEVELS[1:])), max_size=8),
    NAMES,
    st.none() | NAMES,
    st.lists(NAMES, max_size=3),
)
@settings(deadline=None)
def test_no_rule_that_fits_is_more_specific_than_the_one_that_decides(said, flow, task, tags):
    rules = [Rule(match, f"rule {place}", level=level) for place, (match, level) in enumerate(said)]
    decision = decide(rules, flow, task=task, tags=tags, level="inputs", size_cap=1)
    fitting = [rule for rule in rules if rule.match.fits(flow, task, tags)]
    if not fitting:
        assert (decision.level, decision.why) == ("inputs", {})
        return
    deciding = decision.why["level"]
    assert decision.level == deciding.level
    best = max(rule.match.specificity for rule in fitting)
    assert deciding is [rule for rule in fitting if rule.match.specificity == best][-1]
    # A rule that does not fit changes nothing, wherever it stands.
    assert decide([*fitting], flow, task=task, tags=tags, level="inputs", size_cap=1).level == decision.level


@given(
    st.lists(
        st.builds(
            Rule,
            match=MATCHES,
            level=st.sampled_from(LEVELS),
            owners=st.just(("team:a",)),
            emit=st.none() | st.booleans(),
        )
    )
)
@settings(deadline=None)
def test_rules_survive_the_way_through_the_environment(rules):
    again = parse_rules(json.loads(rules_json(rules)), "env")
    assert [(rule.match, rule.level, rule.emit, rule.owners) for rule in again] == [
        (rule.match, rule.level, rule.emit, rule.owners) for rule in rules
    ]


def test_each_setting_is_decided_by_itself():
    rules = [
        Rule(Match(task="fit"), level="all"),
        Rule(Match(flow="back*"), "b", size_cap=5, source_code=False, owners=("team:a",)),
        Rule(Match(tag="pii"), "c", emit=False),
    ]
    found = decide(rules, "backtest", task="fit", tags=(), level="inputs", size_cap=1)
    assert (found.level, found.size_cap, found.source_code, found.owners) == ("all", 5, False, ("team:a",))
    hidden = decide(rules, "backtest", task="fit", tags=("pii",), level="inputs", size_cap=1)
    assert (hidden.emit, hidden.level, hidden.why["level"].origin) == (False, "off", "c")


def test_datasets_and_parameters_have_exceptions():
    rule = Rule(
        exclude_datasets=("s3://pii/*", "/desk/*"),
        include_datasets=("*.md",),
        exclude_parameters=("*_id",),
        include_parameters=("run_id",),
    )
    found = decide([rule], "f", task=None, tags=(), level="inputs", size_cap=1)
    left_out = ["s3://pii/a/b.csv", "file:///desk/a.csv", "s3://pii/read.md", "s3://other/a", "file:///other/desk/a"]
    assert [leaves_out_dataset(found, uri) for uri in left_out] == [True, True, False, False, False]
    assert [leaves_out_parameter(found, name) for name in ("user_id", "run_id", "name")] == [True, False, False]


@pytest.mark.parametrize(
    ("raw", "where", "allowed"),
    [
        ({"match": {"flwo": "a"}, "level": "off"}, "rules[1].match.flwo", "flow, task or tag"),
        ({"match": {"flow": "a"}, "levl": "off"}, "rules[1].levl", "emit, level"),
        ({"match": {"flow": ""}, "level": "off"}, "rules[1].match.flow", "not empty"),
        ({"match": {"flow": 5}, "level": "off"}, "rules[1].match.flow", "a text"),
        ({"match": {"task": "fit_[ab"}, "level": "off"}, "rules[1].match.task", "closed by ]"),
        ({"match": {"flow": "a"}}, "rules[1]", "at least one of"),
        ({"level": "some"}, "rules[1].level", "off, metadata, inputs or all"),
        ({"size_cap": "tiny"}, "rules[1].size_cap", "500MB"),
        ({"size_cap": True}, "rules[1].size_cap", "500MB"),
        ({"emit": "no"}, "rules[1].emit", "true or false"),
        ({"exclude_datasets": "s3://*"}, "rules[1].exclude_datasets", "a list"),
        ({"exclude_parameters": [""]}, "rules[1].exclude_parameters", "not empty"),
        ("flow:a=off", "rules[1]", "a table"),
        ({"match": "a", "level": "off"}, "rules[1].match", "a table"),
    ],
)
def test_a_wrong_rule_names_key_value_and_what_is_allowed(monkeypatch, raw, where, allowed):
    with pytest.raises(RuleError, match="allowed is"):
        parse_rules([raw], "x")
    monkeypatch.setenv("LINEAGE_FLOWS_RULES", json.dumps([raw]))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert where in caught.value.setting
    assert allowed in caught.value.allowed
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value", "allowed"), [
    ("RULES", "flow:a=off", "JSON"),
    ("RULES", '{"a": 1}', "a list"),
    ("REDACT", '["("]', "regular expression"),
    ("REDACT", '["x*"]', "empty"),
])  # fmt: skip
def test_a_wrong_list_is_said(monkeypatch, name, value, allowed):
    monkeypatch.setenv(f"LINEAGE_FLOWS_{name}", value)
    with pytest.raises(SettingsError, match=allowed):
        load_settings()


def test_rules_come_from_both_files_and_the_environment_in_this_order(folder, monkeypatch):
    (folder / "pyproject.toml").write_text(
        '[[tool.lineage_flows.rules]]\nmatch = {flow = "a"}\nlevel = "all"\nsize_cap = "5kB"\n'
    )
    assert load_settings().decision("a").level == "all"
    (folder / "lineage.toml").write_text('namespace = "desk"\n[[rules]]\nmatch = {flow = "a"}\nlevel = "metadata"\n')
    found = load_settings()
    assert (found.namespace, found.decision("a").level, found.decision("a").size_cap) == ("desk", "metadata", 5000)
    monkeypatch.setenv("LINEAGE_FLOWS_RULES", '[{"match": {"flow": "a"}, "level": "off"}]')
    found = load_settings()
    assert found.decision("a").level == "off"
    assert [rule.origin for rule in found.all_rules] == [
        "pyproject.toml rules[1]", "lineage.toml rules[1]", "LINEAGE_FLOWS_RULES rules[1]",
    ]  # fmt: skip


def test_levels_are_rules_in_short(monkeypatch):
    monkeypatch.setenv("LINEAGE_FLOWS_LEVELS", "tag:b=metadata,tag:a=all,task:fit*=off")
    settings_ = load_settings(rules=[{"match": {"task": "fit"}, "level": "inputs"}])
    assert settings_.level_for("f", tags=("a", "b")) == "metadata", "of equally specific ones the one that keeps least"
    assert settings_.level_for("f", task="fit_x") == "off"
    assert settings_.level_for("f", task="fit") == "inputs", "a whole name over a pattern"


def test_a_flow_that_is_not_told_has_no_task_that_is():
    settings_ = load_settings(
        rules=[{"match": {"flow": "f"}, "emit": False}, {"match": {"flow": "f", "task": "t"}, "level": "all"}]
    )
    assert settings_.level_for("f") == settings_.level_for("f", task="t") == "off"
    assert not settings_.decision("f", task="t").emit
    assert settings_.level_for("g", task="t") == "inputs"


def test_a_project_that_is_off_is_on_where_a_rule_says_so():
    assert load_settings(level="off").is_off
    assert not load_settings(level="off", rules=[{"match": {"flow": "f"}, "level": "all"}]).is_off


def test_owners_are_the_projects_unless_a_rule_names_others(monkeypatch):
    monkeypatch.setenv("LINEAGE_FLOWS_OWNERS", "team:quant, user:me")
    found = load_settings(rules=[{"match": {"flow": "x"}, "owners": ["team:risk"]}])
    assert found.decision("f").owners == ("team:quant", "user:me")
    assert found.decision("x").owners == ("team:risk",)
