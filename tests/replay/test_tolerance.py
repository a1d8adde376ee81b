"""Replays whose numbers are not the same to the last bit: told apart from those that are, and from those that are wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from lineage_flows import lineage
from lineage_flows.records import RunRecord
from lineage_flows.replay import ReplayReport
from lineage_flows.tolerances import tolerances_of_text
from tests.replay.test_end_to_end import Desk, desk, verdicts

__all__ = ["desk"]

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]

JITTER = """
import time

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from prefect import flow, task
from sklearn.linear_model import Ridge


def jitter():
    # It grows with the clock, so that the last digits are others each time, as on another CPU; and never by much.
    elapsed = time.time() - {start}
    return 1 + 100 * {size} * elapsed / (elapsed + 60)


@task
def load():
    return pd.DataFrame(
        {{"close": 10 + np.sin(np.arange(50.0) ** 1.5), "name": ["a", "b"] * 25}}, index=pd.date_range("2024", periods=50)
    )


@task
def features(prices):
    return prices.assign(mean=prices["close"].rolling(3).mean() * jitter())


@task
def fit(table):
    known = table.dropna()
    return Ridge().fit(known[["mean"]], known["close"])


@task
def score(model, table):
    known = table.dropna()
    returns = np.diff(model.predict(known[["mean"]]))
    return {{"sharpe": float(returns.mean() / returns.std()), "days": len(returns)}}


@task
def plot(table):
    figure = Figure(figsize=(3, 2), dpi=50)
    figure.subplots().plot(table["mean"].to_numpy())
    return figure


@flow
def backtest():
    prices = load()
    table = features(prices)
    half = table.iloc[10:]
    model = fit(half)
    plot(half)
    return score(model, half)


if __name__ == "__main__":
    backtest()
"""


def jittery(size: str) -> str:
    return JITTER.format(size=size, start=time.time() - 1)


def record_of(desk: Desk, report: ReplayReport) -> RunRecord:
    with lineage(desk.settings) as graph:
        return graph.record(report.replay_run_id)


def values(report: ReplayReport) -> dict[str, Any]:
    return {step.task: step.values[0] for step in report.steps if step.values}


def test_last_bits_are_equal_within_tolerance_and_measured(desk: Desk) -> None:
    run = desk.run(jittery("1e-14"), LINEAGE_FLOWS_LEVEL="all")
    report = desk.replay(run)
    assert report.verdict == "equivalent", report.model_dump_json(indent=1)
    assert (report.exit_code, report.first_divergence, report.first_inexact) == (0, None, 1)
    found = verdicts(report)
    assert (found["load#0"], found["features#0"]) == ("identical", "equivalent")
    assert set(found.values()) <= {"identical", "equivalent"}
    table = values(report)["features"]
    (part,) = table.parts
    assert (part.where, part.differing, part.compared) == ("/mean", 48, 50)
    assert 0 < part.relative < 1e-12
    assert 0 < part.ulps < 10_000
    assert part.tolerance.rule == "default"
    assert "numbers lie apart by at most rel " in report.summary
    model = values(report)["fit"]
    assert "/coef_" in {item.where for item in model.parts}
    # What the flow itself computed from an inexact output is not kept; that alone makes no later step different.
    fit = next(step for step in report.steps if step.task == "fit")
    assert fit.causes == ("inputs",), fit.details
    outcome = record_of(desk, report).flow.replay.outcome
    assert outcome.steps == report.steps
    assert (outcome.first_inexact, outcome.tolerances) == (1, ())


def test_a_rule_decides_what_is_close_enough_and_is_recorded(desk: Desk) -> None:
    run = desk.run(jittery("1e-7"), LINEAGE_FLOWS_LEVEL="all")
    report = desk.replay(run)
    assert report.verdict == "different"
    assert report.steps[report.first_divergence].task == "features"
    assert "output differs: mean: 48 of 50 differ, most " in report.summary
    wide = tolerances_of_text("*:rel=0.01; figure:abs=255", "test")
    report = desk.replay(run, tolerances=wide)
    assert report.verdict == "equivalent", report.model_dump_json(indent=1)
    assert report.tolerances == ("*:rel=0.01", "type=Figure:abs=255")
    assert values(report)["features"].parts[0].tolerance.rule == "*:rel=0.01 (test)"
    # A rule for a single task leaves the others alone.
    only = tolerances_of_text("task=features:rel=1e-3", "test")
    found = verdicts(report := desk.replay(run, tolerances=only))
    assert found["features#0"] == "equivalent"
    assert found["score#0"] == "different"
    assert report.exit_code == 1
    assert report.steps[report.first_divergence].task != "features"


def test_the_command_line_takes_rules_and_shows_how_far_numbers_lie_apart(desk: Desk) -> None:
    run = desk.run(jittery("1e-7"), LINEAGE_FLOWS_LEVEL="all")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "import sys; from lineage_flows.cli import main; sys.exit(main())", *arguments]
        environment = desk.environment(COLUMNS="200")
        return subprocess.run(
            command, cwd=desk.folder, env=environment, capture_output=True, text=True, timeout=240, check=False
        )

    said = call("replay", run, "--tolerance", "*:rel=0.01", "--tolerance", "figure:abs=255")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "output/mean" in said.stdout
    assert "tolerance *:rel=0.01" in said.stdout
    said = call("replay", run, "--json")
    document = json.loads(said.stdout)
    assert (said.returncode, document["exit_code"], document["verdict"]) == (1, 1, "different")
    part = document["steps"][1]["values"][0]["parts"][0]
    assert (part["where"], part["differing"]) == ("/mean", 48)
    assert part["tolerance"]["relative"] == 1e-9
    said = call("replay", run, "--tolerance", "sharpe:rel=1e-3")
    assert said.returncode == 2
    assert "--tolerance" in said.stderr
    said = call("diff", run, document["replay_run_id"], "--json", "--tolerance", "*:rel=1e-3")
    compared = {step["task"]: step for step in json.loads(said.stdout)["steps"]}
    assert (compared["load"]["verdict"], compared["features"]["verdict"]) == ("identical", "equivalent")
    # A model is a pickle, which only a replay loads.
    assert compared["fit"]["verdict"] == "different"
    assert "it is a pickle" in compared["fit"]["values"][0]["note"]
