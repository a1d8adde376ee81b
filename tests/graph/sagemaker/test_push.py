"""What is called, in which order, and what becomes of it when calls fail."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.kit import events_of, graph_of
from tests.graph.sagemaker.double import Double
from tests.graph.sagemaker.kit import deliver, keeper_over, plain
from tests.graph.stories import stories


@given(record=stories(), size=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_the_same_graph_as_the_embedded_one(record: Any, size: int) -> None:
    double = Double()
    keeper = keeper_over(double)
    deliver(keeper, events_of(record), size)
    assert plain(keeper) == plain(graph_of(events_of(record)))
    assert keeper.waiting() == 0
    assert keeper.parked() == []
