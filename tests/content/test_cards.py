"""What the card of a model shows: kinds by type, hyperparameters, metrics, pictures; fingerprints of boosters, fits, images."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import io
import json
import math
import pickle
import sys
import types
import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.content import describe, fingerprint
from lineage_flows.content.pictures import picture_of
from lineage_flows.content.properties import plain_mapping

RANDOM = np.random.default_rng(3)
X = np.abs(RANDOM.standard_normal((60, 3)))
Y = X[:, 0] + X[:, 1] / 3


# ---------------------------------------------------------------------------------------------------------------- XGBoost


def booster(eta: float = 0.3) -> Any:
    import xgboost

    return xgboost.train({"max_depth": 2, "eta": eta}, xgboost.DMatrix(X, Y), num_boost_round=3)


def test_equal_boosters_of_xgboost_are_equal_also_after_pickling_and_predicting() -> None:
    import xgboost

    one, two = booster(), booster()
    described = describe(one)
    assert (described.kind, described.rule, described.note) == ("Model", "model", None)
    one.predict(xgboost.DMatrix(X))
    assert fingerprint(one) == fingerprint(two) == fingerprint(pickle.loads(pickle.dumps(one))) == described.fingerprint
    assert fingerprint(booster(0.1)) != described.fingerprint
    assert described.hyperparameters["max_depth"] == "2"
    assert described.hyperparameters["objective"] == "reg:squarederror"


def test_xgboosts_estimators_are_models_with_their_parameters() -> None:
    import xgboost

    one, two = (xgboost.XGBRegressor(n_estimators=3, max_depth=2, num_class=None).fit(X, Y) for _ in range(2))
    before = pickle.dumps(one.get_booster().save_raw())
    described = describe(one)
    assert (described.kind, described.rule) == ("Model", "model")
    assert described.fingerprint == fingerprint(two)
    assert described.hyperparameters["max_depth"] == 2
    assert described.hyperparameters["n_estimators"] == 3
    assert "num_class" in described.hyperparameters
    assert pickle.dumps(one.get_booster().save_raw()) == before
    assert fingerprint(xgboost.XGBRegressor(n_estimators=4, max_depth=2).fit(X, Y)) != described.fingerprint


def test_a_booster_of_an_unknown_version_goes_by_the_weaker_rule() -> None:
    old = type("Booster", (), {"__module__": "xgboost.core"})()
    described = describe(old)
    assert (described.kind, described.rule) == ("Model", "pickle")
    assert described.fingerprint is not None


# ------------------------------------------------------------------------------------------------------------ statsmodels


def fits() -> dict[str, Any]:
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y)
    gamma = sm.families.Gamma(sm.families.links.Log())
    return {
        "ols": smf.ols("y ~ a + b", frame).fit(),
        "robust errors": smf.ols("y ~ a + b", frame).fit(cov_type="HC1"),
        "wls": sm.WLS(Y, X, weights=X[:, 2]).fit(),
        "glm": sm.GLM(Y + 1, X, family=gamma).fit(),
        "other family": sm.GLM(Y + 1, X, family=sm.families.Gaussian()).fit(),
        "arima": sm.tsa.ARIMA(Y, order=(1, 0, 0)).fit(),
        "autoreg": sm.tsa.AutoReg(Y, 2).fit(),
        "var": sm.tsa.VAR(X).fit(1),
        "other data": smf.ols("y ~ a + b", frame.iloc[:50]).fit(),
    }


def test_fits_of_statsmodels_are_models_that_are_equal_for_equal_fits_and_no_others() -> None:
    first, again = fits(), fits()
    described = {name: describe(fit) for name, fit in first.items()}
    assert {name: (one.kind, one.rule, one.note) for name, one in described.items()} == dict.fromkeys(
        first, ("Model", "model", None)
    )
    assert {name: one.fingerprint for name, one in described.items()} == {
        name: fingerprint(fit) for name, fit in again.items()
    }
    assert len({one.fingerprint for one in described.values()}) == len(described)


def test_a_fit_that_was_asked_for_its_summary_is_the_same() -> None:
    for name, fit in fits().items():
        before = fingerprint(fit)
        str(fit.summary())
        assert fingerprint(fit) == before, name
        assert fingerprint(pickle.loads(pickle.dumps(fit))) == before, name


def test_hyperparameters_of_fits() -> None:
    found = fits()
    assert describe(found["robust errors"]).hyperparameters == {
        "model": "OLS",
        "endog": "y",
        "exog": ["Intercept", "a", "b"],
        "formula": "y ~ a + b",
        "cov_type": "HC1",
    }
    assert describe(found["arima"]).hyperparameters["order"] == [1, 0, 0]


# ----------------------------------------------------------------------------------------------- scikit-learn and LightGBM


def test_hyperparameters_of_pipelines_are_named_as_scikit_learn_names_them() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = Pipeline([("scale", StandardScaler()), ("ridge", Ridge(alpha=0.25))]).fit(X, Y)
    found = describe(pipeline).hyperparameters
    expected = {key: value for key, value in pipeline.get_params().items() if isinstance(value, int | float | None)}
    assert {key: found[key] for key in expected if key != "memory"} == {
        key: value for key, value in expected.items() if key != "memory"
    }
    assert found["ridge"] == "sklearn.linear_model._ridge.Ridge"
    grid = describe(GridSearchCV(Ridge(), {"alpha": [0.5, 1.0]}).fit(X, Y)).hyperparameters
    assert grid["param_grid"] == {"alpha": [0.5, 1.0]}
    assert grid["estimator__alpha"] == 1.0


def test_hyperparameters_of_lightgbm() -> None:
    import lightgbm

    model = lightgbm.LGBMRegressor(n_estimators=4, num_leaves=5, verbose=-1, min_gain=0.5).fit(X, Y)
    found = describe(model).hyperparameters
    assert (found["n_estimators"], found["num_leaves"], found["min_gain"]) == (4, 5, 0.5)
    assert describe(model.booster_).hyperparameters["num_leaves"] == 5


def test_reading_hyperparameters_runs_no_code_of_the_users_and_warns_nobody() -> None:
    from sklearn.base import BaseEstimator

    class Loud(BaseEstimator):
        def __init__(self, alpha: float = 1.0, api_key: str = "", shown: object = None) -> None:
            self.alpha, self.api_key, self.shown = alpha, api_key, shown

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            raise AssertionError("asked")

        def __getattr__(self, name: str) -> Any:
            warnings.warn(name, FutureWarning, stacklevel=2)
            raise AttributeError(name)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = describe(Loud(2.0, "s3cr3t", math.nan)).hyperparameters
    assert found == {"alpha": 2.0, "api_key": "***", "shown": "nan"}


def test_a_model_with_many_parameters_shows_the_first_hundred() -> None:
    from sklearn.base import BaseEstimator

    names = [f"p{number}" for number in range(150)]
    made = types.FunctionType
    source = f"def __init__(self, {', '.join(f'{name}=1' for name in names)}):\n    self.__dict__.update(locals())"
    scope: dict[str, Any] = {}
    exec(source, scope)
    assert isinstance(scope["__init__"], made)
    wide = type("Wide", (BaseEstimator,), {"__init__": scope["__init__"]})
    found = describe(wide()).hyperparameters
    assert len(found) == 101
    assert found["…"] >= 1


# ------------------------------------------------------------------------------------------------------------------ torch


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """As much of torch as the rules ask of it: torch itself is not among what the tests install."""
    module = types.ModuleType("torch")

    class Tensor:
        def __init__(self, values: Any, dtype: str = "float32", device: str = "cpu") -> None:
            self.values, self.dtype, self.device = np.asarray(values, dtype), f"torch.{dtype}", device

        shape = property(lambda self: self.values.shape)
        detach = lambda self: self  # noqa: E731
        numel = lambda self: self.values.size  # noqa: E731
        element_size = lambda self: self.values.itemsize  # noqa: E731

        def cpu(self) -> Tensor:
            return Tensor(self.values, self.dtype.removeprefix("torch."))

        def numpy(self) -> Any:
            if self.device != "cpu":
                raise TypeError("can't convert a tensor on a GPU")
            return self.values

    class Module:
        def __init__(self, weight: Any, p: float = 0.5) -> None:
            self._parameters, self._modules, self.p = {"weight": Tensor(weight)}, {}, p
            self.training, self._forward_hooks = True, {}

    for cls in (Tensor, Module):
        cls.__module__, cls.__qualname__ = "torch", cls.__name__
        setattr(module, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_state_dictionaries_and_modules_of_torch(torch: Any) -> None:
    state = {"layer.weight": torch.Tensor([[1.0, 2.0]]), "layer.bias": torch.Tensor([0.5])}
    described = describe(state)
    assert (described.kind, described.shape, described.size, described.note) == ("Model", (2,), 12, None)
    on_gpu = {name: torch.Tensor(item.values, device="cuda:0") for name, item in state.items()}
    assert fingerprint(on_gpu) == described.fingerprint
    assert fingerprint({**state, "layer.bias": torch.Tensor([0.25])}) != described.fingerprint
    assert describe({**state, "epoch": 3}).kind == "Value"

    module = torch.Module([1.0, 2.0])
    before = describe(module)
    assert (before.kind, before.rule) == ("Model", "model")
    module.training = False
    module._forward_hooks = {1: lambda: None}
    assert fingerprint(module) == before.fingerprint
    assert fingerprint(torch.Module([1.0, 2.0], p=0.1)) != before.fingerprint
    assert fingerprint(torch.Module([1.0, 2.5])) != before.fingerprint


# ---------------------------------------------------------------------------------------------------------------- metrics


class Score(NamedTuple):
    sharpe: float
    trades: int


@dataclasses.dataclass
class Report:
    sharpe: float

    @property
    def broken(self) -> float:
        raise ZeroDivisionError


class Box:
    def __hash__(self) -> int:
        raise TypeError("no hash")

    def __eq__(self, other: object) -> bool:
        raise TypeError("no eq")


@pytest.mark.parametrize(
    ("value", "preview"),
    [
        ({"rmse": 0.5, "n": 3}, {"rmse": 0.5, "n": 3}),
        ({"rmse": np.float32(0.5), "n": np.int64(3)}, {"rmse": 0.5, "n": 3}),
        ({"price": decimal.Decimal("1.25")}, {"price": 1.25}),
        ({"nan": math.nan, "inf": -math.inf, "d": decimal.Decimal("NaN")}, {"nan": "nan", "inf": "-inf", "d": "nan"}),
        ({"train": {"rmse": 1.5}, "test": {"rmse": 2.5}, "n": 3}, {"train/rmse": 1.5, "test/rmse": 2.5, "n": 3}),
        (Score(0.5, 3), {"sharpe": 0.5, "trades": 3}),
        (Report(0.5), {"sharpe": 0.5}),
        (pydantic.create_model("M", a=(float, 1.5))(), {"a": 1.5}),
        (pd.Series({"a": 1.5, "b": 2.0}), {"a": 1.5, "b": 2.0}),
    ],
)
def test_metrics(value: object, preview: object) -> None:
    described = describe(value)
    assert (described.kind, described.preview, described.note) == ("Metrics", preview, None)


@pytest.mark.parametrize(
    "value",
    [
        {"ok": True},  # a flag is no number
        {"rmse": 0.5, "ok": True},
        {"rmse": None},
        {"train": {}},
        {"a": {"b": {"c": {"d": {"e": 1.0}}}}},
        {"rmse": [0.5]},
        {1: 0.5},
        {str(number): float(number) for number in range(1001)},
        {"a": {str(number): float(number) for number in range(1001)}},
        {"box": Box()},
    ],
)
def test_what_is_no_set_of_metrics(value: object) -> None:
    described = describe(value)
    assert (described.kind, described.preview) == ("Value", None)


def test_a_set_of_metrics_that_holds_itself_is_none() -> None:
    value: dict[str, Any] = {"a": 1.0}
    value["self"] = value
    assert describe(value).kind == "Value"


# ------------------------------------------------------------------------------------------------------------ time series

DAYS = pd.date_range("2026-01-01", periods=3)
DATES = [dt.date(2026, 1, 1), dt.date(2026, 1, 2), dt.date(2026, 1, 5)]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (pd.DataFrame({"day": DAYS, "x": [1, 2, 3]}), "TimeSeries"),
        (pd.DataFrame({"day": DAYS[::-1], "x": [1, 2, 3]}), "TimeSeries"),
        (pd.DataFrame({"day": DAYS.tz_localize("UTC"), "x": [1, 2, 3]}), "TimeSeries"),
        (pd.DataFrame({"x": [1]}, index=pd.MultiIndex.from_tuples([("A", DAYS[0])])), "TimeSeries"),
        (pd.Series([1.0], index=pd.MultiIndex.from_tuples([("A", DAYS[0])])), "TimeSeries"),
        (pd.DataFrame({"x": [1, 2, 3]}, index=DAYS.to_period()), "TimeSeries"),
        (pd.DataFrame({"opened": [DAYS[1], DAYS[0], DAYS[2]], "x": [1, 2, 3]}), "DataSet"),
        (pd.DataFrame({"opened": [DAYS[0], pd.NaT, DAYS[2]], "x": [1, 2, 3]}), "DataSet"),
        (pl.DataFrame({"day": DATES, "x": [1, 2, 3]}), "TimeSeries"),
        (pl.DataFrame({"day": [dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 2)]}), "TimeSeries"),
        (pl.DataFrame({"day": [DATES[1], DATES[0], DATES[2]]}), "DataSet"),
        (pl.DataFrame({"day": [DATES[1], None, DATES[2]]}), "DataSet"),
        (pl.DataFrame({"x": [1, 2, 3]}), "DataSet"),
    ],
)
def test_what_follows_a_column_of_moments_is_a_time_series(value: object, kind: str) -> None:
    assert describe(value).kind == kind


# ---------------------------------------------------------------------------------------------------------------- figures


def test_images_are_equal_by_what_they_show(tmp_path: Any) -> None:
    from PIL import Image

    drawn = Image.fromarray(np.arange(48, dtype="uint8").reshape(4, 4, 3))
    drawn.save(tmp_path / "x.png")
    described = describe(drawn)
    assert (described.kind, described.shape, described.rule, described.note) == ("Figure", (4, 4), "canonical", None)
    with Image.open(tmp_path / "x.png") as read:
        assert fingerprint(read) == described.fingerprint
        assert fingerprint(read.rotate(90)) != described.fingerprint
    assert fingerprint(drawn.convert("RGBA")) != described.fingerprint


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "F", "YCbCr"])
def test_the_picture_of_an_image_is_a_png(mode: str) -> None:
    from PIL import Image

    image = Image.new(mode, (5, 3))
    before = dict(vars(image))
    data, form = picture_of(image) or (b"", "")
    assert form == "png"
    assert Image.open(io.BytesIO(data)).size == (5, 3)
    assert vars(image).keys() == before.keys()


def test_the_picture_of_matplotlibs_figure_is_a_png_of_its_size() -> None:
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot([1, 2])
    canvas = figure.canvas
    data, form = picture_of(figure) or (b"", "")
    assert (form, Image.open(io.BytesIO(data)).size) == ("png", (100, 50))
    assert figure.canvas is canvas
    assert (picture_of(figure) or (b"",))[0] == data


def test_the_picture_of_plotlys_figure_is_its_json() -> None:
    import plotly.graph_objects as go

    figure = go.Figure(go.Scatter(x=np.array([1, 2]), y=np.array([3.0, 4.0])))
    described = describe(figure)
    assert (described.kind, described.rule, described.note) == ("Figure", "canonical", None)
    data, form = picture_of(figure) or (b"", "")
    assert form == "plotly-json"
    assert json.loads(data)["data"][0]["type"] == "scatter"
    assert fingerprint(go.Figure(go.Scatter(x=np.array([1, 2]), y=np.array([3.0, 5.0])))) != described.fingerprint


def test_what_is_no_figure_has_no_picture() -> None:
    assert picture_of(5) is None
    assert picture_of(pd.DataFrame({"a": [1]})) is None


# ------------------------------------------------------------------------------------------------------------- properties


class Nasty:
    def __str__(self) -> str:
        raise ValueError

    def __repr__(self) -> str:
        raise ValueError


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals()
    | st.datetimes()
    | st.builds(Nasty)
    | st.builds(np.float32, st.floats(width=32)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), ANYTHING, max_size=120))
def test_properties_are_always_strict_json_that_is_small(named: dict[str, object]) -> None:
    found = plain_mapping(named)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert len(found) <= 101


def test_secrets_among_properties_are_masked() -> None:
    named = {
        "password": "a",
        "nested": {"apiKey": "b", "x": 1},
        "held": pydantic.SecretStr("c"),
        "token_pattern": "[a-z]",
    }
    assert plain_mapping(named) == {
        "password": "***",
        "nested": {"apiKey": "***", "x": 1},
        "held": "***",
        "token_pattern": "[a-z]",
    }
