from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.compare import align, align_flows
from tests.compare.building import Run


def names(pairs):
    return [(pair.task, pair.original is not None, pair.other is not None) for pair in pairs]


def test_steps_of_a_map_are_paired_by_their_inputs_whatever_their_order():
    a, b = Run(), Run()
    for i in (1, 2, 3):
        a.step("square", i * i, inputs={"x": i})
    for i in (3, 1, 2):
        b.step("square", i * i, inputs={"x": i})
    pairs = align(a.record(), b.record())
    assert [(p.original.inputs[0].value.preview, p.other.inputs[0].value.preview) for p in pairs] == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]
    assert [pair.index for pair in pairs] == [0, 1, 2]


def test_steps_of_other_inputs_are_paired_by_order_after_the_equal_ones():
    a, b = Run(), Run()
    for i in (1, 2, 3):
        a.step("square", inputs={"x": i})
    for i in (9, 1, 8):
        b.step("square", inputs={"x": i})
    pairs = align(a.record(), b.record())
    assert [(p.original.inputs[0].value.preview, p.other.inputs[0].value.preview) for p in pairs] == [
        (1, 1),
        (2, 9),
        (3, 8),
    ]


def test_missing_and_added_steps_stand_where_they_happened():
    a, b = Run(), Run()
    for task in ("load", "clean", "fit"):
        a.step(task)
    for task in ("check", "load", "fit", "plot"):
        b.step(task)
    assert names(align(a.record(), b.record())) == [
        ("check", False, True),
        ("load", True, True),
        ("clean", True, False),
        ("fit", True, True),
        ("plot", False, True),
    ]


def test_subflows_are_paired_by_parameters_and_their_steps_inside_them():
    a, b = Run(), Run()
    for run, years in ((a, (1, 2)), (b, (2, 1))):
        for year in years:
            flow = run.subflow("one_year", year=year)
            run.step("fit", year, inputs={"x": 0}, flow_id=flow)
    pairs = align(a.record(), b.record())
    assert [pair.original.output.preview for pair in pairs] == [pair.other.output.preview for pair in pairs] == [1, 2]
    assert {pair.flow for pair in pairs} == {"backtest/one_year"}
    assert [pair.flow for pair in align_flows(a.record(), b.record())] == [
        "backtest",
        "backtest/one_year",
        "backtest/one_year",
    ]


def test_a_subflow_that_only_one_run_has_takes_its_steps_along():
    a, b = Run(), Run()
    a.step("load")
    a.step("fit", flow_id=a.subflow("extra"))
    b.step("load")
    assert names(align(a.record(), b.record())) == [("load", True, True), ("fit", True, False)]


def test_nothing_is_lost_when_a_flow_run_left_no_record():
    a, b = Run(), Run()
    a.step("fit", flow_id="a flow that was killed")
    a.subflow("orphan", parent="nobody")
    b.step("fit", flow_id="another")
    assert names(align(a.record(), b.record())) == [("fit", True, True)]
    assert len(align_flows(a.record(), b.record())) == 2


def test_runs_of_differently_named_flows_are_compared_step_by_step():
    a, b = Run(flow="monday"), Run(flow="tuesday")
    a.step("fit")
    b.step("fit")
    assert names(align(a.record(), b.record())) == [("fit", True, True)]


_CALLS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=12)


@given(_CALLS, _CALLS)
def test_every_step_is_in_exactly_one_pair_and_equal_calls_meet(left, right):
    a, b = Run(), Run()
    for run, calls in ((a, left), (b, right)):
        for task, x in calls:
            run.step(task, inputs={"x": x})
    pairs = align(a.record(), b.record())
    assert [p.original.run_id for p in pairs if p.original] == [step.run_id for step in a.steps]
    assert sorted(p.other.run_id for p in pairs if p.other) == sorted(step.run_id for step in b.steps)
    met = sum(
        p.original is not None and p.other is not None and p.original.inputs[0].value == p.other.inputs[0].value
        for p in pairs
    )
    assert met == sum(min(left.count(call), right.count(call)) for call in set(left))
    for task in "abc":
        alone = {(p.original is None, p.other is None) for p in pairs if p.task == task}
        assert not {(True, False), (False, True)} <= alone, "one was missing and another added of the same name"
