from __future__ import annotations

from typing import Any

from lineage_flows.graph.identity import action_arn
from lineage_flows.graph.keeper import Claim, Link, run_handle
from lineage_flows.graph.query import downstream, path, upstream
from lineage_flows.records import InputRef, ReplayInfo, RunRecord, Source
from tests.graph.kit import (
    action_of,
    data,
    desk_file,
    events_of,
    flow_id,
    frame,
    graph_of,
    labels,
    output_of,
    record_of,
)
from tests.support.records import (
    NAMESPACE,
    at,
    fingerprint,
    step,
)


def writer(number: int, day: int, name: str = "state", **fields: Any) -> RunRecord:
    wrote = step(
        0,
        f"write_{number}",
        flow_id=flow_id(number),
        started=at(day * 1000 + 1),
        ended=at(day * 1000 + 2),
        datasets=(desk_file(f"only_{number}", "1", "read"), desk_file(name, "same", "write")),
    )
    return record_of(wrote, run_name=f"writer-{number}", started=at(day * 1000), ended=at(day * 1000 + 9), **fields)


def reader(number: int, day: int) -> RunRecord:
    read = step(
        0,
        "read",
        flow_id=flow_id(number),
        started=at(day * 1000 + 1),
        ended=at(day * 1000 + 2),
        datasets=(desk_file("state", "same", "read"),),
        output=frame("read"),
    )
    return record_of(read, run_name=f"reader-{number}", started=at(day * 1000), ended=at(day * 1000 + 9))


def test_a_reader_got_what_was_written_last_before_it_and_not_what_others_wrote_alike():
    records = [writer(1, 1), writer(2, 2), reader(3, 3), writer(4, 4), reader(5, 5)]
    keeper = graph_of(event for record in records for event in events_of(record))
    assert data(upstream(keeper, output_of(keeper, records[2].steps[0]).arn)) == ["/desk/state", "/desk/only_2"]
    assert data(upstream(keeper, output_of(keeper, records[4].steps[0]).arn)) == ["/desk/state", "/desk/only_4"]
    (first,) = keeper.list_artifacts(source_uri="file:///desk/only_1")
    assert not [label for label in labels(downstream(keeper, first.arn)) if label == "backtest.read/result"]
    (fourth,) = keeper.list_artifacts(source_uri="file:///desk/only_4")
    readers = [
        node.entity for node in downstream(keeper, fourth.arn).nodes if node.entity.label == "backtest.read/result"
    ]
    assert readers == [output_of(keeper, records[4].steps[0])]


def test_a_run_does_not_descend_from_others_that_wrote_the_same_file():
    records = [writer(1, 1), writer(2, 2)]
    keeper = graph_of(event for record in records for event in events_of(record))
    walk = upstream(keeper, action_of(keeper, flow_id(1)).arn)
    assert data(walk) == ["/desk/state", "/desk/only_1"]
    assert path(keeper, action_of(keeper, flow_id(1)).arn, action_of(keeper, flow_id(2)).arn).entities == ()


def test_every_writer_of_a_version_is_upstream_of_the_version():
    records = [writer(1, 1), writer(2, 2)]
    keeper = graph_of(event for record in records for event in events_of(record))
    (version,) = keeper.list_artifacts(source_uri="file:///desk/state")
    assert set(data(upstream(keeper, version.arn))) == {"/desk/state", "/desk/only_1", "/desk/only_2"}


def test_a_file_written_and_read_in_one_run_comes_from_that_run():
    own = writer(7, 7)
    read = step(
        1,
        "read",
        flow_id=flow_id(7),
        started=at(7005),
        ended=at(7006),
        datasets=(desk_file("state", "same", "read"),),
        output=frame("r"),
    )
    meanwhile = writer(8, 7)
    (wrote,) = meanwhile.steps
    meanwhile = meanwhile.model_copy(
        update={"steps": (wrote.model_copy(update={"started": at(7003), "ended": at(7004)}),)}
    )
    records = [writer(1, 1), own.model_copy(update={"steps": (*own.steps, read)}), meanwhile]
    keeper = graph_of(event for record in records for event in events_of(record))
    assert data(upstream(keeper, output_of(keeper, read).arn)) == ["/desk/state", "/desk/only_7"]


