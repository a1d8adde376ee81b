"""Generator tasks: what they yield is recorded, linked and told apart, whoever reads it and however far."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from lineage_flows.capture import engine
from lineage_flows.capture.links import Links
from lineage_flows.capture.yields import MOST_PARTS, UNSEEN, Yields
from lineage_flows.compare.values import compare_refs
from lineage_flows.content import describe
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.model import Action, Artifact
from lineage_flows.graph.query import upstream
from lineage_flows.graph.reference import resolve_one
from tests.support.flows import Ran, run_script


def whole(*values: object, returns: object = None, left: bool = False):
    yields = Yields("generator")
    for value in values:
        yields.add(describe(value))
    return yields.whole(describe(returns), left=left)


def test_the_fingerprint_is_that_of_all_that_was_yielded_in_order():
    assert whole(1.5, 2.5).fingerprint == whole(1.5, 2.5).fingerprint
    different = [whole(1.5, 2.5), whole(2.5, 1.5), whole(1.5), whole(), whole(1.5, 2.5, returns=1), whole([1.5, 2.5])]
    assert len({value.fingerprint for value in different}) == len(different)


def test_the_parts_are_bounded_and_the_fingerprint_is_not():
    many = [index + 0.5 for index in range(MOST_PARTS + 50)]
    value = whole(*many)
    assert (value.shape, len(value.parts), value.parts[1].path) == ((len(many),), MOST_PARTS, "/1")
    assert value.fingerprint != whole(*many[:-1], 0.25).fingerprint


def test_one_yield_without_a_fingerprint_leaves_the_whole_without():
    value = whole(1.5, iter([1]), 2.5)
    assert (value.fingerprint, value.rule) == (None, "none")
    assert "/1 has no fingerprint" in value.note


def test_a_generator_that_is_left_says_how_far_it_was_read():
    assert whole(1.5).note is None
    value = whole(1.5, left=True)
    assert value.note == "not read to its end: 1 value was yielded"
    assert value.fingerprint == whole(1.5).fingerprint


def test_other_yields_are_a_difference():
    assert compare_refs(whole(1.5), whole(1.5), read=None).verdict == "identical"
    assert compare_refs(whole(1.5), whole(2.5), read=None).verdict == "different"


def test_an_engine_that_hands_yields_on_in_another_way_is_found(monkeypatch):
    assert engine.check_yields() is None
    monkeypatch.setattr("prefect.task_engine.run_generator_task_async", lambda: None)
    assert (
        engine.check_yields()
        == "prefect.task_engine.run_generator_task_async does not call link_state_to_task_run_result"
    )
    monkeypatch.delattr("prefect.task_engine.link_state_to_task_run_result")
    assert "does not exist" in engine.check_yields()


def test_a_yield_links_as_a_part_of_an_output_whose_fingerprint_nobody_knows_yet():
    links = Links()
    links.yielded("gen", "uri:gen", "/0", describe({"price": 101.25, "trivial": 2.0}))
    (source,) = links.sources(describe(101.25), (), identity_is_safe=True)
    assert (source.run_id, source.part, source.fingerprint) == ("gen", "/0/price", None)
    (listed,) = links.sources(describe([{"price": 101.25, "trivial": 2.0}]), ("gen",), identity_is_safe=False)
    assert (listed.part, listed.known_by) == ("/0", ("content", "prefect"))
    assert links.sources(describe(2.0), (), identity_is_safe=True) == ()


SCRIPT = """
import asyncio, time
import numpy as np
from prefect import flow, task

@task
def clock(n):
    for _ in range(n):
        yield time.time_ns()

@task
def fixed(n):
    for i in range(n):
        yield {"price": i * 1000.5}
    return "the end"

@task
async def waits():
    for i in range(3):
        await asyncio.sleep(0)
        yield i + 0.25

@task
def endless():
    i = 0
    while True:
        i += 1
        yield i * 7.25

@task(retries=1, retry_delay_seconds=0.01)
def flaky(box):
    box.append(1)
    yield len(box) * 11.5
    if len(box) < 2:
        raise ValueError("once")
    yield 99.5

@task
def doomed():
    yield 12.75
    raise KeyError("no more")

@task
def total(values):
    return len(values)

@task
def takes(value):
    return str(value)

@task
def last(value):
    return str(value)

@task
def scaled(values):
    return values.sum()

@flow
async def reads():
    async for value in waits():
        takes(value)
    async for value in waits():
        break

held = []

@flow
def generators():
    total(list(clock(3)))
    for item in fixed(2):
        takes(item["price"])
    for value in endless():
        if value > 20:
            last(value)
            scaled(np.full(3, value * 2))
            break
    held.append(endless())
    next(held[0])
    list(flaky([]))
    try:
        list(doomed())
    except KeyError:
        pass
    fixed.submit(2).result()
    asyncio.run(reads())

