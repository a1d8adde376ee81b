from __future__ import annotations

from typing import Any

from lineage_flows.graph.identity import action_arn, artifact_arn
from lineage_flows.graph.keeper import Claim, Link
from lineage_flows.graph.query import downstream, path, upstream
from tests.graph.kit import (
    data,
    desk_file,
    events_of,
    flow_id,
    frame,
    graph_of,
    new_graph,
    record_of,
)
from tests.support.records import (
    at,
    step,
)


def artifact(name: str) -> Claim:
    uri = f"file:///{name}"
    return Claim("Artifact", artifact_arn(uri, ()), None, uri, (), None, "2", at(0), {"type": "DataSet"})


def action(number: int) -> Claim:
    run_id = f"{number:08x}-0000-7000-8000-000000000000"
    name = f"run-{run_id}"
    sources = (("T", run_id),)
    return Claim("Action", action_arn(name), name, "u", sources, f"run:{run_id}", "1", at(0), {"type": "Processing"})


def test_a_cycle_is_walked_once():
    data_, step_ = artifact("a"), action(1)
    keeper = new_graph()
    keeper.upsert(
        [data_, step_],
        [
            Link(data_.arn, str(step_.handle), "ContributedTo", at(0)),
            Link(str(step_.handle), data_.arn, "Produced", at(0)),
            Link(str(step_.handle), str(step_.handle), "AssociatedWith", at(0)),
        ],
    )
    for ask in (upstream, downstream):
        walk = ask(keeper, data_.arn)
        assert [(node.entity.arn, node.depth) for node in walk.nodes] == [(data_.arn, 0), (step_.arn, 1)]
        assert len(walk.edges) == 2
        assert len(ask(keeper, step_.arn).nodes) == 2


def test_a_path_past_a_cycle_ends():
    """What is read (b) is also written by the step it leads to; the other input (c) comes from a."""
    a, b, c, first, second = artifact("a"), artifact("b"), artifact("c"), action(1), action(2)
    keeper = new_graph()
    keeper.upsert(
        [a, b, c, first, second],
        [
            Link(a.arn, str(first.handle), "ContributedTo", at(0)),
            Link(str(first.handle), c.arn, "Produced", at(0)),
            Link(c.arn, str(second.handle), "ContributedTo", at(0)),
            Link(b.arn, str(second.handle), "ContributedTo", at(0)),
            Link(str(second.handle), b.arn, "Produced", at(0)),
        ],
    )
    found = path(keeper, a.arn, second.arn)
    assert [entity.arn for entity in found.entities] == [a.arn, first.arn, c.arn, second.arn]


def chain(length: int) -> tuple[list[Claim], list[Link]]:
    """One thing made from another, over and over."""
    things = [artifact(str(number)) for number in range(length + 1)]
    steps = [action(number) for number in range(length)]
    links = []
    for number, made in enumerate(steps):
        links.append(Link(things[number].arn, str(made.handle), "ContributedTo", at(0)))
        links.append(Link(str(made.handle), things[number + 1].arn, "Produced", at(0)))
    return [*things, *steps], links


def test_a_walk_along_ten_thousand_edges_takes_few_queries():
    length, most = 5_000, 60
    keeper = new_graph()
    keeper.upsert(*chain(length))
    statements: list[str] = []
    connection: Any = keeper._connected()
    connection.set_trace_callback(statements.append)
    walk = upstream(keeper, artifact(str(length)).arn)
    assert len(walk.nodes) == 2 * length + 1
    assert walk.nodes[-1].depth == 2 * length
    assert len(statements) < most
    statements.clear()
    assert len(downstream(keeper, artifact("0").arn).nodes) == 2 * length + 1
    assert len(statements) < most


def test_a_walk_through_many_files_written_between_steps_takes_few_queries():
    days = 80
    events = []
    for day in range(days):
        load = step(
            0, "load", flow_id=flow_id(day), started=at(day * 1000 + 1), ended=at(day * 1000 + 2), output=frame("x")
        )
        load = load.model_copy(update={"datasets": (desk_file(f"state-{day}", "1", "read"),)})
        wrote = (desk_file(f"state-{day + 1}", "1", "write"),)
        events += events_of(record_of(load, datasets=wrote, started=at(day * 1000), ended=at(day * 1000 + 9)))
    keeper = graph_of(events)
    statements: list[str] = []
    connection: Any = keeper._connected()
    (last,) = keeper.list_artifacts(source_uri=f"file:///desk/state-{days}")
    connection.set_trace_callback(statements.append)
    walk = upstream(keeper, last.arn)
    assert len(data(walk)) == days + 1
    assert len(statements) < 700
