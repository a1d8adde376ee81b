from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.replay.matching import Matcher, started_alone
from tests.compare.building import Run


def match(matcher: Matcher, step, root: str, flow: str | None = None):
    return matcher.match(
        step.run_id,
        task=step.task_name,
        flow=flow or step.flow_name,
        flow_run_id=step.flow_run_id,
        root_run_id=root,
        inputs=step.inputs,
    )


def test_mapped_steps_meet_their_originals_by_inputs_in_any_order():
    a, b = Run(), Run()
    originals = {i: a.step("square", inputs={"x": i}) for i in range(5)}
    matcher = Matcher(a.record())
    for i in (3, 1, 4, 0, 2):
        assert match(matcher, b.step("square", inputs={"x": i}), b.run_id) == originals[i]


def test_a_retry_meets_the_same_original_and_a_step_too_many_none():
    a, b = Run(), Run()
    original = a.step("fit", inputs={"x": 1})
    matcher = Matcher(a.record())
    step = b.step("fit", inputs={"x": 1})
    assert match(matcher, step, b.run_id) == original
    assert match(matcher, step, b.run_id) == original
    assert match(matcher, b.step("fit", inputs={"x": 1}), b.run_id) is None
    assert match(matcher, b.step("new"), b.run_id) is None


def test_steps_whose_inputs_have_changed_meet_by_order():
    a, b = Run(), Run()
    first, second = a.step("fit", inputs={"x": 1}), a.step("fit", inputs={"x": 2})
    matcher = Matcher(a.record())
    assert match(matcher, b.step("fit", inputs={"x": 10}), b.run_id) == first
    assert match(matcher, b.step("fit", inputs={"x": 20}), b.run_id) == second


def test_subflows_are_told_apart_by_the_inputs_of_their_first_step():
    a, b = Run(), Run()
    originals = {}
    for year in (1, 2, 3):
        flow = a.subflow("one_year", year=year)
        originals[year] = [a.step("fit", inputs={"x": year}, flow_id=flow, flow_name="one_year") for _ in range(2)]
    matcher = Matcher(a.record())
    for year in (2, 3, 1):
        flow = b.subflow("one_year", year=year)
        for original in originals[year]:
            step = b.step("fit", inputs={"x": year}, flow_id=flow, flow_name="one_year")
            assert match(matcher, step, b.run_id) == original
    extra = b.step("fit", inputs={"x": 1}, flow_id=b.subflow("one_year"), flow_name="one_year")
    assert match(matcher, extra, b.run_id) is None


def test_no_original_is_claimed_twice_by_threads():
    a, b = Run(), Run()
    for _ in range(50):
        a.step("fit", inputs={"x": 1})
    matcher = Matcher(a.record())
    steps = [b.step("fit", inputs={"x": 1}) for _ in range(50)]
    found = []
    threads = [threading.Thread(target=lambda s=step: found.append(match(matcher, s, b.run_id))) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({step.run_id for step in found}) == 50


def test_only_steps_that_start_alone_have_random_states_of_their_own():
    run = Run()
    first = run.step("first", started=0, ended=1)
    long = run.step("long", started=2, ended=9)
    beside = run.step("beside", started=3, ended=4)
    after = run.step("after", started=9, ended=10)
    outer = run.step("outer", started=11, ended=20)
    inner = run.step("inner", started=12, ended=13, parent_step_id=outer.run_id)
    stranger = run.step("stranger", started=14, ended=15)
    alone = started_alone(run.record())
    assert {first.run_id, long.run_id, after.run_id, outer.run_id, inner.run_id} == alone
    assert beside.run_id not in alone
    assert stranger.run_id not in alone


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=10), st.randoms())
def test_whatever_the_order_every_equal_call_meets_an_equal_original(calls, random):
    a, b = Run(), Run()
    for task, x in calls:
        a.step(task, inputs={"x": x})
    matcher = Matcher(a.record())
    shuffled = list(calls)
    random.shuffle(shuffled)
    for task, x in shuffled:
        step = b.step(task, inputs={"x": x})
        found = match(matcher, step, b.run_id)
        assert (found.task_name, found.inputs) == (task, step.inputs)
