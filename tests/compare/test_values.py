from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from lineage_flows.compare import compare_refs, compare_values
from lineage_flows.content import describe, fingerprint
from lineage_flows.records import BlobRef
from tests.compare.building import Blobs


@dataclass
class Point:
    x: float
    tags: list[str]


FRAME = pd.DataFrame(
    {"a": [1.0, np.nan, 3.0], "b": ["x", "y", None], "n": [1, 2, 3]}, index=pd.date_range("2024", periods=3, name="day")
)
SMALL = 1e-12


def nudged(frame: pd.DataFrame, by: float) -> pd.DataFrame:
    return frame.assign(a=frame["a"] * (1 + by))


def fitted(noise: float = 0.0) -> Ridge:
    x = np.arange(12.0).reshape(6, 2)
    model = Ridge().fit(x, x[:, 0] - x[:, 1] ** 2)
    model.coef_ = model.coef_ * (1 + noise)
    return model


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1.0, 1.0 + SMALL),
        (0.0, -0.0),
        (1, 1.0),
        (np.float32(0.5), 0.5),
        (1 + 2j, 1 + 2j * (1 + SMALL)),
        ({"sharpe": 0.8120843338802364}, {"sharpe": 0.8120843338876020}),
        ([1.0, [2.0]], [1.0, [2.0 + SMALL]]),
        ((1.0,), (1.0 + SMALL,)),
        (Point(1.0, ["a"]), Point(1.0 + SMALL, ["a"])),
        (np.array([1.0, np.nan, np.inf]), np.array([1.0 + SMALL, np.nan, np.inf])),
        (np.array([1, 2]), np.array([1, 2], dtype="int32")),
        (np.array([1.0, None], dtype=object), np.array([1.0 + SMALL, None], dtype=object)),
        (
            np.array([(1, 2.0)], dtype=[("i", "i4"), ("f", "f8")]),
            np.array([(1, 2.0 + SMALL)], dtype=[("i", "i4"), ("f", "f8")]),
        ),
        (FRAME, nudged(FRAME, SMALL)),
        (FRAME["a"], nudged(FRAME, SMALL)["a"]),
        (pd.Series([1.0, None], dtype="Float64"), pd.Series([1.0 + SMALL, None], dtype="Float64")),
        (pl.DataFrame({"a": [1.0, 2.0]}), pl.DataFrame({"a": [1.0, 2.0 + SMALL]})),
        (pa.table({"a": [1.0, 2.0]}), pa.table({"a": [1.0, 2.0 + SMALL]})),
        (fitted(), fitted(SMALL)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_within_the_tolerance_are_equivalent(a, b):
    assert compare_values(a, b).verdict == "equivalent"
    assert compare_values(b, a).verdict == "equivalent"


@pytest.mark.parametrize(
    ("a", "b", "where"),
    [
        (1.0, 1.0 + 1e-6, ""),
        (10**12, 10**12 + 1, ""),
        (True, False, ""),
        (True, 1, ""),
        ("a", "b", ""),
        (1.0, "1.0", ""),
        (1.0, math.nan, ""),
        (1.0, math.inf, ""),
        (None, 0.0, ""),
        ({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.5}, "/b"),
        ({"a": 1.0}, {"b": 1.0}, ""),
        ([1.0, 2.0], [1.0], ""),
        ([1.0], (1.0,), ""),
        ({1, 2}, {1, 3}, ""),
        (Point(1.0, ["a"]), Point(1.0, ["b"]), "/tags/0"),
        (np.zeros(3), np.zeros(4), ""),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0]), ""),
        (np.array(["a"]), np.array([1.0]), ""),
        (np.array([1, 2]), np.array([1, 3]), ""),
        (np.array(["2024"], "M8[D]"), np.array(["2025"], "M8[D]"), ""),
        (FRAME, FRAME.rename(columns={"a": "c"}), ""),
        (FRAME, FRAME.iloc[:2], ""),
        (FRAME, FRAME.assign(b=["x", "y", "z"]), "/b"),
        (FRAME, FRAME.assign(n=[1, 2, 4]), "/n"),
        (FRAME, FRAME.set_axis(pd.date_range("2025", periods=3, name="day")), "/index"),
        (FRAME, nudged(FRAME, 1e-3), "/a"),
        (pd.Series([1.0], name="a"), pd.Series([1.0], name="b"), ""),
        (pl.DataFrame({"a": [1.0]}), pl.DataFrame({"a": [2.0]}), "/a"),
        (pa.table({"a": ["x"]}), pa.table({"a": ["y"]}), "/a"),
        (fitted(), fitted(0.1), None),
        (object(), FRAME, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_within_the_tolerance_is_different(a, b, where):
    found = compare_values(a, b)
    assert found.verdict == "different"
    assert where is None or found.where.startswith(where)
    assert where != "" or found.where in {"", "/index"} or "/0" in found.where


def test_the_largest_gap_and_its_place_are_told():
    found = compare_values({"a": [1.0, 2.0], "b": {"c": 3.0}}, {"a": [1.0, 2.5], "b": {"c": 5.0}})
    assert (found.where, found.largest) == ("/b/c", 2.0)


def test_cycles_and_depth_end():
    a: list[object] = [1.0]
    a.append(a)
    b: list[object] = [1.0 + SMALL]
    b.append(b)
    assert compare_values(a, b).verdict == "equivalent"
    deep_a: list[object] = [1.0]
    deep_b: list[object] = [2.0]
    for _ in range(500):
        deep_a, deep_b = [deep_a], [deep_b]
    assert compare_values(deep_a, deep_b).verdict == "different"


def test_objects_that_cannot_be_looked_into_are_different():
    class Stubborn:
        def __reduce_ex__(self, protocol):
            raise TypeError("no")

    assert compare_values(Stubborn(), Stubborn()).verdict == "different"


@given(
    st.recursive(
        st.floats() | st.integers() | st.text() | st.booleans() | st.none(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
        max_leaves=15,
    )
)
def test_a_value_is_identical_to_itself(value):
    import copy

    assert compare_values(value, copy.deepcopy(value)).verdict == "identical"


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_equivalence_of_floats_is_that_of_the_standard_library(a, b):
    assert (compare_values(a, b).verdict != "different") == math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def ref(value: object, blobs: Blobs | None = None):
    made = describe(value)
    return made if blobs is None else made.model_copy(update={"blob": blobs.value(value)})


def test_recorded_values_are_compared_by_previews_then_blobs():
    assert compare_refs(ref(0.5), ref(0.5)).verdict == "identical"
    assert compare_refs(ref(0.5), ref(0.5 + SMALL)).verdict == "equivalent"
    assert compare_refs(ref(0.5), ref(0.6)).largest == pytest.approx(0.1)
    blobs = Blobs()
    a, b = ref(FRAME, blobs), ref(nudged(FRAME, SMALL), blobs)
    assert compare_refs(a, b, read=blobs.read).verdict == "equivalent"
    assert compare_refs(a, b).verdict == "different", "without the contents, fingerprints decide"


def test_a_pickle_is_not_loaded_unless_trusted():
    blobs = Blobs()
    a, b = ref(fitted(), blobs), ref(fitted(SMALL), blobs)
    assert a.blob.format == "pickle"
    assert compare_refs(a, b, read=blobs.read).verdict == "different"
    assert compare_refs(a, b, read=blobs.read, trust_pickle=True).verdict == "equivalent"


def test_a_blob_that_is_gone_leaves_the_fingerprints():
    gone = BlobRef(digest="sha256:" + "0" * 64, size=1, format="npy")
    a, b = (ref(np.array([x])).model_copy(update={"blob": gone, "preview": None}) for x in (1.0, 1.0 + SMALL))
    assert compare_refs(a, b, read=Blobs().read).verdict == "different"


def test_values_without_fingerprints_are_not_comparable():
    none = dataclasses.replace  # any callable; what matters is the record
    a = ref(none).model_copy(update={"fingerprint": None, "rule": "none"})
    assert compare_refs(a, a).verdict == "not compared"
    secret = a.model_copy(update={"rule": "secret"})
    assert compare_refs(secret, secret).verdict == "not compared"
    assert compare_refs(secret, secret).note == "a secret is never looked at"
    assert compare_refs(None, None).verdict == "identical"
    assert compare_refs(None, ref(1)).verdict == "different"


class Result(dict):
    """A dictionary that carries more."""


class Quantity(np.ndarray):
    """An array that carries a unit."""


class Priced(pd.DataFrame):
    """A frame that carries a unit, by pandas' own way."""

    _metadata: ClassVar = ["unit"]

    @property
    def _constructor(self):
        return Priced


class Amount(float):
    """A number that carries a currency."""


class Side(enum.IntEnum):
    BUY = 1


class Signal(enum.IntEnum):
    BUY = 1


class Quiet:
    """Says of everything that it is equal."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


def carrying(value, **attributes):
    for name, item in attributes.items():
        setattr(value, name, item)
    return value


@pytest.mark.parametrize(
    ("a", "b", "where"),
    [
        (carrying(Result(x=1.0), score=1), carrying(Result(x=1.0), score=2), "/score"),
        (carrying(Result(x=1.0), score=1), carrying(Result(x=1.0 + SMALL), score=2), "/score"),
        (carrying(np.ones(2).view(Quantity), unit="m"), carrying(np.ones(2).view(Quantity), unit="km"), "/unit"),
        (carrying(Priced({"a": [1.0]}), unit="EUR"), carrying(Priced({"a": [1.0]}), unit="USD"), "/unit"),
        (carrying(Amount(1), currency="EUR"), carrying(Amount(1), currency="USD"), "/currency"),
        (carrying(Point(1.0, []), more=1), carrying(Point(1.0, []), more=2), "/more"),
        (collections.UserDict(a=1), collections.Counter(a=1), ""),
        (collections.defaultdict(int, a=1), collections.defaultdict(list, a=1), ""),
        (collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), ""),
        ({Quiet(1)}, {Quiet(2)}, ""),
        (
            np.array([dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)]),
            np.array([dt.datetime(2024, 1, 1, 13, tzinfo=dt.timezone(dt.timedelta(hours=1)))]),
            "",
        ),
    ],
)
def test_what_a_value_carries_beside_its_content_counts(a, b, where):
    for result in (compare_values(a, b), compare_values(b, a)):
        assert result.verdict == "different"
        assert result.where == where


def test_members_of_two_enumerations_are_not_one_number():
    assert compare_values(Side.BUY, Signal.BUY).verdict == "different"


def test_previews_that_are_alike_do_not_make_two_fingerprints_equal():
    blobs = Blobs()
    a, b = carrying(Result(x=1.0), score=1), carrying(Result(x=1.0), score=2)
    assert describe(a).preview == describe(b).preview
    assert compare_refs(describe(a), describe(b)).verdict == "different"
    assert compare_refs(describe(Side.BUY), describe(Signal.BUY), read=blobs.read).verdict == "different"
    assert compare_refs(describe({"x": 1}), describe({"x": 1.0})).verdict == "equivalent"
    assert compare_refs(describe(0.0), describe(-0.0)).verdict == "equivalent"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Decimal("1.0"), Decimal("1.00")),
        ({"a": [1, 2]}, {"a": [1.0, 2]}),
        (np.array([0.0, 1.0]), np.array([-0.0, 1.0])),
        (pd.DataFrame([[1.0]], columns=[1]), pd.DataFrame([[1.0]], columns=[1.0])),
        (pd.Series(pd.Categorical([1, 2])), pd.Series(pd.Categorical([1.0, 2.0]))),
    ],
)
def test_what_is_equal_in_another_form_stays_equivalent(a, b):
    assert fingerprint(a) != fingerprint(b)
    assert compare_values(a, b).verdict == "equivalent"
