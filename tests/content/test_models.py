"""Fitted models: equal in every process and after pickling, whenever they were fitted and however long it took."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lineage_flows.content import describe, dump_value, fingerprint, load_value

RANDOM = np.random.default_rng(0)
X = np.abs(RANDOM.standard_normal((60, 4)))
Y = X[:, 0] + X[:, 1]
CLASSES = (X[:, 0] > X[:, 1]).astype(int)


class Own:
    """An estimator by its methods alone."""

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def get_params(self, deep=True):
        return {"alpha": self.alpha}

    def fit(self, x, y):
        self.mean_ = float(np.mean(y)) * self.alpha
        return self


def sklearn_models():
    from sklearn.cluster import KMeans
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import PCA
    from sklearn.ensemble import (
        GradientBoostingRegressor,
        HistGradientBoostingRegressor,
        RandomForestRegressor,
        VotingRegressor,
    )
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
    from sklearn.svm import SVR

    words = CountVectorizer().fit(["bank oil", "gas tech oil", "steel"])
    return {
        "ridge": Ridge().fit(X, Y),
        "ridge cv": RidgeCV().fit(X, Y),
        "logistic": LogisticRegression().fit(X, CLASSES),
        "forest": RandomForestRegressor(5, random_state=0).fit(X, Y),
        "boosting": GradientBoostingRegressor(n_estimators=3, random_state=0).fit(X, Y),
        "histograms": HistGradientBoostingRegressor(max_iter=3, random_state=0).fit(X, Y),
        "neighbours": KNeighborsRegressor(algorithm="kd_tree").fit(X, Y),
        "balls": KNeighborsRegressor(algorithm="ball_tree").fit(X, Y),
        "svm": SVR().fit(X, Y),
        "network": MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit(X, Y),
        "process": GaussianProcessRegressor(optimizer=None).fit(X[:10], Y[:10]),
        "clusters": KMeans(2, random_state=0, n_init=1).fit(X),
        "pca": PCA(2).fit(X),
        "words": words,
        "voting": VotingRegressor([("a", Ridge()), ("b", RidgeCV())]).fit(X, Y),
        "columns": ColumnTransformer([("s", StandardScaler(), [0, 1]), ("o", OneHotEncoder(), [2])]).fit(X.round()),
        "pipeline": make_pipeline(StandardScaler(), FunctionTransformer(np.tanh), Ridge()).fit(X, Y),
        "grid": GridSearchCV(Ridge(), {"alpha": [0.5, 1.0]}).fit(X, Y),
        "own": Own(2.0).fit(X, Y),
    }


def lightgbm_models():
    import lightgbm

    model = lightgbm.LGBMRegressor(n_estimators=4, verbose=-1, random_state=0).fit(X, Y)
    return {"lightgbm": model, "booster": model.booster_}


def models():
    return sklearn_models() | lightgbm_models()


@pytest.fixture(scope="module")
def fitted():
    return models()


@pytest.fixture(scope="module")
def prints(fitted):
    return {name: fingerprint(model) for name, model in fitted.items()}


def test_equal_in_another_process_with_another_hash_seed(prints):
    """Fitted there again: so it is learned state that is compared, not what was pickled."""
    code = (
        "import json, sys; from tests.content import test_models as t; from lineage_flows.content import fingerprint;"
        "json.dump({n: fingerprint(m) for n, m in t.models().items()}, sys.stdout)"
    )
    made = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={"PYTHONHASHSEED": "77", "PATH": "", "PREFECT_PLUGINS_ENABLED": "false"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(made.stdout) == prints


def test_equal_after_storing_loading_and_predicting(fitted, prints):
    for name, model in fitted.items():
        data, form = dump_value(model)
        again = load_value(data, form, trust_pickle=True)
        assert (name, fingerprint(again)) == (name, prints[name])
        for one in (model, again):
            if hasattr(one, "predict"):
                one.predict(X)
        assert (name, fingerprint(again), fingerprint(model)) == (name, prints[name], prints[name])


def test_rule_and_kind(fitted):
    for name, model in fitted.items():
        described = describe(model)
        assert (name, described.rule, described.note) == (name, "model", None)
        assert (name, described.kind) == (name, "Model")


def test_all_differ(prints):
    assert len(set(prints.values()) - {None}) == len(prints)


def test_parameters_data_and_class_count():
    from sklearn.linear_model import Lasso, Ridge

    class Other(Ridge):
        pass

    made = [
        Ridge(),
        Ridge(alpha=2),
        Lasso(),
        Ridge().fit(X, Y),
        Ridge(alpha=2).fit(X, Y),
        Ridge().fit(X, Y + 1e-9),
        Other().fit(X, Y),
        Own().fit(X, Y),
        Own(3).fit(X, Y),
    ]
    assert len({fingerprint(model) for model in made}) == len(made)


def test_how_long_a_search_took_does_not_count():
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    first, second = (GridSearchCV(Ridge(), {"alpha": [0.5, 1.0]}).fit(X, Y) for _ in range(2))
    second.refit_time_ += 5
    second.cv_results_["mean_fit_time"] = second.cv_results_["mean_fit_time"] + 1
    assert fingerprint(first) == fingerprint(second)
    second.cv_results_["mean_test_score"] = second.cv_results_["mean_test_score"] + 1
    assert fingerprint(first) != fingerprint(second)


def test_how_random_numbers_went_on_does_not_count():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.linear_model import Ridge

    model = GaussianProcessRegressor(optimizer=None).fit(X[:10], Y[:10])
    before = fingerprint(model)
    np.random.random()
    assert fingerprint(model) == before
    given = [Ridge(random_state=np.random.RandomState(seed)) for seed in (1, 2)]
    assert fingerprint(given[0]) != fingerprint(given[1])


def test_the_width_of_the_machine_does_not_count_in_a_booster():
    import lightgbm

    made = [lightgbm.train({"num_threads": n, "verbose": -1, "seed": 1}, lightgbm.Dataset(X, Y), 3) for n in (1, 2)]
    assert fingerprint(made[0]) == fingerprint(made[1])
    other = lightgbm.train({"num_threads": 1, "verbose": -1, "seed": 1}, lightgbm.Dataset(X, Y + X[:, 2]), 3)
    assert fingerprint(other) != fingerprint(made[0])


def test_a_model_among_other_things():
    from sklearn.linear_model import Ridge

    described = describe({"model": Ridge().fit(X, Y), "sharpe": 0.5})
    assert described.rule == "model"
    assert {part.path for part in described.parts} == {"/model", "/sharpe"}
    assert describe([Ridge(), slice(1)]).rule == "pickle"


def test_portfolios_are_not_what_their_address_calls_them():
    from skfolio import Portfolio
    from skfolio.datasets import load_sp500_dataset
    from skfolio.preprocessing import prices_to_returns

    returns = prices_to_returns(load_sp500_dataset()).iloc[-50:, :4]

    def portfolio(weights=(0.25, 0.25, 0.25, 0.25), **options):
        return Portfolio(returns, list(weights), **options)

    first, second = portfolio(), portfolio()
    assert first.name != second.name
    assert fingerprint(first) == fingerprint(second) is not None
    before = fingerprint(first)
    assert first.sharpe_ratio
    assert fingerprint(first) == before == fingerprint(pickle.loads(pickle.dumps(first)))
    others = [first, portfolio(name="desk"), portfolio((0.5, 0.5, 0, 0)), portfolio(compounded=True)]
    assert len({fingerprint(one) for one in others}) == len(others)
