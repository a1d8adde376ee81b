"""The example flow: its research is sound (no look-ahead, right figures), and it knows nothing of lineage."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import backtest

FLOW = Path(backtest.__file__)
TRAIN_UNTIL = date(2015, 12, 31)


def random_walks(days: int = 2600, drifts: np.ndarray | None = None, seed: int = 1) -> pd.DataFrame:
    drifts = np.zeros(12) if drifts is None else drifts
    moves = np.random.default_rng(seed).normal(scale=0.01, size=(days, len(drifts))) + drifts
    index = pd.bdate_range("2012-01-02", periods=days, name="Date")
    return pd.DataFrame(100 * np.exp(moves.cumsum(axis=0)), index=index, columns=[f"S{i}" for i in range(len(drifts))])


def equity_of(closes: pd.DataFrame, holdings: int = 3, cost_bps: float = 5.0) -> tuple[pd.DataFrame, pd.Series]:
    features = backtest.make_features.fn(closes, 252, 21)
    model = backtest.fit_model.fn(features, TRAIN_UNTIL, 10.0)
    curve = backtest.walk_forward_backtest.fn(
        model, features, closes, train_until=TRAIN_UNTIL, holdings=holdings, cost_bps=cost_bps
    )
    return features, curve


CLOSES = random_walks()


@settings(max_examples=8, deadline=None)
@given(rebalancing=st.integers(60, 110), factor=st.sampled_from([0.5, 3.0]))
def test_nothing_before_a_day_depends_on_its_price(rebalancing, factor):
    features, curve = equity_of(CLOSES)
    day = CLOSES.index.get_loc(features.index.get_level_values(0).unique()[rebalancing])
    altered = CLOSES.copy()
    altered.iloc[day:] *= np.linspace(1, factor, altered.shape[1])
    later_features, later_curve = equity_of(altered)

    until = CLOSES.index[day]
    signals = features[backtest.SIGNALS]
    pd.testing.assert_frame_equal(signals.loc[:until], later_features[backtest.SIGNALS].loc[:until])
    before = CLOSES.index[day - 1]
    pd.testing.assert_series_equal(curve.loc[:before], later_curve.loc[:before])
    assert not np.allclose(curve.to_numpy(), later_curve.to_numpy())


def test_a_target_matures_when_its_last_price_is_known():
    features = backtest.make_features.fn(CLOSES, 252, 21)
    (day, stock), row = next(features.iterrows())
    at = CLOSES.index.get_loc(day)
    assert row["matures"] == CLOSES.index[at + 21]
    ahead = np.log(CLOSES.iloc[at + 21] / CLOSES.iloc[at])
    assert row["target"] == pytest.approx(ahead[stock] - ahead.mean())


def test_a_model_of_trending_stocks_makes_money_and_costs_eat_it():
    trending = random_walks(drifts=np.linspace(-0.001, 0.001, 12))
    _, free = equity_of(trending, cost_bps=0)
    _, dear = equity_of(trending, cost_bps=50)
    assert free.iloc[-1] > 1.5
    assert dear.iloc[-1] < free.iloc[-1]


def test_figures_of_a_known_curve(tmp_path):
    index = pd.bdate_range("2020-01-01", periods=504)
    daily = np.resize([0.02, -0.01], 504)
    curve = pd.Series((1 + daily).cumprod(), index=index)
    figure = tmp_path / "made" / "equity.png"
    metrics = backtest.summarise.fn(curve, figure, 7)
    assert metrics["max_drawdown"] == pytest.approx(-0.01)
    assert metrics["annual_return"] == pytest.approx(curve.iloc[-1] ** 0.5 - 1)
    assert metrics["sharpe"] == pytest.approx(daily[1:].mean() / daily[1:].std(ddof=1) * 252**0.5)
    assert metrics["sharpe_low"] < metrics["sharpe"] < metrics["sharpe_high"]
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_figures_repeat(tmp_path):
    _, curve = equity_of(CLOSES)
    first, second = (backtest.summarise.fn(curve, tmp_path / f"{name}.png", 7) for name in "ab")
    assert first == second
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert backtest.summarise.fn(curve, tmp_path / "c.png", 8) != first


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda closes: closes.mask(closes > closes.max().max() - 1e-9), "missing or not positive"),
        (lambda closes: closes - closes.iloc[5], "missing or not positive"),
        (lambda closes: pd.concat([closes, closes.iloc[[7]]]), "twice"),
    ],
)
def test_spoiled_prices_are_refused(tmp_path, spoil, said):
    path = tmp_path / "prices.parquet"
    spoil(CLOSES).to_parquet(path)
    with pytest.raises(ValueError, match=said):
        backtest.load_prices.fn(path)


def test_prices_are_loaded_oldest_first(tmp_path):
    path = tmp_path / "prices.parquet"
    CLOSES.iloc[::-1].to_parquet(path)
    pd.testing.assert_frame_equal(backtest.load_prices.fn(path), CLOSES, check_freq=False)


def test_the_sample_is_real_prices(tmp_path):
    path = tmp_path / "deep" / "prices.parquet"
    backtest.save_sample_prices.fn(path)
    closes = backtest.load_prices.fn(path)
    assert closes.shape == (8313, 20)
    assert str(closes.index[0].date()) == "1990-01-02"


def test_the_flow_says_nothing_about_lineage():
    assert "lineage" not in FLOW.read_text().lower()


@pytest.mark.server
@pytest.mark.slow
def test_the_script_runs_and_one_parameter_changes_its_result(prefect_server, tmp_path):
    (tmp_path / "backtest.py").write_text(FLOW.read_text())
    said = []
    for arguments in ([], ["--lookback", "126"]):
        done = subprocess.run(
            [sys.executable, "backtest.py", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PREFECT_LOGGING_LEVEL": "INFO"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stderr.partition("Sharpe")[2].splitlines()[0])
    assert said[0].startswith(" 0.35, max drawdown -23.")
    assert said[0] != said[1]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["equity.png", "prices.parquet"]
