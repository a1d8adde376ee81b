"""Joins, groupings and aggregations of pandas by columns that went into a step: what is said is exact, and of the rest nothing."""

from __future__ import annotations

import gc
import inspect
import pickle
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.api.typing import DataFrameGroupBy, SeriesGroupBy
from pandas.core.groupby.groupby import GroupBy
from pandas.core.reshape.merge import _MergeOperation

from lineage_flows.capture import columns as columns_module
from lineage_flows.capture import seams
from lineage_flows.capture.adapters import pandas_operations
from lineage_flows.capture.adapters.pandas_objects import PandasAdapter
from lineage_flows.capture.adapters.pandas_operations import OPERATIONS
from lineage_flows.capture.columns import InputColumns
from lineage_flows.capture.derivation import table
from lineage_flows.capture.operations import Aggregated, Operation, aggregated
from lineage_flows.content import describe
from lineage_flows.content.walk import ColumnLook
from lineage_flows.delivery import Spool
from lineage_flows.delivery.client_events import run_event
from lineage_flows.record_base import ColumnSource
from tests.support.flows import Ran, run_script
from tests.support.openlineage import check

Frame = Any
ROWS = 40


@pytest.fixture
def watched() -> Iterator[PandasAdapter]:
    adapter = PandasAdapter()
    adapter.install(pd)
    yield adapter
    adapter.uninstall()
    assert OPERATIONS not in [lack.adapter for lack in seams.missing()], "an operation was not understood"


def taken(**values: object) -> InputColumns:
    """The columns of these values, as they go into a step."""
    columns = InputColumns()
    for name, value in values.items():
        looks: Any = {}
        describe(value, columns=looks)
        columns.add(name, value, looks)
    return columns


def edges(columns: InputColumns, output: object) -> set[str]:
    looks: Any = {}
    describe(output, columns=looks)
    found = [edge for edge in columns.edges(output, looks, alone=True) if edge.known_by == "operation"]
    texts = [f"{e.output}={e.how}({', '.join(f'{one.name}.{one.column}' for one in e.inputs)})" for e in found]
    assert len(set(texts)) == len(texts)
    return set(texts)


def said(function: Callable[..., object], *frames: object) -> set[str]:
    """What is said of a step that is this function, called with frames ``p``, ``q``, ``r``."""
    columns = taken(**dict(zip("pqr", frames, strict=False)))
    try:
        return edges(columns, function(*frames))
    finally:
        columns.release()


def prices() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "k": random.integers(0, 5, ROWS),
            "t": random.choice(["a", "b"], ROWS),
            "x": random.normal(size=ROWS),
            "y": random.normal(size=ROWS),
        }
    )


def desks() -> pd.DataFrame:
    return pd.DataFrame({"k": range(5), "id": range(5), "w": np.random.default_rng(1).normal(size=5)})


K, KT = "=group_by(p.k)", "=group_by(p.k, p.t)"
X, Y = "x=aggregation(p.x)", "y=aggregation(p.y)"
SWAPPED = {K, "x=aggregation(p.y)", "y=aggregation(p.x)"}
NAMED = {K, "a=aggregation(p.x)", "b=aggregation(p.x)", "c=aggregation(p.y)", "n=aggregation(p.k)"}
TOTAL = "total=aggregation(p.x)"
JOINED = "=join(p.k, q.k)"

