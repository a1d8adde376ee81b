"""Which columns of a step's output are columns of its inputs: what is claimed is true, and what is not certain is not claimed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.capture.adapters.pandas_objects import PandasAdapter
from lineage_flows.capture.columns import InputColumns
from lineage_flows.capture.derivation import Mark, table
from lineage_flows.content import describe
from lineage_flows.graph.columns import trace_column
from lineage_flows.graph.embedded import open_embedded
from tests.support.flows import Ran, run_script

Claims = dict[str, tuple[str, str, str]]
"""Output column -> parameter, column, how it is known."""

ROWS = 40


@pytest.fixture(scope="module", autouse=True)
def watched() -> Iterator[None]:
    adapter = PandasAdapter()
    adapter.install(pd)
    yield
    adapter.uninstall()


def claimed(function: Callable[..., object], *frames: object, alone: bool = True) -> Claims:
    """What is said of a step that is this function, called with frames ``p``, ``q``, ``r``."""
    columns = InputColumns()
    for name, frame in zip("pqr", frames, strict=False):
        looks: Any = {}
        describe(frame, columns=looks)
        columns.add(name, frame, looks)
    output = function(*frames)
    looks = {}
    describe(output, columns=looks)
    try:
        edges = columns.edges(output, looks, alone=alone)
    finally:
        columns.release()
    edges = tuple(edge for edge in edges if edge.known_by != "operation")  # see test_operations
    assert all(edge.how == "identity" and len(edge.inputs) == 1 for edge in edges)
    assert len({edge.output for edge in edges}) == len(edges)
    return {edge.output: (edge.inputs[0].name, edge.inputs[0].column, edge.known_by) for edge in edges}


def named(claims: Claims) -> dict[str, str]:
    return {output: column for output, (_, column, _) in claims.items()}


def prices(seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "row": np.arange(ROWS),
            "close": random.normal(size=ROWS),
            "volume": random.integers(0, 10**6, ROWS),
            "ticker": [f"T{number}" for number in random.permutation(ROWS)],
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(random.permutation(ROWS), "D"),
            "one": 1.0,
            "gaps": np.where(random.random(ROWS) < 0.3, np.nan, random.normal(size=ROWS)),
        }
    )


def copied(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy in memory of its own, made from it."""
    return frame.copy()


ALL = {name: name for name in prices()}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(lambda p: p, ALL, id="the same object"),
        pytest.param(lambda p: p[["close", "one"]], {"close": "close", "one": "one"}, id="selection"),
        pytest.param(lambda p: p.rename(columns={"one": "uno", "row": "r"})[["uno", "r"]], {"uno": "one", "r": "row"}, id="rename"),
        pytest.param(lambda p: p.drop(columns="close").assign(new=p["one"] * 2), ALL.keys() - {"close"}, id="drop, assign"),
        pytest.param(lambda p: {"train": p[["close"]]}, {"/train/close": "close"}, id="in a container"),
        pytest.param(lambda p: p["close"], {"close": "close"}, id="series"),
        pytest.param(lambda p: p.reset_index(), ALL, id="reset_index, whose new column is like `row`"),
        pytest.param(lambda p: p[p["close"] > 0], {}, id="filter"),
        pytest.param(lambda p: p[["close"]] * 2, {}, id="arithmetic"),
        pytest.param(lambda p: p.sort_values("close")[["close"]], {}, id="another order"),
        pytest.param(lambda p: p.groupby("one")[["close"]].mean(), {}, id="aggregation"),
        pytest.param(lambda p: p.iloc[:0], {}, id="nothing left"),
        pytest.param(lambda _: prices(), {}, id="made anew with the same seed"),
        pytest.param(lambda p: p.assign(ones=np.ones(ROWS))[["ones", "close"]], {"close": "close"}, id="a constant made anew"),
        pytest.param(
            lambda p: copied(p).rename(columns={"volume": "rank", "close": "c"})[["rank", "c"]],
            {"c": "close"},
            id="whole numbers that changed their name",
        ),
        pytest.param(copied, ALL.keys() - {"row", "one"}, id="copy"),
    ],
)  # fmt: skip
def test_pandas_columns(step: Callable[[pd.DataFrame], object], expected: Any) -> None:
    wanted = expected if isinstance(expected, dict) else {name: name for name in expected}
    found = named(claimed(step, prices()))
    ticker = {
        "ticker"
    } & found.keys() - wanted.keys()  # texts in Arrow may be taken over as they lie by more operations
    assert {key: value for key, value in found.items() if key not in ticker} == wanted


