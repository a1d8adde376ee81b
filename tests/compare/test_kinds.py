"""Values of each kind beside each other: what is found, where, and how far it lies apart."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import math
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from lineage_flows.compare import Scope, compare_refs, compare_values
from lineage_flows.compare.saying import said
from lineage_flows.content import describe, dump_value
from lineage_flows.content.pictures import picture_of
from lineage_flows.record_replay import PartDifference, ValueDifference
from lineage_flows.tolerances import tolerances_of_text
from tests.compare.building import Blobs

mpl.use("Agg")

DAYS = pd.date_range("2024-01-01", periods=6, freq="D", name="day")


def prices() -> pd.DataFrame:
    return pd.DataFrame(
        {"close": np.linspace(10.0, 15.0, 6), "volume": np.arange(6), "venue": list("NNLLNT")}, index=DAYS
    )


def found(a: object, b: object, rules: str = "", **scope: Any) -> ValueDifference:
    """What came of a comparison, which is to be the same either way."""
    scope = {"flow": "f", "task": "t", **scope}
    made = Scope(tolerances_of_text(rules, "test"), **scope)
    here, there = compare_values(a, b, made), compare_values(b, a, made)
    assert here.verdict == there.verdict
    if here.found is None:
        return ValueDifference(verdict=here.verdict)
    assert there.found is not None
    for name in ("differing", "absolute", "relative", "ulps"):
        assert getattr(here.found, name) == getattr(there.found, name), name
    return here.found


def part(result: ValueDifference, where: str) -> PartDifference:
    (one,) = [item for item in result.parts if item.where == where]
    return one


def notes(result: ValueDifference) -> dict[str, str]:
    return {item.where: item.note for item in result.parts}


# ------------------------------------------------------------------------------------------------ frames


def test_a_cell_of_a_frame_is_found_with_its_row_and_both_values():
    other = prices()
    other.loc["2024-01-03", "close"] = 12.5
    result = found(prices(), other)
    close = part(result, "/close")
    assert (result.verdict, close.differing, close.compared, close.beyond) == ("different", 1, 6, 1)
    assert (close.absolute, close.relative) == (0.5, pytest.approx(0.04))
    assert [cell.model_dump() for cell in close.cells] == [{"at": "2024-01-03", "old": 12.0, "new": 12.5}]
    assert close.tolerance.rule == "default"
    assert said(result).startswith("output differs: close: 1 of 6 differ, most 12 → 12.5 (up to rel 0.04")


def test_the_last_bits_of_a_frame_are_counted_in_ulps():
    other = prices()
    other["close"] = np.nextafter(other["close"], 100)
    result = found(prices(), other)
    assert (result.verdict, result.ulps, result.differing) == ("equivalent", 1, 6)
    assert said(result).startswith("output equal within tolerance: 6 of ")
    assert "1 ulp" in said(result)
    assert found(prices(), other, "*:abs=0").verdict == "different", "a rule that lets nothing pass"


def test_columns_that_come_go_and_move_are_named():
    result = found(prices(), prices().drop(columns="venue").assign(open=1.0))
    assert (result.verdict, {item.note for item in result.parts}) == (
        "different",
        {"columns removed: venue", "columns added: open"},
    )
    assert notes(found(prices(), prices()[["volume", "close", "venue"]])) == {"": "columns reordered"}
    result = found(prices(), prices().astype({"volume": "float32"}))
    assert (result.verdict, part(result, "/volume").note) == ("equivalent", "int64 became float32")
    assert found(prices(), prices().astype({"volume": str})).verdict == "different"


def test_rows_that_come_go_and_move_are_named_and_the_others_compared():
    other = prices().iloc[1:].copy()
    other.loc["2024-01-04", "volume"] = 99
    result = found(prices(), other)
    assert part(result, "/index").note == "1 rows removed: 2024-01-01"
    volume = part(result, "/volume")
    assert (volume.differing, volume.compared, volume.cells[0].at) == (1, 5, "2024-01-04")
    assert notes(found(prices(), prices().iloc[::-1])) == {"/index": "rows reordered"}
    doubled = pd.concat([prices(), prices()])
    assert part(found(doubled, doubled.iloc[:-1]), "/index").note == "12 rows became 11, and cannot be paired"


def test_an_index_of_floats_is_compared_as_numbers():
    a = pd.DataFrame({"x": [1.0, 2.0]}, index=[0.1, 0.2])
    b = a.set_axis([0.1 + 1e-17, 0.2 + 5e-17])
    assert found(a, b).verdict == "equivalent"
    assert found(a, a.set_axis([0.1, 0.3])).verdict == "different"


def test_levels_of_an_index_are_compared():
    index = pd.MultiIndex.from_product([DAYS[:2], ["A", "B"]], names=["day", "name"])
    a = pd.DataFrame({"x": np.arange(4.0)}, index=index)
    assert found(a, a.iloc[:3]).verdict == "different"
    assert notes(found(a, a.iloc[:3]))["/index"] == "1 rows removed: 2024-01-02, B"
    assert "names" in notes(found(a, a.rename_axis(["day", "title"])))["/index"]


@pytest.mark.parametrize(
    ("a", "b", "note"),
    [
        (DAYS, DAYS.tz_localize("UTC"), "time zone None became UTC"),
        (DAYS.tz_localize("UTC"), DAYS.tz_localize("UTC").tz_convert("Europe/Berlin"), "time zone UTC became Europe/Berlin"),
        (DAYS, DAYS + pd.Timedelta(hours=2), "the largest shift is 7200 seconds"),
        (pd.Categorical(list("abab")), pd.Categorical(list("abab"), categories=list("bac")), "categories a, b became b, a, c"),
        (pd.Categorical(list("ab")), pd.Categorical(list("ab"), ordered=True), "categories are ordered on one side only"),
        (pd.array([1, None], dtype="Int64"), pd.array([1, 2], dtype="Int64"), "missing on one side only"),
        (np.array([1.5]), np.array(["a"]), "float64 became "),
        (pd.Series([1.0], name="a"), pd.Series([1.0], name="b"), "name 'a' became 'b'"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_said(a, b, note):
    wrap = pd.Series if not isinstance(a, pd.Series) else (lambda item: item)
    result = compare_values(wrap(a), wrap(b)).found
    assert result.verdict == "different"
    assert any(item.note.startswith(note) for item in result.parts), result.parts


def test_units_of_time_are_another_form_of_the_same_moments():
    a = pd.Series(DAYS)
    assert compare_values(a, a.astype("datetime64[s]")).verdict in {"identical", "equivalent"}
    shifted = found(pd.Series(DAYS), pd.Series([*DAYS[:5], pd.NaT]))
    assert (shifted.verdict, shifted.differing) == ("different", 1)


def test_missing_and_infinite_numbers_are_told_apart():
    a = pd.DataFrame({"x": [1.0, np.nan, np.inf, 4.0]})
    b = pd.DataFrame({"x": [1.0, 2.0, -np.inf, 4.0]})
    x = part(found(a, b), "/x")
    assert (x.differing, x.unlike, x.absolute) == (2, 2, None)
    assert (x.cells[0].old, x.cells[0].new) == ("nan", 2.0)
    assert "2 of them NaN or infinite on one side only" in said(found(a, b))


def test_columns_of_objects_are_compared_cell_by_cell():
    a = pd.DataFrame({"x": pd.Series([1.0, "a", None, {"k": 1.0}, decimal.Decimal("1.5")], dtype=object)})
    b = pd.DataFrame({"x": pd.Series([1.0 + 1e-13, "b", None, {"k": 2.0}, decimal.Decimal("1.5")], dtype=object)})
    result = found(a, b)
    assert result.verdict == "different"
    assert part(result, "/x/3/k").absolute == 1.0
    assert {item.verdict for item in result.parts if item.where == "/x"} == {"equivalent", "different"}


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
def test_tables_of_other_libraries_are_compared_column_by_column(make):
    columns = {"a": [1.0, None, 3.0], "b": ["x", "y", None], "n": [1, 2, None], "when": [dt.datetime(2024, 1, 1)] * 3}
    a = make(columns)
    assert found(a, make(columns)).verdict == "identical"
    result = found(a, make({**columns, "a": [1.0, None, 3.5], "b": ["x", "z", None]}))
    assert (part(result, "/a").absolute, part(result, "/b").cells[0].old) == (0.5, "y")
    result = found(a, make({**columns, "n": [1, 2, 3]}))
    assert part(result, "/n").note == "missing on one side only"
    result = found(a, make({**columns, "when": [dt.datetime(2024, 1, 2), *columns["when"][1:]]}))
    assert part(result, "/when").note == "the largest shift is 86400 seconds"
    assert notes(found(a, make({"c": [1], **{name: items[:1] for name, items in columns.items()}})))
    assert found(a, make({**columns, "a": [1.0 + 1e-13, None, 3.0]})).verdict == "equivalent"
    assert found(a, make({**columns, "a": ["1", None, "3"]})).verdict == "different"


def test_columns_of_other_libraries_are_compared_alone():
    assert found(pl.Series("a", [1.0, 2.0]), pl.Series("a", [1.0, 2.5])).absolute == 0.5
    assert found(pa.array([1.0, 2.0]), pa.array([1.0, 2.5])).absolute == 0.5
    assert found(pl.Series("a", [[1.0]]), pl.Series("a", [[1.5]])).absolute == 0.5


def test_a_wide_frame_lists_the_worst_and_counts_the_rest():
    a = pd.DataFrame(np.ones((3, 50)), columns=[f"c{i}" for i in range(50)])
    b = a + np.arange(50) * 1e-3
    result = found(a, b)
    assert (len(result.parts), result.left_out, result.parts[0].where) == (20, 29, "/c49")
    assert "and " in said(result)


# ------------------------------------------------------------------------------------------------ arrays


@pytest.mark.parametrize(
    ("a", "b", "where", "at"),
    [
        (np.zeros((2, 3)), np.array([[0, 0, 0], [0, 0.5, 0]]), "", "1, 1"),
        (np.array([1 + 1j]), np.array([1 + 2j]), "", "0"),
        (np.array([True, False]), np.array([True, True]), "", "1"),
        (np.array(["2024"], "M8[D]"), np.array(["2025"], "M8[s]"), "", "0"),
        (np.array([(1, 2.0)], [("i", "i4"), ("f", "f8")]), np.array([(1, 3.0)], [("i", "i4"), ("f", "f8")]), "/f", "0"),
        (np.array([1, "a"], dtype=object), np.array([1, "b"], dtype=object), "", "1"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), np.ma.array([1.5, 2.0], mask=[0, 1]), "", "0"),
        (np.array(b"ab"), np.array(b"ac"), "", ""),
    ],
)
def test_an_element_of_an_array_is_found(a, b, where, at):
    result = found(a, b)
    assert (result.verdict, result.differing) == ("different", 1)
    assert part(result, where).cells[0].at == at


def test_of_other_shapes_the_shapes_are_said():
    assert notes(compare_values(np.zeros((2, 3)), np.zeros(6)).found) == {"": "shape (2, 3) became (6,)"}


# ------------------------------------------------------------------------------------------------ metrics, containers, text

Score = namedtuple("Score", "sharpe turnover")


@dataclass
class Result:
    sharpe: float
    weights: list[float]


@pytest.mark.parametrize(
    ("a", "b", "where"),
    [
        ({"sharpe": 1.2345, "n": 3}, {"sharpe": 1.2346, "n": 3}, "/sharpe"),
        (Score(1.2345, 0.5), Score(1.2346, 0.5), "/sharpe"),
        (Result(1.2345, [1.0]), Result(1.2346, [1.0]), "/sharpe"),
        (pd.Series({"sharpe": 1.2345, "n": 3.0}), pd.Series({"sharpe": 1.2346, "n": 3.0}), "/sharpe"),
        ({"sharpe": decimal.Decimal("1.2345")}, {"sharpe": decimal.Decimal("1.2346")}, "/sharpe"),
        ([{"a": 1}, {"sharpe": np.float64(1.2345)}], [{"a": 1}, {"sharpe": np.float64(1.2346)}], "/1/sharpe"),
    ],
)
def test_metrics_are_compared_by_name_and_said_with_both_values(a, b, where):
    result = compare_values(a, b).found
    assert part(result, where).relative == pytest.approx(8.1e-5, rel=0.01)
    assert said(result).startswith(f"output differs: {where[1:]} 1.2345 → 1.2346 (rel 8.1e-05")


def test_numbers_are_said_in_as_many_digits_as_tell_them_apart():
    result = found(0.8120843338802364, 0.8120843338876020, "*:abs=0")
    assert said(result).startswith("output differs: 0.81208433388 → 0.81208433389 (rel 9.1e-12")


def test_keys_members_and_items_that_come_and_go_are_named():
    assert {item.note for item in compare_values({"a": 1, "b": 2}, {"a": 1, "c": 2}).found.parts} == {
        "keys removed: b",
        "keys added: c",
    }
    assert compare_values({1, 2}, {1, 3}).found.parts[0].note == "members removed: 2; added: 3"
    assert compare_values([1, 2], [1, 2, 3]).found.parts[0].note == "2 items became 3"


def test_texts_are_shown_line_by_line():
    a, b = "one\ntwo\nthree\n", "one\n2\nthree\n"
    assert found(a, b).parts[0].note == "lines differ:\n@@ -2 +2 @@\n-two\n+2"
    long = compare_values("x\n" * 90_000 + "a\n" * 60_000, "x\n" * 90_000 + "b\n" * 60_000).found
    assert long.parts[0].note == "texts differ from character 180000 on (line 90001)"
    assert compare_values(b"abc", b"abd").found.parts[0].note == "bytes differ from 2 on (3 became 3)"


def test_what_lies_under_a_secret_name_is_not_shown():
    result = compare_values({"password": "hunter2", "x": 1.0}, {"password": "hunter3", "x": 1.0})
    text = result.found.model_dump_json() if result.found else ""
    assert "hunter" not in text
    frame = pd.DataFrame({"api_key": ["k-one-secret"], "x": [1.0]})
    other = pd.DataFrame({"api_key": ["k-two-secret"], "x": [2.0]})
    found_so = compare_values(frame, other).found
    assert "secret" not in found_so.model_dump_json()
    assert part(found_so, "/x").absolute == 1.0


def test_texts_of_data_are_not_in_the_sentence_that_goes_everywhere():
    a = pd.DataFrame({"name": ["Ada Lovelace", "Grace Hopper"]})
    b = pd.DataFrame({"name": ["Ada Lovelace", "Alan Turing"]})
    result = found(a, b)
    assert "Hopper" in result.model_dump_json()
    assert "Hopper" not in said(result)
    assert "name: 1 of 2 differ" in said(result)


# ------------------------------------------------------------------------------------------------ tolerance


def test_rules_hold_for_the_part_they_name():
    a = {"metrics": {"sharpe": 1.0, "turnover": 1.0}, "frame": prices()}
    b = {"metrics": {"sharpe": 1.001, "turnover": 1.001}, "frame": prices().assign(close=prices()["close"] * 1.001)}
    result = found(a, b, "name=sharpe:rel=0.01; dataframe:rel=0.1".replace("dataframe", "type=DataFrame"))
    verdicts = {item.where: item.verdict for item in result.parts}
    assert verdicts == {
        "/metrics/sharpe": "equivalent",
        "/metrics/turnover": "different",
        "/frame/close": "equivalent",
    }
    assert part(result, "/metrics/sharpe").tolerance.rule == "name=sharpe:rel=0.01 (test)"
    assert found(a, b, "name=metrics:rel=0.01; name=frame/close:rel=0.01").verdict == "equivalent"
    assert found(a, b, "metrics:rel=0.01; timeseries:rel=0.01").verdict == "equivalent"
    assert found(a, b, "task=other:rel=0.1").verdict == "different"
    assert found(a, b, "task=t:rel=0.1").verdict == "equivalent"


def test_single_precision_has_a_tolerance_of_its_own():
    a = np.linspace(1, 2, 100, dtype="f4")
    b = np.nextafter(a, np.float32(3))
    assert found(a, b).verdict == "equivalent"
    assert found(a, (a * np.float32(1.0001)).astype("f4")).verdict == "different"


# ------------------------------------------------------------------------------------------------ models

X = np.random.default_rng(0).normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5]


def test_an_estimator_is_compared_by_its_parameters_and_what_it_learned():
    a, b = Ridge(alpha=1.0).fit(X, Y), Ridge(alpha=1.5).fit(X, Y)
    result = found(a, b)
    assert (part(result, "/alpha").cells[0].old, part(result, "/alpha").absolute) == (1.0, 0.5)
    assert part(result, "/coef_").compared == 3
    b = Ridge(alpha=1.0).fit(X, Y)
    b.coef_ = np.nextafter(b.coef_, 9)
    result = found(a, b)
    assert (result.verdict, [item.where for item in result.parts]) == ("equivalent", ["/coef_"])
    assert "Ridge" in notes(compare_values(Ridge(), StandardScaler()).found)[""]


def test_a_model_in_a_model_is_compared_by_its_path():
    a, b = (make_pipeline(StandardScaler(), Ridge(alpha)).fit(X, Y) for alpha in (1.0, 2.0))
    assert "/steps/1/1/coef_" in {item.where for item in found(a, b).parts}
    a, b = (DecisionTreeRegressor(max_depth=2).fit(X, target) for target in (Y, Y * 1.5))
    assert any(item.where.startswith("/tree_/nodes/") or item.where == "/tree_/values" for item in found(a, b).parts)


def test_boosters_are_compared_tree_by_tree():
    lightgbm = pytest.importorskip("lightgbm")
    xgboost = pytest.importorskip("xgboost")
    settings_ = {"num_leaves": 4, "verbose": -1, "min_data_in_leaf": 2, "num_threads": 1}
    a, b = (lightgbm.train(settings_, lightgbm.Dataset(X, target), 3) for target in (Y, Y * 1.01))
    result = found(a, b)
    assert "/tree 0/leaf_value" in {item.where for item in result.parts}
    assert part(result, "/tree 0/leaf_value").relative == pytest.approx(0.01, rel=0.2)
    same, other = (
        lightgbm.train(settings_ | {"num_threads": threads}, lightgbm.Dataset(X, Y), 3) for threads in (1, 2)
    )
    assert found(same, other).verdict in {"identical", "equivalent"}
    other.pandas_categorical = [["y", "x"]]
    assert found(same, other).verdict == "different", "the same trees mean other categories"
    a, b = (xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(X, target), 2) for target in (Y, Y * 1.01))
    result = found(a, b)
    assert any("/trees/" in item.where for item in result.parts)
    assert result.verdict == "different"


def test_a_fit_of_statsmodels_is_compared_by_its_estimates():
    api = pytest.importorskip("statsmodels.api")
    a, b = (api.OLS(target, X).fit() for target in (Y, Y * (1 + 1e-3)))
    result = found(a, b)
    assert part(result, "/params").relative == pytest.approx(1e-3, rel=0.01)


def test_tensors_and_modules_are_compared_by_name():
    torch = pytest.importorskip("torch")
    a, b = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    assert {item.where for item in found(a, b).parts} == {"/weight", "/bias"}


# ------------------------------------------------------------------------------------------------ pictures


def figure(shift: float = 0.0, size: tuple[float, float] = (3, 2)) -> Any:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=size, dpi=50)
    drawn.subplots().plot([0, 1, 2], [0, 1 + shift, 0])
    return drawn


def test_figures_are_compared_pixel_by_pixel():
    result = found(figure(), figure(0.3))
    assert result.verdict == "different"
    assert 0 < result.differing < result.compared == 150 * 100
    assert result.parts[0].absolute > 1
    assert "of 150 × 100 pixels differ, in x " in result.parts[0].note
    assert said(result) == f"output differs: {result.parts[0].note}"
    assert notes(compare_values(figure(), figure(size=(4, 2))).found) == {"": "150 × 100 pixels became 200 × 100"}
    assert found(figure(), figure(0.3), "figure:abs=255").verdict == "equivalent"


def test_kept_pictures_are_compared_where_the_figures_were_not_kept():
    blobs = Blobs()

    def ref(shift: float) -> Any:
        drawn = figure(shift)
        data, format = picture_of(drawn)
        return describe(drawn).model_copy(update={"picture": blobs.keep(data, format)})

    compared = compare_refs(ref(0.0), ref(0.3), read=blobs.read)
    assert (compared.verdict, compared.found.by, compared.found.kind) == ("different", "picture", "Figure")
    assert compared.found.differing > 0
    broken = ref(0.3).model_copy(update={"picture": blobs.keep(b"no picture", "png")})
    compared = compare_refs(ref(0.0), broken, read=blobs.read)
    assert (compared.verdict, compared.found.by) == ("different", "fingerprint")
    assert "cannot be read" in compared.note


def test_plotly_figures_are_compared_by_their_traces():
    plotly = pytest.importorskip("plotly.graph_objects")
    a, b = (plotly.Figure(plotly.Scatter(y=np.array([1.0, 2.0, last]))) for last in (3.0, 3.5))
    result = found(a, b)
    assert [item.where for item in result.parts] == ["/data/0/y"]
    assert result.absolute == 0.5


# ------------------------------------------------------------------------------------------------ strange values


class Rude:
    """A value whose methods do what they should not."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparisons")

    def __hash__(self) -> int:
        return 1

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    def __getstate__(self) -> object:
        raise RuntimeError("no state")