TOLD: dict[str, tuple[Callable[..., Frame], set[str]]] = {
    "merge": (lambda p, q: p.merge(q, on="k"), {JOINED}),
    "pd.merge": (lambda p, q: pd.merge(p, q, on=["k"], how="left"), {JOINED}),
    "merge by names of both": (lambda p, q: p.merge(q, left_on="k", right_on="id"), {"=join(p.k, q.id)"}),
    "merge by what both have": (lambda p, q: p.merge(q), {JOINED}),
    "outer": (lambda p, q: p.merge(q, on="k", how="outer", indicator=True, validate="m:1"), {JOINED}),
    "merge of what was renamed": (lambda p, q: p.rename(columns={"k": "id"}).merge(q, on="id"), {"=join(p.k, q.id)"}),
    "merge of what was selected": (lambda p, q: p[["k", "x"]].merge(q[["k", "w"]], on="k"), {JOINED}),
    "merge of a copied side": (lambda p, q: p[p["x"] > 0].merge(q, on="k"), {"=join(q.k)"}),
    "merge by two keys": (lambda p, q: p.merge(q, left_on=["k", "x"], right_on=["id", "w"]), {"=join(p.k, p.x, q.id, q.w)"}),
    "merge with itself": (lambda p, _: p.merge(p, on="k"), {"=join(p.k)"}),
    "merge with what nobody knows": (lambda p, _: p.merge(desks(), on="k"), {"=join(p.k)"}),
    "merge with an index": (lambda p, q: p.merge(q.set_index("k"), left_on="k", right_index=True), {"=join(p.k)"}),
    "join by a column": (lambda p, q: p.join(q.set_index("k"), on="k"), {"=join(p.k)"}),
    "a series as one side": (lambda p, q: p.merge(q["k"], on="k"), {JOINED}),
    "filtered, sorted, cut after it": (lambda p, q: p.merge(q, on="k").query("w > -9").sort_values("x").head(7), {JOINED}),
    "overwritten after it": (lambda p, q: p.merge(q, on="k").assign(k=0, w=1.0), {JOINED}),
    "two joins": (lambda p, q: p.merge(q, on="k").merge(p, left_on="t", right_on="t"), {JOINED, "=join(p.t)"}),
    "groupby of a column": (lambda p, _: p.groupby("k")["x"].mean(), {K, X}),
    "attribute": (lambda p, _: p.groupby("k").x.sum(), {K, X}),
    "groupby of columns": (lambda p, _: p.groupby("k")[["x", "y"]].std(), {K, X, Y}),
    "groupby of all": (lambda p, _: p.groupby(["k", "t"]).sum(), {KT, X, Y}),
    "numbers only": (lambda p, _: p.groupby("k").sum(numeric_only=True), {K, X, Y}),
    "keys as columns": (lambda p, _: p.groupby("k", as_index=False)[["x"]].sum(), {K, X}),
    "keys as columns, of a series": (lambda p, _: p.groupby("k", as_index=False)["x"].sum(), {K, X}),
    "agg of a name": (lambda p, _: p.groupby("k")[["x", "y"]].agg("median"), {K, X, Y}),
    "agg of names by column": (lambda p, _: p.groupby("k").agg({"x": "sum", "y": "nunique"}), {K, X, Y}),
    "agg with a function": (lambda p, _: p.groupby("k").agg({"x": "sum", "y": lambda one: one.max()}), {K, X}),
    "agg of a function": (lambda p, _: p.groupby("k")["x"].agg(lambda one: one.max()), {K}),
    "agg of lists": (lambda p, _: p.groupby("k").agg({"x": ["sum", "mean"]}), {K}),
    "named": (lambda p, _: p.groupby("k").agg(a=("x", "sum"), b=("x", "max"), c=("y", "count"), n=("k", "count")), NAMED),
    "NamedAgg": (lambda p, _: p.groupby("k").agg(a=pd.NamedAgg("x", "sum")), {K, "a=aggregation(p.x)"}),
    "named to other columns' names": (lambda p, _: p.groupby("k").agg(x=("y", "sum"), y=("x", "sum")), SWAPPED),
    "list of names": (lambda p, _: p.groupby("k")["x"].agg(["sum", "max"]), {K, "sum=aggregation(p.x)", "max=aggregation(p.x)"}),
    "named of a series": (lambda p, _: p.groupby("k")["x"].agg(total="sum", n="size"), {K, TOTAL}),
    "reset, renamed": (lambda p, _: p.groupby("k")["x"].sum().reset_index().rename(columns={"x": "total"}), {K, TOTAL}),
    "swapped after it": (lambda p, _: p.groupby("k")[["x", "y"]].sum().rename(columns={"x": "y", "y": "x"}), SWAPPED),
    "sorted after it": (lambda p, _: p.groupby("k")["x"].sum().sort_values(), {K}),
    "one of them overwritten": (lambda p, _: p.groupby("k")[["x", "y"]].sum().assign(x=1.0), {K, Y}),
    "renamed before it": (lambda p, _: p.rename(columns={"k": "g", "x": "v"}).groupby("g")["v"].sum(), {K, "v=aggregation(p.x)"}),
    "sizes": (lambda p, _: p.groupby("k").size(), {K}),
    "by a computed column": (lambda p, _: p.assign(m=p["k"] % 2).groupby("m")["x"].sum(), {X}),
    "of a computed column": (lambda p, _: p.assign(z=p["x"] * 2).groupby("k")["z"].sum(), {K}),
    "pivot table": (lambda p, _: p.pivot_table(index="k", values="x", aggfunc="sum"), {K, X}),
    "joined, then grouped": (lambda p, q: p.merge(q, on="k").groupby("t")["w"].sum(), {JOINED, "=group_by(p.t)"}),
    "grouped, then joined": (lambda p, q: p.groupby("k", as_index=False)["x"].sum().merge(q, on="k"), {K, X, "=join(q.k)"}),
    "in a container": (lambda p, _: {"a": p.groupby("k")[["x"]].sum(), "n": 3}, {K, "/a/x=aggregation(p.x)"}),
    "in a container with others": (lambda p, q: [p.merge(q, on="k"), p.groupby("k")["x"].sum()], {"/1/x=aggregation(p.x)"}),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_what_is_told(watched: PandasAdapter, name: str) -> None:
    step, expected = TOLD[name]
    found = said(step, prices(), desks())
    # Texts in Arrow, which some operations take over as they lie, are aggregated to texts: of those nothing is said.
    assert found == expected


def changed_key(p: Frame, q: Frame) -> Frame:
    p.loc[0, "k"] = 9
    return p.merge(q[["w"]].assign(k=range(5)), on="k")


def changed_in_its_array(p: Frame, _: Frame) -> Frame:
    values = p["k"].to_numpy()
    values.flags.writeable = True
    values[0] = 9
    return p.merge(desks(), on="k")


def changed_for_the_time_of_it(p: Frame, _: Frame) -> Frame:
    values = p["k"].to_numpy()
    values.flags.writeable = True
    old, values[0] = values[0], 9
    made = p.groupby("k")[["t"]].max()
    values[0] = old
    return made


def key_replaced_for_the_grouping(p: Frame, _: Frame) -> Frame:
    old = p["k"]
    p["k"] = old.to_numpy()[::-1].copy()
    grouped = p.groupby("k")
    p["k"] = old
    return grouped.size()


def column_replaced_for_the_first_look(p: Frame, _: Frame) -> Frame:
    old = p["x"]
    p["x"] = old.to_numpy()[::-1].copy()
    grouped = p.assign(g=p["k"] % 2).groupby("g")[["x"]]
    p["x"] = old
    return grouped.sum()


def column_replaced_that_was_looked_up(p: Frame, _: Frame) -> Frame:
    old = p["x"]
    p["x"] = old.to_numpy()[::-1].copy()
    grouped = p.groupby("k")
    grouped.sum()  # from now on it keeps the columns that it looked up
    p["x"] = old
    return grouped.sum()[["x"]]


def result_changed(p: Frame, _: Frame) -> Frame:
    made = p.assign(g=p["k"] % 2).groupby("g")[["x"]].sum()
    made.loc[made.index[0], "x"] = 5.0
    return made


def result_labelled_anew(p: Frame, _: Frame) -> Frame:
    made = p.assign(g=p["k"] % 2).groupby("g")[["x"]].sum()
    made.columns = pd.Index([("x", 1)])
    return made


class Desk(pd.DataFrame):
    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return Desk


UNTOLD: dict[str, Callable[..., Frame]] = {
    "a key changed in place": lambda p, q: changed_key(p, q),
    "a key changed in its array": changed_in_its_array,
    "a key changed only while it was used": changed_for_the_time_of_it,
    "a key replaced for the grouping": key_replaced_for_the_grouping,
    "a column replaced for the first look": column_replaced_for_the_first_look,
    "merge by indexes": lambda p, q: p.merge(q, left_index=True, right_index=True),
    "join": lambda p, q: p.join(q[["w"]]),
    "join of several": lambda p, q: p.join([q[["w"]], q[["id"]]]),
    "merge by a computed series": lambda p, q: p.merge(q.iloc[:1], left_on=p["k"] % 2, right_on=np.array([1])),
    "merge by an array of the key": lambda p, q: p.merge(desks(), left_on=p["k"].to_numpy(), right_on="k"),
    "merge by a level": lambda p, q: p.set_index("k").merge(desks(), on="k"),
    "cross": lambda p, q: p.merge(q, how="cross"),
    "merge by nearness": lambda p, q: pd.merge_asof(p.sort_values("k"), q, on="k"),
    "merge in order": lambda p, q: pd.merge_ordered(p, q, on="k"),
    "merge of frames from elsewhere": lambda p, q: prices().merge(desks(), on="k"),
    "merge of copies": lambda p, q: p.copy().merge(q.copy(), on="k"),
    "half of a key": lambda p, q: p.assign(m=1).merge(desks().assign(m=1), on=["k", "m"]),
    "equal columns from elsewhere": lambda p, q: p.assign(k=prices()["k"]).merge(desks(), on="k"),
    "groupby of a function": lambda p, q: p.groupby(lambda row: row % 2)["x"].sum(),
    "groupby of a mapping": lambda p, q: p.groupby({row: row % 2 for row in range(ROWS)})["x"].sum(),
    "groupby of a series": lambda p, q: p.groupby(p["k"] % 2)["x"].sum(),
    "groupby of the key as a series": lambda p, q: p.groupby(p["k"])["x"].sum(),
    "groupby of the key in another order": lambda p, q: p.groupby(p["k"].set_axis(range(ROWS)[::-1]))["x"].sum(),
    "groupby of an array": lambda p, q: p.groupby(p["k"].to_numpy())["x"].sum(),
    "groupby of a level": lambda p, q: p.set_index("k").groupby(level="k")["x"].sum(),
    "groupby of a level by name": lambda p, q: p.set_index("k").groupby("k")["x"].sum(),
    "groupby of a Grouper": lambda p, q: p.groupby(pd.Grouper(key="k"))["x"].sum(),
    "groupby among others of a Grouper": lambda p, q: p.groupby(["t", pd.Grouper(key="k")])["x"].sum(),
    "resample": lambda p, q: p.set_index(pd.date_range("2026", periods=ROWS))["x"].resample("7D").sum(),
    "transform": lambda p, q: p.groupby("k")["x"].transform("sum"),
    "transform by agg": lambda p, q: p.groupby("k")["x"].agg("cumsum"),
    "rank": lambda p, q: p.groupby("k")["x"].rank(),
    "apply": lambda p, q: p.groupby("k").apply(lambda group: group["x"] * 2),
    "head": lambda p, q: p.groupby("k").head(1),
    "groupby of copies": lambda p, q: p.copy().groupby("k")["x"].sum(),
    "all columns of one aggregation changed": lambda p, q: result_changed(p, q),
    "labels that are no texts": result_labelled_anew,
    "reversed": lambda p, q: p.assign(g=p["k"] % 2).groupby("g")[["x"]].sum().iloc[::-1],
    "part of the groups": lambda p, q: p.assign(g=p["k"] % 3).groupby("g")[["x"]].sum().iloc[1:],
    "the input, after a merge of it": lambda p, q: (p.merge(q, on="k"), p)[1],
    "a value beside the merge": lambda p, q: len(p.merge(q, on="k")),
    "an array of it": lambda p, q: p.merge(q, on="k").to_numpy(),
    "frames of the user's class": lambda p, q: Desk(p).merge(Desk(q), on="k"),
    "a key of objects": lambda p, q: p[["x"]].assign(o=[(n % 3,) for n in range(ROWS)]).groupby("o")[["x"]].agg(list),
}  # fmt: skip


@pytest.mark.parametrize("name", UNTOLD)
def test_what_is_not_told(watched: PandasAdapter, name: str) -> None:
    assert said(UNTOLD[name], prices(), desks()) == set()


def test_a_column_that_a_grouped_frame_looked_up_before_is_not_taken_for_the_present_one(
    watched: PandasAdapter,
) -> None:
    assert said(column_replaced_that_was_looked_up, prices(), desks()) == {K}


def test_one_frame_for_two_parameters_or_labels_that_stand_twice(watched: PandasAdapter) -> None:
    one = prices()
    assert said(lambda p, q: p.merge(q, on="k"), one, one) == set()
    assert said(lambda p, q: p.groupby("k")["x"].sum(), one, one[["k", "x"]]) == set()
    twice = prices().set_axis(["k", "t", "x", "x"], axis=1)
    assert said(lambda p: p.groupby("k")["t"].count(), twice) == {K, "t=aggregation(p.t)"}
    assert said(lambda p: p.groupby("k").mean(numeric_only=True), twice) == {K}
    assert said(lambda p: p.set_axis(["k", "t", "x", "y"], axis=1).groupby("k")["y"].mean(), twice) == {
        K,
    }, "the column that went in has no name of its own"
    numbers = prices().set_axis(range(4), axis=1)
    assert said(lambda p: p.groupby(0)[2].sum(), numbers) == set()


def test_two_inputs_with_equal_keys_are_told_apart(watched: PandasAdapter) -> None:
    assert said(lambda p, q: q.groupby("k")["x"].sum(), prices(), prices()) == {"=group_by(q.k)", "x=aggregation(q.x)"}
    assert said(lambda p, q: p.merge(q["b"], on="k"), prices(), {"b": desks()}) == {"=join(p.k, q/b.k)"}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("float", True),
        ("gaps", True),
        ("category", True),
        ("datetime64[ns, UTC]", True),
        ("string", True),
        ("string[pyarrow]", True),
        ("int64[pyarrow]", True),
        ("Int64", False),
        ("object", False),
        ("no rows", False),
    ],
)
def test_keys_of_every_kind(watched: PandasAdapter, kind: str, told: bool) -> None:
    p, q = prices(), desks()
    if kind == "no rows":
        p, q = p.iloc[:0], q.iloc[:0]
    elif kind == "gaps":
        p["k"] = p["k"].where(p["k"] > 1)
    elif kind == "datetime64[ns, UTC]":
        p["k"], q["k"] = (pd.to_datetime(one["k"], unit="D", utc=True) for one in (p, q))
    else:
        p["k"], q["k"] = (one["k"].astype(kind) for one in (p, q))
    assert said(lambda p, q: p.merge(q, on="k"), p, q) == ({JOINED} if told else set())
    grouped = said(lambda p: p.groupby("k", observed=False)["x"].sum(), p)
    assert grouped == ({K, X} if told else set() if kind == "no rows" else {X})
    largest = said(lambda p: p.groupby("t").agg(last=("k", "last")), p)
    texts_or_arrow = kind.startswith("string") or "[pyarrow]" in kind
    assert largest == {"=group_by(p.t)", *(["last=aggregation(p.k)"] if told and not texts_or_arrow else [])} - (
        {"=group_by(p.t)"} if kind == "no rows" else set()
    )