def test_a_merge_names_both_sides_and_survives_suffixes() -> None:
    left = prices(0)[["row", "close", "one"]]
    right = prices(1)[["row", "close", "volume"]]
    found = claimed(lambda p, q: p.merge(q, on="row", suffixes=("_l", "_r")), left, right)
    assert {output: source[:2] for output, source in found.items()} == {
        "row": ("p", "row"),
        "close_l": ("p", "close"),
        "one": ("p", "one"),
        "close_r": ("q", "close"),
        "volume": ("q", "volume"),
    }


def test_a_join_that_is_told_does_not_hide_what_is_equal_by_content() -> None:
    left, right = prices(0)[["row", "close"]], prices(1)[["row", "volume"]]
    found = claimed(lambda p, q: copied(p.merge(q, on="row")), left, right)
    assert (found["close"], found["volume"]) == (("p", "close", "content"), ("q", "volume", "content"))


def test_equal_columns_of_two_inputs_are_told_apart_by_memory_or_not_at_all() -> None:
    left, right = prices(), prices().rename(columns={"close": "other"})
    assert claimed(lambda p, _q: p[["close"]], left, right)["close"][:2] == ("p", "close")
    assert claimed(lambda _p, q: q[["other"]], left, right)["other"][:2] == ("q", "other")
    assert claimed(lambda p, _q: copied(p)[["close"]], left, right) == {}
    assert claimed(lambda p, _q: p[["close"]], left, left) == {}, "one object for two parameters"


def test_what_was_read_or_came_from_elsewhere_may_hold_equal_columns() -> None:
    hidden = prices()
    assert "close" in claimed(copied, prices())
    assert claimed(lambda p: copied(p)[["close", "gaps"]], prices(), alone=False) == {}

    def merged(p: pd.DataFrame) -> pd.DataFrame:
        both = copied(p)[["row", "one"]].merge(copied(hidden)[["row", "close"]], on="row")
        return both[["close"]].copy()

    assert claimed(merged, prices()) == {}


def test_what_else_went_in_may_hold_equal_columns() -> None:
    close = prices()["close"].to_numpy()
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(ROWS, 2000))).rename(columns=str).assign(close=close)
    hidden = prices()[["row", "close"]]
    table.put(hidden, frozenset({Mark()}))  # given out by a step, and out of sight in here

    def bare(p: pd.DataFrame) -> pd.DataFrame:
        return copied(p)[["row", "gaps"]]

    assert claimed(lambda p, q: bare(p).assign(x=q), prices(), close.copy()) == {}
    assert claimed(lambda p, q: bare(p).assign(x=q["x"]), prices(), {"x": close.tolist()}) == {}
    assert "x" not in claimed(lambda p, q: bare(p).assign(x=q["close"].to_numpy().copy()), prices(), wide)
    merged = claimed(lambda p, q: bare(p).merge(q.frame, on="row").copy(), prices(), SimpleNamespace(frame=hidden))
    assert "close" not in merged
    assert "close" not in claimed(lambda p: bare(p).merge(hidden, on="row").copy(), prices())
    plain = claimed(lambda p, _q: copied(p), prices(), {"window": 20, "name": "x", "grid": [1, 2]})
    assert "close" in plain, "settings hold no column"


def test_a_column_that_is_put_anew_into_the_input_is_not_the_old_one() -> None:
    def replaced(p: pd.DataFrame) -> pd.DataFrame:
        p["one"] = np.ones(ROWS)
        p.insert(0, "zero", np.ones(ROWS))
        return p[["zero", "one", "close"]]

    assert named(claimed(replaced, prices())) == {"close": "close"}


def test_what_is_changed_in_place_is_not_claimed() -> None:
    def spoilt(p: pd.DataFrame) -> pd.DataFrame:
        p.loc[0, "close"] = 0.5
        return p

    assert "close" not in claimed(spoilt, prices())


