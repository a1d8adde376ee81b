"""The run record: steps in order of submission, each with its rank among its likes, whatever order they were recorded in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.capture.run_record import ROLLED_BACK, assemble
from lineage_flows.errors import RecordFormatError
from lineage_flows.records import (
    EntryPoint,
    FlowRecord,
    FunctionRef,
    RunRecord,
    StepRecord,
    read_run_record,
    record_json,
)

FUNCTION = FunctionRef(name="f", module="m")


def flow(run_id: str, name: str = "main") -> FlowRecord:
    entry = EntryPoint(path=None, qualname="f", module="m", working_directory="/")
    return FlowRecord(run_id=run_id, root_run_id="root", flow_name=name, run_name="r", function=FUNCTION, entry=entry)


def step(run_id: str, task: str, flow_run: str = "root") -> StepRecord:
    return StepRecord(
        run_id=run_id,
        flow_run_id=flow_run,
        root_run_id="root",
        flow_name="main",
        task_name=task,
        run_name="r",
        function=FUNCTION,
    )


RECORDS = [
    flow("root"),
    step("1", "a"),
    step("2", "b"),
    step("3", "a"),
    flow("4", "child"),
    step("5", "a", "4"),
    step("6", "a"),
]


@given(st.permutations(RECORDS))
def test_order_of_recording_plays_no_part(records):
    ended = flow("root").model_copy(update={"state": "Completed"})
    run = assemble(ended, records)
    assert run.flow.state == "Completed"
    assert [(s.run_id, s.task_name, s.index) for s in run.steps] == [
        ("1", "a", 0),
        ("2", "b", 0),
        ("3", "a", 1),
        ("5", "a", 0),
        ("6", "a", 2),
    ]
    assert [s.run_id for s in run.subflows] == ["4"]


def test_it_survives_storing():
    run = assemble(flow("root"), RECORDS)
    assert read_run_record(run.model_dump_json().encode()) == run


@pytest.mark.parametrize(
    "data", [b"", b"no json", b"[]", b"{}", b'{"format": 2}', b'{"format": 1}', b'{"format": 1, "flow": 3}']
)
def test_what_is_no_record_of_this_version_is_refused(data):
    with pytest.raises(RecordFormatError, match="upgrade|Upgrade"):
        read_run_record(data)


def test_a_field_of_a_later_version_is_refused_and_not_dropped():
    data = RunRecord(flow=flow("root")).model_dump_json().replace('"format":1', '"format":1,"quantum":true')
    with pytest.raises(RecordFormatError):
        read_run_record(data.encode())


def test_a_file_name_that_is_not_utf8_survives_storing():
    run = assemble(flow("root", name="caf\udce9"), [])
    assert read_run_record(record_json(run)) == run


def test_within_a_millisecond_the_order_is_that_of_the_starts():
    same = "0199f0aa-0001-7{}00-8000-000000000000"
    late, early = (
        step(same.format(digit), "a").model_copy(update={"started": f"2026-01-01T00:00:00.00000{second}Z"})
        for digit, second in ((1, 2), (9, 1))
    )
    next_millisecond = step("0199f0aa-0002-7000-8000-000000000000", "a")
    run = assemble(flow("root"), [late, next_millisecond, early])
    assert [s.run_id for s in run.steps] == [early.run_id, late.run_id, next_millisecond.run_id]


def test_a_step_whose_transaction_failed_later_says_so():
    root = flow("root").model_copy(update={"rolled_back": ("1",)})
    child = flow("child", "child").model_copy(update={"rolled_back": ("3",)})
    record = assemble(root, [step("1", "a"), step("2", "a"), child, step("3", "b", "child")])
    assert [one.state for one in record.steps] == [ROLLED_BACK, "", ROLLED_BACK]