def test_categories_that_were_renamed_are_another_key(watched: PandasAdapter) -> None:
    def step(p: Frame) -> Frame:
        p["t"] = p["t"].cat.rename_categories({"a": "b", "b": "a"})
        return p.groupby("t", observed=True).size()

    assert said(step, prices().astype({"t": "category"})) == set()


def test_texts_are_told_in_a_replay_too_where_folders_are_taken_off_them(watched: PandasAdapter) -> None:
    p = prices()
    p["t"] = ("/workspace/files/" + p["t"]).astype("category")
    columns = InputColumns()
    looks: Any = {}
    describe(p, columns=looks, strip="/workspace/files")
    columns.add("p", p, looks, strip="/workspace/files")
    looks = {}
    made = p.groupby("t", observed=True).agg(path=("t", "first"))
    describe(made, columns=looks, strip="/workspace/files")
    assert [edge.how for edge in columns.edges(made, looks, alone=True)] == ["group_by", "aggregation"]
    columns.release()


def test_what_was_released_or_never_went_in_says_nothing(watched: PandasAdapter) -> None:
    p, q = prices(), desks()
    columns = taken(p=p, q=q)
    first = p.merge(q, on="k")
    columns.release()
    assert edges(columns, first) == set()
    for name, frame in (("p", p), ("q", q)):  # another attempt with the same frames
        looks: Any = {}
        describe(frame, columns=looks)
        columns.add(name, frame, looks)
    assert edges(columns, first) == set(), "it was made in the attempt before"
    assert edges(columns, p.merge(q, on="k")) == {JOINED}
    columns.release()


