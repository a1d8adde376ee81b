"""Units of time: the choice of the canonical one depends on the times alone, and is exact."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.content.temporal import NAT, UNITS, choose, scaled

INTEGERS = st.integers(-(2**63) + 1, 2**63 - 1)
NAMES = st.sampled_from(sorted(UNITS))
STEPS = st.sampled_from([1, 1, 7, 25, 1000])


@given(st.lists(INTEGERS, max_size=5), NAMES, STEPS)
def test_exact(numbers, unit, step):
    values = np.array([*numbers, NAT], dtype=np.int64)
    counting = choose(values, unit, step)
    made = scaled(values, counting).tolist()
    assert made[-1] == NAT
    digits = counting.unit.rstrip("abcdefghijklmnopqrstuvwxyzDW")
    length = UNITS[counting.unit[len(digits) :]] * int(digits or 1)
    assert [number * length for number in made[:-1]] == [number * UNITS[unit] * step for number in numbers]


@given(st.lists(st.integers(-(2**63) // 1000 + 1, 2**63 // 1000), min_size=1, max_size=5))
def test_the_same_times_in_a_finer_unit_get_the_same_one(numbers):
    names = ["s", "ms", "us", "ns", "ps", "fs", "as"]
    coarse = np.array(numbers, dtype=np.int64)
    for first, second in itertools.pairwise(names):
        fine = coarse * 1000
        one, other = choose(coarse, first), choose(fine, second)
        assert one.unit == other.unit
        assert scaled(coarse, one).tolist() == scaled(fine, other).tolist()


def test_nothing_but_missing_times():
    for values in (np.empty(0, dtype=np.int64), np.array([NAT])):
        assert {choose(values, unit, step).unit for unit in UNITS for step in (1, 7)} == {"ns"}