ODD: dict[str, Callable[[], Any]] = {
    "duplicates": lambda: prices().set_axis(["a", "a", "b", "c", "d", "e", "f"], axis=1),
    "levels": lambda: prices().set_axis(pd.MultiIndex.from_product([["x"], prices().columns]), axis=1),
    "numbers": lambda: prices().set_axis(range(7), axis=1),
    "nameless": lambda: prices().set_axis(["", None, 1.5, (1, 2), "x", True, pd.NaT], axis=1),
    "lists": lambda: pd.DataFrame({"a": [[n] for n in range(ROWS)], "b": [{n} for n in range(ROWS)]}),
    "empty": pd.DataFrame,
    "no rows": lambda: prices().iloc[:0],
    "category": lambda: prices().astype({"ticker": "category", "one": "category"}),
    "arrow": lambda: prices().convert_dtypes(dtype_backend="pyarrow"),
    "masked": lambda: prices().convert_dtypes(),
    "zoned": lambda: prices().assign(day=prices()["day"].dt.tz_localize("Europe/Paris")),
    "wide": lambda: pd.DataFrame(np.random.default_rng(0).normal(size=(3, 10_000))).rename(columns=str),
    "sparse": lambda: prices()[["one"]].astype(pd.SparseDtype(float)),
    "polars objects": lambda: pl.DataFrame({"a": pl.Series([object(), object()], dtype=pl.Object)}),
    "polars nested": lambda: pl.DataFrame({"a": [[1], [2]], "b": [{"x": 1}, {"x": 2}]}),
    "polars empty": pl.DataFrame,
    "series": lambda: prices()["close"],
    "container": lambda: {"train": prices(), "loop": [prices()]},
    "text": lambda: "no frame",
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_frames_are_passed_through_without_a_false_or_failing_claim(kind: str) -> None:
    frame = ODD[kind]()
    for output, (_, column, _) in claimed(lambda p: p, frame).items():
        assert output.rpartition("/")[2] == column
    if kind == "duplicates":
        assert named(claimed(lambda p: p, frame)).keys() == {"b", "c", "d", "e", "f"}
    if kind in {"levels", "numbers", "empty", "no rows", "wide", "polars empty", "text"}:
        assert claimed(lambda p: p, frame) == {}
    if kind in {"arrow", "zoned", "category"}:
        assert "close" in claimed(lambda p: p, frame)


def test_objects_that_refuse_to_be_compared_are_left_alone() -> None:
    class Refuses:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        __hash__ = object.__hash__

    frame = pd.DataFrame({"a": [Refuses() for _ in range(ROWS)], "b": prices()["close"]})
    assert set(claimed(copied, frame)) == {"b"}


SAME = {name: name for name in ("row", "close", "ticker", "one")}


def test_a_column_that_does_not_tell_where_it_lies_has_its_fingerprint_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = describe(prices()).fingerprint

    def refuses(_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("lineage_flows.content.frames.column_memory", refuses)
    looks: Any = {}
    assert describe(prices(), columns=looks).fingerprint == expected
    assert {look.memory for (listed) in looks.values() for look in listed} == {None}


def polars_prices() -> pl.DataFrame:
    return pl.DataFrame({name: prices()[name].to_list() for name in SAME})


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(lambda p: p.select("close", "one"), {"close": "close", "one": "one"}, id="select"),
        pytest.param(lambda p: p.rename({"close": "c"}).drop("one"), {"row": "row", "c": "close", "ticker": "ticker"}, id="rename"),
        pytest.param(lambda p: p.with_columns(x=pl.col("close") * 2, ones=pl.lit(1.0)), SAME, id="with_columns"),
        pytest.param(lambda p: p.lazy().select(pl.col("one").alias("uno")).collect(), {"uno": "one"}, id="a lazy plan"),
        pytest.param(lambda p: p.filter(pl.col("close") > 0), {}, id="filter"),
        pytest.param(lambda p: p.group_by("one").agg(pl.col("close").mean()), {}, id="aggregation"),
        pytest.param(lambda p: pl.DataFrame({"close": p["close"].to_list()}), {}, id="made anew"),
        pytest.param(lambda p: p.select(row=pl.int_range(ROWS)), {}, id="equal, made anew"),
        pytest.param(lambda p: p["close"], {"close": "close"}, id="series"),
    ],
)  # fmt: skip
def test_polars_columns_are_those_that_lie_in_the_same_memory(
    step: Callable[..., object], expected: dict[str, str]
) -> None:
    found = claimed(step, polars_prices(), alone=False)
    assert named(found) == expected
    assert {basis for *_, basis in found.values()} <= {"memory"}