def test_nested_steps_each_say_their_own(watched: PandasAdapter) -> None:
    p, q = prices(), desks()
    outer = taken(p=p, q=q)
    inner = taken(left=p)
    made = p.merge(q, on="k")
    assert edges(inner, made) == {"=join(left.k)"}
    inner.release()
    assert edges(outer, made) == {JOINED}
    outer.release()


def test_threads_of_a_step_are_seen_and_those_of_two_are_not_mixed(watched: PandasAdapter) -> None:
    assert said(lambda p: p.groupby("k").size(), prices()) == {K}, "tried by now"
    wrong: list[object] = []

    def work(name: str) -> None:
        for _ in range(20):
            frame = prices()
            columns = taken(**{name: frame})
            if (found := edges(columns, frame.groupby("k")["x"].sum())) != {
                f"=group_by({name}.k)",
                f"x=aggregation({name}.x)",
            }:
                wrong.append(found)
            columns.release()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    p, made = prices(), list[Frame]()
    columns = taken(p=p)
    one = threading.Thread(target=lambda: made.append(p.groupby("k").size()))
    one.start()
    one.join()
    assert edges(columns, made[0]) == {K}
    columns.release()


def test_a_function_that_groups_inside_of_an_aggregation_is_not_taken_for_it(watched: PandasAdapter) -> None:
    def inner(p: Frame) -> Frame:
        return p.groupby("t")["x"].agg(lambda one: p.groupby("k")["y"].sum().iloc[0])

    assert said(inner, prices()) == {"=group_by(p.t)"}

    def fails(p: Frame) -> Frame:
        with pytest.raises(ZeroDivisionError):
            p.groupby("t")["x"].agg(lambda one: 1 / 0)
        return p.groupby("k")["x"].sum()

    assert said(fails, prices()) == {K, X}


