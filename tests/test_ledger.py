"""The ledger of a whole run as readers see it: every gap once, older records too."""

from __future__ import annotations

import json

import pytest

from lineage_flows.ledger import RunGaps, gaps_of, said
from lineage_flows.records import Gap, Ledger, RunRecord, StepRecord, Tally, read_run_record, record_json
from tests.support.records import backtest_flow, step

CONNECTION = Gap(
    kind="connection", what="connects to db:5432", consequence="lost", count=2, unrestorable="network db:5432"
)


def only(one: StepRecord) -> RunGaps:
    flow, found = gaps_of(RunRecord(flow=backtest_flow(), steps=(one,)))
    assert (flow.is_step, flow.watched, flow.why) == (False, False, "no ledger was recorded")
    return found


def test_what_a_gap_tells_already_is_not_told_again() -> None:
    found = only(
        step(
            0,
            "load",
            unrestorable=("network db:5432", "object s3://b/k"),
            ledger=Ledger(gaps=(CONNECTION,), tallies=(Tally(kind="connection", observed=2, covered=0),), left_out=3),
        )
    )
    assert [gap.what for gap in found.gaps] == ["connects to db:5432", "reaches s3://b/k"]
    assert (found.watched, found.left_out, found.tallies[0].observed) == (True, 3, 2)
    assert said(found.gaps[0]) == "connects to db:5432 (2 times): lost"


@pytest.mark.parametrize(
    ("item", "kind", "what"),
    [
        ("network db:5432", "connection", "connects to db:5432"),
        ("socket /run/x", "connection", "connects to socket /run/x"),
        ("program curl", "process", "starts curl"),
        ("object s3://b/k: NoSuchKey", "object", "reaches s3://b/k: NoSuchKey"),
        ("GET https://h/x", "request", "asks GET https://h/x"),
        ("POST https://h/x", "request", "sends POST https://h/x"),
        ("/d/.env: its name says it holds secrets", "file", "reads /d/.env: its name says it holds secrets"),
        ("standard input", "file", "reads standard input"),
    ],
)
def test_a_record_without_a_ledger_still_names_what_cannot_be_restored(item: str, kind: str, what: str) -> None:
    found = only(step(0, "load", unrestorable=(item,)))
    (gap,) = found.gaps
    assert (gap.kind, gap.what, gap.unrestorable) == (kind, what, item)
    assert gap.consequence.endswith("; a replay puts the step's result in place")
    assert not found.watched


def test_where_nothing_is_kept_a_replay_does_it_again() -> None:
    (gap,) = only(step(0, "load", unrestorable=("network db:1",), level="metadata")).gaps
    assert gap.consequence.endswith("nothing is kept at level metadata: a replay does it again")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"cached": True}, "not called: Prefect had its result cached"),
        ({"restored": True}, "not called: the replay put its result in place"),
        ({"state": "NotReady"}, "not called"),
        ({}, "no ledger was recorded"),
        ({"ledger": Ledger()}, ""),
    ],
)
def test_why_there_is_no_ledger_is_said(fields: dict[str, object], why: str) -> None:
    assert only(step(0, "load", **fields)).why == why


def test_a_record_written_before_there_were_ledgers_is_read() -> None:
    record = RunRecord(flow=backtest_flow(), steps=(step(0, "load"),))
    document = json.loads(record_json(record))
    for part in (document["flow"], *document["steps"]):
        del part["ledger"]
    del document["flow"]["unrestorable"]
    assert read_run_record(json.dumps(document).encode()) == record


def test_a_ledger_survives_the_run_record() -> None:
    ledger = Ledger(gaps=(CONNECTION,), tallies=(Tally(kind="connection", observed=2, covered=0),))
    record = RunRecord(flow=backtest_flow(ledger=ledger), steps=(step(0, "load", ledger=ledger),))
    assert read_run_record(record_json(record)) == record