def test_nothing_is_kept_alive_and_no_mark_is_left() -> None:
    frame = prices()
    before = table.of(frame)
    claimed(copied, frame)
    assert table.of(frame) == before
    gone = weakref.ref(frame)
    columns = InputColumns()
    looks: Any = {}
    describe(frame, columns=looks)
    columns.add("p", frame, looks)
    del frame, looks
    gc.collect()
    assert gone() is None
    columns.release()


# ------------------------------------------------------------------------------ what is claimed is true, whatever the step does

Truth = dict[str, set[tuple[str, str]]]
"""Output column -> the input columns it is a copy of; empty when it was computed."""

FLOATS = ["a", "b", "c"]


def inputs(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two frames with one key, columns of one name, one that is equal in both, and a constant."""
    random = np.random.default_rng(seed)
    shared = random.normal(size=ROWS)
    made = []
    for _ in range(2):
        frame = pd.DataFrame({name: random.normal(size=ROWS) for name in FLOATS})
        made.append(
            frame.assign(key=random.permutation(ROWS) if not made else made[0]["key"].to_numpy(), flag=1, same=shared)
        )
    return made[0], made[1]


def keep(frame: pd.DataFrame, truth: Truth) -> tuple[pd.DataFrame, Truth]:
    return frame, {name: truth.get(name, set()) for name in frame}


def double(frame: pd.DataFrame, truth: Truth) -> tuple[pd.DataFrame, Truth]:
    column = frame.columns[0]
    return frame.assign(**{column: frame[column] * 2}), truth | {column: set()}


def anew(frame: pd.DataFrame, truth: Truth) -> tuple[pd.DataFrame, Truth]:
    """A constant and a row number, which are equal to columns that went in and are not them."""
    return frame.assign(flag=np.ones(len(frame), dtype=int), number=np.arange(len(frame))), truth | {
        "flag": set(),
        "number": set(),
    }


def swap(frame: pd.DataFrame, truth: Truth) -> tuple[pd.DataFrame, Truth]:
    """Two columns under each other's names."""
    names = list(frame.columns)
    if len(names) < 2:
        return frame, truth
    x, y = names[0], names[-1]
    return frame.rename(columns={x: y, y: x}), truth | {x: truth[y], y: truth[x]}


def in_place(frame: pd.DataFrame, truth: Truth) -> tuple[pd.DataFrame, Truth]:
    frame = frame.copy()
    frame.iloc[0, 0] = 7
    return frame, truth | {frame.columns[0]: set()}


OPERATIONS: dict[str, Callable[[pd.DataFrame, Truth], tuple[pd.DataFrame, Truth]]] = {
    "copy": lambda f, t: keep(f.copy(), t),
    "take": lambda f, t: keep(copied(f), t),
    "select": lambda f, t: keep(f[list(f.columns)[: max(1, len(f.columns) - 1)]], t),
    "rename": lambda f, t: (
        f.rename(columns=lambda name: name + "_"),
        {name + "_": known for name, known in t.items()},
    ),
    "sort": lambda f, t: keep(f.sort_values(f.columns[0]), t),
    "filter": lambda f, t: keep(f[f[f.columns[0]] > 0], t),
    "double": double,
    "anew": anew,
    "swap": swap,
    "in place": in_place,
}


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 5),
    before=st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=4),
    joined=st.sampled_from(["no", "merge", "concat"]),
    after=st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=4),
)
def test_every_claim_is_true(seed: int, before: list[str], joined: str, after: list[str]) -> None:
    left, right = inputs(seed)
    truth: Truth = {}

    def step(p: pd.DataFrame, q: pd.DataFrame) -> pd.DataFrame:
        nonlocal truth
        frame, known = p, {name: {("p", name)} for name in p}
        for name in before:
            frame, known = OPERATIONS[name](frame, known)
        other = {name: {("q", name)} for name in q}
        if joined == "merge" and "key" in frame:
            frame = frame.merge(q, on="key", suffixes=("_l", "_r"))
            names = set(known) & set(other)
            left_known = {name + "_l" if name in names - {"key"} else name: made for name, made in known.items()}
            right_known = {
                name + "_r" if name in names else name: made for name, made in other.items() if name != "key"
            }
            known = right_known | left_known
            known["key"] = known["key"] | {("q", "key")}
        elif joined == "concat":
            frame = pd.concat([frame.reset_index(drop=True), q.rename(columns=lambda name: "q" + name)], axis=1)
            known = known | {"q" + name: made for name, made in other.items()}
        for name in after:
            frame, known = OPERATIONS[name](frame, known)
        truth = known
        return frame

    for output, (parameter, column, _) in claimed(step, left, right).items():
        assert (parameter, column) in truth[output], (output, before, joined, after)


