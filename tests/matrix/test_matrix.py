"""The matrix: every shape of work in every place, against a real server; each cell looks at record, events and graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.matrix.check import look
from tests.matrix.expected import EVERYWHERE, SHAPES, at
from tests.matrix.places import Answer, Desk, external_cluster

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

ELSEWHERE = {"delaying", "suspending", "ordering"}
"""See ``test_deployed.py``."""

PLACES: dict[str, tuple[str, ...]] = {
    # Steps are called, one after the other, in the process and thread of the flow.
    "script": tuple(shape for shape in SHAPES if shape not in ELSEWHERE),
    "threads": (*EVERYWHERE, "allowed"),
    # Every flow run makes a pool of new interpreters, each of which imports Prefect.
    "processes": ("chain", "mapped", "waited", "retried", "failing", "cached", "nested", "parent", "submitting"),
    "dask": EVERYWHERE,
    "external": EVERYWHERE,
    "ray": EVERYWHERE,
}
CELLS = [(place, shape) for place, shapes in PLACES.items() for shape in shapes]
ERRORS = {"crashing": "KeyboardInterrupt"}

Ran = Callable[[str], tuple[Desk, dict[str, Answer]]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Ran:
    """Runs all shapes of a place when it is first asked for."""
    known: dict[str, tuple[Desk, dict[str, Answer]]] = {}
    unable: dict[str, str] = {}

    def run(place: str) -> tuple[Desk, dict[str, Answer]]:
        if place in unable:
            pytest.skip(unable[place])
        if place not in known:
            folder: Path = tmp_path_factory.mktemp(place)
            desk = Desk(folder, prefect_server)
            if place == "ray" and (why := desk.ray_starts()) is not None:
                unable[place] = why
                pytest.skip(why)
            with ExitStack() as stack:
                more = {"MATRIX_CALLED": "1"} if place == "script" else {}
                if place == "external":
                    more["MATRIX_SCHEDULER"] = stack.enter_context(external_cluster(folder, free_port()))
                known[place] = desk, desk.run(place, PLACES[place], **more)
        return known[place]

    return run


@pytest.mark.parametrize(("place", "shape"), CELLS, ids=[f"{place}-{shape}" for place, shape in CELLS])
def test_cell(ran: Ran, place: str, shape: str) -> None:
    desk, answers = ran(place)
    answer = answers[shape]
    assert ERRORS.get(shape, "") in (answer.error or ""), answer.error
    assert (answer.error is None) == (shape not in ERRORS), answer.error
    expected = at(shape, place)
    assert len(answer.roots) == expected.roots
    for root in answer.roots:
        look(desk.home, root, expected)


@pytest.mark.parametrize("place", PLACES)
def test_every_event_of_a_place_is_sound_and_each_flow_run_made_one_record(ran: Ran, place: str) -> None:
    desk, answers = ran(place)
    assert not desk.home.faults()
    roots = [root for answer in answers.values() for root in answer.roots]
    kept = [
        run_id
        for run_id, events in desk.home.events.items()
        for event in events
        if (event["run"]["facets"].get("lineageFlows_flowRun") or {}).get("runRecord")
    ]
    assert sorted(kept) == sorted(roots)


def test_the_matrix_is_large_enough() -> None:
    assert len(CELLS) >= 60
