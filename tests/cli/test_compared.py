"""What is shown of values that lie apart, and rules of tolerance as they are typed."""

from __future__ import annotations

import pytest

from lineage_flows.cli.answer import console
from lineage_flows.cli.compared import given_tolerances, values_shown
from lineage_flows.compare import compare_values
from lineage_flows.errors import SettingsError
from lineage_flows.records import StepComparison


def shown(values: object, others: object, capsys: pytest.CaptureFixture[str]) -> str:
    found = compare_values(values, others).found
    assert found is not None
    step = StepComparison(task="score", index=0, verdict=found.verdict, values=(found,))
    for line in values_shown([step], [], ["*:rel=0.1"]):
        console().print(line)
    return capsys.readouterr().out


def test_values_that_lie_apart_are_shown_with_both_and_by_how_much(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    said = shown({"sharpe": 1.2345, "n": 3}, {"sharpe": 1.2346, "n": 3}, capsys)
    assert "score#0" in said
    assert "output/sharpe" in said
    assert "1.2345 → 1.2346" in said
    assert "rel 8.1e-05" in said
    assert "tolerance *:rel=0.1" in said
    assert "default" not in said


def test_many_parts_are_counted(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    found = compare_values({f"m{i}": 1.0 for i in range(30)}, {f"m{i}": 2.0 for i in range(30)}).found
    assert found is not None
    steps = [StepComparison(task=f"t{i}", index=0, verdict="different", values=(found,)) for i in range(5)]
    for line in values_shown(steps, [], []):
        console().print(line)
    assert "and 5 more parts; --json has them" in capsys.readouterr().out


def test_nothing_is_shown_where_nothing_lies_apart():
    assert list(values_shown([StepComparison(task="a", index=0, verdict="identical")], [], [])) == []


@pytest.mark.parametrize("text", ["metrics", "metrics:rel=-1", "sharpe:rel=0.1"])
def test_a_rule_that_cannot_be_meant_names_the_option(text):
    with pytest.raises(SettingsError, match="--tolerance"):
        given_tolerances([text])


def test_the_command_refuses_it_before_anything_runs(call, home):
    said = call("replay", "x", "--tolerance", "metrics:rel=nan")
    assert said.code == 2
    assert "--tolerance" in said.err
    assert "a number from 0 to 1" in said.err
