"""Rules of tolerance: how they are written, which one decides, and what is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.errors import SettingsError
from lineage_flows.policy import RuleError
from lineage_flows.settings import load_settings
from lineage_flows.tolerances import (
    DEFAULTS,
    Tolerance,
    ToleranceMatch,
    ToleranceRule,
    choose,
    parse_tolerances,
    tolerances_of_text,
)


def rules(text: str) -> tuple[ToleranceRule, ...]:
    return tolerances_of_text(text, "test")


def chosen(text: str, flow: str = "f", task: str | None = "t", types: tuple[str, ...] = (), path: str = "") -> str:
    return str(choose(rules(text), flow, task, types, path))


def test_rules_are_written_as_short_texts():
    (one, two) = rules("metrics:rel=1e-9; flow=back*,task=fit_*,name=coef_:abs=1e-12,ulps=4")
    assert one == ToleranceRule(ToleranceMatch(type="Metrics"), Tolerance(relative=1e-9), "test")
    assert two.match == ToleranceMatch(flow="back*", task="fit_*", name="coef_")
    assert two.tolerance == Tolerance(absolute=1e-12, ulps=4), "what a rule does not set is 0"
    assert str(two) == "flow=back*,task=fit_*,name=coef_:abs=1e-12,ulps=4"
    assert str(rules("*:abs=0")[0]) == "*:exact"


def test_rules_are_read_from_a_file_and_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().tolerances == ()
    Path("lineage.toml").write_text(
        '[[tolerances]]\nmatch = {type = "Metrics"}\nrelative = 1e-6\n[[tolerances]]\nmatch = {name = "sharpe"}\nulps = 8\n'
    )
    first, second = load_settings().tolerances
    assert (str(first), str(second)) == ("type=Metrics:rel=1e-06", "name=sharpe:ulps=8")
    assert first.origin == "settings tolerances[1]"
    monkeypatch.setenv("LINEAGE_FLOWS_TOLERANCES", "figure:abs=2")
    assert [str(rule) for rule in load_settings().tolerances] == ["type=Figure:abs=2"]
    monkeypatch.setenv("LINEAGE_FLOWS_TOLERANCES", '[{"match": {"task": "fit"}, "absolute": 0.5}, "model:rel=1e-3"]')
    assert [str(rule) for rule in load_settings().tolerances] == ["task=fit:abs=0.5", "type=Model:rel=0.001"]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("metrics:rel=-1", "a number from 0 to 1"),
        ("metrics:rel=nan", "a number from 0 to 1"),
        ("metrics:rel=1.5", "a number from 0 to 1"),
        ("metrics:abs=inf", "a finite number from 0"),
        ("metrics:abs=-0.1", "a finite number from 0"),
        ("metrics:ulps=1.5", "a whole number from 0"),
        ("metrics:ulps=-1", "a whole number from 0"),
        ("metrics:rel=", "a number from 0 to 1"),
        ("metrics:much=1", "figures named rel, abs or ulps"),
        ("metrics:rel=0.1,rel=0.2", "rel named once"),
        ("metrics", "a colon"),
        (":rel=0.1", "a colon"),
        ("sharpe:rel=0.1", "flow=, task=, type= or name="),
        ("colour=red:rel=0.1", "flow, task, type or name"),
        ("name=[ab:rel=0.1", "whose [ is closed"),
        ("name=:rel=0.1", "a text that is not empty"),
        ("name=a,name=b:rel=0.1", "name named once"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, allowed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuleError, match="allowed is") as raised:
        rules(text)
    assert allowed in str(raised.value)
    monkeypatch.setenv("LINEAGE_FLOWS_TOLERANCES", text)
    with pytest.raises(SettingsError, match="tolerance"):
        load_settings()


@pytest.mark.parametrize(
    "raw",
    [
        "text",
        [1],
        [{}],
        [{"match": {"type": "Metrics"}}],
        [{"match": {"typ": "Metrics"}, "relative": 0.1}],
        [{"match": {"type": 3}, "relative": 0.1}],
        [{"match": [], "relative": 0.1}],
        [{"relative": True}],
        [{"relative": "0.1"}],
        [{"relative": float("nan")}],
        [{"absolute": float("inf")}],
        [{"ulps": 2**60}],
        [{"rel": 0.1}],
    ],
)
def test_tables_that_cannot_be_meant_are_refused(raw: object) -> None:
    with pytest.raises(RuleError, match="tolerances"):
        parse_tolerances(raw, "lineage.toml")


def test_json_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_FLOWS_TOLERANCES", "[{")
    with pytest.raises(SettingsError, match="JSON"):
        load_settings()


def test_the_most_specific_rule_decides_and_of_equals_the_last():
    everything = "*:rel=0.5"
    assert chosen("") == str(DEFAULTS[0])
    assert chosen("", types=("figure",)) == str(DEFAULTS[1])
    assert chosen(everything) == everything
    assert chosen(everything, types=("figure",)) == str(DEFAULTS[1]), "a rule for everything says nothing of pictures"
    ordered = ["*:rel=0.1", "flow=f:rel=0.2", "metrics:rel=0.3", "task=t:rel=0.4", "name=*:rel=0.5", "name=s*:rel=0.6"]
    ordered += ["name=sharpe:rel=0.7", "task=t,name=sharpe:rel=0.8"]
    for count in range(1, len(ordered) + 1):
        text = ";".join(reversed(ordered[:count]))
        found = chosen(text, types=("metrics",), path="/sharpe")
        assert found.partition(":")[2] == ordered[count - 1].partition(":")[2]
    assert chosen("metrics:rel=0.1;metrics:rel=0.2", types=("metrics",)) == "type=Metrics:rel=0.2"


def test_a_rule_fits_by_flow_task_type_and_name():
    fits = ToleranceMatch(type="DATAFRAME").fits
    assert fits("f", None, ("dataset", "dataframe"), "")
    assert not fits("f", None, ("series",), "")
    assert not ToleranceMatch(task="*").fits("f", None, (), ""), "what the flow gives out is of no task"
    named = ToleranceMatch(name="prices/close").fits
    assert named("f", "t", (), "/prices/close")
    assert named("f", "t", (), "/prices/close/0"), "and all that lies in it"
    assert not named("f", "t", (), "/prices/open")
    assert ToleranceMatch(name="close").fits("f", "t", (), "/prices/close")
    assert not ToleranceMatch(name="close").fits("f", "t", (), "")


figures = st.builds(
    Tolerance, relative=st.floats(0, 1), absolute=st.floats(0, 1e300), ulps=st.integers(0, 1 << 53)
).filter(lambda made: made != Tolerance())
word = st.text("abc_*?", min_size=1, max_size=5)
matches = st.builds(
    ToleranceMatch, flow=st.none() | word, task=st.none() | word, type=st.none() | word, name=st.none() | word
)


@given(matches, figures)
def test_a_rule_reads_back_from_its_own_text(match: ToleranceMatch, tolerance: Tolerance) -> None:
    (again,) = rules(str(ToleranceRule(match, tolerance)))
    assert again.match == match
    assert again.tolerance.relative == pytest.approx(tolerance.relative, rel=1e-5)
    assert again.tolerance.absolute == pytest.approx(tolerance.absolute, rel=1e-5)
    assert again.tolerance.ulps == tolerance.ulps


@given(st.text())
def test_any_text_is_a_rule_or_an_error_that_says_so(text: str) -> None:
    with contextlib.suppress(RuleError):
        assert all(0 <= rule.tolerance.relative <= 1 for rule in rules(text))