def test_a_loop_is_looked_at_a_few_times_only(watched: PandasAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(lambda p: p.groupby("k").size(), prices()) == {K}, "tried by now"
    looked = []
    monkeypatch.setattr(columns_module, "_MOST_LOOKS", 50)
    source = InputColumns.source
    monkeypatch.setattr(InputColumns, "source", lambda self, column: (looked.append(1), source(self, column))[1])
    p = prices()
    columns = taken(p=p)
    for _ in range(100):
        made = p.groupby("k")["x"].sum()
    assert len(looked) == 50
    assert edges(columns, made) == set()
    columns.release()


def test_nothing_is_kept_alive(watched: PandasAdapter) -> None:
    p, q = prices(), desks()
    columns = taken(p=p, q=q)
    made = p.merge(q, on="k").groupby("t")["w"].sum()
    gone = [weakref.ref(one) for one in (p, q, made)]
    del p, q, made
    gc.collect()
    assert [one() for one in gone] == [None] * 3
    columns.release()


def test_memory_that_was_given_back_says_nothing() -> None:
    look = ColumnLook(b"token", ("numpy", 1))
    source = ColumnSource(namespace="inmemory://", name="p", column="x")
    values = np.ones(3)
    operation = Operation("group_by", (), [Aggregated(look, weakref.ref(values), source)])
    assert aggregated([operation], look) == source
    assert aggregated([operation], ColumnLook(b"other", look.memory)) is None
    del values
    assert aggregated([operation], look) is None


def test_address_of_an_aggregation_that_is_used_again_says_nothing(watched: PandasAdapter) -> None:
    p = prices()
    columns = taken(p=p)
    for _ in range(5):
        made = p.groupby("k")[["x"]].sum()
        values = made["x"].tolist()
        made = made.drop(columns="x")  # which still says that it was grouped
        gc.collect()
        made["x"] = np.array(values)
        assert edges(columns, made) == {K}
    columns.release()


# ------------------------------------------------------------------------------ what is claimed is true, whatever the step does

Truth = dict[str, str | None]
"""A column -> the one of the input that it is, or is an aggregation of."""


def swapped(frame: Frame, truth: Truth) -> tuple[Frame, Truth]:
    return frame.rename(columns={"x": "y", "y": "x"}), truth | {"x": truth["y"], "y": truth["x"]}


def relabelled(frame: Frame, truth: Truth) -> tuple[Frame, Truth]:
    places = {"x": "z", "z": "x"}
    frame = frame.copy(deep=False)
    frame.columns = pd.Index([places.get(label, label) for label in frame.columns])
    return frame, truth | {"x": truth["z"], "z": truth["x"]}


def written(frame: Frame, truth: Truth) -> tuple[Frame, Truth]:
    frame.loc[frame.index[0], "x"] = 77.0
    return frame, truth | {"x": None}


def put(frame: Frame, truth: Truth) -> tuple[Frame, Truth]:
    return frame.assign(y=frame["x"], x=frame["x"].to_numpy()[::-1].copy()), truth | {"y": truth["x"], "x": None}


def chosen(frame: Frame, truth: Truth) -> tuple[Frame, Truth]:
    return frame[["z", "y", "x", *frame.columns.difference(["x", "y", "z"])]], truth


def halved(frame: Frame, truth: Truth) -> tuple[Frame, Truth]:
    return frame.iloc[: len(frame) // 2 + 1], dict.fromkeys(truth)


STEPS = st.lists(st.sampled_from([swapped, relabelled, written, put, chosen, halved]), max_size=3)


@settings(deadline=None)
@given(STEPS, STEPS, st.sampled_from(["method", "dict", "named"]), st.booleans())
def test_every_aggregation_that_is_claimed_is_true(before: Any, after: Any, way: str, as_index: bool) -> None:
    random = np.random.default_rng(0)
    p = pd.DataFrame({"k": np.repeat(range(10), 2), **{name: random.normal(size=20) for name in "xyz"}})
    q = p[["k", "x"]].copy()
    adapter = PandasAdapter()
    adapter.install(pd)
    columns = taken(p=p, q=q)
    try:
        frame, truth = p, {name: name for name in "xyz"}
        for step in before:
            frame, truth = step(frame, truth)
        grouped = frame.groupby("k", as_index=as_index)
        if way == "method":
            frame = grouped.sum()
        elif way == "dict":
            frame = grouped.agg({"z": "max", "x": "sum", "y": "min"})
        else:
            frame, truth = (
                grouped.agg(y=("x", "sum"), x=("y", "sum"), z=("z", "sum")),
                truth | {"x": truth["y"], "y": truth["x"]},
            )
        for step in after:
            frame, truth = step(frame, truth)
        claims = {one for one in edges(columns, frame) if "aggregation" in one}
        assert claims <= {f"{name}=aggregation(p.{of})" for name, of in truth.items() if of}
        if not before and not after:
            assert len(claims) == 3
    finally:
        columns.release()
        adapter.uninstall()


# -------------------------------------------------------------------------------------------- pandas is what it would have been

FRAMES = st.builds(
    lambda rows, seed: pd.DataFrame(
        {
            "k": pd.Series([row[0] for row in rows], dtype=[np.int64, "Int64", "category"][seed % 3]),
            "t": pd.Series([row[1] for row in rows], dtype=[object, "str"][seed % 2]),
            "x": pd.Series([row[2] for row in rows], dtype=float),
        },
        index=pd.RangeIndex(len(rows)) if seed % 2 else pd.Index([seed] * len(rows), name="i"),
    ),
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None]), st.sampled_from([0.5, -1.0, None, 3.25])),
        max_size=8,
    ),
    st.integers(0, 5),
)
KEYS = st.sampled_from(["k", "t", ["k"], ["k", "t"], "nothing"])
HOW = st.sampled_from(["inner", "left", "right", "outer", "cross", "nonsense"])
AGGREGATIONS: list[Callable[[Any], Any]] = [
    lambda g: g.sum(numeric_only=True),
    lambda g: g["x"].mean(),
    lambda g: g.size(),
    lambda g: g.first(),
    lambda g: g.nunique(),
    lambda g: g["x"].quantile([0.2, 0.5]),
    lambda g: g.agg({"x": ["sum", "max"]}),
    lambda g: g.agg(total=("x", "sum"), n=("t", "count")),
    lambda g: g["x"].agg(["min", "max"]),
    lambda g: g["x"].agg(lambda one: one.max()),
    lambda g: g.agg("idxmax"),
    lambda g: g.agg({"x": np.mean}),
    lambda g: g.agg({"x": {"y": "sum"}}),
    lambda g: g.agg(x=5),
    lambda g: g["x"].agg("nothing"),
    lambda g: g["x"].transform("sum"),
    lambda g: (g["x"].sum(), g.sum(numeric_only=True), g.size())[1],
]


