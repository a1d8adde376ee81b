"""How far numbers lie apart."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lineage_flows.compare import gaps
from lineage_flows.compare.gaps import measure, number_gaps
from lineage_flows.tolerances import Tolerance

DEFAULT = Tolerance(relative=1e-9, absolute=1e-12, ulps=16)
EXACT = Tolerance()

DTYPES = st.sampled_from(["f2", "f4", "f8", "c8", "c16", "i1", "i8", "u8", "?", "longdouble"])


@pytest.mark.parametrize(
    ("a", "b", "ulps"),
    [
        (1.0, math.nextafter(1.0, 2.0), 1),
        (0.0, 5e-324, 1),
        (-5e-324, 5e-324, 2),
        (1.0, 2.0, 1 << 52),
        (-1.7976931348623157e308, 1.7976931348623157e308, 2 * 0x7FEFFFFFFFFFFFFF),
        (np.float32(1), np.nextafter(np.float32(1), np.float32(2)), 1),
        (np.float16(1), np.nextafter(np.float16(1), np.float16(2)), 1),
        (1 + 1j, complex(1, math.nextafter(1.0, 2.0)), 1),
    ],
)
def test_ulps_count_the_representable_numbers_between(a, b, ulps):
    assert number_gaps(a, b, EXACT).ulps == ulps
    assert number_gaps(b, a, EXACT).ulps == ulps


def test_of_two_formats_the_coarser_counts():
    found = number_gaps(np.float32(0.1), 0.1, DEFAULT)
    assert (found.differing, found.ulps, found.beyond) == (1, 0, 0)


@pytest.mark.parametrize(
    ("tolerance", "within"),
    [
        (Tolerance(absolute=0.1), True),
        (Tolerance(absolute=0.09), False),
        (Tolerance(relative=0.1 / 1.1 + 1e-9), True),
        (Tolerance(relative=0.09), False),
        (Tolerance(ulps=1 << 50), True),
        (Tolerance(ulps=1000), False),
        (EXACT, False),
    ],
)
def test_any_of_the_three_figures_lets_a_difference_pass(tolerance, within):
    assert number_gaps(1.0, 1.1 - 1e-12, tolerance).beyond == (0 if within else 1)


def test_nan_equals_nan_and_nothing_else():
    a = np.array([np.nan, np.nan, np.inf, np.inf, -np.inf, 1.0])
    b = np.array([np.nan, 1.0, np.inf, -np.inf, 1.0, 1.0])
    found = measure(a, b, Tolerance(relative=1, absolute=1e300, ulps=1 << 53))
    assert (found.compared, found.differing, found.beyond, found.unlike) == (6, 3, 3, 3)
    assert (found.absolute, found.relative, found.ulps) == (None, None, None)
    assert (found.worst, found.first) == (1, (1, 3, 4))


def test_integers_must_be_equal_whatever_the_tolerance():
    a, b = np.array([2**63 - 1, 5]), np.array([2**63 - 2, 5])
    found = measure(a, b, Tolerance(relative=1, absolute=10, ulps=100))
    assert (found.beyond, found.absolute, found.ulps) == (1, 1.0, None)
    assert number_gaps(10**400, 10**400 + 1, DEFAULT).absolute == 1.0
    assert number_gaps(10**400, 0, DEFAULT).absolute == pytest.approx(1.7976931348623157e308)
    mixed = measure(np.array([2**63 - 1], "i8"), np.array([2**63], "u8"), DEFAULT)
    assert mixed.beyond == 1


def test_the_worst_is_beyond_the_tolerance_where_one_is():
    a, b = np.array([1e6, 1.0, 2.0]), np.array([1e6 + 1e-5, 1.5, 2.1])
    found = measure(a, b, Tolerance(relative=1e-9))
    assert (found.differing, found.beyond, found.worst) == (3, 2, 1)
    assert found.absolute == 0.5


def test_an_array_is_looked_at_in_pieces(monkeypatch):
    monkeypatch.setattr(gaps, "_CHUNK", 7)
    a = np.arange(100.0)
    b = a.copy()
    b[[3, 50, 99]] += [1e-3, 0.25, 1e-4]
    found = measure(a.reshape(10, 10), b.reshape(10, 10), DEFAULT)
    assert (found.compared, found.differing, found.worst, found.first) == (100, 3, 50, (3, 50, 99))
    assert found.absolute == 0.25


@st.composite
def pairs(draw):
    shape = draw(st.integers(0, 12))
    return tuple(draw(arrays(draw(DTYPES), shape)) for _ in range(2))


@given(pairs(), st.floats(0, 1), st.floats(0, 1e3), st.integers(0, 1 << 40))
def test_the_verdict_and_figures_are_the_same_either_way(both, relative, absolute, ulps):
    a, b = both
    if ("b" in a.dtype.kind + b.dtype.kind) and a.dtype.kind != b.dtype.kind:
        return
    tolerance = Tolerance(relative, absolute, ulps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        here, there = measure(a, b, tolerance), measure(b, a, tolerance)
    for name in ("compared", "differing", "beyond", "absolute", "relative", "ulps", "unlike", "worst", "first"):
        assert getattr(here, name) == getattr(there, name), name


@given(pairs(), st.floats(0, 1), st.floats(0, 1e3), st.integers(0, 1 << 40), st.floats(0, 0.5), st.integers(0, 9))
def test_a_wider_tolerance_lets_no_less_pass(both, relative, absolute, ulps, more, steps):
    a, b = both
    if ("b" in a.dtype.kind + b.dtype.kind) and a.dtype.kind != b.dtype.kind:
        return
    narrow = Tolerance(relative, absolute, ulps)
    wide = Tolerance(min(1.0, relative + more), absolute + more, ulps + steps)
    assert measure(a, b, wide).beyond <= measure(a, b, narrow).beyond


@given(arrays(DTYPES, st.integers(0, 20)))
def test_an_array_does_not_differ_from_its_copy(array):
    assert measure(array, array.copy(), EXACT).differing == 0


@given(st.floats(), st.floats())
def test_single_numbers_are_compared_as_the_standard_library_does(a, b):
    close = math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b))
    assert (number_gaps(a, b, Tolerance(relative=1e-6, absolute=1e-9)).beyond == 0) == close
