"""Realistic run records made by hand: a five-step backtest, and what can go wrong with it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from lineage_flows.records import (
    BlobRef,
    Column,
    DatasetRef,
    EntryPoint,
    EnvironmentRef,
    FlowRecord,
    FunctionRef,
    InputRef,
    ReplayInfo,
    ReplayOutcome,
    RunRecord,
    Source,
    SourceTree,
    StepComparison,
    StepRecord,
    ValueRef,
    value_uri,
)

NAMESPACE = "prefect"
FLOW_ID = "01935c2e-7a10-7c3e-9d1a-5b6f0a4c1e00"
START = datetime(2026, 1, 30, 21, 30, 0, tzinfo=UTC)


def step_id(number: int, flow_id: str = FLOW_ID) -> str:
    """The id of a flow run's n-th step."""
    return f"{flow_id[:-4]}{int(flow_id[-4:], 16) + number + 1:04x}"


def at(seconds: float) -> str:
    """A time, in seconds after the run's start."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def fingerprint(text: str) -> str:
    """A fingerprint-shaped string that is equal for equal texts."""
    return "lf1:" + hashlib.sha256(text.encode()).hexdigest()


def blob(text: str, format: str = "arrow") -> BlobRef:
    return BlobRef(digest="sha256:" + hashlib.sha256(text.encode()).hexdigest(), size=len(text), format=format)


def function(name: str, line: int = 10, digest: str | None = None) -> FunctionRef:
    digest = digest or hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return FunctionRef(name=name, module="backtest", path="backtest.py", line=line, digest=f"sha256:{digest}")


def taken(
    name: str, value: ValueRef, source: StepRecord | None = None, known_by: Any = ("prefect", "content")
) -> InputRef:
    """An input of a step, from another step's result when that is given."""
    sources = ()
    if source is not None:
        uri = value_uri(NAMESPACE, "task-run", source.run_id, "result")
        sources = (Source(run_id=source.run_id, uri=uri, fingerprint=value.fingerprint, known_by=known_by),)
    return InputRef(name=name, value=value, sources=sources)


def literal(name: str, preview: Any, type: str = "int") -> InputRef:
    return InputRef(name=name, value=ValueRef(fingerprint=fingerprint(repr(preview)), type=type, preview=preview))


def step(number: int, task: str, *, flow_id: str = FLOW_ID, seconds: float = 1.0, **fields: Any) -> StepRecord:
    """A completed step of the backtest flow."""
    return StepRecord(
        **{
            "run_id": step_id(number, flow_id),
            "flow_run_id": flow_id,
            "root_run_id": flow_id,
            "flow_name": "backtest",
            "task_name": task,
            "run_name": f"{task}-{number:03d}",
            "function": function(task, 10 * number + 10),
            "index": 0,
            "state": "Completed",
            "state_type": "COMPLETED",
            "started": at(number),
            "ended": at(number + seconds),
            **fields,
        }
    )


def prices_file(version: str = "1", direction: Any = "read") -> DatasetRef:
    path = "/desk/data/prices.parquet"
    return DatasetRef(
        namespace="file",
        name=path,
        uri=f"file://{path}",
        path=path,
        direction=direction,
        fingerprint=fingerprint(f"prices {version}"),
        size=1_432_118,
        blob=blob(f"prices {version}", "bytes"),
        via=("pandas.read_parquet",),
    )


def backtest_steps(flow_id: str = FLOW_ID, *, window: int = 20, sharpe: float = 0.8431) -> tuple[StepRecord, ...]:
    """Load prices, make features, fit, walk forward, evaluate."""
    frame = ValueRef(
        fingerprint=fingerprint("prices frame"),
        type="pandas.DataFrame",
        kind="TimeSeries",
        size=1_600_000,
        shape=(8313, 20),
        columns=(Column(name="AAPL", type="float64"), Column(name="AMD", type="float64")),
    )
    features = frame.model_copy(update={"fingerprint": fingerprint(f"features {window}"), "shape": (8313, 5)})
    model = ValueRef(
        fingerprint=fingerprint(f"model {window}"), type="sklearn.linear_model._ridge.Ridge", kind="Model", rule="model"
    )
    returns = ValueRef(
        fingerprint=fingerprint(f"returns {window}"), type="pandas.Series", kind="TimeSeries", shape=(8293,)
    )
    metrics = ValueRef(
        fingerprint=fingerprint(f"metrics {sharpe}"),
        type="dict",
        kind="Metrics",
        preview={"sharpe": sharpe, "max_drawdown": -0.3127, "annual_return": 0.1123, "trades": 412},
    )
    load = step(
        0,
        "load_prices",
        flow_id=flow_id,
        kind="preprocessing",
        inputs=(literal("path", "data/prices.parquet", "str"),),
        output=frame,
        datasets=(prices_file(),),
    )
    make = step(
        1,
        "make_features",
        flow_id=flow_id,
        kind="preprocessing",
        inputs=(taken("prices", frame, load), literal("window", window)),
        output=features,
        upstream=(load.run_id,),
    )
    fit = step(
        2,
        "fit_model",
        flow_id=flow_id,
        kind="training",
        seconds=0.84,
        inputs=(taken("features", features, make),),
        output=model,
        upstream=(make.run_id,),
    )
    walk = step(
        3,
        "walk_forward",
        flow_id=flow_id,
        seconds=2.31,
        inputs=(taken("model", model, fit), taken("features", features, make)),
        output=returns,
        upstream=(fit.run_id, make.run_id),
    )
    evaluate = step(
        4,
        "evaluate",
        flow_id=flow_id,
        kind="postprocessing",
        seconds=0.05,
        inputs=(taken("returns", returns, walk),),
        output=metrics,
        datasets=(equity_figure(),),
        upstream=(walk.run_id,),
    )
    return load, make, fit, walk, evaluate