def outcome(function: Callable[[], Any]) -> tuple[Any, Any]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result: Any = function()
        except Exception as error:
            result = (type(error), str(error))
    return result, [(one.category, str(one.message), one.filename, one.lineno) for one in caught]


def assert_same(plain: Any, seen: Any) -> None:
    assert plain[1] == seen[1]
    assert type(plain[0]) is type(seen[0])
    if isinstance(plain[0], pd.DataFrame):
        pd.testing.assert_frame_equal(plain[0], seen[0])
    elif isinstance(plain[0], pd.Series):
        pd.testing.assert_series_equal(plain[0], seen[0])
    else:
        assert plain[0] == seen[0]


def with_and_without(function: Callable[..., Any], *frames: pd.DataFrame) -> None:
    plain = outcome(lambda: function(*[frame.copy() for frame in frames]))
    adapter = PandasAdapter()
    adapter.install(pd)
    columns = InputColumns()
    try:
        given_in = [frame.copy() for frame in frames]
        columns = taken(**dict(zip("pq", given_in, strict=False)))
        seen = outcome(lambda: function(*given_in))
        edges(columns, seen[0])
        assert OPERATIONS not in [lack.adapter for lack in seams.missing()]
    finally:
        columns.release()
        adapter.uninstall()
    assert_same(plain, seen)