class Selfish:
    def __init__(self, number: float) -> None:
        self.me = self
        self.number = number


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Rude(1), Rude(2)),
        ([Rude(1)], [Rude(2)]),
        ({"a": Rude(1)}, {"a": 1}),
        (pd.DataFrame({"a": [Rude(1), 1]}), pd.DataFrame({"a": [Rude(2), 1]})),
        (np.array([Rude(1)], dtype=object), np.array([None], dtype=object)),
        (Selfish(1.0), Selfish(2.0)),
        (lambda: 1, lambda: 2),
        (io.StringIO("a"), io.StringIO("b")),
        (float, int),
        (math, np),
    ],
)
def test_strange_values_are_different_and_never_an_error(a, b):
    result = compare_values(a, b)
    assert result.verdict == "different"
    assert said(result.found)


def test_a_value_that_cannot_be_loaded_is_compared_by_fingerprint_and_says_why():
    blobs = Blobs()
    a, b = (describe(item).model_copy(update={"blob": blobs.value(item)}) for item in ({1: 1.0}, {1: 2.0}))
    torn = a.model_copy(update={"blob": blobs.keep(b"\x80\x05torn", "pickle")})
    compared = compare_refs(torn, b, read=blobs.read, trust_pickle=True)
    assert (compared.verdict, compared.found.by) == ("different", "fingerprint")
    assert "cannot be loaded" in compared.note
    assert "not kept" in compare_refs(describe(np.zeros(2)), describe(np.ones(2))).note


