from __future__ import annotations

import random
import sqlite3
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.errors import GraphError
from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.neptune import export as exporting
from lineage_flows.graph.neptune import walks
from lineage_flows.graph.neptune.export import export, write_folder
from lineage_flows.graph.neptune.tables import FORMATS
from lineage_flows.graph.query import downstream, upstream
from lineage_flows.records import InputRef, ReplayInfo
from tests.graph.kit import action_of, arns, events_of, frame, graph_of, new_graph, output_of, picture, record_of
from tests.graph.stories import stories
from tests.support.neptune import Loaded, read_export
from tests.support.records import at, backtest_record, replay_record, step

RECORD = backtest_record()
slow = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def exported(keeper: Keeper, style="gremlin", start=None, direction=None) -> Loaded:
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside, "export")
        folder.mkdir()
        counts = write_folder(keeper, folder, style, start, direction)
        loaded = read_export(folder, style)
        assert counts.entities + counts.places == len(loaded.vertices)
        assert counts.associations + counts.steps == len(loaded.edges)
        assert {path.name for path in Path(aside).iterdir()} == {"export"}, "something was left beside it"
    return loaded


Edges = dict[tuple[str, str], list[str]]


def edges_of(loaded: Loaded) -> Edges:
    after: Edges = defaultdict(list)
    for source, destination, kind, _ in loaded.edges.values():
        after[source, kind].append(destination)
    return after


def walked(loaded: Loaded, arn: str, label: str, after: Edges | None = None) -> set[str]:
    """What one meets who follows the edges of walks, and knows no rules."""
    after = edges_of(loaded) if after is None else after
    seen, level, found = {arn}, [arn], set[str]()
    while level:
        vertex = level.pop()
        found.update([vertex] if loaded.vertices[vertex][0] != "Place" else after[vertex, "StandsFor"])
        fresh = set(after[vertex, label]) - seen
        seen |= fresh
        level += fresh
    return found


def assert_walks_are_the_keepers(keeper: Keeper, loaded: Loaded) -> None:
    after = edges_of(loaded)
    for entity in picture(keeper)[0]:
        assert walked(loaded, entity.arn, "Upstream", after) == arns(upstream(keeper, entity.arn)), entity.label
        assert walked(loaded, entity.arn, "Downstream", after) == arns(downstream(keeper, entity.arn)), entity.label


@pytest.mark.parametrize("style", FORMATS)
def test_every_entity_and_association_is_there_by_its_arn(style):
    keeper = graph_of(events_of(RECORD))
    loaded = exported(keeper, style)
    entities, edges = picture(keeper)
    vertices = {key: (label, own["type"]) for key, (label, own) in loaded.vertices.items() if label != "Place"}
    assert vertices == {entity.arn: (entity.lineage_type, entity.type) for entity in entities}
    found = {
        edge[:3]: edge[3].get("uses")
        for edge in loaded.edges.values()
        if edge[2] not in {"Upstream", "Downstream", "StandsFor"}
    }
    assert found.keys() == {(edge.source_arn, edge.destination_arn, edge.association_type) for edge in edges}
    assert {key for key, uses in found.items() if uses} == {
        (edge.source_arn, edge.destination_arn, edge.association_type) for edge in edges if edge.uses
    }


def test_walks_of_the_running_example_and_its_replay():
    keeper = graph_of([*events_of(RECORD), *events_of(replay_record(RECORD, different=2))])
    assert_walks_are_the_keepers(keeper, exported(keeper))


@pytest.mark.slow
@slow
@given(st.tuples(stories(1), stories(2), stories(3)))
def test_walks_of_made_up_runs(records):
    keeper = graph_of(event for record in records for event in events_of(record))
    assert_walks_are_the_keepers(keeper, exported(keeper))


@pytest.mark.slow
@slow
@given(st.tuples(stories(1), stories(2), stories(3)))
def test_walks_where_one_run_replays_another(records):
    """A replay names what it repeats, writes elsewhere in the rules' eyes, and reads what that read."""
    first, replay, last = records
    info = ReplayInfo(replay_of=first.flow.run_id, requested_by="researcher")
    replay = replay.model_copy(update={"flow": replay.flow.model_copy(update={"replay": info})})
    keeper = graph_of(event for record in (first, replay, last) for event in events_of(record))
    assert keeper.list_actions(action_types=["Replay"])
    loaded = exported(keeper)
    assert_walks_are_the_keepers(keeper, loaded)
    assert walked(loaded, action_of(keeper, replay.flow.run_id).arn, "Upstream") >= {
        action_of(keeper, first.flow.run_id).arn
    }


