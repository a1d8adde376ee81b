"""What real flows give out that the card of a model needs: by type, in the record, in valid events and in the graph."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from lineage_flows.content import open_store
from lineage_flows.delivery import Spool
from lineage_flows.graph.embedded import open_embedded
from tests.support.flows import Ran, flow_environment, run_script
from tests.support.openlineage import check

pytestmark = pytest.mark.server

SCRIPT = """
import dataclasses
from typing import NamedTuple

import lightgbm
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import polars as pl
import pydantic
import statsmodels.formula.api as smf
import xgboost
from matplotlib.figure import Figure
from PIL import Image
from prefect import flow, task
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X = np.random.default_rng(0).normal(size=(60, 3))
Y = X[:, 0] + X[:, 1] ** 2

class Score(NamedTuple):
    sharpe: float

@dataclasses.dataclass
class Report:
    sharpe: float

class Card(pydantic.BaseModel):
    sharpe: float

def drawn():
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot([1, 2])
    return figure

class Hostile:
    def __reduce_ex__(self, protocol):
        raise RuntimeError("not me")
    def __repr__(self):
        raise RuntimeError("not me")
    def __hash__(self):
        raise RuntimeError("not me")

MAKERS = {
    "sklearn": lambda: Ridge(alpha=0.5).fit(X, Y),
    "pipeline": lambda: make_pipeline(StandardScaler(), Ridge(alpha=0.25)).fit(X, Y),
    "lightgbm": lambda: lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(X, Y),
    "xgboost": lambda: xgboost.XGBRegressor(n_estimators=3, max_depth=2).fit(X, Y),
    "booster": lambda: xgboost.train({"max_depth": 2}, xgboost.DMatrix(X, Y), 2),
    "statsmodels": lambda: smf.ols("y ~ a", pd.DataFrame({"y": Y, "a": X[:, 0]})).fit(),
    "metrics": lambda: {"train": {"rmse": 0.5}, "n": np.int64(3)},
    "nan": lambda: {"rmse": float("nan"), "top": float("inf")},
    "named tuple": lambda: Score(0.5),
    "dataclass": lambda: Report(0.5),
    "pydantic": lambda: Card(sharpe=0.5),
    "series": lambda: pd.Series({"sharpe": 0.5}),
    "time series": lambda: pd.DataFrame({"day": pd.date_range("2026-01-01", periods=3), "x": X[:3, 0]}),
    "polars": lambda: pl.DataFrame({"day": pd.date_range("2026-01-01", periods=3), "x": X[:3, 0]}),
    "frame": lambda: pd.DataFrame({"x": [1, 2]}),
    "matplotlib": drawn,
    "plotly": lambda: go.Figure(go.Scatter(x=[1, 2], y=[3, 4])),
    "image": lambda: Image.new("RGB", (4, 2), "red"),
    "flags": lambda: {"ok": True},
    "hostile": lambda: Hostile(),
}

@task
def make(kind):
    return MAKERS[kind]()

@flow
def cards():
    for kind in MAKERS:
        make.with_options(name=kind, task_run_name=kind)(kind)

if __name__ == "__main__":
    cards()
"""

KINDS = {
    "sklearn": "Model",
    "pipeline": "Model",
    "lightgbm": "Model",
    "xgboost": "Model",
    "booster": "Model",
    "statsmodels": "Model",
    "metrics": "Metrics",
    "nan": "Metrics",
    "named tuple": "Metrics",
    "dataclass": "Metrics",
    "pydantic": "Metrics",
    "series": "Metrics",
    "time series": "TimeSeries",
    "polars": "TimeSeries",
    "frame": "DataSet",
    "matplotlib": "Figure",
    "plotly": "Figure",
    "image": "Figure",
    "flags": "Value",
    "hostile": "Value",
}


@pytest.fixture(scope="module")
def ran(prefect_server: object, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("cards")
    done = run_script(SCRIPT, folder / "project", folder / "home")
    assert done.code == 0, done.err
    assert [error for record in done.records() for error in record.capture_errors] == []
    return done


def test_every_output_is_of_its_kind_in_events_that_are_valid(ran: Ran) -> None:
    with closing(Spool(ran.home / "spool.db")) as spool:
        payloads = [item.event.payload for item in spool.pending("nobody", 100_000)]
    assert check(payloads) == []
    ends = [event for event in map(orjson.loads, payloads) if event["eventType"] == "COMPLETE"]
    facets = {
        event["job"]["name"].removeprefix("cards."): event["outputs"][0]["facets"]["lineageFlows_artifact"]
        for event in ends
        if event["outputs"]
    }
    assert {name: facet["artifactType"] for name, facet in facets.items()} == KINDS
    models = [name for name, kind in KINDS.items() if kind == "Model"]
    assert {facets[name]["rule"] for name in models} == {"model"}
    assert all(facets[name]["hyperparameters"] for name in models)
    assert facets["sklearn"]["hyperparameters"]["alpha"] == 0.5
    assert facets["pipeline"]["hyperparameters"]["ridge__alpha"] == 0.25
    assert facets["statsmodels"]["hyperparameters"]["formula"] == "y ~ a"
    assert facets["metrics"]["preview"] == {"train/rmse": 0.5, "n": 3}
    assert facets["nan"]["preview"] == {"rmse": "nan", "top": "inf"}
    assert "fingerprint" not in facets["hostile"]
    assert "not me" in facets["hostile"]["note"]


def test_the_graph_has_hyperparameters_and_metrics_as_properties(ran: Ran) -> None:
    with closing(open_embedded(ran.home / "graph.db", read_only=True)) as graph:
        found = [item for item in graph.list_artifacts() if item.source_uri.endswith("/result")]
    kinds = sorted(item.type for item in found)
    assert kinds == sorted(KINDS.values())
    models = [item for item in found if item.type == "Model"]
    alphas = [json.loads(item.properties["hyperparameters"]).get("alpha") for item in models]
    assert 0.5 in alphas
    assert all(len(item.properties["hyperparameters"]) <= 4096 for item in models)


def test_figures_are_kept_as_pictures(ran: Ran) -> None:
    from PIL import Image

    store = open_store(str(ran.home / "blobs"))
    sizes = {}
    for name in ("matplotlib", "image"):
        picture = ran.step(name).output.picture  # type: ignore[union-attr]
        assert picture is not None
        assert picture.format == "png"
        sizes[name] = Image.open(io.BytesIO(store.get(picture.digest))).size
    assert sizes == {"matplotlib": (100, 50), "image": (4, 2)}
    drawn = ran.step("plotly").output.picture  # type: ignore[union-attr]
    assert drawn is not None
    assert drawn.format == "plotly-json"
    assert json.loads(store.get(drawn.digest))["data"][0]["type"] == "scatter"


def test_show_has_the_models_with_their_hyperparameters(ran: Ran) -> None:
    run_id = ran.flows()["cards"].run_id
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lineage-flows"), "show", run_id],
        env=flow_environment(ran.home, COLUMNS="250"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "6 models" in done.stdout
    assert "alpha 0.5" in done.stdout