@settings(deadline=None)
@given(FRAMES, FRAMES, KEYS, HOW, st.booleans())
def test_merges_are_what_they_would_have_been(p: pd.DataFrame, q: pd.DataFrame, on: Any, how: Any, sort: bool) -> None:
    with_and_without(lambda p, q: p.merge(q, on=on, how=how, sort=sort), p, q)


@settings(deadline=None)
@given(FRAMES, KEYS, st.sampled_from(AGGREGATIONS), st.booleans(), st.booleans())
def test_groupings_are_what_they_would_have_been(
    p: pd.DataFrame, by: Any, aggregation: Callable[[Any], Any], as_index: bool, dropna: bool
) -> None:
    with_and_without(lambda p: aggregation(p.groupby(by, as_index=as_index, dropna=dropna, observed=False)), p)


def test_looking_at_a_grouped_frame_does_not_fix_what_it_looks_up() -> None:
    def step(p: Frame) -> Frame:
        grouped = p.groupby("k")
        grouped.size()
        p["x"] = 1.0
        return grouped.sum(numeric_only=True)

    with_and_without(step, prices())


def test_warnings_point_at_the_user_s_line(watched: PandasAdapter) -> None:
    p = prices()
    columns = taken(p=p)
    with pytest.warns(pd.errors.Pandas4Warning) as caught:
        p.join(desks()[["k"]], rsuffix="_r")
    with pytest.warns(FutureWarning) as more:
        p.groupby("k")["x"].agg(warning)
    assert {Path(one.filename) for one in (*caught, *more)} == {Path(__file__)}
    columns.release()


def warning(column: Frame) -> float:
    warnings.warn("mine", FutureWarning, stacklevel=1)
    return float(column.max())


PLACES = [
    (_MergeOperation, "get_result"),
    (DataFrameGroupBy, "agg"),
    (SeriesGroupBy, "aggregate"),
    (SeriesGroupBy, "nunique"),
    (GroupBy, "sum"),
    (GroupBy, "size"),
]


def test_methods_look_as_they_did_and_are_given_back() -> None:
    before = [vars(owner)[name] for owner, name in PLACES]
    adapter = PandasAdapter()
    adapter.install(pd)
    for (owner, name), original in zip(PLACES, before, strict=True):
        ours = vars(owner)[name]
        assert ours is not original
        assert inspect.signature(ours) == inspect.signature(original)
        assert inspect.getsource(ours) == inspect.getsource(original)
        assert (ours.__doc__, ours.__name__, ours.__qualname__) == (
            original.__doc__,
            name,
            original.__qualname__,
        ) or name == "agg"
        if name != "get_result":
            assert pickle.loads(pickle.dumps(ours)) is ours
    assert DataFrameGroupBy.agg is DataFrameGroupBy.aggregate
    adapter.uninstall()
    assert [vars(owner)[name] for owner, name in PLACES] == before


