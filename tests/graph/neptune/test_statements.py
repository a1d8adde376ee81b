"""The statements, over engines of the two languages that know nothing of lineage: the same things as the embedded graph finds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage_flows.errors import GraphError
from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.neptune.export import write_folder
from lineage_flows.graph.neptune.statements import Statement, forget_walks, gremlin, opencypher, walk_opencypher
from lineage_flows.graph.query import downstream, upstream
from tests.graph.kit import arns, events_of, graph_of, output_of, picture
from tests.graph.stories import stories
from tests.support.neptune import Graphersal, Ladybug, Loaded, read_export
from tests.support.records import backtest_record, replay_record

RECORD = backtest_record()
WALKS = (("up", upstream), ("down", downstream))
slow = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def loaded_from(keeper: Keeper, style="gremlin") -> Loaded:
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside, "export")
        folder.mkdir()
        write_folder(keeper, folder, style)
        return read_export(folder, style)


@pytest.fixture(scope="module")
def example():
    return graph_of([*events_of(RECORD), *events_of(replay_record(RECORD, different=2))])


def test_gremlin_gives_what_the_embedded_graph_gives(example):
    engine = Graphersal(loaded_from(example))
    for entity in picture(example)[0]:
        for direction, walk in WALKS:
            found = engine.send(gremlin(entity.arn, direction))
            assert len(set(found)) == len(found)
            assert set(found) == arns(walk(example, entity.arn))


def test_opencypher_gives_what_the_embedded_graph_gives(example):
    engine = Ladybug(loaded_from(example, "opencypher"))
    for entity in picture(example)[0]:
        for direction, walk in WALKS:
            expected = sorted(arns(walk(example, entity.arn)))
            assert [row["arn"] for row in engine.send(opencypher(entity.arn, direction))] == expected
            assert walk_opencypher(engine.send, entity.arn, direction) == expected


@pytest.mark.slow
@slow
@given(st.tuples(stories(1), stories(2)))
def test_both_give_the_same_of_made_up_runs(records):
    keeper = graph_of(event for record in records for event in events_of(record))
    loaded = loaded_from(keeper)
    in_gremlin, in_opencypher = Graphersal(loaded), Ladybug(loaded)
    for entity in picture(keeper)[0]:
        for direction, walk in WALKS:
            expected = sorted(arns(walk(keeper, entity.arn)))
            assert sorted(in_gremlin.send(gremlin(entity.arn, direction))) == expected
            assert walk_opencypher(in_opencypher.send, entity.arn, direction) == expected


def test_a_value_is_never_part_of_an_opencypher_statement(example):
    evil = "x' OR 1=1 RETURN n //"
    statement = opencypher(evil, "up")
    assert evil not in statement.text
    assert statement.parameters == {"arn": evil}
    engine = Ladybug(loaded_from(example))
    assert engine.send(statement) == []
    assert walk_opencypher(engine.send, evil, "up") == []


@given(st.text(min_size=1))
def test_only_harmless_characters_become_part_of_a_gremlin_statement(text):
    arn = f"arn:aws:sagemaker:eu-west-1:123456789012:action/{text}"
    harmless = all(character.isascii() and (character.isalnum() or character in ":/._+=@,-") for character in text)
    if harmless:
        assert gremlin(arn, "up").startswith(f'g.V("{arn}").emit()')
    else:
        with pytest.raises(GraphError, match="Ask in openCypher"):
            gremlin(arn, "up")


@pytest.mark.parametrize("text", ['a"); g.V().drop(); g.V("', "${x}", "a\\", "a'b", "a\nb", "ä", ""])
def test_a_gremlin_statement_cannot_be_broken_out_of(text):
    with pytest.raises(GraphError):
        gremlin(text, "down")


def test_many_places_are_asked_about_in_several_statements(example, monkeypatch):
    monkeypatch.setattr("lineage_flows.graph.neptune.statements._MOST_IDS", 2)
    engine = Ladybug(loaded_from(example))
    asked = []

    def send(statement):
        asked.append(len(statement.parameters["ids"]))
        return engine.send(statement)

    model = output_of(example, RECORD.steps[-1]).arn
    assert walk_opencypher(send, model, "up") == sorted(arns(upstream(example, model)))
    assert max(asked) == 2


def test_walks_can_be_forgotten_and_loaded_again(example):
    """What a later run made known changes where walks go: steps of an earlier load must not stay."""
    earlier = loaded_from(graph_of(events_of(RECORD)))
    later = loaded_from(example)
    in_gremlin, in_opencypher = forget_walks()
    engine = Graphersal(earlier)
    for statement in in_gremlin:
        engine.send(statement)
    assert set(engine.send("g.V().label().dedup()")) == {"Artifact", "Action", "Context"}
    assert not set(engine.send("g.E().label().dedup()")) & {"Upstream", "Downstream", "StandsFor"}
    engine.load(later)
    cypher = Ladybug(earlier)
    for statement in in_opencypher:
        cypher.send(statement)
    kinds = "Upstream|Downstream|StandsFor"
    assert cypher.send(Statement(f"MATCH ()-[step:{kinds}]->() RETURN count(step) AS count")) == [{"count": 0}]
    assert cypher.send(Statement("MATCH (place:Place) RETURN count(place) AS count")) == [{"count": 0}]
    model = output_of(example, RECORD.steps[-1]).arn
    assert set(engine.send(gremlin(model, "down"))) == arns(downstream(example, model))
