"""How writes over the API rank among claims of events."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.endpoint.stamps import action_handle, artifact_handle, next_stamp, run_of
from lineage_flows.graph.keeper import flatten, merge

RUN = "01935c4e-7a10-7c3e-9d1a-5b6f0a4c1e00"

events = st.builds(
    lambda attempt, phase, second: f"{attempt:04d}.{phase}.2026-01-01T00:00:{second:02d}.000000Z",
    st.integers(1, 9999),
    st.integers(0, 3),
    st.integers(0, 59),
)
artifacts = st.sampled_from(["0", "1", "2"])
stories = st.tuples(st.lists(events, max_size=5), events) | st.tuples(st.lists(artifacts, max_size=3), artifacts)


@settings(deadline=None)
@given(story=stories, times=st.integers(1, 12))
def test_a_write_ranks_above_all_that_was_seen_and_below_all_that_ranks_above_that(story, times):
    (seen, later), layers = story, []
    for stamp in seen:
        layers = merge(layers, stamp, {f"p.{stamp}": stamp, "status": stamp})
    for number in range(times):
        stamp = next_stamp(layers)
        assert all(stamp > other for other, _ in layers)
        layers = merge(layers, stamp, {"status": f"api {number}"})
        assert flatten(layers)["status"] == f"api {number}"
    for stamp in seen:
        assert merge(layers, stamp, {"status": stamp}) == layers
    newest = max(seen, default="")
    assert flatten(merge(layers, later, {"status": "later"}))["status"] == (
        "later" if later > newest else f"api {times - 1}"
    )


@pytest.mark.parametrize(
    ("name", "run"),
    [
        (f"backtest-{RUN}", RUN),
        (f"a-b-{RUN}", RUN),
        (RUN, None),
        (f"backtest-{RUN.upper()}", None),
        (f"backtest-{RUN}-2", None),
        ("backtest", None),
    ],
)
def test_an_action_is_called_after_a_run_or_not(name, run):
    assert run_of(name) == run
    assert action_handle(name, run_is_taken=False) == (f"run:{run}" if run else f"api:{name}")
    assert action_handle(name, run_is_taken=True) == f"api:{name}"


def test_an_artifact_is_a_value_by_its_uri():
    assert artifact_handle(f"prefect://desk/task-run/{RUN}/result") == f"task-run/{RUN}/result"
    assert artifact_handle("s3://desk/prices.parquet") is None
