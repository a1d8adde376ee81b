"""What jobs in SageMaker name by a URI, and the versions of objects that steps wrote and read."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.graph.joins import is_joined
from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.query import downstream, path, upstream
from lineage_flows.records import ObjectFacts, ReplayInfo, RunRecord
from tests.graph.jobs import DAY, IMAGE, arn_of, preparing, s3, scoring, thing, training
from tests.graph.kit import (
    action_of,
    data,
    desk_file,
    events_of,
    flow_id,
    frame,
    graph_of,
    output_of,
    picture,
    record_of,
)
from tests.support.records import at, step


def graph(*records: RunRecord) -> Keeper:
    return graph_of(event for record in records for event in events_of(record))


def raw(keeper: Keeper, arn: str) -> list[str]:
    """The files on the desk from which a thing comes."""
    return data(upstream(keeper, arn))


def joins(keeper: Keeper) -> set[tuple[str, str, str]]:
    """The associations between artifacts, by URI and version."""
    names = {
        item.arn: ":".join([item.source_uri, *(part.value for part in item.source_types)])
        for item in keeper.list_artifacts()
    }
    return {
        (names[edge.source_arn], edge.association_type, names[edge.destination_arn])
        for edge in keeper.associations()
        if edge.source_arn in names and edge.destination_arn in names
    }


def test_from_what_reads_a_model_the_way_leads_over_the_job_to_who_wrote_its_data() -> None:
    score = scoring(1, 1)
    keeper = graph(preparing(1), training(1), score)
    walk = upstream(keeper, output_of(keeper, score.steps[0]).arn)
    met = [node.entity.source_uri for node in walk.nodes]
    assert {arn_of("Nightly-1"), "s3://desk/train", "s3://desk/train/part-0.csv", IMAGE, "file:///desk/raw_1_0"} <= set(
        met
    )
    assert joins(keeper) == {
        ("s3://desk/train/part-0.csv:day-1-0", "ContributedTo", "s3://desk/train"),
        (arn_of("Nightly-1"), "ContributedTo", "s3://desk/models/Nightly-1/output/model.tar.gz:model-1"),
    }
    (written,) = keeper.list_artifacts(source_uri="file:///desk/raw_1_0")
    result = output_of(keeper, score.steps[0])
    assert result.arn in {node.entity.arn for node in downstream(keeper, written.arn).nodes}
    way = path(keeper, written.arn, result.arn).entities
    assert (way[0], way[-1]) == (written, result)
    assert {"s3://desk/train", arn_of("Nightly-1")} <= {entity.source_uri for entity in way}


def test_a_job_saw_the_last_version_of_each_object_before_it_and_what_came_later_is_none_of_it() -> None:
    records = [
        preparing(1), preparing(1, 1, key="train/part-1.csv"), training(1), preparing(1, 2, late=True),
        preparing(2), training(2), scoring(2, 1), scoring(3, 2),
    ]  # fmt: skip
    keeper = graph(*records)
    of_day = {day: raw(keeper, keeper.list_artifacts(source_uri=arn_of(f"Nightly-{day}"))[0].arn) for day in (1, 2)}
    assert set(of_day[1]) == {"/desk/raw_1_0", "/desk/raw_1_1"}
    assert set(of_day[2]) == {"/desk/raw_2_0", "/desk/raw_1_1"}
    for score, of in ((records[6], 1), (records[7], 2)):
        assert set(raw(keeper, output_of(keeper, score.steps[0]).arn)) == set(of_day[of])


@pytest.mark.parametrize("uri", ["s3://desk/train", "s3://desk/train/", "s3://desk/", "s3://desk/train/part-0.csv"])
def test_a_channel_is_a_folder_a_bucket_or_the_object_itself(uri: str) -> None:
    keeper = graph(preparing(1), training(1, channel=uri))
    (job,) = keeper.list_artifacts(source_uri=arn_of("Nightly-1"))
    assert raw(keeper, job.arn) == ["/desk/raw_1_0"]
    kind = "SameAs" if uri.endswith("csv") else "ContributedTo"
    assert ("s3://desk/train/part-0.csv:day-1-0", kind, uri) in joins(keeper)


@pytest.mark.parametrize("key", ["train-old/x.csv", "trai", "other/train/x.csv", "Train/x.csv"])
def test_what_only_looks_alike_lies_in_no_channel(key: str) -> None:
    keeper = graph(preparing(1, key=key), training(1))
    assert joins(keeper) == set()


@pytest.mark.parametrize(("moment", "read"), [(1.5, "own"), (2, "own"), (3, "day-1-0")])
def test_what_was_written_last_before_the_call_is_what_a_job_read_and_of_one_moment_its_own_runs(
    moment: float, read: str
) -> None:
    noon = DAY + 4000
    own = s3("s3://desk/train/part-0.csv", "write", noon + 2, "own")
    meanwhile = preparing(1)
    (wrote,) = meanwhile.steps
    late = wrote.model_copy(update={
        "started": at(noon + 1), "ended": at(noon + 4),
        "datasets": tuple(item.model_copy(update={"touched": at(noon + moment)}) for item in wrote.datasets),
    })  # fmt: skip
    keeper = graph(meanwhile.model_copy(update={"steps": (late,)}), training(1, own=(own,)))
    (job,) = keeper.list_artifacts(source_uri=arn_of("Nightly-1"))
    met = {tuple(part.value for part in node.entity.source_types) for node in upstream(keeper, job.arn).nodes
           if node.entity.source_uri == "s3://desk/train/part-0.csv"}  # fmt: skip
    assert met == {(read,)}


def processing(day: int, *more: Any) -> RunRecord:
    """A run that has a job write into a folder, on a day."""
    begin, run = day * DAY, flow_id(60 + day)
    started = step(
        0, "process", flow_id=run, started=at(begin + 1), ended=at(begin + 9), output=None,
        datasets=(
            desk_file(f"settings_{day}", "1", "read"),
            s3("s3://desk/out", "write", begin + 5, output="clean"),
            thing(arn_of(f"clean-{day}", "processing"), "write", begin + 5, job="ProcessingJob"),
            *more,
        ),
    )  # fmt: skip
    return record_of(started, started=at(begin), ended=at(begin + 10), run_name=f"process-{day}")


def reading(day: int, version: str, numbered: str | None = None) -> RunRecord:
    """A run that reads what lies in that folder, later that day."""
    begin, run = day * DAY + 500, flow_id(80 + day)
    data = s3("s3://desk/out/x.csv", "read", begin + 5, version)
    data = data.model_copy(update={"facts": ObjectFacts(etag=version, version=numbered)})
    read = step(
        0, "read", flow_id=run, started=at(begin + 1), ended=at(begin + 9), output=frame(f"x {day}"), datasets=(data,)
    )
    return record_of(read, started=at(begin), ended=at(begin + 10), run_name=f"read-{day}")


@pytest.mark.parametrize("versions", [("v1", "v2"), ("v1", "v1")])
def test_what_a_later_job_wrote_into_a_folder_reached_nobody_who_had_read_from_it_before(
    versions: tuple[str, str],
) -> None:
    reads = [reading(day, version) for day, version in enumerate(versions, start=1)]
    keeper = graph(processing(1), processing(2), *reads)
    (settings_2,) = keeper.list_artifacts(source_uri="file:///desk/settings_2")
    below = {node.entity.arn for node in downstream(keeper, settings_2.arn).nodes}
    first, second = (action_of(keeper, read.steps[0].run_id).arn for read in reads)
    assert first not in below
    assert second in below
    assert "/desk/settings_2" in raw(keeper, second)
    assert raw(keeper, first) == ["/desk/settings_1"]


def test_an_object_that_was_written_alike_on_two_days_came_into_a_job_from_who_had_written_it_by_then() -> None:
    keeper = graph(preparing(1, version="same"), training(1), preparing(2, version="same"), training(2))
    for day, jobs in ((1, {arn_of("Nightly-1")}), (2, {arn_of("Nightly-2")})):
        (written,) = keeper.list_artifacts(source_uri=f"file:///desk/raw_{day}_0")
        met = {node.entity.source_uri for node in downstream(keeper, written.arn).nodes}
        assert {uri for uri in met if "training-job" in uri} == jobs
        assert raw(keeper, keeper.list_artifacts(source_uri=next(iter(jobs)))[0].arn) == [f"/desk/raw_{day}_0"]


def test_a_numbered_version_that_was_read_before_a_job_is_none_of_that_jobs() -> None:
    reads = [reading(1, "holidays", "0001"), reading(3, "holidays", "0001")]
    keeper = graph(reads[0], processing(2), reads[1])
    for read in reads:
        assert raw(keeper, action_of(keeper, read.steps[0].run_id).arn) == []
    (settings_2,) = keeper.list_artifacts(source_uri="file:///desk/settings_2")
    below = {node.entity.arn for node in downstream(keeper, settings_2.arn).nodes}
    assert below.isdisjoint(action_of(keeper, read.steps[0].run_id).arn for read in reads)


def test_of_a_step_that_starts_jobs_of_two_kinds_no_other_jobs_model_is_said_to_come() -> None:
    both = processing(
        1, s3("s3://desk/models", "write", DAY + 6, output="S3OutputPath"), thing(arn_of("Nightly-1"), "write", DAY + 6)
    )
    assert joins(graph(both, scoring(1, 1), scoring(2, 77))) == {
        (arn_of("Nightly-1"), "ContributedTo", "s3://desk/models/Nightly-1/output/model.tar.gz:model-1")
    }


def test_a_version_that_somebody_is_known_to_have_written_came_from_no_folder_of_a_job() -> None:
    processing = step(
        0, "process", flow_id=flow_id(9), started=at(10), ended=at(19), output=None,
        datasets=(
            s3("s3://desk/in", "read", 15, input="raw"),
            s3("s3://desk/out", "write", 15, output="clean"),
            thing(arn_of("clean", "processing"), "write", 15, job="ProcessingJob"),
        ),
    )  # fmt: skip

    def reading(number: int, key: str, version: str) -> RunRecord:
        read = step(0, "read", flow_id=flow_id(number), started=at(900), ended=at(909),
                    datasets=(s3(f"s3://desk/out/{key}", "read", 905, version),))  # fmt: skip
        return record_of(read, started=at(900), ended=at(910))

    by_hand = preparing(0, key="out/by-hand.csv", version="mine")
    records = [reading(30, "a.csv", "clean"), reading(31, "by-hand.csv", "mine")]
    keeper = graph(preparing(0, 1, key="in/a.csv", version="x"), record_of(processing), by_hand, *records)
    clean, mine = (
        {node.entity.source_uri for node in upstream(keeper, action_of(keeper, record.steps[0].run_id).arn).nodes}
        for record in records
    )
    assert {"s3://desk/out", "s3://desk/in/a.csv", "file:///desk/raw_0_1"} <= clean
    assert "s3://desk/out" not in mine
    assert "file:///desk/raw_0_0" in mine


def test_what_a_replay_wrote_again_is_not_what_a_job_read() -> None:
    again = preparing(1, 1)
    info = ReplayInfo(replay_of=preparing(1).flow.run_id)
    again = again.model_copy(update={"flow": again.flow.model_copy(update={"replay": info})})
    keeper = graph(preparing(1), again, training(1))
    (job,) = keeper.list_artifacts(source_uri=arn_of("Nightly-1"))
    assert raw(keeper, job.arn) == ["/desk/raw_1_0"]


def test_data_without_a_version_that_no_job_names_is_joined_to_nothing() -> None:
    read = step(
        0, "read", flow_id=flow_id(7), started=at(900), ended=at(909), datasets=(s3("s3://desk/train", "read", 905),)
    )
    keeper = graph(preparing(0), record_of(read), training(1, channel="s3://other/train"))
    assert joins(keeper) == set()


DAYS = [
    preparing(1), preparing(1, 2, late=True), preparing(2), training(1), training(2), scoring(1, 1), scoring(2, 2),
]  # fmt: skip
MORE = [
    preparing(1, 1, key="train/part-1.csv"), training(3, channel="s3://desk/train/part-0.csv"), scoring(3, 1),
    preparing(3, key="models/Nightly-1/x"),
]  # fmt: skip


def some(records: list[RunRecord]) -> st.SearchStrategy[list[RunRecord]]:
    return st.lists(st.sampled_from(records), min_size=1, max_size=7, unique_by=lambda record: record.flow.run_id)


@given(some(DAYS + MORE), st.integers(1, 5), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_joins_are_a_function_of_the_set_of_events(records: list[RunRecord], size: int, chance: random.Random) -> None:
    events = [event for record in records for event in events_of(record)]
    shuffled = [*events, *events[:3]]
    chance.shuffle(shuffled)
    assert picture(graph_of(shuffled, batch=size)) == picture(graph_of(events))


KEYS = ("train/a", "train/b", "train", "train-old/a")


@given(
    writes=st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from("xyz"), st.integers(1, 40)), max_size=6),
    channels=st.lists(st.sampled_from(["s3://desk/train/", "s3://desk/train/a"]), min_size=1, max_size=3),
    chance=st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_what_a_job_comes_from_is_what_lay_there_when_it_was_started(
    writes: list[tuple[str, str, int]], channels: list[str], chance: random.Random
) -> None:
    """Against a bucket that is kept here: writers overwrite each other, with equal content too, and go on after the write."""
    moments = chance.sample(range(100, 2_000), len(writes) + len(channels))
    there = {}
    for number, ((key, version, more), moment) in enumerate(zip(writes, moments, strict=False)):
        wrote = step(
            0, f"write_{number}", flow_id=flow_id(10 + number), started=at(moment - 20), ended=at(moment + more),
            datasets=(desk_file(f"raw_{number}", "1", "read"), s3(f"s3://desk/{key}", "write", moment, version)),
        )  # fmt: skip
        there[moment] = (key, f"/desk/raw_{number}", record_of(wrote, started=at(moment - 21), ended=at(moment + 50)))
    expected, records = {}, [record for _, _, record in there.values()]
    for number, (channel, moment) in enumerate(zip(channels, moments[len(writes) :], strict=True)):
        arn = arn_of(f"job-{number}")
        started = step(
            0, "start", flow_id=flow_id(30 + number), started=at(moment - 5), ended=at(moment + 5), output=frame(arn),
            datasets=(s3(channel, "read", moment, channel="train"), thing(arn, "write", moment, job="TrainingJob")),
        )  # fmt: skip
        records.append(record_of(started, started=at(moment - 6), ended=at(moment + 6)))
        last = {key: raw_file for when, (key, raw_file, _) in sorted(there.items()) if when <= moment}
        expected[arn] = {
            last[key] for key in ("train/a", "train/b") if key in last and f"s3://desk/{key}".startswith(channel)
        }
    keeper = graph(*records)
    jobs = {arn: keeper.list_artifacts(source_uri=arn)[0].arn for arn in expected}
    assert {arn: set(raw(keeper, jobs[arn])) for arn in expected} == expected
    reached: dict[str, set[str]] = {arn: set() for arn in expected}
    for _, raw_file, _ in there.values():
        (read,) = keeper.list_artifacts(source_uri=f"file://{raw_file}")
        below = {node.entity.arn for node in downstream(keeper, read.arn).nodes}
        for arn in expected:
            reached[arn] |= {raw_file} if jobs[arn] in below else set()
    assert reached == expected


ALIKE = [
    *DAYS, preparing(1, version="same"), preparing(2, 3, version="same", late=True), processing(1), processing(2), reading(1, "v"),
    reading(2, "v"), reading(3, "v", "0001"), reading(4, "v", "0001"),
]  # fmt: skip


@given(some(ALIKE))
@settings(max_examples=40, deadline=None)
def test_upstream_and_downstream_are_mirror_images(records: list[RunRecord]) -> None:
    keeper = graph(*records)
    things: list[Any] = [*keeper.list_artifacts(), *keeper.list_actions()]
    others = {"FlowRun", "RunRecord", "SourceTree", "Environment"}
    names = {item.arn: item.label for item in things if item.type not in others}
    above = {(a, node.entity.arn) for a in names for node in upstream(keeper, a).nodes if node.depth}
    below = {(node.entity.arn, a) for a in names for node in downstream(keeper, a).nodes if node.depth}
    lacking = (above ^ below) & {(a, b) for a in names for b in names}
    assert not [(names[a], names[b], (a, b) in above) for a, b in lacking]


@pytest.mark.parametrize(
    ("source", "destination", "joined"),
    [
        ("s3://b/a", "s3://b/a", True),
        ("s3://b/a/x", "s3://b/a", True),
        ("s3://b/a/", "s3://b/a/x", True),
        ("s3://b/ab", "s3://b/a", False),
        (arn_of("x"), "s3://b/a", True),
        ("s3://b/a", arn_of("x"), False),
        ("file:///a", "file:///a", False),
        ("s3://", "s3://b", False),
    ],
)
def test_which_associations_are_joins(source: str, destination: str, joined: bool) -> None:
    assert is_joined(source, destination) is joined