def test_previews_of_numbers_that_json_lacks_are_numbers_again():
    compared = compare_refs(describe({"sharpe": math.nan}), describe({"sharpe": 1.0}))
    assert (compared.found.by, compared.found.parts[0].unlike) == ("preview", 1)
    compared = compare_refs(describe(math.inf), describe(1.0))
    assert compared.found.parts[0].cells[0].old == "inf"


# ------------------------------------------------------------------------------------------------ any values

plain = st.floats() | st.integers() | st.text(max_size=5) | st.booleans() | st.none() | st.dates() | st.decimals()
nested = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc/~", max_size=3), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)
frames = st.builds(
    lambda rows, floats, texts: pd.DataFrame({"x": floats[:rows], "t": texts[:rows], "n": range(rows)}),
    st.integers(0, 5),
    st.lists(st.floats(), min_size=5, max_size=5),
    st.lists(st.text("ab", max_size=2) | st.none(), min_size=5, max_size=5),
)
tables = st.one_of(frames, frames.map(pa.Table.from_pandas), frames.map(lambda frame: frame["x"]))
anything = nested | tables | st.lists(tables, max_size=2)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anything, anything)
def test_the_verdict_is_the_same_either_way_and_everything_can_be_said(a, b):
    here, there = compare_values(a, b), compare_values(b, a)
    assert here.verdict == there.verdict
    if here.found is not None and there.found is not None:
        assert said(here.found)
        assert here.found.relative == there.found.relative
        assert ValueDifference.model_validate_json(here.found.model_dump_json()) == here.found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anything)