@pytest.mark.parametrize(("owner", "name"), [(_MergeOperation, "get_result"), (GroupBy, "mean")])
def test_a_pandas_without_the_method_is_left_alone_and_named(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    before = {place: vars(place[0])[place[1]] for place in PLACES}
    monkeypatch.delattr(owner, name)
    adapter = PandasAdapter()
    adapter.install(pd)
    try:
        (lack,) = (one for one in seams.missing() if one.adapter == OPERATIONS)
        assert name in lack.why
        p = prices()
        columns = taken(p=p)
        assert table.of(p.copy()), "what was made from which is told all the same"
        assert edges(columns, p.groupby("k")["x"].sum()) == set()
        columns.release()
        assert vars(GroupBy)["sum"] is before[GroupBy, "sum"]
    finally:
        adapter.uninstall()
    assert OPERATIONS not in [one.adapter for one in seams.missing()]


def test_a_pandas_that_groups_otherwise_is_found_out_when_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    mean = vars(GroupBy)["mean"]
    monkeypatch.setattr(GroupBy, "mean", lambda self, *args, **named: mean(self, *args, **named).rename("other"))
    adapter = PandasAdapter()
    adapter.install(pd)
    try:
        assert said(lambda p, q: p.merge(q, on="k"), prices(), desks()) == set()
        (lack,) = (one for one in seams.missing() if one.adapter == OPERATIONS)
        assert "the result of groupby of a column does not tell" in lack.why
    finally:
        adapter.uninstall()


def test_it_is_tried_when_the_first_operation_is_seen_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(pandas_operations, "_try", tried.append)
    adapter = PandasAdapter()
    adapter.install(pd)
    try:
        prices().merge(desks(), on="k")
        assert not tried
        assert said(lambda p: p.groupby("k")["x"].sum(), prices()) == {K, X}
        assert len(tried) == 1
    finally:
        adapter.uninstall()


def test_an_error_in_it_turns_it_off_and_not_the_user_s_code(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = PandasAdapter()
    adapter.install(pd)
    monkeypatch.setattr(InputColumns, "source", lambda *_: 1 / 0)
    monkeypatch.setattr(pandas_operations, "_try", lambda _: None)
    try:
        p = prices()
        columns = taken(p=p)
        made = p.groupby("k")["x"].sum()
        assert made.equals(prices().groupby("k")["x"].sum())
        assert edges(columns, made) == set()
        assert "ZeroDivisionError" in next(one.why for one in seams.missing() if one.adapter == OPERATIONS)
        columns.release()
    finally:
        adapter.uninstall()


# -------------------------------------------------------------------------------------------------------------- a real flow

SCRIPT = """
import threading
import numpy as np
import pandas as pd
from prefect import flow, task
from prefect.cache_policies import INPUTS

@task
def prices():
    random = np.random.default_rng(0)
    return pd.DataFrame({"desk": random.integers(0, 5, 50), "day": np.arange(50), "close": random.normal(size=50)})

@task
def desks():
    return pd.DataFrame({"desk": range(5), "limit": [1.5, 2.5, 4.5, 8.5, 7.25]})

@task
def joined(left, others):
    return left.merge(others["b"], on="desk")

@task(retries=1)
def totals(frame, box):
    frame.groupby("day")["close"].sum()
    box.append(1)
    if len(box) < 2:
        raise ValueError("once")
    return frame.groupby("desk").agg(total=("close", "sum"), days=("day", "count")).reset_index()

@task
def changed(frame):
    frame.loc[0, "desk"] = 3
    return frame.groupby("desk")["close"].mean()

@task
def inner(frame):
    return frame.groupby("desk")["close"].mean()

@task
def outer(frame):
    inner(frame)
    found = []
    one = threading.Thread(target=lambda: found.append(frame.groupby("desk")["close"].max()))
    one.start()
    one.join()
    return found[0]

@task
def yields(frame):
    yield frame.groupby("desk")["close"].mean()

@task
def left_out(frame):
    return frame.groupby("desk")["close"].mean()

@flow(name="operations")
def operations():
    one, two = prices(), desks()
    joined(one, {"b": two})
    totals(one, [])
    outer(one)
    list(yields(one))
    left_out(one)
    changed(one)

if __name__ == "__main__":
    operations()
"""

SWITCH = """
[tool.prefect.plugins]
enabled = true

[[tool.lineage_flows.rules]]
match = {task = "left_out"}
outputs = false
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Ran:
    folder: Path = tmp_path_factory.mktemp("operations")
    result = run_script(
        SCRIPT,
        folder / "project",
        folder / "home",
        switch=SWITCH,
        PREFECT_API_URL=prefect_server,
        LINEAGE_FLOWS_STRICT="true",
    )
    assert result.code == 0, result.err
    assert not [line for step in result.steps() for line in step.capture_errors]
    return result


def told(step: Any) -> set[tuple[str, str, tuple[str, ...]]]:
    return {
        (edge.output, edge.how, tuple(f"{one.name}.{one.column}" for one in edge.inputs))
        for edge in step.output.column_lineage
        if edge.known_by == "operation"
    }


@pytest.mark.server
def test_real_steps_say_by_what_they_joined_and_grouped(ran: Ran) -> None:
    grouped = ("", "group_by", ("frame.desk",))
    assert told(ran.step("joined")) == {("", "join", ("left.desk", "others/b.desk"))}
    assert told(ran.step("totals")) == {
        grouped,
        ("total", "aggregation", ("frame.close",)),
        ("days", "aggregation", ("frame.day",)),
    }
    assert told(ran.step("inner")) == told(ran.step("outer")) == {grouped, ("close", "aggregation", ("frame.close",))}
    assert told(ran.step("yields")) == told(ran.step("left_out")) == set()
    assert told(ran.step("changed")) <= {("close", "aggregation", ("frame.close",))}


@pytest.mark.server
def test_its_events_carry_it_as_openlineage_has_it(ran: Ran) -> None:
    spool = Spool(ran.home / "spool.db")
    bodies = [item.event.payload for item in spool.pending("nobody", 1000)]
    spool.close()
    assert check(bodies) == []
    ends = [orjson.loads(body) for body in bodies]
    facets = {
        event["job"]["name"].rpartition(".")[2]: output["facets"]["columnLineage"]
        for event in ends
        for output in event.get("outputs", [])
        if event["eventType"] == "COMPLETE" and "columnLineage" in output.get("facets", {})
    }

    def ways(fields: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
        return {(one["field"], way["type"], way["subtype"]) for one in fields for way in one["transformations"]}

    assert ways(facets["joined"]["dataset"]) == {("desk", "INDIRECT", "JOIN")}
    assert len(facets["joined"]["dataset"]) == 2, "one of each side"
    assert ways(facets["totals"]["dataset"]) == {("desk", "INDIRECT", "GROUP_BY")}
    assert ways(facets["totals"]["fields"]["total"]["inputFields"]) == {("close", "DIRECT", "AGGREGATION")}
    assert "left_out" not in facets
    for body in bodies:
        run_event(body)


def test_a_value_beside_frames_may_be_anything(watched: PandasAdapter) -> None:
    assert said(lambda p, q: q.frame.merge(p, on="k"), prices(), SimpleNamespace(frame=desks())) == {"=join(p.k)"}
