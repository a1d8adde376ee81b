"""Momentum on twenty large US stocks: a monthly cross-sectional model, refitted every year and tested walk-forward.

Run it with ``python flows/backtest.py`` (``--help`` lists what can be changed), or deploy it with ``prefect deploy``.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from prefect import flow, get_run_logger, task
from sklearn.base import clone
from sklearn.linear_model import Ridge

DATA = Path(__file__).resolve().parent / "data"
PRICES = DATA / "prices.parquet"
FIGURE = DATA / "equity.png"

SIGNALS = ["momentum", "reversal", "trend", "volatility", "below_high"]
MONTH = 21
YEAR = 252


@task
def load_prices(prices: Path) -> pd.DataFrame:
    """Daily closing prices, one column a stock, oldest day first.

    Raises:
        ValueError: if a price is missing or not positive, or a day comes twice.
    """
    closes = pd.read_parquet(prices).sort_index()
    if closes.index.has_duplicates:
        raise ValueError(f"{prices} has days that come twice")
    if not (closes > 0).all(axis=None):
        raise ValueError(f"{prices} has prices that are missing or not positive")
    return closes


@task(tags=["preprocessing"])
def make_features(closes: pd.DataFrame, lookback: int, horizon: int) -> pd.DataFrame:
    """Signals and targets of every stock on every rebalancing day, ranked within the day.

    The signals of a day use closes up to the day before. The target is the log return over the next ``horizon``
    days less the day's mean; ``matures`` is the day on which it is known.

    Args:
        closes: daily closing prices.
        lookback: how far back momentum looks, in trading days; the last month is left out of it.
        horizon: days from one rebalancing to the next.
    """
    log = np.log(closes)
    known = log.shift(1)
    signals = {
        "momentum": known.shift(MONTH) - known.shift(lookback),
        "reversal": known.shift(MONTH) - known,
        "trend": known - known.rolling(200).mean(),
        "volatility": known.diff().rolling(63).std(),
        "below_high": known - known.rolling(YEAR).max(),
    }
    panel = pd.DataFrame({name: signal.stack() for name, signal in signals.items()}).dropna()
    panel = panel.groupby(level=0).rank(pct=True) - 0.5

    ahead = log.shift(-horizon) - log
    panel["target"] = ahead.sub(ahead.mean(axis=1), axis=0).stack()
    matures = pd.Series(closes.index, index=closes.index).shift(-horizon)
    panel["matures"] = panel.index.get_level_values(0).map(matures)

    first = closes.index.get_loc(panel.index[0][0])
    rebalancing = closes.index[first::horizon]
    return panel[panel.index.get_level_values(0).isin(rebalancing)]


@task(tags=["training"])
def fit_model(features: pd.DataFrame, train_until: date, alpha: float) -> Ridge:
    """A ridge regression of the target on the signals, on what was known on ``train_until``."""
    known = features[features["matures"] <= pd.Timestamp(train_until)]
    return Ridge(alpha).fit(known[SIGNALS], known["target"])


@task(tags=["postprocessing"])
def walk_forward_backtest(
    model: Ridge, features: pd.DataFrame, closes: pd.DataFrame, *, train_until: date, holdings: int, cost_bps: float
) -> pd.Series:
    """Value of one dollar that is long the stocks the model likes best and short those it likes least.

    Starts after ``train_until`` and fits the model again with each new year, on targets known by then. A portfolio
    is formed at the close of its rebalancing day and earns from the next day on.

    Args:
        model: the model as first fitted.
        features: signals and targets by day and stock.
        closes: daily closing prices.
        train_until: last day of the first training period.
        holdings: how many stocks on each side.
        cost_bps: cost of trading, in basis points of what is traded.
    """
    days = features.index.get_level_values(0)
    targets: dict[pd.Timestamp, pd.Series] = {}
    year = train_until.year + 1
    for day in days[days > pd.Timestamp(train_until)].unique():
        if day.year > year:
            known = features[features["matures"] <= day]
            model = clone(model).fit(known[SIGNALS], known["target"])
            year = day.year
        today = features.loc[day, SIGNALS]
        score = pd.Series(model.predict(today), index=today.index)
        rank = score.rank(method="first")
        longs, shorts = rank > len(rank) - holdings, rank <= holdings
        targets[day] = (longs.astype(float) - shorts.astype(float)) / (2 * holdings)

    weights = pd.DataFrame(targets).T.reindex(closes.index).ffill().fillna(0.0)
    weights = weights.loc[min(targets) :]
    earned = (weights.shift(1) * closes.pct_change().loc[weights.index]).sum(axis=1)
    cost = weights.diff().abs().sum(axis=1) * cost_bps / 10_000
    equity = (1 + earned - cost).cumprod()
    return equity.rename("equity")


@task
def summarise(equity: pd.Series, figure: Path, seed: int) -> dict[str, float]:
    """Yearly figures of an equity curve, with a 90 % interval of the Sharpe ratio; draws the curve into ``figure``.

    The interval comes from a bootstrap of whole months, so that what hangs together within a month stays together.
    """
    daily = equity.pct_change().dropna()
    months = [month.to_numpy() for _, month in daily.groupby(daily.index.to_period("M"))]
    draws = np.random.default_rng(seed).integers(len(months), size=(1000, len(months)))
    low, high = np.quantile([_sharpe(np.concatenate([months[i] for i in draw])) for draw in draws], [0.05, 0.95])
    drawdown = equity / equity.cummax() - 1

    drawing = Figure(figsize=(9, 5), layout="constrained")
    above, below = drawing.subplots(2, sharex=True, height_ratios=[3, 1])
    above.plot(equity.index, equity.to_numpy())
    above.set_ylabel("value of one dollar")
    below.fill_between(drawdown.index, drawdown.to_numpy(), alpha=0.5)
    below.set_ylabel("drawdown")
    figure.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(figure)

    return {
        "sharpe": _sharpe(daily.to_numpy()),
        "sharpe_low": float(low),
        "sharpe_high": float(high),
        "annual_return": float(equity.iloc[-1] ** (YEAR / len(equity)) - 1),
        "annual_volatility": float(daily.std() * YEAR**0.5),
        "max_drawdown": float(drawdown.min()),
    }


@flow
def backtest(
    *,
    prices: Path = PRICES,
    figure: Path = FIGURE,
    lookback: int = YEAR,
    horizon: int = MONTH,
    train_until: date = date(2004, 12, 31),
    alpha: float = 10.0,
    holdings: int = 5,
    cost_bps: float = 5.0,
    seed: int = 7,
) -> dict[str, float]:
    """Fit the model on the first years, walk it forward over the rest, and say what it would have earned."""
    if not prices.exists():
        save_sample_prices(prices)
    closes = load_prices(prices)
    features = make_features(closes, lookback, horizon)
    model = fit_model(features, train_until, alpha)
    equity = walk_forward_backtest(
        model, features, closes, train_until=train_until, holdings=holdings, cost_bps=cost_bps
    )
    metrics = summarise(equity, figure, seed)
    get_run_logger().info("Sharpe %.2f, max drawdown %.1f %%", metrics["sharpe"], 100 * metrics["max_drawdown"])
    return metrics


@task
def save_sample_prices(path: Path) -> None:
    """Write twenty S&P 500 stocks, 1990 to 2022, split- and dividend-adjusted, from the sample data of skfolio."""
    from skfolio.datasets import load_sp500_dataset

    path.parent.mkdir(parents=True, exist_ok=True)
    load_sp500_dataset().to_parquet(path)


def _sharpe(daily: np.ndarray) -> float:
    """Yearly Sharpe ratio of daily returns, over a rate of zero."""
    return float(daily.mean() / daily.std(ddof=1) * YEAR**0.5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prices", type=Path, default=PRICES, help="Parquet file of daily closing prices")
    parser.add_argument("--lookback", type=int, default=YEAR, help="how far back momentum looks, in trading days")
    parser.add_argument("--holdings", type=int, default=5, help="how many stocks on each side")
    options = parser.parse_args()
    backtest(prices=options.prices, lookback=options.lookback, holdings=options.holdings)