# -------------------------------------------------------------------------------------------------------------- a real flow

SCRIPT = """
import numpy as np
import pandas as pd
import polars as pl
from prefect import flow, task

@task
def prices(seed):
    random = np.random.default_rng(seed)
    return pd.DataFrame({"day": np.arange(50), "close": random.normal(size=50), "volume": random.normal(size=50)})

@task
def features(frame):
    return frame.rename(columns={"close": "price"}).assign(signal=frame["close"] * 2).drop(columns="volume")

@task
def joined(left, others):
    return left.merge(others["b"], on="day", suffixes=("", "_b"))

@task
def filtered(frame):
    return frame[frame["price"] > 0]

@task
def lazily(frame):
    return frame.select(pl.col("x").alias("y"))

@task
def fails(frame):
    raise ValueError("no")

@flow(name="columns")
def columns():
    one, two = prices(1), prices(2)
    made = features(one)
    both = joined(made, {"b": two})
    filtered(made)
    joined(made[["day", "price"]], {"b": two})
    lazily(pl.DataFrame({"x": np.random.default_rng(3).normal(size=50)}))
    try:
        fails(one)
    except ValueError:
        pass
    return both

if __name__ == "__main__":
    columns()
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Ran:
    folder: Path = tmp_path_factory.mktemp("columns")
    result = run_script(
        SCRIPT, folder / "project", folder / "home", PREFECT_API_URL=prefect_server, LINEAGE_FLOWS_STRICT="true"
    )
    assert result.code == 0, result.err
    assert not [line for step in result.steps() for line in step.capture_errors]
    return result


def said(step: Any) -> dict[str, tuple[str, str]]:
    edges = [edge for edge in step.output.column_lineage if edge.how == "identity"]
    return {edge.output: (edge.inputs[0].name, edge.inputs[0].column) for edge in edges}


@pytest.mark.server
def test_a_real_step_says_its_columns_on_its_output(ran: Ran) -> None:
    assert said(ran.step("features")) == {"day": ("frame", "day"), "price": ("frame", "close")}
    first, second = ran.steps("joined")
    expected = {"day": ("left", "day"), "price": ("left", "price"), "close": ("others/b", "close")}
    assert said(first) == expected | {"signal": ("left", "signal"), "volume": ("others/b", "volume")}
    assert said(second) == expected | {"volume": ("others/b", "volume")}
    assert said(ran.step("filtered")) == {}
    assert said(ran.step("lazily")) == {"y": ("frame", "x")}
    assert ran.step("fails").output is None


@pytest.mark.server
def test_the_graph_follows_a_column_through_steps_to_one_of_two_runs_of_a_task(ran: Ran) -> None:
    one, two = ran.steps("prices")
    first, second = ran.steps("joined")
    with closing(open_embedded(ran.home / "graph.db", read_only=True)) as keeper:

        def origins(step: Any, column: str) -> list[tuple[str, str]]:
            (made,) = keeper.list_artifacts(source_uri=f"prefect://prefect/task-run/{step.run_id}/result")
            same, found = {(made.arn, column)}, []
            for link in trace_column(keeper, made.arn, column).links:  # nearest first
                if link.how == "identity" and (link.arn, link.column) in same:
                    same.add((link.source_arn or "", link.source_column))
                    found.append((link.source_uri.split("task-run/")[1], link.source_column))
            return found

        (made,) = keeper.list_artifacts(source_uri=f"prefect://prefect/task-run/{first.run_id}/result")
        joined_by = [link for link in trace_column(keeper, made.arn, "price").links if link.how == "join"]
        assert [(link.column, link.source_column) for link in joined_by] == [("", "day"), ("", "day")]
        features = ran.step("features").run_id
        assert origins(first, "price") == [(f"{features}/result", "price"), (f"{one.run_id}/result", "close")]
        assert origins(first, "close") == [(f"{two.run_id}/result", "close")]
        assert origins(first, "signal") == [(f"{features}/result", "signal")]
        # What the flow selected between its tasks is a value of its own: the trace ends there.
        assert origins(second, "price") == [(f"{second.run_id}/input/left", "price")]