def test_what_a_flow_read_does_not_come_from_what_its_steps_wrote_later():
    def today(**flow: Any) -> RunRecord:
        compute = step(
            5, "compute", flow_id=flow_id(7), started=at(7005), ended=at(7006), output=frame("c"),
            inputs=(InputRef(name="x", value=frame("of the flow's own")),),
        )  # fmt: skip
        source = Source(
            run_id=compute.run_id,
            uri=f"prefect://{NAMESPACE}/task-run/{compute.run_id}/result",
            fingerprint=fingerprint("c"),
        )
        wrote = step(
            9, "write", flow_id=flow_id(7), started=at(7050), ended=at(7051), output=frame("w"),
            inputs=(InputRef(name="x", value=frame("c"), sources=(source,)),), **flow.pop("wrote", {}),
        )  # fmt: skip
        return record_of(compute, wrote, started=at(7000), ended=at(7099), **flow)

    read, write = (desk_file("state", "same", way, at(moment)) for way, moment in (("read", 7001), ("write", 7050.5)))
    written_by_step = today(datasets=(read,), wrote={"datasets": (write,)})
    written_by_flow = today(datasets=(read, write))
    for record in (written_by_step, written_by_flow):
        (compute, _) = record.steps
        for before in ([], [writer(1, 1)]):
            keeper = graph_of(event for story in [*before, record] for event in events_of(story))
            (state,) = keeper.list_artifacts(source_uri="file:///desk/state")
            walk = upstream(keeper, output_of(keeper, compute).arn)
            assert data(walk) == ["/desk/state", *(f"/desk/only_{number + 1}" for number, _ in enumerate(before))]
            assert "write" not in labels(walk)
            down = downstream(keeper, output_of(keeper, compute).arn)
            assert {"write", "/desk/state"} <= set(labels(down))
            assert "compute" not in labels(down)
            assert state.arn in {node.entity.arn for node in down.nodes}


def test_a_path_may_begin_and_end_at_runs():
    records = [writer(1, 1), reader(3, 3)]
    keeper = graph_of(event for record in records for event in events_of(record))
    found = path(keeper, action_of(keeper, flow_id(1)).arn, action_of(keeper, flow_id(3)).arn)
    assert (found.entities[0].label, found.entities[-1].label) == ("writer-1", "reader-3")
    assert "/desk/state" in [entity.label for entity in found.entities]


def replay_of(original: RunRecord, again: RunRecord) -> RunRecord:
    """A run as a replay of another."""
    info = ReplayInfo(replay_of=original.flow.run_id)
    return again.model_copy(update={"flow": again.flow.model_copy(update={"replay": info})})


def test_a_replay_that_wrote_a_file_again_did_not_write_what_others_read():
    original, late = writer(1, 1), reader(5, 5)
    repeated = replay_of(original, writer(3, 3))
    keeper = graph_of(event for record in (original, repeated, late) for event in events_of(record))
    assert data(upstream(keeper, output_of(keeper, late.steps[0]).arn)) == ["/desk/state", "/desk/only_1"]
    walk = upstream(keeper, action_of(keeper, repeated.flow.run_id).arn)
    assert data(walk) == ["/desk/state", "/desk/only_3"]


def test_a_replay_read_what_its_original_had_read():
    first, original, second = writer(1, 1), reader(2, 2), writer(4, 4)
    repeated = replay_of(original, reader(6, 6))
    keeper = graph_of(event for record in (first, original, second, repeated) for event in events_of(record))
    for run in (original, repeated):
        assert data(upstream(keeper, output_of(keeper, run.steps[0]).arn)) == ["/desk/state", "/desk/only_1"]


def test_containment_that_goes_round_is_no_trap():
    """Another producer's parents may name each other."""
    keeper = graph_of(events_of(writer(1, 1)) + events_of(writer(2, 2)))
    runs = [run_handle(f"0000000{number}-0000-7000-8000-000000000000") for number in range(3)]
    claims = [
        Claim("Action", action_arn(f"a-{n}"), f"a-{n}", "u", (), run, "1", at(0), {"type": "Processing"})
        for n, run in enumerate(runs)
    ]
    (state,) = keeper.list_artifacts(source_uri="file:///desk/state")
    links = [Link(run, runs[(n + 1) % 3], "AssociatedWith", at(0)) for n, run in enumerate(runs)]
    keeper.upsert(claims, [*links, Link(state.arn, runs[0], "ContributedTo", at(0))])
    assert state.arn in {node.entity.arn for node in upstream(keeper, claims[0].arn).nodes}
    assert claims[0].arn in {node.entity.arn for node in downstream(keeper, state.arn).nodes}
