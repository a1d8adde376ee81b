"""What is called, in which order, and what becomes of it when calls fail."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.errors import GraphError, KeeperUnavailableError, SageMakerError
from lineage_flows.graph.sagemaker import quotas
from tests.graph.kit import events_of, graph_of
from tests.graph.sagemaker.double import Double, refusal
from tests.graph.sagemaker.kit import deliver, keeper_over, new_cache, plain
from tests.graph.stories import stories
from tests.support.records import backtest_record


@given(record=stories(), size=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_the_same_graph_as_the_embedded_one(record: Any, size: int) -> None:
    double = Double()
    keeper = keeper_over(double)
    deliver(keeper, events_of(record), size)
    assert plain(keeper) == plain(graph_of(events_of(record)))
    assert keeper.waiting() == 0
    assert keeper.parked() == []