@settings(slow, max_examples=15)
@given(st.tuples(stories(1), stories(2)))
def test_what_was_fetched_may_be_let_go_at_any_time(records):
    keeper = graph_of(event for record in records for event in events_of(record))
    whole = exported(keeper)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "_MOST_FETCHED", 1)
        patch.setattr(walks, "_GROUP", 2)
        patch.setattr(walks, "_SLICE", 1)
        patch.setattr("lineage_flows.graph.neptune.scratch._PAGE", 1)
        patch.setattr(exporting, "_PAGE", 2)
        assert exported(keeper) == whole


@settings(slow, max_examples=20)
@given(st.tuples(stories(1), stories(2)), st.randoms(use_true_random=False))
def test_a_part_of_a_graph_has_the_walk_it_was_made_for(records, rng: random.Random):
    keeper = graph_of(event for record in records for event in events_of(record))
    entities, edges = picture(keeper)
    start = rng.choice(entities).arn
    for direction, label, walk in (("up", "Upstream", upstream), ("down", "Downstream", downstream)):
        loaded = exported(keeper, "opencypher", start, direction)
        met = arns(walk(keeper, start))
        assert walked(loaded, start, label) == met
        assert {key for key, (kind, _) in loaded.vertices.items() if kind != "Place"} == met
        found = {edge[:3] for edge in loaded.edges.values() if edge[2] not in {label, "StandsFor"}}
        assert found == {
            (edge.source_arn, edge.destination_arn, edge.association_type)
            for edge in edges
            if {edge.source_arn, edge.destination_arn} <= met
        }


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("style", FORMATS)
def test_the_same_graph_gives_the_same_bytes_whatever_the_order_of_its_events(tmp_path, style):
    events = [*events_of(RECORD), *events_of(replay_record(RECORD, different=2))]
    export(graph_of(events), tmp_path / "one", style)
    random.Random(7).shuffle(events)
    export(graph_of(events, batch=3), tmp_path / "two", style)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_a_long_run_takes_no_more_steps_than_it_has_things(tmp_path):
    """Every step of it may have used what any earlier one gave out: as edges from each to each, that would be half a million."""
    steps = [
        step(
            number,
            "compute",
            started=at(number * 2),
            ended=at(number * 2 + 1),
            inputs=(InputRef(name="x", value=frame(f"in {number}")),),
            output=frame(f"out {number}"),
        )
        for number in range(1, 301)
    ]
    keeper = graph_of(events_of(record_of(*steps)))
    counts = export(keeper, tmp_path / "out", "gremlin")
    last = output_of(keeper, steps[-1])
    assert len(arns(upstream(keeper, last.arn))) > 600
    assert counts.steps < 40 * len(steps)
    loaded = read_export(tmp_path / "out", "gremlin")
    assert walked(loaded, last.arn, "Upstream") == arns(upstream(keeper, last.arn))


def test_a_keeper_that_cannot_be_paged_through_is_exported_as_well(tmp_path):
    keeper = graph_of(events_of(RECORD))

    class Plain:
        """A keeper with what the protocol has, and nothing else."""

        def __getattr__(self, name):
            if name == "entities_after":
                raise AttributeError(name)
            return getattr(keeper, name)

    export(keeper, tmp_path / "one", "gremlin")
    export(Plain(), tmp_path / "two", "gremlin")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_an_empty_graph_leaves_nothing(tmp_path):
    with pytest.raises(GraphError, match="nothing to export"):
        export(new_graph(), tmp_path / "out", "gremlin")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    keeper = graph_of(events_of(RECORD))
    monkeypatch.setattr(exporting.tables, "place_table", broken)
    with pytest.raises(GraphError, match="No space left"):
        export(keeper, tmp_path / "out", "gremlin")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_for_sorting_is_told(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("lineage_flows.graph.neptune.scratch.Scratch.add_steps", full)
    with pytest.raises(GraphError, match=r"cannot be sorted on disk: database or disk is full\. Make room under"):
        export(graph_of(events_of(RECORD)), tmp_path / "out", "gremlin")
    assert list(tmp_path.iterdir()) == []


def broken(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_without_records_is_not_written(tmp_path):
    keeper = graph_of(events_of(RECORD))
    (prices,) = keeper.list_artifacts(source_uri="file:///desk/data/prices.parquet")
    counts = export(keeper, tmp_path / "out", "gremlin", prices.arn, "up")
    assert (counts.entities, counts.associations) == (1, 0)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"artifacts.csv"}
    assert action_of(keeper, RECORD.flow.run_id).arn not in (tmp_path / "out" / "artifacts.csv").read_text()