def test_a_value_that_is_stored_and_loaded_is_identical(value):
    from lineage_flows.content import load_value

    stored, format = dump_value(value)
    data = stored if isinstance(stored, bytes) else b"".join(bytes(piece) for piece in stored)
    assert compare_values(value, load_value(data, format, trust_pickle=True)).verdict == "identical"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_cell_that_changes_is_found_and_named(data):
    rows, names = data.draw(st.integers(1, 6)), ["a", "b", "c"]
    number = st.floats(-1e6, 1e6).map(lambda item: round(item, 3))
    frame = pd.DataFrame({name: data.draw(st.lists(number, min_size=rows, max_size=rows)) for name in names})
    row, name = data.draw(st.integers(0, rows - 1)), data.draw(st.sampled_from(names))
    other = frame.copy()
    other.loc[row, name] += data.draw(st.floats(0.01, 1e6))
    result = found(frame, other)
    (only,) = result.parts
    assert (only.where, only.differing, only.cells[0].at) == (f"/{name}", 1, str(row))
    assert (only.cells[0].old, only.cells[0].new) == (frame.loc[row, name], other.loc[row, name])
    for make in (pl.from_pandas, pa.Table.from_pandas, lambda item: item.to_dict("list")):
        (only,) = found(make(frame), make(other)).parts
        assert only.where.startswith(f"/{name}")
        assert only.differing == 1


@settings(max_examples=100, deadline=None)
@given(nested, st.floats(0, 1), st.floats(0, 1e6))
def test_a_wider_tolerance_never_makes_it_worse(value, relative, more):
    order = ["identical", "equivalent", "different"]

    def nudged(item: Any) -> Any:
        if isinstance(item, float):
            return item * 1.01
        if isinstance(item, list | tuple):
            return type(item)(map(nudged, item))
        return {key: nudged(part) for key, part in item.items()} if isinstance(item, dict) else item

    narrow = Scope(tolerances_of_text(f"*:rel={relative!r}", "test"))
    wide = Scope(tolerances_of_text(f"*:rel={relative!r},abs={more!r}", "test"))
    other = nudged(value)
    assert order.index(compare_values(value, other, wide).verdict) <= order.index(
        compare_values(value, other, narrow).verdict
    )