def equity_figure() -> DatasetRef:
    path = "/desk/out/equity.png"
    return DatasetRef(
        namespace="file",
        name=path,
        uri=f"file://{path}",
        path=path,
        direction="write",
        fingerprint=fingerprint("equity png"),
        size=48_211,
        via=("open",),
    )


def backtest_flow(flow_id: str = FLOW_ID, *, window: int = 20, **fields: Any) -> FlowRecord:
    """The flow run of the backtest, completed."""
    return FlowRecord(
        **{
            "run_id": flow_id,
            "root_run_id": flow_id,
            "flow_name": "backtest",
            "run_name": "brave-otter",
            "function": function("backtest", 80),
            "entry": EntryPoint(
                path="/desk/backtest.py", qualname="backtest", module="__main__", working_directory="/desk"
            ),
            "state": "Completed",
            "state_type": "COMPLETED",
            "started": at(0),
            "ended": at(5.2),
            "parameters": (literal("window", window), literal("path", "data/prices.parquet", "str")),
            "code": SourceTree(
                digest="sha256:" + hashlib.sha256(b"tree").hexdigest(),
                format="git-bundle",
                root="/desk",
                blob=blob("tree", "git-bundle"),
                commit="9f2c1ab07d3e5f6a7b8c9d0e1f2a3b4c5d6e7f80",
                branch="main",
                remote="https://git.example.com/desk/backtest.git",
                dirty=True,
                files=12,
            ),
            "environment": EnvironmentRef(
                digest="sha256:" + hashlib.sha256(b"environment").hexdigest(),
                python="3.11.9",
                platform="Linux-6.1-x86_64",
            ),
            "prefect_version": "3.8.8",
            **fields,
        }
    )


def backtest_record(flow_id: str = FLOW_ID, *, window: int = 20, sharpe: float = 0.8431, **flow: Any) -> RunRecord:
    """A run of the backtest: five steps, one file read, a model, metrics, a figure written."""
    steps = backtest_steps(flow_id, window=window, sharpe=sharpe)
    return RunRecord(flow=backtest_flow(flow_id, window=window, **flow), steps=steps)


def replay_record(original: RunRecord, *, different: int | None = None) -> RunRecord:
    """A replay of a record, identical or with one step (by position) and those after it different."""
    flow_id = "01935c3f-0b20-7a11-8c2d-6f7e1b5d2f00"
    steps = backtest_steps(flow_id)
    comparisons = tuple(
        StepComparison(
            task=before.task_name,
            index=before.index,
            flow=before.flow_name,
            verdict="identical" if different is None or position < different else "different",
            causes=_causes(position, different),
            details=("function fit_model changed",) if position == different else (),
            original_run_id=before.run_id,
            replay_run_id=after.run_id,
        )
        for position, (before, after) in enumerate(zip(original.steps, steps, strict=True))
    )
    verdict: Any = "identical" if different is None else "different"
    outcome = ReplayOutcome(
        run_id=original.flow.run_id,
        replay_run_id=flow_id,
        verdict=verdict,
        steps=comparisons,
        result=verdict,
        first_divergence=different,
    )
    info = ReplayInfo(replay_of=original.flow.run_id, requested_by="researcher", outcome=outcome)
    return RunRecord(flow=backtest_flow(flow_id, run_name="replay-brave-otter", replay=info), steps=steps)


def _causes(position: int, different: int | None) -> Any:
    if different is None or position < different:
        return ()
    return ("code",) if position == different else ("inputs",)


def mapped_record(count: int = 200, tasks: int = 1) -> RunRecord:
    """A run that maps over many symbols: one loader a symbol, a fit, and as many other tasks as asked for."""
    loaders = tuple(
        step(
            number,
            f"load_{number % tasks}" if tasks > 1 else "load",
            kind="preprocessing",
            index=number // tasks,
            output=ValueRef(fingerprint=fingerprint(f"symbol {number}"), type="pandas.DataFrame", kind="DataSet"),
            datasets=(
                prices_file(str(number)).model_copy(
                    update={"uri": f"file:///desk/{number}.csv", "path": f"/desk/{number}.csv"}
                ),
            ),
        )
        for number in range(count)
    )
    model = ValueRef(fingerprint=fingerprint("model"), type="lightgbm.LGBMRegressor", kind="Model", rule="model")
    values = [loader.output for loader in loaders]
    inputs = tuple(
        taken(f"frame{number}", value, loader)
        for number, (loader, value) in enumerate(zip(loaders, values, strict=True))
        if value is not None
    )
    fit = step(count, "fit_model", kind="training", inputs=inputs, output=model)
    return RunRecord(flow=backtest_flow(), steps=(*loaders, fit))