if __name__ == "__main__":
    generators()
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Ran:
    folder: Path = tmp_path_factory.mktemp("yields")
    result = run_script(
        SCRIPT, folder / "project", folder / "home", PREFECT_API_URL=prefect_server, LINEAGE_FLOWS_STRICT="true"
    )
    assert result.code == 0, result.err
    return result


@pytest.mark.server
def test_the_output_of_a_generator_is_all_it_yielded(ran):
    clock = ran.step("clock").output
    assert (clock.type, clock.shape, [part.path for part in clock.parts]) == ("generator", (3,), ["/0", "/1", "/2"])
    fixed, submitted = ran.steps("fixed")
    assert fixed.output.fingerprint == whole({"price": 0.0}, {"price": 1000.5}, returns="the end").fingerprint
    # Of a submitted one, Prefect makes a list.
    assert submitted.output.type == "list"
    assert submitted.output.fingerprint == describe([{"price": 0.0}, {"price": 1000.5}]).fingerprint


@pytest.mark.server
def test_asynchronous_and_left_generators_are_recorded_as_far_as_they_were_read(ran):
    read, left = ran.steps("waits")
    assert (read.output.type, read.output.note) == ("async_generator", None)
    assert read.output.fingerprint == whole(0.25, 1.25, 2.25).fingerprint
    assert left.output.fingerprint == whole(0.25).fingerprint
    assert left.output.note == "not read to its end: 1 value was yielded"
    ended, held = ran.steps("endless")
    assert ended.output.fingerprint == whole(7.25, 14.5, 21.75).fingerprint
    assert "3 values" in ended.output.note
    assert held.output.fingerprint == whole(7.25).fingerprint


@pytest.mark.server
def test_a_retry_of_a_generator_starts_afresh(ran):
    step = ran.step("flaky")
    assert (step.attempt, [one.attempt for one in step.attempts]) == (2, [1])
    assert step.output.fingerprint == whole(23.0, 99.5).fingerprint
    failed = ran.step("doomed")
    assert (failed.error.type, failed.output.fingerprint) == ("KeyError", whole(12.75).fingerprint)


@pytest.mark.server
def test_what_takes_a_yield_in_has_its_generator_upstream(ran):
    generators = {step.run_id: step.task_name for step in ran.steps()}
    sources = {
        (step.task_name, step.started): [(generators[s.run_id], s.part, s.known_by) for s in step.inputs[0].sources]
        for task in ("total", "takes", "last")
        for step in ran.steps(task)
    }
    found = list(sources.values())
    assert found[0] == [("clock", "/0", ("content", "prefect"))]
    # What is too common to say where it is from is known by Prefect's ids alone.
    assert found[1:3] == [[("fixed", "", ("prefect",))], [("fixed", "/1/price", ("content", "prefect"))]]
    assert found[3:] == [
        *([("waits", f"/{i}", ("content", "prefect"))] for i in range(3)),
        [("endless", "/2", ("content", "prefect"))],
    ]


@pytest.mark.server
def test_the_graph_leads_from_a_reader_to_its_generator(ran):
    with closing(open_embedded(ran.home / "graph.db", read_only=True)) as keeper:
        for reader, made in (("total", "clock"), ("last", "endless")):
            generator = ran.steps(made)[0].run_id
            walk = upstream(keeper, resolve_one(keeper, ran.step(reader).run_id).arn)
            assert generator in {node.entity.source_id for node in walk.nodes if isinstance(node.entity, Action)}
            # Taken in before it was whole, and yet one and the same artifact.
            uris = [node.entity.source_uri for node in walk.nodes if isinstance(node.entity, Artifact)]
            assert len([uri for uri in uris if generator in uri]) == 1
        # What the flow made of a yield meanwhile may come from the generator, which had not ended yet.
        walk = upstream(keeper, resolve_one(keeper, ran.step("scaled").run_id).arn)
        assert ran.steps("endless")[0].run_id in {getattr(node.entity, "source_id", None) for node in walk.nodes}


OTHER_ENGINE = """
import prefect.task_engine

known = prefect.task_engine.link_state_to_task_run_result
prefect.task_engine.link_state_to_task_run_result = lambda state, result, more=None: known(state, result)

from prefect import flow, task
import lineage_flows

@task
def ticks():
    yield 1.5

@task
def plain():
    return 2.5

@flow
def work():
    plain()
    return list(ticks())

if __name__ == "__main__":
    print(work())
"""


@pytest.mark.server
def test_an_engine_whose_yields_cannot_be_seen_is_captured_otherwise_and_says_so(tmp_path, prefect_server):
    ran = run_script(OTHER_ENGINE, tmp_path / "project", tmp_path / "home", switch="", PREFECT_API_URL=prefect_server)
    assert "[1.5]" in ran.out, ran.err
    assert ran.step("plain").output.preview == 2.5
    output = ran.step("ticks").output
    assert (output.fingerprint, output.rule, output.note) == (None, "none", UNSEEN)
