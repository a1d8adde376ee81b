from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.graph.keeper import Layers, flatten, merge

claims = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "3"]),
        st.dictionaries(st.sampled_from("abc"), st.none() | st.sampled_from(["", "x", "y"]), max_size=3),
    ),
    max_size=8,
)


def state(listed) -> Layers:
    empty: Layers = []
    return reduce(lambda layers, claim: merge(layers, *claim), listed, empty)


@given(claims.flatmap(lambda listed: st.tuples(st.just(listed), st.permutations(listed + listed[:3]))))
def test_the_state_is_a_function_of_the_set_of_claims(both):
    listed, shuffled = both
    assert state(shuffled) == state(listed)


@given(claims)
def test_the_greatest_stamp_wins_each_fact_and_then_the_greater_text(listed):
    expected = {}
    for stamp, facts in listed:
        for key, value in facts.items():
            expected[key] = max(expected.get(key, ("", False, "")), (stamp, value is not None, value or ""))
    assert flatten(state(listed)) == {key: value for key, (_, known, value) in expected.items() if known}


@given(claims.filter(bool))
def test_a_claim_that_says_nothing_new_changes_nothing(listed):
    layers = state(listed)
    assert merge(layers, *listed[-1]) == layers
    for newest, held in layers[-1:]:
        assert merge(layers, newest, dict(held)) is layers


def test_what_is_claimed_not_to_be_is_not():
    layers = merge(merge([], "1", {"error": "boom", "state": "Failed"}), "2", {"error": None, "state": "Completed"})
    assert flatten(layers) == {"state": "Completed"}


def test_facts_come_in_alphabetical_order():
    assert list(flatten(merge(merge([], "2", {"c": "1"}), "1", {"b": "1", "a": "1"}))) == ["a", "b", "c"]
