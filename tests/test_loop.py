"""The whole loop on a flow the project has not seen: its folder deleted, replayed from the home alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]

FLOW = dedent(
    """
    import random
    from dataclasses import dataclass
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from prefect import flow, task
    from sklearn.linear_model import Ridge

    from helpers import zscore

    HERE = Path(__file__).parent


    @dataclass
    class Config:
        window: int
        noise: float


    @task(tags=["preprocessing"])
    def load(path: str) -> pd.DataFrame:
        with open(HERE / "bias.txt") as file:
            bias = float(file.read())
        frame = pd.read_csv(path, parse_dates=["day"], index_col="day")
        return frame + bias


    @task(tags=["preprocessing"])
    def features(prices: pd.DataFrame, config: Config) -> pd.DataFrame:
        noise = np.random.default_rng().normal(scale=config.noise, size=len(prices))
        frame = pd.DataFrame({"z": zscore(prices["close"], config.window), "noise": noise}, index=prices.index)
        prices.loc[:, "close"] = 0.0
        return frame.dropna()


    @task(tags=["training"], retries=1)
    def train(frame: pd.DataFrame) -> Ridge:
        marker = Path("attempted")
        if not marker.exists():
            marker.write_text("once")
            raise RuntimeError("flaky")
        target = np.random.rand(len(frame)) + random.random()
        return Ridge(alpha=0.5).fit(frame, target)


    @task(tags=["postprocessing"])
    def evaluate(model: Ridge, frame: pd.DataFrame) -> dict[str, float]:
        prediction = model.predict(frame)
        out = HERE / "out"
        out.mkdir(exist_ok=True)
        frame.assign(p=prediction).to_parquet(out / "prediction.parquet")
        return {"mean": float(prediction.mean()), "std": float(prediction.std())}


    @task
    def report(metrics: dict[str, float]) -> str:
        again = pd.read_parquet(HERE / "out" / "prediction.parquet")
        return f"{len(again)} rows, mean {metrics['mean']:.6f}, in {HERE}"


    @flow(name="unseen")
    def pipeline(path: str, config: Config = Config(5, 0.01)) -> dict[str, float]:
        prices = load(path)
        frame = features(prices, config)
        model = train(frame)
        metrics = evaluate(model, frame)
        report(metrics)
        return metrics


    if __name__ == "__main__":
        print(pipeline(str(HERE.parent / "desk" / "prices.csv")))
    """
)

HELPERS = (
    "def zscore(series, window):\n    return (series - series.rolling(window).mean()) / series.rolling(window).std()\n"
)


def run(arguments: list[str], folder: Path, home: Path, api: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_PLUGINS")},
        "PREFECT_API_URL": api,
        "LINEAGE_FLOWS_HOME": str(home),
        **more,
    }
    return subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def cli(folder: Path, home: Path, api: str, *arguments: str) -> tuple[int, object]:
    done = run([str(Path(sys.executable).parent / "lineage-flows"), *arguments, "--json"], folder, home, api)
    assert done.stdout.strip(), done.stderr
    return done.returncode, json.loads(done.stdout)


def write_project(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[tool.prefect.plugins]\nenabled = true\n")
    (folder / "flow.py").write_text(FLOW)
    (folder / "helpers.py").write_text(HELPERS)
    (folder / "bias.txt").write_text("0.25")
    rows = "\n".join(f"2024-01-{day:02d},{100 + day * day % 17}" for day in range(1, 32))
    # Outside of the folder: what is kept of the folder as code must not stand in for what is kept as data.
    desk = folder.parent / "desk"
    desk.mkdir()
    (desk / "prices.csv").write_text(f"day,close\n{rows}\n")


@pytest.fixture
def captured(tmp_path: Path, prefect_server: str) -> tuple[Path, Path]:
    folder, home = tmp_path / "project", tmp_path / "home"
    write_project(folder)
    done = run([sys.executable, "flow.py"], folder, home, prefect_server)
    assert done.returncode == 0, done.stderr
    assert "lineage" not in done.stderr.lower(), done.stderr
    return folder, home


def test_a_flow_is_replayed_from_the_home_alone(captured, tmp_path, prefect_server):
    folder, home = captured
    assert list(home.glob("*.db-wal")) == [], "a process that ends leaves each database in one file"
    code, runs = cli(tmp_path, home, prefect_server, "runs")
    assert code == 0
    assert [(r["flow"], r["state"], r["kind"], r["replay_of"]) for r in runs] == [("unseen", "Completed", "run", None)]
    run_id = runs[0]["run_id"]
    shutil.rmtree(folder)
    shutil.rmtree(folder.parent / "desk")

    code, answer = cli(tmp_path, home, prefect_server, "replay", run_id[:8])
    assert (code, answer["verdict"]) == (0, "identical"), json.dumps(answer, indent=1)
    assert answer["run_id"] == run_id
    assert [(s["task"], s["index"], s["verdict"]) for s in answer["steps"]] == [
        (name, 0, "identical") for name in ("load", "features", "train", "evaluate", "report")
    ]
    assert answer["first_divergence"] is None
    assert not folder.exists()

    code, runs = cli(tmp_path, home, prefect_server, "runs")
    assert [(r["kind"], r["replay_of"]) for r in runs] == [("replay", run_id), ("run", None)]
    assert runs[0]["run_id"] == answer["replay_run_id"]

    code, again = cli(tmp_path, home, prefect_server, "replay", answer["replay_run_id"])
    assert (code, again["verdict"]) == (0, "identical"), "a replay of a replay"


def test_changed_code_of_a_step_is_named(captured, tmp_path, prefect_server):
    folder, home = captured
    _, runs = cli(tmp_path, home, prefect_server, "runs")
    source = (folder / "flow.py").read_text()
    (folder / "flow.py").write_text(source.replace("Ridge(alpha=0.5)", "Ridge(alpha=5.0)"))

    code, answer = cli(tmp_path, home, prefect_server, "replay", runs[0]["run_id"], "--code", str(folder))
    assert (code, answer["verdict"]) == (1, "different")
    first = answer["steps"][answer["first_divergence"]]
    assert (first["task"], first["verdict"]) == ("train", "different")
    assert first["causes"] == ["code"]
    verdicts = {step["task"]: step["verdict"] for step in answer["steps"]}
    assert verdicts["load"] == verdicts["features"] == "identical"
    assert verdicts["evaluate"] == "different"


def test_a_changed_helper_is_named(captured, tmp_path, prefect_server):
    folder, home = captured
    _, runs = cli(tmp_path, home, prefect_server, "runs")
    (folder / "helpers.py").write_text(HELPERS.replace("std()", "std() + 1"))
    _, answer = cli(tmp_path, home, prefect_server, "replay", runs[0]["run_id"], "--code", str(folder))
    first = answer["steps"][answer["first_divergence"]]
    assert (first["task"], first["causes"]) == ("features", ["code"])


def test_lineage_reaches_from_the_metrics_to_files_and_code(captured, tmp_path, prefect_server):
    folder, home = captured
    _, runs = cli(tmp_path, home, prefect_server, "runs")
    code, answer = cli(tmp_path, home, prefect_server, "upstream", runs[0]["run_id"])
    assert code == 0
    text = json.dumps(answer)
    for needle in (
        f"file://{folder.parent}/desk/prices.csv",
        f"file://{folder}/bias.txt",
        "SourceTree",
        "Environment",
        "Model",
    ):
        assert needle in text
    code, answer = cli(tmp_path, home, prefect_server, "downstream", f"file://{folder.parent}/desk/prices.csv")
    assert "Model" in json.dumps(answer)
